"""A generation that a session waits for, and the response of the server that writes it.

Owns the pieces that a response comes in, and what they make up. Does not know connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from midsentence.core.protocol import ENDS
from midsentence.models.live import OnToken


@dataclass(slots=True)
class Writing:
    """A generation that a session waits for."""

    on_token: OnToken
    """Whom each token is told, and the end or a failure."""
    ids: list[int] = field(default_factory=list)
    """Tokens that were passed on."""
    text: str = ""
    """What came of it, of all responses together."""
    asked: bool = False
    """Whether a response was asked for it, on the connection there is."""

    @property
    def is_whole(self) -> bool:
        """Whether an action has been written to its end."""
        return self.text.rstrip().endswith(ENDS)


@dataclass(slots=True)
class Response:
    """A response that the server has not ended yet."""

    tag: str
    """What it was asked for under."""
    writing: Writing
    """The generation that it was asked for."""
    id: str | None = None
    """The server's, once it is announced."""
    parts: dict[tuple[int, int], str] = field(default_factory=dict)
    """What came of it, by item and part."""
    items: list[str] = field(default_factory=list)
    """The items that it has begun."""
    early: list[Any] = field(default_factory=list)
    """Events of a response that has not been announced: they wait for its announcement."""
    is_over: bool = False
    """Whether nobody waits for it any more."""
    cancelled: bool = False
    """Whether the server was told to end it."""

    def add(self, place: tuple[int, int], text: str) -> None:
        """Takes in a piece of a part's text."""
        self.parts[place] = self.parts.get(place, "") + text

    def complete(self, place: tuple[int, int], text: str) -> str | None:
        """Takes in a part's whole text; gives what was missing at its end, or None where the pieces do not make it
        up."""
        had = self.parts.get(place, "")
        self.parts[place] = text
        return text[len(had) :] if text.startswith(had) else None

    def texts(self, done: Any) -> dict[str, str]:
        """The text of each of its items, by ID: those that it ended with, and those that it only began."""
        texts = dict.fromkeys(self.items, "")
        for item in done.output or ():
            texts[item.id] = "".join(part.text or "" for part in content_of(item))
        return texts


def content_of(item: Any) -> Sequence[Any]:
    """The parts of an item of a response, which only messages have."""
    parts: Sequence[Any] = item.content if item.type == "message" else ()
    return parts
