"""What a model backend is: contexts that are appended to, cropped and forked, and one decode step over many of them.

Owns the interface. Virtual time drives it in batches (`midsentence.shells.batch`), wall time from a thread
(`midsentence.models.worker`). Does not know the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol, runtime_checkable

from midsentence.core.state import State

LEAST_FORESEEN = 4
"""Fewer tokens are as soon written as read: see `Verifies`."""


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items two sequences begin with alike."""
    return next((n for n, (mine, theirs) in enumerate(zip(one, other)) if mine != theirs), min(len(one), len(other)))


def check_room(length: int, more: int, max_tokens: int) -> None:
    """Refuses what would not fit into a context.

    Args:
        length: tokens that it has.
        more: tokens to come.
        max_tokens: the most that it may have.

    Raises:
        ValueError: it would grow past that.
    """
    if length + more > max_tokens:
        raise ValueError(
            f"the context has {length} tokens, {more} more pass max_tokens = {max_tokens}; end the episode"
        )


def agreed(ids: Sequence[int], end_ids: Set[int], constraint: Constraint | None, chosen: Callable[[int], int]) -> int:
    """How many of the ids would have been written one after the other; the constraint is pushed along by those.

    Args:
        ids: what is foreseen.
        end_ids: tokens that are written, and never taken in.
        constraint: of the generation under way. What it forces is taken as a whole, or left.
        chosen: the token that is written, as the constraint then has it, after so many of the ids.
    """
    right = 0
    while right < len(ids):
        would = (tuple(constraint.forced()) if constraint is not None else ()) or (chosen(right),)
        if tuple(ids[right : right + len(would)]) != would or not end_ids.isdisjoint(would):
            break
        if constraint is not None:
            for token in would:
                constraint.push(token)
        right += len(would)
    return right


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


class Constraint(Mask, Protocol):
    """The grammar of one generation under way."""

    def push(self, token: int) -> None:
        """A token was written."""
        ...

    def forced(self) -> Sequence[int]:
        """Tokens that must come next, with no choice left: they cost prefill, not decode."""
        ...


class Grammar(Protocol):
    """Constrains what a model writes in one generation."""

    def begin(self, state: State) -> Constraint:
        """The constraint of a generation that starts in ``state``."""
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


@runtime_checkable
class Bounded(Protocol):
    """What a model may have besides: a longest context. Whoever drives one that lacks it is told by the model itself."""

    max_tokens: int
    """Tokens of a context, the prompt included."""


@runtime_checkable
class Verifies(Protocol):
    """What a model may have besides: one that lacks it writes token by token what others take in at the speed of
    reading."""

    def verify(self, stream: Any, ids: Sequence[int], constraint: Constraint | None = None) -> int:
        """Appends as many of the ids as `Model.decode` would have written, one after the other, in one pass or a few.

        Args:
            stream: a context of this model's.
            ids: what is foreseen.
            constraint: of the generation under way. What it leaves no choice of counts as written, as it does in
                `Model.decode`'s place; it is pushed along by what is appended, and by nothing else.

        Returns:
            How many were appended. The context ends in those, and its next token costs no pass.
        """
        ...
