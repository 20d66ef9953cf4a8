"""Killed at random moments and resumed, generation gives the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from configs.schema import Config
from data_gen import generate
from tests.test_configs import composed

DEADLINE_S = 240
"""Only against a hang: nothing is measured."""


def config(folder: Path) -> Config:
    return composed("experiment=debug", f"out={folder}", "data.shard_rows=2")


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    generate.main(config(folder))
    return content(folder)


def finished(folder: Path, whole: dict[str, bytes]) -> None:
    """Lets it finish; the folder must then hold what an undisturbed run leaves, and nothing half-written."""
    left = content(folder)
    assert left == {name: whole[name] for name in left}  # a shard that is there is a whole one
    generate.main(config(folder))
    assert content(folder) == whole
    assert (
        not list(folder.glob("*.tmp")) and not (folder / "making.json").exists() and (folder / "manifest.json").exists()
    )


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_shards_are_written(undisturbed, tmp_path, monkeypatch, seed):
    """The process dies at the n-th of the steps that change the folder, before or after it: four times, then none."""
    draw = random.Random(seed)
    import pyarrow.parquet as parquet

    write, rename = parquet.write_table, Path.rename
    steps = {"left": 0}

    class Killed(BaseException):
        """Nothing catches it, as nothing catches SIGKILL."""

    def step() -> None:
        steps["left"] -= 1
        if steps["left"] == 0:
            raise Killed

    def killed_write(table, path, **options):
        step()
        write(table, path, **options)
        data = Path(path).read_bytes()
        steps["left"] -= 1
        if steps["left"] == 0:  # half of the file had reached the disk
            Path(path).write_bytes(data[: draw.randrange(len(data))])
            raise Killed

    def killed_rename(path, target):
        step()
        found = rename(path, target)
        step()
        return found

    monkeypatch.setattr(parquet, "write_table", killed_write)
    monkeypatch.setattr(Path, "rename", killed_rename)
    for _ in range(4):
        steps["left"] = draw.randint(1, 14)
        with pytest.raises(Killed):
            generate.main(config(tmp_path))
        assert not (tmp_path / "manifest.json").exists()
    steps["left"] = 0
    finished(tmp_path, undisturbed)


def killed(folder: Path, draw: random.Random) -> tuple[bool, int]:
    """Starts the command and kills it at some moment; gives whether it was alive then, and how many shards there
    were."""
    command = [sys.executable, "-m", "data_gen.generate", "experiment=debug", f"out={folder}", "data.shard_rows=2"]
    before = len(content(folder))
    root = Path(generate.__file__).parent.parent
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shards = before + draw.randint(0, 3)
    later_s = draw.random() * 0.03
    tick = threading.Event()
    try:
        # a moment after some shard has come, wherever in the making of the next one that is; imports take most of a run
        for _ in range(DEADLINE_S * 200):
            if (
                process.poll() is not None
                or len(list(folder.glob("*.parquet"))) >= max(shards, 1)
                and (folder / "making.json").exists()
            ):
                break
            tick.wait(0.005)
        tick.wait(later_s)
        alive = process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return alive, len(content(folder))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_ten_times_at_random_moments(undisturbed, tmp_path):
    draw = random.Random(7)
    hits = set()
    for _ in range(10):
        alive, shards = killed(tmp_path, draw)
        hits.add((alive, 0 < shards < len(undisturbed)))
    assert (True, True) in hits  # or no kill fell where shards are made
    finished(tmp_path, undisturbed)
