"""Gold calls as calls that can be run: values with results in them, and a rehearsal in the task's own world.

Owns what gold's first accepted values come to, and the rule that gold must be possible: what its own world refuses is an
error of the task, found when the task is made. Refuses to know what an agent did and how it is judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from data_gen.task import BadTask, GoldCall, Task
from midsentence.protocol import as_text
from midsentence.tools.tool import Toolbox, ToolFailure, ToolSpec


def filled(value: Any, results: Mapping[int, Any]) -> Any:
    """A gold value with ``$k`` replaced by results."""
    match value:
        case str() if (whole := re.fullmatch(r"\$(\d+)", value)) and int(whole[1]) in results:
            return results[int(whole[1])]
        case str():
            return re.sub(r"\$(\d+)", lambda found: as_text(results[int(found[1])]) if int(found[1]) in results else found[0], value)
        case list() | tuple():
            return [filled(item, results) for item in value]
        case dict():
            return {name: filled(item, results) for name, item in value.items()}
    return value


def may_be_left_out(gold: GoldCall, name: str, spec: ToolSpec) -> bool:
    """Whether ``""`` among an argument's accepted values says that it may be left out; a required one is then empty."""
    values = gold.args[name]
    return "" in values and len(values) > 1 and not any(param.name == name and param.required for param in spec.params)


def gold_args(gold: GoldCall, spec: ToolSpec, results: Mapping[int, Any]) -> dict[str, Any]:
    """A gold call's arguments, first accepted values, what may be left out left out where the first value says so."""
    return {
        name: filled(values[0], results)
        for name, values in gold.args.items() if not (values[0] == "" and may_be_left_out(gold, name, spec))
    }


def rehearse(task: Task, toolbox: Toolbox | None = None) -> dict[int, Any]:
    """Runs gold, first accepted values, in order; gives the results by place in gold.

    Args:
        task: whose gold.
        toolbox: the world to run it in; a fresh one by default.

    Raises:
        BadTask: the world refuses a gold call; the text says which and why.
    """
    toolbox = task.toolbox() if toolbox is None else toolbox
    specs = {spec.name: spec for spec in task.tools}
    results: dict[int, Any] = {}
    for k, gold in enumerate(task.gold, start=1):
        try:
            results[k] = toolbox.run(gold.name, gold_args(gold, specs[gold.name], results))
        except ToolFailure as error:
            raise BadTask(f"task {task.id}: gold call {k} is refused by its own world ({error}); mend the gold call or the world") from None
    return results
