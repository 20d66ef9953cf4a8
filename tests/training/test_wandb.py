"""What reaches W&B, without a key and without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def train(mode: str, debug_data: Path, folder: Path) -> list[Path]:
    """A run of two steps without a key or a terminal; the files that it left for W&B."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | {
        "OMP_NUM_THREADS": "1"
    }
    command = [sys.executable, "-m", "training.sft", "experiment=debug", f"train.data=[{debug_data}]", f"out={folder}"]
    command += ["train.max_steps=2", f"train.wandb={mode}", "data.files.corpus='http://me:sk-secret@host/x'"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return sorted({path.resolve() for path in folder.rglob("*.wandb")})  # once through a link to the latest


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", "online"])  # online without a key is offline
def test_losses_by_kind_reach_wandb_offline_and_nothing_is_asked(mode, debug_data, tmp_path):
    pytest.importorskip("wandb")
    (file,) = train(mode, debug_data, tmp_path / "run")
    assert "offline-run" in str(file)
    kept = file.read_bytes()
    missing = [kind for kind in ("thought", "call", "pause", "answer") if f"train/loss_{kind}".encode() not in kept]
    assert missing == []
    assert b"http://host/x" in kept and b"sk-secret" not in kept  # it sends the command line along


@pytest.mark.slow
def test_one_switch_turns_it_off(debug_data, tmp_path):
    assert train("disabled", debug_data, tmp_path / "run") == []
