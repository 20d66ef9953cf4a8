"""What a model backend is: contexts that are appended to, cropped and forked, and one decode step over many of them.

Owns the interface. Virtual time drives it in batches (`midsentence.simulate`), wall time one stream at a time
(`midsentence.runtime`). Refuses to know the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Stream(Protocol):
    """One session's context inside a model: its token ids, and the KV cache kept for them."""

    @property
    def length(self) -> int:
        """Tokens in the context, the prompt included."""
        ...


class Mask(Protocol):
    """Which tokens may come next, for grammar-constrained decoding."""

    def allowed(self) -> Any:
        """(V,) bool: True where the token may come next; None where anything may."""
        ...


class Model(Protocol):
    """A loaded model that serves many streams."""

    end_ids: frozenset[int]
    """Tokens by which the model ends its turn of itself."""

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Stream:
        """A new context that begins with ``prompt_ids``. Equal prompt prefixes are computed once and shared."""
        ...

    def append(self, batch: Sequence[tuple[Stream, Sequence[int]]]) -> None:
        """Extends each context by its ids; contexts of any lengths in one batch."""
        ...

    def decode(self, streams: Sequence[Stream], masks: Sequence[Mask | None] | None = None) -> list[int]:
        """One token for each stream, chosen and appended to its context."""
        ...

    def crop(self, stream: Stream, length: int) -> None:
        """Forgets all but the first ``length`` tokens: what a cut did not keep."""
        ...

    def fork(self, stream: Stream) -> Stream:
        """An independent copy."""
        ...

    def close(self, stream: Stream) -> None:
        """Gives the stream's memory back. Closing twice is harmless."""
        ...
