"""Tools of one's own: a list of JSON schemas, a Python file, or the assistant's.

Owns what ``tools=`` names, and what a tool without an implementation answers. Does not know rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data_gen.files import text_of
from data_gen.grounding.spans import Habits
from data_gen.task import BadTask, GoldArg
from data_gen.tasks.bfcl import AckToolbox
from data_gen.tasks.named_world import HABITS, world
from midsentence.files import path_of
from midsentence.tools.assistant import AssistantToolbox, assistant_specs
from midsentence.tools.foreign import tool_specs
from midsentence.tools.python_file import load_tools_file
from midsentence.tools.tool import Json, Toolbox, ToolFailure, ToolSpec

DEEPEST = 32
"""Levels of lists and objects in a row or a tool."""
RESULTS = ("string", "integer", "number", "boolean", "array", "object")
"""What a tool without an implementation may say that it returns."""
Named = tuple[str, Mapping[str, GoldArg]]
"""A call that a row names: its tool, and what is accepted by parameter."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a tools file holds."""

    specs: tuple[ToolSpec, ...]
    """Of the tools."""
    toolbox: Callable[[str, Sequence[Named]], Toolbox]
    """From a task's id and its row's calls, a fresh world."""
    habits: Habits = Habits()
    """What is so of them in every request."""
    at: Callable[[str], Tools] | None = None
    """The same tools for a request made at this date and time, if they take what is said of times."""


def tools_of(given: str) -> Tools | None:
    """The tools that ``tools=`` names: ``assistant``, a Python file, or a JSON file; None for none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no usable tools; the text names the tool and the fix.
    """
    if not given:
        return None
    if given == "assistant":
        return Tools(assistant_specs(), _assistant, HABITS, _assistant_at)
    path = path_of(given)
    if not path.is_file():
        raise FileNotFoundError(f"no tools file {given}; give a .json or .py file, or tools=assistant")
    if path.suffix == ".py":
        return _python_tools(path)
    try:
        listed = json.loads(text_of(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{given} is no JSON ({error}); give a list of tools with JSON schemas") from None
    return acknowledged(listed, given)


@dataclass(slots=True)
class Acknowledging(AckToolbox):
    """Tools without an implementation: every call succeeds and says so in the type that the tool declares."""

    returns: Mapping[str, str] = field(default_factory=dict)
    """Types of results by tool, as the tools file's field "returns" has them; text where it is silent."""

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """A pseudo result, the same whenever it is asked again; writes go into the log of effects."""
        if name not in self.specs:
            raise ToolFailure(f"no tool {name!r}: use {', '.join(self.specs)}")
        if self.specs[name].access == "write":
            self.effects.append((name, dict(args)))
        digest = self._digest("result", name, args)
        number = int.from_bytes(digest[:4], "big")
        match self.returns.get(name, "string"):
            case "integer":
                return number % 100
            case "number":
                return number % 10_000 / 100
            case "boolean":
                return bool(number % 2)
            case "array":
                return [f"{name}-{digest.hex()[:6]}"]
            case "object":
                return {"status": "ok", "id": digest.hex()[:6]}
        return f"{name}-{digest.hex()[:6]}"


def acknowledged(listed: Any, where: str) -> Tools:
    """Tools from a list of JSON-schema functions, all of which acknowledge their calls."""
    shallow(listed, f"{where}: a tool")
    specs = tool_specs(listed, where)
    returns = {}
    for entry, spec in zip(listed, specs):
        kind = entry.get("returns", entry.get("function", entry).get("returns", "string"))
        returns[spec.name] = kind.get("type", "string") if isinstance(kind, Mapping) else kind
        if returns[spec.name] not in RESULTS:
            raise ValueError(f"{where}: tool {spec.name} returns {kind!r}; use one of {', '.join(RESULTS)}")
    return Tools(specs, partial(_acknowledging, specs, returns))


def shallow(value: Any, what: str) -> None:
    """Refuses what is nested deeper than anybody means, before something that follows it runs out of stack.

    Raises:
        BadTask: names ``what`` is nested.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [
            each
            for one in level
            if isinstance(one, list | Mapping)
            for each in (one.values() if isinstance(one, Mapping) else one)
        ]
        if not level:
            return
    raise BadTask(f"{what} is nested more than {DEEPEST} levels deep")


def _python_tools(path: Path) -> Tools:
    """The `@tool` functions of a Python file; ``new_state()`` in it makes the state of those that take one.

    A ``new_state(now="…")`` gets the row's date and time, and ``HABITS`` in the file are its tools' `Habits`.
    """
    file = load_tools_file(path)
    habits = getattr(file.module, "HABITS", Habits())
    if not isinstance(habits, Habits):
        raise ValueError(f"{path}: HABITS is {habits!r}; make it a data_gen.grounding.spans.Habits")

    def at(now: str | None) -> Tools:
        def toolbox(id: str, calls: Sequence[Named]) -> Toolbox:
            return file.toolbox(id, now)

        specs = tuple(tool.spec for tool in file.tools)
        return Tools(specs, toolbox, habits, at if file.dated else None)

    return at(None)


def _assistant(id: str, calls: Sequence[Named], now: str | None = None) -> Toolbox:
    return AssistantToolbox(world(calls), id, now=now)


def _assistant_at(now: str) -> Tools:
    return Tools(assistant_specs(now=now), partial(_assistant, now=now), HABITS)


def _acknowledging(specs: tuple[ToolSpec, ...], returns: Mapping[str, str], id: str, calls: Sequence[Named]) -> Toolbox:
    return Acknowledging(id, specs, returns=returns)
