"""A drafter beside a live session: reads start early and run once, and nothing else of it is ever seen; in fake time, and with weights."""
# ruff: noqa: TID251  (users and tools that take their time, in fake time)

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from midsentence import core
from midsentence.clock import seconds
from midsentence.events import Emit, StartTool, ToolError, ToolResult, UserUpdate
from midsentence.models.live import ModelWorker
from midsentence.models.transformers import TransformersModel
from midsentence.modes import drafter_of, settings
from midsentence.rendering import Renderer
from midsentence.runtime import Session
from midsentence.session import open_session
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, Tool, tool
from midsentence.tools.tool import ToolFailure
from tests.midsentence.test_runtime import SLOW, call, commands, events, fake, notes, planned, real, say

SAID = ((0.0, "call Bob", False), (3.0, "", True))
PHONE = call('1. phone("Bob")')
DONE = "<answer>Done.</answer>"


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer) -> Renderer:
    return Renderer.prepare(copy.deepcopy(tiny_tokenizer))


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

        async def send(to: str) -> str:
            """Sends a text."""
            return await self.run(f"send {to}")

        return [
            tool(access="read")(phone), tool(access="read", reads={"book"})(page),
            tool(access="write", reads={"book"}, writes={"book"})(note), tool(access="write")(send),
        ]


def played(
    renderer: Renderer, desk: Desk, agent: Any, drafter: Any, user: Callable[[Session], Awaitable[Any]] | None = None,
    mode: str = "verified",
) -> Session:
    """A session in fake time, from its opening to its end: by default with one request, which is answered."""
    async def work():
        async with planned(renderer, agent, desk.tools(), mode, SLOW, drafter=drafter) as session:
            if user is not None:
                await user(session)
            else:
                await say(session, *SAID)
                await session.answer(60)
        return session

    return fake(work)


def said(state) -> str:
    return " ".join(segment.text for segment in state.transcript if segment.kind == "partial_query_update")


def starts(session: Session) -> list[str]:
    return [f"{start.name} {' '.join(map(str, start.args.values()))}".strip() for _, start in commands(session, StartTool)]


def written(session: Session) -> list[Any]:
    return [segment.ids for segment in session.state.transcript if segment.kind == "model"]


