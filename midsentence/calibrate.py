"""Measures a device profile: how fast this machine decodes and reads with a model, and what a restart costs.

Owns the measurement. Does not know what a profile is used for. Figures are medians over repeats, and the whole takes
seconds; the first repeat is a warm-up and does not count.

    midsentence calibrate --model smollm2             # a row to paste into configs/clock
    midsentence calibrate --model tiny --dtype float32 --json
    midsentence calibrate --adapter outputs/export/NAME --runtime llamacpp --session
    midsentence calibrate --adapter outputs/export/NAME --runtime vllm --server http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from midsentence.clock import NS_PER_S, Clock, Profile, WallClock, seconds
from midsentence.core.events import ModelOutput
from midsentence.ending import UserError
from midsentence.models.live import LiveModel
from midsentence.models.load import DTYPES
from midsentence.models.model import Model
from midsentence.rendering.renderer import Renderer
from midsentence.shells.live import SessionEnded
from midsentence.tools.tool import Toolbox

RUNTIMES = ("transformers", "llamacpp", "vllm")
"""Of `load_backend`. A server's times hold the way there, and whoever else asks it."""
APPEND_TOKENS = 24
"""Of the long append. What a session appends is a few words or a result, and a processor may read so little at half the
rate of a long prompt: llama.cpp on one core took 12.5 ms a token for 10 to 60 tokens, and 7.2 for 256."""
SAID = (
    "could you text Bob that I'm running ten minutes late and put lunch with Alice in my calendar for Friday at half past twelve",
    "add butter to my groceries note then email Alice the budget and remind me to call Sam tomorrow at nine",
)
"""What is asked for in the sessions that are measured, of the assistant's tools."""
NOW = "2026-03-02 09:00:00"
"""When."""
SESSION_S = 60.0
"""How long each may take."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Medians, in nanoseconds."""

    step_ns: float
    """One decode step of one context."""
    append_one_ns: float
    """Taking in one token."""
    append_many_ns: float
    """Taking in ``many`` tokens."""
    many: int
    """How many tokens the long append has."""
    repeats: int
    """How many were counted."""
    context_tokens: int
    """Length of the context that all this was appended to."""
    session_step_ns: float | None = None
    """A token in a live session, in the mean: with the grammar, what the session makes of it, and the way there and
    back. None where none was run."""

    @property
    def restart_ns(self) -> float:
        """What an append costs beyond a decode step; never negative, whatever the noise."""
        return max(0.0, self.append_one_ns - self.step_ns)

    def profile(self, name: str) -> Profile:
        """The profile that the clock's arithmetic takes: whole rates of at least 1."""
        reading_ns = max(1.0, self.append_many_ns - self.restart_ns)
        step_ns = self.step_ns if self.session_step_ns is None else self.session_step_ns
        return Profile(
            name,
            max(1, round(NS_PER_S / max(1.0, step_ns))),
            max(1, round(self.many * NS_PER_S / reading_ns)),
            round(self.restart_ns),
        )


def measure(
    model: Model,
    prompt_ids: Sequence[int],
    *,
    many: int = APPEND_TOKENS,
    steps: int = 16,
    repeats: int = 5,
    clock: Clock | None = None,
    budget_ns: int = 30 * NS_PER_S,
) -> Measurement:
    """Measures one context at a time.

    Args:
        model: a backend that computes an append at once.
        prompt_ids: what contexts begin with, and what is appended (over and over): what it says does not matter.
        many: tokens of the long append.
        steps: decode steps a repeat.
        repeats: how many count; fewer if ``budget_ns`` is spent before, but at least one.
        clock: what time is read from; real time by default.
        budget_ns: when to stop repeating.
    """
    clock = clock if clock is not None else _started()
    some = [prompt_ids[n % len(prompt_ids)] for n in range(many)]
    rows: list[tuple[float, float, float]] = []
    context_tokens, end_ns = 0, clock.now_ns() + budget_ns
    for repeat in range(repeats + 1):
        stream = model.open(prompt_ids)
        try:
            model.decode([stream])
            at_ns = clock.now_ns()
            for _ in range(steps):
                model.decode([stream])
            step_ns = (clock.now_ns() - at_ns) / steps
            context_tokens = stream.length
            one_ns = _append_ns(model, stream, some[:1], clock)
            many_ns = _append_ns(model, stream, some, clock)
        finally:
            model.close(stream)
        if repeat:
            rows.append((step_ns, one_ns, many_ns))
            if clock.now_ns() >= end_ns:
                break
    step, one, long = (statistics.median(column) for column in zip(*rows))
    return Measurement(step, one, long, many, len(rows), context_tokens)


def _append_ns(model: Model, stream: Any, ids: Sequence[int], clock: Clock) -> int:
    at_ns = clock.now_ns()
    model.append([(stream, ids)])
    # an accelerator works on after `append` returns; the token, chosen from what it has computed by then, waits for it
    model.decode([stream])
    return clock.now_ns() - at_ns


def _started() -> WallClock:
    clock = WallClock()
    clock.start()
    return clock


