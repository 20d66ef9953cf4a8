"""The live loop: exact times in fake time; nothing that a tool, a model or a user does hangs or breaks a session."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import copy
import gc
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import looptime
import pytest

from midsentence.clock import Profile, WallClock, ns, seconds
from midsentence.core import reducer
from midsentence.core.calls import CallState, Input, effect_key
from midsentence.core.events import (
    Append,
    Close,
    Crowded,
    Emit,
    Forget,
    ModelOutput,
    Moved,
    Note,
    Silence,
    StartTool,
    ToolError,
    ToolResult,
    UserUpdate,
    from_json,
    to_json,
)
from midsentence.core.forgetting import shown
from midsentence.core.modes import MODES, settings
from midsentence.core.reducer import Phase
from midsentence.models.live import ContextFull
from midsentence.models.planned import PlannedModel
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells.answer_parts import AnswerPart, may_be_said, sayable
from midsentence.shells.inbox import merged
from midsentence.shells.limits import Limits
from midsentence.shells.live import Session, SessionEnded
from midsentence.shells.log import LogFile, read_log, replay, rows_of, write_log
from midsentence.shells.tool_run import idempotency_key
from midsentence.shells.virtual import Episode
from midsentence.testing import Scripted
from midsentence.tools.function import Constant, FunctionToolbox, tool
from midsentence.tools.tool import ToolFailure, ToolSpec

FAST = Profile("fast", decode_tokens_per_s=1000, prefill_tokens_per_s=10_000, restart_ns=ns(0.001))
SLOW = Profile("slow", decode_tokens_per_s=50, prefill_tokens_per_s=500, restart_ns=ns(0.02))


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer) -> Renderer:
    return Renderer.prepare(copy.deepcopy(tiny_tokenizer))


@dataclass
class InOrder:
    """Plays the model: these tools one after the other, each until it is called; then it answers."""

    names: list[str]

    def plan(self, state) -> str:
        n = state.graph.highest
        return call(f"{n + 1}. {self.names[n]}()") if n < len(self.names) else "<answer>Sorry.</answer>"


def call(*lines: str) -> str:
    return "<tool_call>" + "\n".join(lines) + "\n</tool_call>"


def fake(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs in fake time, and sees to it that nothing is left: no task, no report of one that died unheard."""
    reports: list[dict] = []

    async def watched():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        result = await asyncio.wait_for(work(), 10_000)
        await asyncio.sleep(0.01)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []
        return result

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=20)) as runner:
        result = runner.run(watched())
    gc.collect(0)  # a task that failed unheard reports when it is collected
    assert reports == []
    return result


