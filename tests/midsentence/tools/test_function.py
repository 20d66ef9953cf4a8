"""Plain functions as tools: what their hints become, what is refused, how they run, and what the log of effects
says."""

from __future__ import annotations

import asyncio
import enum
import functools
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from annotated_types import Ge, Interval, Len, Predicate
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, StringConstraints, field_validator

from midsentence.tools.function import Constant, Did, Effect, FunctionToolbox, LogNormal, Tool, Uniform, tool
from midsentence.tools.hints import as_json, convert, schema_of
from midsentence.tools.latency import unit_of
from midsentence.tools.tool import ToolFailure, mismatch, signature


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@tool(access="read", reads=("menu",), timeout_s=2, latency=Constant(0.25))
def price(dish: str, size: Size = Size.SMALL, extras: list[str] | None = None) -> float:
    """Looks a price up.

    It is in euros.

    Args:
        dish: Name on the menu,
            as printed.
        size (Size): The portion.

    Returns:
        The price.
    """
    return {"soup": 4.0}[dish] * (2 if size is Size.LARGE else 1) + len(extras or ())


@tool(secret=("card",), writes=("till",))
def pay(amount: float, card: str) -> dict[str, Any]:
    """Pays."""
    if amount > 100:
        raise ToolFailure("the limit is 100")
    if card == "torn":
        raise OSError("no line")
    return {"paid": amount, "parts": (1, 2)}


def test_a_function_becomes_a_spec() -> None:
    assert price.spec.description == "Looks a price up. It is in euros."
    assert [(p.name, p.schema, p.required, p.description) for p in price.spec.params] == [
        ("dish", {"type": "string"}, True, "Name on the menu, as printed."),
        ("size", {"type": "string", "enum": ["small", "large"]}, False, "The portion."),
        ("extras", {"type": ["array", "null"], "items": {"type": "string"}}, False, ""),
    ]
    assert signature(price.spec) == 'price(dish: str, size?: "small"|"large", extras?: list[str])'
    assert (price.spec.access, price.spec.reads, price.spec.timeout_ns) == ("read", {"menu"}, 2_000_000_000)
    assert pay.spec.access == "write" and pay.spec.secret == {"card"}
    assert price("soup", Size.LARGE) == 8.0  # still the function that it was


