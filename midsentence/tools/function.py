"""A plain Python function with type hints becomes a tool; a toolbox binds such tools to a world.

Owns the `tool` decorator, `Tool`, `FunctionToolbox` and its log of effects. Does not know any particular tool, when
a call may run, and what to do when one raises: the core decides the first, the shell the second.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, overload

from midsentence.clock import ns
from midsentence.tools.awaited import settled
from midsentence.tools.bulk import off_loop
from midsentence.tools.hints import as_json, by_value, convert, read_docstring, read_signature
from midsentence.tools.latency import Constant, Latency, LogNormal, Uniform, unit_of
from midsentence.tools.text import either
from midsentence.tools.tool import (
    Access,
    Json,
    Toolbox,
    ToolFailure,
    ToolSpec,
    bind,
    described,
    is_toolbox,
    mismatch,
    signature,
)

__all__ = ["Constant", "Did", "Effect", "FunctionToolbox", "Latency", "LogNormal", "Tool", "Uniform", "tool"]

DEFAULT_LATENCY = Uniform(0.5, 1.0)
"""TinyAgent's tools in the paper: uniform in 0.5-1 s."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One write that took place, or may have."""

    name: str
    """The tool's."""
    args: Mapping[str, Json]
    """What the tool took its arguments to mean: defaults filled in, names resolved, where the tool says so."""
    result: Json = None
    """What the tool returned; None if it broke down."""
    error: str = ""
    """Not empty if the tool broke down half-way: the effect may have happened."""


@dataclass(frozen=True, slots=True)
class Did:
    """What a write may return in the place of its result, to say exactly what it did.

    Two calls that mean the same (``"bob"`` and ``"Bob Ray"``) then leave the same line in the log of effects.
    """

    result: Json
    """What the model is shown."""
    args: Mapping[str, Json]
    """What the arguments were taken to mean, by parameter name."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function and what the agent may know of it. Calling the tool calls the function."""

    spec: ToolSpec
    """What the core, the prompt and the grammar are told of it."""
    fn: Callable[..., Any]
    """The function itself, plain or ``async``."""
    latency: Latency = DEFAULT_LATENCY
    """Its latency in virtual time."""
    hints: Mapping[str, Any] = field(default_factory=dict)
    """Type hints by parameter."""
    defaults: Mapping[str, Json] = field(default_factory=dict)
    """Values of the parameters that may be left out."""
    takes_state: bool = False
    """Whether the function's first parameter is the toolbox's state, which the agent does not see."""

    @classmethod
    def from_function(
        cls,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        access: Access = "write",
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
        timeout_s: float = 30,
        latency: Latency = DEFAULT_LATENCY,
        secret: Collection[str] = (),
        takes_state: bool = False,
        canonical: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        repeatable: bool = False,
        confirm: bool = False,
        costly: bool = False,
    ) -> Tool:
        """Makes a tool of ``fn``, sync or async; parameters, schema and descriptions come from its hints and docstring.

        Args:
            fn: the function; its return value must be JSON.
            name: the tool's name; the function's by default.
            access: *read*, *egress* or *write*; unlabelled tools are writes, which are held until the commit point.
            reads: resources that a call reads.
            writes: resources that a call changes.
            timeout_s: after this many seconds a live call is given up.
            latency: latency in virtual time.
            secret: parameters whose values logs must hide.
            takes_state: whether the first parameter is the toolbox's state.
            canonical: canonical form of the arguments, see `ToolSpec.canonical`.
            confirm: whether a write needs the user's confirmation, see `ToolSpec.confirm`.
            repeatable: whether the same effect twice in one turn is meant.
            costly: whether each call costs something, see `ToolSpec.costly`.

        Raises:
            TypeError: a parameter without a usable type hint.
            ValueError: a secret or a described parameter that the function does not have.
        """
        named = name or fn.__name__
        params, hints, defaults = read_signature(fn, skip=int(takes_state))
        if unknown := set(secret) - set(hints):
            raise ValueError(f"tool {named}: secret names {', '.join(sorted(unknown))}, which it has no parameter for")
        if not timeout_s > 0:
            raise ValueError(f"tool {named}: timeout_s is {timeout_s}; it must be more than 0 seconds")
        spec = ToolSpec(
            named,
            params,
            access,
            read_docstring(fn)[0],
            frozenset(reads),
            frozenset(writes),
            ns(timeout_s),
            frozenset(secret),
            canonical,
            confirm,
            repeatable,
            costly=costly,
        )
        return cls(spec, fn, latency, hints, defaults, takes_state)

    @property
    def is_async(self) -> bool:
        """Whether the function, or what it wraps, is a coroutine function."""
        return inspect.iscoroutinefunction(self.fn) or self.wraps_async

    @property
    def wraps_async(self) -> bool:
        """Whether a plain function stands around a coroutine function (`functools.wraps`); it may give an awaitable, or
        its result."""
        return not inspect.iscoroutinefunction(self.fn) and any(map(inspect.iscoroutinefunction, _unwrapped(self.fn)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)


def _refusal(failure: Exception) -> str:
    """What a type says of a value: pydantic's errors on one line, without its links."""
    try:
        errors = failure.errors()  # type: ignore[attr-defined]
        return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}".removeprefix(": ") for error in errors)
    except Exception:
        return described(failure)


