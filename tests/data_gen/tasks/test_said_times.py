"""Every phrase for a time that the generator can say is resolved to the moment that it meant: all of them, drawn
out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from configs.schema import Config
from data_gen import sources
from data_gen.tasks import assistant, written
from data_gen.tasks.assistant.moments import clock_phrase, day_phrase, length_phrase, moment_phrase
from eval.measures.scoring import Ran, gold_effects, paired
from midsentence.tools import times


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
    assert {
        "tomorrow",
        "in nine days",
        "on the seventh of March",
        "this coming Friday",
        "on Sunday",
        "on Veterans Day",
    } <= set(DAYS)
    assert {
        "at noon",
        "at half past twelve pm",
        "at 12:15 pm",
        "at eight forty-five am",
        "at six in the evening",
    } <= set(CLOCKS)


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


# -- what tasks make of it
# -------------------------------------------------------------------------------------------------

TIMED = ("start_date", "due_date", "start_time", "duration", "priority")


def test_gold_gives_what_was_said_and_takes_what_it_means():
    found = 0
    for said, plain in zip(
        *(assistant.tasks("train", 0, 120, assistant.Style(times=form)) for form in ("said", "canonical"))
    ):
        assert said.request == plain.request
        box, now = said.toolbox(), datetime.fromisoformat(said.now)
        for call, other in zip(said.gold, plain.gold, strict=True):
            for name in set(TIMED) & set(call.args):
                found += 1
                words, meant = call.args[name].values
                assert other.args[name].values == (meant, words)
                span = call.arg_evidence[name]
                assert set(words.split()) <= {word.text for word in said.words[span.start : span.end]}
                whole = {"all_day": True} if "all_day" in call.args else {}
                assert box.canonical(call.name, {name: words} | whole)[name] == meant
        assert now and gold_effects(said) == gold_effects(plain)
    assert found > 60


def test_a_time_in_words_of_the_models_own_is_right_and_another_time_is_not():
    task, k = next(
        (task, k)
        for task in assistant.tasks("train", 0, 200)
        for k, call in enumerate(task.gold, start=1)
        if call.name == "create_reminder" and set(call.args) == {"name", "due_date"}
    )
    name, meant = (
        task.gold[k - 1].args["name"].values[0],
        datetime.fromisoformat(task.gold[k - 1].args["due_date"].values[1]),
    )
    for due, right in (
        (f"{meant:%B} {meant.day} {meant.year} at {meant:%H:%M}", True),
        (f"{meant:%H:%M} on {meant.day} {meant:%B} {meant.year}", True),
        (f"{meant + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}", False),
        ("some day", False),
    ):
        assert bool(paired(task, [Ran(1, "create_reminder", {"name": name, "due_date": due})], {}).get(k)) is right, due


def test_a_written_request_takes_what_was_said_from_its_own_now():
    task = next(task for task in written.tasks("test") if task.id == "hand-004")
    call = next(call for call in task.gold if call.name == "create_reminder")
    ran = [Ran(1, call.name, {"name": call.args["name"].values[0], "due_date": "on Monday at ten in the morning"})]
    assert call.args["due_date"].values == ("2025-10-20 10:00:00",) and paired(task, ran, {}) == {
        task.gold.index(call) + 1: 1
    }


def test_an_unknown_form_of_times_is_refused():
    config = Config()
    config.data.source, config.data.times = "assistant", "spoken"
    with pytest.raises(ValueError, match="data.times is 'spoken'; use 'said' or 'canonical'"):
        sources.load(config, "train")
