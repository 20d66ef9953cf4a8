"""What a training run will need: ``python -m training.plan experiment=qwen25_3b launcher=zero3 gpus=4``.

Owns counts of parameters, tokens, steps, memory a device and time, from the settings, the data folders (or, before they
are made, a sample of the trajectories that they will hold) and the model's configuration alone: no weights are loaded,
the model is built on the meta device. Does not know the trainer.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import configs
from configs.command import command
from configs.schema import Config, DataConfig
from data_gen import generate
from data_gen.sources import load
from data_gen.trajectory import MANIFEST
from midsentence.assets import MissingAsset, asset_path
from midsentence.core.protocol import TAGS
from midsentence.ending import UserError
from midsentence.models.folders import ModelNotFound, at_hand, resolve
from midsentence.rendering.renderer import CLOCK_TOKENS, Renderer, Stamps, Tags, Turns
from training import sft
from training.corpus import Source
from training.loss import CHUNK_POSITIONS
from training.packing import Schedule
from training.tokens import make_example
from training.vocabulary import new_tokens

ARCHITECTURES = Path(__file__).parent / "architectures"
SOURCES = Path(configs.__file__).parent / "data"
"""The files of group data: what trajectories are made of."""
TOKENIZERS = {"Qwen2.5-3B-Instruct": "qwen2.5", "Llama-3.2-3B-Instruct": "llama3.2"}
"""Pinned files with the tokenizers of the models whose configurations come along."""
CARDS_GB = (8, 16, 24, 40, 80)
"""Memory of common cards; what is sold as GB is about as many GiB."""
_USABLE = 0.9
MAKING = frozenset("experiment data model clock agent tools requests task seed".split())
"""Settings that trajectories depend on."""
SAMPLE = 24
"""Trajectories that are made to learn how long they are, where the data is not there yet."""

_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_TRAINED_BYTES = 16
"""Of a trained parameter: weight, gradient and Adam's two moments in float32."""
_ZERO3_BYTES = 18
"""The same under ZeRO-3 in mixed precision, which keeps a 16-bit copy of the weight too: DeepSpeed's own figure."""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run needs. ``None`` where the data can be neither read nor sampled."""

    model: str
    """Name of the model."""
    parameters: int
    """Of the model as it comes."""
    trainable_parameters: int
    """Of adapter and new token rows, or of the whole model with them."""
    new_tokens: int
    """Rows added for tags and clock stamps."""
    data: str
    """``read``, ``sampled`` (not made yet: reckoned from the first trajectories of it) or ``unknown``."""
    tokens: int | None
    """Ids of the examples of an epoch, prompts included."""
    supervised_tokens: int | None
    """Of those, what the loss counts."""
    steps: int | None
    """Optimiser steps of the run."""
    run_tokens: int | None
    """Ids that go through the model in the whole run, shared prompts counted once."""
    launcher: str
    """Name of a file of ``configs/accelerate``."""
    devices: int
    """How many devices."""
    memory_gib: dict[str, float]
    """Each device's: weights, gradients and optimiser, activations, logits, all."""
    host_memory_gib: float
    """All processes' while the model is loaded, before it is sharded."""
    mfu: float
    """Share of a device's peak that is reckoned with."""
    device_tflops: float
    """Peak of one device, in 10¹² operations a second."""
    hours: float | None
    """At ``mfu`` of ``device_tflops`` on every device."""
    missing: tuple[str, ...] = ()
    """Commands that fetch or make what the run needs and is not there."""


