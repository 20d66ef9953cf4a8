"""Measures a device profile: how fast this machine decodes and reads with a model, and what a restart costs.

Owns the measurement. Does not know what a profile is used for. Figures are medians over repeats, and the whole takes
seconds; the first repeat is a warm-up and does not count.

    midsentence calibrate --model smollm2             # a row to paste into configs/clock
    midsentence calibrate --model tiny --dtype float32 --json
    midsentence calibrate --adapter outputs/export/NAME --runtime llamacpp
    midsentence calibrate --adapter outputs/export/NAME --runtime vllm --server http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from midsentence.clock import NS_PER_S, Clock, Profile, WallClock, seconds
from midsentence.ending import UserError
from midsentence.models.load import DTYPES
from midsentence.models.model import Model

RUNTIMES = ("transformers", "llamacpp", "vllm")
"""Of `load_backend`. A server's times hold the way there, and whoever else asks it."""
APPEND_TOKENS = 24
"""Of the long append. What a session appends is a few words or a result, and a processor may read so little at half the
rate of a long prompt: llama.cpp on one core took 12.5 ms a token for 10 to 60 tokens, and 7.2 for 256."""


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

    @property
    def restart_ns(self) -> float:
        """What an append costs beyond a decode step; never negative, whatever the noise."""
        return max(0.0, self.append_one_ns - self.step_ns)

    def profile(self, name: str) -> Profile:
        """The profile that the clock's arithmetic takes: whole rates of at least 1."""
        reading_ns = max(1.0, self.append_many_ns - self.restart_ns)
        return Profile(
            name,
            max(1, round(NS_PER_S / max(1.0, self.step_ns))),
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
