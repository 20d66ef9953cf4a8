"""BFCL's own checker: whether the final calls of a task are what the leaderboard accepts.

Owns loading the checker out of the wheel without the vendor SDKs, and the translation of calls into its form. Does not
judge by itself: every verdict is the checker's.

``ast_checker`` imports ``model_config``, which imports every vendor's client, only to ask of the evaluated model
whether its API forbids dots in function names. A module with the one answer for our models (dots are kept) stands in
for it while the checker is imported; nothing else of the wheel is replaced, and no name of it stays in ``sys.modules``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from data_gen.task import Task
from midsentence.assets import asset_path

PACKAGE = "bfcl_eval"
MODEL = "midsentence"
"""The name that the stand-in knows: a model whose function names keep their dots."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker says of a task's calls."""

    valid: bool
    """Whether the calls are what the task asks for."""
    error: str = ""
    """Why not, in the checker's words; empty where valid."""


def check(task: Task, calls: Sequence[tuple[str, Mapping[str, Any]]], wheel: Path | None = None) -> Verdict:
    """Checks calls against the task's possible answers; their order does not matter.

    Args:
        task: a task of `data_gen.tasks.bfcl`; its ``meta`` holds function documents and possible answers.
        calls: tool name and arguments by parameter name, as they were run.
        wheel: the wheel of bfcl-eval; the fetched asset by default.

    Raises:
        ValueError: the task is not the leaderboard's.
    """
    meta = task.meta or {}
    if missing := {"category", "functions", "possible_answers"} - set(meta):
        raise ValueError(
            f"task {task.id} has no {sorted(missing)[0]!r} in its meta; the checker scores tasks of data_gen.tasks.bfcl only"
        )
    checker, language = load(wheel or asset_path("bfcl"))
    output = [{name: dict(args)} for name, args in calls]
    try:
        result = checker(
            list(meta["functions"]), output, list(meta["possible_answers"]), language, meta["category"], MODEL
        )
    except (AttributeError, IndexError, KeyError, TypeError, UnboundLocalError) as error:
        # the checker is not total: values of a wrong shape make it raise, and a wrong shape is a wrong call
        return Verdict(False, f"the checker could not read the calls: {type(error).__name__}: {error}")
    return Verdict(bool(result["valid"]), "" if result["valid"] else f"{result['error_type']}: {result['error']}")


@lru_cache(maxsize=4)
def load(wheel: Path) -> tuple[Callable[..., dict[str, Any]], Any]:
    """The wheel's ``ast_checker`` and its name for Python.

    Raises:
        FileNotFoundError: no such wheel.
    """
    if not wheel.is_file():
        raise FileNotFoundError(f"no wheel at {wheel}; fetch it with: midsentence fetch bfcl")
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE}
    for name in kept:
        del sys.modules[name]
    stand_in = ModuleType(f"{PACKAGE}.constants.model_config")
    stand_in.MODEL_CONFIG_MAPPING = {MODEL: SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.modules[stand_in.__name__] = stand_in
    sys.path.insert(0, str(wheel))
    try:
        module = importlib.import_module(f"{PACKAGE}.eval_checker.ast_eval.ast_checker")
        return module.ast_checker, module.Language.PYTHON
    finally:
        sys.path.remove(str(wheel))
        for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
            del sys.modules[name]
        sys.modules.update(kept)
