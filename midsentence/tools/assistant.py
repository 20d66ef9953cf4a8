"""TinyAgent's sixteen tools over a world in memory.

Owns what each tool does, its class and its resources; names, and the order of parameters, are those of TinyAgent
(SqueezeAILab, MIT). Does not know who calls and when. `docs/tools.md` has the table and the reasons for the classes.

*Read* is what a wrong guess may do without anybody noticing. Whatever opens a window is therefore a write here:
opened on a guess, the wrong file on a shared screen is an effect like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Literal
from urllib.parse import urlencode

from midsentence.clock import parse_now
from midsentence.tools import times
from midsentence.tools.dates import DAY, MOMENT, ending, length_in_minutes, moment, written
from midsentence.tools.function import DEFAULT_LATENCY, Did, FunctionToolbox, Latency, Tool, tool
from midsentence.tools.text import either, fold, quote, sentences
from midsentence.tools.tool import Json, Param, ToolFailure, ToolSpec
from midsentence.tools.world import Note, World, WorldData, addresses, phone_numbers

Texts = list[str] | str
SUMMARY_SENTENCES = 2


def _filled(what: str, text: str) -> str:
    if not text.strip():
        raise ToolFailure(f"{what} is empty; ask the user for it")
    return text.strip()


def _somebody(what: str, found: list[str], finder: str) -> list[str]:
    if not found:
        raise ToolFailure(f"{what} is empty; give at least one, from {finder}")
    return found


def _paths(world: World, given: Texts | None) -> list[str]:
    return sorted({world.file(name).path for name in given or ()})


@tool(access="read", reads=("contacts",), takes_state=True)
def get_phone_number(world: World, name: str) -> str:
    """Returns the phone number of a contact."""
    person = world.person(name)
    if not person.phone:
        raise ToolFailure(f"{quote(person.name)} has no phone number")
    return person.phone


@tool(access="read", reads=("contacts",), takes_state=True)
def get_email_address(world: World, name: str) -> str:
    """Returns the email address of a contact."""
    person = world.person(name)
    if not person.email:
        raise ToolFailure(f"{quote(person.name)} has no email address")
    return person.email


@tool(access="write", takes_state=True)
def create_calendar_event(
    world: World,
    title: str,
    start_date: str,
    end_date: str | None = None,
    location: str | None = None,
    invitees: Texts | None = None,
    notes: str | None = None,
    calendar: str | None = None,
) -> Did:
    """Creates a calendar event.

    Args:
        start_date: As said, "Friday at half past nine am", or YYYY-MM-DD HH:MM:SS
        end_date: Like start_date; an hour after the start if left out
        invitees: Email addresses
    """
    starts = moment("start_date", start_date, now=world.now)
    ends = starts + timedelta(hours=1) if end_date is None else ending("end_date", end_date, starts, now=world.now)
    if ends < starts:
        raise ToolFailure(f"end_date {quote(written(ends))} is before start_date {quote(written(starts))}")
    event: dict[str, Json] = {
        "title": _filled("title", title),
        "start_date": written(starts),
        "end_date": written(ends),
        "location": location,
        "invitees": addresses("invitees", invitees),
        "notes": notes,
        "calendar": world.calendar(calendar),
    }
    world.events.append(event)
    return Did("created", event)


@tool(access="write", reads=("files",), takes_state=True)
def open_and_get_file_path(world: World, file_name: str) -> Did:
    """Opens a file and returns its path."""
    path = world.file(file_name).path
    world.show(f"file {path}")
    return Did(path, {"file_name": path})


@tool(access="read", reads=("files",), takes_state=True)
def summarize_pdf(world: World, pdf_path: str) -> str:
    """Returns a summary of a PDF file, without opening it.

    Args:
        pdf_path: Path or file name
    """
    file = world.file(pdf_path)
    if not file.path.lower().endswith(".pdf"):
        raise ToolFailure(f"{quote(file.path)} is not a PDF; only PDF files can be summarized")
    if not file.text.strip():
        raise ToolFailure(f"{quote(file.path)} has no text to summarize")
    return " ".join(sentences(file.text)[:SUMMARY_SENTENCES])


def _send(world: World, kind: str, to: list[str], mail: dict[str, Json], said: dict[str, Json]) -> Did:
    world.sent.append({"kind": kind, "to": to} | mail)
    return Did("sent", said)


@tool(access="write", reads=("files",), writes=("mail",), takes_state=True)
def compose_new_email(
    world: World,
    recipients: Texts,
    cc: Texts | None = None,
    subject: str | None = None,
    context: str | None = None,
    attachments: Texts | None = None,
) -> Did:
    """Sends a new email.

    Args:
        recipients: Email addresses
        cc: Email addresses
        context: What the email says
        attachments: File names or paths
    """
    to = _somebody("recipients", addresses("recipients", recipients), "get_email_address")
    rest: dict[str, Json] = {
        "cc": addresses("cc", cc),
        "subject": subject,
        "context": context,
        "attachments": _paths(world, attachments),
    }
    return _send(world, "new", to, rest, {"recipients": to, **rest})


@tool(access="write", reads=("files",), writes=("mail",), takes_state=True)
def reply_to_email(
    world: World, cc: Texts | None = None, context: str | None = None, attachments: Texts | None = None
) -> Did:
    """Replies to the selected email.

    Args:
        cc: Email addresses
        context: What the reply says
        attachments: File names or paths
    """
    mail = world.selected_mail()
    said: dict[str, Json] = {"cc": addresses("cc", cc), "context": context, "attachments": _paths(world, attachments)}
    return _send(world, "reply", [mail.sender], said | {"subject": f"Re: {mail.subject}"}, said)


@tool(access="write", reads=("files",), writes=("mail",), takes_state=True)
def forward_email(
    world: World,
    recipients: Texts,
    cc: Texts | None = None,
    context: str | None = None,
    attachments: Texts | None = None,
) -> Did:
    """Forwards the selected email.

    Args:
        recipients: Email addresses
        cc: Email addresses
        context: What to say above it
        attachments: File names or paths
    """
    mail = world.selected_mail()
    to = _somebody("recipients", addresses("recipients", recipients), "get_email_address")
    rest: dict[str, Json] = {"cc": addresses("cc", cc), "context": context, "attachments": _paths(world, attachments)}
    said: dict[str, Json] = {"recipients": to, **rest}
    return _send(world, "forward", to, rest | {"subject": f"Fwd: {mail.subject}", "quoted": mail.body}, said)


@tool(access="write", writes=("map",), takes_state=True)
def maps_open_location(world: World, location: str) -> Did:
    """Shows a place on the map and returns its URL."""
    place = _filled("location", location)
    world.map = f"https://maps.apple.com/?{urlencode({'q': place})}"
    return Did(world.map, {"location": place})


@tool(access="write", writes=("map",), takes_state=True)
def maps_show_directions(
    world: World,
    start_location: str | None,
    end_location: str,
    transport: Literal["d", "w", "r", ""] | None = "d",
) -> Did:
    """Shows directions on the map and returns their URL.

    Args:
        start_location: Empty for where the user is
        transport: d drive, w walk, r public transport
    """
    route = {"daddr": _filled("end_location", end_location), "dirflg": transport or "d"}
    if start_location:
        route["saddr"] = start_location.strip()
    world.map = f"https://maps.apple.com/?{urlencode(route)}"
    meant = {"start_location": route.get("saddr"), "end_location": route["daddr"], "transport": route["dirflg"]}
    return Did(world.map, meant)


@tool(access="write", writes=("notes",), takes_state=True)
def create_note(world: World, name: str, content: str, folder: str | None = None) -> Did:
    """Creates a note."""
    note = Note(_filled("name", name), content, world.folder(folder))
    if any(other.folder == note.folder and other.name.casefold() == note.name.casefold() for other in world.notes):
        raise ToolFailure(
            f"{note.folder} has a note {quote(note.name)} already; use append_note_content or another name"
        )
    world.notes.append(note)
    return Did("created", _as_args(note))


@tool(access="write", reads=("notes",), takes_state=True)
def open_note(world: World, name: str, folder: str | None = None) -> Did:
    """Opens a note and returns its content."""
    note = world.note(name, folder)
    world.show(f"note {note.folder}/{note.name}")
    return Did(note.content, {"name": note.name, "folder": note.folder})


@tool(access="write", reads=("notes",), writes=("notes",), takes_state=True)
def append_note_content(world: World, name: str, content: str, folder: str | None = None) -> Did:
    """Adds a line to the end of a note."""
    note = world.note(name, folder)
    added = _filled("content", content)
    longer = replace(note, content=f"{note.content}\n{added}" if note.content else added)
    world.notes[world.notes.index(note)] = longer
    return Did("appended", _as_args(replace(note, content=added)))


def _as_args(note: Note) -> dict[str, Json]:
    return {"name": note.name, "content": note.content, "folder": note.folder}


@tool(access="write", takes_state=True)
def create_reminder(
    world: World,
    name: str,
    due_date: str | None = None,
    notes: str | None = None,
    list_name: str | None = None,
    priority: int | str | None = 0,
    all_day: bool | None = False,
) -> Did:
    """Creates a reminder.

    Args:
        due_date: As said, "tomorrow at noon", or YYYY-MM-DD HH:MM:SS; if all_day a day, "on Friday", or YYYY-MM-DD
        priority: high, medium, low, or 0 (none) to 9
    """
    rank = _rank(priority)
    due = None
    if due_date is not None:
        at = moment("due_date", due_date, *((DAY, MOMENT) if all_day else (MOMENT,)), now=world.now)
        due = f"{at:%Y-%m-%d}" if all_day else written(at)
    elif all_day:
        raise ToolFailure(f"all_day is true, but due_date is missing; give it as {DAY}")
    reminder: dict[str, Json] = {
        "name": _filled("name", name),
        "due_date": due,
        "notes": notes,
        "list_name": world.list_of_reminders(list_name),
        "priority": rank,
        "all_day": bool(all_day),
    }
    world.reminders.append(reminder)
    return Did("created", reminder)


def _rank(priority: int | str | None) -> int:
    try:
        rank = times.priority(priority) if isinstance(priority, str) else priority or 0
    except times.Unclear:
        rank = -1
    if not 0 <= rank <= 9:
        raise ToolFailure(f"priority is {priority}; it must be {either(times.PRIORITIES)}, or from 0 (none) to 9")
    return rank


@tool(access="write", writes=("sms",), takes_state=True)
def send_sms(world: World, recipients: Texts, message: str) -> Did:
    """Sends a text message.

    Args:
        recipients: Phone numbers
    """
    to = _somebody("recipients", phone_numbers("recipients", recipients), "get_phone_number")
    sms: dict[str, Json] = {"recipients": to, "message": _filled("message", message)}
    world.sms.append(sms)
    return Did("sent", sms)


@tool(access="write", takes_state=True)
def get_zoom_meeting_link(
    world: World, topic: str, start_time: str, duration: int | str, meeting_invitees: Texts
) -> Did:
    """Creates a Zoom meeting and returns its link.

    Args:
        start_time: As said, "Friday at half past nine am", or YYYY-MM-DD HH:MM:SS
        duration: As said, "half an hour", or minutes
        meeting_invitees: Email addresses
    """
    lasts = length_in_minutes("duration", duration)
    if lasts < 1:
        raise ToolFailure(f"duration is {duration}; it must be at least 1 minute")
    meeting: dict[str, Json] = {
        "topic": _filled("topic", topic),
        "start_time": written(moment("start_time", start_time, now=world.now)),
        "duration": lasts,
        "meeting_invitees": addresses("meeting_invitees", meeting_invitees),
    }
    # from what the meeting is, so that the order of two meetings does not show in their links, and from what only the
    # service knows
    number = int(hashlib.sha256(json.dumps([world.key, meeting], sort_keys=True).encode()).hexdigest(), 16) % 10**11
    world.meetings.append(meeting)
    return Did(f"https://zoom.us/j/{number:011d}", meeting)


TOOLS: tuple[Tool, ...] = (
    get_phone_number,
    get_email_address,
    create_calendar_event,
    open_and_get_file_path,
    summarize_pdf,
    compose_new_email,
    reply_to_email,
    forward_email,
    maps_open_location,
    maps_show_directions,
    create_note,
    open_note,
    append_note_content,
    create_reminder,
    send_sms,
    get_zoom_meeting_link,
)
"""The sixteen, in TinyAgent's order."""

