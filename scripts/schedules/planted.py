"""Bugs to plant, at least one for each of the judge's rules, and how many schedules it takes to find each.

Most alter what passes between core and shell (an event before the core sees it, a command after), so that they survive
any change of the core's insides. A bug's function is given the core's step and gives another; it may keep a memory, for
each schedule plants it afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from agent import core
from agent.events import (
    Append, CancelTool, Close, Command, Emit, Event, Finish, Generate, ModelEnded, ModelOutput, StartTool, Stop, ToolError, ToolResult,
    UserUpdate,
)  # fmt: skip
from agent.transcript import Segment
from scripts.schedules.shell import Schedule, Step
from scripts.schedules.writer import TOOLS

Bug = Callable[[], Step]


def _commands(change: Callable[[Event, tuple[Command, ...], dict[str, Any]], tuple[Command, ...]]) -> Bug:
    """A bug that alters the commands of each step; ``memory`` is one session's."""

    def planted() -> Step:
        memory: dict[str, Any] = {}

        def step(state: Any, event: Event) -> tuple[Any, tuple[Command, ...]]:
            state, commands = core.step(state, event)
            return state, change(event, commands, memory)

        return step

    return planted


def _starts(change: Callable[[StartTool, dict[str, Any]], Iterator[Command]]) -> Bug:
    """A bug that puts other commands in the place of a start."""

    def changed(event: Event, commands: tuple[Command, ...], memory: dict[str, Any]) -> tuple[Command, ...]:
        new: list[Command] = []
        for command in commands:
            new += change(command, memory) if isinstance(command, StartTool) else [command]
        return tuple(new)

    return _commands(changed)


def _segments(change: Callable[[Segment, dict[str, Any]], Segment | None]) -> Bug:
    """A bug that alters or drops what the context is told."""

    def changed(event: Event, commands: tuple[Command, ...], memory: dict[str, Any]) -> tuple[Command, ...]:
        new: list[Command] = []
        for command in commands:
            if isinstance(command, Append):
                segments = (change(segment, memory) for segment in command.segments)
                command = Append(tuple(segment for segment in segments if segment is not None))
            new.append(command)
        return tuple(new)

    return _commands(changed)


def _events(change: Callable[[Event, dict[str, Any]], Event]) -> Bug:
    """A bug that alters what the core hears."""

    def planted() -> Step:
        memory: dict[str, Any] = {}
        return lambda state, event: core.step(state, change(event, memory))

    return planted


def _is_write(start: StartTool) -> bool:
    return TOOLS[start.name].access == "write"


# -- starts that come too early, twice, or otherwise ----------------------------------------------------------------


def _early(access: str) -> Bug:
    """Every held call of a class is started as soon as it is written."""

    def planted() -> Step:
        def step(state: Any, event: Event) -> tuple[Any, tuple[Command, ...]]:
            if isinstance(event, UserUpdate) and not getattr(state, "planted", False):
                event = replace(event, final=True)
            return core.step(state, event)

        del access
        return step

    return planted


def _again(spell: Callable[[StartTool], dict[str, Any]], call: int = 0, version: int = 1) -> Bug:
    def twice(start: StartTool, memory: dict[str, Any]) -> Iterator[Command]:
        yield start
        if _is_write(start):
            yield replace(start, args=spell(start), call=start.call + call, version=start.version + version)

    return _starts(twice)
