"""Operations of a step: what torch itself counts of the same step, but for pairs that attention hides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from training.attention import use_blocks
from training.batch import Collator
from training.flops import step_flops
from training.loss import add_loss
from training.sft import quiet
from training.tokens import IGNORED, Example

LAYERS, HEADS, WIDTH = 2, 4, 16


def example(length: int, prompt: int, seed: int) -> Example:
    ids = np.random.default_rng(0).integers(3, 50, length).astype(np.int32)  # prompts begin alike
    ids[prompt - 3 :] += seed
    labels = np.where(np.arange(length) < prompt, IGNORED, ids).astype(np.int32)
    return Example(ids, labels, np.where(labels == IGNORED, -1, 0).astype(np.int8), (prompt,), prompt)


def model_of(trained: str) -> torch.nn.Module:
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=HEADS * WIDTH,
            intermediate_size=96,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=2,
            tie_word_embeddings=False,
        )
    )
    if trained == "lora":
        with quiet():
            model = get_peft_model(
                model, LoraConfig(r=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"])
            )
    base = model.get_base_model() if trained == "lora" else model
    use_blocks(base)
    add_loss(base)
    return model


@pytest.mark.parametrize("trained", ["lora", "full"])
def test_counts_are_torchs_own_but_for_what_attention_hides(trained):
    model = model_of(trained)
    batch = Collator([example(96, 64, 1), example(112, 64, 2)])([{"rows": [0, 1]}])
    assert len(batch["layout"]) == 3  # what the prompts have in common, and both trajectories
    with FlopCounterMode(display=False) as counter:
        losses = model(
            **{name: batch[name] for name in ("input_ids", "position_ids", "layout", "places", "targets")}
        ).logits
        losses.sum().backward()
    seen = step_flops(model, batch)
    by_op = counter.get_flop_counts()["Global"]
    products = sum(count for op, count in by_op.items() if "bmm" not in str(op) and "attention" not in str(op))
    assert seen.base + seen.lora + seen.head == products
    assert (seen.lora > 0) == (trained == "lora")


def test_attention_counts_the_pairs_that_see_each_other():
    model = model_of("lora")
    alone = Collator([example(10, 4, 0)])([{"rows": [0]}])
    # ten queries see 1 to 10 keys; two products forward, four back, of two operations each
    assert step_flops(model, alone).attention == 55 * 6 * 2 * LAYERS * HEADS * WIDTH
    shared = Collator([example(70, 64, 1), example(72, 64, 2)])([{"rows": [0, 1]}])
    common = shared["layout"][0][1]
    queries = [*range(1, common + 1), *range(common + 1, 71), *range(common + 1, 73)]
    assert step_flops(model, shared).attention == sum(queries) * 6 * 2 * LAYERS * HEADS * WIDTH


def test_ids_that_only_make_a_row_longer_count_for_nothing():
    model = model_of("lora")
    batch = Collator([example(40, 20, 1)])([{"rows": [0]}])
    longer = batch | {
        "input_ids": torch.nn.functional.pad(batch["input_ids"], (0, 8)),
        "layout": (*batch["layout"], (40, 48, 0, 0)),
        "spare": 8,
    }
    assert step_flops(model, longer) == step_flops(model, batch)