async def session_step_ns(
    model: tuple[LiveModel, Renderer], toolbox: Callable[[], Toolbox], clock: Callable[[], WallClock] = WallClock
) -> float | None:
    """What a token takes in live sessions that ask for `SAID`, one after the other.

    Args:
        model: what the sessions share, as `midsentence.shells.session.load` gives it.
        toolbox: fresh tools for each.
        clock: a fresh clock for each; real time by default.

    Returns:
        The mean time from one token of a generation to the next; None if no two were written.
    """
    from midsentence.shells.session import open_session

    took: list[int] = []
    for said in SAID:
        async with open_session(model, toolbox(), "sequential", now=NOW, clock=clock()) as session:
            await session.hear(said, final=True)
            with suppress(TimeoutError, SessionEnded):
                await session.answer(SESSION_S)
        tokens = [event for event, _ in session.history if isinstance(event, ModelOutput)]
        took += [
            after.at_ns - before.at_ns for before, after in pairwise(tokens) if before.generation == after.generation
        ]
    return statistics.mean(took) if took else None


def where(backend: Any) -> tuple[str, int | None]:
    """The device that a backend computes on, and with how many threads, where this process knows."""
    if (server := getattr(backend, "server", None)) is not None:
        return str(server), None
    if isinstance(threads := getattr(backend, "threads", None), int):
        return "cpu (llama.cpp)", threads
    import torch

    return str(backend.model.device), torch.get_num_threads()


def row(profile: Profile) -> str:
    """The profile as a line of ``configs/clock``."""
    return (
        f"  {profile.name}: {{decode_tokens_per_s: {profile.decode_tokens_per_s}, "
        f"prefill_tokens_per_s: {profile.prefill_tokens_per_s}, restart_s: {seconds(profile.restart_ns):.4f}}}"
    )


def _in_a_session(backend: Model, renderer: Renderer) -> float:
    from midsentence.grammar.constraint import ProtocolGrammar
    from midsentence.models.worker import ModelWorker
    from midsentence.serve import toolbox_of

    with ModelWorker(backend, grammar=ProtocolGrammar(renderer, grounded=True)) as worker:
        step_ns = asyncio.run(session_step_ns((worker, renderer), lambda: toolbox_of("assistant", NOW)))
    if step_ns is None:
        raise UserError(f"the model wrote nothing in {SESSION_S:g} s of a session; measure it without --session")
    return step_ns


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    parser.add_argument(
        "--model", default="smollm2", help="smollm2, tiny, a folder, or a hub id with its commit (%(default)s)"
    )
    parser.add_argument("--adapter", help="a checkpoint's folder, or smollm2-midsentence; none for the model as it is")
    parser.add_argument("--dtype", default=DTYPES[0], choices=DTYPES, help="of the weights (%(default)s)")
    parser.add_argument(
        "--runtime",
        default=RUNTIMES[0],
        choices=RUNTIMES,
        help="what runs the model (%(default)s); llamacpp takes a folder that training.export wrote with gguf=true, and vllm "
        "asks a server that has the weights and nothing else to do",
    )
    parser.add_argument("--server", default="", metavar="URL", help="vLLM's (http://127.0.0.1:8000/v1)")
    parser.add_argument(
        "--context", type=int, default=64, metavar="TOKENS", help="of the context that it is measured in (%(default)s)"
    )
    parser.add_argument(
        "--append",
        type=int,
        default=APPEND_TOKENS,
        metavar="TOKENS",
        help="of the append that gives the prefill rate, 2 or more (%(default)s); a session appends words and results",
    )
    parser.add_argument(
        "--session",
        action="store_true",
        help="measure writing in a live session, kept to the grammar and to words that were said: what an agent is paced by",
    )
    parser.add_argument("--name", default="measured", help="what the profile is called (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print all that was measured as JSON")


def main(asked: argparse.Namespace) -> None:
    """Measures a model and prints its profile."""
    from midsentence.shells.session import load_backend

    if asked.context < 1:
        raise UserError(f"--context is {asked.context}; give how many tokens the context is to have, 1 or more")
    if asked.append < 2:
        raise UserError(f"--append is {asked.append}; give how many tokens the long append is to have, 2 or more")
    backend, renderer = load_backend(
        asked.model, asked.adapter, dtype=asked.dtype, runtime=asked.runtime, server=asked.server
    )
    device, threads = where(backend)
    prompt = renderer.prompt_ids("Help the user by calling tools. " * (1 + asked.context // 4))
    found = measure(backend, prompt[: asked.context], many=asked.append)
    if asked.session:
        found = replace(found, session_step_ns=_in_a_session(backend, renderer))
    profile = found.profile(asked.name)
    if asked.json:
        about = {
            "model": asked.model,
            "adapter": asked.adapter,
            "dtype": asked.dtype,
            "runtime": asked.runtime,
            "device": device,
            "threads": threads,
        }
        print(json.dumps({"profile": asdict(profile), "measured": asdict(found)} | about))
        return
    # a GGUF file is in the bits it was written in, and a server decides for itself
    weights = {"transformers": asked.dtype, "llamacpp": "", "vllm": "as served"}[asked.runtime] or backend.path.name
    print(f"# {asked.model}, {weights}, on {device}; medians of {found.repeats} repeats")
    print("# a row for `profiles:` in configs/clock/default.yaml; --name names it")
    print(row(profile))
