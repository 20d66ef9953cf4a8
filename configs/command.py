"""What every command shares: Hydra's entry, one clear line for bad input, and the run's folder.

Owns `command`, which turns a function of the settings into a command-line entry, and `run_folder`, which leaves in a
run's folder the resolved settings, the commit, the seeds and the versions. Refuses to know what a command does.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.schema import Config, register

_VERSIONS = ("torch", "transformers", "tokenizers", "peft", "trl", "datasets", "accelerate")


class UserError(Exception):
    """Something that the user can mend; the text names the value and the fix, in a line."""


def command(main: Callable[[Config], None]) -> Callable[[], None]:
    """Makes a command of ``main``: settings from the command line, bad input as one line and exit status 2."""
    register()

    @functools.wraps(main)
    def bounded(config: Any) -> None:
        try:
            main(OmegaConf.to_object(config))
        except (UserError, ValueError, FileNotFoundError, PermissionError) as error:
            if os.environ.get("MIDSENTENCE_TRACEBACK"):
                raise
            fail(error)

    entry = hydra.main(config_path="pkg://configs", config_name="config", version_base="1.3")(bounded)

    def run() -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # raises instead of printing several lines
        try:
            entry()
        except (HydraException, OmegaConfBaseException) as error:
            if os.environ.get("MIDSENTENCE_TRACEBACK"):
                raise
            fail(error)

    return run


def fail(error: Exception) -> NoReturn:
    """Says what is wrong, on one line, and ends with status 2."""
    causes = [str(error)]
    while (cause := error.__cause__) is not None and isinstance(cause, HydraException | OmegaConfBaseException):
        error = cause
        causes.append(str(cause))
    text = "; ".join(dict.fromkeys(" ".join(cause.split()) for cause in causes))
    print(f"{Path(sys.argv[0]).stem}: {text}", file=sys.stderr)
    sys.exit(2)


def out_folder(config: Config, verb: str) -> Path:
    """Where a command's results go: ``out``, or ``outputs/<verb>/<name>``."""
    return Path(config.out or f"outputs/{verb}/{config.name}")


def write_manifest(folder: Path, config: Config, **more: Any) -> None:
    """Leaves in ``folder`` what it takes to make the run again: ``config.yaml`` and ``manifest.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
    manifest = {"git": git_state(), "seed": config.seed, "python": platform.python_version(), "versions": versions()} | more
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def versions() -> dict[str, str]:
    """Versions of the libraries that results depend on."""
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """The commit of the code that runs, and whether files differ from it; empty outside a checkout."""
    here = Path(__file__).resolve().parent.parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}
