"""A real vLLM server as the engine: the embedded model with the shipped adapter, beside transformers.

vLLM wants an environment of its own; ``VLLM_PYTHON`` names that one's Python, and docs/vllm.md says how it is made.
Everything here is float32 on the CPU, so that greedy tokens can be compared. The server starts within a minute or two
on a core.
"""
# ruff: noqa: TID251  (a server that takes its time)

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from eval import replay
from midsentence.models.checkpoint import load_model
from midsentence.models.ends import action_ends
from midsentence.models.load import load_renderer, load_runtime
from midsentence.models.transformers import TransformersModel
from midsentence.models.vllm import ServerFailed, VllmModel
from midsentence.models.worker import ModelWorker
from midsentence.rendering.renderer import Renderer
from midsentence.shells import session
from midsentence.tools.function import tool
from scripts.bench_replay import agreement, episodes, free
from scripts.bench_vllm import appends, written_tokens
from tests.midsentence.models.contract import masks_bind_only_their_own_stream, what_does_not_fit_is_named
from tests.midsentence.models.test_llamacpp import settings, write
from training import export

PYTHON = os.environ.get("VLLM_PYTHON", "")
BLOCK = 32
"""Tokens that the server's cache keeps together: the fewest that vLLM's CPU kernels take."""
pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not PYTHON, reason="needs vLLM in an environment of its own, named by VLLM_PYTHON: docs/vllm.md"
    ),
]


@dataclass(frozen=True)
class Served:
    url: str
    folder: Path
    """The merged model, by whose name it is served."""
    lora: Path
    """An adapter over it, without new tokens, served by its folder's name too."""

    def model(self, **options: Any) -> VllmModel:
        adapter = str(options.pop("adapter", self.folder))
        made: VllmModel = load_runtime(str(self.folder), adapter, "float32", "vllm", server=self.url, **options)
        return made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, smollm2_folder: Path) -> Iterator[Served]:
    from peft import LoraConfig, get_peft_model

    home = tmp_path_factory.mktemp("vllm")
    folder, lora = home / "smollm2-midsentence", home / "shifted"
    export.main(settings("path=smollm2-midsentence", "model=smollm2", "model.dtype=float32", f"out={folder}"))
    model, tokenizer = load_model(str(folder), str(folder), "float32")
    torch.manual_seed(0)
    changed = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "up_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft reads a name that transformers has since changed
        warnings.filterwarnings("ignore", message=".*_checkpointing` is deprecated", category=FutureWarning)
        adapted = get_peft_model(model, changed)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    adapted.save_pretrained(str(lora))
    tokenizer.save_pretrained(lora)
    with socket.socket() as free_port:
        free_port.bind(("127.0.0.1", 0))
        port = free_port.getsockname()[1]
    command = [
        PYTHON,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(folder),
        "--served-model-name",
        folder.name,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--block-size",
        str(BLOCK),
        "--max-model-len",
        "4096",
        "--enable-prompt-tokens-details",
        "--enable-lora",
        "--lora-modules",
        f"{lora.name}={lora}",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    log = home / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
        try:
            end = time.monotonic() + 600
            while b"startup complete" not in log.read_bytes():
                assert server.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-4000:]
                time.sleep(1)
            yield Served(f"http://127.0.0.1:{port}/v1", folder, lora)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@pytest.fixture(scope="module")
def reference(served: Served) -> TransformersModel:
    return TransformersModel(
        load_model(str(served.folder), str(served.folder), "float32")[0], tokenizer=served.model().tokenizer
    )


@pytest.fixture(scope="module")
def renderer(served: Served) -> Renderer:
    return load_renderer(str(served.folder), "token", "none", str(served.folder))


def contexts(renderer: Renderer, count: int = 4) -> list[tuple[int, ...]]:
    """Sessions, cut at places of their own."""
    rollouts = [episode.run() for episode in episodes(renderer, count, scripted=True)]
    return [
        tuple(renderer.ids(rollout.prompt_ids, rollout.state.transcript)[: 170 + 23 * n])
        for n, rollout in enumerate(rollouts)
    ]


def test_greedy_tokens_are_those_of_transformers_alone_and_together(served, reference, renderer):
    backend, begun = served.model(eager=False), contexts(renderer)
    expected = free(reference, begun, 4)
    assert free(backend, begun, 4) == free(backend, begun, 1) == expected
    assert agreement(served.model(eager=False), begun, expected) == 1
    assert backend.end_ids == reference.end_ids


def test_the_contract_of_backends_holds(served, reference):
    masks_bind_only_their_own_stream(served.model(), len(reference.tokenizer))
    what_does_not_fit_is_named(served.model(max_tokens=8))
    backend, rows = served.model(eager=False), [[1, 20, 3], list(range(300, 380))]
    streams = [backend.open(ids) for ids in rows]
    write(backend, streams, 6)
    backend.crop(streams[1], 82)
    backend.append([(streams[0], [9] * 40), (streams[1], [8])])
    streams.append(backend.fork(streams[0]))
    expected = write(reference, [reference.open(stream.ids) for stream in streams], 4)
    assert write(backend, streams, 4) == expected


