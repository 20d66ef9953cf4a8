"""A transcript as the items of a Realtime conversation, and the events that bring a server's conversation to it.

Owns what a piece of a transcript is to the API, and the mirror of what the server holds: since every change is worked
out from the mirror, a conversation that was lost is restored as it was made. Does not know connections, responses and
the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from midsentence.core.protocol import ENDS
from midsentence.core.transcript import CLOSERS, Segment
from midsentence.rendering.renderer import Renderer

Role = Literal["user", "assistant"]
ROOT = "root"
"""What the API calls the place before the first item."""
STRANGE = "\0"
"""The text of an item that can't be part of a transcript: no piece equals it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes one item: a segment of the environment, or an action of the model's, with what closed it."""

    role: Role
    """Who the item is from."""
    text: str
    """What it says, tags included."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item that the server holds."""

    id: str
    """The server's name for it."""
    piece: Piece
    """What it holds."""


def pieces(renderer: Renderer, segments: Iterable[Segment]) -> list[Piece]:
    """A context, after its system text, as the pieces of a conversation."""
    made: list[Piece] = []
    for segment in segments:
        if segment.kind == "model":
            made = spoken(made, segment.text)
        elif segment.kind in CLOSERS:
            made = spoken(made, renderer.text(renderer.environment_ids(segment)))
        else:
            made.append(Piece("user", renderer.text(renderer.environment_ids(segment))))
    return made


def spoken(made: list[Piece], text: str) -> list[Piece]:
    """Pieces with more of the model's turn: up to an action's end it is one."""
    if not text:
        return made
    if made and made[-1].role == "assistant" and not made[-1].text.rstrip().endswith(ENDS):
        return [*made[:-1], Piece("assistant", made[-1].text + text)]
    return [*made, Piece("assistant", text)]


def appended(renderer: Renderer, made: list[Piece], ids: Sequence[int]) -> list[Piece]:
    """Pieces with what a session has appended, given as ids: what closes the model's turn, the switch of roles,
    segments a line each."""
    switch = renderer.model_to_environment
    at = (
        next((n for n in range(len(ids) - len(switch) + 1) if tuple(ids[n : n + len(switch)]) == switch), None)
        if switch
        else None
    )
    if at is not None:
        made = spoken(made, renderer.text(ids[:at]))
        ids = ids[at + len(switch) :]
    return [*made, *(Piece("user", line) for line in renderer.text(ids).splitlines(keepends=True))]


class Mirror:
    """The items of one server's conversation, in order, as far as its client knows."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._made = 0

    def forget(self) -> None:
        """The conversation is gone; the next one is empty."""
        self.items = []

    def written(self, item: str, text: str) -> None:
        """The model has written an item, which stands at the end."""
        self.items.append(Item(item, Piece("assistant", text.rstrip() or STRANGE)))

    def towards(self, wanted: Sequence[Piece]) -> list[dict[str, Any]]:
        """The client events that make the conversation what is wanted; from now on it is taken to be that."""
        wanted = [Piece(piece.role, piece.text.rstrip() or " ") for piece in wanted]
        matcher = SequenceMatcher(None, [item.piece for item in self.items], wanted, autojunk=False)
        deleted: list[dict[str, Any]] = []
        created: list[dict[str, Any]] = []
        kept: list[Item] = []
        for what, start, end, first, last in matcher.get_opcodes():
            if what == "equal":
                kept += self.items[start:end]
                continue
            deleted += [{"type": "conversation.item.delete", "item_id": item.id} for item in self.items[start:end]]
            for piece in wanted[first:last]:
                self._made += 1
                item = Item(f"ms_{self._made}", piece)
                created.append(_create(item, kept[-1].id if kept else ROOT))
                kept.append(item)
        self.items = kept
        return deleted + created


def _create(item: Item, after: str) -> dict[str, Any]:
    content = {"type": "output_text" if item.piece.role == "assistant" else "input_text", "text": item.piece.text}
    message = {"type": "message", "id": item.id, "role": item.piece.role, "content": [content]}
    return {"type": "conversation.item.create", "previous_item_id": after, "item": message}
