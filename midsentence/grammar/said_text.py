"""Texts that are made of words that were said, as regular expressions of JSON strings.

Owns in which ways a word may be written, and which words may follow one another. Does not know calls and schemas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from midsentence.core.said import AROUND

_MOST_SAID = 150
"""Words, the last ones, of which a text may be made."""


def text_of(said: Sequence[str]) -> str:
    """A regex of JSON strings that hold nothing but some of these words, in their order: a run of them, with fillers
    left out.

    A word may be written in small letters or with a capital, without the punctuation around it and without a
    possessive's ending.
    """
    words = [_either(spellings) for word in said[-_MOST_SAID:] if (spellings := _spellings(word))]
    begun = _from_any(words, [f"( {word})?" for word in words])
    return f'"{begun}?"' if begun else '""'


def more_of(text: str, said: Sequence[str]) -> tuple[str, list[str]]:
    """A regex of JSON strings that can be added to a text of said words, and the shortest of them; none, if nothing
    can.

    The rest of a word of which the text holds only the beginning, for that is how words are heard, and words after it;
    or, where its last word was said, a space and words, of which the first is another than the last.
    """
    last, words = text.rsplit(" ", 1)[-1], without_repeats(said)[-_MOST_SAID:]
    forms = [_spellings(word) for word in words]
    whole = not unsaid(last, spelled(words))
    starts = []  # what may be added first, by the place of its word
    for spellings in forms:
        ends = [
            form[len(last) :]
            for form in spellings
            if last and form.casefold().startswith(last.casefold()) and len(form) > len(last)
        ]
        if whole and last.casefold() not in map(str.casefold, spellings):
            ends += [f"{' ' if text else ''}{form}" for form in spellings]
        starts.append(list(dict.fromkeys(ends)))
    after = [f"( {_either(spellings)})?" if spellings else "" for spellings in forms]
    begun = _from_any([_either(ends) if ends else "" for ends in starts], after)
    return f'"{begun}"', [end for ends in starts for end in ends]


def spelled(said: Iterable[str]) -> frozenset[str]:
    """The words in every way in which a text may have them, case-folded."""
    return frozenset(form.casefold() for word in said for form in _spellings(word))


def unsaid(value: Any, said: Set[str]) -> bool:
    """Whether a value, or a part of it, is a text with a word that is none of what `spelled` gives: half of one, or one
    taken back."""
    if isinstance(value, str):
        return any(word.casefold() not in said for word in value.split())
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(unsaid(part, said) for part in parts)


def without_repeats(said: Sequence[str]) -> tuple[str, ...]:
    """The words, of a run of up to three that is said twice at once ("the the", "any chance any chance") the second
    time alone."""
    words: list[str] = []
    for word in said:
        words.append(word)
        for length in (1, 2, 3):
            again, before = words[-length:], words[-2 * length : -length]
            if len(before) == length and [w.casefold() for w in again] == [w.casefold() for w in before]:
                del words[-2 * length : -length]
                break
    return tuple(words)


def _spellings(word: str) -> list[str]:
    bare = word.strip(AROUND)
    texts = [word, bare, *(bare.removesuffix(end) for end in ("'s", "\u2019s"))]
    return [
        text
        for text in dict.fromkeys(form for text in texts for form in (text, text.lower(), text[:1].upper() + text[1:]))
        if text
    ]


def _from_any(starts: Sequence[str], rest: Sequence[str]) -> str:
    """A regex of one of the starts and, in order, what of the rest comes behind it; empty where there is no start.

    By halves: written out for each start, sixty words would be 66,000 characters, of which llguidance makes an
    automaton for every line.
    """
    if len(starts) < 2:
        return "".join(starts)
    half = len(starts) // 2
    left, right = _from_any(starts[:half], rest[:half]), _from_any(starts[half:], rest[half:])
    options = [left + "".join(rest[half:])] if left else []
    return f"({'|'.join([*options, right] if right else options)})" if options or right else ""


def _either(texts: Iterable[str]) -> str:
    return f"({'|'.join(map(_regex, texts))})"


def _regex(text: str) -> str:
    return re.escape(json.dumps(text, ensure_ascii=False)[1:-1]).replace("/", "\\/")