def test_the_bare_decorator_makes_a_write() -> None:
    @tool
    def ring(times: int) -> str:
        return "rung"

    assert ring.spec.access == "write" and ring.spec.name == "ring"


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (Any, {}),
        (dict, {"type": "object"}),
        (list, {"type": "array"}),
        (list[Any], {"type": "array"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (bool | None, {"type": ["boolean", "null"]}),
        (list[str] | str, {"type": ["array", "string"], "items": {"type": "string"}}),
        (Literal["d", 2, None], {"type": ["string", "integer", "null"], "enum": ["d", 2, None]}),
        (Literal["d"] | None, {"type": ["string", "null"], "enum": ["d", None]}),
        (list[Size], {"type": "array", "items": {"type": "string", "enum": ["small", "large"]}}),
        (Annotated[int, "how many"], {"type": "integer"}),
    ],
)
def test_schema_of_hints(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


@pytest.mark.parametrize(
    ("hint", "says"),
    [
        (datetime, "no JSON form for datetime; use str, int, float"),
        (Sequence[str], r"no JSON form for collections.abc.Sequence\[str\]"),
        (tuple[int, int], "no JSON form for tuple"),
        (dict[int, str], r"no JSON form for dict\[int, str\]"),
        (list[int] | list[str], "two members are both array; keep one"),
        (Literal["a"] | int, "unites with other choices and with None alone"),
        (list[bytes], "no JSON form for bytes"),
    ],
)
def test_unsupported_hints_are_named(hint: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        schema_of(hint)


def test_unusable_functions_are_refused_with_the_reason() -> None:
    def bare(x, y: int):
        """No hint on x."""

    def when(at: datetime) -> None:
        """A hint without a JSON form."""

    def many(*xs: int) -> None:
        """Not by name."""

    def lies(x: int) -> None:
        """Lies.

        Args:
            z: not there.
        """

    def unset(x: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        """The default does not fit."""

    with pytest.raises(TypeError, match="tool bare: parameter 'x' has no type hint"):
        Tool.from_function(bare)
    with pytest.raises(TypeError, match="tool when: parameter 'at': no JSON form for datetime"):
        Tool.from_function(when)
    with pytest.raises(TypeError, match=r"tool many: parameter \*xs.* can't be given by name"):
        Tool.from_function(many)
    with pytest.raises(ValueError, match="tool lies: its docstring describes z"):
        Tool.from_function(lies)
    with pytest.raises(TypeError, match="tool unset: the default of 'x' must be integer, got null; widen the hint"):
        Tool.from_function(unset)
    with pytest.raises(ValueError, match="tool pay: secret names pin"):
        Tool.from_function(pay.fn, secret=("pin",))
    with pytest.raises(ValueError, match="access is 'safe'; use 'read', 'egress' or 'write'"):
        Tool.from_function(pay.fn, access="safe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two tools are called 'pay'"):
        FunctionToolbox([pay, pay])


def test_running_checks_converts_and_logs_writes_alone() -> None:
    box = FunctionToolbox([price, pay])
    assert box.run("price", {"dish": "soup", "size": "large", "extras": ["bread"]}) == 9.0
    assert box.effects == []
    assert box.run("pay", {"amount": 9, "card": "1234"}) == {"paid": 9.0, "parts": [1, 2]}
    assert box.effects == [Effect("pay", {"amount": 9, "card": "1234"}, {"paid": 9.0, "parts": [1, 2]})]


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("prise", {}, 'no tool "prise": use "price" or "pay"'),
        ("price", {}, "price misses dish: price(dish: str"),
        ("price", {"dish": "soup", "hot": True}, "price has no parameter 'hot': price("),
        ("price", {"dish": 4}, "price: dish must be string, got 4: price("),
        ("price", {"dish": "soup", "size": "huge"}, 'price: size must be one of ["small", "large"], got "huge"'),
        ("price", {"dish": "soup", "extras": ["a", 1]}, "price: extras has an item that must be string, got 1"),
        ("pay", {"amount": True, "card": "1"}, "pay: amount must be number, got true"),
        ("pay", {"amount": 500, "card": "1"}, "the limit is 100"),
    ],
)
def test_a_refused_call_does_nothing_and_says_why(name: str, args: dict[str, Any], says: str) -> None:
    box = FunctionToolbox([price, pay])
    with pytest.raises(ToolFailure) as refused:
        box.run(name, args)
    assert says in str(refused.value)
    assert box.effects == []


def test_a_write_that_breaks_down_propagates_and_stays_in_the_log() -> None:
    box = FunctionToolbox([price, pay])
    with pytest.raises(OSError, match="no line"):
        box.run("pay", {"amount": 1, "card": "torn"})
    assert box.effects == [Effect("pay", {"amount": 1, "card": "torn"}, error="OSError: no line")]
    with pytest.raises(KeyError):
        box.run("price", {"dish": "cake"})  # a read that breaks down leaves no effect
    assert len(box.effects) == 1


def test_results_that_are_not_json_are_named() -> None:
    @tool(access="read")
    def odd() -> Any:
        return {1, 2}

    with pytest.raises(TypeError, match=r"tool odd returned \{1, 2\}, which is not JSON"):
        FunctionToolbox([odd]).run("odd", {})


def test_a_tool_can_not_reach_its_callers_arguments_or_the_log() -> None:
    @tool
    def spoil(items: list[str]) -> list[str]:
        items.append("spoilt")
        return items

    box, mine = FunctionToolbox([spoil]), ["fresh"]
    box.run("spoil", {"items": mine}).append("more")  # type: ignore[union-attr]
    assert mine == ["fresh"]
    assert box.effects == [Effect("spoil", {"items": ["fresh"]}, ["fresh", "spoilt"])]


def test_state_is_passed_first_and_is_no_parameter() -> None:
    @tool(takes_state=True)
    def add(ledger: list[str], line: str) -> Did:
        ledger.append(line.strip())
        return Did("added", {"line": line.strip()})

    assert signature(add.spec) == "add(line: str)"
    ledger: list[str] = []
    box = FunctionToolbox([add], state=ledger)
    assert box.run("add", {"line": " tea "}) == "added"
    assert ledger == ["tea"] and box.effects == [Effect("add", {"line": "tea"}, "added")]


def test_latency_is_a_hash_of_task_tool_and_arguments() -> None:
    slow = Tool.from_function(price.fn, name="slow", latency=Uniform(0.5, 1.0))
    box = FunctionToolbox([price, slow], seed="task-1")
    assert box.latency_ns("price", {"dish": "soup"}) == 250_000_000
    once = box.latency_ns("slow", {"dish": "soup", "size": "large"})
    assert 500_000_000 <= once <= 1_000_000_000
    assert once == 835_131_166  # pinned: the same on every machine and in every process
    assert box.latency_ns("slow", {"size": "large", "dish": "soup"}) == once
    assert (
        box.latency_ns("slow", {"dish": "soup", "size": "large", "extras": None}) == once
    )  # left out or given: one call
    assert box.latency_ns("slow", {"dish": "stew", "size": "large"}) != once
    assert FunctionToolbox([slow], seed="task-2").latency_ns("slow", {"dish": "soup", "size": "large"}) != once
    assert box.latency_ns("slow", {"dish": {"odd": [1]}, "no": 1}) > 0  # asked before the arguments are checked
    assert box.latency_ns("none", {}) > 0


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
@settings(max_examples=50)
def test_latency_models_stay_in_their_bounds(unit: float) -> None:
    assert Constant(0.5).draw_ns(unit) == 500_000_000
    assert 300_000_000 <= Uniform(0.3, 0.8).draw_ns(unit) <= 800_000_000
    assert (LogNormal(1.0, 0.5).draw_ns(unit) < 1_000_000_000) == (unit < 0.5) or abs(unit - 0.5) < 1e-8


def test_latency_models_refuse_nonsense() -> None:
    assert LogNormal(0.7, 0.5).draw_ns(0.5) == 700_000_000
    with pytest.raises(ValueError, match="got 1.0 to 0.5 s; it must be 0 <= low_s <= high_s"):
        Uniform(1.0, 0.5)
    with pytest.raises(ValueError, match="s is -1; it must be at least 0"):
        Constant(-1)
    with pytest.raises(ValueError, match="use median_s > 0"):
        LogNormal(0, 1)
    with pytest.raises(ValueError, match="timeout_s is 0"):
        Tool.from_function(price.fn, timeout_s=0)


def test_units_spread_evenly() -> None:
    units = [unit_of("seed", "tool", {"n": n}) for n in range(400)]
    assert all(0 < unit < 1 for unit in units)
    assert 60 < sum(unit < 0.25 for unit in units) < 140 and 60 < sum(unit > 0.75 for unit in units) < 140


@tool(writes=("door",))
async def knock(times: int) -> str:
    """Knocks."""
    if times > 3:
        raise ToolFailure("too loud")
    return "knocked " * times


@tool(access="read")
def where() -> str:
    """The thread it runs in."""
    return threading.current_thread().name


def test_async_tools_run_in_both_worlds() -> None:
    box = FunctionToolbox([knock, where])
    assert box.run("knock", {"times": 1}) == "knocked "
    assert box.run("where", {}) == threading.current_thread().name

    async def live() -> None:
        assert await box.arun("knock", {"times": 2}) == "knocked knocked "
        assert await box.arun("where", {}) != threading.current_thread().name
        assert box.run("knock", {"times": 3}) == "knocked " * 3  # a loop is running in this thread already
        with pytest.raises(ToolFailure, match="too loud"):
            await box.arun("knock", {"times": 4})
        with pytest.raises(ToolFailure, match="times must be integer"):
            await box.arun("knock", {"times": "4"})

    asyncio.run(live())
    assert [effect.args["times"] for effect in box.effects] == [1, 2, 3]


def test_a_cancelled_write_is_logged_as_one_that_may_have_happened() -> None:
    async def live(box: FunctionToolbox, started: asyncio.Event) -> None:
        task = asyncio.ensure_future(box.arun("hang", {}))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = asyncio.Event()

    @tool
    async def hang() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    box = FunctionToolbox([hang])
    asyncio.run(live(box, started))
    assert [(effect.name, effect.error) for effect in box.effects] == [("hang", "CancelledError: ")]


def test_the_examples_in_the_docs_run() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tools.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for block in blocks:
        exec(block, scope)  # the page is ours
    assert len(blocks) == 3
    assert scope["remote"].run("search_repos", {"query": "agents"}) == "search repos got {'query': 'agents'}"
    assert scope["toolbox"].run("price", {"dish": "soup", "portions": 2}) == 8.0
    assert signature(scope["price"].spec) in page


_HINTS = st.recursive(
    st.sampled_from([str, int, float, bool, Size, Literal["a", 3]]),
    lambda inner: st.tuples(
        inner, st.sampled_from([lambda h: list[h], lambda h: dict[str, h], lambda h: h | None])
    ).map(lambda pair: pair[1](pair[0])),
    max_leaves=3,
)


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    part = schema.get("items") or schema.get("additionalProperties")
    makes = {
        "string": st.text(max_size=3),
        "integer": st.integers(),
        "number": st.floats(allow_nan=False) | st.integers(-9, 9),
        "boolean": st.booleans(),
        "null": st.none(),
        "array": st.deferred(lambda: st.lists(_values(part), max_size=2)),
        "object": st.deferred(lambda: st.dictionaries(st.text(max_size=2), _values(part), max_size=2)),
    }
    return st.one_of([makes[kind] for kind in kinds])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_the_schema_allows_passes_and_comes_back_equal(data: st.DataObject) -> None:
    hint = data.draw(_HINTS)
    value = data.draw(_values(schema_of(hint)))
    assert mismatch(value, schema_of(hint)) is None

    def take(x: Any) -> Any:
        seen.append(x)
        return x

    seen: list[Any] = []
    take.__annotations__ = {"x": hint}
    assert FunctionToolbox([Tool.from_function(take, access="read")]).run("take", {"x": value}) == value
    assert as_json(seen[0]) == value
    if hint is Size:
        assert isinstance(seen[0], Size)


def test_conversion_reaches_into_containers() -> None:
    assert convert(dict[str, list[Size] | None], {"a": ["small"], "b": None}) == {"a": [Size.SMALL], "b": None}
    assert [type(x) for x in convert(list[float], [1, 2.5])] == [float, float]
    assert convert(int | str, "1") == "1"


def test_null_is_the_default_to_the_tool_as_it_is_to_the_guard():
    """Two calls that are one effect to the agent did two different things."""

    @tool
    def pay(to: str, amount: int | None = 5) -> int | None:
        """Pays."""
        return amount

    box = FunctionToolbox([pay])
    assert [box.run("pay", args) for args in ({"to": "a"}, {"to": "a", "amount": None}, {"to": "a", "amount": 0})] == [
        5,
        5,
        0,
    ]
    assert [effect.args["amount"] for effect in box.effects] == [5, 5, 0]


class Guest(BaseModel):
    """A pydantic model: its own check and bounds hold."""

    name: str = Field(min_length=1)
    age: int | None = Field(None, ge=0)

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name == "nobody":
            raise ValueError("nobody can't come")
        return name


@dataclass
class Table:
    """A dataclass that holds models."""

    seats: int
    guests: list[Guest] | None = None

    def __post_init__(self) -> None:
        if self.seats > 20:
            raise ValueError(f"no table of {self.seats}")


class Wish(TypedDict):
    text: str
    cost: NotRequired[float]


@dataclass
class Node:
    inner: Node | None = None


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (Annotated[int, Field(ge=0, lt=9)], {"type": "integer", "minimum": 0, "exclusiveMaximum": 9}),
        (Annotated[str, Field(pattern="^a", max_length=3)], {"type": "string", "pattern": "^a", "maxLength": 3}),
        (Annotated[str, StringConstraints(pattern="^a")], {"type": "string", "pattern": "^a"}),
        (Annotated[float, Interval(gt=0, le=1)], {"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        (Annotated[list[str], Len(1, 3)], {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}),
        (list[Annotated[int, Ge(1)]], {"type": "array", "items": {"type": "integer", "minimum": 1}}),
        (Annotated[int, Field(multiple_of=5)] | None, {"type": ["integer", "null"], "multipleOf": 5}),
        (
            Guest,
            {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "age": {"type": ["integer", "null"], "minimum": 0},
                },
            },
        ),
        (
            Wish,
            {
                "type": "object",
                "properties": {"text": {"type": "string"}, "cost": {"type": "number"}},
                "required": ["text"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_bounds_and_records_in_hints_are_kept(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


def test_hints_that_only_python_can_judge_are_refused() -> None:
    with pytest.raises(
        TypeError, match="no JSON form for Predicate in .*; check it in the tool, and say no with ToolFailure"
    ):
        schema_of(Annotated[int, Predicate(lambda n: n % 2 == 0)])
    with pytest.raises(
        TypeError, match="no JSON form for Node: it holds itself; write out as many levels as are needed"
    ):
        schema_of(Node)

    def hidden(x: Annotated[int, Field(default=5)]) -> None:
        """The default is where Python does not look."""

    with pytest.raises(
        TypeError, match="tool hidden: parameter 'x': its default stands in Annotated; give it in the signature"
    ):
        Tool.from_function(hidden)


@tool
def seat(
    table: Table, wish: Wish | None = None, hour: int = Field(19, ge=12, description="When, in full hours")
) -> Table:
    """Seats people."""
    assert isinstance(table, Table) and all(isinstance(guest, Guest) for guest in table.guests or ())
    return Table(hour, table.guests)


def test_records_come_as_what_the_function_asked_for_and_go_out_as_json() -> None:
    box = FunctionToolbox([seat])
    assert signature(seat.spec) == "seat(table: dict, wish?: dict, hour?: int)"
    assert [(p.default, p.description) for p in seat.spec.params] == [
        (None, ""),
        (None, ""),
        (19, "When, in full hours"),
    ]
    given = {"table": {"seats": 2.0, "guests": [{"name": "Ada"}]}}
    assert box.run("seat", given) == {"seats": 19, "guests": [{"name": "Ada", "age": None}]}
    assert box.effects[0].args == {"table": {"seats": 2, "guests": [{"name": "Ada"}]}, "wish": None, "hour": 19}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"table": {"seats": 2, "guests": [{"name": ""}]}},
            "has an item that has a field 'name' that must have at least 1 characters, got 0",
        ),
        (
            {"table": {"seats": 2, "guests": [{"name": "nobody"}]}},
            "seat: table can't be taken: name: Value error, nobody can't come: seat(",
        ),
        ({"table": {"seats": 21}}, "seat: table can't be taken: no table of 21: seat("),
        (
            {"table": {"seats": 2, "chairs": 2}},
            'table has a field \'chairs\' that nobody declared: use "seats" or "guests"',
        ),
        ({"hour": 11}, "seat: hour must be at least 12, got 11"),
    ],
)
def test_what_a_type_refuses_did_nothing(change: dict[str, Any], says: str) -> None:
    box = FunctionToolbox([seat])
    with pytest.raises(ToolFailure) as refused:
        box.run("seat", {"table": {"seats": 2}} | change)
    assert says in str(refused.value) and box.effects == []


def test_a_whole_number_is_one_by_its_value() -> None:
    box = FunctionToolbox([knock, where])
    assert box.run("knock", {"times": 2.0}) == "knocked knocked " and box.effects[0].args == {"times": 2}
    assert box.latency_ns("knock", {"times": 2.0}) == box.latency_ns("knock", {"times": 2})
    with pytest.raises(ToolFailure, match=r"times must be integer, got 2\.5"):
        box.run("knock", {"times": 2.5})


def _around(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def _ending(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(fn(*args, **kwargs))

    return wrapper


class _Client:
    async def __call__(self, times: int) -> str:
        return "knocked " * times


@pytest.mark.parametrize(
    "fn",
    [
        _around(knock.fn),
        _ending(knock.fn),
        functools.partial(knock.fn),
        functools.update_wrapper(lambda times: _Client()(times), _Client()),
        lambda times: knock.fn(times),
    ],
)
def test_what_gives_an_awaitable_is_awaited_however_it_looks(fn: Callable[..., Any]) -> None:
    if not isinstance(fn, functools.partial):
        fn.__annotations__ = {"times": int}
    box = FunctionToolbox([Tool.from_function(fn, name="knock")])
    assert (
        box.run("knock", {"times": 1}) == "knocked "
        and asyncio.run(box.arun("knock", {"times": 2})) == "knocked knocked "
    )
    assert [effect.error for effect in box.effects] == ["", ""]
