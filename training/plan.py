"""What a training run will need: ``python -m training.plan experiment=qwen25_3b launcher=zero3 gpus=4``.

Owns counts of parameters, tokens, steps, memory a device and time, from the settings, the data folders and the model's
configuration alone: no weights are loaded, the model is built on the meta device. Refuses to know the trainer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from agent.models.embedded import ModelNotFound, resolve
from agent.models.load import load_renderer, load_tokenizer
from agent.protocol import TAGS
from agent.rendering import CLOCK_TOKENS
from configs.command import UserError, command
from configs.schema import Config
from data_gen.trajectory import BadData
from training import sft
from training.loss import CHUNK_POSITIONS
from training.vocabulary import new_tokens

ARCHITECTURES = Path(__file__).parent / "architectures"
LAUNCHERS = ("single", "ddp", "fsdp2", "zero3")

_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_ADAM_BYTES = 12
"""Per trainable parameter: gradient and Adam's two moments in float32; its own weight is counted apart."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs. ``None`` where the data has not been generated yet."""

    model: str
    parameters: int
    """Of the model as it comes."""
    trainable_parameters: int
    """Of adapter and new token rows, or of the whole model."""
    new_tokens: int
    tokens: int | None
    """Of the whole run, prompts included."""
    supervised_tokens: int | None
    """Of one pass over the data."""
    steps: int | None
    memory_gib: dict[str, float]
    """Per device: weights, gradients and optimiser, activations, logits, all."""
    hours: float | None
    """At ``train.mfu`` of ``train.device_tflops`` on every device."""


def main(config: Config) -> None:
    """Prints the plan as lines, or as JSON."""
    made = plan(config)
    if config.json:
        print(json.dumps(asdict(made), indent=1))
        return
    print(f"{made.model}: {made.parameters:,} parameters, {made.trainable_parameters:,} trainable, {made.new_tokens} new tokens")
    if made.tokens is None:
        print(f"data: {', '.join(config.train.data) or 'none named'}: not generated yet; tokens, steps and time are unknown")
    else:
        print(f"{made.tokens:,} tokens in {made.steps:,} steps; {made.supervised_tokens:,} supervised an epoch; "
              f"{made.hours:.2f} h on {config.gpus} devices at {config.train.mfu:.0%} of {config.train.device_tflops:.0f} TFLOP/s")
    parts = ", ".join(f"{name} {value:.1f}" for name, value in made.memory_gib.items())
    print(f"memory a device with launcher={config.launcher}, GiB: {parts}")


def plan(config: Config) -> Plan:
    """The plan of the configured run.

    Raises:
        UserError: an unknown launcher, or a model whose configuration can't be had.
    """
    if config.launcher not in LAUNCHERS:
        raise UserError(f"launcher={config.launcher} is unknown; use one of {', '.join(LAUNCHERS)}")
    if config.gpus < 1 or (config.launcher == "single" and config.gpus > 1):
        raise UserError(f"gpus={config.gpus} with launcher={config.launcher}; use launcher=ddp, fsdp2 or zero3 for several")
    model = skeleton(config.model.name)
    parameters = sum(p.numel() for p in model.parameters())
    new = count_new_tokens(config)
    train = config.train
    trainable = parameters if train.method == "full" else adapter_parameters(model, train.lora_targets, train.lora_rank, new)
    rows = counts(config)
    tokens, supervised, steps = rows or (None, None, None)
    # forward and backward of activations; backward of weights only where they are trained
    flops = None if tokens is None else tokens * (4 * parameters + 2 * trainable)
    hours = None if flops is None else flops / (train.mfu * train.device_tflops * 1e12 * config.gpus) / 3600
    memory = device_memory(config, model, parameters, trainable)
    return Plan(config.model.name, parameters, trainable, new, tokens, supervised, steps, memory, hours)


def skeleton(name: str) -> Any:
    """The model on the meta device; of the two 3B models the configurations come along."""
    known = ARCHITECTURES / f"{Path(name).name}.json"
    try:
        settings = AutoConfig.from_pretrained(known if known.exists() else resolve(name))
    except ModelNotFound as error:
        raise UserError(str(error)) from error
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(settings)


def count_new_tokens(config: Config) -> int:
    """Tags and stamps that the tokenizer lacks; where it is not at hand, all of them."""
    wanted = (len(TAGS) if config.model.tags == "token" else 0) + (len(CLOCK_TOKENS) if config.clock.stamps == "token" else 0)
    try:
        renderer = load_renderer(config.model.name, config.model.tags, config.clock.stamps)
        return len(new_tokens(load_tokenizer(config.model.name), renderer))
    except ModelNotFound:
        return wanted


def adapter_parameters(model: Any, targets: list[str], rank: int, new: int) -> int:
    """LoRA's two matrices on every target, and the rows of new tokens (one matrix where they are tied)."""
    layers = [m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and name.rsplit(".", 1)[-1] in targets]
    matrices = 1 if model.config.get_text_config().tie_word_embeddings else 2
    return sum(rank * (m.in_features + m.out_features) for m in layers) + new * matrices * model.get_input_embeddings().embedding_dim


def counts(config: Config) -> tuple[int, int, int] | None:
    """Tokens of the run, supervised tokens of an epoch, steps; None where the data or the tokenizer is not there yet."""
    try:
        renderer = load_renderer(config.model.name, config.model.tags, config.clock.stamps)
        sources, schedule = sft.read(config, renderer)
    except ModelNotFound:
        return None
    except BadData as error:
        if "no folder" in str(error):
            return None
        raise
    return schedule.tokens, sum(source.supervised_tokens for source in sources), schedule.steps


def device_memory(config: Config, model: Any, parameters: int, trainable: int) -> dict[str, float]:
    """Estimated peak on one device, in GiB.

    ZeRO-3 and FSDP2 shard weights, gradients and optimiser over the devices, as DeepSpeed's estimator has it; the
    largest layer is gathered whole. Activations: 34 bytes · tokens · hidden a layer (Korthikanti et al. 2022, without
    the attention matrix, which is never kept), or 2 with recomputation, and one layer.
    """
    train, shape = config.train, model.config.get_text_config()
    shards = config.gpus if config.launcher in ("fsdp2", "zero3") else 1
    width = 4 if train.method == "full" else 0.5625 if train.method == "qlora" else _BYTES[config.model.dtype]
    weights = (parameters * width + (0 if train.method == "full" else trainable * 4)) / shards
    if shards > 1:
        blocks = [*model.base_model.layers, model.get_input_embeddings()]
        weights += width * max(sum(p.numel() for p in block.parameters()) for block in blocks)
    tokens = train.max_length * train.micro_batch_rows
    each = 34 * tokens * shape.hidden_size
    layers = shape.num_hidden_layers
    activations = each + 2 * tokens * shape.hidden_size * layers if train.gradient_checkpointing else each * layers
    positions = min(tokens, CHUNK_POSITIONS) if train.loss == "chunked" else tokens
    logits = positions * shape.vocab_size * (2 + 4 + 4)  # as computed, in float32, and their gradient
    parts = {"weights": weights, "optimiser": trainable * _ADAM_BYTES / shards, "activations": activations, "logits": logits}
    return {name: round(value / _GIB, 2) for name, value in (parts | {"all": sum(parts.values())}).items()}


if __name__ == "__main__":
    command(main)()
