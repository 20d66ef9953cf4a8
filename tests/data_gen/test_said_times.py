"""Every phrase for a time that the generator can say is resolved to the moment that it meant: all of them, drawn out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from agent.tools import times
from data_gen.tasks.assistant.moments import clock_phrase, day_phrase, length_phrase, moment_phrase


class Every(random.Random):
    """Answers each draw with every possible outcome in turn: a path through all of them, like an odometer."""

    def __init__(self) -> None:
        super().__init__(0)
        self.path: list[tuple[int, int]] = []
        self.at = 0

    def _one_of(self, n: int) -> int:
        if self.at == len(self.path):
            self.path.append((0, n))
        self.at += 1
        return self.path[self.at - 1][0]

    def randrange(self, n: int) -> int:
        return self._one_of(n)

    def randint(self, a: int, b: int) -> int:
        return a + self._one_of(b - a + 1)

    def choice(self, items: Any) -> Any:
        return items[self._one_of(len(items))]

    def random(self) -> float:
        return (0.0, 0.999)[self._one_of(2)]

    def all(self, draw: Callable[..., Any], *args: Any) -> Iterator[Any]:
        """What ``draw`` gives for every outcome of every draw."""
        self.path = []
        while True:
            self.at = 0
            yield draw(self, *args)
            while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
                self.path.pop()
            if not self.path:
                return
            self.path[-1] = (self.path[-1][0] + 1, self.path[-1][1])


NOW = datetime(2024, 2, 27, 13, 5)  # before a leap day; a Tuesday
DAYS: dict[str, date] = dict(Every().all(day_phrase, NOW))
CLOCKS: dict[str, time] = dict(Every().all(clock_phrase))


def test_the_draws_are_all_of_them():
    holidays = {said for said in DAYS if said.endswith(" Day")}
    assert len(holidays) == 8 and len(DAYS) == 1 + 8 + len(holidays) + 2 * 82 + 2 * 5
    assert {"tomorrow", "in nine days", "on the seventh of March", "this coming Friday", "on Sunday", "on Veterans Day"} <= set(DAYS)
    assert {"at noon", "at half past twelve pm", "at 12:15 pm", "at eight forty-five am", "at six in the evening"} <= set(CLOCKS)


@pytest.mark.parametrize("order", ["{day} {clock}", "{clock} {day}"])
def test_every_day_with_every_time_in_either_order(order):
    wrong = []
    for said_day, day in DAYS.items():
        for said_clock, clock in CLOCKS.items():
            phrase = order.format(day=said_day, clock=said_clock)
            if times.moment(phrase, NOW) != datetime.combine(day, clock):
                wrong.append(phrase)
    assert wrong == []


def test_every_day_from_every_day_of_which_a_task_can_be():
    """Worlds begin on one of a thousand days, and last for sixty."""
    wrong = []
    for ahead in range(1060):
        now = datetime(2024, 1, 1, 9, 30) + timedelta(days=ahead)
        for said, day in dict(Every().all(day_phrase, now)).items():
            if times.day(said, now) != day:
                wrong.append((said, now))
    assert wrong == []


def test_every_span_from_now():
    class Spans(Every):
        def randrange(self, n: int) -> int:
            return self._one_of(2) if n == 8 else super().randrange(n)  # a day and a time are above

    spans = dict(Spans().all(moment_phrase, NOW))
    assert len(spans) == 12
    assert {phrase: times.moment(phrase, NOW) for phrase in spans} == spans


def test_every_length():
    lengths = dict(Every().all(length_phrase))
    assert len(lengths) == 10
    assert {phrase: times.minutes(phrase) for phrase in lengths} == lengths


def test_what_is_drawn_is_among_what_was_tested():
    draw = random.Random(1)
    for _ in range(2000):
        phrase, at = moment_phrase(draw, NOW)
        assert times.moment(phrase, NOW) == at
        assert phrase.startswith("in ") or any(phrase.startswith(said) or phrase.endswith(said) for said in CLOCKS)
