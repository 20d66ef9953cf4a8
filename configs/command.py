"""What every command shares: Hydra's entry, one clear line for bad input, and the run's folder.

Owns `command`, which turns a function of the settings into a command-line entry, and `run_folder`, which leaves in a
run's folder the resolved settings, the commit, the seeds and the versions. Does not know what a command does.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from configs import schema
from configs.folder import SETTINGS
from configs.limits import check
from configs.schema import Config, register
from configs.secrets import as_given, without_secrets
from midsentence.addresses import without_keys
from midsentence.ending import UserError, ends
from midsentence.files import write

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_claimed: dict[Path, int] = {}
"""Folders that this process's command keeps to itself, each by an open handle."""
_given: list[DictConfig] = []
"""The settings of this process's command as they were composed, unresolved."""
_MARKS = {
    "data": ("*.parquet",),
    "replay": ("episodes-*",),
    "train": ("checkpoints", "adapter_model.safetensors"),
    "export": ("training-*",),
    "whatif": ("whatif.json",),
    "frontier": ("frontier.json", "points"),
}
"""By which a folder is known to hold one kind of results: commands write files of the same names (``manifest.json``,
``config.yaml``)."""
_KINDS = {"repair": "data"}
"""Verbs whose results are of another verb's kind."""
_HALF = re.compile(r"[\ud800-\udfff]")
"""Which stands for a byte of a command line that the locale can't read."""
_VERSIONS = ("torch", "transformers", "tokenizers", "peft", "trl", "datasets", "accelerate")


def command(main: Callable[[Config], None]) -> Callable[[], None]:
    """Makes a command of ``main``: settings from the command line, and an end as `midsentence.ending` has it."""
    register()
    typed: list[Override] = []

    @functools.wraps(main)
    def bounded(config: Any) -> None:
        with ends(), _refusals():  # inside Hydra too, which prints lines of its own about what it lets through
            _without_keys_in_sweep()
            set_typed(config, typed)
            no_strangers(config)
            settings: Any = OmegaConf.to_object(config)
            check(settings)
            _given[:] = [config]
            try:
                main(settings)
            finally:
                _given.clear()
                while _claimed:
                    os.close(_claimed.popitem()[1])

    entry = hydra.main(config_path="pkg://configs", config_name="config", version_base="1.3")(bounded)

    def run() -> None:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # raises instead of printing several lines
        with ends(), _refusals():
            if any(argument.startswith("--experimental-rerun") for argument in sys.argv[1:]):
                raise UserError("--experimental-rerun reads a pickle, which is code; give the settings again")
            if strange := next((argument for argument in sys.argv[1:] if _HALF.search(argument)), None):
                raise UserError(f"{strange} is no text in this locale; use a UTF-8 one, as with LC_ALL=C.UTF-8")
            sys.argv[1:], typed[:] = opened(sys.argv[1:])
            entry()

    return run


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What Hydra and OmegaConf refuse is about settings that the user gave, and said with what they say it came
    from."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        causes: list[BaseException] = [error]
        while isinstance(cause := causes[-1].__cause__, HydraException | OmegaConfBaseException):
            causes.append(cause)
        raise UserError("; ".join(dict.fromkeys(" ".join(str(each).split()) for each in causes))) from error


