"""From a Python signature to a tool's parameters: type hints to JSON schema, docstring to descriptions, and back.

Owns which hints a tool may have and what they mean in JSON. A pydantic model or field is known by what it offers, so
that pydantic need not be there. Does not know what a tool's class is and when it runs.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from midsentence.tools.schema import BadSchema, plain
from midsentence.tools.tool import Json, Param, mismatch

_SCALARS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
MAX_INT_BITS = 14_000
"""Python writes no whole number of more than 4,300 digits (`sys.set_int_max_str_digits`), and no log could hold one."""
_ALLOWED = (
    "str, int, float, bool, list[...], dict[str, ...], Literal, an Enum of strings or numbers, a dataclass, a TypedDict, a pydantic "
    "model, or a union of these"
)
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS = {
    "min_length": ("minLength", "minItems", "minProperties"),
    "max_length": ("maxLength", "maxItems", "maxProperties"),
}
"""What `annotated_types` and pydantic call a bound, and what JSON Schema does: of a text, a list, an object."""


def schema_of(hint: Any) -> dict[str, Any]:
    """JSON schema of a type hint, in the subset that `midsentence.tools.tool.mismatch` checks.

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
        return _bounded(schema_of(args[0]), hint.__metadata__, hint)
    if is_record(hint):
        return _record(hint)
    if origin is Literal:
        return _choices(hint, list(args))
    if origin is list:
        return {"type": "array"} | ({"items": schema_of(args[0])} if args[0] is not Any else {})
    if origin is dict and args[0] is str:
        return {"type": "object"} | ({"additionalProperties": schema_of(args[1])} if args[1] is not Any else {})
    if origin in (Union, types.UnionType):
        return _union(hint, [schema_of(arg) for arg in args])
    raise TypeError(f"no JSON form for {_show(hint)}; use {_ALLOWED}")


def is_record(hint: Any) -> bool:
    """Whether a hint is a type of objects with declared fields."""
    return isinstance(hint, type) and (
        hasattr(hint, "model_json_schema") or dataclasses.is_dataclass(hint) or typing.is_typeddict(hint)
    )


def _record(hint: Any) -> dict[str, Any]:
    if hasattr(hint, "model_json_schema"):
        try:
            return plain(hint.model_json_schema())
        except BadSchema as failure:
            raise TypeError(f"no JSON form for {_show(hint)}: {failure}") from None
    if hint in _open:
        raise TypeError(f"no JSON form for {_show(hint)}: it holds itself; write out as many levels as are needed")
    _open.append(hint)
    try:
        hints, needed = _fields(hint)
        made: dict[str, Any] = {"type": "object", "properties": {name: schema_of(part) for name, part in hints.items()}}
    finally:
        _open.pop()
    return made | ({"required": needed} if needed else {}) | {"additionalProperties": False}


_open: list[Any] = []
"""Records whose fields are being read."""


def _fields(hint: Any) -> tuple[dict[str, Any], list[str]]:
    """Hints of a dataclass's or TypedDict's fields, and which of them must be given."""
    hints = typing.get_type_hints(hint, include_extras=True)
    if typing.is_typeddict(hint):
        bare = {
            name: typing.get_args(part)[0] if typing.get_origin(part) in _MARKS else part
            for name, part in hints.items()
        }
        # a mark that is still text when the class is made is not in its own list
        left = {name for name, part in hints.items() if typing.get_origin(part) is typing.NotRequired}
        return bare, [name for name in bare if name in hint.__required_keys__ and name not in left]
    given = [field for field in dataclasses.fields(hint) if field.init]
    missing = dataclasses.MISSING
    needed = [field.name for field in given if field.default is missing and field.default_factory is missing]
    return {field.name: hints[field.name] for field in given}, needed


_MARKS = (typing.Required, typing.NotRequired)


def _notes(notes: Iterable[Any]) -> Iterator[Any]:
    """Every note, also those that a pydantic field or an interval holds."""
    for note in notes:
        yield note
        yield from _notes(getattr(note, "metadata", ()) or ())


def _bounded(schema: dict[str, Any], notes: Iterable[Any], hint: Any) -> dict[str, Any]:
    """A schema with the bounds that the notes of ``Annotated`` set; a check that only Python can make is refused."""
    made = dict(schema)
    for note in _notes(notes):
        if isinstance(note, str):
            continue
        if callable(getattr(note, "func", None)):
            raise TypeError(
                f"no JSON form for {type(note).__name__} in {_show(hint)}; check it in the tool, and say no with ToolFailure"
            )
        for name, key in _BOUNDS.items():
            if (bound := getattr(note, name, None)) is not None:
                made[key] = getattr(bound, "pattern", bound)
        for name, keys in _LENGTHS.items():
            if (bound := getattr(note, name, None)) is not None:
                kinds = [made["type"]] if isinstance(made.get("type"), str) else made.get("type", [])
                made |= {key: bound for kind, key in zip(("string", "array", "object"), keys) if kind in kinds}
    try:
        return plain(made) if made != schema else made
    except BadSchema as failure:
        raise TypeError(f"no JSON form for {_show(hint)}: {failure}") from None


