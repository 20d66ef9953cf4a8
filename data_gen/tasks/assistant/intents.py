"""The intents: which calls each asks for, as far as its clause has been understood.

Owns `asks`, a function of clauses alone, and the table of intents with their slots. A clause's first stage is the tool
that its first words make clear; chains have a second. Intents of one family ask for the same calls until their second
stage, for until then they sound alike. Does not know wordings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data_gen.grounding.derivation import Clause, Draft, Key, Said, Use

PERSON, TEXT = "person", "text"


@dataclass(frozen=True, slots=True)
class Intent:
    """One kind of request."""

    name: str
    """As templates and clauses name it."""
    tool: str
    """Its main tool: what pairs of tools are made of."""
    slots: dict[str, str]
    """What its wordings must give: slot to kind of value."""
    extras: dict[str, str]
    """What a tail may add."""
    noun: str
    """What a speaker calls it afterwards: "the reminder"."""
    ask: Callable[[View], object]
    """Makes the calls of a clause in its view; what it returns counts for nothing."""


class View:
    """One clause in the making of its calls."""

    def __init__(self, clause: Clause, drafts: dict[Key, Draft]) -> None:
        self.clause, self.drafts = clause, drafts
        self.stage = len(clause.stages)

    def said(self, slot: str) -> Said | None:
        """The value of a slot that takes one."""
        items = self.clause.slots.get(slot)
        return items[min(items)] if items else None

    def fixed(self, value: Any, *others: Any) -> Said:
        """A value that the intent itself implies."""
        return Said((value, *others), self.clause.stages[-1].end, None)

    def each(self, tool: str, slot: str) -> Said | None:
        """A look-up for every person in a slot; the value is the list of their results."""
        people = [said for _, said in sorted(self.clause.slots.get(slot, {}).items())]
        uses = []
        for said in people:
            key = (tool, max(said.values, key=len))  # the full name is who it is, however it was said
            self.drafts.setdefault(key, Draft(key, tool, self.clause.stages[0], {"name": said}, ("name",)))
            if Use(key) not in uses:
                uses.append(Use(key))
        return Said((uses,), max(said.at for said in people), None) if uses else None

    def call(self, tool: str, needs: Sequence[str], role: str = "main", stage: int = 1, **args: Said | None) -> Key:
        """Asks for a call; arguments that are None are not understood yet, or left out."""
        key = (self.clause.id, role)
        known = {name: said for name, said in args.items() if said is not None}
        self.drafts[key] = Draft(key, tool, self.clause.stages[stage - 1], known, tuple(needs))
        return key

    def result(self, key: Key, *, listed: bool = False) -> Said:
        """The result of another call as a value."""
        return self.fixed([Use(key)] if listed else Use(key))


def asks(clauses: Sequence[Clause]) -> list[Draft]:
    """The calls that the clauses ask for, operands first; one look-up serves all who need it."""
    drafts: dict[Key, Draft] = {}
    for clause in clauses:
        INTENTS[clause.intent].ask(View(clause, drafts))
    return list(drafts.values())


PHONE, MAIL = "get_phone_number", "get_email_address"


def _text(view: View, message: Said | None, stage: int = 1) -> None:
    view.call("send_sms", ("recipients", "message"), "main", stage, recipients=view.each(PHONE, "to"), message=message)


def _mail(view: View, context: Said | None, **more: Said | None) -> None:
    to = view.each(MAIL, "to")
    cc = view.each(MAIL, "cc")
    needs = ("recipients",) if "attachments" in more and more["attachments"] is not None else ("recipients", "context")
    given = {"recipients": to, "cc": cc, "subject": view.said("subject"), "context": context, **more}
    view.call("compose_new_email", needs, "main", 1, **given)


def _sms(view: View) -> None:
    _text(view, view.said("message"))


def _email(view: View) -> None:
    _mail(view, view.said("message"))


def _summary(view: View) -> Said | None:
    if view.stage < 2:
        return None
    return view.result(view.call("summarize_pdf", ("pdf_path",), "summary", 2, pdf_path=view.said("file")))


def _summary_text(view: View) -> None:
    _text(view, _summary(view))


def _summary_mail(view: View) -> None:
    _mail(view, _summary(view))


def _summary_note(view: View) -> None:
    content = _summary(view)
    view.call("create_note", ("name", "content"), name=view.said("name"), content=content)


def _file_mail(view: View) -> None:
    if view.stage < 2:
        return _mail(view, None)
    # a mail takes a file's name: to open it first would put it on the screen, which nobody asked for
    file = view.said("file")
    return _mail(view, None, attachments=file and Said(tuple([name] for name in file.values), file.at, file.span))


def _note_text(view: View) -> None:
    opened = view.call("open_note", ("name",), "note", name=view.said("name"))
    if view.stage > 1:
        _text(view, view.result(opened), 2)


def _route(view: View, role: str = "main", stage: int = 1) -> Key:
    start = view.said("start") or view.fixed("", None)
    return view.call(
        "maps_show_directions",
        ("start_location", "end_location"),
        role,
        stage,
        start_location=start,
        end_location=view.said("end"),
        transport=view.said("transport"),
    )


def _route_text(view: View) -> None:
    _text(view, view.result(_route(view, "route", 2)) if view.stage > 1 else None)


def _reply(view: View) -> None:
    view.call("reply_to_email", ("context",), context=view.said("message"), cc=view.each(MAIL, "cc"))


def _forward(view: View) -> None:
    view.call("forward_email", ("recipients",), recipients=view.each(MAIL, "to"), context=view.said("message"))


def _event(view: View) -> None:
    who = view.each(MAIL, "who")
    view.call(
        "create_calendar_event",
        ("title", "start_date"),
        title=view.said("title"),
        start_date=view.said("when"),
        location=view.said("location"),
        invitees=who,
        calendar=view.said("calendar"),
    )


def _reminder(view: View) -> None:
    view.call(
        "create_reminder",
        ("name",),
        name=view.said("chore"),
        due_date=view.said("when"),
        list_name=view.said("list"),
        priority=view.said("priority"),
    )


def _day_reminder(view: View) -> None:
    day = view.said("day")
    view.call(
        "create_reminder",
        ("name",),
        name=view.said("chore"),
        due_date=day,
        all_day=day and Said((True,), day.at, day.span),
        list_name=view.said("list"),
    )


def _zoom(view: View) -> Key:
    who = view.each(MAIL, "who")
    return view.call(
        "get_zoom_meeting_link",
        ("topic", "start_time", "duration", "meeting_invitees"),
        "zoom",
        topic=view.said("title"),
        start_time=view.said("when"),
        duration=view.said("length"),
        meeting_invitees=who,
    )


def _zoom_text(view: View) -> None:
    link = _zoom(view)
    if view.stage > 1:
        _text(view, view.result(link), 2)


def _zoom_event(view: View) -> None:
    link = _zoom(view)
    if view.stage > 1:
        view.call(
            "create_calendar_event",
            ("title", "start_date"),
            "main",
            2,
            title=view.said("title"),
            start_date=view.said("when"),
            notes=view.result(link),
        )


def _simple(tool: str, **params: str) -> Callable[[View], Key]:
    needs = tuple(name for name in params if name not in ("folder",))
    return lambda view: view.call(tool, needs, "main", 1, **{name: view.said(slot) for name, slot in params.items()})


def _look_up(tool: str) -> Callable[[View], Said | None]:
    return lambda view: view.each(tool, "person")


INTENTS: dict[str, Intent] = {
    intent.name: intent
    for intent in (
        Intent("sms", "send_sms", {"to": "people", "message": "message"}, {}, "text", _sms),
        Intent(
            "email",
            "compose_new_email",
            {"to": "people", "message": "message"},
            {"subject": "subject", "cc": "person"},
            "email",
            _email,
        ),
        Intent("reply", "reply_to_email", {"message": "message"}, {"cc": "person"}, "reply", _reply),
        Intent("forward", "forward_email", {"to": "people"}, {"message": "message"}, "forwarded email", _forward),
        Intent(
            "event",
            "create_calendar_event",
            {"title": "meeting", "when": "moment"},
            {"location": "location", "who": "people", "calendar": "calendar"},
            "event",
            _event,
        ),
        Intent(
            "reminder",
            "create_reminder",
            {"chore": "chore"},
            {"when": "moment", "list": "list", "priority": "priority"},
            "reminder",
            _reminder,
        ),
        Intent(
            "day_reminder",
            "create_reminder",
            {"chore": "chore", "day": "day"},
            {"list": "list"},
            "reminder",
            _day_reminder,
        ),
        Intent(
            "note",
            "create_note",
            {"name": "new_note", "content": "message"},
            {"folder": "folder"},
            "note",
            _simple("create_note", name="name", content="content", folder="folder"),
        ),
        Intent("open_note", "open_note", {"name": "note"}, {}, "note", _simple("open_note", name="name")),
        Intent(
            "append",
            "append_note_content",
            {"name": "note", "content": "item"},
            {},
            "addition",
            _simple("append_note_content", name="name", content="content"),
        ),
        Intent(
            "open_file",
            "open_and_get_file_path",
            {"file": "file"},
            {},
            "file",
            _simple("open_and_get_file_path", file_name="file"),
        ),
        Intent(
            "map", "maps_open_location", {"place": "place"}, {}, "map", _simple("maps_open_location", location="place")
        ),
        Intent(
            "route",
            "maps_show_directions",
            {"end": "place"},
            {"start": "place", "transport": "transport"},
            "directions",
            _route,
        ),
        Intent(
            "zoom",
            "get_zoom_meeting_link",
            {"title": "meeting", "when": "moment", "length": "length", "who": "people"},
            {},
            "zoom",
            _zoom,
        ),
        Intent("phone", PHONE, {"person": "person"}, {}, "number", _look_up(PHONE)),
        Intent("address", MAIL, {"person": "person"}, {}, "address", _look_up(MAIL)),
        Intent("summary_text", "summarize_pdf", {"to": "people", "file": "pdf"}, {}, "text", _summary_text),
        Intent(
            "summary_mail",
            "summarize_pdf",
            {"to": "people", "file": "pdf"},
            {"subject": "subject"},
            "email",
            _summary_mail,
        ),
        Intent("summary_note", "summarize_pdf", {"name": "new_note", "file": "pdf"}, {}, "note", _summary_note),
        Intent(
            "file_mail",
            "compose_new_email",
            {"to": "people", "file": "file"},
            {"subject": "subject"},
            "email",
            _file_mail,
        ),
        Intent("note_text", "open_note", {"to": "people", "name": "note"}, {}, "text", _note_text),
        Intent("route_text", "maps_show_directions", {"to": "people", "end": "place"}, {}, "text", _route_text),
        Intent(
            "zoom_text",
            "get_zoom_meeting_link",
            {"title": "meeting", "when": "moment", "length": "length", "who": "people", "to": "people"},
            {},
            "zoom",
            _zoom_text,
        ),
        Intent(
            "zoom_event",
            "get_zoom_meeting_link",
            {"title": "meeting", "when": "moment", "length": "length", "who": "people"},
            {},
            "zoom",
            _zoom_event,
        ),
    )
}
"""Every intent by name."""

SWAPS: dict[str, tuple[str, ...]] = {
    "sms": ("email",),
    "email": ("sms",),
    "reply": ("forward",),
    "forward": ("reply",),
    "event": ("zoom", "reminder"),
    "reminder": ("event", "note"),
    "day_reminder": ("event",),
    "note": ("reminder",),
    "open_note": ("open_file",),
    "append": ("note", "reminder"),
    "open_file": ("open_note",),
    "map": ("route",),
    "route": ("map",),
    "zoom": ("event",),
    "phone": ("address",),
    "address": ("phone",),
    "summary_text": ("email",),
    "summary_mail": ("sms",),
    "file_mail": ("sms",),
    "route_text": ("email",),
}
"""Which intent a speaker may begin with when another is meant."""
