"""What a tool is: its name, parameters, class, resources and latency; and a toolbox that runs tools.

Owns `ToolSpec` (pure data, all the core ever sees), the check of arguments against it, and the signature and JSON
schema made from it. Does not know any particular tool, and when a call may run: that is the core's to decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

from midsentence.clock import ns
from midsentence.core.protocol import PARAMETER_NAME, TOOL_NAME
from midsentence.tools.schema import alternatives, violations
from midsentence.tools.text import either

Access = Literal["read", "egress", "write"]
"""*read* runs at once; *egress* reads, but its arguments leave the machine; *write* changes the world."""

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter, in the order in which a positional call gives it."""

    name: str
    """As calls write it."""
    schema: Mapping[str, Any]
    """JSON schema of the value; ``{}`` accepts anything."""
    required: bool = True
    """Whether a call without it stays open."""
    description: str = ""
    """What the prompt says of it; empty for nothing."""
    default: Json = None
    """What the parameter means when it is left out."""
    real: str = ""
    """The name by which the tool's owner knows it, where a call can't be written with it; see
    `midsentence.tools.foreign`."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """All that the core, the prompt and the grammar know of a tool."""

    name: str
    """As calls write it."""
    params: tuple[Param, ...] = ()
    """In the order in which a positional call gives them."""
    access: Access = "write"
    """The default is the safe one: an unlabelled tool is held until the commit point."""
    description: str = ""
    """What the prompt says of the tool; empty for nothing."""
    reads: frozenset[str] = frozenset()
    """Resources that a call reads; calls in conflict over a resource run in ID order."""
    writes: frozenset[str] = frozenset()
    """Resources that a call changes."""
    timeout_ns: int = ns(30)
    """How long one run may take before it is stopped."""
    secret: frozenset[str] = frozenset()
    """Parameters whose values logs must hide."""
    canonical: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = field(default=None, repr=False, compare=False)
    """The tool's own canonical form of its arguments, a pure function: calls of equal form are one effect."""
    confirm: bool = False
    """Whether a write needs the user's own word: it is refused in the turn in which it is first ordered, and runs when
    it is ordered and committed again in the turn after, the user having heard the question and spoken."""
    repeatable: bool = False
    """Whether the same effect twice in one turn is meant (``next_track()``); otherwise the second is refused."""
    real: str = ""
    """The name by which the tool's owner knows it, where a call can't be written with it; see
    `midsentence.tools.foreign`."""
    costly: bool = False
    """Whether each call costs something (it is billed, or counted against a quota), so that none is made on half of
    what is said: the prompt says so, and who teaches the model waits until the clause that asks for it is closed
    (`data.patience`)."""

    def __post_init__(self) -> None:
        if type(self.costly) is not bool:
            raise ValueError(f"tool {self.name!r}: costly is {self.costly!r}; use true or false")
        if self.access not in ("read", "egress", "write"):
            raise ValueError(f"tool {self.name!r}: access is {self.access!r}; use 'read', 'egress' or 'write'")
        if self.confirm and self.access != "write":
            raise ValueError(f"tool {self.name!r}: confirm is for writes, but access is {self.access!r}; leave it out")

        if not TOOL_NAME.fullmatch(self.name):
            raise ValueError(
                f"tool {self.name!r}: its name can't be written in a call; use letters, digits, _, -, . and / alone"
            )
        if strange := [param.name for param in self.params if not PARAMETER_NAME.fullmatch(param.name)]:
            raise ValueError(
                f"tool {self.name!r}: parameter {strange[0]!r} can't be written in a call; use letters, digits, _, - and . alone"
            )

    def conflicts_with(self, other: ToolSpec) -> bool:
        """Whether one of the two changes a resource that the other reads or changes."""
        return bool(self.writes & (other.reads | other.writes) or other.writes & self.reads)


class ToolFailure(Exception):
    """A tool's own "no": it did nothing, and says why in words that a model can act on."""


def described(error: BaseException) -> str:
    """An exception's text, also where asking for it raises: a tool's or a backend's exception is not ours to trust."""
    try:
        return f"{error}"
    except BaseException:
        return "(no text)"


