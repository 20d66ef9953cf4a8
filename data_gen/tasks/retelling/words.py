"""Other words: fillers between what is marked, and texts that another request dictates."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from data_gen.grounding.heard import SOFT
from data_gen.grounding.spans import find, plain
from data_gen.speech.disfluency import TRAIN
from data_gen.task import BadTask
from data_gen.tasks.retelling.rows import Row, quotes_of, said_at

TEXTS = frozenset("message context content notes note body text comment".split())
"""Parameters whose value is dictated."""
_FILLER_RATE = 0.04
"""Of a place that may have one, to have one; people make about one in forty words, and not all places may."""


def fillers(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row with other fillers between what is marked."""
    words = row["request"].split()
    quotes = list(quotes_of(row))
    spans = [find(words, quote) for quote in quotes]
    said: list[str] = []
    at: list[int] = []
    for n, word in enumerate(words):
        inside = any(start <= n < end for start, end in spans)
        if not any(start < n < end for start, end in spans) and draw.random() < _FILLER_RATE:
            said.append(draw.choice(TRAIN.fillers))
        at.append(len(said))
        if inside or plain(word) not in TRAIN.fillers or draw.random() < 0.5:
            said.append(word)
    if said == words or not said_at(said, quotes, [(at[start], at[start] + end - start) for start, end in spans]):
        return dict(row)
    tags = [tag for tag in row.get("tags", ()) if tag not in ("fluent", "filler")]
    filled = any(plain(word) in SOFT for word in said)
    return dict(row) | {"request": " ".join(said), "tags": [*tags, "filler"] if filled else tags or ["fluent"]}


def texts(row: Row, draw: random.Random, dictated: Sequence[str]) -> dict[str, Any]:
    """The row with other texts of people's, where one is said in its own words and in one piece; every second time as
    it is."""
    told = dict(row)
    if not dictated or draw.random() < 0.5:
        return told
    for n, param, quote in own_texts(row):
        new = draw.choice(dictated)
        words = told["request"].split()
        spans, (start, end) = [find(words, each) for each in quotes_of(told)], find(words, quote)
        said = [*words[:start], *new.split(), *words[end:]]
        said[start + len(new.split()) - 1] += _stop(words[end - 1])
        more = len(said) - len(words)
        other = dict(told) | {"request": " ".join(said)}
        other["calls"] = [dict(call) for call in told["calls"]]
        other["calls"][n]["args"] = told["calls"][n]["args"] | {param: list(dict.fromkeys([_begun(new), new]))}
        other["spans"] = [dict(entry) for entry in told["spans"]]
        other["spans"][n]["args"] = told["spans"][n]["args"] | {param: new}
        wanted = [(first + more * (first >= end), last + more * (last >= end)) for first, last in spans]
        if said_at(said, quotes_of(other), wanted):
            told = other
    return told


def own_texts(row: Row) -> list[tuple[int, str, str]]:
    """Call, parameter and quotation of the texts that a row dictates in their own words, once, apart from all that is
    marked besides."""
    words = row["request"].split()
    quotes = list(quotes_of(row))
    found = []
    for n, (call, entry) in enumerate(zip(row["calls"], row.get("spans", ()))):
        for param, given in entry.get("args", {}).items():
            accepted = call["args"].get(param)
            if param not in TEXTS or not isinstance(given, str) or "#" in given or not accepted:
                continue
            value = accepted[0]
            if not isinstance(value, str) or [*map(plain, value.split())] != [*map(plain, given.split())]:
                continue
            if len(value.split()) < 2 or any(plain(word) in SOFT for word in given.split()):
                continue
            try:
                start, end = find(words, given)
                apart = (
                    sum(first < end and start < last for first, last in (find(words, other) for other in quotes)) == 1
                )
            except BadTask:
                continue
            if apart:
                found.append((n, param, given))
    return found


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stop(word: str) -> str:
    """The punctuation that a word ends with."""
    return word[len(word.rstrip(".,;:!?")) :]
