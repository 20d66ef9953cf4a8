"""The normal form of arguments: what is equal by meaning, what is not, and that no argument upsets it."""

from __future__ import annotations

import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midsentence.core.calls import Call, call_text
from midsentence.core.values import Join, Ref
from midsentence.tools.function import Tool
from midsentence.tools.normal import normal_form
from midsentence.tools.tool import Param, ToolSpec

TEXTS = {"type": ["array", "string"], "items": {"type": "string"}}
PAY = ToolSpec("pay", (Param("to", TEXTS), Param("amount", {}, False, "", 1), Param("note", {}, False)))

SAME = [
    ({"to": "a"}, {"to": ["a"]}),
    ({"to": "a"}, {"to": "a", "amount": 1.0}),
    ({"to": "a"}, {"to": "a", "amount": None, "note": None}),
    ({"to": "a", "amount": 1e2}, {"to": "a", "amount": 100}),
    ({"to": "Zoe\u0308"}, {"to": "Zo\u00eb"}),
    ({"to": "a  b\n"}, {"to": "a b"}),
    ({"to": "a", "note": {"x": 1, "y": [2.0]}}, {"to": "a", "note": {"y": [2], "x": 1.0}}),
]
OTHER = [
    ({"to": "a"}, {"to": "A"}),
    ({"to": "a"}, {"to": "a", "amount": True}),
    ({"to": "a"}, {"to": "a", "amount": "1"}),
    ({"to": ["a", "b"]}, {"to": ["b", "a"]}),
    ({"to": "a", "note": ""}, {"to": "a"}),
    ({"to": "a", "note": {"x": None}}, {"to": "a", "note": {}}),
    ({"to": "a", "note": ["x"]}, {"to": "a", "note": "x"}),
    ({"to": "a", "note": Ref(1)}, {"to": "a", "note": "$1"}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_by_meaning(one, other):
    assert call_text(PAY, one) == call_text(PAY, other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_not_equal(one, other):
    assert call_text(PAY, one) != call_text(PAY, other)


def test_a_required_argument_that_is_null_is_given():
    """An open call lacks it; with null it is whole."""
    unit = ToolSpec("unit", (Param("of", {"type": ["boolean", "null"]}),))
    assert call_text(unit, {"of": None}) == "unit(of=null)" != call_text(unit, {})


def test_a_tools_own_form_counts_and_may_fail():
    own = ToolSpec("call", (Param("number", {}),), canonical=lambda args: {"number": args["number"].replace("-", "")})
    assert call_text(own, {"number": "55-5"}) == call_text(own, {"number": "555"}) == 'call(number="555")'
    assert call_text(own, {"number": 5}) == "call(number=5)"
    # it knows nothing of references: they are left alone until they are resolved
    assert Call(2, own, {"number": Ref(1)}).text == "call(number=$1)"


def test_a_functions_defaults_are_what_left_out_means():
    def pay(to: str, amount: float = 1.0, note: str | None = None) -> str:
        return ""

    spec = Tool.from_function(pay).spec
    assert [param.default for param in spec.params] == [None, 1.0, None]
    assert call_text(spec, {"to": "a", "amount": 1}) == call_text(spec, {"to": "a"})


def test_equal_calls_stay_equal_whatever_of_them_is_a_reference():
    assert call_text(PAY, {"to": Ref(1), "amount": 1}) == call_text(PAY, {"to": Ref(1), "note": None})
    assert call_text(PAY, {"to": Join(("a", Ref(1)))}) != call_text(PAY, {"to": Ref(1)})


NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=6)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner), max_leaves=6
)
SCHEMAS = st.sampled_from(
    [
        {},
        {"type": "string"},
        {"type": "array"},
        TEXTS,
        {"type": "object", "properties": {"a": {"default": 1}}},
        {"type": "number"},
    ]
)


@given(schema=SCHEMAS, default=SCALARS, value=JSON)
def test_a_normal_form_is_its_own_and_only_writes_differ(schema, default, value):
    """Idempotent; equal texts have equal values once what means nothing is put aside, and never a boolean for a
    number."""
    spec = ToolSpec("t", (Param("a", schema, False, "", default), Param("b", {}, False)))
    form = normal_form(spec, {"a": value, "b": value})
    assert normal_form(spec, form) == form
    assert call_text(spec, form) == call_text(spec, {"b": value, "a": value})


@given(value=JSON)
def test_other_spellings_of_a_value_are_the_same_call(value):
    assert call_text(PAY, {"to": "a", "note": value}) == call_text(
        PAY, {"to": ["a "], "amount": 1.0, "note": _respelled(value)}
    )


@given(one=JSON, other=JSON)
def test_values_that_differ_are_different_calls(one, other):
    same = call_text(PAY, {"to": "a", "note": one}) == call_text(PAY, {"to": "a", "note": other})
    assert same == (_shape(one) == _shape(other))


def _respelled(value):
    match value:
        case str():
            return f" {unicodedata.normalize('NFD', value)} "
        case bool():
            return value
        case int() if abs(value) < 2**53:
            return float(value)
        case list():
            return [_respelled(item) for item in value]
        case dict():
            return {name: _respelled(value[name]) for name in reversed(value)}
    return value


def _shape(value):
    """What a value means, told with types: an account of its own."""
    match value:
        case bool() | None:
            return ("constant", value)
        case int() | float():
            return ("number", value)
        case str():
            return ("text", *unicodedata.normalize("NFC", value).split())
        case list():
            return ("list", *map(_shape, value))
    return ("object", *sorted((name, _shape(item)) for name, item in value.items()))


@pytest.mark.parametrize(
    "meant",
    [
        {"a": date(2025, 3, 1)},
        {"a": {1, 2}},
        {"a": float("nan")},
        {"a": object()},
        None,
        {1: 2, "a": 3},
    ],
    ids=["date", "set", "nan", "object", "none", "names"],
)
def test_a_canonical_form_that_is_no_json_counts_for_nothing(meant):
    """It would end in a text that can't be written: in the core, which must not raise."""
    spec = ToolSpec("pay", (Param("a", {}),), canonical=lambda args: meant)
    assert call_text(spec, {"a": " x"}) == 'pay(a="x")'


def test_a_canonical_form_that_breaks_half_way_leaves_the_arguments_as_they_were():
    def half(args):
        args.clear()
        raise KeyError

    assert call_text(ToolSpec("pay", (Param("a", {}),), canonical=half), {"a": "x"}) == 'pay(a="x")'


def test_names_of_fields_are_composed_too():
    spec = ToolSpec("pay", (Param("a", {}),))
    assert call_text(spec, {"a": {"Zo\u00eb": 1}}) == call_text(spec, {"a": {"Zoe\u0308": 1}})
    assert call_text(spec, {"a": {"Zo\u00eb": 1, "Zoe\u0308": 2}}) != call_text(spec, {"a": {"Zo\u00eb": 2}})