_SETS = frozenset({"recipients", "cc", "invitees", "meeting_invitees"})
_CHOICES = frozenset({"calendar", "folder", "list_name"})
"""Names of what the user has already, which the world finds in any case (`midsentence.tools.world.one_of`)."""
_OPENERS = frozenset({"open_note", "open_and_get_file_path"})


def canonical(params: Iterable[Param], args: Mapping[str, Json], now: datetime | None = None) -> dict[str, Json]:
    """Arguments as TinyAgent takes them: empty is left out, one text is a list of one, what was said of times is
    written out."""
    kept: dict[str, Json] = {}
    for param in params:
        if param.name not in args or not param.required and args[param.name] in (None, "", []):
            continue
        value = args[param.name]
        if "array" in param.schema["type"] and isinstance(value, str):
            value = [value] if value else []
        kept[param.name] = _written_out(param.name, value, bool(args.get("all_day")), now)
    start, end = kept.get("start_date"), args.get("end_date")
    if "end_date" in kept and isinstance(start, str) and isinstance(end, str):
        with suppress(ToolFailure):
            kept["end_date"] = written(ending("end_date", end, moment("start_date", start), now=now))
    return kept


def meant(params: Iterable[Param], args: Mapping[str, Json], now: datetime | None = None) -> dict[str, Json]:
    """`canonical`, and what the tools make of it besides: whom a message reaches, which list is meant, when an event
    ends."""
    form = canonical(params, args, now)
    for name, value in form.items():
        if isinstance(value, list) and name in _SETS:
            with suppress(ToolFailure, AttributeError, TypeError):
                texts = not any("@" in text for text in value)
                form[name] = phone_numbers(name, value) if name == "recipients" and texts else addresses(name, value)
        elif name in _CHOICES and isinstance(value, str):
            form[name] = fold(value)
    if form.get("start_location") == "":
        form["start_location"] = None
    start = form.get("start_date")
    if "end_date" in {param.name for param in params} and "end_date" not in form and isinstance(start, str):
        with suppress(ToolFailure, OverflowError):
            form["end_date"] = written(moment("start_date", start) + timedelta(hours=1))
    return form


