"""The assistant's world that a request needs which nobody generated: all that its calls name.

Owns the people, files, notes, folders, lists and calendars of that world, and what is so of the assistant's tools in
every request. Does not know how rows are read.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_gen.grounding.spans import Habits
from data_gen.task import GoldArg
from midsentence.tools.text import fold
from midsentence.tools.world import File, Mail, Note, Person, WorldData

HABITS = Habits(
    {"compose_new_email": ("context", "attachments"), "reply_to_email": ("context", "attachments")},
    {"maps_show_directions": {"start_location": ""}},
)
"""A mail says something; a way begins where the user is until another place is said."""
_PEOPLE = (("get_phone_number", "name"), ("get_email_address", "name"))
_FILES = (
    ("open_and_get_file_path", "file_name"),
    ("summarize_pdf", "pdf_path"),
    ("compose_new_email", "attachments"),
    ("reply_to_email", "attachments"),
    ("forward_email", "attachments"),
)
_NOTES = (("open_note", "name"), ("append_note_content", "name"))


def world(calls: Sequence[tuple[str, Mapping[str, GoldArg]]]) -> WorldData:
    """A world that knows every person, file, note, folder, list and calendar that calls name, each a tool and what it
    accepts."""
    names = _distinct(_named(calls, _PEOPLE))
    people = tuple(
        Person(name, f"+1{_digits(name, 10)}", f"{fold(name).replace(' ', '.')}@example.com") for name in names
    )
    found = {name: sorted(_given(calls, name)) for name in ("folder", "list_name", "calendar")}
    notes = [
        Note(args[param].values[0], "one line of it", _first(args, "folder") or "Notes")
        for name, args in calls
        for tool, param in _NOTES
        if name == tool and param in args
    ]
    return WorldData(
        people,
        tuple(_file(name) for name in dict.fromkeys(_named(calls, _FILES))),
        tuple({(fold(note.folder), fold(note.name)): note for note in notes}.values()),
        (Mail("someone@example.com", "a question", "Can you tell me more?"),),
        None,
        tuple(dict.fromkeys(["Notes", *found["folder"]])),
        tuple(dict.fromkeys(["Calendar", *found["calendar"]])),
        tuple(dict.fromkeys(["Reminders", *found["list_name"]])),
    )


def _named(calls: Iterable[tuple[str, Mapping[str, GoldArg]]], params: Sequence[tuple[str, str]]) -> list[str]:
    """The first accepted name of each mention; of people the longest, for others may be parts of it."""
    found = []
    for name, args in calls:
        for tool, param in params:
            if name == tool and param in args:
                first = max(args[param].values, key=len) if param == "name" else _first(args, param)
                found += [
                    one for one in (first if isinstance(first, list) else [first]) if isinstance(one, str) and one
                ]
    return found


def _first(args: Mapping[str, GoldArg], param: str) -> Any:
    """What the canonical call gives; None where it gives nothing."""
    return None if param not in args or args[param].left_out else args[param].values[0]


def _distinct(names: Iterable[str]) -> list[str]:
    """People, once each: a first name is whoever has it."""
    whole: list[str] = []
    for name in sorted({fold(name): name for name in names}.values(), key=lambda name: (-len(name), name)):
        if not any(fold(other).split()[0] == fold(name) for other in whole):
            whole.append(name)
    return whole


def _given(calls: Iterable[tuple[str, Mapping[str, GoldArg]]], param: str) -> set[str]:
    return {value for _, args in calls if isinstance(value := _first(args, param), str) and value}


def _file(name: str) -> File:
    path = name if name.startswith("/") else f"/Users/me/Documents/{name}"
    if not posixpath.splitext(path)[1]:
        path += ".pdf"
    return File(path, f"This is about {posixpath.splitext(posixpath.basename(path))[0]}. It has two parts.")


def _digits(text: str, count: int) -> str:
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return f"{number % (8 * 10 ** (count - 1)) + 2 * 10 ** (count - 1)}"
