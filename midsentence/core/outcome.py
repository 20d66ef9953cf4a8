"""A tool's result or failure as data: the one boundary through which everything that a tool returns or raises passes,
live and in simulation.

Owns what is a result, and what an exception says of a call: a tool's own "no" (it did nothing), or a crash. Does not
know threads, tasks and clocks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from midsentence.core.events import StartTool, ToolError, ToolResult
from midsentence.core.values import write_value
from midsentence.tools.hints import as_json
from midsentence.tools.tool import ToolFailure, described

MAX_RESULT_DEPTH = 64
"""Levels of lists and objects that a result may have: what Python itself allows depends on who calls."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool ended."""

    value: Any = None
    """What the tool returned; None unless it is done."""
    kind: Literal["done", "failed", "timeout", "crashed"] = "done"
    """``failed``: the tool says it did nothing. After the other two, what a write did is unknown."""
    message: str = ""
    """What the model is told of a failure; empty if it is done."""

    def event(self, start: StartTool, at_ns: int) -> ToolResult | ToolError:
        """What the core hears of it."""
        if self.kind == "done":
            return ToolResult(at_ns, start.call, start.version, self.value)
        return ToolError(at_ns, start.call, start.version, self.message, self.kind)


class Boundary:
    """A block that a tool runs in: nothing leaves it but an outcome.

        with Boundary() as ended:
            ended.gives(toolbox.run(name, args))
        return ended.outcome

    SystemExit and KeyboardInterrupt are outcomes too: a tool ends no process. What the caller has to hear itself, it
    lets pass.
    """

    def __init__(self, *passes: type[BaseException]) -> None:
        """Of an attempt that has not begun.

        Args:
            passes: exceptions that are none of the tool's: the cancellation of a task, Ctrl-C where the tool runs in
                the main thread.
        """
        self.outcome = Outcome()
        self._passes = passes

    def gives(self, value: Any) -> None:
        """What the tool returned, in its JSON form; without one it is a crash."""
        try:
            self.outcome = Outcome(as_json(value))
        except (TypeError, RecursionError):
            self.outcome = Outcome(kind="crashed", message=no_json(value))

    def __enter__(self) -> Boundary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, self._passes):
            return False
        self.outcome = failed(error)
        return True


def failed(error: BaseException) -> Outcome:
    """What an exception says: a tool's own "no", or a crash."""
    if isinstance(error, ToolFailure):
        return Outcome(kind="failed", message=described(error))
    return Outcome(kind="crashed", message=f"{type(error).__name__}: {described(error)}")


def not_json(value: Any) -> str | None:
    """Why a tool's answer can't be shown or handed on, or None."""
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)  # logs and equality of calls sort the fields
        write_value(value)
    except (TypeError, ValueError, RecursionError):
        return no_json(value)
    if is_deep(value):
        return f"its answer is nested deeper than {MAX_RESULT_DEPTH} levels"
    return None


def no_json(value: Any) -> str:
    """What the model is told of an answer that JSON can't hold."""
    return f"its answer is no JSON value but {type(value).__name__}"


def is_deep(value: Any) -> bool:
    """Whether a JSON value is nested deeper than what can be walked through from any depth of the caller's own
    stack."""
    level = [value]
    for _ in range(MAX_RESULT_DEPTH + 1):
        level = [
            item
            for each in level
            if isinstance(each, list | tuple | dict)
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, list | tuple | dict)
        ]
        if not level:
            return False
    return True
