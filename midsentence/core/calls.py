"""The call graph: states, the one table of transitions, and the questions that the core asks of it.

Owns what a call is, every legal transition (`TABLE`), and the graph made of ``$n`` references, which has no rings, with
the one order in which its calls go. Does not know time, tokens and tags. `docs/calls.md` draws its diagram from the
table.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from immutables import Map

from midsentence.core.lines import write_call
from midsentence.core.values import refs, write_value
from midsentence.tools.normal import normal_form
from midsentence.tools.tool import ToolSpec


class CallState(StrEnum):
    """Where a call is. The last five are terminal."""

    BLOCKED = "blocked"
    READY = "ready"
    HELD = "held"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


TERMINAL = frozenset({CallState.DONE, CallState.FAILED, CallState.CANCELLED, CallState.SKIPPED, CallState.UNKNOWN})


class Input(StrEnum):
    """What can happen to a call."""

    CLEAR = "clear"
    HOLD = "hold"
    START = "start"
    RESULT = "result"
    FAILURE = "failure"
    LOST = "lost"
    REWIND = "rewind"
    REMOVE = "remove"
    SKIP = "skip"
    REFUSE = "refuse"
    STALE = "stale"


class Row(NamedTuple):
    """One transition."""

    state: CallState
    input: Input
    next: CallState
    effect: Literal["", "start", "cancel", "void", "drop"]
    """What else comes of it: start or cancel the tool, void the result, drop a late answer.
    `midsentence.core.transitions.move` does it."""
    why: str


_S, _I = CallState, Input
ROWS: tuple[Row, ...] = (
    Row(_S.BLOCKED, _I.CLEAR, _S.READY, "", "it is whole, its operands are there, and it may run now"),
    Row(_S.BLOCKED, _I.HOLD, _S.HELD, "", "it is whole, its operands are there, but no commit"),
    Row(_S.BLOCKED, _I.SKIP, _S.SKIPPED, "", "what it needs failed, was removed or is unknown"),
    Row(_S.BLOCKED, _I.REWIND, _S.BLOCKED, "", "revised before it ran"),
    Row(_S.BLOCKED, _I.REMOVE, _S.CANCELLED, "", "removed before it ran"),
    Row(_S.BLOCKED, _I.STALE, _S.BLOCKED, "drop", "an older version answers late"),
    Row(_S.HELD, _I.CLEAR, _S.READY, "", "released at the commit point"),
    Row(_S.HELD, _I.REWIND, _S.BLOCKED, "", "revised, or an operand was, while held"),
    Row(_S.HELD, _I.REMOVE, _S.CANCELLED, "", "removed while held"),
    Row(_S.HELD, _I.STALE, _S.HELD, "drop", "an older version answers late"),
    Row(_S.READY, _I.START, _S.RUNNING, "start", "no conflicting call that goes before it is unfinished"),
    Row(_S.READY, _I.HOLD, _S.HELD, "", "speech reopened the turn before it started"),
    Row(
        _S.READY,
        _I.REFUSE,
        _S.FAILED,
        "",
        "its resolved arguments don't fit, repeat an effect, or it needs the user's word",
    ),
    Row(_S.READY, _I.REWIND, _S.BLOCKED, "", "revised, or an operand was, while waiting its turn"),
    Row(_S.READY, _I.REMOVE, _S.CANCELLED, "", "removed while waiting its turn"),
    Row(_S.READY, _I.STALE, _S.READY, "drop", "an older version answers late"),
    Row(_S.RUNNING, _I.RESULT, _S.DONE, "", "the tool answers"),
    Row(_S.RUNNING, _I.FAILURE, _S.FAILED, "", "the tool says it did nothing, or a read was lost"),
    Row(_S.RUNNING, _I.LOST, _S.UNKNOWN, "", "a write timed out or crashed: nobody knows what it did"),
    Row(_S.RUNNING, _I.REWIND, _S.BLOCKED, "cancel", "revised, or an operand was, while it ran"),
    Row(_S.RUNNING, _I.REMOVE, _S.CANCELLED, "cancel", "removed while it ran"),
    Row(_S.RUNNING, _I.STALE, _S.RUNNING, "drop", "an older version answers late"),
    Row(_S.DONE, _I.REWIND, _S.BLOCKED, "void", "revised, an operand was, or an effect made it stale"),
    Row(_S.DONE, _I.REMOVE, _S.CANCELLED, "void", "removed after it answered"),
    Row(_S.DONE, _I.STALE, _S.DONE, "drop", "an older version, or a second answer"),
    Row(_S.FAILED, _I.REWIND, _S.BLOCKED, "", "revised, retried, or an operand was revised"),
    Row(_S.FAILED, _I.REMOVE, _S.CANCELLED, "", "removed after it failed"),
    Row(_S.FAILED, _I.STALE, _S.FAILED, "drop", "an older version, or an answer after the time-out"),
    Row(_S.SKIPPED, _I.REWIND, _S.BLOCKED, "", "revised, or what it needs runs again"),
    Row(_S.SKIPPED, _I.REMOVE, _S.CANCELLED, "", "removed after it was skipped"),
    Row(_S.SKIPPED, _I.STALE, _S.SKIPPED, "drop", "an older version answers late"),
    Row(_S.CANCELLED, _I.STALE, _S.CANCELLED, "drop", "a tool that ignored its cancellation answers"),
    Row(_S.UNKNOWN, _I.RESULT, _S.DONE, "", "the write answers after all"),
    Row(_S.UNKNOWN, _I.FAILURE, _S.FAILED, "", "the write says, after all, that it did nothing"),
    Row(_S.UNKNOWN, _I.STALE, _S.UNKNOWN, "drop", "an older version answers late"),
)
TABLE: dict[tuple[CallState, Input], Row] = {(row.state, row.input): row for row in ROWS}


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it stands."""

    id: int
    """Number under which the model wrote it, from 1."""
    spec: ToolSpec
    """The tool that it runs."""
    args: Mapping[str, Any]
    """By parameter name; references not yet resolved."""
    version: int = 1
    """Counts revisions, reruns and retries, from ``first`` on."""
    first: int = 1
    """The version that it was issued as: those before it were another call's, of an attempt that was thrown away."""
    state: CallState = CallState.BLOCKED
    """Where it is in the table."""
    commit: int = 0
    """Number of the commit that covers this version as it stands; 0 for none. Whether that still lets it go:
    `Commits`."""
    result: Any = None
    """The tool's value; None until it is done."""
    in_context: bool = False
    """Whether the model has been shown the result of this version."""
    started: int = 0
    """Sequence number of its start, 0 while it has not started: tells which reads ran before which effects."""

    @property
    def needs(self) -> frozenset[int]:
        """IDs of the calls whose results it takes."""
        return frozenset(refs(list(self.args.values())))

    @property
    def missing(self) -> tuple[str, ...]:
        """Required parameters that it still lacks: while there are any the call is open, and waits."""
        return tuple(param.name for param in self.spec.params if param.required and param.name not in self.args)

    @property
    def frozen(self) -> bool:
        """Whether it is a write that has started, and so can't be taken back."""
        return self.spec.access == "write" and self.state in (CallState.RUNNING, CallState.DONE, CallState.UNKNOWN)

    @property
    def text(self) -> str:
        """Name and arguments in normal form, see `call_text`."""
        return call_text(self.spec, self.args)


