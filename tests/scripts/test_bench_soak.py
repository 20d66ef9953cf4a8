"""The soak: a short one finds nothing, every counter counts what is planted, and the judge reads words as the player
does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from midsentence.clock import ns
from midsentence.core.events import Generate, ModelOutput, StartTool, UserUpdate
from midsentence.models.load import load_renderer
from midsentence.testing import PAUSE
from scripts import bench, bench_soak
from scripts.bench_soak import Soak
from scripts.soak.judge import COUNTERS, Conversation, Heard, judged
from scripts.soak.player import take, wanted
from scripts.soak.world import SPECS, Ran, World


@pytest.fixture(scope="module")
def renderer():
    return load_renderer("tiny", "token", "none")


def soaked(renderer, **options: Any) -> dict[str, Any]:
    given = {"sessions": 4, "seconds": 2.0, "faults": False, "seed": 1}
    return asyncio.run(Soak(**(given | options)).run(renderer))


class Boxed:
    """A toolbox around a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def specs(self) -> Mapping[str, Any]:
        return self.world.specs

    def is_async(self, name: str) -> bool:
        return True

    def latency_ns(self, name: str, args: Mapping[str, Any]) -> int:
        return self.world.latency_ns(name, args)

    def run(self, name: str, args: Mapping[str, Any]) -> Any:
        return self.world.run(name, args)

    async def arun(self, name: str, args: Mapping[str, Any]) -> Any:
        return await self.world.arun(name, args)


class Twice(Boxed):
    """Has each effect twice."""

    async def arun(self, name, args):
        if SPECS[name].access == "write":
            await self.world.arun(name, args)
        return await self.world.arun(name, args)


class Hasty(Boxed):
    """Says that its writes are reads, so that they run at once."""

    @property
    def specs(self):
        return {name: replace(spec, access="read") for name, spec in SPECS.items()}


class Forgetful(Boxed):
    """Says that it has done what it has not."""

    async def arun(self, name, args):
        return "ok" if SPECS[name].access == "write" else await self.world.arun(name, args)


class Silent:
    """A player that never answers."""

    def plan(self, state) -> str:
        return PAUSE


@pytest.mark.parametrize("faults", [False, True], ids=["healthy", "faults"])
def test_a_short_one_finds_nothing(renderer, faults):
    line = soaked(renderer, faults=faults)
    assert {name: line[name] for name in COUNTERS} == dict.fromkeys(COUNTERS, 0)
    assert line["turns"] >= 1 and line["effects"] >= 1
    assert not [outcome for outcome in line["outcomes"] if outcome.startswith("unplanned")]
    assert faults or set(line["outcomes"]) == {"closed"} and line["faults"] == 0


@pytest.mark.parametrize(
    ("counter", "planted"),
    [
        ("effects_more_than_once", {"boxed": Twice}),
        ("effects_before_commit", {"boxed": Hasty}),
        ("lost_effects", {"boxed": Forgetful}),
        ("hangs", {"player": Silent, "patience_s": 0.5, "seconds": 0.5}),
    ],
    ids=["twice", "hasty", "forgetful", "silent"],
)
def test_what_is_planted_is_counted(renderer, counter, planted):
    line = soaked(renderer, **planted)
    assert line[counter] > 0


def test_words_are_read_with_what_is_taken_back_and_corrected():
    words: list[str] = []
    for text, retracts in (("please send xk1", 0), ("k1", 1), ("note k2 no", 0), ("k3 look k4", 0), ("look k4", 0)):
        take(words, text, retracts)
    assert wanted(words) == [("send", "k1"), ("note", "k3"), ("look", "k4")]


def test_it_prints_one_line_and_refuses_nonsense(capsys):
    assert bench.main(["soak", "--sessions", "2", "--minutes", "0.01"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert {"sessions", "turns", "faults", *COUNTERS, "rss_growth_mb"} <= set(line)
    with pytest.raises(SystemExit):
        bench_soak.main(["--sessions", "0"])


def test_a_token_that_the_busy_loop_takes_in_after_the_final_words_is_no_early_start():
    """It was written a moment before the endpoint's word, and let the call go a moment after."""
    ordered = StartTool(1, 1, "send", {"what": "k1"}, "key", ns(1))
    log = [
        (UserUpdate(ns(1), "send k1"), (Generate(1),)),
        (UserUpdate(ns(2), "", True), ()),
        (ModelOutput(ns(1.9), 1, "</answer>", (1,)), (ordered,)),
    ]
    ran = Ran("send", "k1", "key", ns(2.1), did_ns=ns(2.5))
    said = [Heard(ns(1), True, False), Heard(ns(2), False, True)]
    assert not judged(Conversation(0, said, [], log, [ran]))["effects_before_commit"]
    assert judged(Conversation(0, said[:1], [], log[:1] + log[2:], [ran]))["effects_before_commit"]
    spoken = Heard(ns(1.5), True, False), (UserUpdate(ns(1.5), "no k2"), ())
    assert judged(Conversation(0, [said[0], spoken[0], said[1]], [], [log[0], spoken[1], *log[1:]], [ran]))[
        "effects_before_commit"
    ]
