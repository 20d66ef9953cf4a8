"""A live session that plans anew at every update: reads start early and run once, effects wait; in fake time, and with
weights."""
# ruff: noqa: TID251  (users and tools that take their time, in fake time)

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from midsentence.core import reducer
from midsentence.core.calls import CallState
from midsentence.core.events import Emit, StartTool, ToolResult
from midsentence.models import planned as planned_models
from midsentence.models.transformers import TransformersModel
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells.live import Session
from midsentence.shells.session import open_session
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, Tool, tool
from midsentence.tools.tool import ToolFailure
from tests.midsentence.shells.live_stage import SLOW, call, commands, events, fake, planned, real, say

SAID = ((0.0, "call Bob", False), (3.0, "now", False), (6.0, "", True))
DONE = "<answer>Done.</answer>"


class Desk:
    """Tools that say when they ran, in seconds of the loop, and how they ended."""

    def __init__(self, takes_s: float = 0.5, fails: int = 0) -> None:
        self.ran: list[tuple[float, str]] = []
        self.ended: list[str] = []
        self.takes_s, self.fails = takes_s, fails

    async def run(self, what: str) -> str:
        self.ran.append((round(asyncio.get_running_loop().time(), 3), what))
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.ended.append(f"{what} cancelled")
            raise
        self.ended.append(what)
        if self.fails:
            self.fails -= 1
            raise ToolFailure("busy")
        return f"{what}: {len(self.ran)}"

    @property
    def names(self) -> list[str]:
        return [what for _, what in self.ran]

    def tools(self) -> list[Tool]:
        async def phone(name: str) -> str:
            """Finds a number."""
            return await self.run(f"phone {name}")

        async def page() -> str:
            """Reads the book."""
            return await self.run("page")

        async def note(text: str) -> str:
            """Writes into the book."""
            return await self.run(f"note {text}")

        return [
            tool(access="read")(phone),
            tool(access="read", reads={"book"})(page),
            tool(access="write", writes={"book"})(note),
        ]


def played(renderer: Renderer, desk: Desk, plan: Any, said=SAID, mode: str = "verified") -> Session:
    """A session in fake time, whose model writes ``plan(words, highest call)``."""

    def words(state) -> str:
        return " ".join(segment.text for segment in state.transcript if segment.kind == "partial_query_update")

    async def work():
        script = Scripted([], lambda state: plan(words(state), state.graph.highest))
        async with planned(renderer, script, desk.tools(), mode, SLOW) as session:
            await say(session, *said)
            await session.answer(60)
        return session

    return fake(work)


def phones(words: str, highest: int) -> str:
    return DONE if highest else call('1. phone("Alice")' if "Alice" in words else '1. phone("Bob")')


def starts(session: Session) -> list[str]:
    return [
        f"{start.name} {' '.join(map(str, start.args.values()))}".strip() for _, start in commands(session, StartTool)
    ]


def written(session: Session) -> list[Any]:
    return [segment.ids for segment in session.state.transcript if segment.kind == "model"]


def test_a_read_starts_while_the_user_speaks_and_runs_once(renderer):
    desk, other = Desk(), Desk()
    session, plain = played(renderer, desk, phones), played(renderer, other, phones, mode="eager_end")
    assert desk.names == ["phone Bob"] == other.names and desk.ran[0][0] < 3 and other.ran[0][0] > 6
    assert starts(session) == ["phone Bob", "phone Bob"] and written(session) == written(plain)
    assert commands(session, Emit)[0][0] < commands(plain, Emit)[0][0] - 0.5
    found = session.rollout().drafted
    assert found.attempts == 1 and len(found.kept) == 1 and 0 < found.right == found.foreseen
    assert plain.rollout().drafted is None


def test_an_engine_that_reads_nothing_in_one_pass_is_told_nothing_and_nothing_counts_as_read(renderer, monkeypatch):
    reads, context = played(renderer, Desk(), phones), planned_models._PlannedContext
    monkeypatch.setattr(context, "foresees", False, raising=False)
    monkeypatch.setattr(context, "took", lambda self, took=context.took: took(self))
    session = played(renderer, Desk(), phones)
    assert written(session) == written(reads) and starts(session) == starts(reads)
    found = session.rollout().drafted
    assert (found.attempts, len(found.kept), found.foreseen, found.right) == (1, 1, 0, 0)


def test_one_that_runs_is_joined(renderer):
    desk = Desk(takes_s=4.0)
    session = played(renderer, desk, phones)
    (result,) = events(session, ToolResult)
    assert desk.names == ["phone Bob"] and desk.ended == ["phone Bob"]
    assert result.at_ns / 1e9 - desk.ran[0][0] == pytest.approx(4.0, abs=0.01)


def test_one_that_took_too_long_is_run_anew_when_it_is_asked_for_again(renderer):
    ran: list[float] = []

    @tool(access="read", timeout_s=2)
    async def phone(name: str) -> str:
        """Finds a number."""
        ran.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1000 if len(ran) == 1 else 0.5)
        return "555"

    def plan(state: Any) -> str:
        wanted = 1 not in state.graph or state.graph[1].state is CallState.FAILED
        return call('1. phone("Bob")') if wanted else DONE

    async def work():
        async with planned(renderer, Scripted([], plan), [phone], "verified", SLOW) as session:
            await say(session, (0.0, "call Bob", True))
            await session.answer(60)
        return session

    session = fake(work)
    (result,) = events(session, ToolResult)
    assert len(ran) == 2 and result.value == "555" and result.at_ns / 1e9 == pytest.approx(ran[1] + 0.5, abs=0.01)


