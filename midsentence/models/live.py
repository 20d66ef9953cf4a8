"""What a live session needs of a model: the interfaces, whoever implements them.

Owns `LiveModel`, `LiveContext`, and how tokens come (`OnToken`): contexts answer with futures and callbacks. Does not
know events and tools, and how a model computes (`midsentence.models.worker`, `midsentence.models.planned`, and the
services').
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable

from midsentence.core.state import State

OnToken = Callable[[int | Exception], None]
"""Takes the next token of a generation, or why there will be none. Called from any thread; must not block."""


class ContextFull(Exception):
    """The context would grow past what the model takes."""

    def __init__(self, why: str, most_tokens: int = 0) -> None:
        """Says why, and how many tokens a context has at the most; 0 where that is not known."""
        super().__init__(why)
        self.most_tokens = most_tokens


class LiveContext(Protocol):
    """One session's context. What is asked of it happens in the order in which it was asked."""

    def append(self, ids: Sequence[int]) -> Future[None]:
        """Takes in ids. Fails with `ContextFull`, or with what the model raised."""
        ...

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """Starts writing after ``header``, the switch to the model's turn; ``on_token`` gets the tokens until `stop`.

        Args:
            header: ids.
            state: the session's.
            on_token: see `OnToken`.
            foreseen: as in `took`.
        """
        ...

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """The session has taken a token: the model may run on. It is never more than a few tokens ahead.

        Args:
            foreseen: ids that are likely to come next. What of them the model would have written anyway it may read in
                one pass; the tokens that come are the same, and a context that can't do so writes on. Sessions in a
                mode that is verified give some.
        """
        ...

    def stop(self, keep: int) -> None:
        """Stops writing, and forgets all but the first ``keep`` tokens after the header; with none kept, the header
        too."""
        ...

    def close(self) -> None:
        """Stops, and gives the context's memory back. Closing twice is harmless."""
        ...


@runtime_checkable
class Croppable(Protocol):
    """What a context may have besides; one that lacks it is closed, and another is filled anew."""

    def crop(self, length: int) -> None:
        """Forgets all but the first ``length`` tokens, the prompt's included; nothing is being written."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """What a context may have besides; one that lacks it reads what is foreseen."""

    foresees: bool
    """Whether it reads what is foreseen in one pass. One that writes it token by token is not told, and nothing is
    counted as read."""


class LiveModel(Protocol):
    """A model that live sessions share."""

    end_ids: frozenset[int]
    """Tokens by which the model ends its turn of itself."""

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[Any]:
        """A new `LiveContext` that begins with ``prompt_ids``."""
        ...
