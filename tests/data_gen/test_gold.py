"""Gold is typed: what rows write as ``"$k"`` and ``""`` is read once, and is a reference or an option from then on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from data_gen.dialogue.turns import alone
from data_gen.gold import (
    canonical,
    filled,
    gold_args,
    issued,
    read_args,
    read_calls,
    read_value,
    references,
    replaced,
    spliced,
)
from data_gen.grounding.heard import as_heard, cut_value
from data_gen.grounding.spans import marked
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Reference, Spliced, Task, Word
from data_gen.tasks.rows import task_of_row
from data_gen.tasks.twins import others
from midsentence.core.values import Join, Ref
from midsentence.tools.tool import Param, ToolSpec
from tests.data_gen.dialogue.test_turns import talk

NONE = Evidence(0, 0)
TEXT = {"type": "string"}
TOOLS = (
    ToolSpec("find", (Param("x", TEXT), Param("y", {}, required=False)), "read"),
    ToolSpec("send", (Param("to", TEXT),), "write"),
)


def call(accepted, required=(), calls=0) -> GoldCall:
    return GoldCall("find", read_args(accepted, required, calls), NONE, {})


def task(*gold: GoldCall, **more) -> Task:
    return Task("t", "test", "test", (Word("go", 0, 1),), TOOLS, gold, object, **more)


# -- reading


def test_results_are_references_alone_in_lists_in_objects_and_in_texts():
    assert read_value("$1", 1) == Reference(1) and read_value(["$2", "Ann"], 2) == [Reference(2), "Ann"]
    assert read_value({"to": {"id": "$1"}}, 1) == {"to": {"id": Reference(1)}}
    assert read_value("from $1 to $2", 2) == Spliced(("from ", Reference(1), " to ", Reference(2)))
    assert [read_value(value, 3) for value in (7, True, None, "", "a $")] == [7, True, None, "", "a $"]


def test_a_number_that_no_call_has_is_a_price():
    assert read_value(["$2", "$20", "$0", "costs $20"], 2) == [Reference(2), "$20", "$0", "costs $20"]
    assert read_value("$1", 0) == "$1"


def test_what_was_read_is_written_as_the_row_has_it():
    for value in ("$1", "see $1 and $2", "$1$2"):
        assert str(read_value(value, 2)) == value
    assert json.dumps(read_value(["$1", "see $2"], 2), default=str) == '["$1", "see $2"]'


@pytest.mark.parametrize(
    ("values", "required", "arg"),
    [
        (["a", "b"], False, GoldArg(("a", "b"))),
        (["a", ""], False, GoldArg(("a",), optional=True)),
        (["a", "", "b"], False, GoldArg(("a", "b"), optional=True)),
        (["", 1], False, GoldArg((1,), optional=True, left_out=True)),
        ([""], False, GoldArg(("",))),  # alone it is an empty text
        (["", None], True, GoldArg(("", None))),  # and so it is where nothing can be left out
        ([0, False], False, GoldArg((0, False))),
    ],
)
def test_nothing_among_other_values_says_that_an_argument_may_be_left_out(values, required, arg):
    assert read_args({"x": values}, ["x"] if required else []) == {"x": arg}


def test_a_call_is_read_by_its_own_tool_and_where_calls_are_not_linked_has_no_references():
    rows = [("find", {"x": ["a", ""], "y": ["", 1]}), ("send", {"to": ["$1"]})]
    specs = {spec.name: spec for spec in TOOLS}
    assert read_calls(rows, specs) == [
        ("find", {"x": GoldArg(("a", "")), "y": GoldArg((1,), True, True)}),
        ("send", {"to": GoldArg((Reference(1),))}),
    ]
    assert read_calls(rows, specs, linked=False)[1] == ("send", {"to": GoldArg(("$1",))})
    assert read_calls(rows, {})[0][1]["x"] == GoldArg(("a",), True)


def test_an_argument_without_values_and_one_that_is_left_out_but_not_optional_are_refused():
    with pytest.raises(BadTask, match="an argument of gold has no accepted value; give one, or leave the argument out"):
        read_args({"x": []})
    with pytest.raises(
        BadTask, match=r"gold leaves out an argument that is not optional \('a'\); make it optional, or give it"
    ):
        GoldArg(("a",), left_out=True)


# -- arguments


def test_what_must_be_given_and_what_may_be():
    given, optional, empty = GoldArg(("a",)), GoldArg(("a",), optional=True), GoldArg(("", None))
    assert [arg.must_be_given for arg in (given, optional, empty)] == [True, False, False]
    assert [arg.accepted for arg in (given, optional, empty)] == [("a",), ("a", ""), ("", None)]


def test_the_canonical_call_has_first_values_and_the_world_is_given_empty_ones_too():
    gold = call({"x": [""], "y": ["", 1], "z": ["$1", "b"]}, calls=1)
    assert canonical(gold) == {"z": Reference(1)}
    assert gold_args(gold, {1: 5}) == {"x": "", "z": 5} and gold_args(gold, {}) == {"x": "", "z": Reference(1)}


# -- references


VALUE = {"to": [Reference(1)], "text": Spliced(("it is ", Reference(2), ", ", Reference(1))), "n": 3}


def test_references_are_found_in_the_order_of_mention():
    assert references(VALUE) == (1, 2, 1) and references(["$1", 2, None]) == ()


def test_results_take_the_place_of_references_whole_or_as_text():
    assert filled(VALUE, {1: [5], 2: {"a": 1}}) == {"to": [[5]], "text": 'it is {"a": 1}, [5]', "n": 3}
    assert filled(VALUE, {1: None})["to"] == [None]
    assert filled(VALUE, {2: "x"}) == VALUE | {"text": Spliced(("it is x, ", Reference(1)))}


def test_a_line_names_the_ids_that_calls_were_issued_under():
    assert issued(VALUE, {1: 7, 2: 4}) == {"to": [Ref(7)], "text": Join(("it is ", Ref(4), ", ", Ref(7))), "n": 3}
    assert issued([Reference(3), Spliced(("a ", Reference(3)))], {1: 7}) == ["$3", "a $3"]


def test_a_text_from_which_all_references_went_is_a_plain_one():
    assert (
        spliced(["a", "b"]) == "ab"
        and spliced([]) == ""
        and spliced(["a", "b", Reference(1)]) == Spliced(("ab", Reference(1)))
    )
    assert replaced(VALUE, lambda one: Reference(one.call + 1))["text"] == Spliced(
        ("it is ", Reference(3), ", ", Reference(2))
    )


# -- who reads them


def test_a_text_is_cut_and_misheard_in_its_own_words():
    text = Spliced(("the file is ", Reference(1)))
    assert cut_value(text, ["the", "file"]) == "the file"
    words = tuple(Word(word, n, n + 1) for n, word in enumerate("send that the file is it".split()))
    gold = (
        GoldCall("find", {"x": GoldArg(("a",))}, NONE, {}),
        GoldCall("send", {"to": GoldArg((text,))}, NONE, {"to": Evidence(2, 5)}),
    )
    made = Task("t", "test", "test", words, TOOLS, gold, object)
    heard = "send that the pile is it".split()
    assert as_heard(made, heard).gold[1].args["to"] == GoldArg((Spliced(("the pile is ", Reference(1))),))
    longer = others(made, [word.text for word in words[:5]], False)["extent"].gold[1].args["to"].values[0]
    assert longer == Spliced(("the file is ", Reference(1), " and more"))


def test_a_turn_alone_has_earlier_results_in_texts_too_and_its_own_calls_by_their_own_numbers():
    made = talk()
    send = replace(made.gold[1], args=read_args({"recipients": [["$1"]], "message": ["it is $1"]}, calls=2))
    first, send = made.gold[0], replace(send, name="send_sms")
    again = alone(replace(made, gold=(first, send)), 1).gold[0]
    assert again.args == {"recipients": GoldArg((["+15550100"],)), "message": GoldArg(("it is +15550100",))}


TWICE = {
    "id": "c",
    "request": "find Lima and then find Oslo and send it on saying it is there",
    "tools": [
        {"name": "find", "parameters": {"type": "object", "properties": {"city": TEXT}, "required": ["city"]}},
        {
            "name": "send",
            "parameters": {"type": "object", "properties": {"text": TEXT, "to": TEXT}, "required": ["text"]},
        },
    ],
    "calls": [
        {"name": "find", "args": {"city": ["Lima"]}},
        {"name": "find", "args": {"city": ["Oslo"]}},
        {"name": "send", "args": {"text": ["$2 it is there"], "to": ["$1"]}},
    ],
    "turns": [{"words": 2, "calls": 1}, {"words": 14, "calls": 3}],
}


def test_a_later_turns_references_keep_their_numbers_inside_texts_as_well():
    made = task_of_row(TWICE, None)
    assert made.gold[2].args == {
        "text": GoldArg((Spliced((Reference(2), " it is there")),)),
        "to": GoldArg((Reference(1),)),
    }
    assert "to" not in made.gold[2].arg_evidence


def test_a_reference_to_a_later_call_is_refused_as_one_whether_or_not_words_were_looked_for():
    for more in ({}, {"hear_out": True}):
        row = {
            "id": "r",
            "request": "find it and find Oslo",
            "tools": TWICE["tools"],
            **more,
            "calls": [{"name": "find", "args": {"city": ["$2"]}}, {"name": "find", "args": {"city": ["Oslo"]}}],
        }
        with pytest.raises(BadTask, match=r"call 1 takes \$2, the result of a call that is not before it"):
            task_of_row(row, None)


# -- the task


def test_a_task_knows_its_tools_by_name_and_makes_the_mapping_once():
    made = task(call({"x": ["a"]}))
    assert made.specs == {"find": TOOLS[0], "send": TOOLS[1]} and made.specs is made.specs
    other = replace(made, tools=TOOLS[:1])
    assert other.specs == {"find": TOOLS[0]} and other != made and replace(other, tools=TOOLS) == made


def test_a_question_has_an_answer_and_asks_for_no_effect():
    find, send = call({"x": ["a"]}), GoldCall("send", read_args({"to": ["b"]}), NONE, {})
    assert task(find, answer=("a",)).is_question and task(answer=("a",)).is_question
    assert not task(find).is_question and not task(find, send, answer=("a",)).is_question


def test_evidence_for_an_argument_that_gold_has_not_is_refused():
    loose = replace(call({"x": ["a"]}), arg_evidence={"x": NONE, "y": Evidence(0, 1)})
    with pytest.raises(
        BadTask, match="task t: gold call 1 to find has evidence for 'y', but no such argument; drop one"
    ):
        task(loose)


def test_what_is_taken_back_in_the_end_has_no_evidence_and_what_is_given_anew_has():
    words = "find Lima with pictures no without and find Oslo with maps no with pictures".split()
    tools = {"find": ToolSpec("find", (Param("x", TEXT), Param("y", TEXT, required=False)), "read")}
    back = [{"words": "with pictures#1", "value": "pictures"}, {"words": "without", "value": None}]
    anew = [
        {"words": "with maps", "value": "maps"},
        {"words": "no#2", "value": None},
        {"words": "with pictures#2", "value": "pictures"},
    ]
    found = marked(
        words,
        read_calls([("find", {"x": ["Lima"]}), ("find", {"x": ["Oslo"], "y": ["pictures"]})], tools),
        [{"tool": "find#1", "args": {"x": "Lima", "y": back}}, {"tool": "find#2", "args": {"x": "Oslo", "y": anew}}],
        tools,
    )
    assert [dict(gold.arg_evidence) for gold in found.gold] == [
        {"x": Evidence(1, 2)},
        {"x": Evidence(8, 9), "y": Evidence(12, 14)},
    ]
