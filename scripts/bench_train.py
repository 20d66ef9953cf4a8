"""Our trainer beside TRL's as it comes:
``python -m scripts.bench train [tokens=8000] [length=2048] [model=smollm2] [threads=2]``.

The same trajectories (the first that `experiment=smollm2_assistant` would train on), the same model with the same LoRA,
and as many ids a step. TRL comes as it is, unpacked and packed (its head in tiles, which on a CPU scores every
position), and both again with the model's own loss, the logits of every position. ``ours_old`` is our trainer on the
same requests in the form before flat turns and times as said (``model.turns=chat data.times=canonical``). Each variant
runs in a process of its own, so that its peak memory is its own, and all in turns of one step, so that a busy machine
slows all alike. Before each step of ours a large product of bfloat16 matrices is timed on the same threads: the share
of its speed that a step reaches counts the operations that the step's result needs (`training.flops`) and all of the
step's time, the optimiser's included. What others' work on the machine takes is left out where the process's own CPU
time is counted (``cpu``); on an idle machine one thread's is the wall clock's.

Prints a line of JSON: supervised tokens a second, peak memory, trajectories an hour and ids of one, ratios of our speed
over each of the others', the form's ratio in trajectories an hour, and the share. ``trl=no`` leaves TRL out, and with
it a setting of the allocator that lets all variants fit into memory and slows each: take the share and the form's ratio
from there. ``mode=speculative`` takes one mode's trajectories instead of all modes': the form weighs most where most is
written, and in long rows (``length=6144``, as the experiment's), which compute a prompt once. ``steps=300`` goes on
with ours, packed anew each time the trajectories are through, and tells its memory after 10 steps and after so many.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from midsentence.core.modes import MODES
from training.tokens import Example

VARIANTS = ("ours", "ours_old", "trl", "trl_packed", "trl_full_logits", "trl_packed_full_logits")
FORMS = {"ours": ("flat", "said"), "ours_old": ("chat", "canonical")}
"""``model.turns`` and ``data.times`` of each form; TRL's variants take the newer."""
PRODUCT = 2048
"""Rows and columns of the matrices whose product is timed."""
PARTS = ("base", "lora", "attention", "head")
"""Of `training.flops.Flops`."""
EARLY_STEPS = 10
"""Steps after which memory is told first."""


def main(arguments: list[str]) -> int:
    """Runs all variants on the same requests."""
    options = dict(argument.split("=", 1) for argument in arguments)
    model, threads = options.pop("model", "smollm2"), int(options.pop("threads", "2"))
    tokens, length = int(options.pop("tokens", "8000")), int(options.pop("length", "2048"))
    variants = VARIANTS if options.pop("trl", "yes") == "yes" else tuple(FORMS)
    steps, mode = int(options.pop("steps", "0")), options.pop("mode", "all")
    if mode not in ("all", *MODES):
        print(f"bench train: unknown mode {mode!r}; use all, {', '.join(MODES)}", file=sys.stderr)
        return 2
    if options:
        known = "model=, mode=, tokens=, length=, threads=, trl= and steps="
        print(f"bench train: unknown option {min(options)}; use {known}", file=sys.stderr)
        return 2
    forms = trajectories(model, tokens, length, mode)
    if len(variants) > len(FORMS):
        # what a step frees goes back to the system, for the next variant: six models at once fit no small machine
        # otherwise. It costs up to a third of a variant's speed, in pages that are mapped anew
        os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 20))
    examples = {name: forms.get(name, forms["ours"]) for name in variants}
    with Workers(examples, model, length, threads) as workers:
        taken = workers.take_turns()
        result: dict[str, Any] = {"model": model, "threads": threads, "length": length, "mode": mode}
        result |= {name: figures(taken[name], examples[name], workers.ask(name, "memory")) for name in variants}
        result |= ratios(result, variants)
        result["share_of_matmul"] = share(taken["ours"])
        if steps:
            result["memory_by_step_mib"] = {
                done: round(workers.ask("ours", done) / 1024) for done in sorted({min(EARLY_STEPS, steps), steps})
            }
    print(json.dumps(result))
    return 0


def figures(taken: list[dict[str, Any]], examples: list[Example], memory_kib: int) -> dict[str, Any]:
    """A variant's, over all its steps."""
    seconds, cpu_s, targets = (sum(step[name] for step in taken) for name in ("seconds", "cpu_s", "targets"))
    ids = sum(map(len, examples))
    return {
        "supervised_tokens_per_s": round(targets / seconds, 1),
        "peak_memory_mib": round(memory_kib / 1024),
        "supervised_tokens": targets,
        "trajectories": len(examples),
        "trajectories_per_hour": round(3600 * len(examples) / seconds, 1),
        "trajectories_per_cpu_hour": round(3600 * len(examples) / cpu_s, 1),
        "steps": len(taken),
        "ids_per_trajectory": round(ids / len(examples), 1),
        "own_ids_per_trajectory": round((ids - sum(example.prompt_tokens for example in examples)) / len(examples), 1),
    }


