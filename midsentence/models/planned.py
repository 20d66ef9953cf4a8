"""A planner in a model's place: the expert or a script writes, paced like a device.

Owns the interface of what plays the model (`Planner`), and a live model made of one: no weights, and exact in fake
time. Does not know what a planner plans, and what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from midsentence.clock import NS_PER_S, Profile
from midsentence.core.state import State
from midsentence.models.live import OnToken
from midsentence.models.model import common
from midsentence.rendering.renderer import Renderer

PLAN_END = -1
"""The token that ends a plan which holds no complete action."""

Later = Callable[[float, Callable[[], None]], Any]
"""Calls back after so many seconds: an event loop's ``call_later``."""


class Planner(Protocol):
    """Plays the model: the expert, or a script."""

    def plan(self, state: State) -> str | Sequence[int] | None:
        """The whole next action, as text or as ids; None leaves it to the model, where the episode has one.

        A cut keeps the tokens that fit; the next call sees the new state.
        """
        ...


class PlannedModel:
    """A planner (the expert, a script) that writes and reads at a device's rates: no weights, and exact in fake
    time."""

    end_ids = frozenset({PLAN_END})

    def __init__(self, planner: Planner, renderer: Renderer, profile: Profile, later: Later) -> None:
        """One session's model: a planner serves one session.

        Args:
            planner: what is written; what it raises ends the session as failed.
            renderer: the session's.
            profile: how fast.
            later: the running loop's ``call_later``.
        """
        self.planner, self.renderer, self.profile, self.later = planner, renderer, profile, later

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[_PlannedContext]:
        """See `LiveModel`. The prompt is taken as read."""
        done: Future[_PlannedContext] = Future()
        done.set_result(_PlannedContext(self))
        return done


class _PlannedContext:
    def __init__(self, model: PlannedModel) -> None:
        self._model = model
        self._run = 0
        """Number of what is due; callbacks of earlier ones do nothing."""
        self._ids: Sequence[int] = ()
        self._given = 0
        self._taken = 0
        self._base = 0
        """Tokens from which on the clock of writing counts."""
        self._waits = False
        """Whether the next token is written, and the session has not taken the one before."""
        self._on_token: OnToken

    def append(self, ids: Sequence[int]) -> Future[None]:
        done: Future[None] = Future()

        def settle() -> None:
            if done.set_running_or_notify_cancel():
                done.set_result(None)

        self._model.later(self._model.profile.append_ns(len(ids)) / NS_PER_S, settle)
        return done

    def crop(self, length: int) -> None: ...

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        try:
            plan = self._model.planner.plan(state)
            if plan is None:
                raise ValueError("this planner leaves an action to a model; give the session one")
            ids = (*(self._model.renderer.action_ids(plan) if isinstance(plan, str) else plan), PLAN_END)
        except Exception as error:
            on_token(error)
            return
        self._ids, self._on_token = ids, on_token
        self._given, self._taken, self._base, self._waits = 0, 0, 0, False
        if foreseen:
            self._verify(foreseen)
        else:
            self._write_on()

    def took(self, foreseen: Sequence[int] = ()) -> None:
        self._taken += 1
        if self._waits:
            self._give(1)
        elif foreseen and self._taken == self._given:
            self._verify(foreseen)

    def stop(self, keep: int) -> None:
        self._run += 1

    def close(self) -> None:
        self._run += 1

    def _after(self, wait_ns: int, what: Callable[[], None]) -> None:
        """In the place of what was due."""
        self._run += 1
        run = self._run
        self._model.later(wait_ns / NS_PER_S, lambda: what() if run == self._run else None)

    def _write_on(self) -> None:
        if self._given < len(self._ids):
            n, profile = self._given - self._base, self._model.profile
            self._after(profile.token_end_ns(0, n + 1) - profile.token_end_ns(0, n), self._due)

    def _due(self) -> None:
        self._waits = self._taken < self._given
        if not self._waits:
            self._give(1)

    def _verify(self, foreseen: Sequence[int]) -> None:
        right = common(foreseen, self._ids[self._given :])
        self._base = self._given + right
        self._after(self._model.profile.append_ns(len(foreseen)), lambda: self._give(right))

    def _give(self, tokens: int) -> None:
        self._waits = False
        given, self._given = self._given, self._given + tokens
        run = self._run
        for id in self._ids[given : self._given]:
            self._on_token(id)
        if run == self._run:  # nobody has stopped it
            self._write_on()
