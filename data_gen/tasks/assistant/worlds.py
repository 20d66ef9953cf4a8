"""Seeded worlds: people, files, notes and mail for one user, from the names of one split.

Owns how a world is drawn. No two people of a world share a first name, so a first name alone finds its owner; one pair
goes by a short and a long form of it ("Sam Lee", "Samuel Ortiz"). Does not know requests.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from data_gen.seeds import child
from data_gen.task import Split
from data_gen.tasks.assistant.entities import pool
from midsentence.tools.world import File, Mail, Note, Person, WorldData

COUNTS: dict[Split, int] = {"train": 2000, "validation": 40, "test": 100}
PEOPLE, FILES, NOTES, OWN = 12, 8, 8, 10


@dataclass(frozen=True, slots=True)
class Setting:
    """A world and the names in it, by kind."""

    id: str
    """The world's name."""
    split: Split
    """The one split that it belongs to."""
    data: WorldData
    """What the tools read and change."""
    people: tuple[str, ...]
    """Full names."""
    short: tuple[str, str]
    """A short first name that one contact goes by, and the full name of another whose first name is its long form."""
    pdfs: tuple[str, ...]
    """Names of PDF files."""
    files: tuple[str, ...]
    """Names of all files, the PDF files first."""
    notes: tuple[str, ...]
    """Titles of notes."""
    lists: tuple[str, ...]
    """Names of reminder lists."""
    folders: tuple[str, ...]
    """Names of folders of notes."""
    calendars: tuple[str, ...]
    """Names of calendars."""
    places: tuple[str, ...]
    """Places on the map."""
    rooms: tuple[str, ...]
    """Places where one meets."""
    start: datetime
    """The first day on which its user may speak."""


@lru_cache(maxsize=1024)
def setting(split: Split, index: int, seed: int = 0) -> Setting:
    """The ``index``-th world of a split."""
    id = f"{split}-{index}"
    draw = random.Random(child(seed, "world", id))
    lasts = draw.sample(pool("last", split), PEOPLE + 2)
    firsts = draw.sample(pool("first", split), PEOPLE)
    short, long = draw.choice(pool("nickname", split)).split()
    names = [f"{a} {b}" for a, b in zip([*firsts, short, long], lasts)]
    people = tuple(
        Person(name, f"+1{draw.randint(2_000_000_000, 9_999_999_999)}", _address(name, draw)) for name in names
    )
    files = draw.sample(pool("file", split), FILES)
    stored = tuple(_file(name, "pdf" if n < FILES * 3 // 4 else "docx", draw, split) for n, name in enumerate(files))
    lists, folders, calendars = (_few(kind, split, draw) for kind in ("list", "folder", "calendar"))
    notes = draw.sample(pool("note", split), NOTES)
    mails = tuple(
        Mail(person.email, draw.choice(pool("subject", split)), f"{draw.choice(pool('message', split)).capitalize()}.")
        for person in draw.sample(people, 3)
    )
    data = WorldData(
        people,
        stored,
        tuple(Note(name, draw.choice(pool("message", split)), draw.choice(("Notes", *folders))) for name in notes),
        mails,
        None,
        ("Notes", *folders),
        ("Calendar", *calendars),
        ("Reminders", *lists),
    )
    return Setting(
        id,
        split,
        data,
        tuple(names),
        (short, names[-1]),
        tuple(files[: FILES * 3 // 4]),
        tuple(files),
        tuple(notes),
        lists,
        folders,
        calendars,
        tuple(draw.sample(pool("place", split), 12)),
        _few("room", split, draw),
        datetime(2024, 1, 1) + timedelta(days=draw.randrange(1000)),
    )


def _few(kind: str, split: Split, draw: random.Random) -> tuple[str, ...]:
    """All of a short list, ten of a long one."""
    all_ = pool(kind, split)
    return all_ if len(all_) <= OWN else tuple(draw.sample(all_, OWN))


def _address(name: str, draw: random.Random) -> str:
    first, last = name.lower().split()
    host = draw.choice(("example.com", "example.org", "example.net"))
    return draw.choice((f"{first}.{last}@{host}", f"{first[0]}{last}@{host}", f"{last}{draw.randint(1, 99)}@{host}"))


def _file(name: str, ending: str, draw: random.Random, split: Split) -> File:
    title = "".join(part.capitalize() for part in name.split())
    whens = draw.sample(("in March", "in June", "in spring", "in autumn", "last year"), 2)
    facts = [f"{fact.capitalize()} {when}." for fact, when in zip(draw.sample(pool("fact", split), 2), whens)]
    return File(f"/Users/me/{draw.choice(('Documents', 'Desktop', 'Downloads'))}/{title}.{ending}", " ".join(facts))
