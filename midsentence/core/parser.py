"""The incremental parser of what the model writes.

Owns where in an action the model is, and the items that its text completes. Does not know what a line says
(`midsentence.core.lines`). Parsing is pure: `feed(parser, text) -> (parser, items)`, and any split of the same text
gives the same items.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from midsentence.core.lines import Line, Malformed, parse_line
from midsentence.core.protocol import TAGS

_OPENERS = ("<think>", "<tool_call>", "<pause>", "<answer>")
_ANY_TAG = re.compile("|".join(re.escape(tag) for tag in TAGS))


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
            rest = text[len(tag) :]
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
    return Parser("between", parser.buffer[found.end() :]), ()


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
    return Parser("tool_call", parser.buffer[newline + 1 :], lines), tuple(items)


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
