"""The parser: any split of a text gives the same items; references, strings and joins; what each malformed line is
told."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midsentence.core.lines import (
    AmendLine,
    CallLine,
    CommitLine,
    Malformed,
    RemoveLine,
    parse_line,
    write_amend,
    write_call,
    write_commit,
)
from midsentence.core.parser import ActionEnded, AnswerOpened, Parser, feed
from midsentence.core.protocol import ENVIRONMENT_TAGS, TAGS
from midsentence.core.values import Join, NoSuchPart, Ref, as_text, joined, refs, resolve, write_value


def parse(text: str, cuts: list[int] = ()) -> tuple[Parser, tuple]:
    """The parser's state and items after ``text``, cut into pieces at ``cuts``."""
    parser, items = Parser(), ()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for begin, end in pairwise(edges):
        parser, more = feed(parser, text[begin:end])
        items += more
    return parser, items


# --- texts: from the grammar, and garbage

texts = st.text(max_size=8) | st.sampled_from(
    ["$1", "</tool_call>", '"', "\\", "a, b)", "<think>", "<", "naïve 👍", "\n"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
steps = st.integers(0, 10**9 - 1) | st.sampled_from(["email", "first-name", "_x", "$1", "a b", "]", "", "0"]) | texts
operands = st.builds(Ref, st.integers(1, 99), st.lists(steps, max_size=3).map(tuple))
joins = (
    st.lists(texts | operands, min_size=2, max_size=4)
    .filter(lambda parts: any(isinstance(p, Ref) for p in parts))
    .map(tuple)
    .map(Join)
)


def nested(leaves):
    return st.recursive(
        leaves, lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3), max_leaves=6
    )


values = nested(scalars | operands)
arguments = values | joins
names = st.sampled_from(
    ["look", "send_sms", "a.b", "_x1", "send-sms", "2fa", "1.5", "files/read", ".x", "-", "COMMIT", "REMOVE"]
)
parameters = st.sampled_from(["to", "text", "x_1", "max-results", "2x", "a.b", "true"])
keywords = st.dictionaries(parameters, arguments, max_size=2)
ids = st.integers(0, 10**9 - 1)
calls = st.builds(write_call, st.integers(0, 999), names, st.lists(arguments, max_size=3).map(tuple), keywords)
sets = st.builds(write_amend, ids, parameters, arguments)
adds = st.builds(write_amend, ids, parameters, texts | operands | joins, st.just(True))
lines = calls | sets | adds | st.lists(ids, max_size=3).map(write_commit) | st.just("REMOVE 2")
free = st.text(alphabet='ab <>/$"\n', max_size=8).filter(lambda text: not any(tag in text for tag in TAGS))
blocks = st.lists(lines, min_size=1, max_size=3).map(lambda some: "<tool_call>\n" + "\n".join(some) + "\n</tool_call>")
endings = blocks | st.just("<pause>") | free.map(lambda text: f"<answer>{text}</answer>")
actions = st.builds(
    lambda thought, end: (f"<think>{thought}</think>" if thought is not None else "") + end, st.none() | free, endings
)
pieces = st.sampled_from(
    [*TAGS, "1. look(", '"', "\\", ")", "\n", "REMOVE 1", "$1", "[", ", ", " + ", " ", "a"]
) | st.sampled_from(["COMMIT", "1. x += ", "=", ".a"])
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
    assert {key: normal(value) for key, value in line.keyword.items()} == {
        key: normal(value) for key, value in keyword.items()
    }


@settings(max_examples=120, deadline=None)
@given(ids, parameters, arguments, st.booleans())
def test_an_amendment_that_is_written_is_read_back(id, name, value, append):
    line = parse_line(write_amend(id, name, value, append))
    if append and not isinstance(value, str | Ref | Join):
        assert isinstance(line, Malformed)
    else:
        assert (line.id, line.name, write_value(line.value), line.append) == (id, name, write_value(value), append)


@settings(max_examples=60, deadline=None)
@given(st.lists(ids, max_size=4).map(tuple))
def test_a_commit_that_is_written_is_read_back(some):
    assert parse_line(write_commit(some)) == CommitLine(some)


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
    assert parse("<tool_call>\n\n  1. look()  \n</tool_call>")[1] == (
        CallLine(1, "look", (), {}),
        ActionEnded("tool_call", lines=1),
    )


def test_each_kind_of_line_is_an_item_as_soon_as_its_newline_is_there():
    parser, items = parse(
        '<tool_call>\n1. send-sms($1.phone)\n1. text = "on my way"\n1. text += " now"\nCOMMIT 1, 2\nCOMMIT'
    )
    assert items == (
        CallLine(1, "send-sms", (Ref(1, ("phone",)),), {}),
        AmendLine(1, "text", "on my way", False),
        AmendLine(1, "text", " now", True),
        CommitLine((1, 2)),
    )
    assert feed(parser, "</tool_call>")[1] == (CommitLine(()), ActionEnded("tool_call", lines=5))


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("2. send-sms(1)", CallLine(2, "send-sms", (1,), {})),
        ("2. 2fa/verify.v1(1)", CallLine(2, "2fa/verify.v1", (1,), {})),
        ("2.3(1)", CallLine(2, "3", (1,), {})),
        ("2. f(max-results=1)", CallLine(2, "f", (), {"max-results": 1})),
        ("2. max-results = 1", AmendLine(2, "max-results", 1, False)),
        ("2. send-sms = (1)", Malformed("in '2. send-sms = (1)': expected a JSON value or $n at '(1)'")),
        ("2.x=1", AmendLine(2, "x", 1, False)),
        ("2. 3 = 4", AmendLine(2, "3", 4, False)),
        ('2. to = [$1.email, "a"]', AmendLine(2, "to", [Ref(1, ("email",)), "a"], False)),
        ("2. text += $1.name", AmendLine(2, "text", Ref(1, ("name",)), True)),
        ('2. text += " " + $1', AmendLine(2, "text", Join((" ", Ref(1))), True)),
        ("COMMIT", CommitLine(())),
        (" COMMIT  3 , 1 ", CommitLine((3, 1))),
    ],
)
def test_lines_are_told_apart(line, item):
    assert parse_line(line) == item


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
    [
        ("<think>a", "think"),
        ("<tool_call>1", "tool_call"),
        ("<answer>a", "answer"),
        ("<think>a</think>", None),
        ("", None),
        ("<think><think>", "think"),
        ("<tool_call>\nx\n", "tool_call"),
        ("<tool_call>\nx</tool_call>", None),
        ("<pause>", None),
    ],
)
def test_the_tag_that_a_cut_must_close(text, tag):
    assert parse(text)[0].open_tag == tag


