"""LoRA's layers in fewer passes compute what peft's do, no less exactly, and leave to peft what they don't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Linear

from tests.training.test_loss import example, gradients, model_of, our_loss
from training import fused
from training.attention import use_blocks
from training.fused import LoraLinear, fuse
from training.loss import add_loss

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora_of(kind: str, dtype: torch.dtype, **options: Any) -> PeftModel:
    """A tiny model with LoRA on all its layers, whose B is not zero."""
    config = LoraConfig(**{"r": 4, "lora_alpha": 6, "lora_dropout": 0.0, "target_modules": TARGETS, "task_type": "CAUSAL_LM"} | options)
    model = get_peft_model(model_of(kind).to(dtype), config)
    draw = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            weight.data = torch.randn(weight.shape, generator=draw) * (0.3 if "lora_B" in name else 0.15)
    base = model.get_base_model()
    use_blocks(base)
    add_loss(base)
    return model


def losses(model: PeftModel, share: bool, autocast: bool) -> torch.Tensor:
    examples = [example(1, 70, 42), example(2, 55, 42, own=3), example(3, 61, 39, prompt_seed=5), example(4, 80, 44, own=5)]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return our_loss(model, examples, True, share)


@pytest.mark.parametrize("kind", ["llama", "qwen"])  # qwen's layers have a bias
@pytest.mark.parametrize("share", [True, False])
def test_loss_and_gradients_are_those_of_peft(kind, share):
    plain, ours = lora_of(kind, torch.float32), lora_of(kind, torch.float32)
    assert fuse(ours) == 14
    expected, found = losses(plain, share, False), losses(ours, share, False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    wanted = gradients(plain, expected)
    assert len(wanted) == 28
    for name, gradient in gradients(ours, found).items():
        torch.testing.assert_close(gradient, wanted.pop(name), rtol=1e-4, atol=1e-5)
    assert not wanted


@pytest.mark.parametrize("share", [True, False])
def test_in_bfloat16_it_is_no_further_from_float32_than_peft_is(share):
    exact, plain, ours = (lora_of("llama", dtype) for dtype in (torch.float32, torch.bfloat16, torch.bfloat16))
    for name, weight in exact.named_parameters():  # the same frozen weights, so that only the computing differs
        if not weight.requires_grad:
            weight.data = plain.get_parameter(name).data.float()
    fuse(ours)
    wanted = gradients(exact, losses(exact, share, False))
    errors = []
    for model in (plain, ours):
        found = gradients(model, losses(model, share, True))
        assert {gradient.dtype for gradient in found.values()} == {torch.float32}
        errors.append(sum(float((found[name] - wanted[name]).square().sum() / wanted[name].square().sum()) for name in wanted))
    assert errors[1] < 1.1 * errors[0]
    assert (errors[1] / len(wanted)) ** 0.5 < 0.05


def test_no_pass_is_made_over_the_wide_output_beside_the_products(monkeypatch):
    model, wide = lora_of("llama", torch.float32), []
    fuse(model)

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.shape[-2:] == (9, 48) and function.overloadpacket in (
                torch.ops.aten.mul, torch.ops.aten.add, torch.ops.aten.mul_, torch.ops.aten.add_
            ):
                wide.append(function)
            return made

    layer = next(module for name, module in model.named_modules() if name.endswith("up_proj"))
    with Count():
        layer(torch.randn(1, 9, 32, requires_grad=True)).sum().backward()
        assert not wide
        Linear.forward(layer, torch.randn(1, 9, 32, requires_grad=True)).sum().backward()
    assert wide  # it looks in the right place


@pytest.mark.parametrize(
    "options", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}], ids=["dropout", "dora", "bias"]
)
def test_what_lora_does_otherwise_stays_peft_s(options):
    kind = "qwen" if "lora_bias" in options else "llama"
    assert fuse(lora_of(kind, torch.float32, **options | ({"target_modules": ["q_proj"]} if kind == "qwen" else {}))) == 0


def test_disabled_and_merged_adapters_are_peft_s(monkeypatch):
    model = lora_of("llama", torch.float32)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        expected = model(ids).logits
        with model.disable_adapter():
            bare = model(ids).logits
        assert fuse(model) == 14
        calls = []
        monkeypatch.setattr(fused, "LoraLinear", type("Counted", (LoraLinear,), {"apply": lambda *given: calls.append(1) or LoraLinear.apply(*given)}))
        torch.testing.assert_close(model(ids).logits, expected)
        assert len(calls) == 14
        with model.disable_adapter():
            torch.testing.assert_close(model(ids).logits, bare)
        model.merge_adapter()
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-5)
    assert len(calls) == 14