def main(config: Config) -> None:
    """Prints the plan as lines, or as JSON."""
    made = plan(config)
    if config.json:
        print(json.dumps(asdict(made), indent=1))
        return
    print(f"{made.model}: {made.parameters:,} parameters")
    print(f"train.method={config.train.method}: {made.trainable_parameters:,} trainable, {made.new_tokens} new tokens")
    folders = ", ".join(config.train.data) or "none named"
    if made.tokens is None or made.hours is None:
        print(
            f"data: {folders}: not made yet, and its tokenizer or source is not at hand; tokens, steps and time are unknown"
        )
    else:
        each = "each" if len(config.train.data) > 1 else "it"
        note = f" (not made yet: reckoned from {SAMPLE} trajectories of {each})" if made.data == "sampled" else ""
        print(f"data: {folders}{note}: {made.tokens:,} tokens an epoch, {made.supervised_tokens:,} of them supervised")
        print(f"run: {made.steps:,} steps of {config.train.batch_rows} rows, {made.run_tokens:,} tokens")
        time = f"{made.hours:.1f} h" if made.hours >= 1 else f"{60 * made.hours:.1f} minutes"
        print(f"time: {time} on {made.devices} devices at {made.mfu:.0%} of {made.device_tflops:g} TFLOP/s")
    parts = ", ".join(f"{name} {value:.2f}" for name, value in made.memory_gib.items())
    print(
        f"memory of each of {made.devices} devices, launcher={made.launcher}, GiB: {parts}; of the host, {made.host_memory_gib:.1f}"
    )
    fits = ", ".join(f"{card} GB: {'yes' if made.memory_gib['all'] <= _USABLE * card else 'no'}" for card in CARDS_GB)
    print(f"fits a card of {fits} (a tenth is left for what is not counted)")
    for line in made.missing:
        print(f"missing; make it with: {line}")


def plan(config: Config) -> Plan:
    """The plan of the configured run.

    Raises:
        UserError: an unknown launcher, or a model whose configuration can't be had.
    """
    if config.launcher == "single" and config.gpus > 1:
        raise UserError(
            f"gpus={config.gpus} with launcher={config.launcher}; use launcher=ddp, fsdp2 or zero3 for several"
        )
    train = config.train
    model = skeleton(config.model.name)
    parameters = sum(p.numel() for p in model.parameters())
    base = tokenizer_folder(config.model.name)
    renderer = None if base is None else renderer_of(config, base)
    new = count_new_tokens(config, base, renderer)
    trainable = (
        full_parameters(model, renderer)
        if train.method == "full"
        else adapter_parameters(model, train.lora_targets, train.lora_rank, new)
    )
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    found, data = (
        (None, "unknown") if renderer is None or base is None else read_or_sample(config, base, renderer, context)
    )
    sources, schedule = found or ([], None)
    # forward and backward of activations; backward of weights only where they are trained
    flops = schedule.tokens * (4 * parameters + 2 * trainable) if schedule else None
    return Plan(
        config.model.name,
        parameters,
        trainable,
        new,
        data,
        sum(source.tokens for source in sources) if schedule else None,
        sum(source.supervised_tokens for source in sources) if schedule else None,
        schedule.steps if schedule else None,
        schedule.tokens if schedule else None,
        config.launcher,
        config.gpus,
        device_memory(config, model, parameters, trainable),
        host_memory(config, parameters),
        train.mfu,
        train.device_tflops,
        flops / (train.mfu * train.device_tflops * 1e12 * config.gpus) / 3600 if flops else None,
        missing(config, base),
    )


def missing(config: Config, base: Path | None) -> tuple[str, ...]:
    """Commands that fetch or make what the run needs and is not there.

    Args:
        config: the settings.
        base: where the tokenizer is, if it is at hand.
    """
    name = config.model.name
    weights = [] if at_hand(name) else [f"midsentence fetch --model {name}"]
    pinned = TOKENIZERS.get(Path(name).name)
    tokenizer = [f"midsentence fetch {pinned}"] if base is None and pinned else []
    data = [folder for folder in config.train.data if not (Path(folder) / MANIFEST).exists()]
    return (
        *weights,
        *tokenizer,
        *(
            shlex.join(["python", "-m", "data_gen.generate", *typed(), *source_of(config, folder), f"out={folder}"])
            for folder in data
        ),
    )


def source_of(config: Config, folder: str | Path) -> list[str]:
    """What says where a folder's tasks come from, if not the settings at hand: of several folders, each is taken to be
    of the file of group data that it is named after."""
    name = Path(folder).name
    return [f"data={name}"] if len(config.train.data) > 1 and (SOURCES / f"{name}.yaml").is_file() else []


def data_of(config: Config, folder: Path) -> DataConfig | None:
    """The settings that a folder which is not made yet will be made with; None where they can't be known."""
    if len(config.train.data) == 1:
        return config.data
    source = source_of(config, folder)
    if not source or not HydraConfig.initialized():
        return None
    settings: Any = OmegaConf.to_object(compose("config", [*HydraConfig.get().overrides.task, *source]))
    return cast(DataConfig, settings.data)


