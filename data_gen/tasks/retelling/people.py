"""Other people: names that a call looks up or is made out to.

Owns which words of a row are a name that may be replaced, and by which. A word that may have another sense stays.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from data_gen.grounding.spans import plain
from data_gen.task import Split
from data_gen.tasks.retelling.rows import Row, changed, listed_in, strings

PEOPLE = frozenset(
    "name person contact guest guest_name customer customer_name patient patient_name passenger driver member host owner payee "
    "recipient recipient_name under client client_name caller visitor attendee to whom who passengers guests patients invitees "
    "attendees".split()
)
"""Parameters whose value is somebody, if it is a name."""
_TITLES = frozenset("dr mr mrs ms miss doctor professor aunt uncle auntie coach nurse".split())
_KIN = frozenset(
    "mum mom mummy mommy mama mamma dad daddy papa baba grandma grandpa granny grandad granddad gran nan nana nanny nonna nonno abuela "
    "abuelo oma opa sis bro boss neighbour neighbor".split()
)
"""What people are called whose name stays."""
_CUES = frozenset("under for of name name's named guest".split())
"""Words before a name that no list has."""
_WORDS_TOO = _KIN | frozenset(
    "will may mark grace joy hope faith bill sue rob drew grant chase art jack april june august rose ivy dawn pat summer autumn "
    "christian sky angel paris london jordan austin dallas virginia carolina georgia madison victoria florence chelsea brooklyn "
    "sterling brook heather jasmine pearl ruby amber crystal holly destiny mercy case price house law page rich hunter gay wise best "
    "church green black white brown gray grey cook baker carpenter day fields rivers woods stone waters may short long small little "
    "power love hall banks park parks cross ball bush king bishop pope major lane mill mills street street's bar cash cain".split()
)
"""Names that are other words as well: neither replaced nor put in."""


def people(row: Row, draw: random.Random, split: Split) -> dict[str, Any]:
    """The row of other people."""
    text = row["request"]
    said = {plain(word).removesuffix("'s") for word in text.split()}
    sexes = ("m",) * bool(said & {"he", "him", "his"}) + ("f",) * bool(said & {"she", "her", "hers"})
    new: dict[str, str] = {}
    named, families = _named(row)
    for name in named:
        if any(
            other != name
            for string in strings(row)
            for other in re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", string, re.I)
        ):
            continue  # it is written in another way too, an address or a file
        if any(
            word != name and word[:1].isupper() and word[:3] == name[:3] and word not in named
            for word in re.findall(r"\w+", text)
        ):
            continue  # it was begun, or said short
        family = name in families
        sex = _sex(name) or (sexes[0] if len(sexes) == 1 else "?" if sexes else "")
        if sex == "?":
            continue
        fits = [
            n
            for n in _pool("last" if family else "first", split)
            if n.casefold() not in said and n not in new.values() and (family or not sex or _sex(n) in (sex, ""))
        ]
        new[name] = draw.choice(fits)
    return changed(row, lambda string: _replaced(string, new)) if new else dict(row)


def _named(row: Row) -> tuple[list[str], set[str]]:
    """The words of people's names, in the order of the calls, and those that are surnames."""
    families: set[str] = set()
    found: dict[str, None] = {}
    calls = [(call["name"], call["args"]) for call in row["calls"]]
    calls += [
        (
            calls[n][0] if n < len(calls) else entry["name"],
            {param: _values(given) for param, given in entry.get("args", {}).items()},
        )
        for n, entry in enumerate(row.get("spans", ()))
    ]
    for _, args in calls:
        for param, values in args.items():
            for value in (
                text for each in values for text in listed_in(each) if param in PEOPLE and isinstance(text, str)
            ):
                words = value.split()
                names = words[1:] if words and words[0].rstrip(".").casefold() in _TITLES else words
                plainly = all(re.fullmatch(r"[^\W\d_]{2,}", name) and name[0].isupper() for name in names)
                if not 0 < len(names) <= 2 or not plainly or any(name.casefold() in _WORDS_TOO for name in names):
                    continue
                looked_up = len(names) == 1 and _is_looked_up(row, value)
                strange = len(names) == 1 and _is_cued(row, names[0])
                if names[0] in _first_names() or names[-1] in _last_names() or looked_up or strange:
                    found |= dict.fromkeys(names)
                    alone = len(names) == 1 and len(names) == len(words)
                    families |= set(names[1:]) | (
                        {names[0]} if alone and names[0] not in _first_names() and not looked_up else set()
                    )
                    families |= {names[0]} if len(names) < len(words) and names[0] in _last_names() else set()
    return list(found), families


def _values(given: Any) -> list[Any]:
    return [one["value"] for one in listed_in(given) if isinstance(one, Mapping) and "value" in one]


def _is_cued(row: Row, name: str) -> bool:
    """Whether a name that no list has is said as one."""
    words = [word.strip(".,;:!?") for word in row["request"].split()]
    return any(word == name and before.casefold() in _CUES for before, word in pairwise(words))


def _is_looked_up(row: Row, value: str) -> bool:
    """Whether a name that no list has is somebody's: the assistant looks it up."""
    return any(
        call["name"] in ("get_phone_number", "get_email_address") and value in call["args"].get("name", ())
        for call in row["calls"]
    )


def _replaced(string: str, new: Mapping[str, str]) -> str:
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, new))})(?!\w)", lambda found: new[found[0]], string)


@lru_cache
def _lists() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    from faker.providers.person.en_US import Provider as People

    return frozenset(People.first_names_male), frozenset(People.first_names_female), frozenset(People.last_names)


def _first_names() -> frozenset[str]:
    men, women, _ = _lists()
    return men | women


def _last_names() -> frozenset[str]:
    return _lists()[2]


def _sex(name: str) -> str:
    men, women, _ = _lists()
    return "" if (name in men) == (name in women) else "m" if name in men else "f"


@lru_cache
def _pool(kind: str, split: Split) -> tuple[str, ...]:
    from data_gen.tasks.assistant.entities import listed

    return tuple(name for name in listed(kind, split) if name.casefold() not in _WORDS_TOO)
