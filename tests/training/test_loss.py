"""The packed, chunked, prompt-sharing loss is the plain one, and so are its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from training.attention import TILE, PlainAttention, _tiles, attend, use_blocks
from training.batch import LEAST_SHARED, Collator
from training.loss import add_loss, full_losses
from training.tokens import IGNORED, Example

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def model_of(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=True, **more))
    return Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=False, **more))


def example(seed: int, length: int, prompt: int, prompt_seed: int = 0, own: int = 0) -> Example:
    """A prompt that depends on ``prompt_seed`` but for its last ``own`` ids, and then random ids, a third of them
    supervised."""
    shared, draw = np.random.default_rng(prompt_seed), np.random.default_rng(seed + 100)
    prompt_ids = np.concatenate([shared.integers(0, 97, prompt - own), 97 - 1 - np.full(own, seed)])
    ids = np.concatenate([prompt_ids, draw.integers(0, 97, length - prompt)]).astype(np.int32)
    counts = draw.random(length) < 0.34
    counts[: prompt + 1] = False
    labels = np.where(counts, ids, IGNORED).astype(np.int32)
    return Example(ids, labels, np.where(counts, 0, -1).astype(np.int8), (prompt,), prompt)


def plain_losses(model: Any, examples: list[Example]) -> list[torch.Tensor]:
    """Row by row, with the model's own attention and logits of every position."""
    losses = []
    for row in examples:
        labels = torch.from_numpy(row.labels.astype(np.int64))
        logits = model(torch.from_numpy(row.ids.astype(np.int64))[None]).logits[0]
        losses.append(functional.cross_entropy(logits[:-1], labels[1:], ignore_index=IGNORED, reduction="sum"))
    return losses


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def our_loss(model: Any, examples: list[Example], chunked: bool, share: bool) -> torch.Tensor:
    batch = Collator(examples, share)([{"rows": list(range(len(examples)))}])
    ahead = {name: batch[name] for name in ("input_ids", "position_ids", "layout")}
    if chunked:
        return model(**ahead, places=batch["places"], targets=batch["targets"]).logits.sum()
    return full_losses(model(**ahead, use_cache=False).logits, batch["places"], batch["targets"]).sum()


@pytest.mark.parametrize("kind", ["llama", "qwen"])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("chunk", [7, 2048])
def test_a_packed_row_has_the_loss_and_gradients_of_its_trajectories(kind, chunked, share, chunk):
    examples = [
        example(1, 70, 42),
        example(2, 55, 42, own=3),
        example(3, 61, 39, prompt_seed=5),
        example(4, 80, 44, own=5),
        example(5, 60, 42),
    ]
    plain, ours = model_of(kind), model_of(kind)
    use_blocks(ours)
    add_loss(ours, chunk)
    expected = torch.stack(plain_losses(plain, examples)).sum()
    found = our_loss(ours, examples, chunked, share)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    wanted = gradients(plain, expected)
    for name, gradient in gradients(ours, found).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5, msg=name)


def test_what_prompts_begin_with_is_computed_once():
    examples = [example(n, 50, 40, own=3 + n) for n in range(4)] + [example(9, 50, 40, prompt_seed=1)]
    rows = [[0, 1], [2, 3, 4]]
    common = 34  # the longest prompt of one's own takes 6 of the 40
    collator = Collator(examples)
    assert (
        collator([{"rows": row} for row in rows])["input_ids"].shape
        == (1, collator.tokens(rows))
        == (1, common + 4 * 16 + 50)
    )
    apart = Collator(examples, share_prompts=False)
    assert apart([{"rows": row} for row in rows])["input_ids"].shape == (1, apart.tokens(rows)) == (1, 250)


def test_sets_of_tools_under_one_header_are_shared_each_by_itself():
    """Llama's header alone is longer than what tells two prompts apart."""

    def under_header(seed: int, tools: int) -> Example:
        made = example(seed, 150, 140, prompt_seed=tools)
        made.ids[: LEAST_SHARED + 8] = 5
        return made

    two_sets = Collator([under_header(n, n % 2) for n in range(6)])
    assert two_sets.tokens([range(6)]) == 2 * 139 + 6 * 11
    batch = two_sets([{"rows": list(range(6))}])
    assert batch["input_ids"].shape == (1, 2 * 139 + 6 * 11)
    all_apart = Collator([under_header(n, n) for n in range(3)])  # the header is all that these have in common
    assert all_apart.tokens([range(3)]) == LEAST_SHARED + 8 + 3 * (150 - LEAST_SHARED - 8)


def test_a_prompt_that_is_all_the_same_leaves_its_last_id_to_each():
    examples = [example(n, 50, 40) for n in range(3)]
    batch = Collator(examples)([{"rows": [0, 1, 2]}])
    assert batch["input_ids"].shape == (1, 39 + 3 * 11)
    assert batch["layout"] == ((0, 39, 0, 0), (39, 50, 0, 39), (50, 61, 0, 39), (61, 72, 0, 39))
    assert batch["position_ids"][0, [0, 38, 39, 49, 50]].tolist() == [0, 38, 39, 49, 39]


