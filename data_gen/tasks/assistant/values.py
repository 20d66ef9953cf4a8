"""Values for slots: what is said, and what a call is given for it.

Owns the drawing of values from a world, never the same twice in a request, and of other values that a speaker may say
by mistake. Does not know where in a sentence they stand.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from data_gen.tasks.assistant.entities import pool
from data_gen.tasks.assistant.moments import day_phrase, length_phrase, moment_phrase
from data_gen.tasks.assistant.worlds import Setting

Times = Literal["said", "canonical"]
"""What gold calls give for times, lengths and priorities first: the words as they were said, or TinyAgent's forms."""
_SAID = ("moment", "day", "length", "priority")
_PRIORITIES = {"high": 1, "medium": 5, "low": 9}
_TRANSPORT = {"by car": "d", "on foot": "w", "by train": "r"}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a slot."""

    words: str
    """As it is said."""
    accepted: tuple[Any, ...]
    """What a call may be given, canonical first."""
    kind: str
    """The kind of value."""

    @property
    def meaning(self) -> str:
        """The same for values that mean the same: of a time what it is, of a person the full name."""
        if self.kind in _SAID:
            return str(next(value for value in self.accepted if value != self.words))
        return max(map(str, self.accepted), key=len)


@dataclass(slots=True)
class Drawer:
    """Draws values for one request."""

    setting: Setting
    """The world whose names are drawn."""
    draw: random.Random
    """Decides which."""
    now: datetime
    """When the request is made."""
    times: Times = "said"
    """What gold calls give for times."""
    used: set[Any] = field(default_factory=set)
    """What was drawn before, and is not drawn again."""

    def some(self, kind: str) -> list[Value]:
        """The values of a slot: one, or several people."""
        if kind != "people":
            return [self.one(kind)]
        return [self.one("person") for _ in range(1 if self.draw.random() < 0.75 else 2)]

    def one(self, kind: str) -> Value:
        """A value that was not drawn before, as long as there is one."""
        for _ in range(20):
            value = self._any(kind)
            if (key := (_what(kind), value.meaning)) not in self.used:
                break
        self.used.add(key)
        return value

    def person(self, name: str, *, first_only: bool) -> Value:
        """A contact, by first name or in full. Nobody shares a first name, so both find the same."""
        first = name.split()[0]
        return Value(first if first_only else name, (first, name) if first_only else (name, first), "person")

    def short(self) -> Value:
        """The contact who goes by a short name that another's begins like."""
        first = self.setting.short[0]
        return self.person(next(name for name in self.setting.people if name.split()[0] == first), first_only=True)

    def _any(self, kind: str) -> Value:
        draw, setting = self.draw, self.setting
        match kind:
            case "person":
                return self.person(draw.choice(setting.people), first_only=draw.random() < 0.4)
            case "moment":
                said, at = moment_phrase(draw, self.now)
                return self._timed(said, f"{at:%Y-%m-%d %H:%M:%S}", kind)
            case "day":
                said, day = day_phrase(draw, self.now)
                return self._timed(said, f"{day:%Y-%m-%d}", kind)
            case "length":
                said, minutes = length_phrase(draw)
                return self._timed(said, minutes, kind)
            case "priority":
                said = draw.choice(list(_PRIORITIES))
                return self._timed(said, _PRIORITIES[said], kind)
            case "transport":
                said = draw.choice(list(_TRANSPORT))
                return Value(said, (_TRANSPORT[said],), kind)
            case "location":
                return self._name(setting.rooms if draw.random() < 0.6 else setting.places, kind)
            case "place":
                return self._name(setting.places, kind)
            case "pdf":
                return self._name(setting.pdfs, kind)
            case "file":
                return self._name(setting.files, kind)
            case "note":
                return self._name(setting.notes, kind)
            case "new_note":
                return self._name([name for name in pool("note", setting.split) if name not in setting.notes], kind)
            case "list":
                return self._name(setting.lists, kind)
            case "folder":
                return self._name(setting.folders, kind)
            case "calendar":
                return self._name(setting.calendars, kind)
        return self._name(pool(kind, setting.split), kind)

    def _timed(self, said: str, canonical: str | int, kind: str) -> Value:
        return Value(said, (said, canonical) if self.times == "said" else (canonical, said), kind)

    def _name(self, names: Sequence[str], kind: str) -> Value:
        name = self.draw.choice(names)
        return Value(name, (name,), kind)


def _what(kind: str) -> str:
    """Kinds that name the same things."""
    return {"people": "person", "pdf": "file", "location": "place"}.get(kind, kind)
