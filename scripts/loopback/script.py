"""A script in the model's place: what is written once the conversation says what a row waits for, and the faults that
tests order.

Owns rows and their order; one script serves every connection, so that it goes on after one was dropped. Does not know
events.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

FAULTS = (
    "drop",
    "garble",
    "strange",
    "repeat",
    "disorder",
    "garbled_deltas",
    "late",
    "mute",
    "unannounced",
    "incomplete",
    "expire",
)
"""Faults without a word of their own; ``refuse CODE`` and ``fail CODE`` have one."""


@dataclass(frozen=True, slots=True)
class Row:
    """A reply."""

    when: str | tuple[str, ...]
    """What the conversation, its instructions included, must say, anywhere; several texts must all be there."""
    write: str
    fault: str = ""
    """``drop`` the connection after the words; ``garble``: half an event's JSON; ``strange``: an event without its
    fields; ``repeat`` every event; ``disorder`` those around the text; ``garbled_deltas``: pieces that don't make up
    the text; ``late``: more pieces after the end; ``mute``: never ends, cancelled or not; ``unannounced``: nothing
    comes of it; ``incomplete``: out of tokens; ``expire``: an error that the session is too old, and the end of the
    connection; ``refuse CODE``; ``fail CODE``."""
    pace_s: float = 0.0
    """Time between two pieces."""

    def is_due(self, said: str) -> bool:
        """Whether a conversation says what it waits for."""
        return all(part in said for part in ((self.when,) if isinstance(self.when, str) else self.when))

    def __post_init__(self) -> None:
        parts = [self.write, *([self.when] if isinstance(self.when, str) else self.when)]
        if not all(isinstance(part, str) for part in parts):
            raise TypeError(f"when is {self.when!r} and write {self.write!r}; give texts")
        if self.fault and self.fault not in FAULTS and self.fault.split()[0] not in ("refuse", "fail"):
            raise ValueError(f"fault is {self.fault!r}; use one of {', '.join(FAULTS)}, 'refuse CODE' or 'fail CODE'")


PAUSE = Row("", "<pause>")


class Script:
    """Plays the model: rows in order, each when it is due, and a pause until then."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    @classmethod
    def read(cls, path: Path) -> Script:
        """A JSON list of rows: ``[{"when": "text bob", "write": "<pause>"}]``.

        Raises:
            ValueError: the file is no such list.
        """
        names = ", ".join(spec.name for spec in fields(Row))
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                [
                    Row(**(row | {"when": tuple(when) if isinstance(when := row["when"], list) else when}))
                    for row in rows
                ]
            )
        except (json.JSONDecodeError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{path} is no script ({error}); give a JSON list of objects with {names}") from error

    def reply(self, said: str) -> Row:
        """The next row, if it is due."""
        return self.rows.pop(0) if self.rows and self.rows[0].is_due(said) else PAUSE

    async def listen(self, instructions: str, items: Sequence[tuple[str, str]]) -> None:
        """A script reads when it is asked."""

    async def write(self, instructions: str, items: Sequence[tuple[str, str]]) -> AsyncIterator[str | Row]:
        """The row's faults first, then its text in pieces of three characters."""
        row = self.reply("".join((instructions, *(text for _, text in items))))
        yield row
        for at in range(0, len(row.write), 3):
            yield row.write[at : at + 3]
            await asyncio.sleep(row.pace_s)

    def count(self, text: str) -> int:
        """About how many tokens a text has."""
        return len(text) // 4 + 1


class Rules(Script):
    """Plays the model by the conversation alone, the same for everybody: the first row that is due, and whose lines do
    not all stand."""

    def reply(self, said: str) -> Row:
        """See `Script`."""
        return next(
            (row for row in self.rows if row.is_due(said) and not all(line in said for line in lines_of(row.write))),
            PAUSE,
        )


def lines_of(action: str) -> list[str]:
    """The call lines of an action; of another, itself."""
    return [line for line in re.split(r"</?tool_call>|\n", action) if line.strip()]
