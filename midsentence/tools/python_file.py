"""Tools of one's own, read from a Python file: the functions with ``@tool`` in it, and the state that they share.

Owns how such a file is found, loaded and refused. Loading it runs it, so a path must come from the user and from no
data.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from midsentence.tools.function import FunctionToolbox, Tool


@dataclass(frozen=True, slots=True)
class ToolsFile:
    """What a Python file has of tools."""

    module: ModuleType
    """The file, imported."""
    tools: tuple[Tool, ...]
    """Its ``@tool`` functions, in the order of the file."""
    new_state: Callable[..., Any] | None = None
    """Makes the state of the tools that take one."""
    dated: bool = False
    """Whether ``new_state`` takes the date and time, ``now``."""

    def toolbox(self, seed: str, now: str | None = None) -> FunctionToolbox:
        """A toolbox with a fresh state; latencies follow from ``seed``."""
        given = [now] if self.dated and now else []
        return FunctionToolbox(self.tools, seed, self.new_state(*given) if self.new_state else None)


def load_tools_file(path: Path) -> ToolsFile:
    """Runs a Python file and takes its `Tool` objects.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no Python file, raises, has no tools, or lacks the state that one of them takes.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no tools file {path}; give a .py file with @tool functions")
    name = f"own_tools_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} can't be loaded as Python; give a .py file with @tool functions")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up their hints
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises is about that file
        del sys.modules[name]
        raise ValueError(
            f"{path} raised {type(error).__name__}: {error}; mend it so that Python can import it"
        ) from error
    tools = tuple(value for value in vars(module).values() if isinstance(value, Tool))
    if not tools:
        raise ValueError(f"{path} has no tools; write functions with @tool of midsentence.tools.function")
    new_state = getattr(module, "new_state", None)
    if new_state is not None and not callable(new_state):
        raise ValueError(f"{path}: new_state is {new_state!r}; make it a function that makes a fresh state")
    if new_state is None and (needy := [tool.spec.name for tool in tools if tool.takes_state]):
        raise ValueError(f"{path}: {needy[0]} takes state; add a function new_state() that makes a fresh one")
    return ToolsFile(
        module, tools, new_state, new_state is not None and "now" in inspect.signature(new_state).parameters
    )
