"""Kills and full disks: commands that make results, ended in the middle and given again.

Owns which commands these are, what of their results must come out the same, the kill at a drawn step, and the small
disk. Does not judge what became of it.

A step is a file opened for writing, a rename, a removal or a new folder, below the folder of the results; the process
kills itself at the one that was drawn, by Python's audit hook. Kills by the clock come on top: libraries write without
a step that Python sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.hostile.warm import forked, line
from scripts.hostile.world import GENERATE, REPAIR, REPLAY, REPORT, TRAIN

MADE = {
    "generate": (*GENERATE, ("*.parquet",)),
    "replay": (*REPLAY, ("episodes-*.jsonl",)),
    "train": (*TRAIN, ("adapter_model.safetensors",)),
    "report": (*REPORT, ("report.json", "report.md", "report.html")),
    "repair": (*REPAIR, ("*.parquet", "repair.json")),
}
"""Commands by name, each with the files that must have the same bytes whenever and however often it was ended."""
MOST_KILLS = 3
_STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Alone:
    """What a command does when it is left alone."""

    steps: int
    seconds: float
    bytes: int
    """What its folder takes."""
    content: dict[str, str]
    """Files that must come out the same."""


def made_by(name: str, out: str, world: Path) -> Callable[[], None]:
    """The command, with its results in ``out``."""
    module, arguments, _ = MADE[name]
    return line(module, [*(each for each in arguments if not each.startswith("out=")), f"out={out}"])


def content(name: str, folder: Path) -> dict[str, str]:
    """The digests of the files that must come out the same, as far as they are there."""
    import hashlib

    found = sorted(path for pattern in MADE[name][2] for path in folder.glob(pattern) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def counting(body: Callable[[], None], folder: Path, die_at: int = 0, told: Path | None = None) -> Callable[[], None]:
    """The body, with its steps counted; at step ``die_at`` the process kills itself."""

    def run() -> None:
        count = 0

        def hook(event: str, args: tuple) -> None:
            nonlocal count
            if event == "open":
                mine = isinstance(args[0], str | os.PathLike) and isinstance(args[2], int) and args[2] & _WRITES
            else:
                mine = event in _STEPS
            if mine and f"{os.path.abspath(os.fsdecode(args[0]))}/".startswith(f"{folder}/"):
                count += 1
                if count == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            body()
        finally:
            if told is not None:
                told.write_text(json.dumps(count), "utf-8")

    return run


def alone(name: str, world: Path) -> Alone:
    """Runs a command by itself, once for a world."""
    kept = world / f"alone-{name}"
    told = world / f"alone-{name}.json"
    if not told.exists():
        shutil.rmtree(kept, ignore_errors=True)
        steps = world / "steps"
        started_s = time.monotonic()
        ended = forked(counting(made_by(name, kept.name, world), kept, told=steps), world, limit_s=300)
        if ended.status:
            raise RuntimeError(f"{name} ended with {ended.status} when it was left alone: {ended.err}")
        size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
        found = [int(steps.read_text("utf-8")), time.monotonic() - started_s, size, content(name, kept)]
        told.write_text(json.dumps(found), "utf-8")
    return Alone(*json.loads(told.read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class Kill:
    """Where one run is ended."""

    step: int = 0
    after_s: float | None = None


def kills(draw: random.Random, known: Alone) -> list[Kill]:
    """One to `MOST_KILLS` ends of one run."""
    return [
        Kill(draw.randrange(1, known.steps + 1)) if draw.random() < 0.7 else Kill(after_s=draw.random() * known.seconds)
        for _ in range(draw.randint(1, MOST_KILLS))
    ]


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[], None] | None]:
    """A disk of ``size`` bytes at a folder; gives what makes it large, or None where this process may mount none."""
    place.mkdir(parents=True, exist_ok=True)
    pages = -(-size // 4096) * 4096
    mounted = not _mount("mount", "-t", "tmpfs", "-o", f"size={pages}", "tmpfs", str(place))
    try:
        yield (lambda: _mount("mount", "-o", "remount,size=1g", str(place)) and None) if mounted else None
    finally:
        if mounted:
            _mount("umount", str(place))


def _mount(*words: str) -> int:
    try:
        return subprocess.run(words, capture_output=True, timeout=60).returncode
    except OSError:
        return 1


def short_files(body: Callable[[], None], size: int) -> Callable[[], None]:
    """The body, with no file longer than ``size``: the nearest thing where nothing may be mounted."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        body()

    return run
