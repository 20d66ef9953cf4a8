"""TRL's trainer on packed rows: our order, our loss, checkpoints that are whole or not there.

Owns the step's loss and its share by kind of segment, how a checkpoint gets its name, what a run has taken up to a
checkpoint, and what a callback that chooses weights is given. Does not know where rows and models come from, and how
weights are chosen.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import transformers
from accelerate.utils import is_peft_model
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from midsentence.ending import UserError
from midsentence.files import marker, write
from training.attention import use_blocks
from training.batch import Collator
from training.loss import add_loss, full_losses
from training.packing import Schedule
from training.tokens import KINDS, Example

_PARTIAL = ".partial"
SPENT = "spent.json"
"""In a checkpoint: what the run has taken up to it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has taken, over all the times that it went on."""

    steps: int = 0
    """Steps that the other two are of."""
    elapsed_s: float = 0.0
    """Seconds of wall time."""
    losses: float = 0.0
    """Sum of the steps' losses."""

    @classmethod
    def until(cls, checkpoint: str | None) -> Spent:
        """What a checkpoint says; nothing for a beginning, and for one that does not say."""
        return cls(**marker(Path(checkpoint) / SPENT)) if checkpoint else cls()

    @property
    def mean_loss(self) -> float:
        """Of a step."""
        return self.losses / max(self.steps, 1)


@runtime_checkable
class Validation(Protocol):
    """A callback that chooses among the weights of a run. It lives where tasks are scored."""

    def attach(
        self, save: Callable[[str], None], log: Callable[[dict[str, float]], None], wait: Callable[[], None]
    ) -> None:
        """Takes how weights are saved to a folder (by all processes together), figures logged and processes waited
        for."""

    def best(self) -> tuple[Path, dict[str, Any]] | None:
        """The folder with the chosen weights and what is known of them, their ``step`` at least; None where none are
        chosen."""


