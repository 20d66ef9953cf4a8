"""The parser: any split of a text gives the same items; references, strings and joins; what each malformed line is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import (
    ENVIRONMENT_TAGS,
    TAGS,
    ActionEnded,
    AnswerOpened,
    CallLine,
    Join,
    Malformed,
    Parser,
    Ref,
    RemoveLine,
    as_text,
    feed,
    parse_line,
    refs,
    resolve,
    write_call,
    write_value,
)


def parse(text: str, cuts: list[int] = ()) -> tuple[Parser, tuple]:
    """The parser's state and items after ``text``, cut into pieces at ``cuts``."""
    parser, items = Parser(), ()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, end in zip(edges, edges[1:]):
        parser, more = feed(parser, text[begin:end])
        items += more
    return parser, items


# --- texts: from the grammar, and garbage

texts = st.text(max_size=8) | st.sampled_from(["$1", "</tool_call>", '"', "\\", "a, b)", "<think>", "<", "naïve 👍", "\n"])
scalars = st.none() | st.booleans() | st.integers(-10**20, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | texts
operands = st.builds(Ref, st.integers(1, 99))
joins = st.lists(texts | operands, min_size=2, max_size=4).filter(lambda parts: any(isinstance(p, Ref) for p in parts)).map(tuple).map(Join)


def nested(leaves):
    return st.recursive(leaves, lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3), max_leaves=6)


values = nested(scalars | operands)
arguments = values | joins
names = st.sampled_from(["look", "send_sms", "a.b", "_x1"])
keywords = st.dictionaries(st.sampled_from(["to", "text", "x_1"]), arguments, max_size=2)
lines = st.builds(write_call, st.integers(0, 999), names, st.lists(arguments, max_size=3).map(tuple), keywords) | st.just("REMOVE 2")
free = st.text(alphabet="ab <>/$\"\n", max_size=8).filter(lambda text: not any(tag in text for tag in TAGS))
blocks = st.lists(lines, min_size=1, max_size=3).map(lambda some: "<tool_call>\n" + "\n".join(some) + "\n</tool_call>")
endings = blocks | st.just("<pause>") | free.map(lambda text: f"<answer>{text}</answer>")
actions = st.builds(lambda thought, end: (f"<think>{thought}</think>" if thought is not None else "") + end, st.none() | free, endings)
pieces = st.sampled_from([*TAGS, "1. look(", '"', "\\", ")", "\n", "REMOVE 1", "$1", "[", ", ", " + ", " ", "a"])
garbage = st.lists(pieces | st.text(max_size=2), max_size=14).map("".join)
damaged = st.builds(lambda action, at, more: action[:at] + more + action[at:], actions, st.integers(0, 60), pieces)


@settings(max_examples=120, deadline=None)
@given(actions | garbage | damaged, st.data())
def test_any_split_of_a_text_gives_the_same_items(text, data):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    whole, by_character = parse(text), parse(text, list(range(len(text))))
    assert parse(text, cuts) == whole
    assert by_character == whole


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**9 - 1), names, st.lists(arguments, max_size=3).map(tuple), keywords)
def test_a_line_that_is_written_is_read_back(id, name, positional, keyword):
    def normal(value):  # -0.0 == 0 and 1.0 == 1, so as text
        return write_value(value)

    line = parse_line(write_call(id, name, positional, keyword))
    assert isinstance(line, CallLine), line
    assert (line.id, line.name) == (id, name)
    assert [normal(value) for value in line.positional] == [normal(value) for value in positional]
    assert {key: normal(value) for key, value in line.keyword.items()} == {key: normal(value) for key, value in keyword.items()}


@settings(max_examples=80, deadline=None)
@given(garbage)
def test_a_text_ends_at_most_once_and_nothing_comes_after(text):
    parser, items = parse(text + "<pause>")
    ends = [item for item in items if isinstance(item, ActionEnded | Malformed)]
    assert len(ends) == (parser.where == "ended")
    if ends:
        assert items[-1] == ends[0]
        assert feed(parser, "<answer>more</answer>") == (parser, ())


# --- actions