def _written_out(name: str, value: Json, all_day: bool, now: datetime | None) -> Json:
    """A value in the form that calls are compared in; one that the tool would refuse stays as it is."""
    if not isinstance(value, str):
        return value
    with suppress(ToolFailure):
        match name:
            case "start_date" | "end_date" | "start_time":
                return written(moment(name, value, now=now))
            case "due_date":
                return (
                    f"{moment(name, value, DAY, MOMENT, now=now):%Y-%m-%d}"
                    if all_day
                    else written(moment(name, value, now=now))
                )
            case "duration":
                return length_in_minutes(name, value)
            case "priority":
                return _rank(value)
    return value


def assistant_tools(
    opens: Literal["write", "read"] = "write",
    latency: Latency = DEFAULT_LATENCY,
    now: str | None = None,
) -> tuple[Tool, ...]:
    """The sixteen tools.

    Args:
        opens: class of ``open_note`` and ``open_and_get_file_path``. As *write* they show a window; as *read* they look
            up without showing one, and may be guessed at.
        latency: latency in virtual time.
        now: the user's date and time, from which what is said of dates counts when calls are compared.
    """
    if opens not in ("write", "read"):
        raise ValueError(f"opens is {opens!r}; use 'write' (opens a window) or 'read' (looks up silently)")
    here = parse_now(now) if now else None
    made = []
    for each in TOOLS:
        access = opens if each.spec.name in _OPENERS else each.spec.access
        form = partial(meant, each.spec.params, now=here)
        made.append(replace(each, spec=replace(each.spec, access=access, canonical=form), latency=latency))
    return tuple(made)