def _without_keys_in_sweep() -> None:
    """Takes keys out of the settings of all jobs that Hydra leaves beside them, as they are taken out of each job's."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        path = Path(HydraConfig.get().sweep.dir) / "multirun.yaml"
        if path.is_file() and (cleaned := without_keys(text := path.read_text("utf-8"))) != text:
            write(path, cleaned)


def opened(arguments: list[str]) -> tuple[list[str], list[Override]]:
    """Arguments as Hydra takes them, and those that it can't: a key of an open mapping (``data.sizes.test=…``) needs
    ``++``, and one whose values have a type of their own (``clock.profiles.mine={…}``) can only be set once all else is
    composed."""
    plain, typed = [], []
    for argument in arguments:
        mapping, kind = _mapping(argument.partition("=")[0]) if "=" in argument else ("", None)
        if kind is None:
            plain.append(f"++{argument}" if mapping else argument)
        elif (override := OverridesParser.create().parse_override(argument)).is_sweep_override():
            plain.append(argument)
        else:
            typed.append(override)
    return plain, typed


def _mapping(path: str) -> tuple[str, type | None]:
    """The open mapping that a path leads into, or "", and the type of its values if that is a group of settings."""
    node: Any = Config
    names = path.split(".")
    for depth, name in enumerate(names):
        kind: Any = {each.name: each.type for each in fields(node)}.get(name) if is_dataclass(node) else None
        if kind is not None and kind.startswith("dict["):
            values: Any = getattr(schema, kind.removeprefix("dict[str, ").removesuffix("]"), None)
            into = is_dataclass(values) and depth + 1 < len(names)
            return ".".join(names[: depth + 1]), values if into else None
        node = getattr(schema, kind or "", None)
    return "", None


def set_typed(config: DictConfig, overrides: list[Override]) -> None:
    """Sets what `opened` left over.

    Raises:
        OmegaConfBaseException: a value of the wrong type, or a field that the type has not.
    """
    for override in overrides:
        mapping, kind = _mapping(override.key_or_group)
        name, _, rest = override.key_or_group.removeprefix(f"{mapping}.").partition(".")
        node = OmegaConf.select(config, mapping)
        with flag_override(node, "struct", False):
            if name not in node:
                node[name] = OmegaConf.structured(kind)
        OmegaConf.update(node, f"{name}.{rest}" if rest else name, override.value(), merge=True)


def no_strangers(config: DictConfig, path: str = "") -> None:
    """Refuses a setting that no type declares: Hydra's ``+`` adds it and nothing would read it.

    Raises:
        UserError: names it, and what its group has.
    """
    kind = OmegaConf.get_type(config)
    known = [each.name for each in fields(kind)] if is_dataclass(kind) else None
    for name in map(str, config):
        if known is not None and name not in known:
            raise UserError(f"{path}{name} is no setting; {path.rstrip('.') or 'the settings'} has {', '.join(known)}")
        value = config._get_node(name)
        if isinstance(value, DictConfig) and not value._is_none():
            no_strangers(value, f"{path}{name}.")


def out_folder(config: Config, verb: str) -> Path:
    """Where a command's results go: ``out``, or ``outputs/<verb>/<name>``; with ``--multirun``, a folder there for each
    job, by number.

    Raises:
        UserError: another kind of results is there already.
    """
    folder = Path(config.out or f"outputs/{verb}/{config.name}")
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        folder = folder / str(HydraConfig.get().job.num)
    for kind, marks in _MARKS.items():
        if (
            kind != _KINDS.get(verb, verb)
            and (found := next((path for mark in marks for path in folder.glob(mark)), None)) is not None
        ):
            raise UserError(f"{folder} holds results of another command ({found.name}); give another out=")
    return folder


def claim(folder: Path) -> None:
    """Makes a folder, and keeps it for this command until it ends: what two write at once is of neither.

    Of several processes of one command (``accelerate launch``) the first claims it. Where the system or the disk has no
    such locks, and where no command runs, it is made and that is all.

    Raises:
        UserError: another command has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None or not _given or os.environ.get("RANK", "0") != "0" or folder.resolve() in _claimed:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(
            f"{folder} is in use by another command; wait until that has ended, or give another out="
        ) from None
    except OSError:  # a network's disk
        os.close(handle)
        return
    _claimed[folder.resolve()] = handle


def to_write(config: Config) -> dict[str, Any]:
    """The settings as plain values as anybody may see them: unresolved, and without keys in addresses."""
    found: dict[str, Any] = as_given(
        OmegaConf.to_container(OmegaConf.structured(config)), _given[0] if _given else None
    )
    return found


def write_manifest(folder: Path, config: Config, **more: Any) -> None:
    """Leaves in ``folder`` what it takes to make the run again, ``config.yaml``, unresolved, and ``manifest.json``,
    without secrets."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / SETTINGS, OmegaConf.to_yaml(OmegaConf.create(to_write(config))))
    manifest = {"git": git_state(), "seed": config.seed, "python": platform.python_version(), "versions": versions()}
    manifest |= without_secrets(more, _given[0] if _given else None)
    write(folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True) + "\n")


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
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}
