"""How many sessions a minute a model backend replays in virtual time, one at a time and batched: transformers,
llama.cpp.

    python -m scripts.bench replay [--model smollm2] [--sessions 16] [--batches 4 8 16] [--runtimes transformers
    llamacpp]

The model's tokens are forced to what a script wrote in the same sessions, so that an untrained model does a trained
one's
work: every forward pass is made, only the choice is given. Then the model writes freely from the middle of each
session, alone and batched in float32, and the outputs are compared; and bfloat16 is asked, token by token, whether it
would have chosen the same. Then llama.cpp does the same sessions, alone and at the largest batch, from a GGUF in
float32 and from one in 8 bits, with its ratio to transformers, and the share of the tokens written freely that it
chooses too. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midsentence.clock import Profile, ns
from midsentence.core.events import UserUpdate
from midsentence.core.modes import settings
from midsentence.core.reducer import State
from midsentence.models.checkpoint import load_model
from midsentence.models.llamacpp import LlamaCppModel
from midsentence.models.model import Mask, Model, Stream
from midsentence.models.transformers import TransformersModel
from midsentence.rendering.prompt import system_prompt
from midsentence.rendering.renderer import Renderer
from midsentence.shells.batch import run_batch
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from midsentence.tools.tool import Json, Param, ToolSpec
from training.gguf_file import write_gguf

_PROFILE = Profile("replay", decode_tokens_per_s=60, prefill_tokens_per_s=1500, restart_ns=ns(0.02))
_TOOLS = {
    spec.name: spec
    for spec in (
        ToolSpec(
            "find_contact", (Param("name", {"type": "string"}),), "read", "Look up a person's phone number and address."
        ),
        ToolSpec("send_sms", (Param("to", {}), Param("message", {"type": "string"})), "write", "Send a text message."),
        ToolSpec("read_calendar", (Param("day", {"type": "string"}),), "read", "List the events of a day."),
    )
}
_WORDS = "please text Ada that the review moves to Thursday at ten and ask Bo whether Friday works for the long run too".split()
FREE_TOKENS = 16
FREE_CONTEXT_TOKENS = 160
"""The shortest context that the model writes freely after; each session's is a few tokens longer than the one
before."""
BFLOAT16_CONTEXTS = 2
LLAMACPP_CONTEXTS = 4
RUNTIMES = ("transformers", "llamacpp")


class _Box:
    """Three tools whose results say enough to be read."""

    specs = _TOOLS

    def latency_ns(self, name: str, args: Any) -> int:
        return ns(0.6)

    def run(self, name: str, args: Any) -> Json:
        return {
            "of": str(args.get("name", args.get("day", ""))),
            "result": "+1 555 0100",
            "note": "from the address book",
        }


class _Script:
    """A thought and a call for every other update; the text goes out at the end."""

    def plan(self, state: State) -> str:
        heard = [segment for segment in state.transcript if segment.kind.endswith("query_update")]
        issued = len(state.graph.calls)
        if issued < min(3, len(heard) // 2):
            name = _WORDS[3 * issued + 2]
            return f"<think>to: {name}; msg=?</think><tool_call>\n{issued + 1}. find_contact({json.dumps(name)})\n</tool_call>"
        if not state.final_in_context:
            return "<think>waiting for more</think><pause>"
        if issued == 3:
            return '<think>msg complete</think><tool_call>\n4. send_sms([$1], "The review moves to Thursday at ten.")\n</tool_call>'
        return "<answer>I told Ada about Thursday and asked Bo about Friday.</answer>"


class _Only:
    """A mask that leaves one token."""

    def __init__(self, index: int, size: int) -> None:
        self._allowed = np.zeros(size, dtype=bool)
        self._allowed[index] = True

    def allowed(self) -> np.ndarray:
        return self._allowed


class Forced:
    """A model that computes everything and writes what it is told: the next id of the session that the prompt names."""

    def __init__(self, inner: Model, scripts: Sequence[Sequence[int]]) -> None:
        self.inner, self.scripts = inner, scripts
        self.end_ids = frozenset[int]()
        self.decoded = 0
        self._size = 1 + max(max(ids) for ids in scripts)
        self.append, self.crop, self.close = inner.append, inner.crop, inner.close

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Stream:
        return self.inner.open(prompt_ids, seed)

    def decode(self, streams: Sequence[Any], masks: Sequence[Mask | None] | None = None) -> list[int]:
        self.decoded += len(streams)
        # a stream's seed is its session's number; what follows its context is what the session's transcript has there
        return self.inner.decode(streams, [_Only(self.scripts[s.seed][s.length], self._size) for s in streams])


def episodes(renderer: Renderer, count: int, scripted: bool, mode: str = "speculative") -> list[Episode]:
    """Sessions of the same request, its updates cut differently in each."""
    row = settings(mode)
    prompt = renderer.prompt_ids(system_prompt(row, _TOOLS.values()))
    made = []
    for number in range(count):
        rng = random.Random(number)
        cuts = [0, *sorted(rng.sample(range(2, len(_WORDS) - 1), 6)), len(_WORDS)]
        updates = [
            UserUpdate(ns(0.35 * b + 0.1), " ".join(_WORDS[a:b]), final=b == len(_WORDS)) for a, b in pairwise(cuts)
        ]
        made.append(
            Episode(
                settings=row,
                profile=_PROFILE,
                toolbox=_Box(),
                updates=updates,
                renderer=renderer,
                prompt_ids=prompt,
                planner=_Script() if scripted else None,
                limit_ns=ns(60),
            )
        )
    return made


def free(model: Model, contexts: Sequence[Sequence[int]], batch: int) -> list[list[int]]:
    """What the model writes by itself after each context."""
    written: list[list[int]] = []
    for start in range(0, len(contexts), batch):
        streams = [model.open(ids) for ids in contexts[start : start + batch]]
        rows = [model.decode(streams) for _ in range(FREE_TOKENS)]
        written += [list(column) for column in zip(*rows, strict=True)]
        for stream in streams:
            model.close(stream)
    return written


def agreement(model: Model, contexts: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    """Share of the expected tokens that the model would choose too, each after the expected ones before it."""
    same = 0
    for ids, tokens in zip(contexts, expected, strict=True):
        stream = model.open(ids)
        for token in tokens:
            same += model.decode([stream])[0] == token
            model.crop(stream, stream.length - 1)
            model.append([(stream, [token])])
        model.close(stream)
    return same / (len(expected) * FREE_TOKENS)


def timed(forced: Forced, renderer: Renderer, scripted: Sequence[Rollout], batch: int) -> tuple[float, bool]:
    """Sessions a minute, and whether they came out as the scripted ones did."""
    start = time.perf_counter()
    rollouts = run_batch(episodes(renderer, len(scripted), scripted=False), forced, batch)
    rate = 60 * len(scripted) / (time.perf_counter() - start)
    found, expected = (
        [(r.outcome, r.end_ns, renderer.ids(r.prompt_ids, r.state.transcript)) for r in rows]
        for rows in (rollouts, scripted)
    )
    return rate, found == expected


def measure(
    model: TransformersModel, sessions: int, batches: Sequence[int]
) -> tuple[dict[str, Any], list[list[int]], list[list[int]]]:
    """Rates alone and batched, whether all sessions came out the same, and contexts with what was written after
    them."""
    renderer = Renderer(model.tokenizer, "text")
    scripted = [episode.run() for episode in episodes(renderer, sessions, scripted=True)]
    contexts = [renderer.ids(rollout.prompt_ids, rollout.state.transcript) for rollout in scripted]
    model.open(scripted[0].prompt_ids)  # the shared prompt is computed once, before the clock starts
    rates, same, tokens = {}, True, 0
    # one at a time takes long and varies little: a few of the sessions tell its rate; a batch is filled once
    for size, count in ((1, max(1, sessions // 16)), *((size, min(size, sessions)) for size in batches)):
        forced = Forced(model, contexts)
        rates[size], identical = timed(forced, renderer, scripted[:count], size)
        same &= identical
        tokens = forced.decoded / count
    report: dict[str, Any] = {
        "sessions": sessions,
        "decoded_tokens_per_session": round(tokens, 1),
        "context_tokens": round(sum(map(len, contexts)) / sessions, 1),
    }
    report |= {f"sessions_per_minute_at_{size}": round(rate, 2) for size, rate in rates.items()}
    report |= {f"ratio_at_{size}": round(rates[size] / rates[1], 2) for size in batches}
    begun = [ids[: FREE_CONTEXT_TOKENS + 5 * n] for n, ids in enumerate(contexts)]
    alone, together = free(model, begun, 1), free(model, begun, max(batches))
    return report | {"forced_sessions_identical": same, "greedy_identical": alone == together}, begun, alone


def llamacpp(
    name: str,
    counts: dict[int, int],
    reference: dict[int, float],
    contexts: Sequence[Sequence[int]],
    expected: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """llama.cpp on the same sessions: rates, their ratios to ``reference``, and the share of expected tokens.

    Args:
        name: of the model.
        counts: how many sessions, by how many at once.
        reference: sessions a minute of transformers in float32, by how many at once.
        contexts: what the model writes freely after.
        expected: what transformers wrote there.
    """
    report: dict[str, Any] = {}
    weights, tokenizer = load_model(name, None, "float32")
    with tempfile.TemporaryDirectory(prefix="bench-gguf-") as folder:
        for form, eight_bits in (("float32", False), ("q8", True)):
            path = Path(folder) / f"{form}.gguf"
            write_gguf(weights, tokenizer, path, form, eight_bits)
            model = LlamaCppModel(
                path, tokenizer=tokenizer, float32=not eight_bits, eager=False, threads=torch.get_num_threads()
            )
            renderer = Renderer(tokenizer, "text")
            scripted = [episode.run() for episode in episodes(renderer, max(counts.values()), scripted=True)]
            scripts = [renderer.ids(rollout.prompt_ids, rollout.state.transcript) for rollout in scripted]
            model.open(scripted[0].prompt_ids)
            same = True
            for size, count in counts.items():
                rate, identical = timed(Forced(model, scripts), renderer, scripted[:count], size)
                same &= identical
                report[f"llamacpp_{form}_sessions_per_minute_at_{size}"] = round(rate, 2)
                report[f"llamacpp_{form}_ratio_at_{size}"] = round(rate / reference[size], 2)
            report[f"llamacpp_{form}_forced_sessions_identical"] = same
            report[f"llamacpp_{form}_agreement"] = round(agreement(model, contexts, expected), 4)
            model.free()
            path.unlink()
    return report


def main(arguments: Sequence[str]) -> int:
    """Loads the model, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench replay", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2", help="smollm2, tiny, a folder or a hub name")
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--batches", type=int, nargs="+", default=(4, 8, 16), help="sessions at once")
    parser.add_argument(
        "--runtimes",
        nargs="+",
        choices=RUNTIMES,
        default=RUNTIMES,
        help="transformers always runs: it is compared with",
    )
    options = parser.parse_args(arguments)
    model = TransformersModel.load(options.model, dtype=torch.float32, eager=False)
    report, contexts, written = measure(model, options.sessions, options.batches)
    half = TransformersModel.load(options.model, dtype=torch.bfloat16, eager=False)
    report["bfloat16_agreement"] = round(agreement(half, contexts[:BFLOAT16_CONTEXTS], written[:BFLOAT16_CONTEXTS]), 4)
    if "llamacpp" in options.runtimes:
        del half
        batch, few = max(options.batches), LLAMACPP_CONTEXTS
        counts = {1: max(1, options.sessions // 16), batch: min(batch, options.sessions)}
        reference = {size: report[f"sessions_per_minute_at_{size}"] for size in counts}
        report |= llamacpp(options.model, counts, reference, contexts[:few], written[:few])
    head = {
        "bench": "replay",
        "model": options.model,
        "device": model.model.device.type,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(head | report))
    return 0 if report["forced_sessions_identical"] and report["greedy_identical"] else 1