def test_a_call_line_is_an_item_as_soon_as_its_newline_is_there():
    parser, items = parse("<think>to: Bob</think><tool_call>\n1. look(")
    assert items == ()
    parser, items = feed(parser, '"Bob")')
    assert items == () and parser.in_line
    parser, items = feed(parser, "\n")
    assert items == (CallLine(1, "look", ("Bob",), {}),)
    assert not parser.in_line
    parser, items = feed(parser, "REMOVE 1</tool_call>")
    assert items == (RemoveLine(1), ActionEnded("tool_call", lines=2))


def test_the_three_actions():
    assert parse("<pause>")[1] == (ActionEnded("pause"),)
    assert parse("<think></think> \n<answer> a < b \n</answer>")[1] == (AnswerOpened(), ActionEnded("answer", "a < b"))
    assert parse("<tool_call>\n\n  1. look()  \n</tool_call>")[1] == (CallLine(1, "look", (), {}), ActionEnded("tool_call", lines=1))


def test_a_closing_tag_inside_quotes_is_text():
    _, items = parse('<tool_call>1. send("</tool_call>", "\\"</tool_call>")</tool_call>')
    assert items == (CallLine(1, "send", ("</tool_call>", '"</tool_call>'), {}), ActionEnded("tool_call", lines=1))


@pytest.mark.parametrize("tag", ENVIRONMENT_TAGS)
def test_a_model_cannot_write_the_environments_tags(tag):
    parser, items = parse(f"<think>a {tag}</think><pause>")
    assert items == (Malformed(f"{tag} inside a thought: close it with </think> first"),)
    assert parser.open_tag == "think"
    assert parse(f"<answer>a {tag}")[1][1:] == (Malformed(f"{tag} inside an answer: close it with </answer> first"),)
    assert isinstance(parse(tag)[1][0], Malformed)


@pytest.mark.parametrize(
    ("text", "tag"),
    [("<think>a", "think"), ("<tool_call>1", "tool_call"), ("<answer>a", "answer"), ("<think>a</think>", None), ("", None),
     ("<think><think>", "think"), ("<tool_call>\nx\n", "tool_call"), ("<tool_call>\nx</tool_call>", None), ("<pause>", None)],
)  # fmt: skip
def test_the_tag_that_a_cut_must_close(text, tag):
    assert parse(text)[0].open_tag == tag


# --- values


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ('"a, b) $1"', "a, b) $1"), (r'"\u00e9 \"q\" \\ \n"', 'é "q" \\ \n'), ("-1.5e3", -1500.0), ("12", 12), ("true", True),
        ("null", None),
        ("$3", Ref(3)), ("[$1, [$2], 1]", [Ref(1), [Ref(2)], 1]), ('{"a": $1, "$2": "$2"}', {"a": Ref(1), "$2": "$2"}),
        ('"to " + $1', Join(("to ", Ref(1)))), ('$1+"."+$2', Join((Ref(1), ".", Ref(2)))), ('"a" + "b"', "ab"), ("[]", []), ("{ }", {}),
    ],
)  # fmt: skip
def test_values(argument, value):
    assert parse_line(f"1. f({argument})") == CallLine(1, "f", (value,), {})
    assert parse_line(f"1. f(x = {argument})") == CallLine(1, "f", (), {"x": value})