def test_a_write_never_starts_before_the_end_and_runs_once(renderer):
    desk = Desk()
    session = played(renderer, desk, lambda words, highest: DONE if highest else call('1. note("x")'))
    assert (
        desk.names == ["note x"]
        and desk.ran[0][0] >= 6.0
        and [item.text for _, item in commands(session, Emit)] == ["Done."]
    )


def test_a_correction_is_planned_anew(renderer):
    desk = Desk()
    session = played(renderer, desk, phones, said=((0, "call Bob", False), (3, "no Alice", False), (6, "", True)))
    assert desk.names == starts(session) == ["phone Bob", "phone Alice"]
    found = session.rollout().drafted
    assert not found.kept and 0 < found.right < found.foreseen


def test_a_read_that_failed_is_run_anew(renderer):
    desk = Desk(fails=1)
    session = played(renderer, desk, phones)
    assert desk.names == ["phone Bob", "phone Bob"] and [event.value for event in events(session, ToolResult)] == [
        "phone Bob: 2"
    ]


def test_an_effect_drops_what_it_may_have_changed(renderer):
    desk = Desk()

    def plan(words: str, highest: int) -> str:
        return (
            DONE
            if highest > 1 or highest and "note" not in words
            else call("1. page()")
            if "note" not in words
            else call('1. note("x")', "2. page()")
        )

    played(renderer, desk, plan, said=((0, "read", False), (3, "after a note", False), (6, "", True)))
    assert desk.names == ["page", "note x", "page"]


def test_what_was_read_for_a_turn_is_old_in_the_next(renderer):
    desk = Desk()

    def plan(words: str, highest: int) -> str:
        return DONE if highest == 1 + words.count("again") else call(f'{highest + 1}. phone("Bob")')

    async def work():
        script = Scripted(
            [],
            lambda state: plan(
                " ".join(s.text for s in state.transcript if s.kind == "partial_query_update"), state.graph.highest
            ),
        )
        async with planned(renderer, script, desk.tools(), "verified", SLOW) as session:
            await say(session, *SAID)
            await session.answer(60)
            await say(session, (1, "again", False), (4, "", True))
            await session.answer(60)
        return session

    fake(work)
    assert desk.names == ["phone Bob", "phone Bob"]


def test_closing_ends_a_read_that_nobody_waits_for(renderer):
    desk = Desk(takes_s=1e6)

    async def work():
        script = Scripted([], lambda state: phones("", state.graph.highest) if not state.graph.highest else "<pause>")
        async with planned(renderer, script, desk.tools(), "verified", SLOW) as session:
            await say(session, (0, "call Bob", False))
            while not desk.ran:
                await asyncio.sleep(0.01)
            await say(session, (0, "no", False))
        return session

    session = fake(work)
    assert session.outcome == "closed" and desk.ended == ["phone Bob cancelled"]


def test_the_log_replays_to_the_same_state(renderer):
    session = played(renderer, Desk(), phones)
    again = session.initial
    for event, _ in session.history:
        again, _ = reducer.step(again, event)
    assert list(again.transcript) == list(session.state.transcript)


def test_with_weights_the_context_holds_what_the_transcript_says(tiny_tokenizer):
    """A random model under no grammar writes nonsense; what it holds after attempts that were thrown away is what was
    said in the end."""
    renderer, tiny = (
        Renderer(copy.deepcopy(tiny_tokenizer), tags="text"),
        TransformersModel.load("tiny", max_tokens=2000, dtype="float32"),
    )
    lines = renderer.action_ids(call('1. phone("Alice or Carol")'))

    class Says:
        """A grammar that leaves no choice but these ids, though tokens are still decoded."""

        def begin(self, state):
            left = list(lines if not state.graph.highest else renderer.action_ids(DONE))

            class Line:
                def allowed(self):
                    import numpy as np

                    mask = np.zeros(renderer.vocabulary_size, dtype=bool)
                    mask[left[:1] or [0]] = True
                    return mask

                def push(self, token):
                    assert left.pop(0) == token

                def forced(self):
                    return ()

            return Line()

    async def work():
        desk = Desk(takes_s=0.01)
        with ModelWorker(tiny, grammar=Says()) as worker:
            async with open_session(
                (worker, renderer), FunctionToolbox(desk.tools()), "verified", system=""
            ) as session:
                for n, words in enumerate(("call them", "both", "now")):
                    await session.hear(words)
                    while sum(isinstance(c, StartTool) for _, cs in session.history for c in cs) <= n:
                        await asyncio.sleep(0.001)
                await session.hear("", final=True)
                assert await session.answer(30) == "Done."
                while session.state.phase is not reducer.Phase.IDLE:
                    await asyncio.sleep(0.001)
                return list(session._writer.context.stream.ids), session, desk

    held, session, desk = real(work)
    whole = list(renderer.ids(session.prompt_ids, session.state.transcript))
    assert held == whole[: len(held)] and len(whole) - len(held) <= 1 and desk.names == ["phone Alice or Carol"]
    found = session.rollout().drafted
    assert found.attempts == 2 and found.right == found.foreseen > 0 and len(found.kept) == 2