def ratios(result: dict[str, Any], variants: tuple[str, ...]) -> dict[str, float]:
    """Our speed over the others': in supervised tokens a second where the ids are the same, in trajectories where the
    requests are."""
    ours = result["ours"]
    found = {
        f"ratio_old_form{over}": round(
            ours[f"trajectories_per{each}"] / result["ours_old"][f"trajectories_per{each}"], 2
        )
        for over, each in (("", "_hour"), ("_cpu", "_cpu_hour"))
    }
    for name in variants[len(FORMS) :]:
        found[name.replace("trl", "ratio")] = round(
            ours["supervised_tokens_per_s"] / result[name]["supervised_tokens_per_s"], 2
        )
    return found


def share(taken: list[dict[str, Any]]) -> dict[str, Any]:
    """How close steps come to the speed of a large product: operations that are needed a second of a step, over the
    product's."""
    total = sum(step["flops"]["total"] for step in taken)
    found: dict[str, Any] = {
        "flops_by_part": {part: round(sum(step["flops"][part] for step in taken) / total, 3) for part in PARTS},
    }
    for of_step, of_product, end in (("seconds", "product_s", ""), ("cpu_s", "product_cpu_s", "_cpu")):
        step_speed = total / sum(step[of_step] for step in taken)
        product_speed = 2 * PRODUCT**3 * len(taken) / sum(step[of_product] for step in taken)
        found |= {
            f"share{end}": round(step_speed / product_speed, 3),
            f"step_gflops_per_s{end}": round(step_speed / 1e9, 1),
            f"matmul_gflops_per_s{end}": round(product_speed / 1e9, 1),
        }
    return found


class Workers:
    """A process for each variant, one after the other warmed up, for memory's sake."""

    def __init__(self, examples: dict[str, list[Example]], model: str, length: int, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: dict[str, Connection] = {}
        self.left: dict[str, int] = {}
        self.processes = []
        for name, own in examples.items():
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(name, model, own, length, threads, theirs), daemon=True)
            process.start()
            self.pipes[name] = mine
            self.processes.append(process)
            self.left[name] = mine.recv()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes.values():
            pipe.send("end")
        for process in self.processes:
            process.join(timeout=30)

    def ask(self, name: str, what: str | int) -> Any:
        """Has a variant do something, and waits for what it says."""
        self.pipes[name].send(what)
        return self.pipes[name].recv()

    def take_turns(self) -> dict[str, list[dict[str, Any]]]:
        """All steps of all variants, a step each in turn."""
        taken: dict[str, list[dict[str, Any]]] = {name: [] for name in self.left}
        while any(self.left.values()):
            for name, left in self.left.items():
                if left:
                    taken[name].append(self.ask(name, "step"))
                    self.left[name] -= 1
        return taken


def trajectories(model: str, tokens: int, length: int, mode: str = "all") -> dict[str, list[Example]]:
    """The same requests in both forms, in the model's tokens: the first of a mode, or of the experiment's, that no form
    makes longer than ``length`` ids, until the newer form has ``tokens`` ids."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from configs.schema import register
    from data_gen.generate import make_row, renderer
    from data_gen.sources import load
    from training.tokens import make_example

    register()
    configs, tasks = {}, {}
    for form, (turns, times) in FORMS.items():
        with initialize_config_module("configs", version_base="1.3"):
            overrides = [
                "experiment=smollm2_assistant",
                f"model.name={model}",
                f"model.turns={turns}",
                f"data.times={times}",
            ]
            overrides += [f"data.modes=[{mode}]"] if mode != "all" else []
            configs[form] = OmegaConf.to_object(compose("config", overrides=overrides))
        tasks[form] = load(configs[form], "train")
    found: dict[str, list[Example]] = {form: [] for form in FORMS}
    for n, same in enumerate(zip(*tasks.values(), strict=True)):
        if sum(map(len, found["ours"])) >= tokens:
            break
        if len({task.request for task in same}) > 1:
            raise RuntimeError(f"request {n} differs between the forms: {same[0].request!r}; they can't be compared")
        made = {
            form: make_example(
                make_row(config, task, "train", n), renderer(config), idle_pauses=config.train.idle_pauses
            )
            for (form, config), task in zip(configs.items(), same)
        }
        if max(map(len, made.values())) <= length:
            for form, example in made.items():
                found[form].append(example)
    return found


def _serve(variant: str, name: str, examples: list[Example], length: int, threads: int, pipe: Connection) -> None:
    """One variant's process: builds, takes a step to warm up, then does what it is told: a ``step``; all steps up to so
    many of another packing, telling what it holds in memory then; its peak ``memory``; or the ``end``. Memory is in
    KiB."""
    import torch

    from training.flops import step_flops

    torch.set_num_threads(threads)
    step, batches, trainer = (
        _ours(name, examples, length) if variant in FORMS else _trl(name, examples, length, variant)
    )
    step(batches[0])
    counts = [step_flops(trainer.model, batch) if variant in FORMS else None for batch in batches]
    pipe.send(len(batches))
    at = further = 0
    while (asked := pipe.recv()) != "end":
        if asked == "memory":
            pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            continue
        if asked != "step":
            rows = _packed(examples, length, asked).rows
            while further < asked:
                step(trainer.data_collator([{"rows": rows[further]}]))
                further += 1
            pipe.send(_resident_kib())
            continue
        product_s, product_cpu_s = _product()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        targets = step(batches[at])
        told: dict[str, Any] = {
            "seconds": time.perf_counter() - begun,
            "cpu_s": time.process_time() - begun_cpu,
            "targets": targets,
        }
        if (count := counts[at]) is not None:
            told |= {
                "product_s": product_s,
                "product_cpu_s": product_cpu_s,
                "flops": asdict(count) | {"total": count.total},
            }
        pipe.send(told)
        at += 1


def _product() -> tuple[float, float]:
    """Seconds that a large product takes now, by the wall clock and of this process's CPU time."""
    import torch

    left, right = (torch.randn(PRODUCT, PRODUCT, dtype=torch.bfloat16) for _ in range(2))
    begun, begun_cpu = time.perf_counter(), time.process_time()
    torch.mm(left, right)
    return time.perf_counter() - begun, time.process_time() - begun_cpu