def typed() -> list[str]:
    """What was said on the command line of the data, so that it can be said again where it is made."""
    said = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    plain = (part.lstrip("+") for part in said)  # `configs.command.opened` has put some of them there
    return [part for part in plain if part.partition("=")[0].partition(".")[0] in MAKING]


def renderer_of(config: Config, base: Path) -> Renderer:
    """The renderer that the run would have."""
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    tags, stamps = cast(Tags, config.model.tags), cast(Stamps, config.clock.stamps)
    return Renderer.prepare(tokenizer, tags, stamps, cast(Turns | None, config.model.turns))


def skeleton(name: str) -> Any:
    """The model on the meta device; of the two 3B models the configurations come along."""
    known = ARCHITECTURES / f"{Path(name).name}.json"
    try:
        settings = AutoConfig.from_pretrained(known if known.exists() else resolve(name), trust_remote_code=False)
    except ModelNotFound as error:
        raise UserError(str(error)) from error
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(settings)


def tokenizer_folder(name: str) -> Path | None:
    """Where the model's tokenizer is; None if it is not at hand. For the two 3B models nothing is fetched."""
    pinned = TOKENIZERS.get(Path(name).name)
    try:
        return resolve(name) if pinned is None or Path(name).is_dir() else asset_path(pinned)
    except (ModelNotFound, MissingAsset):
        return None


def count_new_tokens(config: Config, base: Path | None, renderer: Renderer | None) -> int:
    """Tags and stamps that the tokenizer lacks; where it is not at hand, all but those that the model is known to
    have."""
    if renderer is not None:
        return len(new_tokens(AutoTokenizer.from_pretrained(base, trust_remote_code=False), renderer))
    own = 2 if "Qwen2.5" in config.model.name else 0  # <tool_call> and </tool_call>
    return (len(TAGS) - own if config.model.tags == "token" else 0) + (
        len(CLOCK_TOKENS) if config.clock.stamps == "token" else 0
    )


def adapter_parameters(model: Any, targets: list[str], rank: int, new: int) -> int:
    """LoRA's two matrices on every target, and the rows of new tokens (one matrix where they are tied)."""
    layers = [
        m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and name.rsplit(".", 1)[-1] in targets
    ]
    return sum(int(rank * (m.in_features + m.out_features)) for m in layers) + new * _row(model)


def full_parameters(model: Any, renderer: Renderer | None) -> int:
    """The whole model's, with the rows by which its embedding grows: some models have room for new tokens as they
    come."""
    more = 0 if renderer is None else max(0, renderer.vocabulary_size - model.get_input_embeddings().num_embeddings)
    return sum(int(p.numel()) for p in model.parameters()) + more * _row(model)


def _row(model: Any) -> int:
    """Parameters of one token: a row of the embedding, and one of the head where that is another matrix."""
    matrices = 1 if model.config.get_text_config().tie_word_embeddings else 2
    return matrices * int(model.get_input_embeddings().embedding_dim)


def read_or_sample(
    config: Config, base: Path, renderer: Renderer, context: int | None
) -> tuple[tuple[list[Source], Schedule] | None, str]:
    """Examples and schedule, and ``read``, ``sampled`` or ``unknown``.

    A folder that is sampled is taken to be made with the settings at hand, and with its source (`source_of`).
    """
    folders = [Path(folder) for folder in config.train.data]
    if folders and all((folder / MANIFEST).exists() for folder in folders):
        return sft.read(config, renderer, context), "read"
    made_with = [data for folder in folders if (data := data_of(config, folder)) and data.sizes.get("train")]
    if not folders or len(made_with) < len(folders):
        return None, "unknown"
    model = replace(config.model, name=str(base))
    try:
        sources = [
            sample(replace(config, model=model, data=data), folder, renderer, context)
            for data, folder in zip(made_with, folders, strict=True)
        ]
    except MissingAsset:
        return None, "unknown"
    return (sources, sft.order(config, sources)), "sampled"