def test_no_trajectory_sees_another():
    model = model_of("llama")
    use_blocks(model)
    add_loss(model)
    first, second, other = example(1, 40, 12), example(2, 25, 6, prompt_seed=1), example(9, 25, 6, prompt_seed=2)

    def losses_of_the_first(beside: Example) -> torch.Tensor:
        batch = Collator([beside, first])([{"rows": [0, 1]}])
        out = model(**{n: batch[n] for n in ("input_ids", "position_ids", "layout", "places", "targets")}).logits
        return out[-first.supervised_tokens :]

    assert torch.equal(losses_of_the_first(second), losses_of_the_first(other))


def test_logits_exist_for_supervised_positions_alone():
    model = model_of("qwen")
    use_blocks(model)
    add_loss(model, chunk_positions=5)
    seen = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    examples = [example(1, 60, 10)]
    with torch.no_grad():
        our_loss(model, examples, True, True)
    assert sum(shape[0] for shape in seen) == examples[0].supervised_tokens
    assert max(shape[0] for shape in seen) == 5


def test_ordinary_use_of_the_model_is_unchanged():
    plain, ours = model_of("llama"), model_of("llama")
    use_blocks(ours)
    add_loss(ours)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(ours(ids).logits, plain(ids).logits, rtol=1e-5, atol=1e-5)


def test_a_model_that_scales_its_logits_is_refused():
    model = model_of("llama")
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping.*set train.loss=full"):
        add_loss(model)


def test_a_window_shorter_than_a_trajectory_is_refused():
    model = AutoModelForCausalLM.from_config(
        Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=16, max_window_layers=0)
    )
    use_blocks(model)
    add_loss(model)
    with pytest.raises(ValueError, match="window of 16; set train.max_length=16"):
        our_loss(model, [example(1, 40, 5)], True, True)


@pytest.mark.parametrize(
    "layout",
    [
        ((0, 1, 0, 0),),
        ((0, 7, 0, 0), (7, 12, 0, 7)),
        ((0, 5, 0, 0), (5, 12, 0, 0), (12, 15, 5, 12), (15, 24, 5, 12), (24, 25, 5, 12), (25, 31, 0, 0)),
        ((0, TILE, 0, 0), (TILE, 3 * TILE + 3, 0, 0), (3 * TILE + 3, 4 * TILE + 8, TILE, 3 * TILE + 3)),
    ],
)
def test_plain_attention_is_the_library_s_with_its_gradients(layout):
    length = layout[-1][1]
    draw = torch.Generator().manual_seed(length)
    query, key, value = (
        torch.randn(1, heads, length, 8, dtype=torch.float64, generator=draw, requires_grad=True) for heads in (6, 2, 2)
    )
    grad = torch.randn(1, length, 6, 8, dtype=torch.float64, generator=draw)
    found = PlainAttention.apply(query, key, value, layout, 0.3)
    sees = torch.zeros(length, length, dtype=torch.bool)
    for start, end, prefix, prefix_end in layout:
        sees[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        sees[start:end, prefix:prefix_end] = True
    wanted = functional.scaled_dot_product_attention(
        query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), attn_mask=sees, scale=0.3
    ).transpose(1, 2)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(
        torch.autograd.grad(found, (query, key, value), grad),
        torch.autograd.grad(wanted, (query, key, value), grad),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_long_prompt_is_computed_in_tiles_that_leave_out_most_of_what_nobody_sees():
    n = 4 * TILE
    query, key = (torch.randn(1, heads, n, 8, requires_grad=True) for heads in (6, 2))
    kept = sum(
        weights.numel()
        for weights in PlainAttention.apply(query, key, key, ((0, n, 0, 0),), 0.3).grad_fn.saved_tensors[5::2]
    )
    assert kept == 6 * n * n * 10 // 16  # of 16 tiles 10
    assert _tiles(200, 900) == [(0, 200)]  # what continues a prompt sees most of it


def test_packed_bfloat16_on_a_cpu_is_close_to_the_rows_alone():
    examples = [example(1, 70, 42), example(2, 55, 42, own=3), example(3, 61, 39, prompt_seed=5)]
    plain, ours = model_of("llama").bfloat16(), model_of("llama").bfloat16()
    use_blocks(ours)
    add_loss(ours)
    torch.testing.assert_close(
        our_loss(ours, examples, True, True).float(),
        torch.stack(plain_losses(plain, examples)).sum().float(),
        rtol=0.01,
        atol=0.0,
    )


def test_dropout_of_attention_is_not_left_out_on_a_cpu():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 12, 8, dtype=torch.bfloat16) for heads in (6, 2, 2))
    layout = ((0, 12, 0, 0),)
    kept, dropped = (attend(None, query, key, value, None, layout, 0.3, dropout)[0] for dropout in (0.0, 0.5))
    assert not torch.allclose(kept, dropped, atol=0.1)
