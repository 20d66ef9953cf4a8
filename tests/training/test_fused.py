"""LoRA's layers in fewer passes compute what peft's do, no less exactly, and leave to peft what they don't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora.layer import Linear

from midsentence.models.load import load_renderer
from tests.training.test_loss import example, gradients, model_of, our_loss
from training import sft
from training.attention import use_blocks
from training.fused import LoraLinear, fuse
from training.kernels import Machine
from training.loss import add_loss
from training.sft import quiet

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora_of(kind: str, dtype: torch.dtype, **options: Any) -> PeftModel:
    """A tiny model with LoRA on all its layers, whose B is not zero."""
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 6, "lora_dropout": 0.0, "target_modules": TARGETS, "task_type": "CAUSAL_LM"} | options
    )
    with quiet():
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
    examples = [
        example(1, 70, 42),
        example(2, 55, 42, own=3),
        example(3, 61, 39, prompt_seed=5),
        example(4, 80, 44, own=5),
    ]
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


def test_in_bfloat16_it_is_no_further_from_float32_than_peft_is():
    exact, plain, ours = (lora_of("llama", dtype) for dtype in (torch.float32, torch.bfloat16, torch.bfloat16))
    fuse(ours)
    errors = dict.fromkeys((plain, ours), 0.0)
    for seed in range(6):  # of one draw of weights alone, either may be nearer by chance
        for model in (exact, plain, ours):
            draw = torch.Generator().manual_seed(seed)
            for name, weight in model.named_parameters():
                if "norm" not in name:
                    drawn = torch.randn(weight.shape, generator=draw) * (0.3 if "lora_B" in name else 0.15)
                    weight.data = drawn.bfloat16().to(weight.dtype)
        wanted = gradients(exact, losses(exact, True, False))
        for model in errors:
            found = gradients(model, losses(model, True, True))
            assert {gradient.dtype for gradient in found.values()} == {torch.float32}
            errors[model] += (
                sum(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted)
                / len(wanted)
                / 6
            )
    assert errors[ours] < errors[plain] < 0.05


def test_no_pass_is_made_over_the_wide_output_beside_the_products():
    model, wide = lora_of("llama", torch.float32), []
    fuse(model)

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            if (
                isinstance(made, torch.Tensor)
                and made.shape[-2:] == (9, 48)
                and function.overloadpacket
                in (torch.ops.aten.mul, torch.ops.aten.add, torch.ops.aten.mul_, torch.ops.aten.add_)
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
    ("kind", "options"),
    [
        ("llama", {"lora_dropout": 0.1}),
        ("llama", {"use_dora": True}),
        ("qwen", {"lora_bias": True, "target_modules": ["q_proj"]}),
    ],
)
def test_what_lora_does_otherwise_stays_peft_s(kind, options):
    assert fuse(lora_of(kind, torch.float32, **options)) == 0


def test_disabled_and_merged_adapters_are_peft_s(monkeypatch):
    model = lora_of("llama", torch.float32)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        expected = model(ids).logits
        with model.disable_adapter():
            bare = model(ids).logits
        assert fuse(model) == 14
        calls = []
        apply = LoraLinear.apply
        monkeypatch.setattr(LoraLinear, "apply", lambda *given: calls.append(1) or apply(*given))
        torch.testing.assert_close(model(ids).logits, expected)
        assert len(calls) == 14
        with model.disable_adapter():
            torch.testing.assert_close(model(ids).logits, bare)
        model.merge_adapter()
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-5)
    assert len(calls) == 14


def test_a_run_on_a_cpu_has_them_unless_it_is_told_and_goes_on_from_one_without(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: cls(None, frozenset())))
    renderer, made = load_renderer("tiny", "token", "none"), {}
    for kernels in ("auto", "torch"):
        config = settings(f"train.kernels={kernels}")
        with quiet():
            trainer = sft.build(config, tmp_path / kernels, renderer, *sft.read(config, renderer))
        layers = [module for module in trainer.model.modules() if type(module) is Linear]
        made[kernels] = ({"forward" in vars(layer) for layer in layers}, sft.recipe(config))
    assert made["auto"] == ({True}, made["torch"][1])
    assert made["torch"][0] == {False}
