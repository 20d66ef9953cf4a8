"""The assistant's sixteen tools: names and order, classes, what each does to the world, and what it says when it
refuses."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midsentence.core.calls import call_text
from midsentence.tools.assistant import TOOLS, AssistantToolbox, assistant_specs, assistant_tools
from midsentence.tools.function import Effect
from midsentence.tools.text import fold, quote, sentences, similar
from midsentence.tools.tool import ToolFailure, bind, signature
from midsentence.tools.world import File, Mail, Note, Person, WorldData

REPORT = "Sales rose by 4.5% in the U.S. last year. Dr. Okafor expects more. Costs fell too."

DATA = WorldData(
    people=(
        Person("Samuel Ortiz", "+1 555 0100", "Samuel@example.com"),
        Person("Sam Lee", "+1 555 0101", "sam.lee@example.com"),
        Person("Ada Byron", "+44 20 7946 0000"),
        Person("Ada Lovell", email="ada.lovell@example.com"),
        Person("José Díaz", "555-0103", "jose@example.com"),
    ),
    files=(
        File("/home/me/BusinessProposal.pdf", REPORT),
        File("/home/me/scans/receipt.pdf"),
        File("/home/me/plan.pdf", "One."),
        File("/home/me/plan.txt", "Two."),
    ),
    notes=(Note("Groceries", "milk"), Note("Ideas", "a", "Work"), Note("Ideas", "b", "Home")),
    inbox=(Mail("old@example.com", "Old"), Mail("new@example.com", "Budget", "See below.")),
    folders=("Notes", "Work"),
    calendars=("Calendar", "Work"),
    lists=("Reminders", "Shopping"),
)


def box(**options: Any) -> AssistantToolbox:
    return AssistantToolbox(DATA, "task-1", **options)


def call(toolbox: AssistantToolbox, name: str, *positional: Any, **keyword: Any) -> Any:
    """Runs a call as the core binds it."""
    return toolbox.run(name, bind(toolbox.specs[name], positional, keyword))


def refusal(name: str, *positional: Any, **keyword: Any) -> str:
    """What a refused call says; and that it did nothing."""
    toolbox = box()
    before = toolbox.state()
    with pytest.raises(ToolFailure) as refused:
        toolbox.run(name, bind(toolbox.specs[name], positional, keyword))
    assert toolbox.state() == before and toolbox.effects == []
    return str(refused.value)


def test_names_and_positions_are_tinyagents() -> None:
    assert [f"{spec.name}({', '.join(param.name for param in spec.params)})" for spec in assistant_specs()] == [
        "get_phone_number(name)",
        "get_email_address(name)",
        "create_calendar_event(title, start_date, end_date, location, invitees, notes, calendar)",
        "open_and_get_file_path(file_name)",
        "summarize_pdf(pdf_path)",
        "compose_new_email(recipients, cc, subject, context, attachments)",
        "reply_to_email(cc, context, attachments)",
        "forward_email(recipients, cc, context, attachments)",
        "maps_open_location(location)",
        "maps_show_directions(start_location, end_location, transport)",
        "create_note(name, content, folder)",
        "open_note(name, folder)",
        "append_note_content(name, content, folder)",
        "create_reminder(name, due_date, notes, list_name, priority, all_day)",
        "send_sms(recipients, message)",
        "get_zoom_meeting_link(topic, start_time, duration, meeting_invitees)",
    ]
    assert signature(box().specs["send_sms"]) == "send_sms(recipients: list[str]|str, message: str)"


def test_classes_and_conflicts() -> None:
    strict = {spec.name: spec for spec in assistant_specs()}
    reads = {"get_phone_number", "get_email_address", "summarize_pdf"}
    assert {name for name, spec in strict.items() if spec.access == "read"} == reads
    relaxed = {spec.name: spec.access for spec in assistant_specs("read")}
    assert {name for name in strict if relaxed[name] != strict[name].access} == {"open_note", "open_and_get_file_path"}
    with pytest.raises(ValueError, match="opens is 'yes'; use 'write'"):
        assistant_specs("yes")  # type: ignore[arg-type]
    groups = [
        {"compose_new_email", "forward_email", "reply_to_email"},
        {"maps_open_location", "maps_show_directions"},
        {"send_sms"},
        {"append_note_content", "create_note", "open_note"},
    ]
    expected = {(a, b) for group in groups for a in group for b in group} - {("open_note", "open_note")}
    assert {(a, b) for a in strict for b in strict if strict[a].conflicts_with(strict[b])} == expected


def test_every_tool_says_what_it_is_for() -> None:
    for made in TOOLS:
        assert made.spec.description and made.spec.name == made.fn.__name__
        assert next(iter(inspect.signature(made.fn).parameters)) == "world"


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ("Samuel Ortiz", "+1 555 0100"),
        ("samuel", "+1 555 0100"),
        ("Sam", "+1 555 0101"),
        (" sam  LEE ", "+1 555 0101"),
        ("Ada Byron", "+44 20 7946 0000"),
        ("Jose", "555-0103"),
        ("José Diaz", "555-0103"),
    ],
)
def test_a_contact_answers_to_full_name_and_unique_first_name(asked: str, number: str) -> None:
    assert call(box(), "get_phone_number", asked) == number


@pytest.mark.parametrize(
    ("call_", "says"),
    [
        (("get_phone_number", "Ada"), '2 contacts are called "Ada": "Ada Byron" or "Ada Lovell"; give the full name'),
        (("get_phone_number", "Samm"), 'no contact "Samm": did you mean "Sam Lee" or "Samuel Ortiz"?'),
        (("get_email_address", "Ortiz"), 'no contact "Ortiz": did you mean "Samuel Ortiz"?'),
        (("get_email_address", "Zed"), 'no contact "Zed", and none with a similar name'),
        (("get_email_address", ""), 'no contact "", and none with a similar name'),
        (("get_email_address", "Ada Byron"), '"Ada Byron" has no email address'),
        (("get_phone_number", "Ada Lovell"), '"Ada Lovell" has no phone number'),
        (("get_phone_number", 7), "get_phone_number: name must be string, got 7: get_phone_number(name: str)"),
        (("send_sms", ["Sam"], "hi"), 'recipients: "Sam" is not a phone number; call get_phone_number("Sam") first'),
        (("send_sms", ["+1 555 0100", "a@b.com"], "hi"), 'recipients: "a@b.com" is not a phone number'),
        (("send_sms", [], "hi"), "recipients is empty; give at least one, from get_phone_number"),
        (("send_sms", "", "hi"), "recipients is empty"),
        (("send_sms", ["+1 555 0100"], "  "), "message is empty; ask the user for it"),
        (
            ("compose_new_email", ["Sid"], [], "x"),
            'recipients: "Sid" is not an email address; call get_email_address("Sid") first',
        ),
        (("compose_new_email", ["a@b.com"], ["Bob"], "x"), 'cc: "Bob" is not an email address'),
        (("compose_new_email", ["a@b.com"], [], "x", "", ["notes.pdf"]), 'no file "notes.pdf", and none'),
        (("forward_email", []), "recipients is empty; give at least one, from get_email_address"),
        (
            ("open_and_get_file_path", "plan"),
            '2 files are called "plan": "/home/me/plan.pdf" or "/home/me/plan.txt"; give its path',
        ),
        (
            ("open_and_get_file_path", "busness proposal"),
            'no file "busness proposal": did you mean "BusinessProposal.pdf"?',
        ),
        (("summarize_pdf", "plan.txt"), '"/home/me/plan.txt" is not a PDF; only PDF files can be summarized'),
        (("summarize_pdf", "receipt"), '"/home/me/scans/receipt.pdf" has no text to summarize'),
        (("open_note", "Ideas"), '2 notes are called "Ideas": "Work/Ideas" or "Home/Ideas"; give its folder'),
        (("open_note", "Ideas", "Notes"), 'no note "Ideas" in Notes: it is in "Work" or "Home"'),
        (("open_note", "Grocerys"), 'no note "Grocerys": did you mean "Groceries"?'),
        (("open_note", "Groceries", "Wrok"), 'no folder "Wrok": use "Notes", "Work" or "Home"'),
        (("append_note_content", "Groceries", ""), "content is empty"),
        (
            ("create_note", "groceries", "eggs"),
            'Notes has a note "groceries" already; use append_note_content or another name',
        ),
        (("maps_open_location", " "), "location is empty"),
        (("maps_show_directions", "", ""), "end_location is empty"),
        (("maps_show_directions", "", "Oslo", "car"), 'transport must be one of ["d", "w", "r", "", null], got "car"'),
    ],
)
def test_refusals_that_a_model_can_act_on(call_: tuple[Any, ...], says: str) -> None:
    assert says in refusal(*call_)


@pytest.mark.parametrize(
    ("call_", "says"),
    [
        (
            ("create_calendar_event", "x", "tomorrow at ten"),
            'start_date: "tomorrow at ten" is not a date of the form YYYY-MM-DD HH:MM:SS, as in "2025-03-01 14:30:00"',
        ),
        (("create_calendar_event", "x", "2025-03-01"), "is not a date of the form YYYY-MM-DD HH:MM:SS"),
        (("create_calendar_event", "x", "2025-03-01T10:00:00"), "is not a date of the form"),
        (
            ("create_calendar_event", "x", "2025-02-30 10:00:00"),
            'start_date: "2025-02-30 10:00:00" is no date (day is out of range for month)',
        ),
        (("create_calendar_event", "x", "2025-02-20 24:00:00"), "is no date (hour must be in 0..23)"),
        (("create_calendar_event", "x", "9999-12-31 23:30:00"), "is in the year 9999, which can't be meant"),
        (
            ("create_calendar_event", "x", "2025-03-01 10:00:00", "2025-03-01 09:00:00"),
            'end_date "2025-03-01 09:00:00" is before start_date "2025-03-01 10:00:00"',
        ),
        (("create_calendar_event", "", "2025-03-01 10:00:00"), "title is empty"),
        (
            ("create_calendar_event", "x", "2025-03-01 10:00:00", None, None, [], None, "Home"),
            'no calendar "Home": use "Calendar" or "Work"',
        ),
        (("create_reminder", "x", "2025-03-01"), "is not a date of the form YYYY-MM-DD HH:MM:SS, as in"),
        (
            ("create_reminder", "x", "soon", "", "", 0, True),
            'of the form YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, as in "2025-0',
        ),
        (
            ("create_reminder", "x", "", "", "", 0, True),
            "all_day is true, but due_date is missing; give it as YYYY-MM-DD",
        ),
        (
            ("create_reminder", "x", None, None, "Chores"),
            'no list of reminders "Chores": use "Reminders" or "Shopping"',
        ),
        (
            ("create_reminder", "x", None, None, None, 10),
            'priority is 10; it must be "none", "high", "medium", "normal" or "low", or from 0 (none) to 9',
        ),
        (("get_zoom_meeting_link", "x", "10 am", 30, []), 'start_time: "10 am" is not a date'),
        (("get_zoom_meeting_link", "x", "2025-03-01 10:00:00", 0, []), "duration is 0; it must be at least 1 minute"),
        (
            ("get_zoom_meeting_link", "x", "2025-03-01 10:00:00", "a while", []),
            'duration: "a while" is no length; give minutes, or words as in',
        ),
    ],
)
def test_dates_and_numbers_are_refused_with_the_form_named(call_: tuple[Any, ...], says: str) -> None:
    assert says in refusal(*call_)


def test_messages_and_their_log() -> None:
    world = box()
    assert call(world, "send_sms", call(world, "get_phone_number", "Samuel Ortiz"), "On my way") == "sent"
    to = ["B@x.org", "a@x.org", "b@x.org"]
    assert call(world, "compose_new_email", to, None, "Hi", "The plan.", "business proposal") == "sent"
    assert call(world, "reply_to_email", [], "Fine by me", []) == "sent"
    assert call(world, "forward_email", "a@x.org", None, "fyi") == "sent"
    mail = {"cc": [], "context": "The plan.", "attachments": ["/home/me/BusinessProposal.pdf"]}
    assert world.effects == [
        Effect("send_sms", {"recipients": ["+15550100"], "message": "On my way"}, "sent"),
        Effect("compose_new_email", {"recipients": ["a@x.org", "b@x.org"], "subject": "Hi"} | mail, "sent"),
        Effect("reply_to_email", {"cc": [], "context": "Fine by me", "attachments": []}, "sent"),
        Effect("forward_email", {"recipients": ["a@x.org"], "cc": [], "context": "fyi", "attachments": []}, "sent"),
    ]
    state = world.state()
    assert {(sent["kind"], *sent["to"], sent["subject"]) for sent in state["sent"]} == {
        ("reply", "new@example.com", "Re: Budget"),
        ("new", "a@x.org", "b@x.org", "Hi"),
        ("forward", "a@x.org", "Fwd: Budget"),
    }
    assert state["sms"] == [{"recipients": ["+15550100"], "message": "On my way"}]


def test_the_selected_mail_is_answered() -> None:
    world = AssistantToolbox(WorldData(inbox=DATA.inbox, selected=0))
    call(world, "reply_to_email", None, "ok")
    assert world.state()["sent"][0]["to"] == ["old@example.com"]
    with pytest.raises(ToolFailure, match="no mail is selected and the inbox is empty"):
        AssistantToolbox(WorldData()).run("reply_to_email", {})


def test_calendar_reminders_and_meetings() -> None:
    world = box()
    assert (
        call(world, "create_calendar_event", "Sync", "2025-03-01 10:00:00", "", "", "ada@x.org", "", "work")
        == "created"
    )
    assert call(world, "create_reminder", "Milk", "2025-03-01", "", "shopping", 5, True) == "created"
    assert call(world, "create_reminder", "Call mum") == "created"
    link = call(world, "get_zoom_meeting_link", "Sync", "2025-03-01 10:00:00", 30, ["ada@x.org"])
    assert link == "https://zoom.us/j/" + link[-11:] and link[-11:].isdigit()
    assert call(box(), "get_zoom_meeting_link", "Sync", "2025-03-01 10:00:00", 30, "ada@x.org") == link
    assert call(world, "get_zoom_meeting_link", "Sync", "2025-03-01 10:00:00", 45, "ada@x.org") != link
    state = world.state()
    assert state["events"] == [
        {
            "title": "Sync",
            "start_date": "2025-03-01 10:00:00",
            "end_date": "2025-03-01 11:00:00",
            "location": None,
            "invitees": ["ada@x.org"],
            "notes": None,
            "calendar": "Work",
        }
    ]
    plain = {"notes": None, "due_date": None, "list_name": "Reminders", "priority": 0, "all_day": False}
    assert sorted(state["reminders"], key=lambda reminder: reminder["name"]) == [
        plain | {"name": "Call mum"},
        plain | {"name": "Milk", "due_date": "2025-03-01", "list_name": "Shopping", "priority": 5, "all_day": True},
    ]
    assert len(state["meetings"]) == 2


def test_notes() -> None:
    world = box()
    assert call(world, "open_note", "groceries", "") == "milk"
    assert call(world, "append_note_content", "Groceries", "eggs", "notes") == "appended"
    assert call(world, "create_note", "Trip", "pack", "Work") == "created"
    assert call(world, "open_note", "Groceries") == "milk\neggs"
    assert call(world, "open_note", "Ideas", "home") == "b"
    state = world.state()
    assert ["Notes", "Groceries", "milk\neggs"] in state["notes"] and ["Work", "Trip", "pack"] in state["notes"]
    assert state["screen"] == ["note Home/Ideas", "note Notes/Groceries"]
    meant = {"name": "Groceries", "content": "eggs", "folder": "Notes"}
    assert world.effects[1] == Effect("append_note_content", meant, "appended")
    assert DATA.notes[0].content == "milk"  # the next session starts afresh
    assert call(box(), "open_note", "Groceries") == "milk"


def test_files_open_a_window_unless_opening_is_a_look_up() -> None:
    for name in (
        "BusinessProposal.pdf",
        "business proposal",
        "businessproposal.PDF",
        "business proposal dot PDF",
        "/home/me/BusinessProposal.pdf",
    ):
        world = box()
        assert call(world, "open_and_get_file_path", name) == "/home/me/BusinessProposal.pdf"
        assert world.state()["screen"] == ["file /home/me/BusinessProposal.pdf"]
        assert world.effects[0].args == {"file_name": "/home/me/BusinessProposal.pdf"}
    assert call(box(), "open_and_get_file_path", "plan.txt") == "/home/me/plan.txt"
    quiet = box(opens="read")
    assert call(quiet, "open_and_get_file_path", "BusinessProposal") == "/home/me/BusinessProposal.pdf"
    assert call(quiet, "open_note", "Groceries") == "milk"
    assert quiet.effects == [] and quiet.state() == box().state()


def test_reading_leaves_no_trace() -> None:
    world = box()
    summary = call(world, "summarize_pdf", "business proposal")
    assert summary == "Sales rose by 4.5% in the U.S. last year. Dr. Okafor expects more."
    call(world, "get_phone_number", "Sam Lee")
    call(world, "get_email_address", "Sam Lee")
    assert world.effects == [] and world.state() == box().state()


def test_the_map_shows_the_last_thing_asked() -> None:
    world = box()
    assert call(world, "maps_open_location", "Café Roma, Oslo") == "https://maps.apple.com/?q=Caf%C3%A9+Roma%2C+Oslo"
    assert call(world, "maps_show_directions", None, "Oslo", "") == "https://maps.apple.com/?daddr=Oslo&dirflg=d"
    url = call(world, "maps_show_directions", "Bergen", "Oslo", "r")
    assert url == world.state()["map"] == "https://maps.apple.com/?daddr=Oslo&dirflg=r&saddr=Bergen"
    assert [effect.args["transport"] for effect in world.effects[1:]] == ["d", "r"]


def test_independent_effects_may_come_in_either_order() -> None:
    one, two = box(), box()
    calls = [("create_reminder", "A"), ("create_reminder", "B"), ("create_note", "N", ""), ("send_sms", "5550100", "x")]
    for name, *rest in calls:
        call(one, name, *rest)
    for name, *rest in reversed(calls):
        call(two, name, *rest)
    assert one.state() == two.state() and one.effects == list(reversed(two.effects))
    call(two, "send_sms", "5550100", "x")
    assert one.state() != two.state()  # twice is not once


def test_what_means_the_same_is_the_same_call() -> None:
    plain = {"recipients": ["a@x.org"], "subject": "Hi"}
    padded = {"recipients": "a@x.org", "cc": [], "subject": "Hi", "context": "", "attachments": None}
    one, two = box(), box()
    one.run("compose_new_email", plain)
    two.run("compose_new_email", padded)
    assert one.effects == two.effects and one.state() == two.state()
    assert one.latency_ns("compose_new_email", plain) == two.latency_ns("compose_new_email", padded)


def test_latencies_are_half_a_second_to_one_and_never_rerolled() -> None:
    drawn = [box().latency_ns("get_phone_number", {"name": f"Person {n}"}) for n in range(50)]
    assert min(drawn) >= 500_000_000 and max(drawn) <= 1_000_000_000 and len(set(drawn)) == 50
    assert drawn == [box().latency_ns("get_phone_number", {"name": f"Person {n}"}) for n in range(50)]
    assert AssistantToolbox(DATA, "task-2").latency_ns("get_phone_number", {"name": "Person 0"}) != drawn[0]
    assert box().latency_ns("nonsense", {"x": object}) > 0


def test_a_world_that_names_could_not_tell_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="two of the contact 'jose diaz'"):
        WorldData(people=(Person("José Díaz"), Person("Jose Diaz")))
    with pytest.raises(ValueError, match="two of the note 'notes/a'"):
        WorldData(notes=(Note("A"), Note("a")))
    with pytest.raises(ValueError, match="a contact without a name"):
        WorldData(people=(Person(" "),))
    with pytest.raises(ValueError, match="selected is 2, but the inbox has 1 mails"):
        WorldData(inbox=DATA.inbox[:1], selected=2)
    with pytest.raises(ValueError, match="lists is empty; name at least the default one"):
        WorldData(lists=())


_ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=2)
_LIKELY = st.sampled_from(
    ["Sam", "2025-03-01 10:00:00", "a@x.org", "+1 555 0100", "Groceries", "plan.pdf", "Work", "r"]
)
_ARGUMENTS = st.lists(_ODD | _LIKELY | st.lists(_LIKELY, max_size=2), max_size=7)


@given(st.sampled_from([made.spec.name for made in TOOLS]), _ARGUMENTS)
@settings(max_examples=300, deadline=None)
def test_any_arguments_at_all_are_done_or_refused(name: str, values: list[Any]) -> None:
    world = box()
    before = world.state()
    args = {param.name: value for param, value in zip(world.specs[name].params, values)}
    why = None
    try:
        result = world.run(name, args)
    except ToolFailure as refused:
        why = str(refused)
    if why is not None:
        assert why and world.state() == before and world.effects == []
    else:
        write = world.specs[name].access == "write"
        assert isinstance(result, str)
        assert [effect.result for effect in world.effects] == [result] * write
        again = box()  # what the log says was meant does the same again
        for effect in world.effects:
            again.run(effect.name, effect.args)
        assert again.state() == world.state() and again.effects == world.effects


def test_tools_are_shared_and_worlds_are_not() -> None:
    assert [made.fn for made in assistant_tools()] == [made.fn for made in assistant_tools("read")]
    one, two = box(), box()
    call(one, "create_note", "Only here", "")
    assert one.state() != two.state()


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("J. R. R. Tolkien wrote. He did.", ["J. R. R. Tolkien wrote.", "He did."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Born in St. Louis, Mo. in 1902. Died later.", ["Born in St. Louis, Mo. in 1902.", "Died later."]),
        ("He said No. 5 was best. No. It was not.", ["He said No. 5 was best.", "No.", "It was not."]),
        ("Priced at 4.50 a piece. 12 were sold.", ["Priced at 4.50 a piece.", "12 were sold."]),
        ("", []),
    ],
)
def test_sentences(text: str, cut: list[str]) -> None:
    assert sentences(text) == cut


def test_names_fold_and_find_their_likes() -> None:
    assert fold("  O’Brien  JOSÉ ") == "o'brien jose"
    assert similar("jon", ["John Ray", "Joan Poe", "Mary Jones", "Zoë Quux"]) == ["Mary Jones", "Joan Poe", "John Ray"]
    assert similar("", ["Anna"]) == []
    assert quote('a "b" é') == '"a \\"b\\" é"' and len(quote("x" * 9999)) == 122


NOON = "2025-03-06 12:00:00"


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (
            "compose_new_email",
            {"recipients": ["a@b.c", "d@e.f"], "context": "x"},
            {"recipients": ["D@e.f", "a@b.c", "d@e.f"], "context": "x"},
        ),
        (
            "compose_new_email",
            {"recipients": "a@b.c", "cc": ["d@e.f", "g@h.i"]},
            {"recipients": ["a@b.c"], "cc": ["g@h.i", "d@e.f"]},
        ),
        (
            "send_sms",
            {"recipients": ["+1 555 123", "555"], "message": "x"},
            {"recipients": ["555", "+1555123"], "message": "x"},
        ),
        (
            "create_calendar_event",
            {"title": "t", "start_date": "tomorrow at noon"},
            {"title": "t", "start_date": NOON, "end_date": "2025-03-06 13:00:00"},
        ),
        (
            "get_zoom_meeting_link",
            {"topic": "t", "start_time": NOON, "duration": 30, "meeting_invitees": ["a@b.c", "d@e.f"]},
            {
                "topic": "t",
                "start_time": "at noon tomorrow",
                "duration": "half an hour",
                "meeting_invitees": ["d@e.f", "A@b.c"],
            },
        ),
        (
            "maps_show_directions",
            {"start_location": "", "end_location": "Oslo"},
            {"start_location": None, "end_location": "Oslo"},
        ),
    ],
    ids=["to", "cc", "numbers", "end", "zoom", "here"],
)
def test_what_a_tool_does_the_same_is_one_effect(name, one, other):
    """In any order and form that the tool itself takes for the same: two messages to the same people are not two
    effects."""
    spec = {each.spec.name: each.spec for each in assistant_tools(now="2025-03-05 10:00:00")}[name]
    assert call_text(spec, one) == call_text(spec, other)


@pytest.mark.parametrize("recipients", [["x", "a"], ["", "x"], ["+", "-"], ["z", "a@b.c", "+1 555 123"]])
def test_whom_nobody_can_reach_stays_as_it_was_written(recipients):
    specs = {each.spec.name: each.spec for each in assistant_tools()}
    for name in ("send_sms", "compose_new_email"):
        assert json.dumps(recipients) in call_text(specs[name], {"recipients": recipients, "message": "x"})
