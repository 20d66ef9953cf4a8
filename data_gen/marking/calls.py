"""The calls of a line of the markup, with the accepted values that are written out."""

from __future__ import annotations

import re
from typing import Any

from data_gen.marking.values import read_value
from data_gen.task import BadTask

_CALL = re.compile(r"\s*(?P<back>!?)(?P<name>[\w.\-]+)\s*(?P<args>\()?")
ARGUMENT = re.compile(r"\s*(?P<param>\w+)\s*(?P<given>=)?")


def calls_in(text: str) -> tuple[list[tuple[str, dict[str, list[Any]]]], list[tuple[str, dict[str, list[Any]]]]]:
    """The gold calls with the accepted values that are written out, and the calls that are taken back."""
    gold: list[tuple[str, dict[str, list[Any]]]] = []
    back: list[tuple[str, dict[str, list[Any]]]] = []
    n = 0
    while True:
        found = _CALL.match(text, n)
        if found is None:
            raise BadTask(f"{text[n : n + 20].strip()!r} is no call; write name(argument=value), and ; between calls")
        n = found.end()
        args: dict[str, list[Any]] = {}
        if found["args"]:
            args, n = _args(text, n, found["name"])
        if not found["back"] and back:
            raise BadTask(f"gold call {found['name']} comes after !{back[0][0]}; put calls that are taken back last")
        (back if found["back"] else gold).append((found["name"], args))
        rest = text[n:].lstrip()
        if not rest:
            break
        if rest[0] != ";":
            raise BadTask(f"{rest[:20]!r} after call {found['name']}; write ; between calls")
        n = len(text) - len(rest) + 1
    if not gold:
        raise BadTask("asks for no call; write at least one gold call")
    return gold, back


def _args(text: str, n: int, name: str) -> tuple[dict[str, list[Any]], int]:
    args: dict[str, list[Any]] = {}
    while True:
        if text[n:].lstrip()[:1] == ")":
            return args, text.index(")", n) + 1
        found = ARGUMENT.match(text, n)
        if found is None:
            raise BadTask(
                f"{text[n : n + 20].strip()!r} in the arguments of {name}; write argument=value, and ) at the end"
            )
        if found["param"] in args:
            raise BadTask(f"{name}: {found['param']} is given twice; several accepted values are separated by /")
        n, values = found.end(), []
        if found["given"]:
            while True:
                value, n = read_value(text, n, "/,)")
                values.append(value)
                if text[n : n + 1] != "/":
                    break
                n += 1
        args[found["param"]] = values
        rest = text[n:].lstrip()
        if rest[:1] not in (",", ")"):
            raise BadTask(f"{rest[:20]!r} in the arguments of {name}; write , or ) after {found['param']}")
        n = len(text) - len(rest) + (rest[0] == ",")