def test_an_append_costs_its_own_tokens_to_the_block(served, renderer):
    found = appends(served.model(), renderer)
    assert found["appends"] > 20 and found["sent_tokens"] > 10 * found["computed_tokens"]
    assert 0 < found["most_beyond_its_own"] <= BLOCK


@pytest.mark.parametrize("give_up", ["append", "close"])
def test_what_is_given_up_is_not_written_on(served, renderer, give_up):
    backend = served.model(eager=False)
    backend.options = {"ignore_eos": True}
    before, stream = written_tokens(served.url), backend.open(contexts(renderer, 1)[0])
    write(backend, [stream], 5)
    if give_up == "append":
        backend.append([(stream, [7] * 20)])
    else:
        backend.close(stream)
    time.sleep(3)  # at 20 tokens a second and more, sixty would come in that time
    written = written_tokens(served.url)
    assert 5 <= written - before < 25
    time.sleep(1)
    assert written_tokens(served.url) == written


def test_an_exported_model_stops_by_itself_at_the_end_of_an_action(served, renderer):
    backend = served.model(eager=False)
    backend.options = {}
    stream = backend.open(contexts(renderer, 1)[0])
    for _ in range(256):
        (token,) = backend.decode([stream])
        if stream.request.ended:
            break
    assert token in action_ends(backend.tokenizer).values() and stream.request.is_read


def test_sixteen_contexts_write_at_once(served, renderer):
    backend, begun = served.model(eager=False), contexts(renderer)
    streams = [backend.open(begun[n % 4]) for n in range(16)]
    rows = write(backend, streams, 6)
    assert all(row == rows[n % 4] for n, row in enumerate(rows)) and len({tuple(row) for row in rows}) > 1


def test_sampling_follows_from_the_seed(served):
    backend = served.model(eager=False, temperature=1.5)
    rows = write(backend, [backend.open([9, 8, 300], seed=seed) for seed in (0, 1, 0)], 8)
    assert rows[0] == rows[2] != rows[1]


def test_an_adapter_without_new_tokens_is_served_as_it_is(served, reference, renderer):
    begun = contexts(renderer, 2)
    theirs = TransformersModel(
        load_model(str(served.folder), str(served.lora), "float32")[0], tokenizer=reference.tokenizer
    )
    expected = free(theirs, begun, 2)
    assert free(served.model(adapter=served.lora, eager=False), begun, 2) == expected != free(reference, begun, 2)
    assert free(served.model(eager=False), begun, 2) == free(reference, begun, 2)  # beside the model without it


def test_another_model_is_not_taken_for_the_one_asked_for(served):
    with pytest.raises(
        ValueError, match=f"serves {served.folder.name}, {served.lora.name}, and smollm2 is asked of it"
    ):
        load_runtime("smollm2", None, "float32", "vllm", server=served.url)
    with pytest.raises(ValueError, match="cuts a text into other tokens"):
        load_runtime("tiny", None, "float32", "vllm", server=served.url, served=served.folder.name)
    backend = served.model(eager=False)
    backend.name = "nobody"
    with pytest.raises(ServerFailed, match="refuses with status 404"):
        backend.decode([backend.open([1])])


@pytest.mark.parametrize("constrained", [True, False])
def test_a_replay_is_the_one_of_transformers(served, tmp_path, constrained):
    changes = (
        f"model.adapter={served.folder}",
        "model=smollm2",
        "model.dtype=float32",
        "data=assistant",
        "eval.split=validation",
        "eval.backends=[model]",
        "eval.modes=[eager_end,speculative]",
        "eval.tasks=2",
        "agent.whole=true",
        "data.thoughts=none",
        f"eval.constrained={constrained}",
        f"eval.grounded={constrained}",
        f"eval.vllm.url={served.url}",
    )
    found = {}
    for runtime in ("transformers", "vllm"):
        out = tmp_path / runtime
        replay.main(settings(*changes, f"eval.runtime={runtime}", f"out={out}"))
        found[runtime] = [path.read_text() for path in sorted(out.glob("episodes-*.jsonl"))]
    assert found["vllm"] == found["transformers"] and [rows.count("\n") for rows in found["vllm"]] == [2, 2]


def test_a_live_session_calls_a_tool_and_answers(served, renderer):
    import asyncio

    ran = []

    @tool(access="read")
    def get_phone_number(name: str) -> str:
        """Finds the phone number of a contact."""
        ran.append(name)
        return "+1 555 0100"

    async def work(worker: ModelWorker) -> str:
        async with session.open_session((worker, renderer), [get_phone_number], "eager_end") as talk:
            await talk.hear("what is the phone number of")
            await talk.hear("Bob Ray", final=True)
            return await talk.answer(120)

    there = {"runtime": "vllm", "server": served.url}
    with session.load(str(served.folder), str(served.folder), constrained=True, **there) as (worker, _):
        assert asyncio.run(work(worker)) and ran
