"""The protocol's vocabulary, and the incremental parser of what the model writes.

Owns the tags, the grammar of a call line and its values. Does not know which tools exist, which IDs are legal and
when an action is allowed: `midsentence.core.reducer` judges that. Parsing is pure: `feed(parser, text) -> (parser, items)`, and any
split of the same text gives the same items.

    action = [ "<think>" thought "</think>" ] ( calls | "<pause>" | "<answer>" text "</answer>" )
    calls  = "<tool_call>" { line "\\n" } "</tool_call>"
    line   = id "." name "(" arguments ")"  |  id "." parameter ( "=" | "+=" ) argument
           | "REMOVE" id  |  "COMMIT" [ id { "," id } ]

A tool's name may hold what MCP and OpenAI allow: letters, digits, ``_``, ``-``, ``.`` and ``/``, in any place. The first full
stop after the digits ends the ID, and what follows the name tells the lines apart: ``(`` a call, ``=`` or ``+=`` an amendment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

EDITION = 2
"""Names the protocol as a whole: tags, lines, turns and what each looks like in ids. What was made in another edition is refused."""

MODEL_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<pause>", "<answer>", "</answer>")
ENVIRONMENT_TAGS = (
    "<partial_query_update>", "<final_query_update>", "<tool_result>", "<tool_error>", "<cancel>", "<error>",
    "</think_interrupted>", "</tool_call_interrupted>", "</answer_interrupted>", "<silence>",
)
TAGS = MODEL_TAGS + ENVIRONMENT_TAGS
ENDS = ("</answer>", "</tool_call>", "<pause>")
"""The tags that end an action."""

_OPENERS = ("<think>", "<tool_call>", "<pause>", "<answer>")
_ANY_TAG = re.compile("|".join(re.escape(tag) for tag in TAGS))
_OPENS_TAG = re.compile("|".join(re.escape(tag[0]) + f"(?={re.escape(tag[1:])})" for tag in TAGS))
TOOL_NAME = re.compile(r"[\w./-]+")
"""Names of tools that can be called."""
PARAMETER_NAME = re.compile(r"[\w.-]+")
"""Names of parameters that can be given by name, and amended."""
_LINE = re.compile(rf"\s*([0-9]{{1,9}})\s*\.\s*({TOOL_NAME.pattern})\s*\(")
_AMEND = re.compile(rf"\s*([0-9]{{1,9}})\s*\.\s*({PARAMETER_NAME.pattern})\s*(\+?=)(?!=)")
_REMOVE = re.compile(r"\s*REMOVE\s+([0-9]{1,9})\s*$")
_COMMIT = re.compile(r"\s*COMMIT(?:\s+([0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*))?\s*$")
_REF = re.compile(r"\$([1-9][0-9]{0,8})")  # IDs begin at 1, so a reference is never falsy
_PART = re.compile(r'\.([A-Za-z_][\w-]*)|\[(0|[1-9][0-9]{0,8})\]|\[("(?:[^"\\]|\\.)*")\]')
_FIELD = re.compile(r"[A-Za-z_][\w-]*")
_KEYWORD = re.compile(rf"({PARAMETER_NAME.pattern})\s*=(?!=)")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true\b|false\b|null\b')
_SPACE = re.compile(r"[ \t]*")
_MAX_DEPTH = 16


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
class AnswerOpened:
    """An answer begins: early enough to refuse one that is out of place."""


@dataclass(frozen=True, slots=True)
class ActionEnded:
    """The model is done with its action."""

    kind: Literal["tool_call", "pause", "answer"]
    """Which part ended it."""
    text: str = ""
    """The answer's text."""
    lines: int = 0
    """Complete lines of a tool call."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What can't be an action, and why, in words that the model can act on."""

    why: str
    """One sentence: what is wrong, and what is allowed."""


Line = CallLine | AmendLine | RemoveLine | CommitLine
Item = Line | AnswerOpened | ActionEnded | Malformed


