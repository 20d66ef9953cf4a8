"""Tools as others write them: names, wrappings, schemas, and what is refused by name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from midsentence.core.lines import CallLine, parse_line
from midsentence.grammar.rules import Legal, LineRules
from midsentence.tools.foreign import RemoteToolbox, tool_specs
from midsentence.tools.schema import BadSchema, plain
from midsentence.tools.tool import Param, ToolFailure, ToolSpec, mismatch, signature, type_word

TEXT = {"type": "string"}


def made(**schema: Any) -> ToolSpec:
    """A tool with these fields beside its name."""
    return tool_specs([{"name": "f", **schema}], "tools.json")[0]


def param(part: dict[str, Any], **root: Any) -> Param:
    """The one parameter of a tool."""
    return made(parameters={"type": "object", "properties": {"x": part}, "required": ["x"], **root}).params[0]


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("real", "name"),
    [
        ("get-weather", "get-weather"),
        ("repos/list", "repos/list"),
        ("3d_print", "3d_print"),
        ("a.b", "a.b"),
        ("2", "2"),
        ("search repos", "search_repos"),
        ("mcp:files::read", "mcp_files_read"),
        ("math@2", "math_2"),
        ("<pause>", "_pause_"),
    ],
)
def test_a_tool_is_called_by_a_name_that_a_line_can_hold_and_run_by_its_own(real, name):
    ran = []
    listed = [
        {
            "name": real,
            "inputSchema": {"type": "object", "properties": {"$top": {"type": "integer"}}, "required": ["$top"]},
        }
    ]
    box = RemoteToolbox(listed, lambda *call: ran.append(call))
    assert list(box.specs) == [name] and signature(box.specs[name]) == f"{name}(_top: int)"
    line = parse_line(f"1. {name}(_top=5)")
    assert isinstance(line, CallLine) and line.name == name
    box.run(line.name, line.keyword)
    assert ran == [(real, {"$top": 5})]


def test_names_that_come_to_one_are_refused_by_name():
    with pytest.raises(ValueError, match="tools.json: tools 'a b' and 'a:b' are both 'a_b' in a call; rename one"):
        tool_specs([{"name": "a b"}, {"name": "a:b"}], "tools.json")
    with pytest.raises(ValueError, match="two tools are called 'a'; rename one"):
        tool_specs([{"name": "a"}, {"name": "a"}], "tools.json")
    with pytest.raises(ValueError, match="tool f: parameters 'a b' and 'a/b' are both 'a_b' in a call; rename one"):
        made(parameters={"properties": {"a b": TEXT, "a/b": TEXT}})


def test_a_spec_that_no_line_could_call_is_not_made():
    with pytest.raises(ValueError, match="tool 'a b': its name can't be written in a call; use letters, digits"):
        ToolSpec("a b")
    with pytest.raises(ValueError, match="tool 'a': parameter 'b c' can't be written in a call"):
        ToolSpec("a", (Param("b c", TEXT),))


def test_a_remote_toolbox_checks_before_it_calls_and_awaits_an_async_client():
    async def client(name: str, args: dict[str, Any]) -> str:
        return f"{name} {args}"

    shape = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    listed = [{"name": "look up", "inputSchema": shape}]
    box = RemoteToolbox(listed, client)
    assert box.is_async("look_up") and asyncio.run(box.arun("look_up", {"n": 2})) == "look up {'n': 2}"
    assert box.run("look_up", {"n": 2}) == "look up {'n': 2}" and box.latency_ns("look_up", {"n": 2}) > 0
    for name, args, says in (
        ("look_up", {"n": 0}, "look_up: n must be at least 1, got 0: look_up(n: int)"),
        ("look", {}, 'no tool "look": use "look_up"'),
        ("look_up", {}, "look_up misses n"),
    ):
        with pytest.raises(ToolFailure, match=says.replace("(", r"\(").replace(")", r"\)")):
            box.run(name, args)


# -- wrappings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["parameters", "inputSchema", "input_schema"])
def test_parameters_are_found_under_each_of_their_names(key):
    shape = {"type": "object", "properties": {"city": TEXT, "days": {"type": "integer"}}, "required": ["city"]}
    assert signature(made(**{key: shape})) == "f(city: str, days?: int)"
    (wrapped,) = tool_specs([{"type": "function", "function": {"name": "f", key: shape}}], "tools.json")
    assert signature(wrapped) == "f(city: str, days?: int)"


def test_an_object_put_together_from_parts_has_the_parameters_of_all():
    spec = made(
        inputSchema={
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": "#/definitions/Own",
            "allOf": [{"properties": {"b": TEXT}}],
            "definitions": {
                "Own": {
                    "type": "object",
                    "properties": {"a": {"type": "integer", "description": "How many"}},
                    "required": ["a"],
                }
            },
        }
    )
    assert signature(spec) == "f(a: int, b?: str)" and spec.params[0].description == "How many"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"parameters": {"properties": {"a": TEXT}}, "inputSchema": {"properties": {"b": TEXT}}},
            "it has both parameters and inputSchema; keep one",
        ),
        (
            {"inputSchema": {"anyOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}]}},
            "anyOf over all its parameters is not supported",
        ),
        ({"inputSchema": {"type": "object", "additionalProperties": TEXT}}, "it takes arguments of any name"),
        ({"inputSchema": {"$ref": "#/$defs/None", "$defs": {}}}, r"\$ref '#/\$defs/None' leads nowhere"),
        ({"inputSchema": ["a"]}, "give a JSON schema of an object"),
    ],
)
def test_tools_that_cant_be_supported_are_refused_by_name(fields, says):
    with pytest.raises(ValueError, match=f"tools.json: tool f: .*{says}"):
        made(**fields)


# -- schemas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "form"),
    [
        ({"anyOf": [TEXT, {"type": "null"}], "default": None, "title": "X"}, {"type": ["string", "null"]}),
        (
            {"oneOf": [{"type": "integer", "minimum": 3}, {**TEXT, "pattern": "^a"}]},
            {"type": ["integer", "string"], "minimum": 3, "pattern": "^a"},
        ),
        (
            {"anyOf": [{"enum": ["a"]}, {"const": "b"}, {"type": "null"}]},
            {"type": ["string", "null"], "enum": ["a", "b", None]},
        ),
        (
            {"anyOf": [{"type": "integer", "minimum": 9}, {"type": "integer", "maximum": 1}]},
            {"anyOf": [{"type": "integer", "minimum": 9}, {"type": "integer", "maximum": 1}]},
        ),
        (
            {"allOf": [{"$ref": "#/$defs/Town"}], "description": "Where"},
            {"type": "object", "properties": {"name": TEXT}, "required": ["name"]},
        ),
        ({"$ref": "#/$defs/a~1b"}, {"type": "integer", "minimum": 0}),
        ({"type": "Union[str, int]"}, {"type": ["string", "integer"]}),
        ({"type": "List[Union[int, str]], optional"}, {"type": "array", "items": {"type": ["integer", "string"]}}),
        (
            {"type": "Optional[Dict[str, float]]"},
            {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        ),
        ({"type": "str | None"}, {"type": ["string", "null"]}),
        ({"type": "str, default is 'x'"}, TEXT),
        ({"type": "Literal['a', 'b']"}, {"enum": ["a", "b"]}),
        ({"type": "any"}, {}),
        (True, {}),
        ({**TEXT, "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 0}),
        (
            {"type": "array", "items": [TEXT, {"type": "integer"}]},
            {"type": "array", "prefixItems": [TEXT, {"type": "integer"}]},
        ),
    ],
)
def test_dialects_have_one_plain_form(part, form):
    defs = {
        "Town": {"type": "object", "properties": {"name": TEXT}, "required": ["name"]},
        "a/b": {"type": "integer", "minimum": 0},
    }
    assert param(part, **{"$defs": defs}).schema == form


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"type": "geo"}, "type geo is unknown: use string, integer"),
        ({"type": "Callable[[float], float]"}, r"type Callable\[\[float\], float\] is unknown"),
        ({"$ref": "https://example.com/town.json"}, "leads out of the tool's own schema: write what it means under"),
        (
            {"$ref": "#/$defs/Tree"},
            r"\$ref '#/\$defs/Tree' leads back to itself: write out as many levels as are needed",
        ),
        ({"type": "string", "pattern": r"\p{L}"}, "can't be read as Python's regular expressions"),
        ({"type": "string", "minLength": "a"}, "minLength is no JSON Schema: 'a' is not of type 'integer'"),
        ({"allOf": [TEXT, {"type": "integer"}]}, "give type otherwise: string and integer; write it once"),
        ({"$dynamicRef": "#x"}, r"\$dynamicRef is not supported"),
        ({"anyOf": TEXT}, "anyOf is .* give a list of schemas"),
        ("string", "is no JSON Schema: give an object"),
    ],
)
def test_schemas_that_cant_be_supported_are_refused_by_name(part, says):
    tree = {"Tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}}
    with pytest.raises(ValueError, match=f"tools.json: tool f: parameter 'x': .*{says}"):
        param(part, **{"$defs": tree})


NUMBER = {**TEXT, "pattern": "^[0-9]+$"}
CARD = {"type": "object", "properties": {"by": {"const": "card"}, "number": NUMBER}, "required": ["by", "number"]}
CASH = {"type": "object", "properties": {"by": {"const": "cash"}}, "required": ["by"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ({"type": "integer"}, 5.0, None),
        ({"type": "integer"}, 5.5, "must be integer, got 5.5"),
        ({"type": "integer"}, True, "must be integer, got true"),
        ({"type": "integer", "minimum": 0}, -1, "must be at least 0, got -1"),
        ({"type": "number", "exclusiveMaximum": 1}, 1, "must be less than 1, got 1"),
        ({"type": "number", "multipleOf": 5}, 7, "must be a multiple of 5, got 7"),
        ({**TEXT, "pattern": "^a"}, "b", 'must match the pattern ^a, got "b"'),
        ({**TEXT, "maxLength": 2}, "abc", "must have at most 2 characters, got 3"),
        ({"type": "array", "minItems": 1}, [], "must have at least 1 items, got 0"),
        (
            {"type": "array", "items": {**TEXT, "pattern": "^a"}},
            ["a", "b"],
            'has an item that must match the pattern ^a, got "b"',
        ),
        (
            {"type": "array", "items": [TEXT, {"type": "integer"}]},
            ["a", "b"],
            'has an item that must be integer, got "b"',
        ),
        ({"enum": [1]}, True, "must be one of [1], got true"),
        ({"enum": [1]}, 1.0, None),
        ({"oneOf": [CARD, CASH]}, {"by": "cash"}, None),
        ({"oneOf": [CARD, CASH]}, {"by": "card", "number": "12"}, None),
        (
            {"oneOf": [CARD, CASH]},
            {"by": "card", "number": "x"},
            "fits no alternative: it has a field 'number' that must match the pattern ^[0-9]+$, got \"x\"; "
            'or it has a field \'by\' that must be one of ["cash"], got "card"',
        ),
        (CASH, {"by": "cash", "sum": 1}, "has a field 'sum' that nobody declared: use \"by\""),
        ({"not": TEXT}, "a", "must keep to not: 'a' should not be valid under {'type': 'string'}"),
        ({"$ref": "#/$defs/N", "$defs": {"N": {"type": "integer"}}}, "a", 'must be integer, got "a"'),
    ],
)
def test_what_a_schema_says_is_enforced_in_words(schema, value, says):
    assert mismatch(value, plain(schema)) == says


def test_alternatives_are_shown_as_such():
    lists = [{"type": "array", "items": {"type": "Union[str, int]"}}, {"type": "array", "items": {"type": "boolean"}}]
    assert type_word(plain({"anyOf": lists})) == "list[str|int]|list[bool]"
    assert type_word(plain({"oneOf": [CARD, {"type": "null"}]}), optional=True) == "dict"
    with pytest.raises(BadSchema):
        plain({"type": "geo"})


@pytest.mark.parametrize(
    ("line", "legal"),
    [
        ('pay({"by": "card", "number": 5})', True),
        ('pay({"by": "cash"})', False),
        ('pay({"by": "card"})', False),
        ('pay("x")', False),
        ("many([1, 2])", True),
        ("many([1])", False),
        ("many([true])", True),
        ("many([true, 1])", False),
        ("3d/print(5)", True),
        ('3d/print("a")', True),
        ("3d/print(true)", False),
        ("geo([1])", True),
    ],
)
def test_the_grammar_writes_alternatives_unions_and_no_others(line, legal):
    """``{"by": "cash"}`` and ``[1]`` are what the calls are already."""
    card = {
        "type": "object",
        "properties": {"by": {"const": "card"}, "number": {"type": "integer"}},
        "required": ["by", "number"],
    }
    lists = [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "boolean"}}]
    specs = [
        ToolSpec("pay", (Param("how", plain({"oneOf": [card, CASH]})),)),
        ToolSpec("many", (Param("of", plain({"anyOf": lists})),)),
        ToolSpec("3d/print", (Param("x", plain({"type": "Union[str, int]"})),)),
        ToolSpec("geo", (Param("a", {"type": "geo"}),)),
    ]
    taken = {(1, "pay"): [{"how": {"by": "cash"}}], (1, "many"): [{"of": [1]}]}
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, LineRules({}, specs, {1: ()}, taken).text(Legal((1,), (), (), (), False, True)))
    ids = tokenizer.tokenize_str(f"1. {line}\n")
    assert (matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()) is legal
