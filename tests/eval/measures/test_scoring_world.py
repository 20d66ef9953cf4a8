"""What is right in a world: the order of effects, texts as said, openings, and gold that the world takes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from data_gen.gold import read_calls, references, rehearse
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Task, Word
from data_gen.tasks import assistant, written
from data_gen.tasks.bfcl import AckToolbox
from eval.measures.isomorphism import gold_graph
from eval.measures.scoring import gold_effects, score
from midsentence.core.calls import Call, CallState, Graph
from midsentence.core.modes import MODES
from midsentence.core.reducer import start
from midsentence.tools.assistant import AssistantToolbox, assistant_specs
from midsentence.tools.text import spoken
from midsentence.tools.tool import Param, ToolSpec
from midsentence.tools.world import File, Mail, Note, Person, WorldData

NONE = Evidence(0, 0)
DATA = WorldData(
    (Person("Ann Lee", "+15550100", "ann@example.com"), Person("Bob Ray", "+15550101", "bob@example.com")),
    (File("/home/me/BrandingContract.pdf", "It binds. It ends."),),
    (Note("shopping"), Note("garden")),
    (Mail("eve@example.com", "hello"),),
)


def task_of(*gold: tuple[str, dict], data: WorldData = DATA, **more) -> Task:
    specs, world = assistant_specs(), partial(AssistantToolbox, data, "t")
    calls = tuple(
        GoldCall(name, args, NONE, {}) for name, args in read_calls(gold, {spec.name: spec for spec in specs})
    )
    return Task("t", "test", "test", (Word("go", 0, 1),), specs, calls, world, **more)


def judged(task: Task, *calls: tuple[str, dict], order: tuple[int, ...] = (), answer: str = "Done."):
    """The verdict on an episode that made these calls; ``order``, by ID, is that in which they ran."""
    box, graph = task.toolbox(), Graph()
    results = {id: box.run(*calls[id - 1]) for id in order or range(1, len(calls) + 1)}
    for id, (name, args) in enumerate(calls, start=1):
        graph = graph.put(Call(id, box.specs[name], args, state=CallState.DONE, result=results[id]))
    return score(task, replace(start(MODES["speculative"], box.specs), graph=graph), "answered", answer, box)


MILK = ("append_note_content", {"name": "shopping", "content": "milk"})
EGGS = ("append_note_content", {"name": "shopping", "content": "eggs"})
NOTES = task_of(*((name, {key: [value] for key, value in args.items()}) for name, args in (MILK, EGGS)))


def test_two_lines_of_one_note_come_in_the_order_in_which_they_were_said():
    assert judged(NOTES, MILK, EGGS).right
    found = judged(NOTES, EGGS, MILK)
    assert (found.right, found.cause) == (False, "wrong order")
    assert judged(NOTES, MILK, EGGS, order=(2, 1)).cause == "wrong order"  # what was run counts, not what was written


def test_effects_that_do_not_show_their_order_come_in_any():
    apart = (
        ("append_note_content", {"name": "garden", "content": "seeds"}),
        ("send_sms", {"recipients": ["+15550100"], "message": "hi"}),
        ("send_sms", {"recipients": ["+15550101"], "message": "ho"}),
    )
    task = task_of(*((name, {key: [value] for key, value in args.items()}) for name, args in (MILK, *apart)))
    assert judged(task, MILK, *apart).right and judged(task, *reversed(apart), MILK).right


def test_two_texts_to_one_person_are_a_conversation():
    first, second = ({"recipients": ["+15550100"], "message": text} for text in ("I am late", "start without me"))
    task = task_of(*(("send_sms", {key: [value] for key, value in args.items()}) for args in (first, second)))
    assert judged(task, ("send_sms", first), ("send_sms", second)).right
    assert judged(task, ("send_sms", second), ("send_sms", first)).cause == "wrong order"


def test_without_a_state_the_resource_says_whether_order_shows():
    specs = (
        ToolSpec("log", (Param("text", {}),), "write", writes=frozenset({"journal"})),
        ToolSpec("ping", (Param("text", {}),), "write"),
    )
    one, two = (("log", {"text": "a"}), ("log", {"text": "b"})), (("ping", {"text": "a"}), ("ping", {"text": "b"}))
    for calls, wanted in ((one, False), (two, True)):
        gold = tuple(GoldCall(name, {"text": GoldArg((args["text"],))}, NONE, {}) for name, args in calls)
        task = Task("t", "test", "test", (Word("go", 0, 1),), specs, gold, partial(AckToolbox, "t", specs))
        assert judged(task, *calls).right and judged(task, *calls[::-1]).right is wanted


SMS = task_of(
    ("get_phone_number", {"name": ["Ann"]}),
    ("send_sms", {"recipients": [["$1"]], "message": ["the van won't start", "no van"]}),
)


@pytest.mark.parametrize(
    ("message", "right"),
    [
        ("the van won't start", True),
        ("The van won't start.", True),
        ("The van won't start!", True),
        ("No van.", True),
        ("The van will start.", False),
        ("the van wont start", False),
        ("The van won’t start", True),
        ("no, van", True),
        ("no  van", True),
        ("the van, won't, start", True),
        ("the.van won't start", False),
    ],
)
def test_a_message_may_differ_in_capitals_and_in_what_closes_its_words(message, right):
    found = judged(
        SMS, ("get_phone_number", {"name": "ann"}), ("send_sms", {"recipients": "+1 555 0100", "message": message})
    )
    assert (found.right, found.useful) == (right, (1, 2) if right else (1,))


def test_a_result_is_that_of_the_call_that_stands_for_golds():
    meeting = {
        "topic": "plans",
        "start_time": "2025-03-01 10:00:00",
        "duration": 30,
        "meeting_invitees": ["ann@example.com"],
    }
    task = task_of(
        ("get_zoom_meeting_link", {name: [value] for name, value in meeting.items()}),
        ("send_sms", {"recipients": [["+15550100"]], "message": ["$1", "here: $1"]}),
    )
    other = meeting | {"topic": "Plans.", "meeting_invitees": "ann@example.com"}
    link = task.toolbox().run("get_zoom_meeting_link", other)
    assert link != task.toolbox().run("get_zoom_meeting_link", meeting)
    assert judged(
        task, ("get_zoom_meeting_link", other), ("send_sms", {"recipients": "+15550100", "message": f"Here: {link}"})
    ).right


def test_capitals_change_no_order_of_the_state():
    gold = [("create_reminder", {"name": ["apples"]}), ("create_reminder", {"name": ["bread"]})]
    assert judged(
        task_of(*gold), ("create_reminder", {"name": "apples"}), ("create_reminder", {"name": "Bread."})
    ).right
    assert spoken({"a": ["Milk.\nEggs! ", 2, None]}) == {"a": ["milk\neggs", 2, None]}


OPEN = ("open_and_get_file_path", {"file_name": "branding contract"})
PATH = "/home/me/BrandingContract.pdf"
ADDRESS = ("get_email_address", {"name": "Bob"})


def mail(attached: str, **more) -> tuple[str, dict]:
    return "compose_new_email", {"recipients": ["bob@example.com"], "attachments": [attached]} | more


def gold_mail(attached: list, *opened: tuple) -> Task:
    return task_of(
        ("get_email_address", {"name": ["Bob"]}),
        *opened,
        (
            "compose_new_email",
            {"recipients": [["$1"]], "context": ["here it is", "as asked"], "attachments": attached},
        ),
    )


CLOSED = gold_mail([["branding contract"]])
OPENED = gold_mail([["$2"]], ("open_and_get_file_path", {"file_name": ["branding contract"]}))
ASKED = gold_mail([["branding contract"], ["$2"]], ("open_and_get_file_path", {"file_name": ["branding contract"]}))


@pytest.mark.parametrize("task", [CLOSED, OPENED])
@pytest.mark.parametrize("context", ["Here it is.", "as asked"])
def test_an_opening_whose_result_is_used_is_right_with_and_without(task, context):
    assert judged(task, ADDRESS, mail("branding contract", context=context)).right
    assert judged(task, ADDRESS, OPEN, mail(PATH, context=context)).useful == (1, 2, 3)


def test_an_opening_that_nothing_uses_is_an_extra_effect():
    assert judged(CLOSED, ADDRESS, OPEN, mail("branding contract", context="as asked")).cause == "extra"
    assert judged(NOTES, MILK, EGGS, OPEN).cause == "extra"


def test_an_opening_that_is_asked_for_itself_is_missed():
    assert judged(ASKED, ADDRESS, OPEN, mail("branding contract", context="as asked")).right
    assert judged(ASKED, ADDRESS, mail("branding contract", context="as asked")).cause == "missing"


def test_generated_and_written_gold_open_what_they_are_asked_to_open_and_nothing_else():
    made = [task for split in ("train", "test") for task in assistant.tasks(split, 0, 150)] + list(
        written.tasks("test")
    )
    attached = [call for task in made for call in task.gold if "attachments" in call.args]
    assert len(attached) > 20
    # by its name at least: nothing is opened for a mail's sake
    assert all(any(not references(value[:1]) for value in call.args["attachments"].values) for call in attached)


def test_gold_that_its_own_world_refuses_is_an_error_that_names_it():
    task = task_of(("create_reminder", {"name": ["go"], "due_date": ["soon"]}))
    with pytest.raises(
        BadTask, match=r"task t: gold call 1 is refused by its own world \(due_date: \"soon\" is not a date"
    ):
        judged(task)
    with pytest.raises(BadTask, match="mend the gold call or the world"):
        rehearse(task)


def test_the_world_takes_what_generated_gold_asks_for():
    route = task_of(
        ("maps_show_directions", {"start_location": ["", None], "end_location": ["Oslo"], "transport": ["", "d"]})
    )
    assert gold_effects(route) == [
        ["maps_show_directions", {"start_location": None, "end_location": "Oslo", "transport": "d"}]
    ]
    assert judged(route, ("maps_show_directions", {"start_location": None, "end_location": "Oslo"})).right
    for task in assistant.tasks("test", 0, 100):
        rehearse(task)


def test_a_price_is_no_call():
    task = task_of(("send_sms", {"recipients": [["+15550100"]], "message": ["it costs $20, or $1"]}))
    assert gold_graph(task) == [("send_sms", frozenset())]