def call_text(spec: ToolSpec, args: Mapping[str, Any]) -> str:
    """A call's name and arguments in normal form: equal texts are equal calls, whoever compares them."""
    form = normal_form(spec, args, own=not any(refs(list(args.values()))))
    return f"{spec.name}({', '.join(f'{name}={write_value(value)}' for name, value in form.items())})"


def call_line(id: int, spec: ToolSpec, args: Mapping[str, Any]) -> str:
    """A call line as it is written, without its newline: positional as far as arguments come without a gap, then by
    name."""
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for param in spec.params:
        if param.name in args:
            if len(positional) == spec.params.index(param) and not keyword:
                positional.append(args[param.name])
            else:
                keyword[param.name] = args[param.name]
    return write_call(id, spec.name, tuple(positional), keyword)


def label(call: Call) -> str:
    """A call as results and errors name it: ``2``, and from its second version on ``2v2``."""
    return str(call.id) if call.version == call.first else f"{call.id}v{call.version - call.first + 1}"


def effect_key(session: str, id: int, text: str) -> str:
    """The idempotency key of one effect: of one session, one call and what it does. The same whenever it is tried
    again."""
    return f"{session}:{id}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Commits:
    """The commits of a session, by number, and which of them still let anything go.

    A call is released by one commit and by no other: its number stands in the call, is wiped with every new version,
    and counts for nothing once the user has spoken again. So no release outlives what it was given for.
    """

    given: int = 0
    """How many there have been; the number of the last one."""
    over: int = 0
    """All up to this one are over: the user has spoken since."""
    open: int = 0
    """All up to this one let go what they cover: at once, or when the grace has passed."""

    def covers(self, call: Call) -> bool:
        """Whether a commit that is not over covers the call; it may still wait for the grace."""
        return call.commit > self.over

    def lets_go(self, call: Call) -> bool:
        """Whether the call may run for its commit's sake."""
        return self.over < call.commit <= self.open


