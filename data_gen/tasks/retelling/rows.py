"""A row of a requests file: its texts, what it quotes, and itself with other texts.

Owns nothing but that; does not know what is changed, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_gen.grounding.spans import find
from data_gen.task import BadTask

Row = Mapping[str, Any]


def cased(like: str, word: str) -> str:
    """The word, with a capital where the other begins with one."""
    return word.capitalize() if like[:1].isupper() else word


def strings(row: Row) -> Iterator[str]:
    """All that is said, quoted or given in a row."""
    found: list[str] = []

    def taken(string: str) -> str:
        found.append(string)
        return string

    changed(row, taken)
    yield from found


def changed(row: Row, change: Callable[[str], str]) -> dict[str, Any]:
    """The row with its texts changed: the request, what is quoted of it, values and answers; names of tools and
    parameters stay."""

    def walk(value: Any) -> Any:
        match value:
            case str():
                return change(value)
            case list() | tuple():
                return [walk(item) for item in value]
            case Mapping():
                return {key: walk(item) for key, item in value.items()}
        return value

    told = dict(row) | {"request": change(row["request"])}
    told["calls"] = [call | {"args": walk(call["args"])} for call in row["calls"]]
    if "spans" in row:
        told["spans"] = [
            entry | {key: walk(entry[key]) for key in ("tool", "args", "until") if key in entry}
            for entry in row["spans"]
        ]
    return told | ({"answer": walk(row["answer"])} if "answer" in row else {})


def said_at(words: Sequence[str], quotes: Iterable[str], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether each quotation is said at its place still; its number may be another's, or the words said twice now."""
    try:
        return [find(words, quote) for quote in quotes] == spans
    except BadTask:
        return False


def quotes_of(row: Row) -> Iterator[str]:
    """Everything that a row quotes of its request."""
    for entry in row.get("spans", ()):
        yield from (entry[key] for key in ("tool", "until") if key in entry)
        for given in entry.get("args", {}).values():
            for one in listed_in(given):
                quote = one.get("words") if isinstance(one, Mapping) else one
                if quote is not None:
                    yield quote


def listed_in(value: Any) -> list[Any]:
    """A value that may be one or a list, as a list."""
    return value if isinstance(value, list) else [value]
