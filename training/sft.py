"""Fine-tunes a model on trajectories: ``python -m training.sft experiment=debug``.

Owns the run: settings checked, data read, model and new tokens prepared, trained, saved with its tokenizer. The same
command under ``accelerate launch`` uses many devices. A killed run goes on where it was when the same command is given
again. With ``model.adapter`` training goes on from a checkpoint's LoRA weights. Does not know how a task is scored.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import secrets
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import PartialState
from hydra.utils import get_object

from configs.command import claim, command, out_folder, to_write, write_manifest
from configs.launch import start_all
from configs.schema import Config
from data_gen.trajectory import read_manifest
from midsentence.addresses import without_keys
from midsentence.ending import UserError
from midsentence.files import marker, write
from midsentence.models.checkpoint import BASE, load_model
from midsentence.models.folders import resolve
from midsentence.models.load import adapter_folder, finite, load_renderer, load_tokenizer, note_protocol, weights_hash
from midsentence.rendering.renderer import Renderer, Stamps, Tags, Turns
from training.batch import Collator
from training.checks import check_model, check_settings, context_of
from training.corpus import Source, describe, read_source
from training.fused import fuse
from training.kernels import Machine, choose_attention, choose_kernels, use_kernels
from training.memory import GiveBack, bound_kernel_caches
from training.packing import Schedule, schedule
from training.trainer import Trainer, latest
from training.vocabulary import add_rows, embedding_names, new_tokens
from training.watch import SaveEvery, Watch

CHECKPOINTS = "checkpoints"
WANDB = "wandb.json"
"""Beside the checkpoints: which W&B run this one is, so that it is still that one when it goes on."""
LAST = "last"
"""Where the last weights are, if a validation chose others."""


def main(config: Config) -> None:
    """Checks, reads, trains, saves."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    bound_kernel_caches()
    processes = PartialState(cpu=not torch.cuda.is_available()).num_processes
    if config.max_tokens:
        config.train.max_tokens = config.max_tokens
    check_settings(config, processes)
    folder = out_folder(config, "train")
    key = recipe(config)
    claim(folder)
    if finished(folder, key):
        say(f"finished before: {folder}")
        return
    base = resolve(config.model.name)
    check_model(config, base)
    # of a checkpoint that is trained on, so that one in another form of the protocol is refused
    renderer = renderer_of(config, config.model.adapter)
    sources, plan = read(config, renderer, context_of(base))
    say(describe(sources))
    say(
        f"{plan.steps} steps of {plan.batch_rows} rows, {plan.tokens} tokens"
        + (f", {processes} processes" if processes > 1 else "")
    )
    with quiet():
        trainer = build(config, folder, renderer, sources, plan)
    checkpoint = resumable(config, folder, key)
    with quiet(), wandb_run(config, folder, fresh=checkpoint is None):
        trainer.train(resume_from_checkpoint=checkpoint)
    spent = trainer.spent()
    trainer.check_weights()
    save(config, folder, trainer, key, sources, plan, {"loss": spent.mean_loss, "elapsed_s": spent.elapsed_s})
    last = f" (the last {plan.steps - trainer.began_step} after a resume)" if trainer.began_step else ""
    say(f"{spent.steps} steps{last} in {spent.elapsed_s:.0f} s, mean loss {spent.mean_loss:.3f}")
    say(f"checkpoint: {folder}")


def say(text: str) -> None:
    """Prints, on the main process alone."""
    if PartialState().is_main_process:
        print(text, flush=True)


def recipe(config: Config) -> str:
    """A hash of all that the weights depend on: the settings, and how the data was made."""
    train = asdict(config.train)
    for name in (
        "resume",
        "wandb",
        "checkpoint_every_s",
        "checkpoint_every_steps",
        "callback",
        "validate_every_steps",
        "log_every_steps",
        "attention",
        "kernels",
    ):
        train.pop(name, None)
    if config.train.callback:  # it chooses among the weights
        train |= {"callback": dict(config.train.callback), "validate_every_steps": config.train.validate_every_steps}
    made = [read_manifest(Path(folder)).get("recipe", folder) for folder in config.train.data]
    model = asdict(config.model) | {"adapter": weights_hash(config.model.adapter) or None}
    parts = {"model": model, "clock": config.clock.stamps, "train": train, "seed": config.seed, "data": made}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def finished(folder: Path, key: str) -> bool:
    """Whether the folder holds the end of this very run.

    Raises:
        UserError: it holds another run.
    """
    made, making = marker(folder / "manifest.json"), marker(folder / CHECKPOINTS / "recipe.json")
    if latest(folder / CHECKPOINTS) is None:
        making = {}  # a run that ended before its first checkpoint binds nobody
    if any(found and found.get("recipe") != key for found in (made, making)):
        raise UserError(f"{folder} holds a run with other settings or data; give another out=, or delete the folder")
    return bool(made)


