"""Which kernels a run uses on which machine, and that flash attention is told to see the same blocks."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch.nn import functional

from midsentence.ending import UserError
from midsentence.models.load import load_renderer
from training import kernels, sft
from training.attention import ATTENTION, FLASH, attend, use_blocks
from training.kernels import Machine, choose_attention, choose_kernels, flash_attend

BOTH = frozenset({"flash_attn", "liger_kernel"})
H100 = Machine((9, 0), BOTH)
LAPTOP = Machine(None, BOTH)


OLD = Machine((7, 5), BOTH)
BARE = Machine((9, 0), frozenset())
SHARDED = Machine(None, BOTH, sharded=True)


def lora(asked, architecture, machine):
    return choose_kernels(asked, architecture, "lora", machine)


def full(asked, architecture, machine):
    return choose_kernels(asked, architecture, "full", machine)


@pytest.mark.parametrize(
    ("choose", "asked", "what", "machine", "used"),
    [
        (choose_attention, "auto", "bfloat16", H100, "flash"),
        (choose_attention, "flash", "bfloat16", H100, "flash"),
        (choose_attention, "blocks", "bfloat16", H100, "blocks"),
        (choose_attention, "auto", "bfloat16", LAPTOP, "blocks"),
        (choose_attention, "auto", "bfloat16", OLD, "blocks"),
        (choose_attention, "auto", "bfloat16", BARE, "flash"),
        (choose_attention, "auto", "float32", H100, "blocks"),
        (lora, "auto", "qwen2", H100, "liger"),
        (lora, "liger", "llama", H100, "liger"),
        (lora, "torch", "llama", H100, "torch"),
        (lora, "auto", "llama", LAPTOP, "fused"),
        (lora, "fused", "mamba", LAPTOP, "fused"),
        (lora, "torch", "llama", LAPTOP, "torch"),
        (lora, "auto", "llama", SHARDED, "torch"),
        (full, "auto", "llama", LAPTOP, "torch"),
        (full, "auto", "llama", H100, "liger"),
        (lora, "auto", "llama", BARE, "torch"),
        (lora, "auto", "mamba", H100, "torch"),
    ],
)
def test_what_is_faster_is_used_where_it_can_be(choose, asked, what, machine, used):
    assert choose(asked, what, machine) == used


@pytest.mark.parametrize(
    ("choose", "asked", "what", "machine", "message"),
    [
        (
            choose_attention,
            "flash",
            "bfloat16",
            LAPTOP,
            "train.attention=flash can't be used: there is no CUDA GPU here; use train.attention=auto",
        ),
        (choose_attention, "flash", "bfloat16", OLD, "compute capability 8.0 and this GPU has 7.5"),
        (choose_attention, "flash", "float32", H100, "model.dtype=float32"),
        (
            lora,
            "liger",
            "llama",
            LAPTOP,
            "train.kernels=liger can't be used: there is no CUDA GPU here; use train.kernels=auto",
        ),
        (lora, "liger", "llama", BARE, "the package liger-kernel is not installed"),
        (lora, "liger", "mamba", H100, "models of type mamba are not among llama"),
        (
            lora,
            "fused",
            "llama",
            H100,
            "train.kernels=fused can't be used: it is for a CPU, and there is a CUDA GPU here; use train.kernels=auto",
        ),
        (lora, "fused", "llama", SHARDED, "FSDP and DeepSpeed keep weights in parts"),
        (full, "fused", "llama", LAPTOP, "it is for LoRA layers, and train.method=full"),
    ],
)
def test_what_is_asked_for_in_vain_is_refused(choose, asked, what, machine, message):
    with pytest.raises(UserError, match=message):
        choose(asked, what, machine)


def varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, softmax_scale, causal):
    """What flash_attn_varlen_func is documented to compute: causal, aligned at the last of both."""
    assert causal
    assert (q.dtype, cu_seqlens_q.dtype, cu_seqlens_k.dtype) == (torch.bfloat16, torch.int32, torch.int32)
    pieces = []
    for n in range(len(cu_seqlens_q) - 1):
        a, b, c, d = (int(x) for x in (*cu_seqlens_q[n : n + 2], *cu_seqlens_k[n : n + 2]))
        assert (b - a <= max_seqlen_q, d - c <= max_seqlen_k) == (True, True)
        mask = torch.ones(b - a, d - c, dtype=torch.bool).tril(d - c - (b - a))
        one = [x.float().transpose(0, 1)[None] for x in (q[a:b], k[c:d], v[c:d])]
        made = functional.scaled_dot_product_attention(*one, attn_mask=mask, scale=softmax_scale, enable_gqa=True)
        pieces.append(made[0].transpose(0, 1))
    return torch.cat(pieces)


@pytest.fixture
def flash(monkeypatch):
    """A package flash_attn whose function is plain PyTorch."""
    package = ModuleType("flash_attn")
    package.flash_attn_varlen_func = varlen
    monkeypatch.setitem(sys.modules, "flash_attn", package)


def test_without_the_package_torchs_own_copy_is_called_with_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    assert kernels.varlen() is kernels.torch_varlen
    given = []

    def forward(*args, scale):
        given.append((args, scale))
        q, k, v, ends, key_ends, longest, longest_key, dropout, causal, debug = args
        assert not debug
        return (varlen(q, k, v, ends, key_ends, longest, longest_key, dropout, scale, causal),)

    monkeypatch.setattr(kernels.torch.ops.aten, "_flash_attention_forward", forward)
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 20, 8).bfloat16() for heads in (4, 2, 2))
    layout = ((0, 6, 0, 0), (6, 11, 0, 6), (11, 13, 0, 6), (13, 20, 0, 0))
    found, _ = flash_attend(None, query, key, value, None, layout=layout, scaling=0.3)
    expected, _ = attend(None, query.float(), key.float(), value.float(), None, layout=layout, scaling=0.3)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    assert len(given) == 1 and given[0][1] == 0.3


def test_torchs_own_copy_takes_fewer_key_heads_and_passes_gradients_on():
    query = torch.empty(
        20, 9, 64, dtype=torch.bfloat16, device="meta", requires_grad=True
    )  # shapes alone: the operator is a GPU's
    key, value = (torch.empty(26, 3, 64, dtype=torch.bfloat16, device="meta", requires_grad=True) for _ in range(2))
    ends = torch.empty(4, dtype=torch.int32, device="meta")
    out = kernels.torch_varlen(query, key, value, ends, ends, 9, 15, dropout_p=0.0, softmax_scale=0.125, causal=True)
    assert out.shape == query.shape
    out.sum().backward()
    assert [tensor.grad.shape for tensor in (query, key, value)] == [query.shape, key.shape, value.shape]


@pytest.mark.parametrize(
    "layout",
    [
        ((0, 7, 0, 0), (7, 9, 0, 0), (9, 20, 0, 0)),  # three trajectories
        ((0, 6, 0, 0), (6, 11, 0, 6), (11, 13, 0, 6), (13, 20, 0, 0)),  # a prompt, two that continue it, one alone
    ],
)
def test_flash_attention_sees_the_same_blocks(layout, flash):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 20, 8).bfloat16() for heads in (4, 2, 2))
    found, _ = flash_attend(None, query, key, value, None, layout=layout, scaling=0.3)
    expected, _ = attend(None, query.float(), key.float(), value.float(), None, layout=layout, scaling=0.3)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)


def test_flash_attention_too_refuses_a_window_that_would_cut(flash):
    query = torch.randn(1, 2, 8, 4)
    with pytest.raises(ValueError, match="8 tokens pass the model's attention window of 4"):
        flash_attend(None, query, query, query, None, layout=((0, 8, 0, 0),), sliding_window=4)


def test_a_run_on_a_gpu_gives_its_model_both(settings, monkeypatch):
    given = []
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: H100))
    monkeypatch.setattr(
        "transformers.integrations.liger.apply_liger_kernel", lambda model, options: given.append(options)
    )
    model, _ = sft.load_base(settings("model.dtype=bfloat16"), load_renderer("tiny", "token", "none"))
    use_blocks(model)
    assert model.config._attn_implementation == FLASH
    (options,) = given
    assert {name for name, on in options.items() if on} == {"rope", "rms_norm", "swiglu"}
    assert not options["fused_linear_cross_entropy"]  # our loss is ours


def test_a_run_without_one_gives_it_neither(settings, monkeypatch):
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: LAPTOP))
    monkeypatch.setattr(kernels, "_LIGER", None)  # nothing may look at it
    model, _ = sft.load_base(settings(), load_renderer("tiny", "token", "none"))
    use_blocks(model)
    assert model.config._attn_implementation == ATTENTION