def real(work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs in real time, for what uses threads; the deadline is the test's only."""
    return asyncio.run(asyncio.wait_for(work(), 60))


def planned(renderer, script, tools, mode="speculative", profile=FAST, limits=None, changes=None, **options) -> Session:
    """A session whose model writes a script."""
    loop = asyncio.get_running_loop()
    model = PlannedModel(script if hasattr(script, "plan") else Scripted(script), renderer, profile, loop.call_later)
    box = tools if hasattr(tools, "specs") else FunctionToolbox(tools)
    clock = WallClock(lambda: ns(loop.time()))
    return Session(
        model, box, renderer, settings(mode, **(changes or {})), clock=clock, limits=limits, system="", **options
    )


async def say(session: Session, *rows: tuple[float, str, bool]) -> None:
    """The user speaks: (when, words, final), seconds from now."""
    start = asyncio.get_running_loop().time()
    session.speech_began()
    for at_s, text, final in rows:
        await asyncio.sleep(max(0, start + at_s - asyncio.get_running_loop().time()))
        await session.hear(text, final=final)


def events(session: Session, kind: type) -> list[Any]:
    return [event for event, _ in session.history if isinstance(event, kind)]


def commands(session: Session, kind: type) -> list[tuple[float, Any]]:
    return [
        (seconds(event.at_ns), item) for event, items in session.history for item in items if isinstance(item, kind)
    ]


def notes(session: Session) -> list[str]:
    return [note.what for _, note in commands(session, Note)]


@tool(access="read", latency=Constant(0.3))
async def phone(name: str) -> str:
    """Finds a number."""
    await asyncio.sleep(0.3)
    return f"+1 555 {name}"


@tool(latency=Constant(0.5))
async def send(to: str, text: str) -> str:
    """Sends a text."""
    await asyncio.sleep(0.5)
    return "sent"


TEXT_BOB = [
    call('1. phone("Bob")'),
    "<pause>",
    call('2. send($1, "meeting at ten")'),
    "<answer>I texted Bob.</answer>",
    "<pause>",
    "<pause>",
    "<answer>I texted Bob.</answer>",
]
ANSWER = "<answer>I texted Bob.</answer>"
SPOKEN = ((0.4321, "text Bob that the", False), (1.7, "meeting is at", False), (2.3, "ten", True))


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


class TestTools:
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


class TestUser:
    def test_a_fast_user_is_heard_whole_in_few_updates(self, renderer):
        words = [f"w{n}" for n in range(2000)]
        limits = Limits(inbox_events=8, backlog_segments=4)

        async def work():
            async with planned(renderer, Scripted([], "<pause>"), [], profile=SLOW, limits=limits) as session:
                for word in words:
                    await session.hear(word)
                    assert len(session._inbox) <= 8
                    assert len(session.state.inbox) <= 4 + 8
                await asyncio.sleep(600)
                return session

        session = fake(work)
        heard = events(session, UserUpdate)
        assert " ".join(update.text for update in heard).split() == words
        assert len(heard) < 40

    def test_updates_put_together(self):
        one = UserUpdate(1, "text Bob", False)
        assert merged(one, UserUpdate(2, "that I", True)) == UserUpdate(2, "text Bob that I", True)
        assert merged(one, UserUpdate(2, "Bobby", False, 1)) == UserUpdate(2, "text Bobby", False, 0)
        assert merged(one, UserUpdate(2, "mail Al", False, 3)) == UserUpdate(2, "mail Al", False, 1)
        assert merged(UserUpdate(1, "x", True, 2), UserUpdate(2, "y", False)) == UserUpdate(2, "x y", False, 2)

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


class Silent:
    """A model that takes everything in and never writes."""

    end_ids = frozenset()

    def __init__(self, loop, broken: Exception | None = None, deaf: bool = False) -> None:
        self.loop, self.broken, self.deaf, self.closed = loop, broken, deaf, 0

    def open(self, prompt_ids, seed=0):
        return _done(self)

    def append(self, ids):
        from concurrent.futures import Future

        return Future() if self.deaf else _done(None)

    def write(self, header, state, on_token):
        if self.broken is not None:
            on_token(self.broken)

    def took(self): ...

    def stop(self, keep): ...

    def close(self):
        self.closed += 1


def _done(value):
    from concurrent.futures import Future

    future = Future()
    future.set_result(value)
    return future


class TestEnds:
    @pytest.mark.parametrize(
        ("model", "outcome", "after_s"),
        [
            ({}, "model_timeout", 60),
            ({"deaf": True}, "model_timeout", 60),
            ({"broken": ValueError("cuda")}, "model_failed", 0),
            ({"broken": ContextFull("8193")}, "context_overflow", 0),
        ],
    )
    def test_a_model_that_hangs_or_breaks_ends_the_session(self, renderer, model, outcome, after_s):
        async def work():
            loop = asyncio.get_running_loop()
            silent = Silent(loop, **model)
            box, clock = FunctionToolbox([]), WallClock(lambda: ns(loop.time()))
            async with Session(silent, box, renderer, settings("speculative"), clock=clock, system="") as session:
                await say(session, (0, "hello", False))
                with pytest.raises(SessionEnded, match=outcome) as ended:
                    await session.answer()
                with pytest.raises(SessionEnded, match="open a new one"):
                    await session.hear("anybody?")
            return session, silent, ended.value

        session, silent, ended = fake(work)
        assert session.outcome == outcome and silent.closed == 1
        assert ended.__cause__ is session.failure is not None
        assert (
            seconds(next(event.at_ns for event, _ in session.history if isinstance(event, Close | Crowded))) == after_s
        )

    def test_a_failure_after_the_end_of_an_action_is_none(self, renderer):
        class Hasty(Silent):
            """Writes a whole action at once, and then something goes wrong."""

            def write(self, header, state, on_token):
                for token in renderer.action_ids("<answer>Yes.</answer>"):
                    on_token(token)
                on_token(ValueError("nothing may follow"))

        async def work():
            loop = asyncio.get_running_loop()
            box, clock = FunctionToolbox([]), WallClock(lambda: ns(loop.time()))
            async with Session(Hasty(loop), box, renderer, settings("speculative"), clock=clock, system="") as session:
                for _ in range(2):
                    await say(session, (0, "well", True))
                    assert await session.answer() == "Yes."
                    await asyncio.sleep(1)
            return session

        session = fake(work)
        assert (session.outcome, session.failure) == ("closed", None)

    def test_a_script_that_runs_out_is_heard_of(self, renderer):
        async def work():
            async with planned(renderer, Scripted([]), []) as session:
                await say(session, (0, "hello", False))
                with pytest.raises(SessionEnded) as ended:
                    await session.answer()
                raise ended.value.__cause__

        with pytest.raises(AssertionError, match="the script has 0 actions"):
            fake(work)

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


async def parts_of(session: Session) -> list[tuple[float, AnswerPart]]:
    now = asyncio.get_running_loop().time
    start = now()
    return [(round(now() - start, 3), part) async for part in session.answer_parts()]


class TestAnswerParts:
    def run(self, renderer, actions, *rows, tools=(), profile=SLOW, close_s=3.0, changes=None):
        async def work():
            script = Scripted(actions, "<answer>Ok.</answer>")
            async with planned(renderer, script, tools, profile=profile, changes=changes) as session:
                reader = asyncio.create_task(parts_of(session))
                await say(session, *rows)
                await asyncio.sleep(close_s)
            return session, await reader

        return fake(work)

    def test_an_answer_goes_out_while_it_is_written(self, renderer):
        session, told = self.run(renderer, ["<answer> Sunny & mild, 3 < 4. </answer>"], (0, "how is it", True))
        [(emitted_s, emit)] = commands(session, Emit)
        assert "".join(part.text for _, part in told) == emit.text == "Sunny & mild, 3 < 4."
        assert [part.last for _, part in told] == [False] * (len(told) - 1) + [True]
        assert len(told) > 5 and told[0][0] < emitted_s - 0.1 and told[-1][0] == pytest.approx(emitted_s, abs=0.002)

    def test_what_waits_for_a_write_goes_out_whole_when_the_write_is_done(self, renderer):
        @tool(latency=Constant(0.5))
        async def send(text: str) -> str:
            """Sends."""
            await asyncio.sleep(0.5)
            return "sent"

        session, told = self.run(
            renderer, [call('1. send("hi")'), "<answer>Sent it.</answer>"], (0, "send hi", True), tools=[send]
        )
        done_s = seconds(next(event.at_ns for event in events(session, ToolResult)))
        assert [part for _, part in told] == [AnswerPart("Sent it.", last=True)]
        assert told[0][0] >= done_s - 0.002

    def test_what_the_user_speaks_into_is_taken_back(self, renderer):
        answers = ["<answer>It is a very long story indeed.</answer>", "<answer>Sorry.</answer>"]
        _session, told = self.run(
            renderer, answers, (0, "tell me", True), (0.2, "no wait", True), changes={"interrupt": "token"}
        )
        at = [part.withdrawn for _, part in told].index(True)
        assert at > 1 and "It is a very".startswith("".join(part.text for _, part in told[:at])[:4])
        assert not any(part.last for _, part in told[: at + 1])
        assert "".join(part.text for _, part in told[at + 1 :]) == "Sorry." and told[-1][1].last

    def test_what_is_refused_is_taken_back(self, renderer):
        _session, told = self.run(renderer, ["<answer>It is <pause>", "<answer>Fine.</answer>"], (0, "how is it", True))
        at = [part.withdrawn for _, part in told].index(True)
        assert (
            "".join(part.text for _, part in told[:at]) == "It is"
            and "".join(part.text for _, part in told[at:]) == "Fine."
        )

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("  a b ", "a b"),
            ("a </ans", "a"),
            ("a <b", "a <b"),
            ("a < b <", "a < b"),
            ("<", ""),
            ("a </answer_interr", "a"),
            ("", ""),
        ],
    )
    def test_what_may_open_a_tag_waits(self, written, said):
        assert sayable(written) == said

    def test_a_predicted_end_lets_nothing_out(self):
        state = reducer.start(settings("speculative"), {})
        assert not may_be_said(state) and may_be_said(replace(state, saw_final=True))
        assert not may_be_said(replace(state, saw_final=True, predicted=True))


