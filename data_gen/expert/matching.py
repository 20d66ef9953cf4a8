"""Which of the calls there are is the one that is wanted, or is nearest to it.

Owns what counts as the same call, and how much two have in common. Does not write lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from data_gen.expert.drafts import amends
from data_gen.gold import issued, references
from data_gen.grounding.reading import Wanted
from midsentence.core.calls import Call, CallState, call_line, call_text
from midsentence.core.reducer import State
from midsentence.core.values import refs
from midsentence.tools.normal import normal_form

_MOST_WRITES = 2
"""Calls that are made for one effect while the tool says that it did nothing; then the user is told."""


def same(want: Wanted, ids: Mapping[int, int]) -> str:
    """A text that two wanted calls share when they would be the same call."""
    return call_line(0, want.spec, {name: issued(value, ids) for name, value in want.args.items()})


def standing(calls: Sequence[Call]) -> Call | None:
    """The call that stands, of those that are what is wanted; a write that failed does when it was tried often
    enough."""
    failed = [call for call in calls if call.state is CallState.FAILED and call.spec.access == "write"]
    standing = [call for call in calls if call not in failed]
    return next(iter(standing or failed[_MOST_WRITES - 1 :]), None)


def serves(call: Call, want: Wanted, ids: Mapping[int, int], unknown: Set[int]) -> bool:
    """Whether a call is what is wanted, with any accepted value; ``unknown`` are gold calls that have no ID yet."""
    if call.spec.name != want.spec.name:
        return False
    if unknown.isdisjoint(k for value in want.args.values() for k in references(value)):
        if call.text == call_text(want.spec, {name: issued(value, ids) for name, value in want.args.items()}):
            return True
    for name, arg in want.accepts.items():
        if name not in call.args:
            if arg.must_be_given:
                return False
        elif not any(
            alike(call, name, issued(value, ids)) for value in arg.accepted if unknown.isdisjoint(references(value))
        ):
            return False
    # what means nothing (a null, a default) asks for nothing else
    return all(name in want.accepts for name in normal_form(call.spec, call.args, own=False))


def claimed_by(drafted: Sequence[Wanted], spare: Sequence[Call], state: State) -> dict[int, Call]:
    """The calls that were written for what is not whole yet, by gold call: those that have something in common with
    it."""
    found: dict[int, Call] = {}
    scores = []
    for n, want in enumerate(drafted):
        for call in spare:
            if (
                call.spec.name == want.spec.name
                and state.graph.effect_below(call.id) is None
                and call.state is not CallState.FAILED
            ):
                scores.append((-_in_common(call, want), n, call.id, want, call))
    for score, _, _, want, call in sorted(scores, key=lambda entry: entry[:3]):
        if score < 0 and want.gold not in found and call not in found.values():
            found[want.gold] = call
    return found


def _in_common(call: Call, want: Wanted) -> int:
    """How much of a call is what is wanted: equal arguments, and texts of which one goes on with the other."""
    found = 0
    for name, value in {**want.args, **want.drafts}.items():
        had = call.args.get(name)
        same = (
            isinstance(had, str)
            and isinstance(value, str)
            and bool(had)
            and (value.startswith(had) or had.startswith(value))
        )
        found += 2 * (had == value or same or had is not None and not isinstance(had, str) and bool(references(value)))
    return found


def says(call: Call, want: Wanted, ids: Mapping[int, int]) -> bool:
    """Whether a call says all that is said of a draft so far, and nothing else."""
    said = {**want.args, **want.drafts, **want.pending}
    if call.spec.name != want.spec.name or set(normal_form(call.spec, call.args, own=False)) - said.keys():
        return False
    for name, value in said.items():
        had = call.args.get(name)
        begun = name in want.drafts and isinstance(had, str) and had.startswith(value)
        if name not in call.args or not has_ids(value, ids) or not (begun or alike(call, name, issued(value, ids))):
            return False
    return bool(said)


def has_ids(value: Any, ids: Mapping[int, int]) -> bool:
    return all(k in ids for k in references(value))


def alike(call: Call, name: str, value: Any) -> bool:
    """Whether an argument of a call is a value, or says the same to its tool beside the call's other arguments.

    What one argument says may depend on another: with ``all_day``, "on Friday" is a date, and "Friday at nine" the same
    one.
    """
    had = call.args[name]
    if had == value or not (isinstance(had, str) and isinstance(value, str)) or call.spec.canonical is None:
        return bool(had == value)
    rest = {
        other: given for other, given in call.args.items() if not any(refs([given]))
    }  # no tool knows what a result will be
    return call_text(call.spec, {**rest, name: had}) == call_text(call.spec, {**rest, name: value})


def to_revise(free: Sequence[Call], want: Wanted, ids: Mapping[int, int], state: State) -> Call | None:
    """The call to put the wanted one in place of: one of the same tool, with most in common."""
    needed = {ids[k] for value in want.args.values() for k in _needs(value, ids)}
    if amends(state):  # an operand may be any call that is not made from this one
        fits = [call for call in free if not needed & {call.id, *state.graph.below(call.id)}]
    else:
        fits = [call for call in free if call.id > max(needed, default=0)]
    # a write that failed keeps its ID dead: a new attempt takes a new one
    fits = [call for call in fits if call.spec.name == want.spec.name and call.state is not CallState.FAILED]
    return max(
        fits,
        key=lambda call: (sum(call.args.get(n) == issued(v, ids) for n, v in want.args.items()), -call.id),
        default=None,
    )


def _needs(value: Any, ids: Mapping[int, int]) -> list[int]:
    return [k for k in references(value) if k in ids]