@dataclass(frozen=True, slots=True)
class Parser:
    """Where in an action the model is."""

    where: Literal["start", "think", "between", "tool_call", "answer", "ended"] = "start"
    """The part that is being written."""
    buffer: str = ""
    """Text that is not yet decided."""
    lines: int = 0
    """Complete lines of the tool call so far."""
    left_open: Literal["think", "tool_call", "answer"] | None = None
    """The tag that stood open where malformed text ended the action."""

    @property
    def in_line(self) -> bool:
        """Whether a call line has begun; the first one begins with its tag."""
        return self.where == "tool_call" and (self.lines == 0 or bool(self.buffer.strip()))

    @property
    def open_tag(self) -> Literal["think", "tool_call", "answer"] | None:
        """The tag that a cut would have to close."""
        return self.where if self.where in ("think", "tool_call", "answer") else self.left_open


def feed(parser: Parser, text: str) -> tuple[Parser, tuple[Item, ...]]:
    """Takes in more text of one generation; gives the items that it completes. Text after the end is ignored."""
    items: list[Item] = []
    parser = replace(parser, buffer=parser.buffer + text)
    while parser.where != "ended":
        after, found = _STEPS[parser.where](parser)
        items += found
        if after is parser:
            break
        parser = after
    return (parser if parser.where != "ended" else replace(parser, buffer="")), tuple(items)


def _end(*items: Item, left_open: Any = None) -> tuple[Parser, tuple[Item, ...]]:
    return Parser("ended", left_open=left_open), items


def _opening(parser: Parser) -> tuple[Parser, tuple[Item, ...]]:
    openers = _OPENERS if parser.where == "start" else _OPENERS[1:]
    text = parser.buffer.lstrip()
    for tag in openers:
        if text.startswith(tag):
            rest = text[len(tag):]
            if tag == "<pause>":
                return _end(ActionEnded("pause"))
            if tag == "<answer>":
                return Parser("answer", rest), (AnswerOpened(),)
            return Parser("think" if tag == "<think>" else "tool_call", rest), ()
    wrong = next((n for n in range(1, len(text) + 1) if not any(tag.startswith(text[:n]) for tag in openers)), None)
    if wrong is None:
        return parser, ()
    # only the shortest text that is wrong is named, so that the message does not depend on how the text was split
    return _end(Malformed(f"expected {', '.join(openers[:-1])} or {openers[-1]}, got {text[:wrong]!r}"))


def _thinking(parser: Parser) -> tuple[Parser, tuple[Item, ...]]:
    found = _ANY_TAG.search(parser.buffer)
    if found is None:
        return parser, ()
    if found[0] != "</think>":
        return _end(Malformed(f"{found[0]} inside a thought: close it with </think> first"), left_open="think")
    return Parser("between", parser.buffer[found.end():]), ()


def _answering(parser: Parser) -> tuple[Parser, tuple[Item, ...]]:
    found = _ANY_TAG.search(parser.buffer)
    if found is None:
        return parser, ()
    if found[0] != "</answer>":
        return _end(Malformed(f"{found[0]} inside an answer: close it with </answer> first"), left_open="answer")
    return _end(ActionEnded("answer", parser.buffer[: found.start()].strip()))


def _calling(parser: Parser) -> tuple[Parser, tuple[Item, ...]]:
    newline = parser.buffer.find("\n")
    line = parser.buffer if newline < 0 else parser.buffer[:newline]
    closes = _closing_tag(line)
    if closes >= 0:
        line = line[:closes]
    elif newline < 0:
        return parser, ()
    lines = parser.lines
    items: list[Item] = []
    if line.strip():
        item = parse_line(line)
        items.append(item)
        if isinstance(item, Malformed):
            return _end(*items, left_open=None if closes >= 0 else "tool_call")
        lines += 1
    if closes >= 0:
        if lines == 0:
            return _end(Malformed("<tool_call> holds no call: write one call a line, or <pause>"))
        return _end(*items, ActionEnded("tool_call", lines=lines))
    return Parser("tool_call", parser.buffer[newline + 1:], lines), tuple(items)


_STEPS = {"start": _opening, "between": _opening, "think": _thinking, "tool_call": _calling, "answer": _answering}


def _closing_tag(line: str) -> int:
    """Where ``</tool_call>`` stands outside quotes, or -1."""
    at = line.find("</tool_call>")
    while at >= 0:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line[:at])
        if '"' not in outside:
            return at
        at = line.find("</tool_call>", at + 1)
    return -1


class _Bad(Exception):
    pass


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
    except _Bad as bad:
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
    value, at = _joined(line, _skip(line, head.end()))
    _nothing_after(line, at, "the value")
    append = head[3] == "+="
    if append and not isinstance(value, str | Ref | Join):
        raise _Bad("only a text or a result ($n) can be added with +=")
    return AmendLine(int(head[1]), head[2], value, append)