def _show(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _choices(hint: Any, values: list[Any]) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise TypeError(
            f"no JSON form for {_show(hint)}: its values are {values!r}; use strings, numbers, booleans or None"
        )
    kinds = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _union(hint: Any, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One schema for a union: its kinds side by side, which is exact as long as no two members share a kind."""
    if any(not part for part in parts):
        return {}
    if any("type" not in part for part in parts):
        return {"anyOf": parts}
    kinds = [kind for part in parts for kind in ([part["type"]] if isinstance(part["type"], str) else part["type"])]
    chosen = [part for part in parts if "enum" in part]
    if chosen:
        if any("enum" not in part and part["type"] != "null" for part in parts):
            raise TypeError(
                f"no JSON form for {_show(hint)}: a Literal or Enum unites with other choices and with None alone"
            )
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
    if hint is int and isinstance(value, float):
        return int(value)
    if origin is Annotated:
        return convert(args[0], value)
    if is_record(hint) and isinstance(value, dict):
        return _made(hint, value)
    if origin is list and isinstance(value, list):
        return [convert(args[0], item) for item in value]
    if origin is dict and isinstance(value, dict):
        return {key: convert(args[1], item) for key, item in value.items()}
    if origin in (Union, types.UnionType):
        for arg in args:
            if mismatch(value, schema_of(arg)) is None:
                return convert(arg, value)
    return value


def _made(hint: Any, value: dict[str, Any]) -> Any:
    if hasattr(hint, "model_validate"):
        return hint.model_validate(value)
    hints, _ = _fields(hint)
    fields = {name: convert(hints[name], part) for name, part in value.items()}
    return fields if typing.is_typeddict(hint) else hint(**fields)


def by_value(value: Json, schema: Mapping[str, Any]) -> Json:
    """The value with whole numbers as such where the schema asks for them: 5.0 for an integer is 5."""
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else list(kind or ())
    match value:
        case float() if "integer" in kinds and "number" not in kinds and value.is_integer():
            return int(value)
        case list() if isinstance(schema.get("items"), Mapping):
            return [by_value(item, schema["items"]) for item in value]
        case dict() if isinstance(schema.get("properties"), Mapping):
            return {name: by_value(part, schema["properties"].get(name, {})) for name, part in value.items()}
    return value


def as_json(value: Any) -> Json:
    """``value`` as JSON: enum members by value, tuples as lists, dataclasses and pydantic models as objects; everything
    in it is new.

    Raises:
        TypeError: it has no JSON form.
    """
    if isinstance(value, enum.Enum):
        return as_json(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise TypeError(
            f"a whole number of about {value.bit_length() * 0.30103:,.0f} digits, which JSON can't carry; give it as text"
        )
    # a subclass can say what it likes of itself; what is kept is the plain value
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)
    if isinstance(value, int):
        return value if type(value) is int else int.__pos__(value)
    if isinstance(value, float):
        return value if type(value) is float else float.__pos__(value)
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: as_json(item) for key, item in value.items()}
    if callable(dump := getattr(value, "model_dump", None)) and not isinstance(value, type):
        return as_json(dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{value!r}, which is not JSON")


def read_signature(fn: Callable[..., Any], skip: int = 0) -> tuple[tuple[Param, ...], dict[str, Any], dict[str, Any]]:
    """The parameters of ``fn`` but the first ``skip``, its hints by name, and its defaults by name.

    Raises:
        TypeError: a parameter without a hint, with one that has no JSON form, or that can't be given by name.
        ValueError: the docstring describes a parameter that does not exist.
    """
    name = getattr(fn, "__name__", repr(fn))
    try:
        hints = typing.get_type_hints(_written(fn), include_extras=True)
    except NameError as failure:
        raise TypeError(
            f"tool {name}: {failure}; define the type at module level, where hints are looked up"
        ) from failure
    _, described = read_docstring(fn)
    every = list(inspect.signature(fn).parameters.values())
    if unknown := set(described) - {parameter.name for parameter in every}:
        raise ValueError(
            f"tool {name}: its docstring describes {', '.join(sorted(unknown))}, which it has no parameter for"
        )
    params, defaults = [], {}
    for parameter in every[skip:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"tool {name}: parameter {parameter} can't be given by name; use plain parameters")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: parameter {parameter.name!r} has no type hint; use {_ALLOWED}")
        hint, given = hints[parameter.name], parameter.default
        if _is_field(given):  # pydantic's other way: x: int = Field(5, ge=0)
            hint, given = (
                Annotated[hint, given],
                parameter.empty if given.is_required() else given.get_default(call_default_factory=True),
            )
            hints[parameter.name] = hint
        notes = getattr(hint, "__metadata__", ())
        try:
            if parameter.default is parameter.empty and any(
                _is_field(note) and not note.is_required() for note in notes
            ):
                raise TypeError("its default stands in Annotated; give it in the signature, as in x: int = 5")
            schema = schema_of(hint)
        except TypeError as failure:
            raise TypeError(f"tool {name}: parameter {parameter.name!r}: {failure}") from None
        said = (note if isinstance(note, str) else getattr(note, "description", None) for note in notes)
        text = described.get(parameter.name) or " ".join(note for note in said if isinstance(note, str))
        required = given is parameter.empty
        default = None
        if not required:
            default = as_json(given)
            if (why := mismatch(default, schema)) is not None:
                raise TypeError(f"tool {name}: the default of {parameter.name!r} {why}; widen the hint (X | None)")
            defaults[parameter.name] = default
        params.append(Param(parameter.name, schema, required, text, default))
    return tuple(params), {param.name: hints[param.name] for param in params}, defaults


def _written(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function that somebody wrote, behind `functools.partial`."""
    return _written(fn.func) if isinstance(fn, functools.partial) else fn


def _is_field(note: Any) -> bool:
    return hasattr(note, "metadata") and callable(getattr(note, "is_required", None))


_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Example|Examples|Note|Notes):\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def read_docstring(fn: Callable[..., Any]) -> tuple[str, Mapping[str, str]]:
    """What a Google-style docstring says of the function, before its sections, and of each parameter."""
    lines = (inspect.getdoc(_written(fn)) or "").splitlines()
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