def sample(config: Config, folder: Path, renderer: Renderer, context: int | None = None) -> Source:
    """The first trajectories of a folder that is not made yet, again and again up to its size."""
    train, size = config.train, config.data.sizes["train"]
    tasks = load(config, "train")
    rows = [generate.make_row(config, tasks[n % len(tasks)], "train", n) for n in range(min(SAMPLE, size))]
    example_of = partial(
        make_example,
        renderer=renderer,
        cut_spans=train.supervise_cut_spans,
        idle_pauses=train.idle_pauses,
        model=config.model.name,
    )
    longest = min(train.max_length, context or train.max_length)
    examples = [example for row in rows if len(example := example_of(row)) <= longest]
    if not examples:
        raise UserError(
            f"all of the first {len(rows)} trajectories are longer than train.max_length={longest}; raise it"
        )
    kept = size * len(examples) // len(rows)
    return Source(folder, [examples[n % len(examples)] for n in range(max(kept, 1))], dropped=size - kept)


def device_memory(config: Config, model: Any, parameters: int, trainable: int) -> dict[str, float]:
    """Estimated peak on one device, in GiB.

    Weights, gradients and optimiser: `zero3_states` for ZeRO-3. FSDP2 shards the same over the devices, keeps what it
    trains in float32, and gathers two blocks at a time, this one and the next, in ``model.dtype``. Activations: 34
    bytes · tokens · hidden a layer (Korthikanti et al. 2022, without the attention matrix, which is never kept), or 2
    with recomputation, and one layer.
    """
    train, shape = config.train, model.config.get_text_config()
    width = 0.5625 if train.method == "qlora" else _BYTES[config.model.dtype]
    frozen = 0 if train.method == "full" else parameters
    if config.launcher == "zero3":
        largest = max(sum(p.numel() for p in module.parameters(recurse=False)) for module in model.modules())
        weights, states = zero3_states(frozen, trainable, largest, config.gpus, width)
    else:
        shards = config.gpus if config.launcher == "fsdp2" else 1
        states = trainable * (_TRAINED_BYTES - 4) / shards
        weights = (frozen * width + trainable * 4) / shards
        if config.launcher == "fsdp2":
            weights += 2 * width * max(sum(p.numel() for p in block.parameters()) for block in model.base_model.layers)
        elif train.method == "full" and width < 4:
            weights += trainable * width  # autocast's copy
    tokens = train.max_length * train.micro_batch_rows
    each = 34 * tokens * shape.hidden_size
    layers = shape.num_hidden_layers
    activations = each + 2 * tokens * shape.hidden_size * layers if train.gradient_checkpointing else each * layers
    positions = min(tokens, CHUNK_POSITIONS) if train.loss == "chunked" else tokens
    logits = positions * shape.vocab_size * (2 + 4 + 4)  # as computed, in float32, and their gradient
    parts = {"weights": weights, "optimiser": states, "activations": activations, "logits": logits}
    return {name: round(value / _GIB, 2) for name, value in (parts | {"all": sum(parts.values())}).items()}


def zero3_states(frozen: int, trainable: int, largest: int, devices: int, width: float) -> tuple[float, float]:
    """Bytes of weights, and of gradients and optimiser, on one device under ZeRO-3 without offload.

    DeepSpeed's own `estimate_zero3_model_states_mem_needs` where it is installed, and its formula (4 bytes of the
    largest layer, gathered whole, and 18 of each parameter over the devices) where not. It knows only parameters that
    are trained: a frozen one adds ``width`` bytes, sharded.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it greets
            from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    except ImportError:
        trained = zero3_formula(trainable, largest, devices)
    else:
        _, trained, _ = estimate_zero3_model_states_mem_needs(
            trainable, largest, devices, cpu_offload=False, cpu_offload_params=False, zero_init=False
        )
    optimiser = trainable * (_ZERO3_BYTES - 2) / devices
    return trained - optimiser + frozen * width / devices, optimiser


def zero3_formula(trainable: int, largest: int, devices: int) -> int:
    """Bytes of model states a device, as DeepSpeed 0.19 reckons them."""
    return 4 * largest + _ZERO3_BYTES * trainable // devices


def host_memory(config: Config, parameters: int) -> float:
    """GiB of all processes together: each loads the whole model before anything is sharded."""
    width = 4 if config.train.method == "full" else _BYTES[config.model.dtype]
    return round(config.gpus * parameters * width / _GIB, 2)


if __name__ == "__main__":
    command(main)()
