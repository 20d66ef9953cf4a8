"""Tests whether a value holds only words that the user said.

Owns the proof that lets a call out early once results are in the context: not "no result is seen in it", which any
rewriting gets round, but "all of it is the user's". A text is the user's if it is a run of words that the user said,
written as they were heard, in small letters, with a capital first letter or one a word, with or without the punctuation
around words; a number if it was said in figures; a list if its items are such texts and numbers, in the order in which
they were said. Nothing else is: no ``true``, no object, no list in a list and no empty item (their pattern could spell
anything), no word of the agent's own. Does not know which calls need the proof.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from midsentence.core.transcript import Segment, read_update
from midsentence.core.values import write_value

AROUND = ".,;:!?\"'()\u2026\u201c\u201d"
"""Punctuation that is no part of a word."""


def words_said(segments: Iterable[Segment]) -> tuple[str, ...]:
    """The words of all updates, those left out that the recogniser took back."""
    words: list[str] = []
    for segment in segments:
        if segment.kind in ("partial_query_update", "final_query_update"):
            text, retracts = read_update(segment.text)
            del words[max(0, len(words) - retracts) :]
            words += unicodedata.normalize("NFC", text).split()
    return tuple(words)


def only_said(args: Mapping[str, Any], words: Sequence[str]) -> bool:
    """Whether every argument is the user's own."""
    return all(_is_said(value, words) for value in args.values())


def _is_said(value: Any, words: Sequence[str]) -> bool:
    if value is None or value == "" or value == []:
        return True
    at = 0
    for item in value if isinstance(value, list) else (value,):
        if (end := _find(item, words, at)) is None:
            return False
        at = end
    return True


def _find(value: Any, words: Sequence[str], at: int) -> int | None:
    """Where the first run of words at or after ``at`` that says a text or a number ends; None if there is none."""
    match value:
        case bool() | "":
            return None
        case int() | float():
            value = write_value(value)
        case str():
            pass
        case _:
            return None
    length = len(value.split(" "))
    return next(
        (n + length for n in range(at, len(words) - length + 1) if value in _spellings(words[n : n + length])), None
    )


def _spellings(run: Sequence[str]) -> Iterator[str]:
    heard = " ".join(run)
    for text in (heard, heard.strip(AROUND), " ".join(word.strip(AROUND) for word in run)):
        yield text
        yield text.lower()
        yield text[:1].upper() + text[1:]
        yield " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
