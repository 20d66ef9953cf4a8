"""Faster kernels where the machine has them: flash attention over packed blocks, liger's layers, LoRA in fewer passes.

Owns which of them a run uses, and why one that was asked for by name can't be. The blocks that attention sees, and the
loss, stay ours: flash attention gets the layout of `training.attention`, and of liger only its norm, its gated MLP and
its rotary embedding are used, for our loss builds few logits as it is. Does not know ids, labels and the trainer.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

from midsentence.ending import UserError
from training.attention import FLASH, Layout, attend, check_window

_LIGER = {"rope": True, "rms_norm": True, "swiglu": True, "cross_entropy": False, "fused_linear_cross_entropy": False}
_LIGER_MODELS = ("llama", "mistral", "qwen2", "qwen3")
"""Architectures whose layers liger has under these four names."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides about kernels."""

    capability: tuple[int, int] | None
    """CUDA compute capability; None without a CUDA GPU."""
    packages: frozenset[str]
    """Those of ``liger_kernel`` that can be imported."""
    sharded: bool = False
    """Whether the launcher keeps weights in parts (FSDP, DeepSpeed), and gathers them when a layer that holds them is
    called."""

    @classmethod
    def here(cls) -> Machine:
        """This one."""
        names = (name for name in ("liger_kernel",) if importlib.util.find_spec(name) is not None)
        sharded = any(
            os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true" for name in ("FSDP", "DEEPSPEED")
        )
        return cls(torch.cuda.get_device_capability() if torch.cuda.is_available() else None, frozenset(names), sharded)


def choose_attention(asked: str, dtype: str, machine: Machine) -> str:
    """``flash`` or ``blocks``.

    Args:
        asked: ``train.attention``.
        dtype: ``model.dtype``.
        machine: where the run is.

    Raises:
        UserError: flash attention was asked for by name and can't be had.
    """
    why = ""
    if machine.capability is None:
        why = "there is no CUDA GPU here"
    elif machine.capability < (8, 0):
        why = f"it needs compute capability 8.0 and this GPU has {machine.capability[0]}.{machine.capability[1]}"
    elif dtype != "bfloat16":
        why = f"it computes in bfloat16 and model.dtype={dtype}"
    if why and asked == "flash":
        raise UserError(f"train.attention=flash can't be used: {why}; use train.attention=auto")
    return "blocks" if why or asked == "blocks" else "flash"


def choose_kernels(asked: str, architecture: str, method: str, machine: Machine) -> str:
    """``liger``, ``fused`` or ``torch``.

    Args:
        asked: ``train.kernels``.
        architecture: the model's ``model_type``.
        method: ``train.method``.
        machine: where the run is.

    Raises:
        UserError: kernels were asked for by name and can't be had.
    """
    against = {"liger": "", "fused": ""}
    if machine.capability is None:
        against["liger"] = "there is no CUDA GPU here"
    elif "liger_kernel" not in machine.packages:
        against["liger"] = "the package liger-kernel is not installed"
    elif architecture not in _LIGER_MODELS:
        against["liger"] = f"models of type {architecture} are not among {', '.join(_LIGER_MODELS)}"
    if machine.capability is not None:
        against["fused"] = "it is for a CPU, and there is a CUDA GPU here"
    elif method != "lora":
        against["fused"] = f"it is for LoRA layers, and train.method={method}"
    elif machine.sharded:
        against["fused"] = "FSDP and DeepSpeed keep weights in parts"
    if asked == "auto":
        return next((name for name, why in against.items() if not why), "torch")
    if why := against.get(asked):
        raise UserError(f"train.kernels={asked} can't be used: {why}; use train.kernels=auto")
    return asked


def use_kernels(model: PreTrainedModel, attention: str, kernels: str) -> None:
    """Gives a model what was chosen; blocks, torch's own layers, and what LoRA's layers get later (`training.fused`),
    need nothing.

    Raises:
        ValueError: its attention can't be set.
    """
    if attention == "flash":
        model.set_attn_implementation(FLASH)
        if model.config._attn_implementation != FLASH:
            raise ValueError(f"{type(model).__name__} does not let its attention be set; use train.attention=blocks")
    if kernels == "liger":
        from transformers.integrations.liger import apply_liger_kernel

        apply_liger_kernel(model, _LIGER)


def flash_attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    layout: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What `training.attention.attend` computes, in one call: the same shapes in and out, computed in bfloat16.

    A block that continues a shared prompt has more keys than queries; flash attention's causal mask ends at the last of
    both, which is just what it sees.
    """
    if layout is None:
        return attend(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs)
    check_window(layout, kwargs.get("sliding_window"))
    places, ends, key_ends, longest, longest_key = _spans(layout, query.device)
    q, k, v = (tensor[0].transpose(0, 1).to(torch.bfloat16) for tensor in (query, key, value))
    out = varlen()(
        q,
        k[places],
        v[places],
        ends,
        key_ends,
        longest,
        longest_key,
        dropout_p=dropout,
        softmax_scale=scaling,
        causal=True,
    )
    return out[None], None


def varlen() -> Callable[..., torch.Tensor]:
    """flash-attn's function over blocks of any length, or the same of the copy that torch carries."""
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return torch_varlen
    found: Callable[..., torch.Tensor] = flash_attn_varlen_func
    return found


def torch_varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    key_ends: torch.Tensor,
    longest: int,
    longest_key: int,
    *,
    dropout_p: float,
    softmax_scale: float | None,
    causal: bool,
) -> torch.Tensor:
    """As ``flash_attn_varlen_func``, of torch: query (N, heads, d), key and value (M, kv_heads, d) → (N, heads, d)."""
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    return torch.ops.aten._flash_attention_forward(
        query, key, value, ends, key_ends, longest, longest_key, dropout_p, causal, False, scale=softmax_scale
    )[0]


@lru_cache(maxsize=4)
def _spans(layout: Layout, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int, int]:
    """Places of the keys that each block sees, one block after another; where blocks and their keys end; the longest of
    each."""
    queries = [end - start for start, end, _, _ in layout]
    keys = [end - start + prefix_end - prefix for start, end, prefix, prefix_end in layout]
    places = torch.cat([torch.cat([torch.arange(p, q), torch.arange(start, end)]) for start, end, p, q in layout])
    ends, key_ends = (torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32) for lengths in (queries, keys))
    return places.to(device), ends, key_ends, max(queries), max(keys)


AttentionInterface.register(FLASH, flash_attend)
