"""A planner that says what its script says, one action a generation.

Owns the script and where it stands. For tests, demonstrations and replayed sessions; a script that runs out is a mistake
of whoever wrote it, and fails loudly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from midsentence.core import State

Action = str | Callable[[State], str]
"""The text of an action, or what gives it from the session's state."""


class ScriptRanOut(AssertionError):
    """A generation began that the script does not foresee."""


class Scripted:
    """Plays the model in `midsentence.simulate`: each generation takes the next action. A cut action counts as taken."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self.actions = tuple(actions)
        self.taken = 0

    def plan(self, state: State) -> str:
        """The next action.

        Raises:
            ScriptRanOut: there is none; the text says when, and what the session looked like.
        """
        if self.taken == len(self.actions):
            last = state.transcript.last
            seen = f"{last.kind} {last.text!r}" if last is not None else "nothing"
            raise ScriptRanOut(
                f"generation {state.generation} begins at {state.now_ns} ns, but the script has {len(self.actions)} actions; "
                f"the context ends in {seen}; add what the model does then"
            )
        action = self.actions[self.taken]
        self.taken += 1
        return action if isinstance(action, str) else action(state)

    @property
    def left(self) -> int:
        """Actions that no generation has asked for."""
        return len(self.actions) - self.taken
