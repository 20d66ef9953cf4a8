"""The difference between the calls there are and the calls wanted, as lines of an action.

Owns which line makes one of the other, single arguments or a whole call, and the order of lines. Does not know what is
understood (`data_gen.grounding`), and when an action ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_gen.expert.drafts import Patience, amends, drafted_args, operands, whole_and_drafted
from data_gen.expert.matching import alike, claimed_by, has_ids, same, says, serves, standing, to_revise
from data_gen.gold import issued, references
from data_gen.grounding.reading import Wanted
from midsentence.core.calls import Call, CallState, call_line
from midsentence.core.lines import write_amend
from midsentence.core.reducer import State
from midsentence.tools.normal import normal_form
from midsentence.tools.tool import Access

_MOST_TRIES = 3
_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]")
_LEAST_GROWTH = 1
"""Words by which texts that are being said must have grown before a line is written for them alone."""
_LOOKED_UP = (CallState.RUNNING, CallState.DONE)
BAD = (CallState.FAILED, CallState.SKIPPED, CallState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Edit:
    """One line of an action."""

    line: str
    """As it is written."""
    gold: int = 0
    """The gold call that it issues or revises; 0 for a removal."""
    id: int = 0
    """The ID of that call."""
    access: Access = "read"
    """The class of its tool."""


def reconcile(
    wanted: Sequence[Wanted], state: State, final: bool, patience: Patience = "costly"
) -> tuple[list[Edit], dict[int, int]]:
    """The lines that turn the calls there are into the calls wanted, and the ID of each gold call.

    Defined on any state: calls that nobody wants are revised into ones that are wanted, or removed; those that already
    took effect are left alone. What failed for good stands for what is wanted; what needs its result gets no line and
    no ID.
    """
    waiting, drafted = whole_and_drafted(wanted, state, final, patience)
    spare = [call for _, call in sorted(state.graph.calls.items()) if call.state is not CallState.CANCELLED]
    at = _Reconciling(state, final, spare, claimed_by(drafted, spare, state), state.graph.highest + 1)
    while waiting := at.match(waiting):
        # one at a time: once it has its ID, what takes its result may turn out to stand already, and need no line
        want, *waiting = waiting
        at.issue(want)
    users = operands(wanted)
    for want in drafted:
        at.draft(want, want.gold in users)
    return [*at.lines()], at.ids


@dataclass(slots=True)
class _Reconciling:
    """How far a reconciliation has come."""

    state: State
    final: bool
    """Whether what was said is taken as whole."""
    spare: list[Call]
    """Calls that are none of the wanted ones so far."""
    claimed: Mapping[int, Call]
    """Calls that were written for what is not whole yet, by gold call."""
    next_id: int
    """Of the next call that is new."""
    ids: dict[int, int] = field(default_factory=dict)
    """Of the gold calls that have one."""
    edits: list[Edit] = field(default_factory=list)
    """Lines of calls, as they were found."""
    stands: dict[str, int] = field(default_factory=dict)
    """IDs by what a call says, of those that are wanted."""
    lost: set[int] = field(default_factory=set)
    """Gold calls that failed for good, or need the result of one that did."""

    def free(self) -> list[Call]:
        """The spare calls that nothing has taken effect under."""
        return [call for call in self.spare if self.state.graph.effect_below(call.id) is None]

    def match(self, waiting: Sequence[Wanted]) -> list[Wanted]:
        """Gives each call that stands already its ID; gives those that have to be written."""
        unmatched = []
        for want in waiting:
            unknown = {other.gold for other in waiting} - self.ids.keys()
            match = standing([call for call in self.spare if serves(call, want, self.ids, unknown)])
            if match is not None:
                self.spare.remove(match)
                self.ids[want.gold] = match.id
                self.stands[call_line(0, match.spec, match.args)] = match.id
                # what failed may have been misheard, so nothing is tried again before all has been heard
                hopeless = not (_may_retry(self.state, match) and self.final)
                if match.state is CallState.UNKNOWN or match.state is CallState.FAILED and hopeless:
                    self.lost.add(want.gold)
            elif self.lost & {k for value in want.args.values() for k in references(value)}:
                self.lost.add(want.gold)
            else:
                unmatched.append(want)
        return unmatched

    def issue(self, want: Wanted) -> None:
        """Writes a call that is whole, in the place of one that nobody wants where there is one."""
        if not self.final and (one := self.stands.get(same(want, self.ids))) is not None:
            self.ids[want.gold] = one  # what makes the two different may still be said; until then one call does
            return
        theirs = [call.id for call in self.claimed.values()]
        free = self.free()
        old = to_revise([call for call in free if call.id not in theirs] or free, want, self.ids, self.state)
        id = self._take(want, old)
        self.stands[same(want, self.ids)] = id
        self.edits += _lines(
            want, id, old, {name: issued(value, self.ids) for name, value in want.args.items()}, self.state
        )

    def draft(self, want: Wanted, is_operand: bool) -> None:
        """Writes what is known of a call that is not whole."""
        # what was taken as whole at a false end, and has taken effect, is not written again while nothing else is said
        effects = (call for call in self.spare if says(call, want, self.ids) and self.state.graph.effect_below(call.id))
        if (done := next(effects, None)) is not None:
            self.spare.remove(done)
            self.ids[want.gold] = done.id
            return
        old = self.claimed.get(want.gold)
        old = old if old is not None and old in self.spare else to_revise(self.free(), want, self.ids, self.state)
        args = {
            name: issued(value, self.ids)
            for name, value in drafted_args(want, self.state).items()
            if has_ids(value, self.ids)
        }
        if args or old is not None or is_operand:
            self.edits += _lines(want, self._take(want, old), old, args, self.state)

    def _take(self, want: Wanted, old: Call | None) -> int:
        """Gives a wanted call the ID of the call that it takes the place of, or the next one."""
        if old is not None:
            self.spare.remove(old)
        id = old.id if old is not None else self.next_id
        self.next_id += old is None
        self.ids[want.gold] = id
        return id

    def lines(self) -> Iterator[Edit]:
        """The edits in the order in which they are written, with what is tried again and what is removed."""
        state = self.state
        # a later clause may ask for what was looked up, and to look it up again would be a repetition; of an earlier
        # turn it was told
        free = [call for call in self.free() if call.spec.access == "write" or not _is_kept(call, state, self.final)]
        # what is committed may start while other lines are written, so it is taken back first
        removed = [Edit(f"REMOVE {call.id}", id=call.id) for call in _roots(free)]
        first = [
            edit
            for edit in removed
            if state.commits.lets_go(state.graph[edit.id]) and state.graph[edit.id].spec.access == "write"
        ]
        yield from first
        # what is tried again comes next: other lines may need its result, and one call a turn is all that some modes
        # have
        for id, gold in {id: gold for gold, id in self.ids.items()}.items():
            if self.final and id in state.graph and _may_retry(state, call := state.graph[id]):
                yield Edit(call_line(id, call.spec, call.args), gold, id, call.spec.access)
        yield from self.edits
        yield from (edit for edit in removed if edit not in first)


def _is_kept(call: Call, state: State, final: bool) -> bool:
    """Whether something that was looked up, and is not wanted, stays all the same."""
    return call.state is CallState.DONE and call.id <= state.settled if final else call.state in _LOOKED_UP


def first_edits(edits: Sequence[Edit], state: State) -> list[Edit]:
    """As many calls as one action may have, and every removal: this action is a commit point for all that is there.

    A write that would be revised by a later action is removed instead.
    """
    calls = [edit for edit in edits if edit.gold]
    limit = len(calls) if state.settings.calls_per_action is None else state.settings.calls_per_action
    wrong = [
        edit.id for edit in calls[limit:] if edit.id in state.graph.live and state.graph[edit.id].spec.access == "write"
    ]
    return [*calls[:limit], *(edit for edit in edits if not edit.gold), *(Edit(f"REMOVE {id}", id=id) for id in wrong)]


def _lines(want: Wanted, id: int, old: Call | None, args: Mapping[str, Any], state: State) -> list[Edit]:
    """The lines that make call ``old`` the wanted one, or issue it: single arguments where they are fewer tokens."""
    whole = Edit(call_line(id, want.spec, args), want.gold, id, want.spec.access)
    if old is None or not amends(state):
        return [whole]
    if (
        want.complete
        and not want.drafts
        and any(name not in args for name in normal_form(old.spec, old.args, own=False))
    ):
        return [whole]  # an argument can be set anew, not taken out
    lines: list[str] = []
    changed: list[str] = []
    grown = 0
    for param in want.spec.params:
        if param.name not in args or param.name in old.args and alike(old, param.name, args[param.name]):
            continue
        if param.name not in old.args and not normal_form(want.spec, {param.name: args[param.name]}, own=False):
            continue  # its default, which a call without it has already
        value, had = args[param.name], old.args.get(param.name)
        if isinstance(value, str) and isinstance(had, str) and had and value.startswith(had):
            changed.append(param.name)
            grown += len(value[len(had) :].split())
            lines.append(write_amend(id, param.name, value[len(had) :], append=True))
        elif not (param.name in want.drafts and isinstance(had, str) and had.startswith(value)):
            changed.append(param.name)
            grown += len(value.split()) if isinstance(value, str) else _LEAST_GROWTH
            lines.append(write_amend(id, param.name, value))
    if sum(map(cost_of, lines)) > cost_of(whole.line):
        return [whole]
    if (
        want.drafts
        and lines
        and all(name in want.drafts and name in old.args for name in changed)
        and grown < _LEAST_GROWTH
    ):
        return []
    return [Edit(line, want.gold, id, want.spec.access) for line in lines]


def cost_of(line: str) -> int:
    """About how many tokens a line takes."""
    return len(_PIECES.findall(line)) + 1


def _roots(calls: Sequence[Call]) -> list[Call]:
    """Calls whose removal takes the others with it; those that failed or were skipped harm nobody and stay."""
    calls = [call for call in calls if call.state not in BAD]
    return [call for call in calls if not any(other.id in call.needs for other in calls)]


def _may_retry(state: State, call: Call) -> bool:
    """Whether a read that failed is tried again: versions that never ran, for more was heard, were no tries."""
    if call.state is not CallState.FAILED or call.spec.access == "write":
        return False
    told = (
        segment.text.partition(":")[0].partition("v")[0] for segment in state.transcript if segment.kind == "tool_error"
    )
    return sum(id == str(call.id) for id in told) < _MOST_TRIES
