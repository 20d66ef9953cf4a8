"""What only a CUDA GPU can show: its attention against the plain one, a training step and a replay against the CPU's.

``make test-gpu`` runs it; without a GPU everything here is skipped.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from data_gen import generate
from midsentence.models.transformers import TransformersModel
from tests.training.conftest import compose_settings
from training import sft
from training.attention import attend
from training.kernels import Machine, choose_attention, flash_attend

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here"),
    pytest.mark.filterwarnings("default"),  # of packages of another age than those that the default tests run with
]
LAYOUTS = {
    "three": ((0, 700, 0, 0), (700, 900, 0, 0), (900, 2000, 0, 0)),
    "shared prompt": ((0, 600, 0, 0), (600, 1100, 0, 600), (1100, 1300, 0, 600), (1300, 2000, 0, 0)),
    "many": tuple((at, at + 20, 0, 0) for at in range(0, 2000, 20)),
}


@pytest.mark.parametrize("heads", [(9, 3), (16, 2), (24, 8)], ids=["smollm2", "qwen2.5", "llama3.2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_flash_attention_over_blocks_is_attention_block_by_block(layout, heads):
    width, found = 64 if heads[0] == 9 else 128, []
    for function, dtype in ((flash_attend, torch.bfloat16), (attend, torch.float32)):
        torch.manual_seed(1)
        made = [torch.randn(1, n, 2000, width, device="cuda").bfloat16() for n in (heads[0], heads[1], heads[1])]
        given = [tensor.to(dtype).requires_grad_() for tensor in made]
        out, _ = function(None, *given, None, layout=LAYOUTS[layout], scaling=width**-0.5)
        (out.float() * torch.linspace(-1, 1, out.numel(), device="cuda").view_as(out)).sum().backward()
        found.append([out.detach(), *(tensor.grad for tensor in given)])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast.float() / plain.abs().max(), plain / plain.abs().max(), rtol=0, atol=0.02)


def test_flash_attention_is_chosen_here():
    assert choose_attention("auto", "bfloat16", Machine.here()) == "flash"


@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config])
def test_a_replay_on_the_gpu_writes_what_the_cpu_writes(config):
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(
        config(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            eos_token_id=None,
            bos_token_id=None,
            pad_token_id=None,
        ),
        dtype=torch.float32,
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(3 if weight.dim() > 1 else 1)
    written = []
    for device in ("cpu", "cuda"):
        model = TransformersModel(copy.deepcopy(made), device=device)
        streams = [model.open([*range(n, n + 5 + n)]) for n in range(1, 5)]
        rows = [model.decode(streams) for _ in range(20)]
        model.append(streams, [[7, 8, 9]] * len(streams))
        written.append([*rows, *(model.decode(streams) for _ in range(20))])
    assert written[0] == written[1]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_on_the_gpu_loses_what_it_loses_on_the_cpu(method, tmp_path, monkeypatch):
    data = tmp_path / "data"
    generate.main(compose_settings("experiment=debug", "data.sizes={train: 12, validation: 0, test: 0}", f"out={data}"))
    found = {}
    for where in ("cuda", "cpu"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda where=where: where == "cuda")
        out = tmp_path / where
        sft.main(
            compose_settings(
                "experiment=debug",
                f"train.data=[{data}]",
                f"out={out}",
                f"train.method={method}",
                "train.max_steps=6",
                "train.epochs=8",
                "train.max_length=512",
                "train.batch_rows=2",
                "train.micro_batch_rows=1",
                "train.log_every_steps=1",
                f"model.dtype={'bfloat16' if where == 'cuda' else 'float32'}",
            )
        )
        found[where] = [json.loads(line)["loss"] for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    assert found["cuda"] == pytest.approx(found["cpu"], rel=0.03)
