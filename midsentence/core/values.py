"""The values of a call: JSON, references to results, and texts that are put together of both.

Owns how a value is read and written, and what becomes of a reference when the result is there. Does not know lines, and
which calls exist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from midsentence.core.protocol import TAGS

_REF = re.compile(r"\$([1-9][0-9]{0,8})")  # IDs begin at 1, so a reference is never falsy
_PART = re.compile(r'\.([A-Za-z_][\w-]*)|\[(0|[1-9][0-9]{0,8})\]|\[("(?:[^"\\]|\\.)*")\]')
_FIELD = re.compile(r"[A-Za-z_][\w-]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true\b|false\b|null\b')
_SPACE = re.compile(r"[ \t]*")
_OPENS_TAG = re.compile("|".join(re.escape(tag[0]) + f"(?={re.escape(tag[1:])})" for tag in TAGS))
_MAX_DEPTH = 16
_SHOWN_FIELDS = 12


@dataclass(frozen=True, slots=True)
class Ref:
    """``$n``: the result of call n, or a part of it: ``$1.email``, ``$2[0].id``, ``$1["first name"]``."""

    call: int
    """The call's ID."""
    path: tuple[str | int, ...] = ()
    """Fields by name, items by index from 0."""


@dataclass(frozen=True, slots=True)
class Join:
    """``"text " + $1``: texts and results put together as one text."""

    parts: tuple[str | Ref, ...]
    """In order; at least one is a reference."""


class BadLine(Exception):
    """What no line may hold, and why, in words that the model can act on."""


def refs(value: Any) -> Iterator[int]:
    """IDs of the calls whose results ``value`` needs."""
    match value:
        case Ref(call):
            yield call
        case Join(parts):
            for part in parts:
                yield from refs(part)
        case list():
            for item in value:
                yield from refs(item)
        case dict():
            for item in value.values():
                yield from refs(item)


def joined(parts: Iterable[str | Ref | Join]) -> str | Ref | Join:
    """Texts and references as one text: what `Join` holds, and a plain text where nothing is left to resolve."""
    flat: list[str | Ref] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Join) else (part,):
            if flat and isinstance(piece, str) and isinstance(flat[-1], str):
                flat[-1] += piece
            elif piece != "":  # nothing added is nothing
                flat.append(piece)
    texts = [piece for piece in flat if isinstance(piece, str)]
    if len(texts) == len(flat):
        return "".join(texts)
    return Join(
        tuple(flat) if len(flat) > 1 else (*flat, "")
    )  # a result alone, as a text, is another value than the result


class NoSuchPart(KeyError):
    """A reference names a part that the result does not have; the text says what is there."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its text in quotes


def part_of(value: Any, ref: Ref) -> Any:
    """The part of call ``ref.call``'s result ``value`` that the reference names.

    Raises:
        NoSuchPart: there is none.
    """
    for n, step in enumerate(ref.path):
        match value:
            case dict() if isinstance(step, str) and step in value:
                value = value[step]
            case list() if isinstance(step, int) and step < len(value):
                value = value[step]
            case _:
                whole = write_value(Ref(ref.call, ref.path[:n]))
                raise NoSuchPart(
                    f"there is no {write_value(Ref(ref.call, ref.path[: n + 1]))}: {whole} is {_what_is_there(value)}"
                )
    return value


def _what_is_there(value: Any) -> str:
    match value:
        case dict():
            more = f" and {len(value) - _SHOWN_FIELDS} more" if len(value) > _SHOWN_FIELDS else ""
            names = ", ".join(json.dumps(str(name), ensure_ascii=False) for name in list(value)[:_SHOWN_FIELDS])
            return f"an object with {names}{more}" if value else "an empty object"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
        case str():
            return "a text"
        case bool() | None:
            return write_value(value)
    return "a number"


def resolve(value: Any, results: Mapping[int, Any]) -> Any:
    """``value`` with every reference replaced by the result, or the part of one, that it names.

    Raises:
        NoSuchPart: a result lacks the part.
    """
    match value:
        case Ref(call):
            return part_of(results[call], value)
        case Join(parts):
            return "".join(as_text(resolve(part, results)) for part in parts)
        case list():
            return [resolve(item, results) for item in value]
        case dict():
            return {name: resolve(item, results) for name, item in value.items()}
    return value


def as_text(value: Any) -> str:
    """A result as it reads inside a text: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else write_value(value)


