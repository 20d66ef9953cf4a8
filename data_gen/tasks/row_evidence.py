"""Which words a row's calls are known from, where no marks say it: what grounding finds, or the whole request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from data_gen.gold import references
from data_gen.grounding.arguments import ground
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall
from data_gen.tasks.own_tools import Named
from midsentence.tools.tool import ToolSpec


def grounded(
    words: Sequence[str],
    asked: Sequence[Named],
    defaults: Sequence[frozenset[str]],
    specs: Mapping[str, ToolSpec],
    now: str | None,
) -> tuple[GoldCall, ...]:
    """Gold whose evidence grounding finds; a value of ``defaults`` is given where the words say it, and may be left out
    elsewhere."""
    loose = []
    for k, ((name, args), free) in enumerate(zip(asked, defaults), start=1):
        required = {param.name for param in specs[name].params if param.required}
        loose.append(
            (
                name,
                {
                    param: replace(
                        arg,
                        values=tuple(_exact(value, f"call {k}: {param}") for value in arg.values),
                        optional=arg.optional or param in free - required and "" not in arg.values,
                    )
                    for param, arg in args.items()
                },
            )
        )
    found = []
    for gold, free in zip(ground(words, loose, specs, now), defaults):
        said = free & gold.arg_evidence.keys()
        found.append(
            replace(gold, args={name: _given(arg) if name in said else arg for name, arg in gold.args.items()})
        )
    return tuple(found)


def _given(arg: GoldArg) -> GoldArg:
    """An argument that has to be given, for the words say it."""
    return GoldArg(tuple(value for value in arg.values if value != ""))


def _exact(value: Any, where: str, inside: bool = False) -> Any:
    """A value as grounding takes it, which reads the lists in an object as alternatives: here each field has the value
    that it has."""
    if isinstance(value, Mapping):
        return {name: [_exact(item, f"{where}.{name}", True)] for name, item in value.items()}
    if isinstance(value, list):
        return [_exact(item, where, inside) for item in value]
    if inside and value == "":
        raise BadTask(f'{where} is "", which no words say; leave the field out, or give spans or hear_out')
    return value


def heard_out(words: Sequence[str], asked: Sequence[Named], specs: Mapping[str, ToolSpec]) -> tuple[GoldCall, ...]:
    """Gold whose evidence is the whole request: nobody said which words mean what, so the expert hears it out."""
    whole = Evidence(0, len(words))
    gold = []
    for name, args in asked:
        needed = {param.name for param in specs[name].params if param.required}
        given = [p for p, arg in args.items() if p in needed or not arg.left_out and arg.values[0] != ""]
        said = [p for p in given if not references(args[p].values[0])]
        gold.append(GoldCall(name, args, whole, dict.fromkeys(said, whole)))
    return tuple(gold)