def resumable(config: Config, folder: Path, key: str) -> str | None:
    """The last whole checkpoint of this run, if it is to go on from there; makes the folder for those to come."""
    place = folder / CHECKPOINTS
    state = PartialState()
    if state.is_main_process:
        if not config.train.resume:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        write(place / "recipe.json", json.dumps({"recipe": key}) + "\n")
    state.wait_for_everyone()
    found = latest(place)
    if found is not None:
        say(f"going on from {found}")
    return str(found) if found is not None else None


def read(config: Config, renderer: Renderer, context: int | None = None) -> tuple[list[Source], Schedule]:
    """The examples, none longer than the model's context, and the order of training."""
    train = config.train
    longest = min(train.max_length, context or train.max_length)
    sources = [
        read_source(
            Path(folder),
            renderer,
            max_length=longest,
            too_long=train.too_long,
            cut_spans=train.supervise_cut_spans,
            idle_pauses=train.idle_pauses,
            model=config.model.name,
        )
        for folder in train.data
    ]
    return sources, order(config, sources)


def order(config: Config, sources: list[Source]) -> Schedule:
    """The order of training on these examples."""
    train = config.train
    examples = [example for source in sources for example in source.examples]
    return schedule(
        [len(example) for example in examples],
        [len(source.examples) for source in sources],
        seed=config.seed,
        batch_rows=train.batch_rows,
        max_length=train.max_length,
        weights=train.weights,
        packing=train.packing,
        epochs=train.epochs,
        max_tokens=train.max_tokens,
        max_steps=train.max_steps,
        micro_batch_rows=train.micro_batch_rows,
        cost=Collator(examples, train.share_prompts).tokens,
    )


def load_base(config: Config, renderer: Renderer) -> tuple[Any, dict[int, tuple[int, ...]]]:
    """The model with room for the new tokens, and those tokens.

    Full fine-tuning keeps its weights in float32 and computes in ``model.dtype``: bfloat16 weights lose small updates.
    """
    from transformers import AutoModelForCausalLM

    train = config.train
    dtype = torch.float32 if train.method == "full" else getattr(torch, config.model.dtype)
    more: dict[str, Any] = {}
    if train.method == "qlora":
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, bnb_4bit_use_double_quant=True
        )
    model = AutoModelForCausalLM.from_pretrained(
        resolve(config.model.name), dtype=dtype, trust_remote_code=False, **more
    )
    if PartialState().is_local_main_process:  # elsewhere FSDP and ZeRO leave weights empty until it sends them
        finite(model, config.model.name)
    if (given := to_write(config)["model"]["name"]) != config.model.name:
        model.name_or_path = model.config.name_or_path = given  # which adapters and W&B write down
    new = new_tokens(load_tokenizer(config.model.name), renderer)
    add_rows(model, renderer, new, config.seed)
    machine = Machine.here()
    use_kernels(
        model,
        choose_attention(train.attention, config.model.dtype, machine),
        choose_kernels(train.kernels, model.config.model_type, train.method, machine),
    )
    return model, new


def build(config: Config, folder: Path, renderer: Renderer, sources: list[Source], plan: Schedule) -> Trainer:
    """The trainer, ready to start."""
    torch.manual_seed(config.seed)
    model, new = load_base(config, renderer)
    if (wanted := adapter(config, model, new)) is not None:
        from peft import get_peft_model

        # before the arguments exist: once they say ZeRO-3, peft collects the new tokens' rows on GPUs, where the model
        # is not yet. ZeRO-3 wants one type of weights, and keeps float32 copies of what it trains
        torch.manual_seed(config.seed)
        whole = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") != "3"
        model = get_peft_model(model, wanted, autocast_adapter_dtype=whole)
        if config.model.adapter is not None:
            go_on(model, adapter_folder(config.model.adapter))
        if (
            choose_kernels(config.train.kernels, model.config.model_type, config.train.method, Machine.here())
            == "fused"
        ):
            fuse(model)
    return Trainer(
        model,
        arguments(config, folder, plan),
        schedule=plan,
        examples=[e for source in sources for e in source.examples],
        tokenizer=renderer.tokenizer,
        loss=config.train.loss,
        share_prompts=config.train.share_prompts,
        callbacks=[
            Watch(folder),
            SaveEvery(config.train.checkpoint_every_steps, config.train.checkpoint_every_s),
            *([] if torch.cuda.is_available() else [GiveBack()]),
            *injected(config, folder),
        ],
    )


