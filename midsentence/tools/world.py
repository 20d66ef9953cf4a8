"""The assistant's world: people, files, mail, notes and the rest, in memory; and how a spoken name finds its owner.

Owns the data that a task supplies, the state that tools change, and the look-ups with their "did you mean". Does
not know what the tools are called and which of them may run when. Nothing here reads a clock or draws a number.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from midsentence.tools.text import either, fold, quote, similar, spoken
from midsentence.tools.tool import Json, ToolFailure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Person:
    """A contact."""

    name: str
    """Full name, first name first."""
    phone: str = ""
    """Number as it is dialled; empty for none."""
    email: str = ""
    """Address; empty for none."""


@dataclass(frozen=True, slots=True)
class File:
    """A file on the user's disk."""

    path: str
    """Absolute, with slashes."""
    text: str = ""
    """What it says; of a PDF, its extracted text."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note."""

    name: str
    """Its title."""
    content: str = ""
    """Its text."""
    folder: str = "Notes"
    """Folder that it is in."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that the user received."""

    sender: str
    """Address."""
    subject: str
    """Its subject line."""
    body: str = ""
    """Its text."""


@dataclass(frozen=True, slots=True)
class WorldData:
    """What a task's world holds before anything happens.

    Raises:
        ValueError: two people, files or notes have the same name, or the selection does not exist.
    """

    people: tuple[Person, ...] = ()
    """The contacts."""
    files: tuple[File, ...] = ()
    """Files on disk."""
    notes: tuple[Note, ...] = ()
    """Notes, of all folders."""
    inbox: tuple[Mail, ...] = ()
    """Oldest first."""
    selected: int | None = None
    """Index of the selected mail in ``inbox``; None selects the most recent."""
    folders: tuple[str, ...] = ("Notes",)
    """Folders of notes, the default one first; those of ``notes`` are there as well."""
    calendars: tuple[str, ...] = ("Calendar",)
    """The default one first."""
    lists: tuple[str, ...] = ("Reminders",)
    """Lists of reminders, the default one first."""

    def __post_init__(self) -> None:
        for what, keys in (
            ("contact", [fold(person.name) for person in self.people]),
            ("file", [file.path for file in self.files]),
            ("note", [f"{fold(note.folder)}/{fold(note.name)}" for note in self.notes]),
        ):
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise ValueError(f"the world has two of the {what} {twice[0]!r}; names must differ in more than case")
            if "" in keys:
                raise ValueError(f"the world has a {what} without a name; name it")
        if self.selected is not None and not 0 <= self.selected < len(self.inbox):
            raise ValueError(f"selected is {self.selected}, but the inbox has {len(self.inbox)} mails")
        for name in ("folders", "calendars", "lists"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; name at least the default one")

    def elsewhere(self) -> WorldData:
        """A world in which everybody and everything is called the same, and all else about them is different.

        What a tool returns or does alike in both takes no knowledge of the world.
        """
        people = tuple(
            replace(person, phone=person.phone and f"+9{n:010d}", email=person.email and f"{n}@elsewhere.example")
            for n, person in enumerate(self.people)
        )
        files = tuple(
            File(f"/elsewhere/{file.path.lstrip('/')}", file.text and f"Elsewhere {n}.")
            for n, file in enumerate(self.files)
        )
        notes = tuple(replace(note, content=f"elsewhere {n}") for n, note in enumerate(self.notes))
        inbox = tuple(
            Mail(f"{n}@elsewhere.example", f"elsewhere {n}", f"Elsewhere {n}.") for n in range(len(self.inbox))
        )
        return replace(self, people=people, files=files, notes=notes, inbox=inbox)


@dataclass(slots=True)
class World:
    """The state that one session's tools read and change."""

    data: WorldData
    """What the world held at first."""
    windows: bool = True
    """Whether opening a note or a file shows it; otherwise it is only looked up."""
    key: str = ""
    """What the services behind the tools make their links from; nobody else knows it."""
    now: datetime | None = None
    """The user's date and time, from which dates in words count; None where only written ones are taken."""
    notes: list[Note] = field(init=False)
    """Notes as they stand."""
    sent: list[dict[str, Json]] = field(default_factory=list)
    """Mails sent, in order."""
    sms: list[dict[str, Json]] = field(default_factory=list)
    """Text messages sent, in order."""
    events: list[dict[str, Json]] = field(default_factory=list)
    """Calendar events made, in order."""
    reminders: list[dict[str, Json]] = field(default_factory=list)
    """Reminders made, in order."""
    meetings: list[dict[str, Json]] = field(default_factory=list)
    """Meetings made, in order."""
    screen: set[str] = field(default_factory=set)
    """Notes and files that were shown."""
    map: str = ""
    """URL that the map shows; it shows one thing at a time."""

    def __post_init__(self) -> None:
        self.notes = list(self.data.notes)

    def state(self) -> Json:
        """All that tools can change, in canonical form: equal worlds give equal JSON.

        Collections are sorted, so two independent effects may have come in either order; what was written to one person
        reads as a conversation, and keeps its order.
        """
        return {
            "events": _sorted(self.events),
            "map": self.map,
            "meetings": _sorted(self.meetings),
            "notes": sorted([note.folder, note.name, note.content] for note in self.notes),
            "reminders": _sorted(self.reminders),
            "screen": sorted(self.screen),
            "sent": _sorted(self.sent),
            "sms": _sorted(self.sms),
            "threads": _threads(
                [(row["to"], row) for row in self.sent] + [(row["recipients"], row) for row in self.sms]
            ),
        }

    def person(self, name: str) -> Person:
        """The contact with this full name, or the only one with this first name.

        Raises:
            ToolFailure: nobody or several; the text lists who may be meant.
        """

        def full(person: Person) -> str:
            return person.name

        def first(person: Person) -> str:
            return person.name.split()[0]

        return find("contact", name, self.data.people, (full, first), full, full, "give the full name")

    def file(self, name: str) -> File:
        """The file with this path, or the only one with this name; case, dots and dashes do not count, and its
        extension may be left out or said ("dot pdf").

        Raises:
            ToolFailure: none or several.
        """

        def path(file: File) -> str:
            return file.path

        def base(file: File) -> str:
            return posixpath.basename(file.path)

        def stem(file: File) -> str:
            return posixpath.splitext(base(file))[0]

        return find("file", name, self.data.files, (path, base, stem), path, base, "give its path", _letters)

    def note(self, name: str, folder: str | None) -> Note:
        """The note of this name, in ``folder`` or, without one, the only one in any folder.

        Raises:
            ToolFailure: none or several, or no such folder.
        """
        within = None if folder is None else self.folder(folder)
        called = [note for note in self.notes if fold(note.name) == fold(name)]
        if called and within not in (None, *(note.folder for note in called)):
            raise ToolFailure(f"no note {quote(name)} in {within}: it is in {either(note.folder for note in called)}")

        def title(note: Note) -> str:
            return note.name

        def place(note: Note) -> str:
            return f"{note.folder}/{note.name}"

        notes = [note for note in self.notes if within in (None, note.folder)]
        return find("note", name, notes, (title,), place, title, "give its folder")

    def folder(self, name: str | None) -> str:
        """The folder of notes as it is written, or the default one."""
        names = dict.fromkeys([*self.data.folders, *(note.folder for note in self.data.notes)])
        return one_of("folder", name, list(names))

    def calendar(self, name: str | None) -> str:
        """The calendar as it is written, or the default one."""
        return one_of("calendar", name, self.data.calendars)

    def list_of_reminders(self, name: str | None) -> str:
        """The list of reminders as it is written, or the default one."""
        return one_of("list of reminders", name, self.data.lists)

    def selected_mail(self) -> Mail:
        """The mail that a reply answers.

        Raises:
            ToolFailure: the inbox is empty.
        """
        if not self.data.inbox:
            raise ToolFailure("no mail is selected and the inbox is empty; write a new one with compose_new_email")
        return self.data.inbox[-1 if self.data.selected is None else self.data.selected]

    def show(self, what: str) -> None:
        """Opens a window, if this world shows any."""
        if self.windows:
            self.screen.add(what)


def find(
    noun: str,
    asked: str,
    items: Iterable[T],
    keys: Sequence[Callable[[T], str]],
    label: Callable[[T], str],
    name: Callable[[T], str],
    advice: str,
    spelled: Callable[[str], str] = fold,
) -> T:
    """The one item that ``asked`` names, by the first of ``keys`` under which any answers to it.

    Args:
        noun: what the items are.
        asked: a name as it was said.
        items: what it may name.
        keys: what an item answers to, the surest first.
        label: tells several items of one name apart.
        name: what a near miss is compared with, and suggested as.
        advice: how to ask for one of several.
        spelled: the form in which names are compared.

    Raises:
        ToolFailure: none (with what may have been meant) or several (all listed).
    """
    items, wanted = list(items), spelled(asked)
    for key in keys:
        hits = [item for item in items if wanted and wanted == spelled(key(item))]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise ToolFailure(f"{len(hits)} {noun}s are called {quote(asked)}: {either(map(label, hits))}; {advice}")
    if near := similar(asked, map(name, items)):
        raise ToolFailure(f"no {noun} {quote(asked)}: did you mean {either(near)}?")
    raise ToolFailure(f"no {noun} {quote(asked)}, and none with a similar name")


def one_of(noun: str, asked: str | None, names: Sequence[str]) -> str:
    """The one of ``names`` that ``asked`` is but for case; the first for None.

    Raises:
        ToolFailure: none is; the text lists them all.
    """
    if asked is None:
        return names[0]
    for name in names:
        if fold(name) == fold(asked):
            return name
    raise ToolFailure(f"no {noun} {quote(asked)}: use {either(names)}")


def phone_numbers(what: str, given: Iterable[str]) -> list[str]:
    """Phone numbers as digits with an optional plus, sorted, none twice.

    Raises:
        ToolFailure: something else; the text says which tool finds a number.
    """
    found = set()
    for text in given:
        digits = re.sub(r"\D", "", text)
        if not re.fullmatch(r"\s*\+?[\d\s().-]+", text, re.ASCII) or len(digits) < 3:
            raise ToolFailure(
                f"{what}: {quote(text)} is not a phone number; call get_phone_number({quote(text)}) first"
            )
        found.add("+" * ("+" in text) + digits)
    return sorted(found)


def addresses(what: str, given: Iterable[str] | None) -> list[str]:
    """Email addresses in lower case, sorted, none twice.

    Raises:
        ToolFailure: something else; the text says which tool finds an address.
    """
    found = set()
    for text in given or ():
        if not re.fullmatch(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]+", text.strip()):
            raise ToolFailure(
                f"{what}: {quote(text)} is not an email address; call get_email_address({quote(text)}) first"
            )
        found.add(text.strip().lower())
    return sorted(found)


def _letters(name: str) -> str:
    """A name without what nobody says, and "dot pdf" as it is written."""
    return re.sub(r"[\W_]+", "", re.sub(r" dot (\w+)$", r"\1", fold(name)))


def _threads(sent: list[tuple[Json, dict[str, Json]]]) -> Json:
    """What was written to each address or number, in order."""
    found: dict[str, list[Json]] = {}
    for to, row in sent:
        for who in to if isinstance(to, list) else ():
            found.setdefault(str(who), []).append(row)
    return {who: rows for who, rows in sorted(found.items()) if len(rows) > 1}


def _sorted(rows: list[dict[str, Json]]) -> list[Json]:
    # as spoken first, so that a capital does not change which of two rows comes first
    return sorted(
        rows, key=lambda row: [json.dumps(form, ensure_ascii=False, sort_keys=True) for form in (spoken(row), row)]
    )