def write_value(value: Any) -> str:
    """A value as a call line has it."""
    if isinstance(value, list | dict):
        # a long result has to be quick: what holds no reference is JSON as it stands
        with suppress(TypeError):
            return _OPENS_TAG.sub(r"\\u003c", json.dumps(value, ensure_ascii=False))
    match value:
        case Ref(call, path):
            return f"${call}{''.join(map(_write_step, path))}"
        case Join(parts):
            return " + ".join(write_value(part) for part in parts)
        case list() | tuple():
            return f"[{', '.join(write_value(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{write_value(name)}: {write_value(item)}' for name, item in value.items())}}}"
    # no tag ever stands in a value, all else stands as it is: what a text says can't be taken for a tag when it is
    # tokenised
    return _OPENS_TAG.sub(r"\\u003c", json.dumps(value, ensure_ascii=False))


def _write_step(step: str | int) -> str:
    if isinstance(step, str) and _FIELD.fullmatch(step):
        return f".{step}"
    return f"[{write_value(step)}]"


def read_argument(line: str, at: int) -> tuple[Any, int]:
    """The value, or the joined texts and references, that a line has at a place, and the place behind it.

    Raises:
        BadLine: there is none.
    """
    value, at = _value(line, at, 0)
    parts = [value]
    while line[skip(line, at) : skip(line, at) + 1] == "+":
        value, at = _value(line, skip(line, skip(line, at) + 1), 0)
        parts.append(value)
    if len(parts) == 1:
        return value, at
    if not all(isinstance(part, str | Ref) for part in parts):
        raise BadLine("only texts and results ($n) can be joined with +")
    return Join(tuple(parts)) if any(refs(parts)) else "".join(parts), at


def _value(line: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise BadLine(f"values are nested deeper than {_MAX_DEPTH}")
    if (ref := _REF.match(line, at)) is not None:
        path, at = _path(line, ref.end())
        return Ref(int(ref[1]), path), at
    if (scalar := _SCALAR.match(line, at)) is not None:
        return _scalar(scalar[0]), scalar.end()
    if line[at : at + 1] == "[":
        items: list[Any] = []
        at = skip(line, at + 1)
        while line[at : at + 1] != "]":
            if items:
                at = expect(line, at, ",")
            value, at = _value(line, at, depth + 1)
            items.append(value)
            at = skip(line, at)
        return items, at + 1
    if line[at : at + 1] == "{":
        fields: dict[str, Any] = {}
        at = skip(line, at + 1)
        while line[at : at + 1] != "}":
            if fields:
                at = expect(line, at, ",")
            name = _SCALAR.match(line, at)
            if name is None or not name[0].startswith('"'):
                raise BadLine(f"expected a quoted field name at {line[at : at + 12]!r}")
            fields[_scalar(name[0])], at = _value(line, expect(line, skip(line, name.end()), ":"), depth + 1)
            at = skip(line, at)
        return fields, at + 1
    raise BadLine(f"expected a JSON value or $n at {line[at : at + 12]!r}")


def _path(line: str, at: int) -> tuple[tuple[str | int, ...], int]:
    path: list[str | int] = []
    while (part := _PART.match(line, at)) is not None:
        field, index, quoted = part.groups()
        path.append(field if field is not None else int(index) if index is not None else _scalar(quoted))
        at = part.end()
    return tuple(path), at


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
        if isinstance(value, str):
            value.encode()
    except ValueError:
        raise BadLine(f"{text[:40]} is not a JSON value") from None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise BadLine(f"{text[:40]} is too large a number")
    return value


def skip(line: str, at: int) -> int:
    """The place behind the blanks that a line has at a place."""
    return _SPACE.match(line, at).end()  # type: ignore[union-attr]


def expect(line: str, at: int, char: str) -> int:
    """The place behind a character that must come next, and the blanks after it.

    Raises:
        BadLine: another does.
    """
    if line[at : at + 1] != char:
        raise BadLine(f"expected {char!r} at {line[at : at + 12]!r}")
    return skip(line, at + 1)