@dataclass(frozen=True, slots=True)
class Graph:
    """All calls of a session. Persistent: changing one shares the rest."""

    calls: Map[int, Call] = Map()
    """By ID."""
    dependants: Map[int, frozenset[int]] = Map()
    """Who has ever named a call as an operand."""
    live: frozenset[int] = frozenset()
    """IDs of the calls that are not terminal."""
    highest: int = 0
    """The highest ID ever issued."""
    forward: bool = False
    """Whether any call has ever named one with a higher ID; while none has, IDs are an order of dependence."""
    effects: Map[str, int] = Map()
    """Resolved text of every write of this turn that has started and did not say "no" → its ID."""

    def __getitem__(self, id: int) -> Call:
        return self.calls[id]

    def __contains__(self, id: int) -> bool:
        return id in self.calls

    def put(self, call: Call) -> Graph:
        """The graph with ``call`` in place of its older self."""
        dependants = self.dependants
        for need in call.needs:
            dependants = dependants.set(need, dependants.get(need, frozenset()) | {call.id})
        live = self.live - {call.id} if call.state in TERMINAL else self.live | {call.id}
        return replace(
            self,
            calls=self.calls.set(call.id, call),
            dependants=dependants,
            live=live,
            highest=max(self.highest, call.id),
            forward=self.forward or any(need > call.id for need in call.needs),
        )

    def sequence(self) -> tuple[int, ...]:
        """All IDs in the order in which calls go: what a call is computed from before it, and else by ID.

        It is one order of all calls, and follows from their references alone: so conflicts can't wait for each other in
        a ring.
        """
        if not self.forward:
            return tuple(sorted(self.calls))
        waiting = {id: set(call.needs) for id, call in self.calls.items() if call.state is not CallState.CANCELLED}
        free = [id for id, needs in waiting.items() if not needs & waiting.keys()]
        heapq.heapify(free)
        order: list[int] = []
        while free:
            order.append(id := heapq.heappop(free))
            for child in self.dependants.get(id, ()):
                if child in waiting and id in waiting[child]:
                    waiting[child].discard(id)
                    if not waiting[child] & waiting.keys():
                        heapq.heappush(free, child)
        return tuple(order)

    def precedes(self, one: int, other: int) -> bool:
        """Whether a call goes before another in `sequence`."""
        if not self.forward:
            return one < other
        order = self.sequence()
        return one in order and other in order and order.index(one) < order.index(other)

    def below(self, id: int) -> tuple[int, ...]:
        """All that depends on a call, directly or not, in the order of `sequence`, the removed left out."""
        found: set[int] = set()
        front = [id]
        while front:
            for child in self.dependants.get(front.pop(), ()):
                call = self.calls[child]
                # a call may have named an operand in an older version only
                if (
                    child not in found
                    and call.state is not CallState.CANCELLED
                    and any(n == id or n in found for n in call.needs)
                ):
                    found.add(child)
                    front.append(child)
        return tuple(sorted(found)) if not self.forward else tuple(id for id in self.sequence() if id in found)

    def above(self, ids: Iterable[int]) -> frozenset[int]:
        """Calls, and all that they are computed from, directly or not."""
        found: set[int] = set()
        front = [*ids]
        while front:
            if (id := front.pop()) not in found and id in self.calls:
                found.add(id)
                front += self.calls[id].needs
        return frozenset(found)

    def in_state(self, *states: CallState) -> Iterator[Call]:
        """Live calls in one of the states, in ID order."""
        return (self.calls[id] for id in sorted(self.live) if self.calls[id].state in states)

    def effect_below(self, id: int) -> int | None:
        """The ID of a started write that is, or was computed from, this call; None if there is none."""
        return next((i for i in (id, *self.below(id)) if self.calls[i].frozen), None)

    def waits_for(self, call: Call) -> bool:
        """Whether an unfinished call that goes before it (see `sequence`) is in conflict over a resource."""
        return any(
            self.calls[other].spec.conflicts_with(call.spec) and self.precedes(other, call.id)
            for other in self.live
            if other != call.id
        )