def _unwrapped(fn: Callable[..., Any]) -> list[Any]:
    """What stands inside a function: what it wraps, and the method by which an object is called."""
    inner = inspect.unwrap(fn)
    return [inner, getattr(inner, "__call__", None)]  # noqa: B004


@overload
def tool(fn: Callable[..., Any], /) -> Tool: ...
@overload
def tool(**options: Any) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Decorator: ``@tool`` or ``@tool(access="read", …)`` with the options of `Tool.from_function`."""
    return Tool.from_function(fn) if fn is not None else lambda given: Tool.from_function(given, **options)


def boxed(tools: Toolbox | Iterable[Tool | Callable[..., Any]], seed: str | int = "") -> Toolbox:
    """The toolbox that was given, or one of the functions that were.

    Args:
        tools: either.
        seed: of the toolbox that is made (`FunctionToolbox`).

    Raises:
        TypeError: it is neither.
    """
    if is_toolbox(tools):
        return tools
    if isinstance(tools, str | bytes) or not isinstance(tools, Iterable):
        raise TypeError(f"tools is {tools!r}; give a toolbox, or a list of functions")
    return FunctionToolbox(tools, seed)


class FunctionToolbox:
    """Function tools bound to one session's state.

    Args:
        tools: `Tool`s, or plain functions, which become writes.
        seed: the task's or session's name; latencies are a hash of it, the tool and the arguments.
        state: what the tools that take state get as their first argument.
    """

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]], seed: str | int = "", state: Any = None) -> None:
        made = [given if isinstance(given, Tool) else Tool.from_function(_callable(given)) for given in tools]
        self._tools = {each.spec.name: each for each in made}
        if len(self._tools) < len(made):
            names = [each.spec.name for each in made]
            raise ValueError(f"two tools are called {max(names, key=names.count)!r}; give one of them another name")
        self._specs = {each.spec.name: each.spec for each in made}
        self._seed = str(seed)
        self._lock = threading.Lock()
        self.state_object = state
        self.effects: list[Effect] = []
        """Every write that took place, in order."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name."""
        return self._specs

    def canonical(self, name: str, args: Mapping[str, Json]) -> dict[str, Json]:
        """The arguments with what was left out filled in, in the tool's order: equal calls look equal. Never raises."""
        if name not in self._tools:
            return dict(args)
        schemas = {param.name: param.schema for param in self._tools[name].spec.params}
        given = {key: by_value(value, schemas.get(key, {})) for key, value in args.items()}
        return given | {key: value for key, value in self._tools[name].defaults.items() if key not in args}

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """The call's latency in virtual time, a hash of seed, tool and arguments; for any arguments at all."""
        model = self._tools[name].latency if name in self._tools else DEFAULT_LATENCY
        return model.draw_ns(unit_of(self._seed, name, self.canonical(name, args)))

    def is_async(self, name: str) -> bool:
        """Whether `arun` awaits the tool in the caller's loop."""
        return name in self._tools and self._tools[name].is_async

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Runs a tool to its end, an async one in a loop of its own.

        Raises:
            ToolFailure: an unknown tool, arguments that do not fit, or the tool's own "no". Nothing was done.
            Exception: whatever else the tool raised; a write may have taken effect and is in the log with its error.
        """
        chosen, given = self._admit(name, args)
        try:
            values = self._values(chosen, given)
            with self._lock if chosen.takes_state and not chosen.is_async else nullcontext():
                returned = self._call(chosen, values)
            return self._done(chosen, given, settled(returned))
        except BaseException as failure:
            self._broke(chosen, given, failure)
            raise

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """`run` for a live session: awaits async tools, runs sync ones in a thread. Raises as `run` does.

        A thread can't be stopped: a sync write whose caller was cancelled ends on its own, and is logged when it does.
        """
        if not self.is_async(name):
            return await asyncio.to_thread(self.run, name, args)
        chosen, given = await off_loop(self._admit, name, args, over=args)
        try:
            values = await off_loop(self._values, chosen, given, over=given)
            # a wrapper may block, or run a loop of its own
            returned = (
                await asyncio.to_thread(self._call, chosen, values)
                if chosen.wraps_async
                else self._call(chosen, values)
            )
            if inspect.isawaitable(returned):
                returned = await returned
            return await off_loop(
                self._done, chosen, given, returned, over=returned.result if isinstance(returned, Did) else returned
            )
        except BaseException as failure:
            self._broke(chosen, given, failure)
            raise

    def _admit(self, name: str, args: Mapping[str, Json]) -> tuple[Tool, dict[str, Json]]:
        if name not in self._tools:
            known = either(self._tools) if self._tools else "none"
            raise ToolFailure(f'no tool "{name}": use {known}')
        chosen = self._tools[name]
        try:
            bound = bind(chosen.spec, (), args)
        except ValueError as failure:
            raise ToolFailure(str(failure)) from None
        for param in chosen.spec.params:
            if param.name in bound and (why := mismatch(bound[param.name], param.schema)) is not None:
                raise ToolFailure(f"{name}: {param.name} {why}: {signature(chosen.spec)}")
        # what is equal for the agent (null is the default, see `midsentence.tools.normal`) has to be one for the tool
        null = {key for key, value in bound.items() if value is None and chosen.defaults.get(key) is not None}
        # the tool gets its own copy: what it does to its arguments must not reach the caller's
        return chosen, copy.deepcopy(
            self.canonical(name, {key: value for key, value in bound.items() if key not in null})
        )

    def _values(self, chosen: Tool, given: Mapping[str, Json]) -> dict[str, Any]:
        values = {}
        for key, value in given.items():
            try:
                values[key] = convert(chosen.hints[key], copy.deepcopy(value))
            except Exception as failure:  # a model's own check: nothing was done yet
                raise ToolFailure(
                    f"{chosen.spec.name}: {key} can't be taken: {_refusal(failure)}: {signature(chosen.spec)}"
                ) from None
        return values

    def _call(self, chosen: Tool, values: Mapping[str, Any]) -> Any:
        return chosen.fn(*([self.state_object] if chosen.takes_state else []), **values)

    def _done(self, chosen: Tool, given: Mapping[str, Json], returned: Any) -> Json:
        did = returned if isinstance(returned, Did) else Did(returned, given)
        try:
            result = as_json(did.result)
        except TypeError as failure:
            raise TypeError(
                f"tool {chosen.spec.name} returned {failure}; return text, numbers, lists, dicts or None"
            ) from None
        if chosen.spec.access == "write":
            self.effects.append(
                Effect(
                    chosen.spec.name, {name: as_json(value) for name, value in did.args.items()}, copy.deepcopy(result)
                )
            )
        return result

    def _broke(self, chosen: Tool, given: Mapping[str, Json], failure: BaseException) -> None:
        if chosen.spec.access == "write" and not isinstance(failure, ToolFailure):
            self.effects.append(
                Effect(chosen.spec.name, given, error=f"{type(failure).__name__}: {described(failure)}")
            )


def _callable(given: Any) -> Any:
    if not callable(given):
        raise TypeError(f"{given!r} is no tool; give a function or a Tool")
    return given