class TestLog:
    def test_a_log_that_is_written_as_things_happen_is_the_same(self, renderer, tmp_path):
        async def work():
            log: list[LogFile] = []
            watch = lambda event, commands: log[0].add(event, commands)  # noqa: E731
            session = planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send], watch=watch)
            log.append(LogFile(tmp_path / "live.jsonl", session.initial))
            async with session:
                await say(session, *SPOKEN)
                await session.answer()
                _, early = read_log(tmp_path / "live.jsonl")  # the file is open, and nobody closed it
                assert [event for event, _ in early] == [event for event, _ in session.history]
            log[0].close()
            return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        assert (tmp_path / "live.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()
        whole = (tmp_path / "log.jsonl").read_bytes()
        header, history = read_log(tmp_path / "log.jsonl")
        assert "torn" not in header
        for left in (1, 2, 40):  # the process died in the middle of a row
            (tmp_path / "torn.jsonl").write_bytes(whole[: len(whole) - left])
            header, read = read_log(tmp_path / "torn.jsonl")
            assert (read, header.get("torn", False)) == ((history, False) if left == 1 else (history[:-1], True))
        (tmp_path / "torn.jsonl").write_bytes(whole.replace(b'"type": "UserUpdate"', b'"type": UserUpdate', 1))
        with pytest.raises(ValueError, match=r"torn.jsonl has a row that is no JSON"):
            read_log(tmp_path / "torn.jsonl")

    def test_where_tools_have_secrets_nothing_is_written_before_they_are_known(self, renderer, tmp_path):
        session = self.secret_session(
            renderer, [call('1. login("ann", "marmalade")')], [(0, "log ann in with marmalade", True)]
        )
        with LogFile(tmp_path / "live.jsonl", session.initial) as log:
            for event, asked in session.history:
                log.add(event, asked)
            assert len((tmp_path / "live.jsonl").read_text().splitlines()) == 1
        assert (tmp_path / "live.jsonl").read_text() == self.written(session, tmp_path / "log.jsonl")
        assert "marmalade" not in (tmp_path / "live.jsonl").read_text()

    def test_a_recorded_log_replays_byte_for_byte(self, renderer, tmp_path):
        async def work():
            async with planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send]) as session:
                await say(session, *SPOKEN)
                await session.answer()
                return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        header, history = read_log(tmp_path / "log.jsonl")
        assert header["session"] == session.initial.session and not header["redacted"]
        again = replay(session.initial, [event for event, _ in history])
        assert list(again.transcript) == list(session.state.transcript)
        assert renderer.ids(session.prompt_ids, again.transcript) == renderer.ids(
            session.prompt_ids, session.state.transcript
        )
        assert again.graph.calls == session.state.graph.calls
        with pytest.raises(ValueError, match="no session log of schema 1"):
            (tmp_path / "odd.jsonl").write_text("{}\n")
            read_log(tmp_path / "odd.jsonl")

    def test_a_log_is_read_back_whatever_ends_a_line_elsewhere(self, renderer, tmp_path):
        odd = "a\u2028b\u2029c\x85d\x1ce"

        @tool(access="read", latency=Constant(0.1))
        async def look() -> str:
            """Looks."""
            return odd

        async def work():
            async with planned(renderer, Scripted([call("1. look()")], f"<answer>{odd}</answer>"), [look]) as session:
                await say(session, (0, f"show{odd}", True))
                await session.answer()
                return session

        session = fake(work)
        write_log(tmp_path / "log.jsonl", session.initial, session.history)
        _, history = read_log(tmp_path / "log.jsonl")
        assert [event for event, _ in history] == [event for event, _ in session.history]
        assert any(isinstance(event, ToolResult) and event.value == odd for event, _ in history)

    SECRET = 'hun"ter<2> é'

    def secret_session(
        self, renderer, lines: Sequence[str], spoken: Sequence[tuple[float, str, bool]], changes=None
    ) -> Session:
        @tool(access="read", secret=("password", "pin"), latency=Constant(0.1))
        async def login(user: str, password: str, pin: int = 0) -> str:
            """Logs in."""
            await asyncio.sleep(0.1)
            return f"welcome {user} with {password} and {pin}"

        async def work():
            script = Scripted(lines, "<answer>In.</answer>")
            async with planned(
                renderer, script, [login], changes={"max_errors_in_row": 9} | (changes or {})
            ) as session:
                await say(session, *spoken)
                await session.answer()
                return session

        return fake(work)

    def written(self, session: Session, path: Path, redact: bool = True) -> str:
        write_log(path, session.initial, session.history, redact=redact)
        return path.read_text()

    def test_what_a_tool_marks_secret_is_nowhere_in_the_log(self, renderer, tmp_path):
        line = '1. login("ann", "hun\\"ter<2> é", 4711)'
        session = self.secret_session(
            renderer, [call(line)], [(0, 'log ann in with hun"ter<2>', False), (0.001, "é and 4711", True)]
        )
        plain = self.written(session, tmp_path / "plain.jsonl", redact=False)
        log = self.written(session, tmp_path / "log.jsonl")
        for part in ("ter<2>", "4711", "ter&lt;2", "\\u00e9"):
            assert part not in log
        assert "ter<2>" in plain and "4711" in plain
        _, history = read_log(tmp_path / "log.jsonl")
        assert [type(event) for event, _ in history] == [type(event) for event, _ in session.history]
        text = "".join(event.text for event, _ in history if isinstance(event, ModelOutput))
        assert '1. login("ann", "[secret]", [secret])' in text
        ids = [index for event, _ in history if isinstance(event, ModelOutput) for index in event.ids]
        assert len(ids) == len([index for event in events(session, ModelOutput) for index in event.ids])
        spelt = renderer.text(ids)
        assert "4711" not in spelt and "ter" not in spelt
        [start] = [item for _, items in history for item in items if isinstance(item, StartTool)]
        assert start.args == {"user": "ann", "password": "[secret]", "pin": "[secret]"}
        # four figures are guessed from a digest in no time
        assert start.key == f"{session.initial.session}:1:[secret]"
        [result] = [event for event, _ in history if isinstance(event, ToolResult)]
        assert result.value == "welcome ann with [secret] and [secret]"

    @pytest.mark.parametrize(
        "line",
        [
            "1. login(ann, marmalade)",
            '1. login("ann", marmalade',
            '1. login("ann", "marmalade", "x", "y")',
            '1. login("ann", ["marmalade"])',
            '7. login("ann", "marmalade")',
            '1. login("ann\u2028", "marmalade", "x", "y")',
            '1. login("ann", "marmalade", pin="marmalade")',
        ],
    )
    def test_a_line_that_never_became_a_call_keeps_its_secret_too(self, renderer, tmp_path, line):
        session = self.secret_session(renderer, [call(line)], [(0, "log ann in", True)])
        assert "marmalade" in "".join(event.text for event in events(session, ModelOutput))
        log = self.written(session, tmp_path / "log.jsonl")
        _, history = read_log(tmp_path / "log.jsonl")
        ids = [index for event, _ in history if isinstance(event, ModelOutput) for index in event.ids]
        for text in (log, renderer.text(ids)):
            assert [text[max(0, text.index(part) - 60) :][:120] for part in ("marm", "lade") if part in text] == []

    def test_a_cut_line_and_a_revised_one(self, renderer, tmp_path):
        session = self.secret_session(
            renderer,
            [call('1. login("ann", "marmalade")', '2. login("bob", "marmalade")'), call('1. login("ann", "trombone")')],
            [(0, "log ann in", False), (0.0365, "now", True)],
            {"interrupt": "token"},
        )
        assert [(note, "marm" in text, "2. login" in text) for note, text in self.cuts(session)] == [
            ("cut", True, True)
        ]
        log = self.written(session, tmp_path / "log.jsonl")
        assert "marm" not in log and "trombone" not in log

    @pytest.mark.parametrize(
        "lines",
        [
            ['1. login("ann", "x1")', '1. password = "marmalade"'],
            ['1. login("ann", "begin")', '1. password += "marmalade"'],
            ['1. login("ann", "x1")', "1. password = marmalade"],
            ['7. password = "marmalade"'],
            ['1. login("ann", "x1")', '1. password = "marm'],
        ],
    )
    def test_an_amended_secret_is_one(self, renderer, tmp_path, lines):
        session = self.secret_session(renderer, [call(*lines)], [(0, "log ann in", True)], {"revise": "amend"})
        log = self.written(session, tmp_path / "log.jsonl")
        assert (
            "marm" in "".join(event.text for event in events(session, ModelOutput))
            and "marm" not in log
            and "lade" not in log
        )

    def test_a_result_that_becomes_a_secret_is_one_from_the_start(self, renderer, tmp_path):
        @tool(access="read", latency=Constant(0.1))
        async def code() -> str:
            """Gives a code."""
            return "98761"

        @tool(access="read", secret=("code",), latency=Constant(0.1))
        async def enter(code: str) -> str:
            """Enters."""
            return "open"

        async def work():
            script = Scripted([call("1. code()", '2. enter("no. " + $1)')], "<answer>Open.</answer>")
            async with planned(
                renderer, script, [code, enter], "sequential", changes={"calls_per_action": None}
            ) as session:
                await say(session, (0, "open it", True))
                await session.answer()
                return session

        session = fake(work)
        assert events(session, ToolResult)[0].value == "98761"
        assert "98761" in self.written(session, tmp_path / "plain.jsonl", redact=False)
        assert "98761" not in self.written(session, tmp_path / "log.jsonl")

    def cuts(self, session: Session) -> list[tuple[str, str]]:
        """What the model had written at each cut."""
        text, found = "", []
        for event, items in session.history:
            text += event.text if isinstance(event, ModelOutput) else ""
            found += [(item.what, text) for item in items if isinstance(item, Note) and item.what == "cut"]
        return found

    def test_nothing_secret_changes_nothing(self, renderer):
        async def work():
            async with planned(renderer, Scripted(TEXT_BOB, "<answer>Ok.</answer>"), [phone, send]) as session:
                await say(session, *SPOKEN)
                await session.answer()
                return session

        session = fake(work)
        rows = rows_of(session.history, session.initial.tools)
        assert rows == [
            {"event": to_json(event), "commands": [to_json(item) for item in items]} for event, items in session.history
        ]
        assert all(from_json(row["event"]) == event for row, (event, _) in zip(rows, session.history))


