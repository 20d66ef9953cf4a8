"""Files that people give: byte-order marks, and separators of lines that JSON may hold as they are."""

from __future__ import annotations

import json

import pytest

from data_gen import markup
from data_gen.files import lines_of, text_of
from data_gen.tasks import hotpotqa, jsonl
from tests.data_gen.tasks.test_hotpotqa import ROWS as QUESTIONS
from tests.data_gen.tasks.test_jsonl import ROW, TOOLS

ODD = "\u2028\u2029\x85"
"""Line separator, paragraph separator, next line: `str.splitlines` cuts at each."""
TAGGED = ROW | {"tags": [f"a{ODD}b"]}
"""A row with text in which they stand."""


def test_lines_end_in_a_line_feed_alone(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(f"\ufeffa{ODD}b\r\n\x0b\x1c\n\nc\n".encode())
    assert lines_of(text_of(path)) == [f"a{ODD}b", "\x0b\x1c", "", "c"]
    assert lines_of("") == [] and lines_of("a") == ["a"]


def test_separators_within_json_split_no_row(tmp_path):
    path, tools = tmp_path / "requests.jsonl", tmp_path / "tools.json"
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (TAGGED, ROW | {"id": "b"})), encoding="utf-8"
    )
    tools.write_text(json.dumps(TOOLS))
    loaded = jsonl.load(str(path), str(tools))
    assert loaded.rejected == [] and [task.tags for task in loaded.tasks] == [(f"a{ODD}b",), ()]


def test_a_byte_order_mark_stands_at_the_head_of_any_file(tmp_path):
    path, tools = tmp_path / "requests.jsonl", tmp_path / "tools.json"
    path.write_text(json.dumps(ROW) + "\n", encoding="utf-8-sig")
    tools.write_text(json.dumps(TOOLS), encoding="utf-8-sig")
    loaded = jsonl.load(str(path), str(tools))
    assert loaded.rejected == [] and [task.id for task in loaded.tasks] == ["a"]
    lines = tmp_path / "requests.txt"
    lines.write_text("x | {1:show} {1.location:Rome} | maps_open_location\n", encoding="utf-8-sig")
    assert [task.id for task in jsonl.load(str(lines), "assistant").tasks] == ["x"]


def test_a_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps(ROW), encoding="utf-16")
    with pytest.raises(ValueError, match=r"requests\.jsonl is no text in UTF-8 .*; save it as UTF-8"):
        jsonl.load(str(path), "assistant")


def test_a_line_of_markup_may_hold_them():
    (row,) = [
        row for _, row in markup.rows(f"x | {{1:show}} {{1.location:Rome}}{ODD}please | maps_open_location\n", ".txt")
    ]
    assert row["request"].split() == ["show", "Rome", "please"]


def test_questions_may_hold_them_and_begin_with_a_mark(tmp_path):
    path = tmp_path / "questions.jsonl"
    lines = [
        {"id": row["_id"], "question": row["question"], "answer": row["answer"] + ODD, "type": row["type"]}
        for row in QUESTIONS[:2]
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8-sig")
    assert [question.answer for question in hotpotqa.questions(str(path))] == [
        row["answer"] + ODD for row in QUESTIONS[:2]
    ]
