"""Which gold calls, and which of their results, every right agent needs: what a bound on latency may count.

Owns the test of an edge from one gold call to another. An edge *binds* if no argument made without the first call's
result would do: this is tested in a second world, where the user's words are the same and everything else differs (a
toolbox's `elsewhere`). An agent that has not seen the result can't distinguish the two worlds, so what it writes must
be right in both. In the second world, each of these is tried in place of the result:

- the first world's result, which works if a result follows from the arguments alone (a map's URL);
- the first call's arguments, as the user said them, which work if a tool accepts a name as well as what it stands for.

A toolbox without a second world has no binding edges, since it does not say which of its results could be known. Does
not know time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from data_gen.gold import gold_args, references, rehearse
from data_gen.task import BadTask, GoldCall, Task
from eval.measures.scoring import does, needed, opened_for_result
from midsentence.tools.tool import HasElsewhere, Toolbox, shown_by


def binding(task: Task) -> dict[int, set[int]]:
    """By place in gold, every call that must run, with the calls whose results it can't do without.

    Raises:
        BadTask: gold's own world refuses a gold call.
    """
    toolbox, here = task.toolbox(), rehearse(task)
    edges = _edges(task, toolbox.elsewhere, here) if isinstance(toolbox, HasElsewhere) else {k: set() for k in here}
    must = here.keys() - opened_for_result(task, shown_by(toolbox))
    for k in sorted(here, reverse=True):
        must |= edges[k] if k in must else set()
    return {k: edges[k] for k in sorted(must)}


def _edges(task: Task, elsewhere: Callable[[], Toolbox], here: dict[int, Any]) -> dict[int, set[int]]:
    try:
        there = rehearse(task, elsewhere())
    except BadTask:
        return {k: set() for k in here}

    def binds(n: int, k: int) -> bool:
        gold = task.gold[k - 1]
        wanted = does(task, k, gold_args(gold, there), there, elsewhere())
        tries = ({**there, n: value} for value in (here[n], *_said(task.gold[n - 1])))
        return all(does(task, k, gold_args(gold, results), there, elsewhere()) != wanted for results in tries)

    return {k: {n for n in needed(task.gold[k - 1]) if n < k and binds(n, k)} for k in here}


def _said(gold: GoldCall) -> Iterator[Any]:
    for arg in gold.args.values():
        yield from (value for value in arg.accepted if not references(value))
