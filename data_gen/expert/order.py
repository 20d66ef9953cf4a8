"""The order in which the last lines are written, and what is committed before all of them are written.

Owns the choice among equivalent orders. Each token of a line delays all lines after it, so lines that others wait for
go first, and calls that are complete are committed ahead of the rest only if they take longer than the rest. Does not
know why the lines are what they are: the expert decides that.

    9. summarize_pdf("the agenda")     a read runs at once, and the note waits for it
    COMMIT 2                           two calls in a row: they would end last
    8. content = $9
    COMMIT
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from midsentence.core.lines import write_commit
from midsentence.tools.tool import ToolSpec

RUN_TOKENS = 30
"""About how many tokens are written while a call runs: three quarters of a second on a slow device."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be written."""

    text: str
    """As it is written."""
    tokens: int
    """About how many it takes to write."""
    call: int
    """The ID of its call."""
    removes: bool = False
    """Whether it takes the call back; then it stays where it is."""
    new: bool = False
    """Whether it issues the call: new IDs come in order."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that is to be done when all lines are written."""

    spec: ToolSpec
    """Of its tool."""
    needs: frozenset[int]
    """IDs of the calls whose results it takes."""
    waits: bool
    """Whether it waits for a commit."""


def ordered(lines: Sequence[Line], calls: Mapping[int, Planned], cost: Callable[[str], int]) -> list[str]:
    """The lines and the commits among them, in the order in which all is done first.

    Args:
        lines: in an order in which they may be written.
        calls: all that is to be done and is not over, by ID.
        cost: about how many tokens a line takes.
    """
    found: list[tuple[int, int, list[str]]] = []
    for order in _orders(lines, calls):
        for at in range(len(order) + 1):
            ids = _whole(calls, {line.call for line in order[at:]}) if at < len(order) else []
            if at < len(order) and not ids:
                continue
            late = any(call.waits and id not in ids for id, call in calls.items())
            named = [id for id in ids if not any(id in calls[other].needs for other in ids)]
            items = [
                *(line.text for line in order[:at]),
                *([write_commit(named)] if ids else []),
                *(line.text for line in order[at:]),
            ]
            items += [write_commit()] if late else []
            done = _done(order, at, ids, calls, cost)
            found.append((done, sum(map(cost, items)), items))
    return min(found, key=lambda plan: plan[:2])[2]


def _orders(lines: Sequence[Line], calls: Mapping[int, Planned]) -> list[Sequence[Line]]:
    """The lines as they are, and with those first whose calls run at once."""
    if any(line.removes for line in lines):
        return [lines]
    moved = sorted(lines, key=lambda line: calls[line.call].waits)
    issued = [line.call for line in moved if line.new]
    if issued != sorted(issued):
        return [lines]
    known = calls.keys() - {line.call for line in lines}
    for line in moved:
        if not calls[line.call].needs <= known | {line.call}:
            return [lines]
        known = known | {line.call}
    return [lines, moved] if moved != list(lines) else [lines]


def _whole(calls: Mapping[int, Planned], changed: Set[int]) -> list[int]:
    """The calls that a commit may name before the lines of others are written: they, and all that they need, stand."""
    return sorted(id for id, call in calls.items() if call.waits and not _above(id, calls) & changed)


def _above(id: int, calls: Mapping[int, Planned]) -> set[int]:
    found: set[int] = set()
    front = [id]
    while front:
        if (one := front.pop()) not in found and one in calls:
            found.add(one)
            front += calls[one].needs
    return found


def _done(
    order: Sequence[Line], at: int, ids: Iterable[int], calls: Mapping[int, Planned], cost: Callable[[str], int]
) -> int:
    """After how many tokens all is done, about."""
    free: dict[int, int] = {}
    tokens = 0
    for n, line in enumerate(order):
        if n == at and ids:
            tokens += cost(write_commit(ids))
            free |= dict.fromkeys(ids, tokens)
        tokens += line.tokens
        if line.call in calls and not calls[line.call].waits:
            free[line.call] = tokens
    tokens += cost(write_commit())
    over: dict[int, int] = {}
    for id, call in sorted(calls.items(), key=lambda item: (len(_above(item[0], calls)), item[0])):
        before = [over[one] for one in over if one in call.needs or calls[one].spec.conflicts_with(call.spec)]
        over[id] = max([free.get(id, tokens if call.waits else 0), *before]) + RUN_TOKENS
    return max(over.values(), default=0)