class Trainer(SFTTrainer):
    """Trains on the rows of a `Schedule`, in its order."""

    def __init__(
        self,
        model: Any,
        args: SFTConfig,
        *,
        schedule: Schedule,
        examples: Sequence[Example],
        tokenizer: Any,
        loss: str,
        share_prompts: bool = True,
        callbacks: Sequence[Any] = (),
    ) -> None:
        rows = Dataset.from_dict({"rows": [list(row) for row in schedule.rows]})
        super().__init__(
            model,
            args,
            data_collator=Collator(examples, share_prompts),
            train_dataset=rows,
            processing_class=tokenizer,
            callbacks=list(callbacks),
        )
        # whole embeddings would be saved for a resized vocabulary; the adapter's token rows are all that differs
        adapted = is_peft_model(self.model)
        if adapted:
            self.model.save_pretrained = partial(self.model.save_pretrained, save_embedding_layers=False)
        self.remove_callback(PrinterCallback)
        self.loss_name = loss
        base = self.model.get_base_model() if adapted else self.model
        use_blocks(base)
        if loss == "chunked":
            add_loss(base)
        if args.bf16:  # autocast casts to bfloat16; peft's own cast of every input to float32 before it changes nothing
            for module in self.model.modules():
                if hasattr(module, "cast_input_dtype_enabled"):
                    module.cast_input_dtype_enabled = False
        self.model_accepts_loss_kwargs = True  # the loss below divides by the ids of the whole batch
        self.sums = torch.zeros(len(KINDS), 2, dtype=torch.float64)
        """(K, 2): of each kind the sum of losses and the number of targets, since they were last read."""
        self.tokens = 0
        """Ids that went through the model in this process, a shared prompt counted once."""
        self.before = Spent()
        """What the run had taken before this process began."""
        self.began_s, self.began_step = time.perf_counter(), 0
        self.losses = torch.zeros((), dtype=torch.float64)
        """Sum of the losses of this process's steps."""
        self.validation = next((callback for callback in callbacks if isinstance(callback, Validation)), None)
        if self.validation is not None:
            self.validation.attach(self.save_model, self.log, self.accelerator.wait_for_everyone)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Trains, and keeps count of the whole run."""
        self.before = Spent.until(resume_from_checkpoint)
        self.began_s, self.began_step = (
            time.perf_counter(),
            step_of(Path(resume_from_checkpoint)) if resume_from_checkpoint else 0,
        )
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def spent(self) -> Spent:
        """What the run has taken so far; asked by all processes together."""
        losses = self.losses
        if self.accelerator.num_processes > 1:
            losses = self.accelerator.reduce(losses.float().to(self.accelerator.device), "mean")
        steps = self.before.steps + self.state.global_step - self.began_step
        return Spent(
            steps,
            round(self.before.elapsed_s + time.perf_counter() - self.began_s, 1),
            self.before.losses + float(losses),
        )

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean loss of a target over the global batch; DDP's averaging over processes is undone by their number."""
        places, targets, kinds = inputs["places"], inputs["targets"], inputs["kinds"]
        ahead = {name: inputs[name] for name in ("input_ids", "position_ids", "layout")}
        if self.loss_name == "chunked":
            losses = model(**ahead, places=places, targets=targets).logits
        else:
            losses = full_losses(model(**ahead, use_cache=False).logits, places, targets)
        with torch.no_grad():
            # where the losses are: to fetch them here would hold every step up until the device has done it
            self.sums = self.sums.to(losses.device)
            mine = torch.zeros_like(self.sums)
            counted = torch.stack([losses.double(), torch.ones_like(losses, dtype=torch.float64)], dim=1)
            self.sums += mine.index_add_(0, kinds, counted)
            self.tokens += inputs["input_ids"].numel()
        total = num_items_in_batch if num_items_in_batch is not None else len(targets)
        loss = losses.sum() / total * (self.accelerator.num_processes if num_items_in_batch is not None else 1)
        self.losses = self.losses.to(loss.device) + loss.detach().double()
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to training's own lines the loss of each kind of segment, over all processes."""
        if "loss" not in logs:  # figures of a validation, of the main process alone, must not use up the sums
            transformers.Trainer.log(self, logs, start_time)
            return
        sums = self.sums
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise self._diverged(f"{'loss' if name == 'loss' else 'the gradient'} is {logs[name]}")
        if self.accelerator.num_processes > 1:
            gathered = self.accelerator.gather(sums.float().to(self.accelerator.device)[None])
            sums = gathered.double().cpu().sum(dim=0)
        self.sums = torch.zeros_like(self.sums)
        for name, (total, count) in zip(KINDS, sums.tolist(), strict=True):
            if count:
                logs[f"loss_{name}"] = total / count
        logs["targets"] = int(sums[:, 1].sum())
        transformers.Trainer.log(self, logs, start_time)

    # --- what is not finite is neither gone on with nor kept

    def check_weights(self) -> None:
        """Looks at every weight that is trained; all processes find the same.

        Raises:
            UserError: one is not finite; names the step, and the checkpoint before it.
        """
        wrong = sum(
            (~torch.isfinite(weight.detach()).all()).int() for weight in self.model.parameters() if weight.requires_grad
        )
        wrong = torch.as_tensor(wrong, device=self.accelerator.device)
        if count := int(self.accelerator.reduce(wrong, "sum") if self.accelerator.num_processes > 1 else wrong):
            raise self._diverged(f"{count} tensors of weights have values that are no finite number")

    def _diverged(self, what: str) -> UserError:
        kept = latest(Path(self.args.output_dir))
        return UserError(
            f"training has diverged: at step {self.state.global_step} {what}; "
            f"try a smaller train.learning_rate than {self.args.learning_rate:g} "
            + (f"(the last good checkpoint is {kept})" if kept else "(no checkpoint was made before)")
        )

    # --- checkpoints

    def _get_output_dir(self, trial: Any) -> str:
        return os.path.join(self.args.output_dir, _PARTIAL)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes the checkpoint under another name and then renames it: one that has its name is whole."""
        self.check_weights()
        place = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(place / _PARTIAL, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        transformers.Trainer._save_checkpoint(self, model, trial)  # TRL's own would add a model card
        spent = self.spent()
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            write(place / _PARTIAL / name / SPENT, json.dumps(asdict(spent)) + "\n")
            (place / _PARTIAL / name).rename(place / name)
            (place / _PARTIAL).rmdir()
            for old in sorted(checkpoints(place), key=step_of)[:-2]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir)
        for name in ("training_args.bin", "README.md"):  # a pickle, and an empty model card
            (folder / name).unlink(missing_ok=True)


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in a folder."""
    return [path for path in folder.glob("checkpoint-*") if path.is_dir()]


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was made."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint, or None."""
    return max(checkpoints(folder), key=step_of, default=None)
