"""A model of this machine in the service's place, for one connection: its context is extended as items come, and
cropped where they go.

Owns the way back from items to segments, so that a model trained here reads the ids that it was trained on, and the
text of what it writes. Does not know events. Nothing constrains what it writes: the grammar needs to know the calls,
which are the session's.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args

from midsentence.core.protocol import ENDS
from midsentence.core.transcript import CLOSERS, Kind, Segment
from midsentence.rendering.renderer import Renderer, Rendering
from scripts.loopback.script import Row

_SAID = re.compile(
    rf"<({'|'.join(kind for kind in get_args(Kind) if kind not in ('model', *CLOSERS))})>(?: (.*))?", re.DOTALL
)
_CLOSER = re.compile(rf"</({'|'.join(CLOSERS)})>")
MOST_TOKENS = 600
"""The longest response."""


def segments_of(renderer: Renderer, items: Sequence[tuple[str, str]], own: dict[str, tuple[int, ...]]) -> list[Segment]:
    """Items as the segments that they were made of.

    Args:
        renderer: the model's.
        items: (role, text); a user's text that is no segment counts as a final update, and an empty one or "(go on)" as
            nothing.
        own: ids of what the model wrote, by text.
    """
    found: list[Segment] = []
    for role, text in items:
        if role == "assistant":
            closer = _CLOSER.search(text)
            written = text[: closer.start()] if closer else text
            found.append(Segment("model", written, 0, own.get(written) or renderer.action_ids(written)))
            if closer:
                found.append(Segment(closer[1], "", 0))  # type: ignore[arg-type]
        elif said := _SAID.fullmatch(text):
            found.append(Segment(said[1], (said[2] or "").strip(), 0))  # type: ignore[arg-type]
        elif text.strip() not in ("", "(go on)"):
            found.append(Segment("final_query_update", text.strip(), 0))
    return found


class Weights:
    """One connection's context in a model that all connections share."""

    def __init__(self, model: Any, renderer: Renderer, lock: threading.Lock) -> None:
        """Computes nothing yet; ``lock`` is held while the model does."""
        self._model, self._renderer, self._lock = model, renderer, lock
        self._stream: Any = None
        self._ids: list[int] = []
        """What the stream holds."""
        self._own: dict[str, tuple[int, ...]] = {}

    async def listen(self, instructions: str, items: Sequence[tuple[str, str]]) -> None:
        """Brings the context to what the conversation is."""
        if instructions:
            await asyncio.to_thread(self._take_in, instructions, items)

    async def write(self, instructions: str, items: Sequence[tuple[str, str]]) -> AsyncIterator[str | Row]:
        """Up to the end of an action, token by token."""
        yield Row("", "")  # the response is announced before its first token is there
        await self.listen(instructions, items)
        if self._stream is None:
            raise ValueError("the session has no instructions; send session.update with some")
        decoder, written, text = self._renderer.decoder(), list[int](), ""
        try:
            while len(written) < MOST_TOKENS and not text.rstrip().endswith(ENDS):
                token = await asyncio.to_thread(self._decode)
                if token in self._model.end_ids:
                    break
                written.append(token)
                piece = decoder.push(token)
                text += piece
                if piece:
                    yield piece
        finally:
            self._own[text] = tuple(written)

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._renderer.action_ids(text))

    def _take_in(self, instructions: str, items: Sequence[tuple[str, str]]) -> None:
        rendering = Rendering(self._renderer)
        wanted = [
            *self._renderer.prompt_ids(instructions),
            *rendering.take(segments_of(self._renderer, items, self._own)),
        ]
        if items and items[-1][0] != "assistant":
            wanted += rendering.header()
        with self._lock:  # threads that nobody waits for any more may still be here
            most = min(len(wanted), len(self._ids))
            same = next((n for n in range(most) if wanted[n] != self._ids[n]), most)
            if self._stream is None or not same:
                self._stream, self._ids, same = self._model.open(wanted[:1]), wanted[:1], 1
            if same < len(self._ids):
                self._model.crop(self._stream, same)
            if same < len(wanted):
                self._model.append([(self._stream, wanted[same:])])
            self._ids = wanted

    def _decode(self) -> int:
        with self._lock:
            (token,) = self._model.decode([self._stream])
            self._ids.append(token)
        return int(token)
