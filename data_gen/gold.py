"""Gold calls: read from rows, and as calls that can be run, with results in them and a rehearsal in the task's own
world.

Owns how rows write what gold accepts (``"$k"`` for another call's result, ``""`` for what may be left out), read here
and nowhere else; what gold's first accepted values come to; and the rule that gold must be possible: what its own world
refuses is an error of the task, found when the task is made. Does not know what an agent did and how it is judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from data_gen.task import BadTask, GoldArg, GoldCall, Reference, Spliced, Task
from midsentence.core.values import Join, Ref, as_text
from midsentence.tools.tool import Toolbox, ToolFailure, ToolSpec

_REFERENCE = re.compile(r"\$(\d+)")


# -- reading
# ------------------------------------------------------------------------------------------------------------


def read_calls(
    calls: Sequence[tuple[str, Mapping[str, Sequence[Any]]]], specs: Mapping[str, ToolSpec], linked: bool = True
) -> list[tuple[str, dict[str, GoldArg]]]:
    """What a row accepts, call by call.

    Args:
        calls: tools' names with accepted values by parameter.
        specs: the tools by name; of one that is not among them nothing is required.
        linked: whether calls may take one another's results.
    """
    required = {name: {param.name for param in spec.params if param.required} for name, spec in specs.items()}
    return [(name, read_args(accepted, required.get(name, ()), len(calls) * linked)) for name, accepted in calls]


def read_args(
    accepted: Mapping[str, Sequence[Any]], required: Collection[str] = (), calls: int = 0
) -> dict[str, GoldArg]:
    """What a row accepts for the arguments of one call.

    Args:
        accepted: values by parameter, canonical first. ``""`` beside others says that the argument may be left out; of
            a required one it is an empty text, and alone it is one too.
        required: parameters that no call can do without.
        calls: how many gold calls there are; see `read_value`.
    """
    return {name: _read_arg(values, name in required, calls) for name, values in accepted.items()}


def _read_arg(values: Sequence[Any], required: bool, calls: int) -> GoldArg:
    given = [value for value in values if required or value != ""]
    optional = 0 < len(given) < len(values)
    return GoldArg(tuple(read_value(value, calls) for value in given or values), optional, optional and values[0] == "")


def read_value(value: Any, calls: int) -> Any:
    """A value of a row with `Reference` and `Spliced` where it names results: ``"$k"`` alone, inside lists and inside
    texts.

    ``$20`` is a price where there are fewer gold ``calls``.
    """
    match value:
        case str():
            parts: list[str | Reference] = []
            at = 0
            for found in _REFERENCE.finditer(value):
                if 1 <= int(found[1]) <= calls:
                    parts += [value[at : found.start()], Reference(int(found[1]))]
                    at = found.end()
            parts = [part for part in (*parts, value[at:]) if part != ""]
            return parts[0] if len(parts) == 1 and isinstance(parts[0], Reference) else spliced(parts)
        case list() | tuple():
            return [read_value(item, calls) for item in value]
        case Mapping():
            return {name: read_value(item, calls) for name, item in value.items()}
    return value


# -- values that name results
# -------------------------------------------------------------------------------------------


def spliced(parts: Iterable[str | Reference]) -> str | Spliced:
    """Texts and references as one text, plain where none of them is a reference."""
    flat: list[str | Reference] = []
    for part in parts:
        if flat and isinstance(part, str) and isinstance(last := flat[-1], str):
            flat[-1] = last + part
        else:
            flat.append(part)
    return Spliced(tuple(flat)) if any(isinstance(part, Reference) for part in flat) else "".join(map(str, flat))


def references(value: Any) -> tuple[int, ...]:
    """Gold calls whose results a gold value names, in order of mention."""
    match value:
        case Reference(call):
            return (call,)
        case Spliced(parts):
            return tuple(part.call for part in parts if isinstance(part, Reference))
        case list() | tuple():
            return tuple(k for item in value for k in references(item))
        case dict():
            return tuple(k for item in value.values() for k in references(item))
    return ()


def replaced(value: Any, one: Callable[[Reference], Any]) -> Any:
    """A gold value with something in the place of each reference: as it is where the reference stands alone, as text
    inside a text."""
    match value:
        case Reference():
            return one(value)
        case Spliced(parts):
            new = [one(part) if isinstance(part, Reference) else part for part in parts]
            return spliced(part if isinstance(part, Reference) else as_text(part) for part in new)
        case list() | tuple():
            return [replaced(item, one) for item in value]
        case dict():
            return {name: replaced(item, one) for name, item in value.items()}
    return value


def filled(value: Any, results: Mapping[int, Any]) -> Any:
    """A gold value with results in the place of its references; one whose result is not known stays."""
    return replaced(value, lambda reference: results.get(reference.call, reference))


def issued(value: Any, ids: Mapping[int, int]) -> Any:
    """A gold value as a call line has it: with references to the IDs that gold calls were issued under."""
    match value:
        case Reference(call):
            return Ref(ids[call]) if call in ids else str(value)
        case Spliced(parts):
            named = tuple(issued(part, ids) for part in parts)
            return Join(named) if any(isinstance(part, Ref) for part in named) else "".join(named)
        case list() | tuple():
            return [issued(item, ids) for item in value]
        case dict():
            return {name: issued(item, ids) for name, item in value.items()}
    return value


# -- calls
# --------------------------------------------------------------------------------------------------------------


def canonical(call: GoldCall) -> dict[str, Any]:
    """The arguments that the expert gives: the first accepted value of each, without those left out and those that are
    empty."""
    return {name: arg.values[0] for name, arg in call.args.items() if not arg.left_out and arg.values[0] != ""}


def gold_args(call: GoldCall, results: Mapping[int, Any]) -> dict[str, Any]:
    """A gold call's arguments as its own world is given them: first accepted values, empty ones too, without those left
    out."""
    return {name: filled(arg.values[0], results) for name, arg in call.args.items() if not arg.left_out}


def rehearse(task: Task, toolbox: Toolbox | None = None) -> dict[int, Any]:
    """Runs gold, first accepted values, in order; gives the results by place in gold.

    Args:
        task: whose gold.
        toolbox: the world to run it in; a fresh one by default.

    Raises:
        BadTask: the world refuses a gold call; the text says which and why.
    """
    toolbox = task.toolbox() if toolbox is None else toolbox
    results: dict[int, Any] = {}
    for k, gold in enumerate(task.gold, start=1):
        try:
            results[k] = toolbox.run(gold.name, gold_args(gold, results))
        except ToolFailure as error:
            raise BadTask(
                f"task {task.id}: gold call {k} is refused by its own world ({error}); mend the gold call or the world"
            ) from None
    return results
