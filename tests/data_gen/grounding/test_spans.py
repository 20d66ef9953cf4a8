"""Rows that say which of their words mean what: how they are read, word by word, and what is refused."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from data_gen.grounding.reading import reading_of
from data_gen.grounding.spans import marked
from data_gen.task import BadTask, GoldArg
from data_gen.tasks import jsonl, written
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row
from data_gen.tasks.twins import twin

TEXT = {
    "id": "t",
    "request": "text Marco, no sorry, Marcus, that um the van won't start",
    "calls": [
        {"name": "get_phone_number", "args": {"name": ["Marcus"]}},
        {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["The van won't start"]}},
    ],
    "spans": [
        {"tool": "text", "args": {"name": [{"words": "Marco", "value": "Marco"}, "Marcus"]}},
        {"tool": "text", "args": {"message": "the van won't start"}},
    ],
}
BACK = {
    "id": "b",
    "request": "text Sam, no don't text him, remind me to call Sam",
    "calls": [{"name": "create_reminder", "args": {"name": ["Call Sam"]}}],
    "spans": [
        {"tool": "remind me", "args": {"name": "call Sam"}},
        {
            "name": "get_phone_number",
            "tool": "text#1",
            "args": {"name": {"words": "Sam#1", "value": "Sam"}},
            "until": "don't text him",
        },
        {"name": "send_sms", "tool": "text#1", "args": {"recipients": {"value": ["$2"]}}, "until": "don't text him"},
    ],
}


def task(row, **changes):
    return task_of_row({**row, **changes}, tools_of("assistant"))


def shown(value) -> str:
    """A value with references as rows have them."""
    return str([str(item) for item in value]) if isinstance(value, list) else str(value)


def wanted(row_task, heard: int, final: bool = False) -> list[str]:
    return [
        f"{call.spec.name}({', '.join(map(shown, call.args.values()))}){'' if call.complete else '…'}"
        for call in reading_of(row_task).wanted([word.text for word in row_task.words[:heard]], final)
    ]


def test_a_corrected_value_is_what_was_said_until_the_correction():
    made = task(TEXT)
    assert wanted(made, 1) == ["get_phone_number()…", "send_sms()…"]
    assert wanted(made, 2) == ["get_phone_number()…", "send_sms()…"]  # Marco may yet be Marco Polo
    assert wanted(made, 3) == ["get_phone_number(Marco)", "send_sms(['$1'])…"]
    assert wanted(made, 5) == wanted(made, 3)
    assert wanted(made, 6) == ["get_phone_number(Marcus)", "send_sms(['$1'])…"]
    assert wanted(made, 11, final=True) == ["get_phone_number(Marcus)", "send_sms(['$1'], The van won't start)"]
    assert made.gold[0].arg_evidence["name"].start == 4


def test_a_call_that_was_taken_back_is_wanted_until_then():
    made = task(BACK)
    assert wanted(made, 3) == ["get_phone_number(Sam)", "send_sms(['$1'])…"]
    assert wanted(made, 6) == []
    assert wanted(made, 11, final=True) == ["create_reminder(Call Sam)"]
    assert made.toolbox().run("get_phone_number", {"name": "Sam"}).startswith("+1")  # whom gold does not name


def test_how_many_are_asked_for_is_known_when_they_are_named():
    found = next(one for one in written.tasks("test") if one.id == "hand-117")
    at = [word.text for word in found.words].index("email") + 1
    assert sum("get_email_address" in call for call in wanted(found, at)) == 1
    # whether "Yan and" goes on as one value no listener knows before the next word
    sent = [
        "compose_new_email(['$1'], ['guest list'])" in [re.sub(r"\$\d", "$1", c) for c in wanted(found, at + n)]
        for n in (4, 5)
    ]
    assert sent == [False, True]


def test_a_prefix_means_the_same_whatever_follows():
    """Marked requests, each gone on with as another: the same calls are wanted until they part."""
    tasks = [one for one in written.tasks("test")]
    for a, b in pairwise(tasks):
        cut = len(a.words) // 2
        double = twin(a, b, cut)
        for heard in range(cut + 1):
            assert wanted(double, heard) == wanted(a, heard), a.request


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([{"tool": "text"}], "an entry for each of the 2 calls"),
        ([{"tool": "call"}, TEXT["spans"][1]], r"spans 1 \(get_phone_number\): tool: 'call' is not said"),
        (
            [{"tool": "text", "args": {"name": "Marco"}}, TEXT["spans"][1]],
            "name: 'Marco,' does not say \"Marcus\"; if it means it, give words",
        ),
        (
            [{"tool": "text", "args": {"name": {"words": "Marco", "value": "Marco"}}}, TEXT["spans"][1]],
            'name is "Marco" in the end; gold has "Marcus"',
        ),
        ([{"tool": "text"}, TEXT["spans"][1]], 'no words are marked that say name, "Marcus"'),
        (
            [TEXT["spans"][0], {"tool": "text", "args": {"text": "the van"}}],
            "it has no parameter 'text'; use recipients, message",
        ),
        ([*TEXT["spans"], {"name": "open_note", "tool": "van"}], 'the words "until" which it was wanted'),
        (
            [*TEXT["spans"], {"name": "open_note", "tool": "van", "until": "text"}],
            r"spans 3 \(open_note\) is still wanted in the end",
        ),
        (
            [TEXT["spans"][0], {"tool": "text#2", "args": {"message": "the van won't start"}}],
            "is said 1 times, so there is no 'text#2'",
        ),
    ],
)
def test_marks_that_do_not_fit_are_refused_by_name(spans, why):
    with pytest.raises(BadTask, match=why):
        task(TEXT, spans=spans)


def test_words_that_are_said_twice_need_a_number():
    words = "text Sam that Sam called".split()
    specs = {spec.name: spec for spec in tools_of("assistant").specs}
    calls = [("get_phone_number", {"name": GoldArg(("Sam",))})]
    with pytest.raises(BadTask, match="'Sam' is said 2 times; write Sam#1 to Sam#2"):
        marked(words, calls, [{"tool": "text", "args": {"name": "Sam"}}], specs)
    assert (
        marked(words, calls, [{"tool": "text", "args": {"name": "Sam#2"}}], specs).gold[0].arg_evidence["name"].start
        == 3
    )


def test_a_row_at_fault_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        json.dumps(TEXT | {"hear_out": True})
        + "\n"
        + json.dumps(TEXT | {"id": "u", "spans": [{"tool": "txt"}] * 2})
        + "\n"
    )
    loaded = jsonl.load(str(path), "assistant")
    assert [name for name, _ in loaded.rejected] == ["line 1 (t)", "line 2 (u)"]
    assert "both spans and hear_out" in loaded.rejected[0][1] and "'txt' is not said" in loaded.rejected[1][1]


def test_a_choice_is_not_dictated():
    seats = {
        "type": "function",
        "function": {
            "name": "book",
            "parameters": {
                "type": "object",
                "properties": {"seating": {"type": "string", "enum": ["window", "bar"]}, "note": {"type": "string"}},
            },
        },
    }
    row = {
        "id": "e",
        "request": "book a window table and note window table please",
        "tools": [seats],
        "calls": [{"name": "book", "args": {"seating": ["window"], "note": ["window table"]}}],
        "spans": [{"tool": "book", "args": {"seating": "window table#1", "note": "window table#2"}}],
    }
    edits = {edit.slot: edit for edit in task_of_row(row, None).reading.edits}
    assert not edits["seating"].spoken and edits["note"].spoken


def test_how_many_calls_there_will_be_is_not_known_from_what_they_share():
    lights = {
        "type": "function",
        "function": {
            "name": "set_lights",
            "parameters": {
                "type": "object",
                "properties": {"room": {"type": "string"}, "state": {"type": "string"}},
                "required": ["room", "state"],
            },
        },
    }
    rooms = ("kitchen", "hall", "attic")
    row = {
        "id": "l",
        "request": "lights off in the kitchen and the hall please and the attic too",
        "tools": [lights],
        "calls": [{"name": "set_lights", "args": {"room": [room], "state": ["off"]}} for room in rooms],
        "spans": [{"tool": "lights off", "args": {"room": room, "state": "off"}} for room in rooms],
    }
    made = task_of_row(row, None)
    assert wanted(made, 5) == ["set_lights(off)…"]
    assert wanted(made, 8) == ["set_lights(kitchen, off)"]
    assert wanted(made, 13, final=True) == [f"set_lights({room}, off)" for room in rooms]


def test_a_passing_value_that_gold_accepts_too_knows_nothing_of_the_longer_one():
    """hand-092: "Happy birthday", then "Happy birthday Dad"; both are right in the end."""
    row = {
        "id": "t",
        "request": "text Ann happy birthday and well happy birthday love",
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Ann"]}},
            {
                "name": "send_sms",
                "args": {"recipients": [["$1"]], "message": ["happy birthday love", "happy birthday"]},
            },
        ],
        "spans": [
            {"tool": "text", "args": {"name": "Ann"}},
            {
                "tool": "text",
                "args": {"message": [{"words": "happy birthday#1", "value": "happy birthday"}, "happy birthday love"]},
            },
        ],
    }
    task = task_of_row(row, tools_of("assistant"))
    said = [
        reading_of(task).wanted(task.said(count), count == len(task.words))[-1].args.get("message")
        for count in (6, len(task.words))
    ]
    assert said == ["happy birthday", "happy birthday love"]


def test_a_request_may_really_end_on_a_word_that_hangs_where_nothing_is_said_by_it():
    """shopping-0005 ended on "where's it got to": what follows from a tool is known with the tool."""
    row = {
        "id": "t",
        "request": "what number has Ann got and what does it come to",
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Ann"]}},
            {"name": "create_note", "args": {"name": ["Ann"], "content": ["$1"]}},
        ],
        "spans": [
            {"tool": "number", "args": {"name": "Ann"}},
            {"tool": "what does it come to", "args": {"name": "Ann"}},
        ],
    }
    task = task_of_row(row, tools_of("assistant"))
    assert [want.complete for want in reading_of(task).wanted(task.said(len(task.words)), True)] == [True, True]
