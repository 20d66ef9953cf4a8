"""Our trainer beside TRL's as it comes: ``python -m scripts.bench train [tokens=8000] [length=2048] [model=smollm2] [threads=2]``.

The same trajectories (the first that `experiment=smollm2_assistant` would train on), the same model with the same LoRA, and
as many ids a step. TRL comes as it is, unpacked and packed (its head in tiles, which on a CPU scores every position), and
both again with the model's own loss, the logits of every position. Each variant runs in a process of its own, so that its
peak memory is its own, and all in turns of one step, so that a busy machine slows all alike. Prints a line of JSON:
supervised tokens a second, peak memory, and ratios of our speed over each of the others'.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from training.tokens import Example

VARIANTS = ("ours", "trl", "trl_packed", "trl_full_logits", "trl_packed_full_logits")


def main(arguments: list[str]) -> int:
    """Runs all variants on the same trajectories."""
    options = dict(argument.split("=", 1) for argument in arguments)
    model, threads = options.pop("model", "smollm2"), int(options.pop("threads", "2"))
    tokens, length = int(options.pop("tokens", "8000")), int(options.pop("length", "2048"))
    if options:
        print(f"bench train: unknown option {min(options)}; use model=, tokens=, length= and threads=", file=sys.stderr)
        return 2
    examples = trajectories(model, tokens, length)
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 20))  # what a step frees goes back to the system, for the next variant
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    workers = []
    left: dict[str, int] = {}
    for name in VARIANTS:
        mine, theirs = context.Pipe()
        worker = context.Process(target=_serve, args=(name, model, examples, length, threads, theirs), daemon=True)
        worker.start()
        pipes[name] = mine
        workers.append(worker)
        left[name] = mine.recv()  # its steps, once it has warmed up: one after the other, for memory's sake
    taken = {name: [0.0, 0] for name in VARIANTS}
    while any(left.values()):
        for name in VARIANTS:
            if left[name]:
                pipes[name].send("step")
                seconds, targets = pipes[name].recv()
                taken[name][0] += seconds
                taken[name][1] += targets
                left[name] -= 1
    ids, targets = sum(map(len, examples)), sum(example.supervised_tokens for example in examples)
    result: dict[str, Any] = {
        "model": model, "threads": threads, "length": length, "trajectories": len(examples), "tokens": ids, "supervised_tokens": targets,
    }
    for name in VARIANTS:
        pipes[name].send("end")
        result[name] = {
            "supervised_tokens_per_s": round(taken[name][1] / taken[name][0], 1), "peak_memory_mib": round(pipes[name].recv() / 1024),
            "supervised_tokens": taken[name][1],
        }
    for worker in workers:
        worker.join(timeout=30)
    speed = {name: result[name]["supervised_tokens_per_s"] for name in VARIANTS}
    for name in VARIANTS[1:]:
        result[name.replace("trl", "ratio")] = round(speed["ours"] / speed[name], 2)
    print(json.dumps(result))
    return 0


def trajectories(model: str, tokens: int, length: int) -> list[Example]:
    """The first trajectories of the experiment, in the model's tokens: as many as have ``tokens`` ids, none longer than ``length``."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from agent.models.load import load_renderer
    from configs.schema import register
    from data_gen.generate import make_row
    from data_gen.sources import load
    from training.tokens import make_example
    register()
    with initialize_config_module("configs", version_base="1.3"):
        config = OmegaConf.to_object(compose("config", overrides=["experiment=smollm2_assistant", f"model.name={model}"]))
    renderer, tasks = load_renderer(model, "token", "none"), load(config, "train")
    found: list[Example] = []
    for n, task in enumerate(tasks):
        if sum(map(len, found)) >= tokens:
            break
        example = make_example(make_row(config, task, "train", n), renderer, idle_pauses=config.train.idle_pauses)
        if len(example) <= length:
            found.append(example)
    return found


def _serve(variant: str, name: str, examples: list[Example], length: int, threads: int, pipe: Connection) -> None:
    """One variant's process: builds, takes a step to warm up, then a step whenever it is told to."""
    import torch
    torch.set_num_threads(threads)
    step, batches = _ours(name, examples, length) if variant == "ours" else _trl(name, examples, length, variant)
    step(batches[0])
    pipe.send(len(batches))
    at = 0
    while pipe.recv() == "step":
        begun = time.perf_counter()
        targets = step(batches[at])
        pipe.send((time.perf_counter() - begun, targets))
        at += 1
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _base(name: str) -> tuple[Any, Any, Any]:
    from agent.models.load import load_renderer
    from configs.schema import Config
    from training.sft import adapter, load_base
    config = Config()
    config.model.name = name
    renderer = load_renderer(name, "token", "none")
    model, _ = load_base(config, renderer)
    # without rows of added tokens: TRL 1.16's own head can't train them (it asks peft's wrapper for a bias)
    return model, adapter(config, model, {}), renderer.tokenizer


def _packed(examples: list[Example], length: int) -> Any:
    from training.packing import schedule
    return schedule([len(e) for e in examples], [len(examples)], seed=0, batch_rows=1, max_length=length)


def _ours(name: str, examples: list[Example], length: int) -> tuple[Any, list[Any]]:
    from peft import get_peft_model

    from training.trainer import Trainer
    model, lora, tokenizer = _base(name)
    plan = _packed(examples, length)
    model = get_peft_model(model, lora)
    trainer = Trainer(model, _arguments(length), schedule=plan, examples=examples, tokenizer=tokenizer, loss="chunked")
    return _step(trainer), [trainer.data_collator([{"rows": row}]) for row in plan.rows]


def _trl(name: str, examples: list[Example], length: int, variant: str) -> tuple[Any, list[Any]]:
    import torch
    from datasets import Dataset
    from trl import SFTTrainer
    model, lora, tokenizer = _base(name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = Dataset.from_list([{"input_ids": e.ids.tolist(), "labels": e.labels.tolist()} for e in examples])

    class FullLogits(SFTTrainer):
        """With the logits of every position, as the model's own loss has them."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            return model(**inputs, use_cache=False).loss

    packed = variant.startswith("trl_packed")
    kind = FullLogits if variant.endswith("full_logits") else SFTTrainer
    trainer = kind(model, _arguments(length, packed, ready=False), train_dataset=rows, processing_class=tokenizer, peft_config=lora)
    order = torch.utils.data.SequentialSampler(trainer.train_dataset)
    size = 1 if packed else max(1, round(len(examples) / len(_packed(examples, length).rows)))  # as many as our rows hold
    batches = list(torch.utils.data.BatchSampler(order, size, drop_last=False))
    return _step(trainer), [trainer.data_collator([trainer.train_dataset[n] for n in batch]) for batch in batches]


def _arguments(length: int, packed: bool = False, ready: bool = True) -> Any:
    from trl import SFTConfig
    return SFTConfig(
        output_dir="/nonexistent", max_steps=1, bf16=True, use_cpu=True, gradient_checkpointing=False, activation_checkpointing=False,
        report_to=[], packing=packed, max_length=length,
        dataset_kwargs={"skip_prepare_dataset": ready}, remove_unused_columns=False, disable_tqdm=True,
    )


def _step(trainer: Any) -> Any:
    import torch
    trainer.create_optimizer()
    optimiser = trainer.optimizer

    def step(batch: Any) -> int:
        batch = {name: value for name, value in batch.items() if name != "seq_lengths"}
        with torch.autocast("cpu", torch.bfloat16):
            loss = trainer.compute_loss(trainer.model, dict(batch))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return int((batch["labels"] != -100).sum())

    return step
