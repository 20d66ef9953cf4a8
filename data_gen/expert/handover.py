"""A model's own rollout, and the expert who takes over in the middle of it.

Owns the two planners of on-policy repair. `Watched` leaves the writing to the model, asks the expert in every state
what it would have written there (which changes nothing), and notes where the two disagree. `Handover` writes the same
ids again up to one of those moments, so that the world is in the same state at the same time, and then lets the expert
finish. The resulting row holds the model's own context, which the loss does not count, followed by what should have
been done in it, which the loss counts. Does not know which moments are chosen, how models are run, and where rows are
kept.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

from data_gen.expert.agreement import disagreement
from midsentence.core.reducer import State
from midsentence.core.transcript import Segment
from midsentence.rendering.renderer import Renderer
from midsentence.shells.rollout import Rollout

_NEWS = frozenset({"partial_query_update", "final_query_update", "silence", "tool_result", "tool_error"})


@dataclass(frozen=True, slots=True)
class Visit:
    """A state in which somebody wrote."""

    plan: str
    """What the expert writes there, as its ids spell it."""
    plan_ids: tuple[int, ...]
    """The same as ids."""
    by_model: bool
    """Whether the model wrote; else the expert did."""
    place: int
    """Segments of the transcript before it."""
    stamp: tuple[int, int, int]
    """When it was, and how much was in the context: tells whether a second run has come to the same state."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a visit."""

    ids: tuple[int, ...]
    """Tokens that stand in the transcript."""
    text: str
    """The same as text."""
    kind: str
    """The kind of disagreement (`data_gen.expert.agreement.KINDS`); empty where the two agree, or the expert wrote."""
    by_model: bool
    """Whether the model wrote; else the expert did."""
    same: bool
    """Whether it is, id for id, what the expert wrote or would have written, up to a cut."""


class Teacher(Protocol):
    """Who is asked for the right action in every state; a `midsentence.models.planned.Planner` that leaves none to the
    model."""

    def plan(self, state: State) -> str:
        """The whole next action, as text."""
        ...


@dataclass
class Watched:
    """Plays an episode with the model; see the module."""

    expert: Teacher
    """Who is asked in every state, whoever writes."""
    renderer: Renderer
    """Of the episode's transcript."""
    draw: random.Random
    """Decides whose turn it is."""
    beta: float = 0.0
    """Probability that the expert writes in a state."""
    most_mistakes: int = 0
    """Disagreements after which the expert finishes the episode; 0 for none."""
    visits: list[Visit] = field(default_factory=list)
    """States in which somebody wrote, in order."""
    written: list[Written] = field(default_factory=list)
    """One for each visit but the last, until `close`."""
    taken_over: int | None = None
    """The visit from which on the expert finishes, if it does."""
    failure: str = ""
    """What the expert failed with, if it did: it should be defined on every state, so this is a mistake of its."""
    _state: State | None = None

    def plan(self, state: State) -> str | None:
        """The expert's action where it is its turn; else None, for the model's."""
        if self.failure:
            return None
        self._note(state.transcript)
        try:
            plan = self.expert.plan(state)
        except Exception as error:  # one broken rollout is data, not the end of thousands
            self.failure = f"{type(error).__name__}: {error}"
            return None
        if self.taken_over is None and self.most_mistakes and self.mistakes >= self.most_mistakes:
            self.taken_over = len(self.visits)
        by_model = self.taken_over is None and self.draw.random() >= self.beta
        ids = tuple(self.renderer.action_ids(plan))
        self.visits.append(Visit(self.renderer.text(ids), ids, by_model, len(state.transcript), stamp(state)))
        self._state = state
        return None if by_model else plan

    @property
    def mistakes(self) -> int:
        """Disagreements so far."""
        return sum(bool(written.kind) for written in self.written)

    def close(self, rollout: Rollout) -> None:
        """Takes in what the last visit came to."""
        if not self.failure:
            self._note(rollout.state.transcript)

    def moments(self) -> list[int]:
        """The visits at which the expert may take over: where the model disagreed, and where it took over as it was."""
        if self.failure:
            return []
        found = [n for n, written in enumerate(self.written) if written.kind]
        return found if self.taken_over is None else [*found, self.taken_over]

    def _note(self, transcript: Iterable[Segment]) -> None:
        if self._state is None:
            return
        visit = self.visits[-1]
        own = [segment for segment in list(transcript)[visit.place :] if segment.kind == "model"]
        text = "".join(segment.text for segment in own)
        kind = disagreement(self._state, text, visit.plan) if visit.by_model else ""
        ids = tuple(index for segment in own for index in segment.ids)
        self.written.append(Written(ids, text, kind, visit.by_model, ids == visit.plan_ids[: len(ids)]))
        self._state = None


class Diverged(RuntimeError):
    """A rollout that was written again has reached a different state."""


@dataclass
class Handover:
    """Writes a watched rollout again up to a moment, then has the expert finish; see the module."""

    watched: Watched
    """The rollout that is written again."""
    moment: int
    """The visit at which the expert takes over."""
    expert: Teacher
    """Who finishes it: in the state that the first expert was in."""
    places: list[int] = field(default_factory=list)
    """Segments of the transcript before each visit of this episode."""

    def plan(self, state: State) -> str | Sequence[int]:
        """What was written in this visit, or from the moment on the expert's action.

        Raises:
            Diverged: the session is not in the state that it was in at the moment.
        """
        n = len(self.places)
        self.places.append(len(state.transcript))
        if n < self.moment:
            return self.watched.written[n].ids
        if n == self.moment and stamp(state) != (was := self.watched.visits[n].stamp):
            raise Diverged(f"{state.session}: visit {n} was at {was}, and is at {stamp(state)}")
        return self.expert.plan(state)

    def uncounted(self, rollout: Rollout, kept: Set[int] = frozenset()) -> frozenset[int]:
        """The places in the transcript of what the model wrote before the moment.

        Args:
            rollout: this episode's.
            kept: visits that the loss may count all the same, for the expert would have written the same there.
        """
        own = {n for n, written in enumerate(self.watched.written[: self.moment]) if written.by_model and n not in kept}
        return frozenset(
            place
            for place, segment in enumerate(rollout.state.transcript)
            if segment.kind == "model" and bisect_right(self.places, place) - 1 in own
        )

    def refused(self, rollout: Rollout) -> bool:
        """Whether an action of the expert's was refused, though it had been told all that was known: its mistake, not
        to be learned.

        A COMMIT that the user speaks into is refused too; that is nobody's mistake.
        """
        told: set[str] = set()
        for segment in (*list(rollout.state.transcript)[self.places[self.moment] :], None):
            if segment is not None and segment.kind != "model":
                told.add(segment.kind)
                continue
            if "error" in told and not told & _NEWS:
                return True
            told = set()
        return False


def stamp(state: State) -> tuple[int, int, int]:
    """Where a session stands, in brief."""
    return state.now_ns, state.generation, state.context_tokens
