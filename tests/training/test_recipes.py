"""The recipes of the 3B models, end to end with small random models of both architectures and their own tokenizers."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data_gen import generate
from eval import replay
from training import export, repair, sft
from training.plan import ARCHITECTURES

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 16384,
}
FEW = (
    "train.max_length=2500",
    "train.batch_rows=1",
    "train.max_steps=2",
    "model.dtype=float32",
    "agent.max_generated_tokens=400",
)
SOURCES = ("assistant", "written")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("recipe", "architecture", "tokenizer"),
    [
        ("qwen25_3b", "Qwen2.5-3B-Instruct", "qwen_tokenizer"),
        ("llama32_3b", "Llama-3.2-3B-Instruct", "llama_tokenizer"),
    ],
)
def test_a_recipe_from_data_to_replay(recipe, architecture, tokenizer, request, composed, tmp_path):
    torch.manual_seed(0)
    settings = AutoConfig.from_pretrained(ARCHITECTURES / f"{architecture}.json", **SMALL)
    settings.layer_types = ["full_attention"] * SMALL["num_hidden_layers"]
    AutoModelForCausalLM.from_config(settings).save_pretrained(tmp_path / "base")
    request.getfixturevalue(tokenizer).save_pretrained(tmp_path / "base")

    def run(command, *options: str) -> None:
        command.main(composed(f"experiment={recipe}", f"model.name={tmp_path / 'base'}", *FEW, *options))

    data = [f"{tmp_path}/data/{source}" for source in SOURCES]
    for source, folder in zip(SOURCES, data, strict=True):
        run(generate, f"data={source}", "data.sizes={train: 10, validation: 0, test: 0}", f"out={folder}")
    adapter = f"{tmp_path}/train/0"
    run(sft, f"train.data=[{','.join(data)}]", f"out={adapter}")
    for turn in (1, 2):
        repaired = f"{tmp_path}/repair/{turn}"
        played = (f"repair.round={turn}", "repair.rollouts=4", "repair.beta=0.5", "repair.most_mistakes=1")
        run(repair, "data=assistant", "data.sizes={train: 10}", f"model.adapter={adapter}", *played, f"out={repaired}")
        data.append(repaired)
        before, adapter = adapter, f"{tmp_path}/train/{turn}"
        run(sft, f"train.data=[{','.join(data)}]", f"model.adapter={before}", f"out={adapter}")
    run(export, f"path={adapter}", f"out={tmp_path}/export")
    run(
        replay,
        f"model.adapter={tmp_path}/export",
        "eval.sources=[assistant]",
        "eval.tasks=2",
        "eval.modes=[eager_end,verified]",
        f"out={tmp_path}/replay",
    )
    counts = json.loads((tmp_path / "repair" / "2" / "manifest.json").read_text())["counts"]
    assert counts["rollouts"] == 4 and counts["rows"] > 0
    assert json.loads((tmp_path / "replay" / "manifest.json").read_text())
