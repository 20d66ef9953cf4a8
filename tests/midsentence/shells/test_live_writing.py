"""The model of a live session: one that hangs or breaks ends it, and a real one, in its thread, holds the transcript."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from midsentence.clock import WallClock, ns, seconds
from midsentence.core.events import Close, Crowded, Forget, ModelOutput, ToolResult
from midsentence.core.forgetting import shown
from midsentence.core.modes import settings
from midsentence.core.reducer import Phase
from midsentence.models.live import ContextFull
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells.live import Session, SessionEnded
from midsentence.testing import Scripted
from midsentence.tools.function import FunctionToolbox, tool
from tests.midsentence.shells.live_stage import call, commands, events, fake, notes, phone, planned, real, say


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


class TestFailures:
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
