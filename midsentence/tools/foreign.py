"""Tools that somebody else describes: lists of JSON-Schema functions, and a toolbox that hands their calls on.

Owns the reading of what MCP servers (``inputSchema``), OpenAI and Hugging Face (``function``, ``parameters``),
Anthropic (``input_schema``) and data sets such as xLAM (parameters listed bare) write, and the two names of a tool that
the protocol can't write as it is: ``search repos`` is shown as ``search_repos`` and run as ``search repos``. Refuses by
name what can't be supported. Does not know any particular tool, and how it is reached.

    RemoteToolbox(listed, call=lambda name, args: ...)      # call may be async: an MCP client's call_tool
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midsentence.core.protocol import PARAMETER_NAME, TOOL_NAME
from midsentence.tools.awaited import settled
from midsentence.tools.latency import Latency, Uniform, unit_of
from midsentence.tools.schema import BadSchema, plain, resolved
from midsentence.tools.text import either
from midsentence.tools.tool import Json, Param, ToolFailure, ToolSpec, bind, mismatch, signature

_SHAPES = ("parameters", "inputSchema", "input_schema")
_WHOLE = {"properties", "$ref", "allOf", "anyOf", "oneOf", "$schema"}
"""What only the schema of all parameters has."""
_BETWEEN = {
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "minProperties",
}
_NOT_TOOL, _NOT_PARAMETER = re.compile(r"[^\w./-]+"), re.compile(r"[^\w.-]+")


def shown(name: str) -> str:
    """A tool's name as the protocol can write it: itself, or with ``_`` in the place of what a call line can't hold."""
    return name if TOOL_NAME.fullmatch(name) else _NOT_TOOL.sub("_", name)


def shown_param(name: str) -> str:
    """The same for a parameter."""
    return name if PARAMETER_NAME.fullmatch(name) else _NOT_PARAMETER.sub("_", name)


def tool_specs(listed: Any, where: str) -> tuple[ToolSpec, ...]:
    """Tools from a list of JSON-schema functions, in any of the wrappings, each with its class ``access`` (*write* by
    default).

    Args:
        listed: the list.
        where: what errors call it.

    Raises:
        ValueError: a tool that can't be supported; the text names it and the fix.
    """
    if not isinstance(listed, list) or not listed:
        raise ValueError(
            f"{where}: tools must be a list of JSON-schema functions, at least one; got {json.dumps(listed)[:60]}"
        )
    specs: dict[str, ToolSpec] = {}
    for spec in (_spec(entry, where) for entry in listed):
        if (twin := specs.setdefault(spec.name, spec)) is not spec:
            names = {twin.real or twin.name: None, spec.real or spec.name: None}
            if len(names) == 1:
                raise ValueError(f"{where}: two tools are called {spec.name!r}; rename one")
            raise ValueError(
                f"{where}: tools {' and '.join(map(repr, names))} are both {spec.name!r} in a call; rename one"
            )
    return tuple(specs.values())


def _spec(entry: Any, where: str) -> ToolSpec:
    doc = entry.get("function", entry) if isinstance(entry, Mapping) else {}
    if not isinstance(doc, Mapping) or not isinstance(doc.get("name"), str) or not doc["name"].strip():
        raise ValueError(f"{where}: a tool has no name: {json.dumps(entry)[:100]}")
    try:
        params = _params(doc)
        name = shown(doc["name"])
        return ToolSpec(
            name,
            params,
            entry.get("access", doc.get("access", "write")),
            doc.get("description") or "",
            frozenset(entry.get("reads", ())),
            frozenset(entry.get("writes", ())),
            real="" if name == doc["name"] else doc["name"],
            costly=entry.get("costly", doc.get("costly", False)),
        )
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: tool {doc['name']}: {error}") from None


def _params(doc: Mapping[str, Any]) -> tuple[Param, ...]:
    given = [name for name in _SHAPES if doc.get(name)]
    if len(given) > 1:
        raise ValueError(f"it has both {given[0]} and {given[1]}; keep one")
    root = doc[given[0]] if given else {}
    if not isinstance(root, Mapping):
        raise ValueError(f"{given[0]} is {json.dumps(root)[:60]}; give a JSON schema of an object")
    parts, required = _properties(root)
    params: dict[str, Param] = {}
    for real, part in parts.items():
        name = shown_param(real)
        if name in params:
            raise ValueError(
                f"parameters {params[name].real or name!r} and {real!r} are both {name!r} in a call; rename one"
            )
        try:
            schema = plain(part, root)
        except BadSchema as error:
            raise ValueError(f"parameter {real!r}: {error}") from None
        text = part.get("description", "") if isinstance(part, Mapping) else ""
        params[name] = Param(name, schema, real in required, text or "", real="" if name == real else real)
    return tuple(params.values())


def _properties(root: Mapping[str, Any]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """The parameters' own schemas, and which of them are required."""
    parts: dict[str, Any] = {}
    required: set[str] = set()
    if not _WHOLE & set(root) and root.get("type") not in ("object", "dict"):
        # xLAM lists parameters bare, without the object around them
        return root, frozenset(name for name, part in root.items() if not _optional(part))
    for piece in _pieces(root, root):
        if strange := [key for key in piece if key in _BETWEEN]:
            raise ValueError(
                f"{strange[0]} over all its parameters is not supported: a call has one list of them; say it of one parameter"
            )
        own = piece.get("properties") or {}
        if not own and isinstance(piece.get("additionalProperties"), Mapping):
            raise ValueError(
                "it takes arguments of any name (additionalProperties), but a call has declared ones; make them one object"
            )
        parts |= own
        required |= set(piece["required"]) if isinstance(piece.get("required"), list) else set()
        required |= {name for name, part in own.items() if isinstance(part, Mapping) and part.get("required") is True}
    return parts, frozenset(required)