def go_on(model: Any, folder: Path) -> None:
    """Puts a trained adapter's weights in place of those that a new one begins with.

    Raises:
        UserError: it was trained with other layers, another rank or other tokens.
    """
    from peft import set_peft_model_state_dict
    from peft.utils import load_peft_weights

    given = load_peft_weights(str(folder), device="cpu")
    with warnings.catch_warnings():  # peft reads a name that transformers has since changed
        warnings.filterwarnings("ignore", message=".*_checkpointing` is deprecated", category=FutureWarning)
        try:
            result = set_peft_model_state_dict(model, given)
        except (RuntimeError, KeyError) as error:
            why = str(error).splitlines()[0]
            raise UserError(
                f"{folder} does not fit this run: {why} …; set train.lora_* as in its config.yaml"
            ) from error
    parameters = dict(model.named_parameters(remove_duplicate=False))
    there = {id(parameter) for name, parameter in parameters.items() if name not in result.missing_keys}
    # a tied head shares its rows with the embedding, and is saved with it
    absent = [
        name for name in result.missing_keys if parameters[name].requires_grad and id(parameters[name]) not in there
    ]
    if absent or result.unexpected_keys:
        odd = (absent or result.unexpected_keys)[0]
        raise UserError(
            f"{folder} has other layers or tokens ({odd}); set train.lora_* and train.train_new_tokens as in its config.yaml"
        )


def injected(config: Config, folder: Path) -> list[Any]:
    """The validation callback that the settings name; it lives where tasks are scored, which this room may not import.

    Raises:
        UserError: no such class, or options that it does not take.
    """
    if not config.train.callback:
        return []
    options = dict(config.train.callback)
    target = options.pop("_target_", "")
    try:
        kind = get_object(target)
    except Exception as error:  # hydra's locator raises several kinds
        raise UserError(
            f"train.callback._target_={target!r} can't be imported; name a class such as eval.module.Class"
        ) from error
    options |= {"config": config, "folder": folder, "every_steps": config.train.validate_every_steps}
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        raise UserError(f"train.callback: {target} {error}; correct the options beside _target_") from error
    return [kind(**options)]


@contextlib.contextmanager
def wandb_run(config: Config, folder: Path, fresh: bool) -> Iterator[None]:
    """A W&B run around training, the same one when a killed run goes on; without a key offline, so that it never asks
    and never blocks.

    Args:
        config: the settings.
        folder: the run's.
        fresh: whether training begins at its first step: then what was logged before is another run's.
    """
    mode = config.train.wandb
    if mode == "online" and not os.environ.get("WANDB_API_KEY"):
        mode = "offline"
    os.environ["WANDB_MODE"] = mode
    if mode == "disabled" or not PartialState().is_main_process:
        yield
        return
    import wandb

    sys.argv[1:] = map(without_keys, sys.argv[1:])  # it sends them along
    note = folder / CHECKPOINTS / WANDB
    id = os.environ.get("WANDB_RUN_ID") or (None if fresh else marker(note).get("run")) or secrets.token_hex(4)
    write(note, json.dumps({"run": id}) + "\n")
    project, place = os.environ.get("WANDB_PROJECT", "midsentence"), os.environ.get("WANDB_DIR", str(folder))
    # the trainer's callback logs to the run that there is
    with wandb.init(
        mode=cast(Any, mode),
        project=project,
        dir=place,
        id=id,
        resume="allow",
        name=os.environ.get("WANDB_NAME", config.name),
    ):
        yield


def adapter(config: Config, model: Any, new: dict[int, tuple[int, ...]]) -> Any:
    """The LoRA settings, with the new tokens' rows to train; None for full fine-tuning."""
    train = config.train
    if train.method == "full":
        return None
    from peft import LoraConfig

    rows = {name: list(new) for name in embedding_names(model)} if new and train.train_new_tokens else None
    return LoraConfig(
        r=train.lora_rank,
        lora_alpha=train.lora_alpha,
        target_modules=list(train.lora_targets),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        trainable_token_indices=rows,
    )


