"""How tools compare names and cut prose: folding, sentences, and "did you mean".

Owns the text functions that several tools share. Does not know what the text is about.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr gen gov sen rep rev hon lt col sgt capt vol vs etc inc ltd co corp approx ca cf al fl b d "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
"""Words whose full stop does not end a sentence."""

_BREAK = re.compile(r"""[.!?]["')\]”’]*\s+(?=["'(\[“‘]?[^\W_])""")


_QUOTES = str.maketrans("‘’“”", "''\"\"")


def fold(text: str) -> str:
    """``text`` as names are compared: no case, no accents, one kind of apostrophe, single spaces.

    A recogniser writes "Jose" where the address book says "José".
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(bare.replace("’", "'").casefold().split())


def spoken(value: Any) -> Any:
    """A JSON value as far as speech can tell: no capitals, one kind of apostrophe and quotation mark, and no
    punctuation or spaces at the end of a word."""
    match value:
        case str():
            plain = value.casefold().translate(_QUOTES)
            return "\n".join(
                " ".join(word for part in line.split() if (word := part.rstrip(".,;:!?…")))
                for line in plain.split("\n")
            )
        case list() | tuple():
            return [spoken(item) for item in value]
        case Mapping():
            return {name: spoken(item) for name, item in value.items()}
    return value


def quote(text: str) -> str:
    """``text`` in double quotes, as a model would write it; the start of a long one, for an error must not fill a
    context."""
    return json.dumps(text if len(text) <= 120 else f"{text[:119]}…", ensure_ascii=False)


def sentences(text: str) -> list[str]:
    """The sentences of ``text``, in order; an initial or a known abbreviation ends none."""
    found, start = [], 0
    for match in _BREAK.finditer(text):
        word = re.split(r"[\s(\[\"'“‘]", text[start : match.start()])[-1]
        stop = text[match.start()] == "."
        upcoming = text[match.end() :].lstrip("\"'([“‘")
        if stop and word.casefold() == "no" and upcoming[:1].isdigit():
            continue
        if stop and (re.fullmatch(r"[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]", word) or word.casefold() in _ABBREVIATIONS):
            continue
        if upcoming[:1].islower():
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    if rest := text[start:].strip():
        found.append(rest)
    return found


def similar(asked: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Up to ``most`` of ``names`` that ``asked`` may have meant, best first.

    A name is as near as the nearer of itself and its words, so that a surname or a misheard first name finds its owner.
    """
    wanted = fold(asked)
    scored = []
    for name in dict.fromkeys(names):
        folded = fold(name)
        parts = [folded, *re.findall(r"\w+", folded)]
        score = max(difflib.SequenceMatcher(None, wanted, part).ratio() for part in parts)
        if wanted and any(part.startswith(wanted) for part in parts):
            score = 1.0
        if score >= 0.6:
            scored.append((-score, folded, name))
    return [name for *_, name in sorted(scored)[:most]]


def either(names: Iterable[str]) -> str:
    """``"A"``, ``"A" or "B"``, ``"A", "B" or "C"``."""
    *firsts, last = [quote(name) for name in names]
    return f"{', '.join(firsts)} or {last}" if firsts else last
