"""The live loop: exact times in fake time, what a user says and is answered, and how a session ends."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from midsentence.clock import ns, seconds
from midsentence.core.calls import CallState, Input
from midsentence.core.events import Emit, Moved, Silence, StartTool, ToolResult, UserUpdate
from midsentence.core.modes import MODES, settings
from midsentence.models.planned import PlannedModel
from midsentence.shells.limits import Limits
from midsentence.shells.live import Session, SessionEnded
from midsentence.shells.virtual import Episode
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, tool
from tests.midsentence.shells.live_stage import (
    ANSWER,
    FAST,
    SLOW,
    SPOKEN,
    TEXT_BOB,
    call,
    commands,
    events,
    fake,
    notes,
    phone,
    planned,
    say,
    send,
)


class TestTimes:
    def test_reads_start_while_the_user_speaks_and_writes_wait(self, renderer):
        async def work():
            async with planned(renderer, TEXT_BOB, [phone, send]) as session:
                await say(session, *SPOKEN)
                assert await session.answer() == "I texted Bob."
                return session

        session = fake(work)
        started = {item.name: at_s for at_s, item in commands(session, StartTool)}
        results = {event.call: seconds(event.at_ns) for event in events(session, ToolResult)}
        assert started["phone"] < 1.7
        assert results[1] == pytest.approx(started["phone"] + 0.3, abs=2e-6)
        assert started["send"] > 2.3
        assert results[2] == pytest.approx(started["send"] + 0.5, abs=2e-6)
        assert commands(session, Emit)[0][0] == pytest.approx(results[2], abs=2e-6)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("profile", [FAST, SLOW], ids=lambda profile: profile.name)
    def test_live_is_what_simulation_says(self, renderer, mode, profile):
        """Same script, tools and updates on the virtual clock and in the live loop: same ids, same calls, same
        times."""
        many = {"sequential", "parallel", "async_tools"}
        script = [call('1. phone("Bob")'), call('2. send($1, "meeting at ten")')] if mode in many else TEXT_BOB
        then = ANSWER
        if settings(mode).verified:  # anew at every update
            script, then = (
                [],
                lambda state: (
                    call('1. phone("Bob")', '2. send($1, "meeting at ten")') if not state.graph.highest else ANSWER
                ),
            )

        async def work():
            async with planned(renderer, Scripted(script, then), [phone, send], mode, profile) as session:
                await say(session, *SPOKEN)
                await session.answer()
                return session

        session = fake(work)
        updates = [UserUpdate(ns(at_s), text, final) for at_s, text, final in SPOKEN]
        rollout = Episode(
            settings=settings(mode),
            profile=profile,
            toolbox=FunctionToolbox([phone, send]),
            updates=updates,
            renderer=renderer,
            prompt_ids=session.prompt_ids,
            planner=Scripted(script, then),
        ).run()
        assert rollout.outcome == "answered" == session.rollout().outcome
        if settings(mode).verified:
            found = session.rollout().drafted
            assert found == rollout.drafted and 0 < found.right == found.foreseen and found.attempts > 1 and found.kept

        def shown(history):
            rows = [(event.at_ns, item) for event, items in history for item in items]
            return [(at_ns, item) for at_ns, item in rows if isinstance(item, StartTool | Emit)]

        simulated, live = shown(rollout.history), shown(session.history)
        assert [item if isinstance(item, Emit) else (item.name, item.args) for _, item in live] == [
            item if isinstance(item, Emit) else (item.name, item.args) for _, item in simulated
        ]
        for (at, _), (expected, _) in zip(live, simulated):
            assert abs(at - expected) < 200_000  # fake time counts in microseconds, a rounding a token
        whole = renderer.ids(session.prompt_ids, session.state.transcript)
        assert whole == renderer.ids(session.prompt_ids, rollout.state.transcript)

    def test_the_commit_grace_is_a_timer(self, renderer):
        async def work():
            script = Scripted([call('1. send("Bob", "hi")')], "<answer>Done.</answer>")
            async with planned(renderer, script, [send], changes={"commit_grace_ns": ns(0.7)}) as session:
                await say(session, (0, "text Bob hi", True))
                await session.answer()
                return session

        session = fake(work)
        [(started, _)] = commands(session, StartTool)
        ended = min(
            at
            for at, moved in commands(session, Moved)
            if (moved.state, moved.input) == (CallState.BLOCKED, Input.HOLD)
        )
        [timer] = [event for event, _ in session.history if type(event).__name__ == "Timer"]
        assert seconds(timer.at_ns) == started > ended + 0.7

    def test_silence_is_counted_from_the_last_words_and_an_answer_needs_no_endpoint(self, renderer):
        changes = {"commit_on": "silence", "commit": "line"}

        async def work():
            script = Scripted([call('1. send("Bob", "hi")'), "<pause>", call("COMMIT")], "<answer>Done.</answer>")
            async with planned(
                renderer, script, [send], changes=changes, limits=Limits(silence_s=(0.6, 1.2))
            ) as session:
                await say(session, (0, "text Bob", False), (0.4, "hi", False))
                await session.answer()
                await session.hear("", final=True)
                await session.silent(3)
                return session

        session = fake(work)
        # counted after the last words, and no more once the endpoint has spoken; then by a detector
        counted, detected = events(session, Silence)
        assert (seconds(counted.at_ns), counted.silent_ns, detected.silent_ns) == (1.0, ns(0.6), ns(3))
        [(started, _)] = commands(session, StartTool)
        assert started > 1.0 and session.state.turn == 1 and "nothing_said" in notes(session)

    def test_a_recogniser_that_repeats_itself_ends_no_silence(self, renderer):
        changes = {"commit_on": "silence", "commit": "line"}

        async def work():
            limits = Limits(silence_s=(0.6,))
            async with planned(renderer, Scripted([], "<pause>"), [], changes=changes, limits=limits) as session:
                await say(session, (0, "text Bob", False), *((n / 5, "", False) for n in range(1, 10)))
                return session

        [silence] = events(fake(work), Silence)
        assert seconds(silence.at_ns) == 0.6

    def test_a_voice_is_hushed_when_the_user_speaks_and_tells_what_was_heard(self, renderer):
        hushed: list[int] = []

        async def work():
            script = Scripted(["<answer>It is all done now.</answer>"], "<answer>Okay.</answer>")
            async with planned(renderer, script, [], mode="parallel", hush=lambda: hushed.append(1)) as session:
                await say(session, (0, "do it", True))
                await session.answer()
                await session.speaking("begun")
                await asyncio.sleep(1)
                await session.hear("no wait")
                await asyncio.sleep(0.5)
                await session.speaking("cut", "It is")
                await session.hear("", final=True)
                await session.answer()
                with pytest.raises(ValueError, match="speaking was given 'over'; use 'begun', 'ended' or 'cut'"):
                    await session.speaking("over")
                with pytest.raises(TypeError, match="speaking was given int for heard"):
                    await session.speaking("cut", 3)
                return session

        session = fake(work)
        assert len(hushed) == 1
        told = [segment.text for segment in session.state.transcript if segment.kind == "cancel"]
        assert told == ['your answer after "It is"'] and session.state.turn == 2

    def test_where_the_endpoint_is_law_silence_is_not_counted(self, renderer):
        async def work():
            async with planned(renderer, Scripted([], "<pause>"), []) as session:
                await say(session, (0, "text Bob", False))
                await session.silent(1)
                await asyncio.sleep(5)
                return session

        assert events(fake(work), Silence) == []

    def test_zero_is_the_first_word(self, renderer):
        async def work():
            async with planned(renderer, Scripted([], "<pause>"), []) as session:
                await asyncio.sleep(50)
                session.speech_began()
                await asyncio.sleep(0.5)
                await session.hear("hello")
                await asyncio.sleep(1)
                return session

        assert events(fake(work), UserUpdate)[0].at_ns == ns(0.5)


class TestUser:
    def test_several_turns_and_a_reopened_one(self, renderer):
        script = Scripted(["<answer>One.</answer>", "<pause>", "<answer>Two.</answer>"])

        async def work():
            async with planned(renderer, script, []) as session:
                found = []
                await say(session, (0, "first", True))
                found.append(await session.answer())
                await say(session, (0, "second", False), (1, "one", True))
                found.append(await session.answer())
                return found, session

        found, session = fake(work)
        assert found == ["One.", "Two."]
        assert session.state.turn == 2

    def test_all_answers_until_the_end(self, renderer):
        async def work():
            async with planned(renderer, Scripted([], "<answer>Yes.</answer>"), []) as session:
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(_all(session))
                    for _ in range(3):
                        await say(session, (0, "and?", True))
                        await asyncio.sleep(5)
                    await session.close()
                return listening.result()

        assert fake(work) == ["Yes."] * 3


async def _all(session: Session) -> list[str]:
    return [text async for text in session.answers()]


class TestEnds:
    def test_silence_ends_it(self, renderer):
        async def work():
            async with planned(renderer, Scripted([], "<pause>"), [], limits=Limits(idle_s=30)) as session:
                await say(session, (0, "well", False))
                with pytest.raises(SessionEnded, match="idle"):
                    await session.answer(timeout_s=100)
                return session

        assert fake(work).outcome == "idle"

    def test_closing_while_all_runs(self, renderer):
        order = []

        @tool(access="read")
        async def look() -> str:
            """Looks."""
            try:
                await asyncio.sleep(1e6)
            finally:
                order.append("read cancelled")
            return ""

        @tool
        async def write() -> str:
            """Writes."""
            await asyncio.sleep(1.5)
            order.append("write finished")
            return "ok"

        @tool
        async def forever() -> str:
            """Writes, and writes."""
            try:
                await asyncio.sleep(1e6)
            finally:
                order.append("write cancelled")
            return ""

        async def work():
            script = Scripted([call("1. look()", "2. write()", "3. forever()", "COMMIT")], "<think>" + "and " * 5000)
            async with planned(renderer, script, [look, write, forever], profile=SLOW) as session:
                await say(session, (0, "go", True))
                while len(commands(session, StartTool)) < 3:
                    await asyncio.sleep(0.1)
                closing_s = asyncio.get_running_loop().time()
            return session, asyncio.get_running_loop().time() - closing_s

        session, took_s = fake(work)
        assert session.outcome == "closed" and session.rollout().outcome == "closed"
        assert order == ["read cancelled", "write finished", "write cancelled"]
        assert took_s == pytest.approx(2.0, abs=1e-3)
        assert [event.call for event in events(session, ToolResult)] == [2]

    def test_the_bodys_own_error_comes_out_as_it_is(self, renderer):
        async def work():
            async with planned(renderer, Scripted([call('1. phone("Bob")')], "<pause>"), [phone]) as session:
                await say(session, (0, "go", False))
                await asyncio.sleep(0.2)
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            fake(work)

    @pytest.mark.parametrize("after_s", [0, 0.001, 0.02, 0.2, 0.35, 1])
    def test_cancelling_the_caller_passes_through_and_ends_all(self, renderer, after_s):
        kept = []

        async def talk():
            async with planned(renderer, Scripted(TEXT_BOB, "<pause>"), [phone, send]) as session:
                kept.append(session)
                await say(session, (0, "text Bob", True))
                await session.answer()
                await asyncio.sleep(1e6)

        async def work():
            task = asyncio.get_running_loop().create_task(talk())
            await asyncio.sleep(after_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        fake(work)
        assert [session.outcome for session in kept] in ([], ["closed"])

    def test_ctrl_c_ends_the_session_and_then_the_program(self, renderer):
        kept = []

        async def work():
            async with planned(renderer, Scripted([call('1. phone("Bob")')], "<pause>"), [phone]) as session:
                kept.append(session)
                await say(session, (0, "text Bob", False))
                asyncio.get_running_loop().call_later(0.02, signal.raise_signal, signal.SIGINT)
                await asyncio.sleep(30)

        # a shell that starts the tests in the background has them ignore Ctrl-C
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                asyncio.run(work())
        finally:
            signal.signal(signal.SIGINT, before)
        assert kept[0].outcome == "closed"

    def test_a_fault_of_the_core_is_loud(self, renderer, monkeypatch):
        def broken(state, event):
            raise ZeroDivisionError("core")

        async def work():
            async with planned(renderer, Scripted([]), []) as session:
                monkeypatch.setattr("midsentence.core.reducer.step", broken)
                await session.hear("hello")
                await session.answer()

        with pytest.raises(ExceptionGroup) as raised:
            fake(work)
        assert raised.group_contains(ZeroDivisionError, match="core")

    def test_closing_twice_and_before_anything(self, renderer):
        async def work():
            async with planned(renderer, Scripted([]), []) as session:
                await session.close()
                await session.close("again")
            return session

        session = fake(work)
        assert (session.outcome, len(session.history)) == ("closed", 1)


@pytest.mark.parametrize("page", ["README.md", "docs/runtime.md"])
def test_the_example_of_a_page(page, renderer, monkeypatch, capsys):
    """The ten lines, with a script in the place of the weights."""
    from contextlib import contextmanager

    text = (Path(__file__).parents[3] / page).read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]) <= 12

    def load(name, *_, **__):
        @contextmanager
        def scripted():
            loop = asyncio.get_running_loop()
            script = Scripted([call('1. weather("Oslo")')], "<answer>It is sunny in Oslo.</answer>")
            yield PlannedModel(script, renderer, FAST, loop.call_later), renderer

        return scripted()

    monkeypatch.setattr("midsentence.load", load)
    exec(compile(code, page, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "It is sunny in Oslo.\n"
