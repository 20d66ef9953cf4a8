"""Gold calls tried on their own tools, before a row becomes a task.

Owns whether the tools take them, and whether an answer may quote their results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_gen.gold import canonical, gold_args, references
from data_gen.task import BadTask, GoldCall
from midsentence.tools.tool import Json, Toolbox, ToolFailure, ToolSpec, mismatch


def rehearse_gold(gold: Sequence[GoldCall], specs: Mapping[str, ToolSpec], toolbox: Toolbox) -> dict[int, Json]:
    """Makes sure that the tools themselves take the gold calls; gives their results."""
    results: dict[int, Json] = {}
    for k, call in enumerate(gold, start=1):
        # nothing at all, for a parameter that can't be left out, is a value like any other
        needed = {param.name for param in specs[call.name].params if param.required}
        args = {name: value for name, value in gold_args(call, results).items() if name in needed or value != ""}
        if late := references(args):
            raise BadTask(f"call {k} takes ${late[0]}, the result of a call that is not before it")
        for param in specs[call.name].params:
            if param.name in args and (why := mismatch(args[param.name], param.schema)) is not None:
                raise BadTask(
                    f"call {k}: {call.name}.{param.name} {why}; mend the value, or what the tool that it comes from returns"
                )
        try:
            results[k] = toolbox.run(call.name, args)
        except ToolFailure as error:
            raise BadTask(f"call {k} is refused by its own tool: {error}") from None
    return results


def check_quotable(
    quoted: Sequence[int],
    gold: Sequence[GoldCall],
    specs: Mapping[str, ToolSpec],
    results: Mapping[int, Json],
    again: Mapping[int, Json],
) -> None:
    """Makes sure that an answer that quotes results comes after them, and that they are what they were in rehearsal."""
    taken = {n for call in gold for n in references(canonical(call))}
    for k in quoted:
        name, args = gold[k - 1].name, gold[k - 1].args
        if specs[name].access == "write":
            raise BadTask(
                f"the answer quotes ${k}, but {name} is a write, and no answer waits for what a write returns; leave it out"
            )
        if k in taken:
            raise BadTask(
                f"the answer quotes ${k}, but another call takes it, and the answer does not wait for it; leave it out"
            )
        if results[k] != again[k]:
            raise BadTask(f"the answer quotes ${k}, but {name} returns something else each time; leave it out")
        if free := [param for param, arg in args.items() if arg.optional]:
            raise BadTask(
                f"the answer quotes ${k}, but {name} may be called without {free[0]}, which may change it; leave it out"
            )
