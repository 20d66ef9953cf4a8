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
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from data_gen.expert.agreement import disagreement
from midsentence.core.events import Generate, ModelOutput, Stop
from midsentence.core.reducer import State
from midsentence.core.transcript import Segment, Transcript
from midsentence.rendering.renderer import Renderer
from midsentence.shells.rollout import Rollout

_NEWS = frozenset({"partial_query_update", "final_query_update", "silence", "tool_result", "tool_error"})


class Stamp(NamedTuple):
    """Where a session stands, in brief."""

    now_ns: int
    """The time, in nanoseconds of the session's clock."""
    generation: int
    """Which generation is about to be written."""
    context_tokens: int
    """Tokens in the context."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A state in which somebody wrote."""

    plan: str
    """What the expert writes there, as its ids spell it."""
    plan_ids: tuple[int, ...]
    """The same as ids."""
    by_model: bool
    """Whether the model wrote; else the expert did."""
    stamp: Stamp
    """Tells whether a second run has come to the same state."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a visit."""

    ids: tuple[int, ...]
    """Tokens that were taken in."""
    text: str
    """The same as text."""
    kind: str
    """The kind of disagreement (`data_gen.expert.agreement.KINDS`); empty where the two agree, or the expert wrote."""
    by_model: bool
    """Whether the model wrote; else the expert did."""
    same: bool
    """Whether it is, id for id, what the expert wrote or would have written, up to a cut."""
    stands: bool = True
    """Whether it is in the context at the end; an attempt on a false end of speech may have left it."""


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
    """One for each visit; empty until `close`."""
    taken_over: int | None = None
    """The visit from which on the expert finishes, if it does."""
    failure: str = ""
    """What the expert failed with, if it did: it should be defined on every state, so this is a mistake of its."""
    _kinds: list[str] = field(default_factory=list)
    _state: State | None = None

    def plan(self, state: State) -> str | None:
        """The expert's action where it is its turn; else None, for the model's."""
        if self.failure:
            return None
        self._judge(state.transcript)
        try:
            plan = self.expert.plan(state)
        except Exception as error:  # one broken rollout is data, not the end of thousands
            self.failure = f"{type(error).__name__}: {error}"
            return None
        if self.taken_over is None and self.most_mistakes and self.mistakes >= self.most_mistakes:
            self.taken_over = len(self.visits)
        by_model = self.taken_over is None and self.draw.random() >= self.beta
        ids = tuple(self.renderer.action_ids(plan))
        self.visits.append(Visit(self.renderer.text(ids), ids, by_model, stamp(state)))
        self._state = state
        return None if by_model else plan

    @property
    def mistakes(self) -> int:
        """Disagreements so far."""
        return sum(map(bool, self._kinds))

    def close(self, rollout: Rollout) -> None:
        """Takes in what came of all visits."""
        if not self.failure:
            self._judge(rollout.state.transcript)
        outputs, standing = outputs_of(rollout), {*rollout.state.transcript}
        for visit, kind in zip(self.visits, self._kinds, strict=False):  # the last one is not judged after a failure
            own = outputs[visit.stamp.generation]
            ids = tuple(index for segment in own for index in segment.ids)
            text = "".join(segment.text for segment in own)
            same, stands = ids == visit.plan_ids[: len(ids)], standing.issuperset(own)
            self.written.append(Written(ids, text, kind, visit.by_model, same, stands))

    def moments(self) -> list[int]:
        """The visits at which the expert may take over: where the model disagreed and that is in the context at the
        end, and where it took over as it was."""
        if self.failure:
            return []
        found = [n for n, written in enumerate(self.written) if written.kind and written.stands]
        return found if self.taken_over is None else [*found, self.taken_over]

    def _judge(self, transcript: Transcript) -> None:
        """Compares what was written since the last visit; what has left the context by now is not judged."""
        if self._state is None:
            return
        visit, since = self.visits[-1], _since(transcript, self._state.transcript)
        text = "".join(segment.text for segment in since or () if segment.kind == "model")
        self._kinds.append(disagreement(self._state, text, visit.plan) if visit.by_model and since is not None else "")
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
    generations: list[int] = field(default_factory=list)
    """The generation of each visit of this episode."""

    def plan(self, state: State) -> str | Sequence[int]:
        """What was written in this visit, or from the moment on the expert's action.

        Raises:
            Diverged: the session is not in the state that it was in at the moment.
        """
        n = len(self.generations)
        self.generations.append(state.generation)
        if n < self.moment:
            return self.watched.written[n].ids
        if n == self.moment and stamp(state) != (was := self.watched.visits[n].stamp):
            raise Diverged(f"{state.session}: visit {n} was at {was}, and is at {stamp(state)}")
        return self.expert.plan(state)

    @property
    def reached(self) -> bool:
        """Whether the moment has come; an episode that ended before it has diverged too."""
        return len(self.generations) > self.moment

    def visits_of(self, rollout: Rollout) -> dict[int, int]:
        """The visit in which each of the model's segments was written, by its place in the transcript.

        Args:
            rollout: this episode's.
        """
        outputs = outputs_of(rollout)
        visits = {segment: n for n, generation in enumerate(self.generations) for segment in outputs[generation]}
        transcript = enumerate(rollout.state.transcript)
        return {place: visits[segment] for place, segment in transcript if segment.kind == "model"}

    def uncounted(self, rollout: Rollout, kept: Set[int] = frozenset()) -> frozenset[int]:
        """The places in the transcript of what the model wrote before the moment.

        Args:
            rollout: this episode's.
            kept: visits that the loss may count all the same, for the expert would have written the same there.
        """
        own = {n for n, written in enumerate(self.watched.written[: self.moment]) if written.by_model and n not in kept}
        return frozenset(place for place, n in self.visits_of(rollout).items() if n in own)

    def refused(self, rollout: Rollout) -> bool:
        """Whether an action of the expert's was refused, though it had been told all that was known: its mistake, not
        to be learned.

        A COMMIT that the user speaks into is refused too; that is nobody's mistake.
        """
        first = min((place for place, n in self.visits_of(rollout).items() if n >= self.moment), default=None)
        told: set[str] = set()
        for segment in (*list(rollout.state.transcript)[first:], None):
            if segment is not None and segment.kind != "model":
                told.add(segment.kind)
                continue
            if "error" in told and not told & _NEWS:
                return True
            told = set()
        return False


def stamp(state: State) -> Stamp:
    """Where a session stands, in brief."""
    return Stamp(state.now_ns, state.generation, state.context_tokens)


def outputs_of(rollout: Rollout) -> defaultdict[int, list[Segment]]:
    """What was taken in of each generation, also of those that have left the context since."""
    found: defaultdict[int, list[Segment]] = defaultdict(list)
    under_way = 0
    for event, commands in rollout.history:
        if isinstance(event, ModelOutput) and event.generation == under_way:
            found[under_way].append(Segment("model", event.text, event.at_ns, event.ids))
        for command in commands:
            if isinstance(command, Generate):
                under_way = command.generation
            elif isinstance(command, Stop):
                under_way = 0
    return found


def _since(transcript: Transcript, then: Transcript) -> list[Segment] | None:
    """What was added to a transcript; None where the session has gone back to before it."""
    added: list[Segment] = []
    node: Transcript | None = transcript
    while node is not None and node.last is not None and len(node) > len(then):
        added.append(node.last)
        node = node.before
    return added[::-1] if node is then or not len(then) else None
