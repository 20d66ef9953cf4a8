"""The lines inside ``<tool_call>``: what each kind says, how it is read, and how it is written.

Owns the text of a line. Does not know what it asks for (`midsentence.core.model_lines`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from midsentence.core.protocol import PARAMETER_NAME, TOOL_NAME
from midsentence.core.values import BadLine, Join, Ref, expect, read_argument, skip, write_value

_LINE = re.compile(rf"\s*([0-9]{{1,9}})\s*\.\s*({TOOL_NAME.pattern})\s*\(")
_AMEND = re.compile(rf"\s*([0-9]{{1,9}})\s*\.\s*({PARAMETER_NAME.pattern})\s*(\+?=)(?!=)")
_REMOVE = re.compile(r"\s*REMOVE\s+([0-9]{1,9})\s*$")
_COMMIT = re.compile(r"\s*COMMIT(?:\s+([0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*))?\s*$")
_KEYWORD = re.compile(rf"({PARAMETER_NAME.pattern})\s*=(?!=)")


@dataclass(frozen=True, slots=True)
class CallLine:
    """A complete call line, syntactically right."""

    id: int
    """The number before the point."""
    name: str
    """The tool's name."""
    positional: tuple[Any, ...]
    """Arguments given without a name, in order."""
    keyword: Mapping[str, Any]
    """Arguments given by name."""


@dataclass(frozen=True, slots=True)
class RemoveLine:
    """``REMOVE id``."""

    id: int
    """The call to be removed."""


@dataclass(frozen=True, slots=True)
class AmendLine:
    """``id. name = value`` sets one argument of a call that stands; ``id. name += value`` adds to a text."""

    id: int
    """The call to be amended."""
    name: str
    """The parameter's."""
    value: Any
    """The new value, or what is added to the old one."""
    append: bool
    """Whether it is ``+=``; then the value is a text, a `Ref` or a `Join`."""


@dataclass(frozen=True, slots=True)
class CommitLine:
    """``COMMIT 1, 2``: these held calls may go. ``COMMIT``: all may."""

    ids: tuple[int, ...]
    """As written; empty for all."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What can't be an action, and why, in words that the model can act on."""

    why: str
    """One sentence: what is wrong, and what is allowed."""


Line = CallLine | AmendLine | RemoveLine | CommitLine


def parse_line(line: str) -> Line | Malformed:
    """One line inside ``<tool_call>``."""
    if (removed := _REMOVE.match(line)) is not None:
        return RemoveLine(int(removed[1]))
    if (committed := _COMMIT.match(line)) is not None:
        return CommitLine(tuple(int(id) for id in committed[1].split(",")) if committed[1] else ())
    try:
        if (amended := _AMEND.match(line)) is not None:
            return _amendment(line, amended)
        if (call := _LINE.match(line)) is not None:
            return _call(line, call)
    except BadLine as bad:
        return Malformed(f"in {line.strip()!r}: {bad}")
    return Malformed(
        'expected a call such as 1. tool("value"), a change such as 1. text = "value", REMOVE 1, or COMMIT 1, '
        f"got {line.strip()!r}"
    )


def _call(line: str, head: re.Match[str]) -> CallLine:
    positional, keyword, at = _arguments(line, head.end())
    _nothing_after(line, at, "the closing bracket")
    return CallLine(int(head[1]), head[2], tuple(positional), keyword)


def _amendment(line: str, head: re.Match[str]) -> AmendLine:
    value, at = read_argument(line, skip(line, head.end()))
    _nothing_after(line, at, "the value")
    append = head[3] == "+="
    if append and not isinstance(value, str | Ref | Join):
        raise BadLine("only a text or a result ($n) can be added with +=")
    return AmendLine(int(head[1]), head[2], value, append)


def _nothing_after(line: str, at: int, what: str) -> None:
    if line[at:].strip():
        raise BadLine(f"nothing may follow {what}, got {line[at:].strip()!r}")


def _arguments(line: str, at: int) -> tuple[list[Any], dict[str, Any], int]:
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    at = skip(line, at)
    if line[at : at + 1] == ")":
        return positional, keyword, at + 1
    while True:
        named = _KEYWORD.match(line, at)
        value, at = read_argument(line, skip(line, named.end()) if named else at)
        if named is None and keyword:
            raise BadLine("an argument without a name follows one with a name")
        if named is None:
            positional.append(value)
        elif named[1] in keyword:
            raise BadLine(f"argument {named[1]!r} is given twice")
        else:
            keyword[named[1]] = value
        at = skip(line, at)
        if line[at : at + 1] == ")":
            return positional, keyword, at + 1
        at = expect(line, at, ",")


def write_call(id: int, name: str, positional: tuple[Any, ...] = (), keyword: Mapping[str, Any] | None = None) -> str:
    """A call line, without its newline."""
    parts = [write_value(value) for value in positional]
    parts += [f"{key}={write_value(value)}" for key, value in (keyword or {}).items()]
    return f"{id}. {name}({', '.join(parts)})"


def write_amend(id: int, name: str, value: Any, append: bool = False) -> str:
    """A line that sets one argument, or adds to it; without its newline."""
    return f"{id}. {name} {'+=' if append else '='} {write_value(value)}"


def write_commit(ids: Iterable[int] = ()) -> str:
    """A line that commits these calls, or all; without its newline."""
    return " ".join(("COMMIT", ", ".join(str(id) for id in ids))).rstrip()
