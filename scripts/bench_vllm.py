"""What a context costs on a running vLLM server: appends, interruptions, many at once; and whether it writes what
transformers does.

    python -m scripts.bench vllm --server http://127.0.0.1:8000/v1 --adapter outputs/export/NAME [--served NAME]
    [--sessions 1 4 16]

A session of the replay benchmark is appended to its context piece by piece, as a live one is, and after each piece the
server says how many tokens it had in its cache (start it with ``--enable-prompt-tokens-details``). An interruption is
timed by the request that comes behind it, which finds the device busy for as long as the one that was given up is on
it; the server's own counter says how many tokens that one wrote in vain. Then contexts write at once, and at last the
tokens that the model writes freely are compared with those of transformers in float32, each after the expected ones
before it. Prints one line of JSON. Nobody else may use the server meanwhile.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Sequence
from typing import Any
from urllib.request import urlopen

from midsentence.models.load import load_renderer, load_runtime
from midsentence.models.vllm import SERVER, VllmModel
from midsentence.rendering.renderer import Renderer
from scripts.bench_replay import FREE_CONTEXT_TOKENS, agreement, episodes, free

_READ = 8
"""Tokens that are read of a writing before it is given up."""
_WRITTEN = "vllm:generation_tokens_total"


def written_tokens(server: str) -> int:
    """How many tokens the server has written since it was started, for anybody."""
    with urlopen(f"{server.removesuffix('/v1')}/metrics") as told:
        rows = told.read().decode().splitlines()
    return int(sum(float(row.rpartition(" ")[2]) for row in rows if row.startswith(_WRITTEN)))


def appends(model: VllmModel, renderer: Renderer) -> dict[str, Any]:
    """A session's pieces, one append each: their own tokens, and how many the server computed."""
    model.options |= {
        "cache_salt": secrets.token_hex(16)
    }  # of what others have asked, and of the run before, nothing is found
    rollout = episodes(renderer, 1, scripted=True)[0].run()
    ids = renderer.ids(rollout.prompt_ids, rollout.state.transcript)
    stream = model.open(rollout.prompt_ids)
    own, computed, took = [], [], []
    at = len(rollout.prompt_ids)
    for count in (1, 2, 4, 8, 12, 16, 24, 32) * 8:
        piece = ids[at : at + count]
        at += count
        if not piece:
            break
        before = model.usage.prompt_tokens - model.usage.cached_tokens
        start = time.perf_counter()
        model.append([(stream, piece)])
        took.append(1000 * (time.perf_counter() - start))
        own.append(len(piece))
        computed.append(model.usage.prompt_tokens - model.usage.cached_tokens - before)
    model.close(stream)
    return {
        "appends": len(own),
        "context_tokens_at_the_end": len(ids),
        "appended_tokens": sum(own),
        "computed_tokens": sum(computed),
        "sent_tokens": sum(len(rollout.prompt_ids) + sum(own[: n + 1]) for n in range(len(own))),
        "most_beyond_its_own": max(there - mine for there, mine in zip(computed, own)),
        "append_ms_median": round(statistics.median(took), 1),
        "append_ms_max": round(max(took), 1),
    }


def interruptions(model: VllmModel, server: str, prompt: Sequence[int], count: int) -> dict[str, Any]:
    """How long a request waits that comes behind one which is given up, and how many tokens that one wrote in vain."""
    waits: dict[bool, list[float]] = {True: [], False: []}
    vain = []
    for n in range(2 * count):
        interrupted, before, stream = bool(n % 2), written_tokens(server), model.open(prompt)
        for _ in range(_READ):
            model.decode([stream])
        if not interrupted:
            model.crop(stream, stream.length)
            time.sleep(1)
        start = time.perf_counter()
        model.append([(stream, [prompt[-1]])])
        waits[interrupted].append(1000 * (time.perf_counter() - start))
        model.close(stream)
        vain.append(written_tokens(server) - before - _READ - 1)
    return {
        "interruptions": count,
        "append_behind_one_ms_median": round(statistics.median(waits[True]), 1),
        "append_on_an_idle_server_ms_median": round(statistics.median(waits[False]), 1),
        "tokens_in_vain_median": statistics.median(vain),
        "tokens_in_vain_max": max(vain),
    }


def together(model: VllmModel, prompt: Sequence[int], sessions: Sequence[int], tokens: int) -> dict[str, Any]:
    """Tokens a second of contexts that write at once, each with a prompt that differs in its end."""
    rates = {}
    for count in sessions:
        streams = [model.open([*prompt, 300 + n]) for n in range(count)]
        start = time.perf_counter()
        for _ in range(tokens):
            model.decode(streams)
        rates[f"tokens_per_s_of_{count}"] = round(count * tokens / (time.perf_counter() - start), 1)
        for stream in streams:
            model.close(stream)
    return rates


def main(arguments: list[str]) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench vllm", description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default=SERVER)
    parser.add_argument("--served", default="", help="the model's name there, where that is not the folder's")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--adapter")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, default=32, help="that each session writes (%(default)s)")
    parser.add_argument("--interruptions", type=int, default=10)
    parser.add_argument(
        "--requests",
        type=int,
        default=8,
        help="after which tokens are compared; 0 for none, which loads no weights here",
    )
    asked = parser.parse_args(arguments)
    renderer = load_renderer(asked.model, "token" if asked.adapter else "text", "none", asked.adapter)
    made = {"server": asked.server, "served": asked.served}

    def load(eager: bool) -> VllmModel:
        model: VllmModel = load_runtime(asked.model, asked.adapter, "float32", "vllm", eager=eager, **made)
        return model

    report = {"bench": "vllm", **appends(load(True), renderer)}
    prompt = episodes(renderer, 1, scripted=True)[0].context.prompt_ids
    long = load(True)
    long.options = {"ignore_eos": True}  # what would end an action ends no measurement
    report |= interruptions(long, asked.server, prompt, asked.interruptions) | together(
        long, prompt, asked.sessions, asked.tokens
    )
    if asked.requests:
        rollouts = [episode.run() for episode in episodes(renderer, asked.requests, scripted=True)]
        contexts = [
            renderer.ids(rollout.prompt_ids, rollout.state.transcript)[: FREE_CONTEXT_TOKENS + 5 * n]
            for n, rollout in enumerate(rollouts)
        ]
        expected = free(load_runtime(asked.model, asked.adapter, "float32", eager=False), contexts, len(contexts))
        report |= {"requests": len(contexts), "agreement": round(agreement(load(False), contexts, expected), 4)}
    print(json.dumps(report))
    return 0