def assistant_specs(opens: Literal["write", "read"] = "write", now: str | None = None) -> tuple[ToolSpec, ...]:
    """What the agent knows of the sixteen tools."""
    return tuple(each.spec for each in assistant_tools(opens, now=now))


class AssistantToolbox(FunctionToolbox):
    """The sixteen tools over one world of their own.

    Args:
        data: what the world holds.
        task: the task's id, which latencies are a hash of.
        opens: see `assistant_tools`.
        latency: latency in virtual time.
        now: the user's date and time, ``YYYY-MM-DD HH:MM:SS``, from which dates in words count; without one they are
            refused.
    """

    shows = _OPENERS
    """Writes whose one effect is that something is seen; see `eval.measures.scoring`."""

    def __init__(
        self,
        data: WorldData,
        task: str = "",
        opens: Literal["write", "read"] = "write",
        latency: Latency = DEFAULT_LATENCY,
        now: str | None = None,
    ) -> None:
        self.world = World(data, opens == "write", task, parse_now(now) if now else None)
        super().__init__(assistant_tools(opens, latency, now), task, self.world)

    def elsewhere(self) -> AssistantToolbox:
        """The same tools over a fresh world that what the user says can't tell from this one; see
        `WorldData.elsewhere`."""
        world = self.world
        now = str(world.now) if world.now else None
        return AssistantToolbox(
            world.data.elsewhere(), f"{self._seed}/elsewhere", "write" if world.windows else "read", now=now
        )

    def canonical(self, name: str, args: Mapping[str, Json]) -> dict[str, Json]:
        """See `FunctionToolbox.canonical`, and the module's own."""
        return (
            super().canonical(name, canonical(self.specs[name].params, args, self.world.now))
            if name in self.specs
            else dict(args)
        )

    def state(self) -> Json:
        """All that the tools can change, comparable."""
        return self.world.state()
