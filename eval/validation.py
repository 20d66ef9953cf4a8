"""A replay in the middle of training: a few validation tasks every so many steps, and the weights that did best.

Owns `ValidationReplay`, which the settings name (``train=validated``), its log ``validation.jsonl``, and the choice of
the best step. Does not know the trainer and the test split: it is handed a way to save and one to log.

The model in training is not run here. Its weights are saved, loaded anew the way every checkpoint is, adapter merged,
and that copy is replayed by the code that makes the report. It costs the seconds of a save and a load; in return
nothing of training's attention, precision or state can reach the replay, nor the replay's any of training's.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from configs.modes import settings_of
from configs.schema import Config
from data_gen.episodes import profile_of
from data_gen.sources import load
from data_gen.task import Split
from eval.measures.rows import Terms, row_of
from eval.replay import Row, choose, run_row
from eval.running.backends import Backend
from eval.running.records import EpisodeRecord
from eval.running.results import Key
from midsentence.files import marker, write

LOG = "validation.jsonl"
BEST = "best"
_CHOSEN = "best.json"
_PARTIAL = "best.partial"
_SPLIT: Split = "validation"
_DEADLINE_S = 2
_RESAMPLES = 100
"""Of the bootstrap, whose intervals are not used here."""

Line = dict[str, Any]


class ValidationReplay(TrainerCallback):
    """Replays validation tasks as training goes, and keeps the weights of the best step."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        every_steps: int,
        tasks: int = 12,
        modes: Sequence[str] = (),
        profile: str = "",
    ) -> None:
        """Takes the run's settings; `attach` must follow before training begins.

        Args:
            config: the run's; the tasks are those of group data, decoding is as in group eval, but greedy.
            folder: the run's.
            every_steps: steps between replays; 0 for one at the end alone.
            tasks: how many, chosen by the seed; the source may have fewer.
            modes: in which; ``eval.modes`` where empty.
            profile: on which device; the first of ``eval.profiles`` where empty.

        Raises:
            ValueError: an option that names nothing, or a source without validation tasks.
        """
        if every_steps < 0 or tasks < 1:
            raise ValueError(
                f"train.validate_every_steps={every_steps}, train.callback.tasks={tasks}; use 0 or more, and 1 or more"
            )
        self.folder, self.every_steps = Path(folder), every_steps
        self.modes = list(modes) or list(config.eval.modes)
        self.profile = profile or config.eval.profiles[0]
        for mode in self.modes:
            settings_of(mode, config.agent)
        profile_of(self.profile, config.clock)
        self.tasks = choose(load(config, _SPLIT), tasks, config.seed)
        # all at once: a pass over a batch costs little more than one over a single context
        self.config = replace(
            config, time="virtual", eval=replace(config.eval, batch=max(config.eval.batch, len(self.tasks)))
        )
        self._validated = -1
        self._save: Callable[[str], None]
        self._log: Callable[[dict[str, float]], None]
        self._wait: Callable[[], None]

    def attach(
        self, save: Callable[[str], None], log: Callable[[dict[str, float]], None], wait: Callable[[], None]
    ) -> None:
        """Takes what only the trainer can do.

        Args:
            save: writes weights and tokenizer to a folder; every process calls it.
            log: sends figures where the trainer's own go.
            wait: until all processes are here.
        """
        self._save, self._log, self._wait = save, log, wait

    def best(self) -> tuple[Path, dict[str, Any]] | None:
        """The folder with the best step's weights and what is known of that step; None before the first replay."""
        place = self.folder / BEST
        return (place, chosen) if (chosen := marker(place / _CHOSEN)) else None

    # --- the trainer's events

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forgets what came after the checkpoint that training goes on from.

        The best weights stay even if they are of a later step: that step comes again, and replaces them by its like.
        """
        if not state.is_world_process_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        place, half = self.folder / BEST, self.folder / _PARTIAL
        if state.global_step == 0:
            shutil.rmtree(place, ignore_errors=True)
        elif not place.exists() and marker(half / _CHOSEN):  # killed between the old one's end and the new one's name
            half.rename(place)
        shutil.rmtree(half, ignore_errors=True)
        log = self.folder / LOG
        if log.exists():
            kept = [line for line in _read(log) if line["step"] <= state.global_step]
            write(log, "".join(map(_text, kept)))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Replays where a replay is due; the last step's comes when training ends."""
        if self.every_steps and state.global_step % self.every_steps == 0 and state.global_step < state.max_steps:
            self._validate(state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Replays the last step."""
        if state.global_step != self._validated:
            self._validate(state, control)

    # --- inside

    def _validate(self, state: Any, control: Any) -> None:
        """Every process saves, for weights may be spread over them; the main one alone replays."""
        half, step = self.folder / _PARTIAL, state.global_step
        self._validated = step
        with _undisturbed():
            if state.is_world_process_zero:
                shutil.rmtree(half, ignore_errors=True)
            self._save(str(half))
            if state.is_world_process_zero:
                lines = [{"step": step} | line for line in self.replay(half)]
                with (self.folder / LOG).open("a", encoding="utf-8") as file:
                    file.write("".join(map(_text, lines)))
                self._keep(step, lines)
                self._tell(step, lines, control)
            self._wait()

    def replay(self, checkpoint: Path) -> list[Line]:
        """Figures of a checkpoint, one line a mode."""
        config = self.config
        played = Backend("model", replace(config.model, adapter=str(checkpoint)), config.agent, config.clock.stamps)
        model = played.load(temperature=0.0, max_tokens=2 * config.agent.max_context_tokens)
        lines = []
        for mode in self.modes:
            episodes: list[EpisodeRecord] = []
            run_row(
                config,
                Row("model", mode, self.profile, config.eval.seeds[0]),
                played,
                model,
                self.tasks,
                episodes.append,
            )
            lines.append(self._line(mode, sorted(episodes, key=lambda episode: episode.task)))
        return lines

    def _line(self, mode: str, episodes: Sequence[EpisodeRecord]) -> Line:
        key = Key(episodes[0].source, _SPLIT, "model", mode, self.profile)
        row = row_of(key, {key: episodes}, Terms(seed=self.config.seed, resamples=_RESAMPLES))
        return {
            "mode": mode,
            "profile": self.profile,
            "n": row["n"],
            "accuracy": row["accuracy"],
            "success_by_2s": row["success_by_s"][str(_DEADLINE_S)],
            "latency_mean_s": round(row["latency_mean_s"], 6),
            "repeated_actions": row["repeated_actions"],
            "effects_before_commit": row["effects_before_commit"],
            "causes": row["causes"],
        }

    def _keep(self, step: int, lines: Sequence[Line]) -> None:
        """Gives the weights just saved the name of the best if they are, else drops them."""
        half, place = self.folder / _PARTIAL, self.folder / BEST
        success, accuracy = score(lines)
        before = self.best()
        if before is not None and (before[1]["success_by_2s"], before[1]["accuracy"], before[1]["step"]) > (
            success,
            accuracy,
            step,
        ):
            shutil.rmtree(half)
            return
        chosen = {
            "step": step,
            "success_by_2s": success,
            "accuracy": accuracy,
            "modes": self.modes,
            "profile": self.profile,
            "tasks": len(self.tasks),
        }
        write(half / _CHOSEN, json.dumps(chosen) + "\n")  # last: a folder that has it is whole
        shutil.rmtree(place, ignore_errors=True)
        half.rename(place)

    def _tell(self, step: int, lines: Sequence[Line], control: Any) -> None:
        parts = [
            f"{line['mode']} {line['success_by_2s']:.2f} by {_DEADLINE_S} s, {line['accuracy']:.2f} right"
            for line in lines
        ]
        best = self.best()
        mark = " (best so far)" if best is not None and best[1]["step"] == step else ""
        print(f"validation at step {step}{mark}: {'; '.join(parts)}", flush=True)
        names = ("success_by_2s", "accuracy", "latency_mean_s", "repeated_actions", "effects_before_commit")
        due = control.should_log
        self._log({f"eval_{line['mode']}_{name}": float(line[name]) for line in lines for name in names})
        control.should_log = due  # a log clears it, and training's own of this step is still to come


def score(lines: Sequence[Line]) -> tuple[float, float]:
    """What a step is chosen by, the larger the better: success by 2 s, then accuracy, each the mean over modes."""
    return tuple(round(sum(line[name] for line in lines) / len(lines), 9) for name in ("success_by_2s", "accuracy"))


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Whatever is drawn inside, the global generators go on as if it had not been: a model's new rows are drawn when it
    loads."""
    state, numbers = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numbers)


def _text(line: Line) -> str:
    return json.dumps(line) + "\n"


def _read(path: Path) -> Iterator[Line]:
    """The whole lines; a last one that a kill cut short is left out."""
    for line in path.read_text("utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