def _nothing_after(line: str, at: int, what: str) -> None:
    if line[at:].strip():
        raise _Bad(f"nothing may follow {what}, got {line[at:].strip()!r}")


def _arguments(line: str, at: int) -> tuple[list[Any], dict[str, Any], int]:
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    at = _skip(line, at)
    if line[at: at + 1] == ")":
        return positional, keyword, at + 1
    while True:
        named = _KEYWORD.match(line, at)
        value, at = _joined(line, _skip(line, named.end()) if named else at)
        if named is None and keyword:
            raise _Bad("an argument without a name follows one with a name")
        if named is None:
            positional.append(value)
        elif named[1] in keyword:
            raise _Bad(f"argument {named[1]!r} is given twice")
        else:
            keyword[named[1]] = value
        at = _skip(line, at)
        if line[at: at + 1] == ")":
            return positional, keyword, at + 1
        at = _expect(line, at, ",")


def _joined(line: str, at: int) -> tuple[Any, int]:
    value, at = _value(line, at, 0)
    parts = [value]
    while line[_skip(line, at): _skip(line, at) + 1] == "+":
        value, at = _value(line, _skip(line, _skip(line, at) + 1), 0)
        parts.append(value)
    if len(parts) == 1:
        return value, at
    if not all(isinstance(part, str | Ref) for part in parts):
        raise _Bad("only texts and results ($n) can be joined with +")
    return Join(tuple(parts)) if any(refs(parts)) else "".join(parts), at


def _value(line: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise _Bad(f"values are nested deeper than {_MAX_DEPTH}")
    if (ref := _REF.match(line, at)) is not None:
        path, at = _path(line, ref.end())
        return Ref(int(ref[1]), path), at
    if (scalar := _SCALAR.match(line, at)) is not None:
        return _scalar(scalar[0]), scalar.end()
    if line[at: at + 1] == "[":
        items: list[Any] = []
        at = _skip(line, at + 1)
        while line[at: at + 1] != "]":
            if items:
                at = _expect(line, at, ",")
            value, at = _value(line, at, depth + 1)
            items.append(value)
            at = _skip(line, at)
        return items, at + 1
    if line[at: at + 1] == "{":
        fields: dict[str, Any] = {}
        at = _skip(line, at + 1)
        while line[at: at + 1] != "}":
            if fields:
                at = _expect(line, at, ",")
            name = _SCALAR.match(line, at)
            if name is None or not name[0].startswith('"'):
                raise _Bad(f"expected a quoted field name at {line[at:at + 12]!r}")
            fields[_scalar(name[0])], at = _value(line, _expect(line, _skip(line, name.end()), ":"), depth + 1)
            at = _skip(line, at)
        return fields, at + 1
    raise _Bad(f"expected a JSON value or $n at {line[at:at + 12]!r}")


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
        raise _Bad(f"{text[:40]} is not a JSON value") from None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise _Bad(f"{text[:40]} is too large a number")
    return value


def _skip(line: str, at: int) -> int:
    return _SPACE.match(line, at).end()  # type: ignore[union-attr]


def _expect(line: str, at: int, char: str) -> int:
    if line[at: at + 1] != char:
        raise _Bad(f"expected {char!r} at {line[at:at + 12]!r}")
    return _skip(line, at + 1)


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
    return Join(tuple(flat) if len(flat) > 1 else (*flat, ""))  # a result alone, as a text, is another value than the result


class NoSuchPart(KeyError):
    """A reference names a part that the result does not have; the text says what is there."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its text in quotes


_SHOWN_FIELDS = 12


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
                raise NoSuchPart(f"there is no {write_value(Ref(ref.call, ref.path[:n + 1]))}: {whole} is {_what_is_there(value)}")
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
    # no tag ever stands in a value, all else stands as it is: what a text says can't be taken for a tag when it is tokenised
    return _OPENS_TAG.sub(r"\\u003c", json.dumps(value, ensure_ascii=False))


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


def _write_step(step: str | int) -> str:
    if isinstance(step, str) and _FIELD.fullmatch(step):
        return f".{step}"
    return f"[{write_value(step)}]"
