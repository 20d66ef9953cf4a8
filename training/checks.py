"""Refuses inconsistent settings before any weights load.

Owns what must agree between the settings, the model's configuration and the machine. Does not know the trainer.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, SchedulerType

from configs.schema import Config
from midsentence.ending import UserError
from midsentence.models.load import adapter_folder
from training.kernels import Machine, choose_attention, choose_kernels

_WITH_OPTIONS = {
    "reduce_lr_on_plateau",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
    "greedy",
}
"""Schedules that need options which no setting has."""


def check_settings(config: Config, processes: int) -> None:
    """What the settings alone show to be wrong.

    Raises:
        UserError: the text names the setting, its value and the fix.
    """
    train = config.train
    if not train.data:
        raise UserError("train.data names no folder; make one with data_gen.generate and set train.data=[FOLDER]")
    if train.schedule not in (known := [kind.value for kind in SchedulerType if kind.value not in _WITH_OPTIONS]):
        raise UserError(f"train.schedule={train.schedule} is unknown; use one of {', '.join(known)}")
    if train.weights and (len(train.weights) != len(train.data) or min(train.weights) <= 0):
        raise UserError(
            f"train.weights={train.weights} for {len(train.data)} folders; give each a weight above 0, or none"
        )
    each = train.micro_batch_rows * processes
    if train.batch_rows % each:
        raise UserError(
            f"train.batch_rows={train.batch_rows} does not divide by train.micro_batch_rows={train.micro_batch_rows} "
            f"times {processes} processes; use a multiple of {each}"
        )
    adapter = config.model.adapter
    if adapter is not None and (
        train.method == "full" or not (adapter_folder(adapter) / "adapter_config.json").is_file()
    ):
        raise UserError(
            f"model.adapter={adapter} with train.method={train.method}: only LoRA goes on from an adapter; to train a "
            "fully trained checkpoint on, give its folder as model.name"
        )
    if (
        not train.train_new_tokens
        and train.method != "full"
        and (config.model.tags == "token" or config.clock.stamps == "token")
    ):
        raise UserError(
            f"model.tags={config.model.tags} and clock.stamps={config.clock.stamps} add tokens, but train.train_new_tokens=false "
            "freezes their rows; set it to true, or use text"
        )
    if train.method == "qlora" and (not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None):
        raise UserError("train.method=qlora needs a CUDA GPU and the package bitsandbytes; use train.method=lora here")
    if config.model.dtype == "bfloat16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise UserError("model.dtype=bfloat16 is not supported by this GPU; use model.dtype=float32")
    if config.model.dtype == "float16":
        raise UserError("model.dtype=float16 overflows in training; use model.dtype=bfloat16 or float32")


def check_model(config: Config, folder: Path) -> Any:
    """What the model's configuration shows to be wrong; builds it without weights, on the meta device.

    Returns:
        The model on the meta device.

    Raises:
        UserError: a LoRA target matches no module, or rows of one trajectory may be longer than the model's context.
    """
    train = config.train
    settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    machine = Machine.here()
    choose_attention(train.attention, config.model.dtype, machine)
    choose_kernels(train.kernels, settings.model_type, train.method, machine)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(settings)
    limit = context_of(folder)
    if limit is not None and train.max_length > limit and not train.packing:
        raise UserError(
            f"train.max_length={train.max_length} is longer than the model's context of {limit}; use at most that"
        )
    if train.method != "full":
        leaves = {
            name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)
        }
        for target in train.lora_targets:
            if target not in leaves:
                has = ", ".join(sorted(leaves))
                raise UserError(f"train.lora_targets: {target!r} matches no layer of {config.model.name}; it has {has}")
        if not train.lora_targets:
            raise UserError("train.lora_targets is empty; name layers such as q_proj, or use train.method=full")
        if "lm_head" in train.lora_targets:
            raise UserError(
                "train.lora_targets may not hold lm_head: the added tokens' rows are trained in it already; leave it out"
            )
    return model


def context_of(folder: Path) -> int | None:
    """The most ids of a trajectory that a model takes, if its configuration says so. A packed row may have more:
    positions begin anew."""
    return getattr(
        AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config(), "max_position_embeddings", None
    )
