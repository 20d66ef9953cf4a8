"""What users, tools and backends get wrong ends the one call or the one session that it concerns, clearly, and no
other."""
# ruff: noqa: TID251  (waits in fake and in real time)

from __future__ import annotations

import asyncio
import copy
import json
import threading
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest

from midsentence.clock import Profile, ns
from midsentence.core import reducer
from midsentence.core.events import Append, Appended, ModelOutput, Silence, StartTool, ToolError, ToolResult, UserUpdate
from midsentence.core.modes import settings
from midsentence.core.transcript import shortened
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells import log
from midsentence.shells.limits import Limits
from midsentence.shells.live import Session, SessionEnded
from midsentence.testing import Scripted
from midsentence.tools import bulk
from midsentence.tools.function import FunctionToolbox, tool
from midsentence.tools.hints import as_json
from midsentence.tools.tool import ToolFailure, ToolSpec, described
from tests.midsentence.shells.live_stage import call, commands, events, fake, planned, real, say


class Mute(ToolFailure):
    """Its text raises, and not an Exception even."""

    def __str__(self) -> str:
        raise SystemExit(3)


class TestUser:
    @pytest.mark.parametrize(
        ("given", "error", "text"),
        [
            ({"text": None}, TypeError, "hear was given NoneType for text"),
            ({"text": b"go"}, TypeError, "hear was given bytes for text"),
            ({"text": "go", "retracts": -1}, ValueError, "hear was given retracts=-1"),
            ({"text": "go", "retracts": None}, ValueError, "hear was given retracts=None"),
            ({"text": "go", "retracts": 10**5000}, ValueError, "a retracts of more than 1000000"),
            ({"text": "go", "final": "no"}, TypeError, "hear was given final='no'"),
            ({"text": "go", "final": None}, TypeError, "hear was given final=None"),
            ({"text": "go " * 2_000_000}, ValueError, "6000000 characters, and an update holds 100000"),
        ],
        ids=["none", "bytes", "negative", "no_count", "endless", "final_text", "final_none", "huge"],
    )
    def test_what_is_no_update_is_refused_and_the_session_goes_on(self, renderer, given, error, text):
        async def work():
            async with planned(renderer, Scripted([], "<answer>Fine.</answer>"), []) as session:
                with pytest.raises(error, match=text):
                    await session.hear(**given)
                assert session.history == []
                await session.hear("go", final=True)
                assert await session.answer() == "Fine."
                return session

        assert [event.text for event in events(fake(work), UserUpdate)] == ["go"]

    @pytest.mark.parametrize("given", [float("nan"), float("inf"), -1, 10**400, "long", None])
    def test_what_is_no_length_of_time_is_no_silence(self, renderer, given):
        async def work():
            async with planned(
                renderer, Scripted([], "<answer>Fine.</answer>"), [], changes={"commit_on": "silence"}
            ) as session:
                await session.hear("go")
                with pytest.raises(ValueError, match="silent was given no number of seconds from 0 to 86400"):
                    await session.silent(given)
                await session.hear("", final=True)
                assert await session.answer() == "Fine."
                return session

        assert events(fake(work), Silence) == []

    @pytest.mark.parametrize("changes", [{"commit_grace_ns": ns(3)}, {}], ids=["grace", "conflict"])
    def test_words_that_the_model_can_not_take_yet_hold_back_what_it_committed(self, renderer, changes):
        """It writes a long answer, and results wait for it: the user's "do not" was put aside behind them, and the
        write ran."""
        slow = Profile("slow", decode_tokens_per_s=50, prefill_tokens_per_s=500, restart_ns=ns(0.02))
        began: list[float] = []

        @tool(access="read", timeout_s=20)
        async def look(seconds: float) -> str:
            """Looks."""
            await asyncio.sleep(seconds)
            return "there"

        @tool(access="write", writes=("box",), timeout_s=20)
        async def fill(seconds: float) -> str:
            """Fills."""
            began.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)
            return "full"

        async def work():
            first = call("1. look(1.5)", "2. look(2)", "3. fill(4)", "4. fill(5)")
            script = Scripted([first, f"<answer>{'so it is ' * 120}</answer>"], "<pause>")
            limits = Limits(backlog_segments=1)
            async with planned(renderer, script, [look, fill], profile=slow, limits=limits, changes=changes) as session:
                start = asyncio.get_running_loop().time()
                await session.hear("fill it", final=True)
                while len(events(session, ToolResult)) < 2:
                    await asyncio.sleep(0.01)
                spoke = asyncio.get_running_loop().time() - start
                await session.hear("do not")
                await asyncio.sleep(20)
                return session, [at - start for at in began], spoke

        session, starts, spoke = fake(work)
        assert [at for at in starts if at > spoke] == []
        assert [event.text for event in events(session, UserUpdate)] == ["fill it", "do not"]