# --- values


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ('"a, b) $1"', "a, b) $1"),
        (r'"\u00e9 \"q\" \\ \n"', 'é "q" \\ \n'),
        ("-1.5e3", -1500.0),
        ("12", 12),
        ("true", True),
        ("null", None),
        ("$1.email", Ref(1, ("email",))),
        ("$2[0].id", Ref(2, (0, "id"))),
        ('$1["first name"][10]', Ref(1, ("first name", 10))),
        ('"$1.email"', "$1.email"),
        ('"to " + $1.a + $2[0]', Join(("to ", Ref(1, ("a",)), Ref(2, (0,))))),
        ("[$1[0], [1]]", [Ref(1, (0,)), [1]]),
        ("$3", Ref(3)),
        ("[$1, [$2], 1]", [Ref(1), [Ref(2)], 1]),
        ('{"a": $1, "$2": "$2"}', {"a": Ref(1), "$2": "$2"}),
        ('"to " + $1', Join(("to ", Ref(1)))),
        ('$1+"."+$2', Join((Ref(1), ".", Ref(2)))),
        ('"a" + "b"', "ab"),
        ("[]", []),
        ("{ }", {}),
    ],
)
def test_values(argument, value):
    assert parse_line(f"1. f({argument})") == CallLine(1, "f", (value,), {})
    assert parse_line(f"1. f(x = {argument})") == CallLine(1, "f", (), {"x": value})