MALFORMED = {
    "look": 'expected a call such as 1. tool("value"), or REMOVE 1, got \'look\'',
    "1 look()": 'expected a call such as 1. tool("value"), or REMOVE 1, got \'1 look()\'',
    "1234567890. look()": 'expected a call such as 1. tool("value"), or REMOVE 1, got \'1234567890. look()\'',
    "١. look()": 'expected a call such as 1. tool("value"), or REMOVE 1, got \'١. look()\'',
    "REMOVE $1": 'expected a call such as 1. tool("value"), or REMOVE 1, got \'REMOVE $1\'',
    "1. f(a)": "in '1. f(a)': expected a JSON value or $n at 'a)'",
    "1. f('a')": "in \"1. f('a')\": expected a JSON value or $n at \"'a')\"",
    "1. f(": "in '1. f(': expected a JSON value or $n at ''",
    "1. f(1": "in '1. f(1': expected ',' at ''",
    "1. f(1,)": "in '1. f(1,)': expected a JSON value or $n at ')'",
    "1. f(1 2)": "in '1. f(1 2)': expected ',' at '2)'",
    "1. f([1 2])": "in '1. f([1 2])': expected ',' at '2])'",
    "1. f([1,])": "in '1. f([1,])': expected a JSON value or $n at '])'",
    "1. f({a: 1})": "in '1. f({a: 1})': expected a quoted field name at 'a: 1})'",
    '1. f({"a" 1})': "in '1. f({\"a\" 1})': expected ':' at '1})'",
    "1. f() now": "in '1. f() now': nothing may follow the closing bracket, got 'now'",
    "1. f(x=1, 2)": "in '1. f(x=1, 2)': an argument without a name follows one with a name",
    "1. f(x=1, x=2)": "in '1. f(x=1, x=2)': argument 'x' is given twice",
    '1. f("a" + 1)': "in '1. f(\"a\" + 1)': only texts and results ($n) can be joined with +",
    "1. f([1] + $1)": "in '1. f([1] + $1)': only texts and results ($n) can be joined with +",
    '1. f(["a" + $1])': "in '1. f([\"a\" + $1])': expected ',' at '+ $1])'",
    "1. f(01)": "in '1. f(01)': 01 is not a JSON value",
    "1. f(1e999)": "in '1. f(1e999)': 1e999 is too large a number",
    "1. f(-1e999)": "in '1. f(-1e999)': -1e999 is too large a number",
    "1. f(NaN)": "in '1. f(NaN)': expected a JSON value or $n at 'NaN)'",
    r'1. f("\x")': r"""in '1. f("\\x")': "\x" is not a JSON value""",
    r'1. f("\ud800")': r"""in '1. f("\\ud800")': "\ud800" is not a JSON value""",
    '1. f("a': "in '1. f(\"a': expected a JSON value or $n at '\"a'",
    "1. f($0)": "in '1. f($0)': expected a JSON value or $n at '$0)'",
    '1. f("a" + $0)': "in '1. f(\"a\" + $0)': expected a JSON value or $n at '$0)'",
    "1. f($)": "in '1. f($)': expected a JSON value or $n at '$)'",
    "1. f($١)": "in '1. f($١)': expected a JSON value or $n at '$١)'",
    "1. f($1x)": "in '1. f($1x)': expected ',' at 'x)'",
}


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_told_what_is_wrong(line):
    assert parse_line(line) == Malformed(MALFORMED[line])


def test_values_may_be_nested_sixteen_deep():
    assert isinstance(parse_line(f"1. f({'[' * 16}{']' * 16})"), CallLine)
    assert parse_line(f"1. f({'[' * 17}1{']' * 17})").why.endswith("values are nested deeper than 16")
    assert parse_line("1. f(" + "[" * 100_000).why.endswith("values are nested deeper than 16")


def test_a_number_longer_than_python_reads_is_malformed():
    assert parse_line(f"1. f({'9' * 5000})").why.endswith("9999999999 is not a JSON value")
    assert parse_line("1. f(100000000000000000000)") == CallLine(1, "f", (10**20,), {})


def test_half_a_surrogate_pair_cannot_become_an_argument():
    assert isinstance(parse_line('1. f("\ud800")'), Malformed)
    assert parse_line(r'1. f("\ud83d\udc4d")') == CallLine(1, "f", ("👍",), {})


# --- references


def test_references_and_what_they_become():
    value = {"a": [Ref(1), "$2"], "b": Join(("to ", Ref(3), "/", Ref(4)))}
    assert sorted(refs(value)) == [1, 3, 4]
    assert resolve(value, {1: {"n": 1}, 3: "Bob", 4: [1, "é"]}) == {"a": [{"n": 1}, "$2"], "b": 'to Bob/[1, "é"]'}
    assert as_text("a") == "a" and as_text(None) == "null"


def test_what_is_resolved_shares_nothing_that_a_tool_could_change():
    args = {"to": ["a", {"b": [1]}]}
    resolve(args, {})["to"][1]["b"].append(2)
    assert args == {"to": ["a", {"b": [1]}]}


@settings(max_examples=60, deadline=None)
@given(nested(scalars))
def test_a_value_without_references_is_written_as_json(value):
    assert json.loads(write_value(value)) == value
