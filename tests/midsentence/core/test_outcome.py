"""The one boundary of tools: whatever they return or raise is an outcome, in the same words live and in simulation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from midsentence.clock import ns
from midsentence.core.events import StartTool, ToolError, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.core.outcome import Boundary, Outcome, failed
from midsentence.shells.tool_run import launch
from midsentence.shells.virtual import Episode
from midsentence.testing import ROUND, Scripted, WordRenderer, answer, calls
from midsentence.tools.tool import AsyncToolbox, ToolFailure, ToolSpec


@dataclass
class Point:
    x: int


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


RINGED: list = []
RINGED.append(RINGED)

RETURNED = [
    ("ok", Outcome("ok")),
    (None, Outcome(None)),
    ((1, 2), Outcome([1, 2])),
    (Point(3), Outcome({"x": 3})),
    ({1}, Outcome(kind="crashed", message="its answer is no JSON value but set")),
    (RINGED, Outcome(kind="crashed", message="its answer is no JSON value but list")),
]
RAISED = [
    (ToolFailure("nobody is called Bob"), Outcome(kind="failed", message="nobody is called Bob")),
    (ValueError("no"), Outcome(kind="crashed", message="ValueError: no")),
    (SystemExit(3), Outcome(kind="crashed", message="SystemExit: 3")),
    (Mute(), Outcome(kind="crashed", message="Mute: (no text)")),
]


class Box:
    """One tool that returns or raises what it is given."""

    specs = {"go": ToolSpec("go")}

    def __init__(self, what: object) -> None:
        self.what = what

    def latency_ns(self, name: str, args: object) -> int:
        return ns(1)

    def run(self, name: str, args: object) -> object:
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


class AsyncBox(Box):
    """The same in the caller's loop."""

    def is_async(self, name: str) -> bool:
        return True

    async def arun(self, name: str, args: object) -> object:
        return self.run(name, args)


async def live(box: Box) -> Outcome:
    return await launch(box, "go", {}, "key")


@pytest.mark.parametrize(("what", "outcome"), RETURNED + RAISED)
@pytest.mark.parametrize("kind", [Box, AsyncBox])
def test_what_a_tool_does_is_an_outcome_in_a_live_session(kind, what, outcome):
    assert isinstance(kind(what), AsyncToolbox) is (kind is AsyncBox)
    assert asyncio.run(live(kind(what))) == outcome


@pytest.mark.parametrize(("what", "outcome"), RETURNED + RAISED)
@pytest.mark.parametrize("kind", [Box, AsyncBox])
def test_what_a_tool_does_is_the_same_outcome_in_simulation(kind, what, outcome):
    script = Scripted([calls("1. go()"), answer(), answer()])
    episode = Episode(
        settings=settings("parallel"),
        profile=ROUND,
        toolbox=kind(what),
        updates=[UserUpdate(0, "go", True)],
        renderer=WordRenderer(),
        prompt_ids=(),
        planner=script,
    )
    (heard,) = [event for event, _ in episode.run().history if isinstance(event, ToolResult | ToolError)]
    assert heard == outcome.event(StartTool(1, 1, "go", {}, "", 0), heard.at_ns)


def test_what_is_not_the_tools_passes():
    with pytest.raises(KeyboardInterrupt), Boundary(KeyboardInterrupt):
        raise KeyboardInterrupt
    with Boundary() as ended:
        raise KeyboardInterrupt
    assert ended.outcome == failed(KeyboardInterrupt())
