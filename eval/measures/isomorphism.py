"""TinyAgent's measure: whether the graph of calls is gold's, by tool names and dependencies alone.

Owns that comparison (Erdogan et al., *TinyAgent: Function Calling at the Edge*, 2024, arXiv 2409.00608: a plan succeeds
if its DAG is isomorphic to gold's). It ignores arguments and effects, so it complements accuracy and does not replace
it. Does not know whether calls ran.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_gen.gold import canonical, references
from data_gen.task import Task
from midsentence.core.calls import CallState
from midsentence.core.reducer import State

Node = tuple[str, frozenset[int]]
"""A tool's name and the places, before its own, of the calls whose results it takes."""


def graph_of(state: State) -> list[Node]:
    """The final graph of an episode, removed calls left out."""
    # a call may name one with a higher ID that was issued later
    calls = [call for id in state.graph.sequence() if (call := state.graph[id]).state is not CallState.CANCELLED]
    place = {call.id: n for n, call in enumerate(calls)}
    return [(call.spec.name, frozenset(place[need] for need in call.needs if need in place)) for call in calls]


def gold_graph(task: Task) -> list[Node]:
    """The graph of a task's gold calls, by the first accepted values."""
    return [
        (call.name, frozenset(k - 1 for k in references(canonical(call)) if k < place))
        for place, call in enumerate(task.gold, start=1)
    ]


def isomorphic(ours: Sequence[Node], gold: Sequence[Node]) -> bool:
    """Whether one graph is the other with its calls in another order that dependencies allow."""
    if sorted(name for name, _ in ours) != sorted(name for name, _ in gold):
        return False

    def extend(taken: tuple[int, ...]) -> bool:
        if len(taken) == len(ours):
            return True
        name, needs = ours[len(taken)]
        image = {taken[need] for need in needs}
        return any(
            extend((*taken, n))
            for n, (other, wanted) in enumerate(gold)
            if n not in taken and other == name and wanted == image
        )

    return extend(())
