"""Shows the progress of a run: a line or a bar, a log on disk, and the times of checkpoints.

Owns the callbacks of a run. Does not know losses and data: it shows what the trainer logs.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from midsentence.files import write

LOG = "log.jsonl"


class Watch(TrainerCallback):
    """Shows progress and keeps the log; both on the main process alone."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / LOG
        self.started_s = 0.0
        self.logged_s = 0.0
        self.first_step = 0
        self.targets = 0
        self.bar: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock and, on a terminal, the bar."""
        self.started_s = self.logged_s = time.perf_counter()
        self.first_step = state.global_step
        if state.is_world_process_zero:
            if state.global_step == 0:
                self.log.unlink(missing_ok=True)
            elif self.log.exists():  # what came after the checkpoint is done again
                lines = self.log.read_text("utf-8").splitlines(keepends=True)
                write(self.log, "".join(line for line in lines if json.loads(line)["step"] <= state.global_step))
            if sys.stderr.isatty():
                from rich.console import Console

                columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
                self.bar = Progress(*columns, console=Console(stderr=True))
                self.bar.start()
                self.bar.add_task("", total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Moves the bar."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Writes a line to the log, and shows it."""
        if not state.is_world_process_zero or "loss" not in logs:
            return
        now_s = time.perf_counter()
        rate = logs["targets"] / max(now_s - self.logged_s, 1e-9)
        self.targets += int(logs["targets"])
        self.logged_s = now_s
        kept = {name: float(f"{value:.6g}") for name, value in logs.items() if name not in ("epoch", "targets")}
        line = {
            "step": state.global_step,
            "supervised_tokens": int(logs["targets"]),
            "supervised_tokens_per_s": round(rate, 1),
        } | kept
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        kinds = "  ".join(f"{name[5:]} {value:.2f}" for name, value in logs.items() if name.startswith("loss_"))
        text = f"loss {logs['loss']:.3f}  {rate:,.0f} supervised tokens/s  {kinds}"
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], description=text)
        else:
            left_s = (
                (now_s - self.started_s)
                / max(state.global_step - self.first_step, 1)
                * (state.max_steps - state.global_step)
            )
            print(
                f"step {state.global_step}/{state.max_steps}  {text}  {lasting(left_s)} left",
                file=sys.stderr,
                flush=True,
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.stop()


def lasting(seconds: float) -> str:
    """A length of time to the eye: ``40 s``, ``12 min``, ``3.2 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class SaveEvery(TrainerCallback):
    """Asks for a checkpoint after so many steps, or so much time, whichever comes first; never after the last step."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps, self.seconds = steps, seconds
        self.last_s = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self.last_s = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decides; all processes decide as the first does, for saving is done together."""
        due = bool(self.seconds) and time.perf_counter() - self.last_s >= self.seconds
        if args.world_size > 1 and self.seconds:
            flag = torch.tensor([int(due)], device=args.device)
            torch.distributed.broadcast(flag, 0)
            due = bool(flag.item())
        due = due or bool(self.steps and state.global_step % self.steps == 0)
        if due and state.global_step < state.max_steps:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock anew."""
        self.last_s = time.perf_counter()
