"""Marked rows told again: what is changed with what, and what is left as it is."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime

import pytest

from data_gen.gold import read_args
from data_gen.grounding.spans import find
from data_gen.task import GoldArg
from data_gen.tasks import corpus, written
from data_gen.tasks.assistant.entities import pool
from data_gen.tasks.own_tools import tools_of
from data_gen.tasks.retell import retold
from data_gen.tasks.retelling.moments import days, hours
from data_gen.tasks.retelling.people import people
from data_gen.tasks.retelling.words import fillers, own_texts, texts
from data_gen.tasks.rows import task_of_row

ROWS = [json.loads(line) for line in written.REQUESTS.read_text(encoding="utf-8").splitlines()]
ASSISTANT = tools_of("assistant")
SMS = {
    "id": "t",
    "now": "2026-03-03 10:00:00",
    "request": "text Marco, no sorry, Marcus, that um the van won't start, he's waiting, Marcus is",
    "calls": [
        {"name": "get_phone_number", "args": {"name": ["Marcus"]}},
        {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["The van won't start"]}},
    ],
    "spans": [
        {"tool": "text", "args": {"name": [{"words": "Marco", "value": "Marco"}, "Marcus#1"]}},
        {"tool": "text", "args": {"message": "the van won't start"}},
    ],
}
REMIND = {
    "id": "r",
    "request": "remind me on Thursday at three, no make that at four, to call the bank",
    "now": "2026-03-03 10:00:00",
    "calls": [{"name": "create_reminder", "args": {"name": ["Call the bank"], "due_date": ["2026-03-05 16:00:00"]}}],
    "spans": [
        {
            "tool": "remind me",
            "args": {
                "name": "call the bank",
                "due_date": [
                    {"words": "on Thursday at three", "value": "2026-03-05 15:00:00"},
                    {"words": "at four", "value": "2026-03-05 16:00:00"},
                ],
            },
        }
    ],
}


def test_people_are_others_wherever_the_row_names_them():
    told = people(SMS, random.Random(1), "train")
    first, second = told["request"].split()[1].rstrip(","), told["request"].split()[4].rstrip(",")
    assert len({first, second, "Marco", "Marcus"}) == 4 and {first, second} <= set(pool("first", "train"))
    assert (
        told["request"] == f"text {first}, no sorry, {second}, that um the van won't start, he's waiting, {second} is"
    )
    assert told["calls"][0]["args"] == {"name": [second]} and told["calls"][1] == SMS["calls"][1]
    assert told["spans"][0]["args"]["name"] == [{"words": first, "value": first}, f"{second}#1"]
    assert told["now"] == SMS["now"] and SMS["request"].startswith("text Marco")


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ("text Will that we will be late", "Will"),  # another word as well
        ("what is Nora's number, nora@example.com is her address", "Nora"),  # written in another way too
        ("what number has the Dentist", "the Dentist"),  # nobody's name
        ("what is Grandpa's number", "Grandpa"),  # what somebody is to the speaker
        ("what is Fatou's, Fatoumata's number", "Fatoumata"),  # begun, and not marked
    ],
)
def test_a_name_that_may_be_something_else_stays(request_, name):
    row = {
        "request": request_,
        "calls": [{"name": "get_phone_number", "args": {"name": [name]}}],
        "spans": [{"tool": "what"}],
    }
    assert people(row, random.Random(0), "train") == row


def test_a_title_stays_and_sexes_follow_the_pronouns():
    row = {
        "request": "text Dr. Petersen and tell her thanks",
        "calls": [{"name": "get_phone_number", "args": {"name": ["Dr. Petersen"]}}],
    }
    told = people(row, random.Random(0), "train")["request"].split()
    assert told[1] == "Dr." and told[2] != "Petersen" and told[2] in pool("last", "train")
    row = {
        "request": "text Yusuf and tell him thanks",
        "calls": [{"name": "get_phone_number", "args": {"name": ["Yusuf"]}}],
    }
    from faker.providers.person.en_US import Provider as Names

    assert all(
        people(row, random.Random(n), "train")["request"].split()[1] in Names.first_names_male for n in range(20)
    )


def test_a_name_that_no_list_has_is_one_where_it_is_said_as_one():
    args = {"passengers": [["Adeyemi"]], "name": ["Yilmaz"]}
    row = {"request": "book it for Adeyemi and Yilmaz", "calls": [{"name": "book", "args": args}]}
    told = people(row, random.Random(0), "train")
    assert told["request"].split()[3] in pool("last", "train") and told["calls"][0]["args"]["passengers"] == [
        [told["request"].split()[3]]
    ]
    assert told["request"].split()[5] == "Yilmaz"  # "and" says nothing of what comes


def test_days_turn_together():
    told = days(REMIND, random.Random(5))
    moved = datetime.fromisoformat(told["now"]) - datetime.fromisoformat(REMIND["now"])
    assert moved.days % 7 and moved.seconds == 0
    due = datetime.fromisoformat(told["calls"][0]["args"]["due_date"][0])
    assert due - datetime(2026, 3, 5, 16) == moved and f"{due:%A}" in told["request"]
    assert [one["value"][:10] for one in told["spans"][0]["args"]["due_date"]] == [f"{due:%Y-%m-%d}"] * 2
    assert task_of_row(told, ASSISTANT).gold[0].args["due_date"] == GoldArg((f"{due:%Y-%m-%d %H:%M:%S}",))


@pytest.mark.parametrize(
    "request_", ["remind me on the twelfth", "is it open at the weekend", "lunch on June 3 then", "on 3/4 at noon"]
)
def test_a_row_that_is_bound_to_its_dates_keeps_them(request_):
    row = {**REMIND, "request": request_}
    assert days(row, random.Random(0)) == row


def test_hours_move_by_what_the_grammar_reads():
    told = hours(REMIND, random.Random(0))
    assert told["request"] != REMIND["request"] and told["now"] == REMIND["now"]
    first, second = ((datetime.fromisoformat(one["value"]).hour) for one in told["spans"][0]["args"]["due_date"])
    assert second == first + 1 and first != 15
    names = "zero one two three four five six seven eight nine".split()
    assert f"at {names[first - 12]}, no make that at {names[second - 12]}, to call" in told["request"]
    assert task_of_row(told, ASSISTANT).gold[0].args["due_date"] == GoldArg((f"2026-03-05 {second}:00:00",))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("call the bank", "call the bank about the four of us"),  # another four
        ("at three", "at noon"),  # an hour that has no other word
        ("at three", "at ohmigod"),  # nothing that the grammar reads
    ],
)
def test_hours_that_cant_be_told_apart_stay(old, new):
    row = json.loads(json.dumps(REMIND).replace(old, new))
    assert hours(row, random.Random(0)) == row


def test_times_that_are_given_as_said_move_too():
    row = {
        "id": "b",
        "request": "a table for two at half past seven",
        "calls": [{"name": "find_table", "args": {"people": [2], "time": ["half past seven", "7:30 pm", "19:30"]}}],
        "spans": [{"tool": "a table", "args": {"people": "two", "time": "half past seven"}}],
    }
    told = {json.dumps(hours(row, random.Random(n))["calls"][0]["args"]["time"]) for n in range(20)}
    assert told <= {
        json.dumps([f"half past {word}", f"{n}:30 pm", f"{n + 12}:30"])
        for n, word in ((5, "five"), (6, "six"), (8, "eight"), (9, "nine"))
    }
    assert len(told) > 1


def test_fillers_come_and_go_between_what_is_marked():
    told = [fillers(SMS, random.Random(n)) for n in range(200)]
    assert all(
        [word for word in each["request"].split() if word not in ("um", "uh", "er")]
        == SMS["request"].replace(" um", "").split()
        for each in told
    )
    assert all("the van won't start," in each["request"] and each["spans"] == SMS["spans"] for each in told)
    assert {"filler" in each.get("tags", ()) for each in told if each != SMS} == {True, False}
    sent = read_args({"recipients": [["$1"]], "message": ["The van won't start"]}, calls=2)
    assert all(task_of_row(each, ASSISTANT).gold[1].args == sent for each in told)
    numbered = {
        "request": "show Rome show me Rome now show me",
        "calls": [],
        "spans": [{"tool": "show me#2", "args": {}}],
    }
    assert all(
        find(each["request"].split(), "show me#2")[1] == len(each["request"].split())
        for n in range(99)
        for each in [fillers(numbered, random.Random(n))]
    )


def test_an_hour_that_is_also_the_minutes_is_not_moved():
    marks = {"name": "call the bank", "due_date": "at five forty five"}
    row = REMIND | {
        "request": "remind me at five forty five to call the bank",
        "calls": [{"name": "create_reminder", "args": {"name": ["Call the bank"], "due_date": ["at five forty five"]}}],
        "spans": [{"tool": "remind me", "args": marks}],
    }
    assert all(hours(row, random.Random(n)) == row for n in range(20))


def test_a_text_that_is_dictated_is_every_second_time_another():
    told = [texts(SMS, random.Random(n), ["we're late, and the dog's been sick"]) for n in range(40)]
    kept, other = [row for row in told if row == SMS], [row for row in told if row != SMS]
    assert len(kept) > 10 and len(other) > 10 and all(row == other[0] for row in other)
    (row,) = other[:1]
    assert row["request"] == SMS["request"].replace("the van won't start,", "we're late, and the dog's been sick,")
    new = ["We're late, and the dog's been sick", "we're late, and the dog's been sick"]
    assert row["calls"][1]["args"]["message"] == new and row["calls"][0] == SMS["calls"][0]
    task = task_of_row(row, ASSISTANT)
    span = task.gold[1].arg_evidence["message"]
    assert " ".join(task.said()[span.start : span.end]) == f"{new[1]},"


def test_a_text_is_left_where_its_words_or_the_new_ones_are_marked_elsewhere():
    assert [quote for _, _, quote in own_texts(SMS)] == ["the van won't start"] and own_texts(REMIND) == []
    twice = SMS | {"request": SMS["request"] + " the van won't start"}
    spliced = SMS | {"calls": [SMS["calls"][0], {"name": "send_sms", "args": {"message": ["The van won't"]}}]}
    assert own_texts(twice) == own_texts(spliced) == []
    assert all(texts(SMS, random.Random(n), ["text Bob"]) == SMS for n in range(20))  # "text" is quoted as its tool


def test_the_corpus_puts_what_others_dictate_into_its_requests():
    said = {text.casefold() for text in corpus.dictated()}
    rows = [row for row in corpus.found("assistant", "train").rows if own_texts(row.fields)][:60]
    new = 0
    for row in rows:
        told = row.spoken(1, 0)
        first = [str(value).casefold() for call in told.gold for arg in call.args.values() for value in arg.values[:1]]
        old = [
            str(value).casefold() for call in row.task.gold for arg in call.args.values() for value in arg.values[:1]
        ]
        new += any(text in said and text not in old for text in first)
    assert 15 < new < 45 and len(said) > 400


def test_every_marked_row_that_is_told_again_passes_the_door():
    seen: Counter[str] = Counter()
    for row in ROWS:
        for way in ("people", "days", "hours", "fillers"):
            told = retold(row, random.Random(row["id"]), (way,), "test")
            seen[way] += told != row
            task_of_row(told, ASSISTANT)
        task_of_row(retold(row, random.Random(row["id"]), split="test"), ASSISTANT)
    assert seen == {"people": 66, "days": 103, "hours": 26, "fillers": 67}