class Chaos:
    """A planner and tools that a seeded generator leads: any action, delay, failure and disobedience."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"runtime:{seed}")
        self.running: dict[tuple[str, str], int] = {}
        self.effects: list[str] = []

    def plan(self, state) -> str:
        rng = self.rng
        top = state.graph.highest
        lines = []
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            id = top + len(lines) + 1 if kind < 0.7 else rng.randint(1, top + 2)
            arg = f"${rng.randint(1, top)}" if top and rng.random() < 0.4 else f'"a{rng.randint(0, 5)}"'
            name = "nothing" if rng.random() < 0.03 else rng.choice(["read", "egress", "write"])
            lines.append(f"REMOVE {id}" if kind > 0.92 else f"{id}. {name}({arg})")
        return rng.choices(
            [
                call(*lines),
                "<pause>",
                "<answer>Ok.</answer>",
                "<think>" + "so " * rng.randint(1, 30) + "</think>" + call(*lines),
                "<tool_call>nonsense",
                "<think>never closed",
            ],
            [6, 2, 3, 4, 0.3, 0.2],
        )[0]

    def tools(self):
        rng = self.rng

        async def run(text: str) -> str:
            for _ in range(rng.choice([0, 1, 1, 2, 5])):
                try:
                    await asyncio.sleep(rng.choice([0, 0.01, 0.3, 2, 8]))
                except BaseException:
                    if rng.random() < 0.5:
                        raise
            if rng.random() < 0.25:
                raise rng.choice(
                    [ToolFailure("no"), ValueError("x"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()]
                )
            return f"got {text}"

        async def read(text: str) -> str:
            """Reads."""
            return await run(text)

        async def egress(text: str) -> str:
            """Asks."""
            return await run(text)

        async def write(text: str) -> str:
            """Writes."""
            self.effects.append(idempotency_key.get())
            return await run(text)

        timeout_s = rng.choice([0.2, 1, 5])
        return [tool(access=fn.__name__, timeout_s=timeout_s)(fn) for fn in (read, egress, write)]


class TestChaos:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("seed", range(40))
    def test_nothing_hangs_and_nothing_is_left(self, renderer, seed):
        chaos = Chaos(seed)
        rng = chaos.rng
        rate, mode = rng.choice([20, 100, 1000]), rng.choice(list(MODES))
        profile = Profile("any", rate, rate * 10, rng.choice([0, ns(0.05)]))
        changes = {
            "interrupt": rng.choice(["token", "line", "action"]),
            "commit": rng.choice(["action", "paper"]),
            "revise_cascade": rng.choice(["rerun", "cancel"]),
            "commit_grace_ns": rng.choice([0, ns(0.4)]),
            "allowed_egress": frozenset(["egress"]) if rng.random() < 0.5 else frozenset(),
        }
        limits = Limits(inbox_events=rng.choice([1, 2, 64]), backlog_segments=rng.choice([1, 16]), idle_s=40)

        async def work():
            async with planned(renderer, chaos, chaos.tools(), mode, profile, limits, changes) as session:
                try:
                    for n in range(rng.randint(1, 6)):
                        await asyncio.sleep(rng.choice([0, 0.05, 0.5, 3]))
                        await session.hear(f"word{n}", final=rng.random() < 0.4, retracts=rng.choice([0, 0, 1]))
                    await session.hear("end", final=True)
                    if rng.random() < 0.7:
                        await session.answer(rng.choice([0.5, 20, 100]))
                except (SessionEnded, TimeoutError):
                    pass
            return session

        session = fake(work)
        assert session.outcome in ("closed", "invalid_actions", "out_of_budget", "context_overflow", "idle")
        again = replay(session.initial, [event for event, _ in session.history])
        assert list(again.transcript) == list(session.state.transcript)
        assert len(chaos.effects) == len(set(chaos.effects)), "a write ran twice under one key"
        times = [event.at_ns for event, _ in session.history]
        assert times[0] >= 0 and times == sorted(times)


@pytest.fixture(scope="module")
def tiny():
    from midsentence.models.transformers import TransformersModel

    return TransformersModel.load("tiny", max_tokens=400)


@dataclass(eq=False)
class _Marked:
    inner: Any
    seed: Any

    @property
    def length(self) -> int:
        return self.inner.length


class TestWorker:
    """A real backend, in its thread."""

    @pytest.fixture
    def renderer(self, tiny_tokenizer) -> Renderer:
        return Renderer(copy.deepcopy(tiny_tokenizer), tags="text")  # the weights have no rows for more

    def forced(self, renderer, plans):
        """A grammar that leaves no choice: the random model writes what the script says."""

        class Forced:
            def begin(self, state):
                return Line(list(renderer.action_ids(plans(state))))

        class Line:
            def __init__(self, ids):
                self.ids = ids

            def allowed(self):
                import numpy as np

                mask = np.zeros(renderer.vocabulary_size, dtype=bool)
                mask[self.ids[:1] or [0]] = True
                return mask

            def push(self, token):
                assert self.ids.pop(0) == token

            def forced(self):
                return ()

        return Forced()

    def test_many_sessions_on_one_worker(self, renderer, tiny):
        sizes = []

        class Counting:
            end_ids, max_tokens = frozenset(), tiny.max_tokens

            def __getattr__(self, name):
                return getattr(tiny, name)

            def decode(self, streams, masks=None):
                sizes.append(len(streams))
                return tiny.decode(streams, masks)

        def plans(state):
            if not state.graph.calls:
                return call(f'1. phone("{state.session}")')
            return f"<answer>{state.session} has it.</answer>"

        @tool(access="read")
        def phone(name: str) -> str:
            """Finds a number."""
            return f"+1 {name}"

        async def one(worker, name):
            box = FunctionToolbox([phone])
            async with Session(worker, box, renderer, settings("speculative"), name=name, system="") as session:
                await session.hear("call")
                await session.hear("them", final=True)
                return await session.answer(30), session

        async def work():
            with ModelWorker(Counting(), grammar=self.forced(renderer, plans)) as worker:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(worker, f"s{n}")) for n in range(6)]
                return [task.result() for task in tasks], worker

        found, worker = real(work)
        assert [text for text, _ in found] == [f"s{n} has it." for n in range(6)]
        assert all(
            event.value == f"+1 {session.state.session}"
            for _, session in found
            for event in events(session, ToolResult)
        )
        assert max(sizes) > 1, "sessions never shared a step"
        assert not worker.alive

    def test_the_context_is_the_transcript(self, renderer, tiny):
        """After cuts and crops the model's context holds exactly the ids that the renderer gives for the transcript."""
        kept = []

        class Keeping:
            end_ids, max_tokens = frozenset(), 400

            def __getattr__(self, name):
                return getattr(tiny, name)

            def close(self, stream):
                kept.append(list(stream.ids))
                tiny.close(stream)

        def plans(state):
            return (
                "<think>" + "the user speaks on " * 20 + "</think><pause>"
                if not state.final_heard
                else "<answer>Ok.</answer>"
            )

        async def work():
            with ModelWorker(Keeping(), grammar=self.forced(renderer, plans)) as worker:
                box = FunctionToolbox([])
                async with Session(worker, box, renderer, settings("speculative"), system="") as session:
                    for n in range(5):
                        await session.hear(f"word {n}")
                        while not any(event.generation > n for event in events(session, ModelOutput)):
                            await asyncio.sleep(0.001)
                    await session.hear("end", final=True)
                    await session.answer(30)
                return session

        session = real(work)
        assert kept == [renderer.ids(session.prompt_ids, session.state.transcript)]

    def test_the_protocols_grammar_keeps_a_random_model_in_line(self, renderer, tiny):
        from midsentence.grammar.constraint import ProtocolGrammar

        async def work():
            grammar = ProtocolGrammar(renderer, max_thought_chars=12, max_answer_chars=12)
            with ModelWorker(tiny, grammar=grammar) as worker:
                row = settings("speculative", max_generated_tokens=80)
                async with Session(worker, FunctionToolbox([]), renderer, row, system="") as session:
                    await session.hear("well", final=True)
                    with suppress(SessionEnded):
                        await session.answer(30)
                    return session

        session = real(work)
        assert session.state.answered or session.outcome == "out_of_budget"
        assert "invalid_action" not in notes(session)

    def test_a_full_context_ends_one_session_and_no_other(self, renderer, tiny):
        async def work():
            with ModelWorker(tiny, grammar=self.forced(renderer, lambda state: "<answer>Fine.</answer>")) as worker:
                box, row = FunctionToolbox([]), settings("speculative")
                async with (
                    Session(worker, box, renderer, row, system="") as one,
                    Session(worker, box, renderer, row, system="") as two,
                ):
                    await one.hear("word " * 600, final=True)
                    await two.hear("word", final=True)
                    with pytest.raises(SessionEnded, match="context_overflow"):
                        await one.answer(30)
                    return await two.answer(30)

        assert real(work) == "Fine."

    def test_a_full_context_lets_the_oldest_turns_go(self, renderer, tiny):
        """What the model's engine holds is made anew, from the prompt on, and is then what the transcript leaves to be
        shown."""

        async def work():
            with ModelWorker(
                tiny, grammar=self.forced(renderer, lambda state: f"<answer>Fine, {state.turn}.</answer>")
            ) as worker:
                async with Session(
                    worker, FunctionToolbox([]), renderer, settings("speculative"), system=""
                ) as session:
                    answers, held = [], []
                    for n in range(12):
                        await session.hear(f"number {n} " + "word " * 60, final=True)
                        answers.append(await session.answer(30))
                        while session.state.phase is not Phase.IDLE:
                            await asyncio.sleep(0.01)
                        state, ids = session.state, list(session._writer.context.stream.ids)
                        whole = renderer.ids(session.prompt_ids, shown(state.transcript, state.turned, state.shown))
                        held.append((ids, whole[: len(ids)], len(whole) - len(ids)))
                return session, answers, held

        session, answers, held = real(work)
        assert (
            answers == [f"Fine, {n + 1}." for n in range(12)]
            and session.outcome == "closed"
            and session.failure is None
        )
        assert commands(session, Forget) and session.state.shown.turns > 0
        assert session.state.context_tokens <= session.state.settings.max_context_tokens <= tiny.max_tokens
        assert all(ids == whole and missing <= 1 for ids, whole, missing in held), (
            "the engine's context is not what is shown"
        )

    def test_a_step_that_fails_takes_down_only_whose_it_is(self, renderer, tiny):
        class Poisoned:
            end_ids = frozenset()

            def __getattr__(self, name):
                return getattr(tiny, name)

            def open(self, prompt_ids, seed=0):
                stream = tiny.open(prompt_ids, seed)
                return _Marked(stream, seed) if seed else stream

            def append(self, batch):
                tiny.append([(getattr(stream, "inner", stream), ids) for stream, ids in batch])

            def decode(self, streams, masks=None):
                if any(isinstance(stream, _Marked) for stream in streams):
                    raise RuntimeError("out of memory")
                return tiny.decode(streams, masks)

            def crop(self, stream, length):
                tiny.crop(getattr(stream, "inner", stream), length)

            def close(self, stream):
                tiny.close(getattr(stream, "inner", stream))

        async def work():
            with ModelWorker(
                Poisoned(), grammar=self.forced(renderer, lambda state: "<answer>Fine.</answer>")
            ) as worker:
                box, row = FunctionToolbox([]), settings("speculative")
                async with (
                    Session(worker, box, renderer, row, system="", seed=1) as bad,
                    Session(worker, box, renderer, row, system="") as good,
                ):
                    await bad.hear("word", final=True)
                    await good.hear("word", final=True)
                    with pytest.raises(SessionEnded, match="model_failed") as ended:
                        await bad.answer(30)
                    return await good.answer(30), ended.value.__cause__

        text, cause = real(work)
        assert (text, str(cause)) == ("Fine.", "out of memory")

    def test_a_worker_that_breaks_tells_everybody(self, renderer, tiny):
        def broken():
            raise MemoryError("crop")

        async def work():
            worker = ModelWorker(tiny, grammar=self.forced(renderer, lambda state: "<answer>Fine.</answer>"))
            box, row = FunctionToolbox([]), settings("speculative")
            async with (
                Session(worker, box, renderer, row, system="") as one,
                Session(worker, box, renderer, row, system="") as two,
            ):
                worker.desk.ask(broken)
                for session in (one, two):
                    with suppress(SessionEnded):
                        await session.hear("c", final=True)
                    with pytest.raises(SessionEnded, match="model_failed") as ended:
                        await session.answer(30)
                    assert str(ended.value.__cause__) == "the model's worker broke: MemoryError: crop"
            worker.close()
            return worker

        assert not real(work).alive

    def test_a_closed_worker_says_so_and_leaves_nobody_waiting(self, renderer, tiny):
        async def work():
            worker = ModelWorker(tiny)
            box, row = FunctionToolbox([]), settings("speculative")
            async with Session(worker, box, renderer, row, system="") as session:
                worker.close()
                await session.hear("word")
                with pytest.raises(SessionEnded, match="model_failed"):
                    await session.answer(30)
            with pytest.raises(RuntimeError, match="worker is closed; open sessions while it runs"):
                async with Session(worker, box, renderer, row, system=""):
                    pass
            return worker

        assert not real(work).alive

    def test_an_untrained_model_that_babbles_ends_as_data(self, renderer, tiny):
        async def work():
            with ModelWorker(tiny) as worker:
                row = settings("speculative", max_generated_tokens=60)
                async with Session(worker, FunctionToolbox([phone]), renderer, row) as session:
                    await session.hear("call Bob", final=True)
                    with pytest.raises(SessionEnded):
                        await session.answer(30)
                    return session

        assert real(work).outcome in ("invalid_actions", "out_of_budget", "context_overflow")


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
