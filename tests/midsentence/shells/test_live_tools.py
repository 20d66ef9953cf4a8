"""The tools of a live session: deadlines and cancellation reach them, and whatever they do is data."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from midsentence.clock import seconds
from midsentence.core.events import Append, StartTool, ToolError, ToolResult
from midsentence.shells.limits import Limits
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, tool
from midsentence.tools.tool import ToolFailure, ToolSpec
from tests.midsentence.shells.live_stage import call, commands, events, fake, phone, planned, real, say


@dataclass
class InOrder:
    """Plays the model: these tools one after the other, each until it is called; then it answers."""

    names: list[str]

    def plan(self, state) -> str:
        n = state.graph.highest
        return call(f"{n + 1}. {self.names[n]}()") if n < len(self.names) else "<answer>Sorry.</answer>"


class TestTime:
    def test_cancelling_reaches_the_tool(self, renderer):
        seen = []

        @tool(access="read")
        async def look(name: str) -> str:
            """Looks."""
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                seen.append(name)
                raise
            return name

        async def work():
            script = Scripted([call('1. look("Sam")'), call("REMOVE 1")], "<pause>")
            async with planned(renderer, script, [look]) as session:
                await say(session, (0, "Sam", False), (3, "no", False))
                await asyncio.sleep(2)
                assert seen == ["Sam"]
                return session

        assert fake(work).state.graph[1].state == "cancelled"

    def test_a_revised_call_runs_again_and_the_old_answer_never_counts(self, renderer):
        @tool(access="read", timeout_s=120)
        async def look(name: str) -> str:
            """Looks, and ignores that it is cancelled."""
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                pass
            return name

        async def work():
            script = Scripted([call('1. look("Sam")'), call('1. look("Samuel")')], "<pause>")
            async with planned(renderer, script, [look], limits=Limits(idle_s=1000)) as session:
                await say(session, (0, "Sam", False), (3, "uel", False))
                await asyncio.sleep(150)
                return session

        session = fake(work)
        assert [(event.version, event.value) for event in events(session, ToolResult)] == [(2, "Samuel")]

    def test_a_tool_past_its_deadline_is_a_timeout_at_its_time(self, renderer):
        gone = []

        @tool(access="read", timeout_s=2)
        async def slow() -> str:
            """Sleeps."""
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                gone.append("cancelled")
                raise
            return "never"

        async def work():
            async with planned(renderer, Scripted([call("1. slow()")], "<answer>No.</answer>"), [slow]) as session:
                await say(session, (0, "go", True))
                await session.answer()
                return session

        session = fake(work)
        [(started, _)] = commands(session, StartTool)
        [error] = events(session, ToolError)
        assert (error.kind, error.message) == ("timeout", "no answer within 2 s")
        assert seconds(error.at_ns) == pytest.approx(started + 2, abs=2e-6)
        assert gone == ["cancelled"]

    def test_a_write_past_its_deadline_is_left_to_end_and_answers_after_all(self, renderer):
        @tool(timeout_s=1)
        async def slow() -> str:
            """Writes slowly."""
            await asyncio.sleep(3)
            return "written"

        async def work():
            async with planned(renderer, Scripted([call("1. slow()")], "<answer>Perhaps.</answer>"), [slow]) as session:
                await say(session, (0, "go", True))
                await asyncio.sleep(5)
                return session

        session = fake(work)
        assert [type(event).__name__ for event, _ in session.history if isinstance(event, ToolError | ToolResult)] == [
            "ToolError",
            "ToolResult",
        ]
        assert session.state.graph[1].state == "done"


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            ValueError("bad"),
            ToolFailure("no such thing"),
            SystemExit(3),
            KeyboardInterrupt(),
            GeneratorExit(),
            StopIteration(1),
            asyncio.CancelledError(),
            RecursionError("deep"),
            BaseException("base"),
            TimeoutError("late"),
            ExceptionGroup("g", [OSError()]),
        ],
        ids=lambda error: type(error).__name__,
    )
    @pytest.mark.parametrize("form", ["async", "thread"])
    def test_whatever_a_tool_raises_is_data(self, renderer, error, form):
        async def later() -> str:
            """Breaks."""
            await asyncio.sleep(0)
            raise error

        def now() -> str:
            """Breaks."""
            raise error

        broken = tool(access="read", timeout_s=20)(later if form == "async" else now)
        name = broken.spec.name

        async def work():
            async with planned(
                renderer, Scripted([call(f"1. {name}()")], "<answer>Sorry.</answer>"), [broken]
            ) as session:
                await say(session, (0, "go", True))
                assert await session.answer() == "Sorry."
                return session

        session = (fake if form == "async" else real)(work)
        [failed] = events(session, ToolError)
        assert failed.kind == ("failed" if isinstance(error, ToolFailure) else "crashed")
        assert session.outcome == "closed"

    def test_an_error_without_text_and_a_result_that_is_no_json(self, renderer):
        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no text")

        class Box:
            specs = {name: ToolSpec(name, access="read") for name in ("mute", "odd", "endless")}

            def run(self, name, args):
                if name == "mute":
                    raise Mute
                if name == "endless":
                    loop: list = []
                    loop.append(loop)
                    return loop
                return object()

        async def work():
            names = ["mute", "odd", "endless"]
            async with planned(renderer, InOrder(names), Box()) as session:
                await say(session, (0, "go", True))
                await session.answer(30)
                return session

        found = {event.call: (event.kind, event.message.split(":")[0]) for event in events(real(work), ToolError)}
        no_json = "its answer is no JSON value but"
        assert found == {1: ("crashed", "Mute"), 2: ("crashed", f"{no_json} object"), 3: ("crashed", f"{no_json} list")}

    def test_only_what_the_session_was_given_runs_and_only_with_arguments_that_fit(self, renderer):
        ran = []

        class Box:
            specs = FunctionToolbox([phone]).specs

            def run(self, name, args):
                ran.append((name, args))
                return "+1"

        async def work():
            lines = ['1. __import__("os")', "1. phone(5)", '1. phone("a", "b")', '1. phone("Bob")']
            script = Scripted([call(line) for line in lines], "<answer>Ok.</answer>")
            async with planned(renderer, script, Box(), changes={"max_errors_in_row": 5}) as session:
                await say(session, (0, "go", True))
                await session.answer()
                return session

        session = real(work)
        assert ran == [("phone", {"name": "Bob"})]
        errors = [
            segment.text
            for _, item in commands(session, Append)
            for segment in item.segments
            if segment.kind == "error"
        ]
        assert ["unknown tool '__import__'" in errors[0], "must be string" in errors[1], "at most 1" in errors[2]] == [
            True
        ] * 3