def _pieces(piece: Any, root: Mapping[str, Any], deep: int = 0) -> Iterator[Mapping[str, Any]]:
    """An object's schema and all that it is put together from."""
    if not isinstance(piece, Mapping) or deep > 8:
        raise ValueError("its parameters' schema is no object, or refers to itself")
    yield piece
    if isinstance(piece.get("$ref"), str):
        yield from _pieces(resolved(piece["$ref"], root), root, deep + 1)
    for part in piece.get("allOf", ()):
        yield from _pieces(part, root, deep + 1)


def _optional(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    return "default" in part or part.get("required") is False or "optional" in str(part.get("type", "")).casefold()


def real_call(spec: ToolSpec, args: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
    """A call as the tool's owner knows it."""
    names = {param.name: param.real or param.name for param in spec.params}
    return spec.real or spec.name, {names.get(name, name): value for name, value in args.items()}


class RemoteToolbox:
    """Tools described by JSON schemas and run by a function of yours: what a session needs of an MCP server or an HTTP
    interface.

    Args:
        listed: the tools, see `tool_specs`; a tool without ``access`` is a write.
        call: takes the tool's real name and arguments by their real names, gives JSON, or an awaitable of it. It raises
            `ToolFailure` for "no, and nothing was done".
        seed: the session's name; latencies in virtual time are a hash of it, the tool and the arguments.
        latency: latency in virtual time.
    """

    def __init__(
        self,
        listed: list[Mapping[str, Any]] | list[dict[str, Any]],
        call: Callable[[str, dict[str, Json]], Any],
        seed: str | int = "",
        latency: Latency = Uniform(0.5, 1.0),  # noqa: B008
    ) -> None:
        self._specs = {spec.name: spec for spec in tool_specs(listed, "tools")}
        self._call, self._seed, self._latency = call, str(seed), latency
        self._async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by the names that calls use."""
        return self._specs

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """The call's latency in virtual time."""
        return self._latency.draw_ns(unit_of(self._seed, name, dict(args)))

    def is_async(self, name: str) -> bool:
        """Whether `arun` awaits the tools in the caller's loop."""
        return self._async

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Checks the arguments and hands the call on. Raises `ToolFailure` where it does not fit, or whatever the
        function raises."""
        result: Json = settled(self._call(*self._admit(name, args)))
        return result

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """The same in the caller's loop."""
        returned = self._call(*self._admit(name, args))
        result: Json = await returned if inspect.isawaitable(returned) else returned
        return result

    def _admit(self, name: str, args: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        if name not in self._specs:
            raise ToolFailure(f'no tool "{name}": use {either(self._specs)}')
        spec = self._specs[name]
        try:
            bound = bind(spec, (), args)
        except ValueError as failure:
            raise ToolFailure(str(failure)) from None
        for param in spec.params:
            if param.name in bound and (why := mismatch(bound[param.name], param.schema)) is not None:
                raise ToolFailure(f"{name}: {param.name} {why}: {signature(spec)}")
        return real_call(spec, bound)
