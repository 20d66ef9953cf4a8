"""The markup: a line and its row are the same task, and every mistake of form is one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_gen import markup
from data_gen.marking.reading import parse
from data_gen.marking.writing import render
from data_gen.task import BadTask, Reference, Task
from data_gen.tasks import corpus, jsonl, written
from data_gen.tasks.own_tools import Tools, tools_of
from data_gen.tasks.rows import task_of_row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/markup.md"
ASSISTANT = tools_of("assistant")
LINE = r"a | {1,2:text} {1.name:Bob}, no, {1.name:Alice} that {2.message:lunch is ready} | get_phone_number; send_sms(recipients=[$1])"
ROW = {
    "id": "a",
    "request": "text Bob, no, Alice that lunch is ready",
    "calls": [
        {"name": "get_phone_number", "args": {"name": ["Alice"]}},
        {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["lunch is ready"]}},
    ],
    "spans": [
        {"tool": "text", "args": {"name": [{"words": "Bob", "value": "Bob"}, "Alice"]}},
        {"tool": "text", "args": {"message": "lunch is ready"}},
    ],
}


def marked_rows() -> Iterator[tuple[dict, Tools]]:
    """Every marked row of the repository that is used."""
    for line in written.REQUESTS.read_text(encoding="utf-8").splitlines():
        yield json.loads(line), ASSISTANT
    for name in (corpus.ASSISTANT, *corpus.domains()):
        for split in ("train", "validation", "test"):
            for row in corpus.found(name, split).rows:
                if "spans" in row.fields:
                    yield row.fields, row.tools


def meaning(task: Task) -> tuple:
    # of words that end together, it does not matter which is taken in first
    edits = sorted(task.reading.edits, key=lambda edit: (edit.end, edit.op == "put", edit.clause, edit.slot))
    return task.id, task.words, task.gold, edits, task.now, task.tags, task.answer, task.split


def test_a_line_is_its_row():
    assert parse(LINE) == ROW
    assert render(ROW) == LINE.replace("[$1]", '["$1"]')


def test_every_marked_row_comes_back_from_its_line():
    seen = 0
    for row, tools in marked_rows():
        line = render(row)
        back = parse(line)
        assert meaning(task_of_row(back, tools)) == meaning(task_of_row(row, tools)), line
        assert render(back) == line
        seen += 1
    assert seen >= 120


def test_the_examples_of_the_page_are_read_from_it():
    loaded = jsonl.load(str(PAGE), "assistant")
    assert loaded.rejected == [] and [task.id for task in loaded.tasks] == [f"mk-{n:02}" for n in range(1, 14)]
    assert all(task.reading is not None for task in loaded.tasks)
    asked = {
        task.id: [(call.name, {param: arg.values[0] for param, arg in call.args.items()}) for call in task.gold]
        for task in loaded.tasks
    }
    assert asked["mk-03"] == [
        ("get_phone_number", {"name": "Alice"}),
        ("send_sms", {"recipients": [Reference(1)], "message": "dinner is ready"}),
    ]
    assert asked["mk-05"] == [("create_note", {"name": "Shopping", "content": "milk and eggs", "folder": "Home"})]
    assert asked["mk-07"] == [("create_reminder", {"name": "call Sam"})]
    assert asked["mk-08"] == [("reply_to_email", {"context": "I agree"})]
    assert loaded.tasks[3].now == "2026-03-03 10:00:00" and loaded.tasks[9].tags == ("filler", "addition")


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        (r"a | {1:show} \{{1.location:Rome}\} \| now | maps_open_location", "show {Rome} | now"),
        (r"a | {1:show}   {1.location:Rome} | maps_open_location", "show Rome"),
        (r"""a | {1:show} "{1.location:Rome}" | maps_open_location""", 'show "Rome"'),
    ],
)
def test_characters_of_the_markup_can_be_said(line, request_):
    row = parse(line)
    assert row["request"] == request_ and row["calls"] == [
        {"name": "maps_open_location", "args": {"location": ["Rome"]}}
    ]
    assert parse(render(row)) == row


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ('"a, b"/"c|d"', ["a, b", "c|d"]),
        ("12", [12]),
        ('"12"', ["12"]),
        ("milk and eggs / milk", ["milk and eggs", "milk"]),
        ('[$1, "$2"]', [["$1", "$2"]]),
        ('{"street": "Elm (east)", "n": [1]}', [{"street": "Elm (east)", "n": [1]}]),
        ('"say \\"hi\\""', ['say "hi"']),
        ("true", [True]),
        ('""', [""]),
        ("$1", ["$1"]),
    ],
)
def test_values(given, values):
    row = parse(f"a | {{1:go}} | tool(x={given}, y=1)")
    assert row["calls"][0]["args"] == {"x": values, "y": [1]}
    assert parse(render(row)) == row


def test_quotations_are_numbered_and_values_are_without_punctuation():
    row = parse("a | {1:show} {1.location:Rome, Rome}, not {1.location:Rome}! | maps_open_location")
    assert row["spans"] == [
        {"tool": "show", "args": {"location": [{"words": "Rome, Rome", "value": "Rome, Rome"}, "Rome#3"]}}
    ]
    assert row["calls"][0]["args"] == {"location": ["Rome"]}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x | text Bob", "has 2 parts; write ID | request | calls"),
        (" | {1:go} | tool", "has no id before the first |"),
        (
            "x | {1,2:text} {1.name:Alice that | get_phone_number; send_sms(recipients=[$1])",
            "the mark before 'Alice that' never ends; write } behind",
        ),
        ("x | {1:text} Bob} | get_phone_number", r"a mark ends after 'text Bob' that never began; \} is the character"),
        ("x | {1:text}^ Bob | get_phone_number", "}^ after 'text' ends a mark 1 further out, but 1 are open"),
        ("x | {name:Bob} | get_phone_number", "'{name:Bob}' begins no mark; write {1:words}"),
        ("x | {1 name:Bob} | get_phone_number", "'name:Bob}' in a mark: after a head comes a comma"),
        ("x | {1:} text | get_phone_number", "mark 1 holds no word: ''"),
        ("x | {1.name:...} {1:text} | get_phone_number", "mark 1.name holds no word: '...'"),
        ("x | {1:text} {1.name=:Bob} | get_phone_number", "a value is missing before ':Bob}'"),
        (
            'x | {1:text} {1.name="Bob:Bob} | get_phone_number',
            """'"Bob:Bob}' never ends; close its quotes and brackets""",
        ),
        ("x | {1:text} {1.name=[Bob]:Bob} | get_phone_number", "'[Bob]' is no JSON: "),
        ("x | {1:text} {3.name:Bob} | get_phone_number; send_sms(message=a)", "mark 3.name: there are 2 calls"),
        ("x | {1:text} {1:Bob} | get_phone_number", "mark 1 is there twice; a call has one"),
        ("x | {1:text} {!1:Bob} | get_phone_number", "mark !1: call 1 is gold's; write ! before its name"),
        (
            "x | {1:text} {1.name:Bob} | get_phone_number; send_sms(message=a)",
            "call 2 has no mark {2:words} that says it",
        ),
        (
            "x | {1,2:text} {1.name:Bob} | get_phone_number; !send_sms",
            "call 2 has no mark {!2:words} that says until when",
        ),
        ("x | {1:text} Bob | get_phone_number(name)", "call 1: name has no value and no mark {1.name:words}"),
        (
            "x | {1:text} {1.name=*:Bob} | get_phone_number",
            "mark 1.name is the last of its argument, so * says nothing",
        ),
        (
            "x | {1:text} Bob | !get_phone_number; send_sms(message=a)",
            "gold call send_sms comes after !get_phone_number",
        ),
        ("x | {1:text} Bob | !get_phone_number", "asks for no call"),
        ("x | text Bob | send_sms(message=a); !get_phone_number", "takes back get_phone_number, but marks nothing"),
        ("x | {1:text} Bob | send_sms(message=a", "'' in the arguments of send_sms; write , or ) after message"),
        (
            "x | {1:text} Bob | send_sms(message=a, message=b)",
            "send_sms: message is given twice; several accepted values are separated by /",
        ),
        ("x | {1:text} Bob | send_sms get", "'get' after call send_sms; write ; between calls"),
        ("x | {1:text} Bob | send_sms; ", "'' is no call; write name(argument=value)"),
        (
            "x | {1:text} Bob | send_sms(message=a) | when=now",
            "'when=now' is no field, or is there twice; use now, tags, split, answer, hear_out",
        ),
        ("x | text Bob | send_sms(message=a) | hear_out=yes", "write hear_out without a value"),
        ("x | text Bob | send_sms(message=a) | now", "write now=…"),
    ],
)
def test_every_mistake_of_form_is_one_sentence(line, why):
    with pytest.raises(BadTask) as caught:
        parse(line)
    assert why in str(caught.value) and "\n" not in str(caught.value)


def test_the_page_shows_mistakes_as_they_are_printed():
    page = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^    line 1 \(x\): (.*)$", page, re.M)
    made = set()
    for line, _ in test_every_mistake_of_form_is_one_sentence.pytestmark[0].args[1]:
        with pytest.raises(BadTask) as caught:
            parse(line)
        made.add(str(caught.value))
    assert len(shown) == 5 and set(shown) <= made


def test_what_has_no_line_is_said():
    with pytest.raises(BadTask, match="a: field 'words' has no place in a line"):
        render(ROW | {"words": []})


def test_marks_may_overlap():
    row = {
        "id": "a",
        "request": "go there now then ^ stop",
        "calls": [{"name": "t", "args": {"x": ["there now"], "y": ["now then"]}}],
        "spans": [{"tool": "go there", "args": {"x": "there now", "y": "now then"}}],
    }
    line = r"a | {1:go {1.x:there}^ {1.y:now}^ then} \^ stop | t"
    assert render(row) == line and parse(line) == row


def test_a_file_of_lines_is_a_requests_file(tmp_path):
    path = tmp_path / "requests.txt"
    path.write_text(f"# two lines\n\n{LINE}\nb | {{1:text}} {{1.name:Zed | get_phone_number\n", encoding="utf-8")
    loaded = jsonl.load(str(path), "assistant")
    assert [meaning(task) for task in loaded.tasks] == [meaning(task_of_row(ROW, ASSISTANT))]
    assert loaded.rejected == [("line 4", "the mark before 'Zed' never ends; write } behind its words")]


def test_rows_are_written_as_lines(tmp_path, capsys):
    from configs.schema import Config

    rows, out = tmp_path / "rows.jsonl", tmp_path / "rows.md"
    rows.write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW | {'tools': []})}\n", encoding="utf-8")
    markup.main(Config(requests=str(rows), out=str(out)))
    assert capsys.readouterr().out == f"line 2: a: field 'tools' has no place in a line\n1 lines, 1 left out: {out}\n"
    assert [task.id for task in jsonl.load(str(out), "assistant").tasks] == ["a"]


def test_a_file_of_which_nothing_is_a_request_is_refused(tmp_path):
    from configs.schema import Config
    from midsentence.ending import UserError

    rows, out = tmp_path / "tools.json", tmp_path / "rows.txt"
    rows.write_text("[\n{}\n]\n")
    with pytest.raises(UserError, match="tools.json has no row that a line can say, of 3; see above"):
        markup.main(Config(requests=str(rows), out=str(out)))
    assert not out.exists()
