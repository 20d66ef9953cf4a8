"""One tool's run in a live session: what does not end is left behind, and each run knows its effect's key."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import threading

import pytest

from midsentence.core.calls import effect_key
from midsentence.core.events import StartTool, ToolError
from midsentence.shells.tool_run import idempotency_key
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, tool
from midsentence.tools.tool import ToolSpec
from tests.midsentence.shells.live_stage import call, commands, events, fake, planned, real, say


class TestAbandoned:
    @pytest.mark.filterwarnings("ignore:.*coroutine")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("ignores", [1, 3, 1000])
    def test_a_tool_that_ignores_cancellation_is_left_behind(self, renderer, ignores):
        @tool(access="read", timeout_s=1)
        async def stubborn() -> str:
            """Swallows what it is told."""
            for _ in range(ignores):
                try:
                    await asyncio.sleep(1e6)
                except BaseException:
                    pass
            return "late"

        async def work():
            async with planned(
                renderer, Scripted([call("1. stubborn()")], "<answer>No.</answer>"), [stubborn]
            ) as session:
                await say(session, (0, "go", True))
                await session.answer()
            return session

        session = fake(work)
        assert session.abandoned == (ignores > 1)
        assert session.outcome == "closed"

    def test_a_thread_that_never_ends_holds_nobody_up(self, renderer):
        stuck = threading.Event()

        @tool(access="read", timeout_s=0.05)
        def hang() -> str:
            """Hangs."""
            stuck.wait(30)
            return "late"

        async def work():
            async with planned(renderer, Scripted([call("1. hang()")], "<answer>No.</answer>"), [hang]) as session:
                await say(session, (0, "go", True))
                assert await session.answer() == "No."
            assert not stuck.is_set()
            assert any(thread.name == "tool hang" and thread.daemon for thread in threading.enumerate())
            stuck.set()
            return session

        assert [event.kind for event in events(real(work), ToolError)] == ["timeout"]


class TestKey:
    def test_a_tool_cant_reach_the_log_through_its_arguments_and_knows_its_key(self, renderer):
        keys = []

        class Box:
            specs = {"grow": ToolSpec("grow", FunctionToolbox([tool(_grow)]).specs["_grow"].params, access="read")}

            def run(self, name, args):
                args["items"].append("more")
                keys.append(idempotency_key.get())
                return len(args["items"])

        async def work():
            script = Scripted([call('1. grow(["a"])')], "<answer>Ok.</answer>")
            async with planned(renderer, script, Box(), name="s7") as session:
                await say(session, (0, "go", True))
                await session.answer()
                return session

        session = real(work)
        assert commands(session, StartTool)[0][1].args == {"items": ["a"]}
        assert keys == [effect_key("s7", 1, 'grow(items=["a"])')]

    def test_two_sessions_without_names_have_keys_of_their_own(self, renderer):
        keys = []

        @tool
        def pay(to: str) -> str:
            keys.append(idempotency_key.get())
            return "paid"

        async def work():
            async with planned(renderer, Scripted([call('1. pay("Ann")')], "<answer>Ok.</answer>"), [pay]) as session:
                await say(session, (0, "go", True))
                await session.answer()

        real(work)
        real(work)
        assert len({key.split(":")[0] for key in keys}) == 2 and len(keys) == 2


def _grow(items: list[str]) -> int:
    """Grows."""
    return 0
