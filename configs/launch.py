"""Several processes on CPUs, as ``accelerate launch --cpu --num_processes N`` promises.

Owns one gap: accelerate 1.15 hands ``--cpu`` to a launcher that starts a single process, whatever ``--num_processes``
says (mpirun apart). A command that finds itself there starts over under PyTorch's own launcher. Does not know what
runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import yaml


def start_all(module: str) -> None:
    """Replaces this process by as many as were asked for, if accelerate started one of several; else does nothing."""
    if not lone(os.environ):
        return
    wanted = asked_for(psutil.Process(os.getppid()).cmdline())
    if wanted > 1:
        sys.stdout.flush()
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={wanted}", "-m", module]
        os.execv(sys.executable, [sys.executable, *launch, *sys.argv[1:]])


def lone(environ: Mapping[str, str]) -> bool:
    """Whether accelerate was to use CPUs, expected several processes to meet, and numbered none."""
    return environ.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in environ and "RANK" not in environ


def asked_for(line: Sequence[str]) -> int:
    """How many processes a line of ``accelerate launch`` asks for: its option, or else its config file; 0 if neither
    says."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--num_processes", "--num-processes", type=int)
    options.add_argument("--config_file", "--config-file", type=Path)
    found, _ = options.parse_known_args(list(line))
    if found.num_processes is None and found.config_file is not None and found.config_file.is_file():
        return int((yaml.safe_load(found.config_file.read_text("utf-8")) or {}).get("num_processes") or 0)
    return found.num_processes or 0