class Toolbox(Protocol):
    """A set of tools bound to a world. One toolbox serves one session."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name; a session can run these and no others."""
        ...

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Runs one tool to its end and returns its result.

        Raises:
            ToolFailure: the tool did nothing; the text says why.
        """
        ...

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """How long the call takes in virtual time: a function of its arguments, so that asking again rerolls
        nothing."""
        ...


@runtime_checkable
class AsyncToolbox(Toolbox, Protocol):
    """A toolbox that awaits some of its tools in the caller's loop; a live session runs all others in threads."""

    def is_async(self, name: str) -> bool:
        """Whether `arun` awaits this tool."""
        ...

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """`run` for a live session. Raises as `run` does; when it is cancelled, it stops what can be stopped."""
        ...


def is_toolbox(given: object) -> TypeGuard[Toolbox]:
    """Whether what was given for tools is a toolbox, and no list of functions: it says what its tools are."""
    return hasattr(given, "specs")


@runtime_checkable
class LogsEffects(Protocol):
    """A toolbox that says afterwards what was done: evaluation judges by it."""

    @property
    def effects(self) -> Sequence[Any]:
        """Every write that took place, in order: as `midsentence.tools.function.Effect`, or as name and arguments."""
        ...


@runtime_checkable
class HasState(Protocol):
    """A toolbox whose world can be compared."""

    def state(self) -> Json:
        """All that the tools can change, in a form in which equal worlds are equal; None for a world that can't be
        compared."""
        ...


@runtime_checkable
class Shows(Protocol):
    """A toolbox with tools that only show something."""

    @property
    def shows(self) -> Collection[str]:
        """Names of the writes whose one effect is that something is seen."""
        ...


@runtime_checkable
class HasElsewhere(Protocol):
    """A toolbox that can say what does not follow from the user's words alone."""

    def elsewhere(self) -> Toolbox:
        """The same tools over a fresh world that what the user says can't tell from this one, and that is another in
        all else."""
        ...


def effects_in(toolbox: Toolbox) -> Sequence[Any]:
    """A toolbox's log of effects; nothing for one that keeps none."""
    return toolbox.effects if isinstance(toolbox, LogsEffects) else ()


def shown_by(toolbox: Toolbox) -> Collection[str]:
    """Names of a toolbox's tools that only show something."""
    return toolbox.shows if isinstance(toolbox, Shows) else ()


def state_of(toolbox: Toolbox) -> Json:
    """A toolbox's world in comparable form; None where it has none."""
    return toolbox.state() if isinstance(toolbox, HasState) else None