class TestTools:
    @pytest.mark.parametrize("form", ["async", "thread"])
    def test_an_exception_whose_text_ends_the_process(self, renderer, form):
        async def later() -> str:
            """Says no without words."""
            raise Mute

        def now() -> str:
            """Says no without words."""
            raise Mute

        broken = tool(access="read", timeout_s=20)(later if form == "async" else now)

        async def work():
            async with planned(
                renderer, Scripted([call(f"1. {broken.spec.name}()")], "<answer>Sorry.</answer>"), [broken]
            ) as session:
                await say(session, (0, "go", True))
                assert await session.answer(30) == "Sorry."
                return session

        [failed] = events((fake if form == "async" else real)(work), ToolError)
        assert (failed.kind, failed.message) == ("failed", "(no text)")

    def test_a_write_that_breaks_without_a_text_is_in_the_toolboxs_log(self):
        class Bare(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        @tool
        def send() -> str:
            """Sends."""
            raise Bare

        box = FunctionToolbox([send])
        with pytest.raises(Bare):
            box.run("send", {})
        assert [effect.error for effect in box.effects] == ["Bare: (no text)"]

    @pytest.mark.parametrize("form", ["async", "thread"])
    def test_a_number_that_python_wont_write_is_that_calls_error(self, renderer, tmp_path, form):
        async def later() -> int:
            """Counts far."""
            return 10**5000

        def now() -> int:
            """Counts far."""
            return 10**5000

        far = tool(access="read", timeout_s=20)(later if form == "async" else now)

        async def work():
            async with planned(
                renderer, Scripted([call(f"1. {far.spec.name}()")], "<answer>Sorry.</answer>"), [far]
            ) as session:
                await say(session, (0, "go", True))
                assert await session.answer(30) == "Sorry."
                return session

        session = (fake if form == "async" else real)(work)
        [failed] = events(session, ToolError)
        assert (
            failed.kind == "crashed" and "about 5,000 digits, which JSON can't carry; give it as text" in failed.message
        )
        assert self.replayed(session, tmp_path) == session.state.transcript

    @pytest.mark.parametrize(
        "value", [10**5000, {"n": [10**5000]}, {1, 2}, float], ids=["digits", "inside", "set", "type"]
    )
    @pytest.mark.parametrize("access", ["read", "write"])
    def test_a_result_that_is_no_json_leaves_a_log_that_replays(self, tmp_path, value, access):
        """Whatever a shell hands to the core."""
        tools = {"look": ToolSpec("look", access=access)}
        state, history = reducer.start(settings("speculative"), tools), []
        for event in (
            UserUpdate(1, "go", True),
            Appended(2, 5),
            ModelOutput(3, 1, call("1. look()"), (1,)),
            ToolResult(4, 1, 1, value),
            ToolResult(5, 1, 1, value),
        ):
            state, asked = reducer.step(state, event)
            history.append((event, asked))
        log.write_log(tmp_path / "log.jsonl", reducer.start(settings("speculative"), tools), history)
        _, read = log.read_log(tmp_path / "log.jsonl")
        assert log.replay(reducer.start(settings("speculative"), tools), [event for event, _ in read]) == state

    @staticmethod
    def replayed(session: Session, folder) -> Any:
        log.write_log(folder / "log.jsonl", session.initial, session.history)
        _, read = log.read_log(folder / "log.jsonl")
        return log.replay(session.initial, [event for event, _ in read]).transcript

    def test_a_text_that_lies_about_itself_is_kept_as_it_is(self):
        class Sly(str):
            def translate(self, table):
                raise RuntimeError

        class Many(int): ...

        value = as_json([Sly("a"), Many(3), True, 0.5])
        assert value == ["a", 3, True, 0.5] and [type(item) for item in value] == [str, int, bool, float]


class TestLong:
    """Results of megabytes: shown in part, carried whole, and walked through outside the loop."""

    @pytest.mark.parametrize(
        "value", ["a <b> & " * 600_000, [{"n": n, "name": f"row {n}"} for n in range(150_000)]], ids=["text", "rows"]
    )
    @pytest.mark.parametrize("form", ["async", "thread"])
    def test_the_model_is_shown_a_part_and_a_reference_carries_all(self, renderer, monkeypatch, value, form):
        got: list[Any] = []
        there: dict[str, set[bool]] = {"walked": set()}
        loop_thread = threading.current_thread()

        def watched(work):
            def inner(value, *rest):
                if bulk.is_long(value):
                    there["walked"].add(threading.current_thread() is loop_thread)
                return work(value, *rest)

            return inner

        monkeypatch.setattr("midsentence.core.outcome.as_json", watched(as_json))
        monkeypatch.setattr("midsentence.tools.function.as_json", watched(as_json))
        monkeypatch.setattr("midsentence.shells.tool_run.copy.deepcopy", watched(copy.deepcopy))

        async def later() -> Any:
            """Gives much."""
            return value

        def now() -> Any:
            """Gives much."""
            return value

        much = tool(access="read", timeout_s=60)(later if form == "async" else now)

        @tool(access="read", timeout_s=60)
        async def keep(value: Any) -> str:
            """Keeps."""
            got.append(value)
            return "kept"

        async def work():
            script = Scripted([call(f"1. {much.spec.name}()", "2. keep($1)")], "<answer>Done.</answer>")
            async with planned(
                renderer, script, [much, keep], mode="parallel", changes={"max_context_tokens": 10**6}
            ) as session:
                await say(session, (0, "go", True))
                assert await session.answer(60) == "Done."
                return session

        session = real(work)
        assert got == [value]
        assert there["walked"] == {False}
        [text] = [
            segment.text
            for _, item in commands(session, Append)
            for segment in item.segments
            if segment.kind == "tool_result" and segment.text.startswith("1:")
        ]
        whole = json.dumps(value)
        assert text == f"1: {whole[:3000]} … [{len(whole) - 4000} characters left out] … {whole[-1000:]}"
        assert len(commands(session, StartTool)) == 2

    def test_an_errors_text_is_shown_in_part_too(self, renderer):
        @tool(access="read")
        async def wordy() -> str:
            """Explains."""
            raise ToolFailure("no " * 100_000)

        async def work():
            async with planned(renderer, Scripted([call("1. wordy()")], "<answer>No.</answer>"), [wordy]) as session:
                await say(session, (0, "go", True))
                await session.answer()
                return session

        [text] = [
            segment.text
            for _, item in commands(fake(work), Append)
            for segment in item.segments
            if segment.kind == "tool_error"
        ]
        assert len(text) < 4100 and "296000 characters left out" in text

    def test_a_long_update_is_tokenised_outside_the_loop(self, renderer, monkeypatch):
        where = []
        make = Renderer.environment_ids

        def watched(self, segment, since_ns=0):
            where.append((len(segment.text) > bulk.LONG, threading.current_thread() is threading.main_thread()))
            return make(self, segment, since_ns)

        monkeypatch.setattr(Renderer, "environment_ids", watched)

        async def work():
            async with planned(renderer, Scripted([], "<pause>"), [], changes={"max_context_tokens": 10**6}) as session:
                await session.hear("word " * 10_000)
                while not events(session, ModelOutput):
                    await asyncio.sleep(0.001)
                await session.hear("short")
                while len(where) < 2:
                    await asyncio.sleep(0.001)

        real(work)
        assert where == [(True, False), (False, True)]

    @pytest.mark.parametrize(
        ("value", "long"),
        [
            ("a" * 20_000, True),
            ("a" * 19_999, False),
            ([0] * 9_000, False),
            ([0] * 10_000, True),
            ({"a" * 20_000: 1}, True),
            ([[]] * 3, False),
            (None, False),
            (10**5000, False),
        ],
        ids=str.split("text under items over key empty null number"),
    )
    def test_what_is_long(self, value, long):
        assert bulk.is_long(value) is long

    def test_a_value_that_holds_itself_has_an_end(self):
        loop: list = []
        loop += [loop, loop]
        assert bulk.is_long(loop)

    def test_shortened(self):
        assert shortened("abcdefgh", 8) == "abcdefgh"
        assert shortened("abcdefghijkl", 8) == "abcdef … [4 characters left out] … kl"
        assert shortened("abcdef", 0) == " … [6 characters left out] … "


def test_described_is_a_text_whatever_is_raised():
    assert [described(error) for error in (ValueError("a"), Mute())] == ["a", "(no text)"]


# -- backends ----------------------------------------------------------------------------------------------------------


class Faulty:
    """A model that always writes the same answer, and breaks at one place for streams opened with seed 1."""

    def __init__(self, ids, fault: str, kind: type[BaseException] = OSError) -> None:
        self.ids, self.fault, self.kind, self.end_ids = ids, fault, kind, frozenset()
        self.closed: list[int] = []

    def open(self, prompt_ids, seed=0):
        return _Context(seed)

    def _break(self, where: str, streams) -> None:
        if where == self.fault and any(stream.seed for stream in streams):
            raise self.kind(f"{where} failed")

    def append(self, batch):
        self._break("append", [stream for stream, _ in batch if stream.appends])
        for stream, ids in batch:
            stream.length += len(ids)
            stream.at = 0
            stream.appends += 1

    def decode(self, streams, masks=None):
        self._break("decode", streams)
        tokens = []
        for stream in streams:
            token: Any = self.ids[stream.at % len(self.ids)]
            stream.at += 1
            stream.length += 1
            if stream.seed:
                token = {"far": 10**9, "negative": -5, "none": None, "text": "a"}.get(self.fault, token)
            tokens.append(np.int64(token) if isinstance(token, int) else token)
        if self.fault == "short" and any(stream.seed for stream in streams):
            for stream in streams:
                stream.length -= 1
            return tokens[:-1]
        return tokens

    def crop(self, stream, length):
        self._break("crop", [stream])
        stream.length = length

    def close(self, stream):
        self.closed.append(stream.seed)
        self._break("close", [stream])


class _Context:
    def __init__(self, seed: int) -> None:
        self.seed, self.length, self.at, self.appends = seed, 10, 0, 0


ENDS = {
    "append": "append failed",
    "decode": "decode failed",
    "crop": "crop failed",
    "far": "the model wrote token 1000000000, and the tokenizer has",
    "negative": "the model wrote token -5, and the tokenizer has",
    "none": "the model gave NoneType for a token",
    "text": "the model gave str for a token",
    "short": "the model gave 0 tokens for 1 contexts",
}


class Panic(BaseException):
    """What a Rust library raises through its Python bindings."""


@pytest.mark.parametrize("kind", [OSError, Panic])
@pytest.mark.parametrize("fault", [*ENDS, "close"])
def test_a_backends_failure_ends_its_session_and_no_other(renderer, fault, kind):
    model = Faulty([*renderer.action_ids("<answer>Fine.</answer>"), *renderer.action_ids(" and more")], fault, kind)

    async def work():
        with ModelWorker(model) as worker:
            async with AsyncExitStack() as stack:
                box, row = FunctionToolbox([]), settings("speculative")
                bad, *good = [
                    await stack.enter_async_context(Session(worker, box, renderer, row, system="", seed=seed))
                    for seed in (1, 0, 0)
                ]
                for turn in range(3):
                    for session in (bad, *good):
                        if session is bad and bad.outcome:
                            continue
                        await session.hear(f"word {turn}", final=True)
                    for session in good:
                        assert await session.answer(30) == "Fine."
                    if fault == "close":
                        assert await bad.answer(30) == "Fine."
                if fault != "close":
                    with pytest.raises(SessionEnded, match="model_failed") as ended:
                        while True:
                            await bad.answer(30)
                            if not bad.outcome:  # where nothing was written ahead, nothing was cropped: another turn
                                await bad.hear("again", final=True)
                    assert ENDS[fault] in str(ended.value.__cause__)
            assert worker.alive
            async with Session(worker, box, renderer, row, system="") as after:
                await after.hear("word", final=True)
                assert await after.answer(30) == "Fine."
            return [session.outcome for session in (*good, after)], worker

    outcomes, _ = real(work)
    assert outcomes == ["closed"] * 3
    assert sorted(model.closed) == [0, 0, 0, 1]


@pytest.mark.parametrize("where", ["took", "stop", "close"])
def test_a_context_that_raises_in_the_loop_ends_its_session(renderer, where):
    def broken(*_):
        raise OSError(f"{where} failed")

    async def work():
        async with planned(renderer, Scripted([], "<answer>Fine.</answer>"), []) as session:
            setattr(session._writer.context, where, broken)
            await say(session, (0, "go", True))
            if where == "close":
                assert await session.answer(30) == "Fine."
            else:
                with pytest.raises(SessionEnded, match="model_failed"):
                    while True:
                        await session.answer(30)
        return session

    session = fake(work)
    assert session.outcome == ("closed" if where == "close" else "model_failed")
    assert str(session.failure) == f"{where} failed"


def test_a_worker_whose_end_has_no_text_leaves_nobody_waiting(renderer):
    def broken():
        raise Mute

    async def work():
        worker = ModelWorker(Faulty(renderer.action_ids("<answer>Fine.</answer>"), ""))
        async with Session(worker, FunctionToolbox([]), renderer, settings("speculative"), system="") as session:
            worker.desk.ask(broken)
            await session.hear("c", final=True)
            with pytest.raises(SessionEnded, match="model_failed") as ended:
                await session.answer(30)
        worker.close()
        return str(ended.value.__cause__)

    assert real(work) == "the model's worker broke: Mute: (no text)"
