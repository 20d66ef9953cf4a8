"""Our trainer beside TRL's as it comes: ``python -m scripts.bench train [tokens=6000] [model=smollm2] [threads=2]``.

The same rows, the same model with the same LoRA. TRL comes as it is, unpacked and packed (its head in tiles, which on a CPU
scores every position), and once with the model's own loss, the logits of every position. Each variant runs in a process of
its own, so that its peak memory is its own, and all in turns of one step, so that a busy machine slows all alike. Prints a
line of JSON: supervised tokens a second, peak memory, and ratios of ours over each of the others'.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

VARIANTS = ("ours", "trl", "trl_packed", "trl_full_logits")


def main(arguments: list[str]) -> int:
    """Runs the three variants on made-up rows that are shaped like real ones."""
    options = dict(argument.split("=", 1) for argument in arguments)
    model, threads = options.pop("model", "smollm2"), int(options.pop("threads", "2"))
    tokens = int(options.pop("tokens", "6000"))
    if options:
        print(f"bench train: unknown option {min(options)}; use model=, tokens= and threads=", file=sys.stderr)
        return 2
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    workers = []
    for name in VARIANTS:
        mine, theirs = context.Pipe()
        worker = context.Process(target=_serve, args=(name, model, tokens, threads, theirs), daemon=True)
        worker.start()
        pipes[name] = mine
        workers.append(worker)
    taken = {name: [0.0, 0] for name in VARIANTS}
    left = {name: pipes[name].recv() for name in VARIANTS}  # steps of each, once it has warmed up
    while any(left.values()):
        for name in VARIANTS:
            if left[name]:
                pipes[name].send("step")
                seconds, targets = pipes[name].recv()
                taken[name][0] += seconds
                taken[name][1] += targets
                left[name] -= 1
    result: dict[str, Any] = {"model": model, "threads": threads, "targets": taken["ours"][1]}
    for name in VARIANTS:
        pipes[name].send("end")
        result[name] = {
            "supervised_tokens_per_s": round(taken[name][1] / taken[name][0], 1), "peak_memory_mib": round(pipes[name].recv() / 1024)
        }
    for worker in workers:
        worker.join(timeout=30)
    speed = {name: result[name]["supervised_tokens_per_s"] for name in VARIANTS}
    for name in VARIANTS[1:]:
        result[name.replace("trl", "ratio")] = round(speed["ours"] / speed[name], 2)
    print(json.dumps(result))
    return 0


def _rows(vocabulary: int, tokens: int) -> list[tuple[list[int], list[int], int]]:
    """``(ids, labels, prompt tokens)``: 300 to 900 ids, one prompt of 120 in three rows, a quarter supervised."""
    import random
    draw = random.Random(0)
    rows, prompt, total = [], [], 0
    while total < tokens:
        if len(rows) % 3 == 0:
            prompt = [draw.randrange(vocabulary) for _ in range(120)]
        ids = prompt + [draw.randrange(vocabulary) for _ in range(draw.randrange(180, 780))]
        labels = [-100] * len(ids)
        at = len(prompt) + 10
        while at < len(ids):
            labels[at:at + 15] = ids[at:at + 15]
            at += 55
        rows.append((ids, labels, len(prompt)))
        total += len(ids)
    return rows


def _serve(variant: str, name: str, tokens: int, threads: int, pipe: Connection) -> None:
    """One variant's process: builds, takes a step to warm up, then a step whenever it is told to."""
    import torch
    torch.set_num_threads(threads)
    step, batches = _ours(name, tokens) if variant == "ours" else _trl(name, tokens, variant)
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


def _ours(name: str, tokens: int) -> tuple[Any, list[Any]]:
    import numpy as np

    from training.packing import schedule
    from training.tokens import Example
    from training.trainer import Trainer
    model, lora, tokenizer = _base(name)
    rows = _rows(len(tokenizer), tokens)
    examples = [
        Example(np.array(i, np.int32), np.array(t, np.int32), np.where(np.array(t) < 0, -1, 0).astype(np.int8), (p,), p)
        for i, t, p in rows
    ]
    plan = schedule([len(e) for e in examples], [len(examples)], seed=0, batch_rows=1, max_length=1800)
    trainer = Trainer(model, _arguments(), schedule=plan, examples=examples, tokenizer=tokenizer, loss="chunked",
        peft_config=lora)
    return _step(trainer), [trainer.data_collator([{"rows": row}]) for row in plan.rows]


def _trl(name: str, tokens: int, variant: str) -> tuple[Any, list[Any]]:
    import torch
    from datasets import Dataset
    from trl import SFTTrainer
    model, lora, tokenizer = _base(name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = Dataset.from_list([{"input_ids": ids, "labels": labels} for ids, labels, _ in _rows(len(tokenizer), tokens)])

    class FullLogits(SFTTrainer):
        """With the logits of every position, as the model's own loss has them."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            return model(**inputs, use_cache=False).loss

    packed = variant == "trl_packed"
    kind = FullLogits if variant == "trl_full_logits" else SFTTrainer
    trainer = kind(model, _arguments(packed, ready=False), train_dataset=rows, processing_class=tokenizer, peft_config=lora)
    order = torch.utils.data.SequentialSampler(trainer.train_dataset)
    size = 1 if packed else 3
    batches = list(torch.utils.data.BatchSampler(order, size, drop_last=False))
    return _step(trainer), [trainer.data_collator([trainer.train_dataset[n] for n in batch]) for batch in batches]


def _arguments(packed: bool = False, ready: bool = True) -> Any:
    from trl import SFTConfig
    return SFTConfig(
        output_dir="/nonexistent", max_steps=1, bf16=True, use_cpu=True, gradient_checkpointing=False, activation_checkpointing=False,
        report_to=[], packing=packed, max_length=1800,
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