def bind(
    spec: ToolSpec, positional: Sequence[Any], keyword: Mapping[str, Any], *, partial: bool = False
) -> dict[str, Any]:
    """Arguments by parameter name, in the tool's own order; with ``partial``, required ones may still be missing.

    Raises:
        ValueError: too many, unknown, doubled or missing arguments; the text names the signature.
    """
    if len(positional) > len(spec.params):
        raise ValueError(
            f"{spec.name} takes at most {len(spec.params)} arguments, got {len(positional)}: {signature(spec)}"
        )
    given = {param.name: value for param, value in zip(spec.params, positional)}
    for name, value in keyword.items():
        if name not in {param.name for param in spec.params}:
            raise ValueError(f"{spec.name} has no parameter {name!r}: {signature(spec)}")
        if name in given:
            raise ValueError(f"{spec.name} got {name!r} twice: {signature(spec)}")
        given[name] = value
    missing = [param.name for param in spec.params if param.required and param.name not in given]
    if missing and not partial:
        raise ValueError(f"{spec.name} misses {', '.join(missing)}: {signature(spec)}")
    return {param.name: given[param.name] for param in spec.params if param.name in given}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def mismatch(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why ``value`` does not fit ``schema`` (JSON Schema in its plain form, `midsentence.tools.schema`), or None if it
    does.

    Types, choices and fields are walked here, whose words the model reads; what a schema says beyond these is judged by
    the package jsonschema. A whole number is one by its value: 5.0 is an integer.
    """
    why = _walk(value, schema)
    return why if why is not None else next((_in_words(error) for error in violations(value, schema)), None)


def _walk(value: Any, schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if kind is not None:
        kinds = [kind] if isinstance(kind, str) else list(kind)
        if not any(_is(value, k) for k in kinds):
            return f"must be {' or '.join(kinds)}, got {_shown(value)}"
    if "enum" in schema and not any(_equal(value, choice) for choice in schema["enum"]):
        return f"must be one of {_shown(list(schema['enum']))}, got {_shown(value)}"
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        for item in value[len(schema.get("prefixItems", ())) :]:
            if (why := _walk(item, schema["items"])) is not None:
                return f"has an item that {why}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"misses the field {name!r}"
        for name, part in schema.get("properties", {}).items():
            if name in value and (why := _walk(value[name], part)) is not None:
                return f"has a field {name!r} that {why}"
        if isinstance(rest := schema.get("additionalProperties"), Mapping) and "patternProperties" not in schema:
            for name in [name for name in value if name not in schema.get("properties", {})]:
                if (why := _walk(value[name], rest)) is not None:
                    return f"has a field {name!r} that {why}"
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean" or kind not in _TYPES
    return (
        isinstance(value, _TYPES.get(kind, object))
        or kind == "integer"
        and isinstance(value, float)
        and value.is_integer()
    )


def _equal(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_BROKEN = {
    "minimum": "must be at least",
    "maximum": "must be at most",
    "exclusiveMinimum": "must be more than",
    "exclusiveMaximum": "must be less than",
    "multipleOf": "must be a multiple of",
    "pattern": "must match the pattern",
    "const": "must be",
    "enum": "must be one of",
    "type": "must be",
}
_TOO_MANY = {
    "minLength": ("at least", "characters"),
    "maxLength": ("at most", "characters"),
    "minItems": ("at least", "items"),
    "maxItems": ("at most", "items"),
    "minProperties": ("at least", "fields"),
    "maxProperties": ("at most", "fields"),
}


def _in_words(error: Any) -> str:
    """What a value breaks, and where in it, in the words of `mismatch`."""
    word, bound, got = error.validator, error.validator_value, error.instance
    if word in _BROKEN:
        why = f"{_BROKEN[word]} {bound if isinstance(bound, str) else _shown(bound)}, got {_shown(got)}"
    elif word in _TOO_MANY:
        bounds, unit = _TOO_MANY[word]
        why = f"must have {bounds} {bound} {unit}, got {len(got)}"
    elif word in ("anyOf", "oneOf") and (word == "anyOf" or error.context):
        parts = dict.fromkeys(
            filter(None, (_walk(got, part) or next(map(_in_words, violations(got, part)), None) for part in bound))
        )
        why = f"fits no alternative: it {'; or it '.join(parts)}"
    elif word == "additionalProperties":
        known = either(error.schema.get("properties", ()))
        strange = [name for name in got if name not in error.schema.get("properties", ())]
        why = (
            f"has a field {strange[0]!r} that nobody declared" + (f": use {known}" if known else "")
            if strange
            else error.message
        )
    else:
        why = f"must keep to {word}: {error.message}"
    for step in reversed(error.absolute_path):
        why = f"has an item that {why}" if isinstance(step, int) else f"has a field {step!r} that {why}"
    return why


_WORDS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "none",
}


def type_word(schema: Mapping[str, Any], optional: bool = False) -> str:
    """A schema's type as signatures show it."""
    # an optional parameter's null is not shown: "?" already says that it may be left out, and prompts are paid for
    if "anyOf" in schema or "oneOf" in schema:
        return "|".join(
            dict.fromkeys(
                type_word(part) for part in alternatives(schema) if not (optional and part.get("type") == "null")
            )
        )
    if "enum" in schema:
        shown = [value for value in schema["enum"] if not (optional and value is None)]
        return "|".join(json.dumps(value, ensure_ascii=False) for value in shown)
    kind = schema.get("type")
    if kind is None:
        return "any"
    kinds = [k for k in ([kind] if isinstance(kind, str) else kind) if not (optional and k == "null")]
    items = schema.get("items", {})
    listed = isinstance(items, Mapping) and (items.get("type") or set(items) & {"anyOf", "oneOf"})
    return "|".join(f"list[{type_word(items)}]" if k == "array" and listed else _WORDS.get(k, "any") for k in kinds)


def signature(spec: ToolSpec) -> str:
    """The compact signature that prompts and error texts show: ``send_sms(recipients: list[str], message: str)``."""
    parts = [f"{p.name}{'' if p.required else '?'}: {type_word(p.schema, not p.required)}" for p in spec.params]
    return f"{spec.name}({', '.join(parts)})"