class TestReads:
    def test_a_read_starts_while_the_user_speaks_and_is_not_run_again(self, renderer):
        desk = Desk()
        session = played(renderer, desk, [PHONE, DONE], [PHONE])
        plain = played(renderer, other := Desk(), [PHONE, DONE], [], mode="eager_end")
        assert desk.names == ["phone Bob"] == other.names and desk.ran[0][0] < 2 < other.ran[0][0]
        assert starts(session) == starts(plain) == ["phone Bob"] and written(session) == written(plain)
        assert [event.value for event in events(session, ToolResult)] == ["phone Bob: 1"]
        assert commands(session, Emit)[0][0] < commands(plain, Emit)[0][0] - 0.4
        found = session.rollout().drafted
        assert (found.starts, found.used) == (1, 1) and 0 < found.right == found.foreseen
        assert plain.rollout().drafted is None and session.drafter_failure is None

    def test_one_that_runs_is_joined(self, renderer):
        desk = Desk(takes_s=4.0)
        session = played(renderer, desk, [PHONE, DONE], [PHONE])
        [(asked_s, _)], [result] = commands(session, StartTool), events(session, ToolResult)
        assert desk.names == ["phone Bob"] and desk.ran[0][0] < asked_s
        assert seconds(result.at_ns) - desk.ran[0][0] == pytest.approx(4.0, abs=0.01) and desk.ended == ["phone Bob"]

    def test_a_write_never_starts_before_the_end_and_runs_once(self, renderer):
        desk = Desk()
        session = played(renderer, desk, [call('1. send("Bob")'), DONE], [call('1. send("Bob")', "COMMIT"), "<answer>Sent.</answer>"])
        assert desk.names == ["send Bob"] and desk.ran[0][0] > 3.0
        assert session.rollout().drafted.right > 0 and [item.text for _, item in commands(session, Emit)] == ["Done."]

    def test_a_correction_makes_the_draft_wrong_and_the_agents_own_line_counts(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", False), (3, "no Alice", True))
            await session.answer(60)

        alice = call('1. phone("Alice")')
        desk, other = Desk(), Desk()
        session = played(renderer, desk, [alice, DONE], [PHONE], user)
        plain = played(renderer, other, [alice, DONE], [], user, mode="eager_end")
        assert desk.names == ["phone Bob", "phone Alice"] and other.names == ["phone Alice"]
        assert starts(session) == ["phone Alice"] and written(session) == written(plain)
        found = session.rollout().drafted
        assert found.used == 0 and 0 < found.right < found.foreseen

    def test_what_the_drafter_takes_back_is_cancelled_and_not_joined(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", False), (1, "no Alice", False), (4, "", True))
            await session.answer(60)

        desk = Desk(takes_s=2.5)
        played(renderer, desk, [PHONE, DONE], [PHONE, call('1. phone("Alice")')], user)
        assert desk.names == ["phone Bob", "phone Alice", "phone Bob"] and desk.ended[0] == "phone Bob cancelled"

    def test_a_failing_read_is_tried_again(self, renderer):
        desk = Desk(fails=1)
        session = played(renderer, desk, [PHONE, DONE], [PHONE])
        assert desk.names == ["phone Bob", "phone Bob"]
        assert [event.value for event in events(session, ToolResult)] == ["phone Bob: 2"]

    def test_one_that_fails_while_it_is_awaited_fails_for_both_and_may_be_tried_again(self, renderer):
        desk = Desk(takes_s=4.0, fails=1)
        session = played(renderer, desk, Scripted([PHONE, "<pause>", PHONE], DONE), [PHONE])
        assert desk.names == ["phone Bob", "phone Bob"]
        assert [type(event) for event in (*events(session, ToolError), *events(session, ToolResult))] == [ToolError, ToolResult]

    @pytest.mark.parametrize("effect", ["note", "send"])
    def test_an_effect_drops_what_it_may_have_changed(self, renderer, effect):
        desk = Desk()
        session = played(renderer, desk, [call(f'1. {effect}("x")', "2. page()"), DONE], [call("1. page()")])
        drafted = ["page", "note x", "page"] if effect == "note" else ["page", "send x"]
        assert desk.names == drafted and starts(session) == [f"{effect} x", "page"]

    def test_what_is_read_while_an_effect_runs_is_dropped_when_it_ends(self, renderer):
        """The user goes on speaking while the note is being written; the drafter reads the book at once, the agent after it."""
        async def user(session):
            await say(session, (0, "note x", True))
            while not desk.ran:
                await asyncio.sleep(0.01)
            await say(session, (0.1, "and read it", False), (6, "", True))
            await session.answer(60)

        desk = Desk(takes_s=1.5)
        drafter = Scripted([], lambda state: call("1. page()") if "read it" in said(state) and not state.graph.highest else "<pause>")
        session = played(renderer, desk, Scripted([call('1. note("x")'), "<pause>", call("2. page()")], DONE), drafter, user)
        assert desk.names == ["note x", "page", "page"] and starts(session) == ["note x", "page"]


class TestTurns:
    def test_a_false_end_and_the_drafter_goes_on(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", False))
            await asyncio.sleep(2)
            await session.end_predicted()
            await asyncio.sleep(1.0)
            await say(session, (0, "and Alice", False), (3, "", True))
            await session.answer(60)

        def agent(state) -> str:
            if "Alice" not in said(state):
                return DONE if state.graph.highest else PHONE
            return DONE if state.graph.highest > 1 else call('1. phone("Bob")', '2. phone("Alice")')

        def drafter(state) -> str:
            bob, alice = state.graph.highest > 0, state.graph.highest > 1 or "Alice" not in said(state)
            return "<pause>" if bob and alice else call(*([] if bob else ['1. phone("Bob")']), *([] if alice else ['2. phone("Alice")']))

        desk = Desk()
        session = played(renderer, desk, Scripted([], agent), Scripted([], drafter), user)
        assert desk.names == ["phone Bob", "phone Alice"] and starts(session) == ["phone Bob", "phone Bob", "phone Alice"]
        assert commands(session, StartTool)[1][0] > 6.0

    def test_the_user_speaks_into_what_is_being_written(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", True))
            while not any(event for event, _ in session.history if isinstance(event, ToolResult)):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await say(session, (0, "and Alice", False), (3, "", True))
            await session.answer(60)

        desk = Desk()
        script = [PHONE, "<think>" + "well " * 40 + "</think><answer>Done.</answer>", call('2. phone("Alice")'), DONE]
        session = played(renderer, desk, script, Scripted([], lambda state: call(
            '1. phone("Bob")' if state.graph.highest == 0 else f'{state.graph.highest + 1}. phone("Alice")') if state.graph.highest < 2
            else "<pause>"), user)
        assert desk.names.count("phone Alice") == 1 and "cut" in notes(session)
        assert next(at_s for at_s, what in desk.ran if what == "phone Alice") < events(session, UserUpdate)[-1].at_ns / 1e9
        assert starts(session) == ["phone Bob", "phone Alice"]

    def test_the_next_turn_has_a_drafter_that_knows_the_conversation_and_reads_anew(self, renderer):
        seen = []

        def next_line(state) -> str:
            seen.append((state.graph.highest, [segment.text for segment in state.transcript if segment.kind == "partial_query_update"]))
            return call(f'{state.graph.highest + 1}. phone("Bob")') if state.graph.highest < 2 else "<pause>"

        async def user(session):
            await say(session, *SAID)
            await session.answer(60)
            await asyncio.sleep(2)
            await say(session, (0, "again", False), (3, "", True))
            await session.answer(60)

        desk = Desk()
        drafter = Scripted([next_line, "<pause>", next_line], "<pause>")
        session = played(renderer, desk, [PHONE, DONE, call('2. phone("Bob")'), DONE], drafter, user)
        assert desk.names == ["phone Bob", "phone Bob"] and starts(session) == desk.names
        assert seen == [(0, ["call Bob"]), (1, ["call Bob", "again"])]
        second = events(session, UserUpdate)[2].at_ns / 1e9
        assert second < desk.ran[1][0] < second + 3
        found = session.rollout().drafted
        assert (found.starts, found.used) == (2, 2) and session.drafter_failure is None

    def test_words_that_come_before_the_next_drafter_is_there_are_not_lost(self, renderer):
        async def user(session):
            await say(session, *SAID)
            await session.answer(60)
            await say(session, (0, "again", False), (0.001, "please", False), (3, "", True))
            await session.answer(60)

        desk, heard = Desk(), []

        def look(state) -> str:
            heard.append(said(state))
            return "<pause>"

        played(renderer, desk, ["<answer>Yes.</answer>", DONE], Scripted([], look), user)
        assert heard[-1] == "call Bob again please"


class TestEnds:
    def test_closing_while_it_drafts_ends_both(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", False))
            while not desk.ran:
                await asyncio.sleep(0.01)

        desk = Desk(takes_s=1e6)
        session = played(renderer, desk, [], [PHONE, "<think>" + "and " * 5000], user)
        assert session.outcome == "closed" and desk.ended == ["phone Bob cancelled"]
        assert session._drafting._ever[0].outcome == "closed" and starts(session) == []

    def test_closing_while_the_agent_writes(self, renderer):
        async def user(session):
            await say(session, (0, "call Bob", False), (1, "now", True))
            await asyncio.sleep(0.5)

        session = played(renderer, Desk(), ["<think>" + "and " * 5000], ["<think>" + "and " * 5000], user)
        assert session.outcome == "closed" and session._drafting._ever[0].outcome == "closed"

    @pytest.mark.parametrize("breaks", ["model", "opening", "core"])
    def test_a_drafter_that_fails_costs_nothing_but_time(self, renderer, breaks, monkeypatch):
        def plan(state):
            raise LookupError("no draft")

        step = core.step

        def broken(state, event):
            if state.settings.listens:
                raise LookupError("no core")
            return step(state, event)

        desk = Desk()

        async def work():
            async with planned(renderer, [PHONE, DONE], desk.tools(), "verified", SLOW, drafter=Scripted([], plan)) as session:
                await say(session, *SAID)
                return await session.answer(60), session

        if breaks == "core":
            monkeypatch.setattr(core, "step", broken)
        if breaks == "opening":
            from midsentence.models.live import PlannedModel

            opened = PlannedModel.open
            monkeypatch.setattr(PlannedModel, "open", lambda self, ids, seed=0: opened(self, ids) if self.planner.actions else plan(None))
        answer, session = fake(work)
        assert answer == "Done." and desk.names == ["phone Bob"] and session.outcome == "closed"
        assert session.failure is None and "LookupError" in repr(session.drafter_failure)

    def test_the_log_of_the_agent_has_nothing_of_it(self, renderer):
        session = played(renderer, Desk(), [PHONE, DONE], [PHONE])
        again = session.initial
        for event, _ in session.history:
            again, _ = core.step(again, event)
        assert list(again.transcript) == list(session.state.transcript) and session.initial.settings.verified


def test_the_drafters_row_allows_what_the_agents_does():
    row = drafter_of(settings("verified", allowed_egress=frozenset({"ask"}), max_context_tokens=99))
    assert (row.listens, row.speculates, row.verified) == (True, True, False)
    assert (row.allowed_egress, row.max_context_tokens) == (frozenset({"ask"}), 99)


# -- with weights ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    return TransformersModel.load("tiny", max_tokens=2000, dtype="float32")


class Planned:
    """A grammar that leaves no choice: the agent writes a script, a drafter its lines; tokens are still decoded."""

    def __init__(self, renderer, agent, drafted) -> None:
        self.renderer, self.agent, self.drafted = renderer, list(agent), drafted

    def begin(self, state):
        if state.settings.listens:
            rest = self.drafted[state.graph.highest:]
            return _Line(list(self.renderer.action_ids(call(*rest) if rest else "<pause>")), self.renderer.vocabulary_size)
        return _Line(list(self.renderer.action_ids(self.agent.pop(0))), self.renderer.vocabulary_size)


class _Line:
    def __init__(self, ids, size) -> None:
        self.ids, self.size = ids, size

    def allowed(self):
        mask = np.zeros(self.size, dtype=bool)
        mask[self.ids[:1] or [0]] = True
        return mask

    def push(self, token):
        assert self.ids.pop(0) == token

    def forced(self):
        return ()


def test_with_weights_a_verified_session_writes_the_ids_of_one_without_a_drafter(tiny_tokenizer, tiny):
    renderer = Renderer(copy.deepcopy(tiny_tokenizer), tags="text")
    verified: list[tuple[int, int]] = []

    class Watched:
        end_ids, max_tokens = frozenset(), 2000

        def __getattr__(self, name):
            return getattr(tiny, name)

        def verify(self, stream, ids, constraint=None):
            right = tiny.verify(stream, ids, constraint)
            verified.append((len(ids), right))
            return right

    lines = ['1. phone("Bob")', '2. phone("Alice or Carol")', '3. phone("Eve")']
    drafts = [lines[0], '2. phone("Alice or Dave")', lines[2]]

    async def work(mode, drafted):
        desk = Desk(takes_s=0.01)
        with ModelWorker(Watched(), grammar=Planned(renderer, [call(*lines), DONE], drafted)) as worker:
            async with open_session((worker, renderer), FunctionToolbox(desk.tools()), mode, system="") as session:
                await session.hear("call them")
                while drafted and len(desk.ran) < 3:
                    await asyncio.sleep(0.001)
                await session.hear("", final=True)
                assert await session.answer(30) == "Done."
                while session.state.phase is not core.Phase.IDLE:
                    await asyncio.sleep(0.001)
                held, state = list(session._context.stream.ids), session.state
        whole = renderer.ids(session.prompt_ids, state.transcript)
        assert held == whole[:len(held)] and len(whole) - len(held) <= 1
        return session, desk

    plain, _ = real(lambda: work(settings("verified", verified=False), []))
    assert not verified
    session, desk = real(lambda: work("verified", drafts))
    assert written(session) == written(plain) and starts(session) == starts(plain)
    assert desk.names == ["phone Bob", "phone Alice or Dave", "phone Eve", "phone Alice or Carol"]
    found = session.rollout().drafted
    assert (sum(asked for asked, _ in verified), sum(right for _, right in verified)) == (found.foreseen, found.right)
    assert any(asked == right for asked, right in verified) and any(right < asked for asked, right in verified) and found.used == 2
