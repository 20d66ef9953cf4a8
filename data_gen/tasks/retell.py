"""Variants of a marked request: the same request with other people, other days and other hours.

Owns what may be changed by the marks alone, and changes it everywhere in the row: in the request, in quotations, in
values.

- people: names that a call looks up or is made out to, by names of training, of the same sex where the request says
  "him" or "her";
- days: the user's date moves, days of the week turn with it, written dates follow, so that "tomorrow" and "Friday" stay
  right;
- hours: "at three" becomes "at four" where the project's own grammar (`midsentence.tools.times`) reads an hour later in
  the new phrase;
- fillers: "um" and "uh" of training's lexicon come and go between what is marked;
- texts: what is dictated is, every second time, what another request dictates.

A word that may have another sense is left unchanged. Does not know whether the new row can be used:
`data_gen.tasks.corpus` reads it through the same door as the old, and takes the old where it is refused.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from data_gen.task import Split
from data_gen.tasks.retelling.moments import days, hours
from data_gen.tasks.retelling.people import people
from data_gen.tasks.retelling.rows import Row
from data_gen.tasks.retelling.words import fillers, texts

WAYS = ("people", "days", "hours", "fillers")
"""What is changed where nothing else is asked for."""


def retold(
    row: Row, draw: random.Random, ways: Sequence[str] = WAYS, split: Split = "train", dictated: Sequence[str] = ()
) -> dict[str, Any]:
    """The row told again; equal to it where nothing may be changed.

    Args:
        row: as a requests file has it, with ``spans``.
        draw: what decides.
        ways: what is changed.
        split: whose names are put in.
        dictated: what is put in the place of a text, for the way ``texts``.
    """
    told = dict(row)
    for way in ways:
        match way:
            case "texts":
                told = texts(told, draw, dictated)
            case "people":
                told = people(told, draw, split)
            case "days":
                told = days(told, draw)
            case "hours":
                told = hours(told, draw)
            case "fillers":
                told = fillers(told, draw)
    return told
