"""Conversations in rows and in the markup: turns, what is to be answered, and what no conversation can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_gen.dialogue.markup import turn_fields
from data_gen.grounding.reading import reading_of
from data_gen.marking.reading import parse
from data_gen.marking.writing import render
from data_gen.task import BadTask, GoldArg, Reference
from data_gen.tasks import jsonl
from data_gen.tasks.drawn import drawn
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.rows import task_of_row

LINES = (
    "t1 | {1,2:text} {1.name:Bob} for me >> ?2.message >> {2.message:I'm running late} >> >> thanks "
    "| get_phone_number; send_sms(recipients=[$1])",
    "t2 | {1:remind me} to {1.name:water the plants} {1.due_date:tomorrow at six pm} >> >> no sorry, {2.name=water the plants:make} "
    "{2:that} {2.due_date:tomorrow at seven pm} >> correction_after >> when is it now >> =It is at seven. / seven "
    "| create_reminder; create_reminder | now=2026-03-03 10:00:00",
    "t3 | {3,4:text} {3.name:Sam} please >> ?4.message >> oh {!3,!4:never mind} >> >> {1:open the note} {1.name:packing list} instead "
    ">> >> and {2:add} {2.content:sunscreen} {2.name=packing list:to it} "
    "| open_note; append_note_content; !get_phone_number; !send_sms(recipients=[$3])",
)


def read(line: str):
    return task_of_row(parse(line), tools_of("assistant"))


def test_a_line_of_turns_is_a_conversation():
    first, second, third = map(read, LINES)
    assert [(t.kind, t.words, t.calls, t.asks, t.quiet) for t in first.turns] == [
        ("underspecified", 4, 1, "send_sms.message", False),
        ("clarified", 7, 2, "", False),
        ("thanks", 8, 2, "", True),
    ]
    assert [(t.kind, t.calls, t.answer) for t in second.turns] == [
        ("request", 1, ()),
        ("correction_after", 2, ("stays", "still", "can't", "cannot")),
        ("question", 2, ("It is at seven.", "seven")),
    ]
    assert [(t.kind, t.calls, t.quiet) for t in third.turns] == [
        ("underspecified", 0, False),
        ("change_of_mind_before", 0, True),
        ("follow_up", 1, False),
        ("follow_up", 2, False),
    ]
    assert first.request == "text Bob for me I'm running late thanks" and not first.answer


@pytest.mark.parametrize("line", LINES)
def test_lines_and_rows_come_to_the_same(line):
    row = parse(line)
    assert parse(render(row)) == row and render(parse(render(row))) == render(row)


def test_what_is_to_be_answered_is_read():
    assert turn_fields([2, 4, 6, 8], ["?2.account =Which account? / from where", "correction_after =a", " ? "]) == [
        {"words": 2, "asks": "2.account", "answer": ["Which account?", "from where"]},
        {"words": 4, "kind": "correction_after", "answer": ["a"]},
        {"words": 6, "asks": "any"},
        {"words": 8},
    ]


def test_a_question_keeps_its_words_where_tools_have_other_names():
    task = read(LINES[0])
    renamed = next(
        other for seed in range(20) if (other := drawn(task, (), "renamed", seed)).turns[0].asks != "send_sms.message"
    )
    tool, _, param = renamed.turns[0].asks.partition(".")
    assert any(spec.name == tool and param in {p.name for p in spec.params} for spec in renamed.tools)
    assert renamed.turns[0].says == "What should the text say?"
    lacking = [want for want in reading_of(renamed).wanted(renamed.said(4), True) if not want.complete]
    assert [f"{want.spec.name}.{want.missing[0]}" for want in lacking] == [renamed.turns[0].asks]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("?2.message", "What should the text say?"),
        ("?2.message =which words / say", "What should the text say?"),
        ("?2.message =Which words?", "Which words?"),
    ],
)
def test_a_question_may_be_worded_by_the_line(asked, says):
    turn = read(LINES[0].replace("?2.message", asked)).turns[0]
    assert turn.says == says and turn.asks == "send_sms.message"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda s: s.replace("?2.message", ""),
            r"turn 1 ends, and call 2 \(send_sms\) lacks message; write >> \?2.message behind it",
        ),
        (lambda s: s.replace("?2.message", "?2.tone"), r"turn 1 ends, and call 2 \(send_sms\) lacks message"),
        (
            lambda s: s.replace(">> >> thanks", ">> ?2.message >> thanks"),
            "turn 2 asks for 2.message, but no call lacks anything",
        ),
        (lambda s: s.replace(">> >> thanks", ">> maybe >> thanks"), "turn 2 is of kind 'maybe'; use one of request"),
        (lambda s: s.replace(">> >> thanks", ">> ?message >> thanks"), "'[?]message' after turn 2 is no answer"),
        (lambda s: s.replace(">> >> thanks", ">> = / >> thanks"), "the answer after turn 2 is empty"),
        (lambda s: s.replace("thanks", " "), "turn 3 says nothing"),
        (
            lambda s: s.replace("?2.message", "?7.message"),
            "turn 1 asks for '7.message'; write a call's number|lacks message",
        ),
        (lambda s: s + " | answer=Yes", "it has turns: when they begin depends on the answers"),
        (
            lambda s: s.replace("thanks", "no say {2.message:I'm ill}"),
            r"call 2 \(send_sms\) is changed in turn 3, but was done at the end of",
        ),
    ],
)
def test_what_no_conversation_can_be(change, why):
    with pytest.raises(BadTask, match=why):
        read(change(LINES[0]))


def test_what_is_done_can_not_be_taken_back():
    line = "x | {2:remind me} to {2.name:run} >> >> {!2:scrap that} and {1:open the note} {1.name:plan} | open_note; !create_reminder"
    with pytest.raises(
        BadTask, match=r"call 2 \(create_reminder\) is taken back in turn 2, but was done at the end of turn 1"
    ):
        read(line)


def test_calls_are_listed_in_the_order_of_their_turns():
    line = "x | {2:remind me} to {2.name:run} >> >> {1:open the note} {1.name:plan} | open_note; create_reminder"
    with pytest.raises(BadTask, match="call 1 is asked for in a later turn than call 2"):
        read(line)


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([{"words": 3}, {"words": 3}], r"turns end after \[3, 3\] words; give growing numbers, the last of them all 6"),
        ([{"words": 3}, {"words": 5}], "the last of them all 6"),
        ([{"words": 3, "mood": 1}, {"words": 6}], "unknown field 'mood'"),
        ("two", "turns is two; give a list"),
        ([{"words": 3, "calls": 2}, {"words": 6, "calls": 1}], r"turns ask for \[2, 1\] calls"),
    ],
)
def test_turns_of_rows_are_checked(turns, why):
    row = {
        "id": "x",
        "request": "open the plan open the list",
        "turns": turns,
        "calls": [{"name": "open_note", "args": {"name": ["plan"]}}, {"name": "open_note", "args": {"name": ["list"]}}],
    }
    with pytest.raises(BadTask, match=why):
        task_of_row(row, tools_of("assistant"))


def test_calls_belong_to_turns_by_their_words_where_nothing_is_marked():
    row = {
        "id": "x",
        "request": "open the note plan open the note list",
        "turns": [{"words": 4}, {"words": 8}],
        "calls": [{"name": "open_note", "args": {"name": ["plan"]}}, {"name": "open_note", "args": {"name": ["list"]}}],
    }
    assert [turn.calls for turn in task_of_row(row, tools_of("assistant")).turns] == [1, 2]


# -- chat rows
# ------------------------------------------------------------------------------------------------------------

CHAT = Path(__file__).parents[3] / "docs/examples/chat/rows.jsonl"


@pytest.fixture(scope="module")
def chat():
    return jsonl.load(str(CHAT), "")


def test_chat_rows_are_conversations_and_others_are_named_by_kind_of_reason(chat):
    assert len(chat.tasks) == 8 and len(chat.rejected) == 6
    assert sorted(reason.split(":")[0] for _, reason in chat.rejected) == [
        "no calls",
        "no result",
        "no tools",
        "not text",
        "part of a result",
        "tool error",
    ]


def named(chat, name: str):
    return next(task for task in chat.tasks if task.id == f"messages-{name}")


def test_turns_hold_their_own_calls(chat):
    task = named(chat, "weather-two")
    assert [(turn.kind, turn.words, turn.calls) for turn in task.turns] == [
        ("request", 5, 1),
        ("follow_up", 8, 2),
        ("thanks", 11, 2),
    ]
    assert task.gold[1].args == {"city": GoldArg(("Porto",))} and task.gold[1].arg_evidence["city"].start == 7
    asked = named(chat, "asks-back").turns
    assert (asked[0].asks, asked[0].says) == ("any", "For how many people, and at what time?")


def test_a_turn_that_no_words_explain_is_heard_out(chat):
    call = named(chat, "inferred").gold[0]
    assert (
        call.args["unit"] == GoldArg(("fahrenheit",)) and call.arg_evidence["unit"].end == 12 == call.name_evidence.end
    )


def test_results_are_linked_mended_errors_left_out_and_the_record_is_the_world(chat):
    chain = named(chat, "chain")
    assert chain.gold[1].args["user_id"] == chain.gold[2].args["user_id"] == GoldArg((Reference(1),))
    assert [call.args["account"].values for call in named(chat, "mended-error").gold if call.name == "get_balance"] == [
        ("savings",)
    ]
    # what an earlier turn's call returned needs no words, and the turn is grounded by what it says
    assert chain.turns[2].calls == 3 and chain.gold[2].arg_evidence["text"].start > chain.turns[1].words
    assert "user_id" not in chain.gold[2].arg_evidence
    box = chain.toolbox()
    assert (
        box.run("get_user_id", {"name": "Maria"}) == "u-481" and box.run("get_user_id", {"name": "Maria "}) == "u-481"
    )
    with pytest.raises(Exception, match="the record has no get_user_id"):
        box.run("get_user_id", {"name": "Mario"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: [*m[:1], {"role": "narrator", "content": "x"}], "unknown role: message 2"),
        (lambda m: "no JSON", "no JSON: messages"),
        (lambda m: [], "no messages"),
        (lambda m: m[:1], "no turn"),
        (lambda m: [{"role": "user", "content": "w " * 500}, *m[1:]], "too long to be said: turn 1 has 500 words"),
        (lambda m: [*m, {"role": "tool", "tool_call_id": "zz", "content": "x"}], "result of no call: message 6"),
    ],
)
def test_chat_rows_that_can_not_be_used(change, why, chat):
    row = json.loads(CHAT.read_text().splitlines()[1])
    from data_gen.tasks.messages import row_of

    with pytest.raises(BadTask, match=why):
        row_of(row | {"messages": change(row["messages"])})


@pytest.mark.parametrize(
    ("value", "fits"),
    [("$1", False), ("no. $1", False), (["x", "$1"], False), ({"at": "$1"}, False), ("$20", True), ("a$", True)],
    ids=str,
)
def test_a_text_with_a_dollar_sign_is_refused_where_gold_would_read_a_result_in_it(value, fits):
    from data_gen.tasks.messages import row_of

    made = {"id": "a", "function": {"name": "note", "arguments": {"text": value}}}
    told = [
        {"role": "user", "content": "write that down"},
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ]
    row = {"messages": told, "tools": [{"name": "note"}]}
    if fits:
        assert row_of(row)["calls"] == [{"name": "note", "args": {"text": [value]}}]
    else:
        with pytest.raises(BadTask, match="a dollar sign: note in turn 1"):
            row_of(row)
