"""The smallest things that grounding compares: runs of letters, numbers, and how far one is from another.

Owns `Atom`, the light stemmer, and `Mention`, a span of words with its distance from literal. Does not know what is
looked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from data_gen.grounding.aliases import ONES
from data_gen.speech.words import SCRIPT

STOP = frozenset("a an the of in at on for to and or with from by s is are be its his her their my your".split())
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+\.\d+|(?<![\w)])\.\d+|\d+"
_ATOM = re.compile(rf"(?P<number>{_NUMBER})|[{SCRIPT}]|[^\W\d_{SCRIPT}]+|[$€£¥₹]")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Mention:
    """Words that reveal a value."""

    start: int
    """First word."""
    end: int
    """Half-open word indices."""
    cost: float
    """0 for the literal words, more the further the reading is from them."""


@dataclass(frozen=True, slots=True)
class Atom:
    """The smallest thing that is compared: a run of letters, a number, a currency sign, a character where no spaces are
    written."""

    text: str
    """In lower case, as it is compared."""
    word: int
    """Index of the word that it stands in."""
    number: float | None = None
    """What it is worth; None for what is no number."""


def fold(text: str) -> str:
    """Lower case, without accents; contractions opened, possessives dropped."""
    text = text.replace("’", "'").replace("‘", "'")
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).casefold()
    text = re.sub(r"n't\b", " not", text)
    return re.sub(r"(?<=\w)'s\b", "", text)


def atoms(words: Sequence[str]) -> tuple[Atom, ...]:
    """The atoms of ``words``, in order."""
    found = []
    for index, word in enumerate(words):
        for match in _ATOM.finditer(fold(word)):
            text = match.group()
            if match.group("number"):
                text = text.replace(",", "")
                found.append(Atom(text, index, float(text)))
            else:
                found.append(Atom(text, index, float(ONES[text]) if text in ONES else None))
    return tuple(found)


def identifier_words(name: str) -> list[str]:
    """``calculate_BMI`` and ``calculateBmi`` to their words, lower case."""
    return [atom.text for atom in atoms([CAMEL.sub(" ", name).replace(".", " ")])]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A light English stemmer: plural, -ing, -ed, -ly, and a final e. Wrong stems are harmless where both sides err
    alike."""
    word = _IRREGULAR.get(word, word)
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "edly", "ed", "ly"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            word = rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    return word.removesuffix("e") if len(word) > 5 else word


_IRREGULAR = {
    "women": "woman",
    "men": "man",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "mice": "mouse",
    "lives": "life",
}


def atom_distance(value: Atom, heard: Atom, short: bool = False) -> float | None:
    """How far a heard atom is from a wanted one, or None where it is another; ``short`` lets ``stats`` be
    statistics."""
    if value.text == heard.text:
        return 0.0
    if value.number is not None and heard.number is not None:
        return 0.2 if value.number == heard.number else None
    if value.number is not None or heard.number is not None:
        return None
    a, b = stem(value.text), stem(heard.text)
    if a == b:
        return 0.02 if value.text.removesuffix("s") == heard.text.removesuffix("s") else 0.2
    common = 0
    for x, y in zip(a, b):
        if x != y:
            break
        common += 1
    if common >= 5 and common >= 0.55 * max(len(a), len(b)):
        return 1.2
    longer, shorter = sorted((value.text.removesuffix("s"), heard.text.removesuffix("s")), key=len, reverse=True)
    return 1.2 if short and len(shorter) >= 4 and longer.startswith(shorter) else None
