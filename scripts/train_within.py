"""A model in the time that one GPU can be had for: ``python -m scripts.train_within --minutes 25 --workers 16``.

Trajectories of five sources, fine-tuning, and two rounds of on-policy repair whose rollouts run on the CPU's cores
while the GPU trains; the adapter, in half precision, and the logs are left in ``--out``. How many steps a phase has
follows from the speed of the first forty. Every stage is a command of its own, written into ``commands.sh`` as it runs,
with its output in ``logs/``. Owns the order and the clock of the run; what a stage does is its command's. Does not know
how a task is scored.

    data ──► 40 steps ──► A: trajectories ─────────► B: and round 1 ──► C: and round 2
                             └ half of A ► rollouts 1 ┘  └ A ► rollouts 2 ┘
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from midsentence.ending import program
from scripts.mean_adapter import mean_adapter

EXPERIMENT = "experiment=smollm2_midsentence"
TOOLS = {"written": ["data.tools=renamed"], "domains": ["data.tools=renamed"], "bfcl": ["data.tools=drawn"]}
WEIGHTS = {"assistant": 0.40, "naturalistic": 0.13, "written": 0.17, "domains": 0.17, "bfcl": 0.13}
"""Shares of the rows of an epoch, and of processes and rollouts."""
ROWS = {"assistant": 24_000, "naturalistic": 8_000, "written": 10_000, "domains": 10_000, "bfcl": 6_000}
PHASES = {"A": (0.52, 1e-3, 0.0), "B": (0.27, 6e-4, 0.35), "C": (0.21, 4e-4, 0.45)}
"""By name: share of the time that is left after the data, learning rate, share of repaired rows."""
START_S = 40.0
"""What a phase needs before its first step: reading rows, loading weights."""
CALIBRATION_STEPS = 40
_DONE = re.compile(r"^(\d+) steps in (\d+) s", re.MULTILINE)


@dataclass(slots=True)
class Run:
    """One run: its folder, its end, and its commands."""

    out: Path
    ends_at_s: float
    workers: int
    rows: float
    length: int
    rollouts: int
    """Rollouts of a process between two looks at the clock."""
    more: Sequence[str] = ()
    """Settings for every command: ``model=tiny``."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def command(self, name: str, module: str, *options: str, cpu: bool = False) -> subprocess.Popen[bytes]:
        """Starts a command in a process group of its own."""
        words = [sys.executable, "-m", module, EXPERIMENT, *options, *self.more]
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        with self.lock, (self.out / "commands.sh").open("a", encoding="utf-8") as kept:
            kept.write(f"{'CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 ' if cpu else ''}python {shlex.join(words[1:])}\n")
        env = os.environ | ({"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"} if cpu else {})
        with (self.out / "logs" / f"{name}.log").open("wb") as log:
            return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)

    def log(self, name: str) -> str:
        """What a command has printed."""
        return (self.out / "logs" / f"{name}.log").read_text("utf-8")

    def say(self, text: str) -> None:
        print(f"{self.ends_at_s - time.monotonic():6.0f} s left  {text}", flush=True)

    # -- stages

    def data(self) -> None:
        """Trajectories of all sources, side by side."""
        begun = {
            name: self.command(
                f"data_{name}",
                "data_gen.generate",
                f"data={name}",
                f"data.sizes={{train: {round(count * self.rows)}, validation: 0, test: 0}}",
                f"data.workers={self.share(name)}",
                f"out={self.out / 'data' / name}",
                *TOOLS.get(name, ()),
                cpu=True,
            )
            for name, count in ROWS.items()
        }
        for name, process in begun.items():
            self.wait(f"data_{name}", process)
            self.say(f"data of {name}: {self.log(f'data_{name}').splitlines()[-2]}")

    def share(self, name: str) -> int:
        """Processes for a source."""
        return max(1, round(WEIGHTS[name] * self.workers))

    def wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Waits for a command.

        Raises:
            SystemExit: it failed; the text says where its output is.
        """
        if process.wait():
            where = self.out / "logs" / f"{name}.log"
            raise SystemExit(
                f"{name} ended with status {process.returncode}: {where} ends with\n{self.log(name)[-600:]}"
            )

    def train(self, name: str, steps: int, mixture: dict[str, float], *options: str) -> tuple[int, float]:
        """A phase; gives its steps and their seconds."""
        process = self.command(
            f"train_{name}",
            "training.sft",
            "train=default",
            f"out={self.out / 'train' / name}",
            f"train.data=[{','.join(mixture)}]",
            f"train.weights=[{','.join(f'{share:.5f}' for share in mixture.values())}]",
            f"train.max_length={self.length}",
            f"train.max_steps={steps}",
            "train.epochs=100",
            "train.log_every_steps=20",
            *options,
        )
        self.wait(f"train_{name}", process)
        done = _DONE.search(self.log(f"train_{name}"))
        assert done is not None, self.log(f"train_{name}")
        self.say(f"phase {name}: {done[0]}")
        return int(done[1]), max(float(done[2]), 1.0)

    def mixture(self, repaired: float, rounds: Sequence[int]) -> dict[str, float]:
        """Folders and their weights: the sources', and the repaired rows of some rounds, the last one counting half as
        much again."""
        found: dict[str, float] = {}
        for number in rounds:
            for manifest in sorted((self.out / "repair").glob(f"{number}[0-9][0-9]/*/manifest.json")):
                rows = json.loads(manifest.read_text("utf-8"))["counts"].get("rows", 0)
                found |= {str(manifest.parent): rows * (1.5 if number == rounds[-1] else 1.0)} if rows else {}
        total = sum(found.values())
        repaired = repaired if total else 0.0
        base = {str(self.out / "data" / name): weight * (1 - repaired) for name, weight in WEIGHTS.items()}
        return base | {folder: repaired * rows / total for folder, rows in found.items()}

    def roll(self, number: int, adapter: Path, stop: threading.Event) -> None:
        """Rollouts of every source, again and again until the word is given; what is under way then is lost."""
        threads = [threading.Thread(target=self._roll, args=(number, name, adapter, stop)) for name in ROWS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _roll(self, number: int, name: str, adapter: Path, stop: threading.Event) -> None:
        workers, again = self.share(name), 0
        while not stop.is_set() and again < 99:
            again += 1
            turn = number * 100 + again
            process = self.command(
                f"repair_{turn}_{name}",
                "training.repair",
                f"data={name}",
                *TOOLS.get(name, ()),
                f"model.adapter={adapter}",
                f"repair.round={turn}",
                f"repair.workers={workers}",
                f"repair.batch={self.rollouts}",
                f"repair.shard_rollouts={self.rollouts}",
                f"repair.rollouts={workers * self.rollouts}",
                f"out={self.out / 'repair' / str(turn) / name}",
                cpu=True,
            )
            while process.poll() is None:
                if stop.wait(0.5):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    return
            self.say(
                f"rollouts {turn} of {name}: {(self.log(f'repair_{turn}_{name}').splitlines() or ['?'])[-1][:120]}"
            )

    def beside(self, number: int, adapter: Path, after: Path | None = None) -> tuple[threading.Thread, threading.Event]:
        """Rollouts in the background, from an adapter or from a checkpoint once it is there."""
        stop = threading.Event()

        def work() -> None:
            while after is not None and not after.exists():
                if stop.wait(0.5):
                    return
            if after is not None:
                shutil.copytree(after, adapter)
                for path in after.parent.parent.glob("*.json"):
                    shutil.copy(path, adapter / path.name) if not (adapter / path.name).exists() else None
            self.roll(number, adapter, stop)

        thread = threading.Thread(target=work)
        thread.start()
        return thread, stop

    def run(self) -> None:
        """All of it."""
        self.data()
        train = self.out / "train"
        steps, took_s = self.train("calibration", CALIBRATION_STEPS, self.mixture(0.0, ()))
        shutil.rmtree(train / "calibration")
        step_s, left_s = took_s / steps, self.ends_at_s - time.monotonic() - START_S * len(PHASES)
        counts = {name: max(2, int(left_s * share / step_s)) for name, (share, _, _) in PHASES.items()}
        self.say(f"{step_s:.2f} s a step: " + ", ".join(f"{name} {count} steps" for name, count in counts.items()))
        half = counts["A"] // 2
        thread, stop = self.beside(1, train / "half", train / "A" / "checkpoints" / f"checkpoint-{half}")
        self.train(
            "A",
            counts["A"],
            self.mixture(0.0, ()),
            f"train.checkpoint_every_steps={half}",
            f"train.learning_rate={PHASES['A'][1]}",
        )
        for number, (name, before) in enumerate((("B", "A"), ("C", "B")), start=1):
            stop.set()
            thread.join()
            _, rate, repaired = PHASES[name]
            if number == 1:
                thread, stop = self.beside(2, train / "A")
            self.train(
                name,
                counts[name],
                self.mixture(repaired, range(1, number + 1)),
                f"model.adapter={train / before}",
                f"train.learning_rate={rate}",
            )
        for name in PHASES:
            mean_adapter([train / name], self.out / "adapters" / name)
        self.say(f"adapters: {self.out / 'adapters'}")


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="train_within")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes for data and for rollouts")
    parser.add_argument("--out", type=Path, default=Path("outputs/within"))
    parser.add_argument("--rows", type=float, default=1.0, help="times 58,000 trajectories")
    parser.add_argument("--length", type=int, default=65_536, help="ids of a row, which is a step")
    parser.add_argument("--rollouts", type=int, default=40, help="of a process between two looks at the clock")
    parser.add_argument("settings", nargs="*", help="for every command, such as model=tiny")
    given = parser.parse_args(arguments)
    if given.out.exists():
        parser.error(f"{given.out} is there already; give another --out, or delete it")
    run = Run(
        given.out,
        time.monotonic() + 60 * given.minutes,
        given.workers,
        given.rows,
        given.length,
        given.rollouts,
        given.settings,
    )
    run.run()
    return 0


if __name__ == "__main__":
    program(main)