def arguments(config: Config, folder: Path, plan: Schedule) -> Any:
    """What TRL is told; what it would do to data is switched off, for ours comes ready."""
    from trl import SFTConfig

    train, cpu = config.train, not torch.cuda.is_available()
    recomputing = {"gradient_checkpointing": train.gradient_checkpointing}
    if "activation_checkpointing" in {field.name for field in fields(SFTConfig)}:  # the newer name
        recomputing["activation_checkpointing"] = train.gradient_checkpointing
    return SFTConfig(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=plan.steps,
        num_train_epochs=1,
        seed=config.seed,
        data_seed=config.seed,
        per_device_train_batch_size=train.micro_batch_rows,
        gradient_accumulation_steps=train.batch_rows // (train.micro_batch_rows * PartialState().num_processes),
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=round(train.warmup_ratio * plan.steps),
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        optim="adamw_torch",
        bf16=config.model.dtype == "bfloat16",
        use_cpu=cpu,
        **recomputing,
        logging_strategy="steps",
        logging_steps=train.log_every_steps or max(1, plan.steps // 50),
        save_strategy="no",
        disable_tqdm=True,
        report_to=["wandb"] if train.wandb != "disabled" else [],
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        max_length=None,
        remove_unused_columns=False,
        average_tokens_across_devices=True,
        dataloader_pin_memory=not cpu,
        # it looks at every step's loss, for which the device must be waited for, and hides what it finds
        logging_nan_inf_filter=False,
    )


def save(
    config: Config,
    folder: Path,
    trainer: Trainer,
    key: str,
    sources: list[Source],
    plan: Schedule,
    metrics: dict[str, Any],
) -> None:
    """Weights as safetensors, the tokenizer, the settings and the manifest; then the checkpoints on the way can go.

    Where a validation chose the weights of an earlier step, those are the run's, and the last ones go to a folder
    inside.
    """
    best = trainer.validation.best() if trainer.validation is not None else None
    ours = folder if best is None or best[1]["step"] == trainer.state.global_step else folder / LAST
    if config.train.method == "full" and trainer.accelerator.num_processes == 1:
        trainer.model.to(getattr(torch, config.model.dtype))
    with quiet():
        trainer.save_model(str(ours))
    trainer.accelerator.wait_for_everyone()  # all have read which weights were chosen
    if trainer.accelerator.is_main_process:
        whole = json.loads((resolve(config.model.name) / "config.json").read_text("utf-8"))
        shape = {
            name: whole[name]
            for name in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size")
            if name in whole
        }
        renderer = renderer_of(config, None)
        for place in {folder, ours}:
            write(place / BASE, json.dumps(shape) + "\n")
            note_protocol(place, renderer)
        if best is not None and ours != folder:
            promote(config, best[0], folder)
        counts = {
            str(s.folder): {"rows": len(s.examples), "dropped": s.dropped, "cut": s.cut, "empty": s.empty}
            for s in sources
        }
        write_manifest(
            folder,
            config,
            recipe=key,
            data=counts,
            steps=plan.steps,
            tokens=plan.tokens,
            metrics=metrics,
            processes=trainer.accelerator.num_processes,
            tokenizer=renderer.fingerprint,
            parameters=sum(map(_numel, trainer.model.parameters())),
            trainable_parameters=sum(_numel(p) for p in trainer.model.parameters() if p.requires_grad),
            **({"best": best[1]} if best is not None else {}),
        )
        shutil.rmtree(folder / CHECKPOINTS)
        if best is not None:
            shutil.rmtree(best[0])
    trainer.accelerator.wait_for_everyone()


def _numel(parameter: torch.Tensor) -> int:
    """How many numbers it has on all devices together: ZeRO-3 leaves an empty tensor on each and notes the count."""
    count: int = getattr(parameter, "ds_numel", parameter.numel())
    return count


def renderer_of(config: Config, adapter: str | None) -> Renderer:
    """The renderer that the settings ask for, of the base model or of a checkpoint of it."""
    model, tags, stamps = config.model, cast(Tags, config.model.tags), cast(Stamps, config.clock.stamps)
    return load_renderer(model.name, tags, stamps, adapter, cast(Turns | None, model.turns))


def promote(config: Config, best: Path, folder: Path) -> None:
    """Copies chosen weights and their tokenizer to where a run's are; they stay where they were until the run has
    ended."""
    if config.train.method != "full":
        shutil.copytree(best, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("best.json"))
        return
    with quiet():  # training keeps them in float32; what was validated, and is used, is model.dtype
        model, tokenizer = load_model(config.model.name, str(best), config.model.dtype)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def quiet() -> Any:
    """Without what the libraries say of each other: names that one has renamed and another still uses; bars of
    loading."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(gradient|activation)_checkpointing` is deprecated")
        warnings.filterwarnings("ignore", message="`torch.distributed.* is deprecated")  # DeepSpeed's
        yield


if __name__ == "__main__":
    start_all("training.sft")
    command(main)()
