"""From a Python signature to a tool's parameters: type hints to JSON schema, docstring to descriptions, and back.

Owns which hints a tool may have and what they mean in JSON. Refuses to know what a tool's class is and when it runs.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from agent.tools.tool import Json, Param, mismatch

_SCALARS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
MAX_INT_BITS = 14_000
"""Python writes no whole number of more than 4,300 digits (`sys.set_int_max_str_digits`), and no log could hold one."""
_ALLOWED = "str, int, float, bool, list[...], dict[str, ...], Literal, an Enum of strings or numbers, or a union of these"


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON schema of a type hint, in the subset that `agent.tools.tool.mismatch` checks.

    Raises:
        TypeError: the hint has no such schema; the text names the hint and lists those that have.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {}
    if hint in (list, dict):
        return {"type": "array" if hint is list else "object"}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choices(hint, [member.value for member in hint])
    if isinstance(hint, type) and hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if origin is Annotated:
        return schema_of(args[0])
    if origin is Literal:
        return _choices(hint, list(args))
    if origin is list:
        return {"type": "array"} | ({"items": schema_of(args[0])} if args[0] is not Any else {})
    if origin is dict and args[0] is str:
        return {"type": "object"} | ({"additionalProperties": schema_of(args[1])} if args[1] is not Any else {})
    if origin in (Union, types.UnionType):
        return _union(hint, [schema_of(arg) for arg in args])
    raise TypeError(f"no JSON form for {_show(hint)}; use {_ALLOWED}")


def _show(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _choices(hint: Any, values: list[Any]) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise TypeError(f"no JSON form for {_show(hint)}: its values are {values!r}; use strings, numbers, booleans or None")
    kinds = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _union(hint: Any, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One schema for a union: its kinds side by side, which is exact as long as no two members share a kind."""
    if any(not part for part in parts):
        return {}
    kinds = [kind for part in parts for kind in ([part["type"]] if isinstance(part["type"], str) else part["type"])]
    chosen = [part for part in parts if "enum" in part]
    if chosen:
        if any("enum" not in part and part["type"] != "null" for part in parts):
            raise TypeError(f"no JSON form for {_show(hint)}: a Literal or Enum unites with other choices and with None alone")
        values = [value for part in parts for value in part.get("enum", [None])]
        return {"type": list(dict.fromkeys(kinds)), "enum": list(dict.fromkeys(values))}
    if len(set(kinds)) < len(kinds):
        raise TypeError(f"no JSON form for {_show(hint)}: two members are both {max(kinds, key=kinds.count)}; keep one")
    return {name: value for part in parts for name, value in part.items()} | {"type": kinds}


def convert(hint: Any, value: Json) -> Any:
    """A checked JSON value as the type that the function asked for: enum members, and floats that came as integers."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    if hint is float and isinstance(value, int):
        return float(value)
    if origin is Annotated:
        return convert(args[0], value)
    if origin is list and isinstance(value, list):
        return [convert(args[0], item) for item in value]
    if origin is dict and isinstance(value, dict):
        return {key: convert(args[1], item) for key, item in value.items()}
    if origin in (Union, types.UnionType):
        for arg in args:
            if mismatch(value, schema_of(arg)) is None:
                return convert(arg, value)
    return value


def as_json(value: Any) -> Json:
    """``value`` as JSON: enum members by value, tuples as lists; everything in it is new.

    Raises:
        TypeError: it has no JSON form.
    """
    if isinstance(value, enum.Enum):
        return as_json(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise TypeError(f"a whole number of about {value.bit_length() * 0.30103:,.0f} digits, which JSON can't carry; give it as text")
    for kind in (str, int, float):
        if isinstance(value, kind):
            # a subclass can say what it likes of itself; what is kept is the plain value
            return value if type(value) is kind else str.__str__(value) if kind is str else kind.__pos__(value)
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: as_json(item) for key, item in value.items()}
    raise TypeError(f"{value!r}, which is not JSON")


def read_signature(fn: Callable[..., Any], skip: int = 0) -> tuple[tuple[Param, ...], dict[str, Any], dict[str, Any]]:
    """The parameters of ``fn`` but the first ``skip``, its hints by name, and its defaults by name.

    Raises:
        TypeError: a parameter without a hint, with one that has no JSON form, or that can't be given by name.
        ValueError: the docstring describes a parameter that does not exist.
    """
    name = getattr(fn, "__name__", repr(fn))
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except NameError as failure:
        raise TypeError(f"tool {name}: {failure}; define the type at module level, where hints are looked up") from failure
    _, described = read_docstring(fn)
    every = list(inspect.signature(fn).parameters.values())
    if unknown := set(described) - {parameter.name for parameter in every}:
        raise ValueError(f"tool {name}: its docstring describes {', '.join(sorted(unknown))}, which it has no parameter for")
    params, defaults = [], {}
    for parameter in every[skip:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter} can't be given by name; use plain parameters")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name!r} has no type hint; use {_ALLOWED}")
        hint = hints[parameter.name]
        try:
            schema = schema_of(hint)
        except TypeError as failure:
            raise TypeError(f"tool {name}: parameter {parameter.name!r}: {failure}") from None
        notes = getattr(hint, "__metadata__", ())
        text = described.get(parameter.name) or " ".join(note for note in notes if isinstance(note, str))
        required = parameter.default is parameter.empty
        default = None
        if not required:
            default = as_json(parameter.default)
            if (why := mismatch(default, schema)) is not None:
                raise TypeError(f"tool {name}: the default of {parameter.name!r} {why}; widen the hint (X | None)")
            defaults[parameter.name] = default
        params.append(Param(parameter.name, schema, required, text, default))
    return tuple(params), {param.name: hints[param.name] for param in params}, defaults


_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Example|Examples|Note|Notes):\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def read_docstring(fn: Callable[..., Any]) -> tuple[str, Mapping[str, str]]:
    """What a Google-style docstring says of the function, before its sections, and of each parameter."""
    lines = (inspect.getdoc(fn) or "").splitlines()
    headings = [i for i, line in enumerate(lines) if _SECTION.fullmatch(line)]
    summary = " ".join(" ".join(lines[: headings[0] if headings else None]).split())
    described: dict[str, str] = {}
    for start in headings:
        if not lines[start].startswith(("Args", "Arguments", "Parameters")):
            continue
        body = []
        for line in lines[start + 1 :]:
            if line.strip() and not line.startswith(" "):
                break
            body.append(line)
        indent = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
        current = None
        for line in body:
            entry = _ENTRY.fullmatch(line.strip()) if len(line) - len(line.lstrip()) == indent else None
            if entry:
                current = entry[1]
                described[current] = entry[2]
            elif current and line.strip():
                described[current] = f"{described[current]} {line.strip()}".strip()
    return summary, described