def _resident_kib() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * resource.getpagesize() // 1024


def _base(name: str) -> tuple[Any, Any, Any]:
    from configs.schema import Config
    from midsentence.models.load import load_renderer
    from training.sft import adapter, load_base

    config = Config()
    config.model.name = name
    renderer = load_renderer(name, "token", "none")
    model, _ = load_base(config, renderer)
    # without rows of added tokens: TRL 1.16's own head can't train them (it asks peft's wrapper for a bias)
    return model, adapter(config, model, {}), renderer.tokenizer


def _packed(examples: list[Example], length: int, steps: int = 0) -> Any:
    """Rows of all examples once, or so many rows, packed anew each time the examples are through."""
    from training.packing import schedule

    lengths, epochs = [len(example) for example in examples], max(1, steps)
    return schedule(lengths, [len(examples)], seed=0, batch_rows=1, max_length=length, epochs=epochs, max_steps=steps)


def _ours(name: str, examples: list[Example], length: int) -> tuple[Any, list[Any], Any]:
    import torch
    from peft import get_peft_model

    from training.fused import fuse
    from training.trainer import Trainer

    model, lora, tokenizer = _base(name)
    plan = _packed(examples, length)
    model = get_peft_model(model, lora)
    if not torch.cuda.is_available():
        fuse(model)
    trainer = Trainer(model, _arguments(length), schedule=plan, examples=examples, tokenizer=tokenizer, loss="chunked")
    return _step(trainer), [trainer.data_collator([{"rows": row}]) for row in plan.rows], trainer


def _trl(name: str, examples: list[Example], length: int, variant: str) -> tuple[Any, list[Any], Any]:
    import torch
    from datasets import Dataset
    from trl import SFTTrainer

    model, lora, tokenizer = _base(name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = Dataset.from_list([{"input_ids": e.ids.tolist(), "labels": e.labels.tolist()} for e in examples])

    class FullLogits(SFTTrainer):
        """With the logits of every position, as the model's own loss has them."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            return model(**inputs, use_cache=False).loss

    packed = variant.startswith("trl_packed")
    kind = FullLogits if variant.endswith("full_logits") else SFTTrainer
    trainer = kind(
        model, _arguments(length, packed, ready=False), train_dataset=rows, processing_class=tokenizer, peft_config=lora
    )
    order = torch.utils.data.SequentialSampler(trainer.train_dataset)
    size = (
        1 if packed else max(1, round(len(examples) / len(_packed(examples, length).rows)))
    )  # as many as our rows hold
    batches = list(torch.utils.data.BatchSampler(order, size, drop_last=False))
    return (
        _step(trainer),
        [trainer.data_collator([trainer.train_dataset[n] for n in batch]) for batch in batches],
        trainer,
    )


def _arguments(length: int, packed: bool = False, ready: bool = True) -> Any:
    from trl import SFTConfig

    return SFTConfig(
        output_dir="/nonexistent",
        max_steps=1,
        bf16=True,
        use_cpu=True,
        gradient_checkpointing=False,
        activation_checkpointing=False,
        report_to=[],
        packing=packed,
        max_length=length,
        dataset_kwargs={"skip_prepare_dataset": ready},
        remove_unused_columns=False,
        disable_tqdm=True,
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
