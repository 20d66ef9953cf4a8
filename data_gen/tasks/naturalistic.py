"""Requests as people make them: disfluent, indirect, revised while they are spoken.

Owns the source `naturalistic`: the same intents and worlds as `assistant`, told in indirect wordings and with many
disfluencies. Its test holds out whole kinds of repair and a lexicon of editing terms, and uses the interregna of
Disfl-QA's dev set. Does not know how any of it is scored, and requests that people wrote: they are a source of their
own, `data_gen.tasks.written`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from data_gen.seeds import child
from data_gen.speech.disfluency import HELD_OUT, TEST, TRAIN, Lexicon, Rates
from data_gen.task import Split, Task
from data_gen.tasks.assistant import Lazy, check_splits
from data_gen.tasks.assistant.compose import Style, compose
from data_gen.tasks.assistant.values import Times

PATTERNS_FILE = Path(__file__).with_name("disfl_qa_dev.json")
RATES = Rates().times(2.5)
INDIRECT = 0.5


def style(split: Split, index: int, rates: Rates = RATES) -> Style:
    """How the ``index``-th request of a split is told.

    A third of the test keeps to kinds and words that training has too, so that reports can tell what held-out kinds
    cost; a third has kinds that training lacks; a third has words that it lacks, those of Disfl-QA's dev set among
    them.
    """
    if split != "test":
        return Style(rates.without(HELD_OUT), TRAIN, INDIRECT, least=1)
    third = index % 3
    if third == 0:
        return Style(rates.without(HELD_OUT), TRAIN, INDIRECT, least=1)
    if third == 1:
        new = {kind: 0.5 for kind in HELD_OUT}
        return Style(Rates.of(new, rates), TRAIN, INDIRECT, (0.0, 0.5, 0.3, 0.12, 0.08), least=1)
    return Style(rates.without(HELD_OUT), held_out_words(), INDIRECT, least=1)


@lru_cache
def held_out_words() -> Lexicon:
    """The test's lexicon, with the interregna of Disfl-QA's dev set that the train set's commonest don't include."""
    return replace(
        TEST, terms=tuple(dict.fromkeys((*TEST.terms, *json.loads(PATTERNS_FILE.read_text("utf-8"))["terms"])))
    )


def tasks(split: Split, seed: int = 0, count: int = 300, rates: Rates = RATES, times: Times = "said") -> Sequence[Task]:
    """The first ``count`` tasks of a split."""
    check_splits()

    def make(index: int) -> Task:
        told = replace(style(split, index, rates), times=times)
        task = compose(split, index, child(seed, "naturalistic"), told, "naturalistic")
        return replace(task, tags=(*task.tags, part(split, index)))

    return Lazy(count, make)


def part(split: Split, index: int) -> str:
    """The tag that says what of a request training lacks."""
    return ("part:known", "part:new_kinds", "part:new_words")[index % 3] if split == "test" else "part:known"