UNKNOWN_LINE = (
    'expected a call such as 1. tool("value"), a change such as 1. text = "value", REMOVE 1, or COMMIT 1, got '
)
MALFORMED = {
    "look": UNKNOWN_LINE + "'look'",
    "1 look()": UNKNOWN_LINE + "'1 look()'",
    "1234567890. look()": UNKNOWN_LINE + "'1234567890. look()'",
    "١. look()": UNKNOWN_LINE + "'١. look()'",
    "REMOVE $1": UNKNOWN_LINE + "'REMOVE $1'",
    "COMMIT 1 2": UNKNOWN_LINE + "'COMMIT 1 2'",
    "COMMIT $1": UNKNOWN_LINE + "'COMMIT $1'",
    "COMMIT 1,": UNKNOWN_LINE + "'COMMIT 1,'",
    "1. x == 2": UNKNOWN_LINE + "'1. x == 2'",
    "1. x -= 2": UNKNOWN_LINE + "'1. x -= 2'",
    "1. x =": "in '1. x =': expected a JSON value or $n at ''",
    "1. x = 2 3": "in '1. x = 2 3': nothing may follow the value, got '3'",
    "1. x += 2": "in '1. x += 2': only a text or a result ($n) can be added with +=",
    '1. x += ["a"]': "in '1. x += [\"a\"]': only a text or a result ($n) can be added with +=",
    "1. f($1.)": "in '1. f($1.)': expected ',' at '.)'",
    "1. f($1[-1])": "in '1. f($1[-1])': expected ',' at '[-1])'",
    "1. f($1[01])": "in '1. f($1[01])': expected ',' at '[01])'",
    "1. f($1 [0])": "in '1. f($1 [0])': expected ',' at '[0])'",
    r'1. f($1["\x"])': r"""in '1. f($1["\\x"])': "\x" is not a JSON value""",
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


def test_a_part_of_a_result():
    results = {1: {"email": "a@b.c", "first name": {"x": None}}, 2: [{"id": 7}, "b"]}
    value = [Ref(1, ("email",)), Ref(2, (0, "id")), Ref(1, ("first name", "x")), Join(("no. ", Ref(2, (0, "id"))))]
    assert list(refs(value)) == [1, 2, 1, 2]
    assert resolve(value, results) == ["a@b.c", 7, None, "no. 7"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (("mail",), 'there is no $1.mail: $1 is an object with "email", "ids", "none"'),
        ((0,), 'there is no $1[0]: $1 is an object with "email", "ids", "none"'),
        (("ids", 2, "x"), "there is no $1.ids[2]: $1.ids is a list of 2"),
        (("ids", "first id"), 'there is no $1.ids["first id"]: $1.ids is a list of 2'),
        (("email", 0), "there is no $1.email[0]: $1.email is a text"),
        (("ids", 0, "x"), "there is no $1.ids[0].x: $1.ids[0] is a number"),
        (("none", "x"), "there is no $1.none.x: $1.none is null"),
    ],
)
def test_a_part_that_is_not_there_is_told_with_what_is(path, why):
    with pytest.raises(NoSuchPart) as missing:
        resolve([Join(("a", Ref(1, path)))], {1: {"email": "a", "ids": [1, 2], "none": None}})
    assert str(missing.value) == why and isinstance(missing.value, KeyError)


def test_a_large_object_is_named_in_part():
    with pytest.raises(NoSuchPart, match=r'"f0", .*"f11" and 988 more$'):
        resolve(Ref(1, ("x",)), {1: {f"f{n}": n for n in range(1000)}})


def test_what_is_resolved_shares_nothing_that_a_tool_could_change():
    args = {"to": ["a", {"b": [1]}]}
    resolve(args, {})["to"][1]["b"].append(2)
    assert args == {"to": ["a", {"b": [1]}]}


@settings(max_examples=60, deadline=None)
@given(nested(scalars))
def test_a_value_without_references_is_written_as_json(value):
    assert json.loads(write_value(value)) == value


def test_a_list_is_written_as_its_items_are():
    texts = ["a < b", "<pause>", "</tool_call>", "x <y>"]
    assert write_value(texts) == f"[{', '.join(map(write_value, texts))}]" == write_value([*texts, Ref(1)])[:-5] + "]"


def test_an_empty_text_added_to_a_text_changes_nothing():
    whole = Join(("to ", Ref(1)))
    assert joined((whole, "")) == whole and joined(("", whole)) == whole
    assert joined(("", "")) == "" and joined((Ref(1), "")) == joined(("", Ref(1))) == Join((Ref(1), ""))
