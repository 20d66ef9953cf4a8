"""Variants of a marked request: the same request with other people, other days and other hours.

Owns what may be changed by the marks alone, and changes it everywhere in the row: in the request, in quotations, in
values.

- people: names that a call looks up or is made out to, by names of training, of the same sex where the request says
  "him" or "her";
- days: the user's date moves, days of the week turn with it, written dates follow, so that "tomorrow" and "Friday" stay
  right;
- hours: "at three" becomes "at four" where the project's own grammar (`midsentence.tools.times`) reads an hour later in
  the new phrase;
- fillers: "um" and "uh" of training's lexicon come and go between what is marked;
- texts: what is dictated is, every second time, what another request dictates.

A word that may have another sense is left unchanged. Does not know whether the new row can be used:
`data_gen.tasks.corpus` reads it through the same door as the old, and takes the old where it is refused.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

from data_gen.grounding.heard import SOFT
from data_gen.grounding.spans import find, plain
from data_gen.speech.disfluency import TRAIN
from data_gen.task import BadTask, Split
from midsentence.tools import times

Row = Mapping[str, Any]
WAYS = ("people", "days", "hours", "fillers")
"""What is changed where nothing else is asked for."""
TEXTS = frozenset("message context content notes note body text comment".split())
"""Parameters whose value is dictated."""
PEOPLE = frozenset(
    "name person contact guest guest_name customer customer_name patient patient_name passenger driver member host owner payee "
    "recipient recipient_name under client client_name caller visitor attendee to whom who passengers guests patients invitees "
    "attendees".split()
)
"""Parameters whose value is somebody, if it is a name."""
MOMENTS = re.compile(r"(?:^|_)(?:time|date|when|at|due|start|starts|end|ends|until|from|moment)(?:$|_)")
"""Parameters that say when something is."""
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
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_CALENDAR = frozenset(
    "january february march april june july august september october november december month months year years weekend weekends "
    "weekday weekdays fortnight christmas easter thanksgiving halloween birthday anniversary eve holiday holidays spring summer autumn "
    "fall winter".split()
)
"""Words by which a request is bound to its dates; a row that has one, or a numbered day, keeps them."""
_ORDINAL = re.compile(
    r"\d{1,2}(?:st|nd|rd|th)|(?:twen|thir)tieth|\w+teenth|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|"
    r"tenth|eleventh|twelfth|\d{1,2}[/.]\d{1,2}(?:[/.]\d+)?|(?:19|20)\d\d"
)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?")
_HOURS = "one two three four five six seven eight nine ten eleven".split()
_HOUR = re.compile(rf"(?<![\w:.])(?:{'|'.join(_HOURS)}|\d{{1,2}}(?=:\d\d|\s*[ap]\.?m\b))(?![\w])", re.IGNORECASE)
_FAR_DAYS = 180
_FILLER_RATE = 0.04
"""Of a place that may have one, to have one; people make about one in forty words, and not all places may."""


def retold(
    row: Row, draw: random.Random, ways: Sequence[str] = WAYS, split: Split = "train", dictated: Sequence[str] = ()
) -> dict[str, Any]:
    """The row told again; equal to it where nothing may be changed.

    Args:
        row: as a requests file has it, with ``spans``.
        draw: what decides.
        ways: what is changed.
        split: whose names are put in.
        dictated: what is put in the place of a text, for the way ``texts``.
    """
    told = dict(row)
    for way in ways:
        match way:
            case "texts":
                told = texts(told, draw, dictated)
            case "people":
                told = people(told, draw, split)
            case "days":
                told = days(told, draw)
            case "hours":
                told = hours(told, draw)
            case "fillers":
                told = fillers(told, draw)
    return told


# -- people
# -------------------------------------------------------------------------------------------------------------


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
            for string in _strings(row)
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
    return _changed(row, lambda string: _replaced(string, new)) if new else dict(row)


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
                text for each in values for text in _listed(each) if param in PEOPLE and isinstance(text, str)
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


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _values(given: Any) -> list[Any]:
    return [one["value"] for one in _listed(given) if isinstance(one, Mapping) and "value" in one]


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


# -- days
# ---------------------------------------------------------------------------------------------------------------


def days(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row on another day: the user's date moves, days of the week turn with it, written dates follow."""
    said = [plain(word) for word in row["request"].split()]
    bound = _CALENDAR & set(said) or any(_ORDINAL.fullmatch(word) for word in said)
    dated = any(_ISO.search(string) for string in _strings(row))
    if bound or dated and not row.get("now"):
        return dict(row)
    ahead = draw.choice([n for n in range(-_FAR_DAYS, _FAR_DAYS + 1) if n % 7])
    weekday = re.compile(rf"(?<!\w)({'|'.join(_DAYS)})(?=s?(?!\w)|'s)", re.IGNORECASE)

    def turned(string: str) -> str:
        string = weekday.sub(
            lambda found: _cased(found[0], _DAYS[(_DAYS.index(found[0].casefold()) + ahead) % 7]), string
        )
        return _ISO.sub(lambda found: _moved(found[0], timedelta(days=ahead)), string)

    told = _changed(row, turned)
    return told | ({"now": _moved(row["now"], timedelta(days=ahead))} if row.get("now") else {})


def _moved(written: str, by: timedelta) -> str:
    form = {10: "%Y-%m-%d", 16: "%Y-%m-%d %H:%M", 19: "%Y-%m-%d %H:%M:%S"}[len(written)]
    return f"{datetime.strptime(written, form) + by:{form}}"


# -- hours
# --------------------------------------------------------------------------------------------------------------


def hours(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row some hours earlier or later, where all hours that are said are marked and the grammar agrees."""
    marks = list(_moments(row))
    if not marks:
        return dict(row)
    base = datetime.fromisoformat(row.get("now") or "2026-03-03 10:00:00")
    for by in draw.sample((-2, -1, 1, 2), 4):
        if (told := _shifted(row, marks, base, by)) is not None:
            return told
    return dict(row)


def _moments(row: Row) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What is marked as saying when: the quotation and the values that it may have."""
    gold = [call["args"] for call in row["calls"]]
    for n, entry in enumerate(row.get("spans", ())):
        for param, given in entry.get("args", {}).items():
            if not MOMENTS.search(param):
                continue
            for one in given if isinstance(given, list) else [given]:
                form = one if isinstance(one, Mapping) else {"words": one}
                if "words" in form:
                    accepted = gold[n].get(param, ()) if n < len(gold) else ()
                    value = form.get("value", accepted[0] if accepted else None)
                    yield form["words"].split("#")[0], tuple(accepted) if value in accepted else (value,)


def _shifted(row: Row, marks: Sequence[tuple[str, tuple[Any, ...]]], base: datetime, by: int) -> dict[str, Any] | None:
    """The row with every hour ``by`` later; None where one of them can't be."""
    spoken: dict[str, str] = {}
    values: dict[str, str] = {}
    for quote, accepted in marks:
        said = re.sub(r"[,;.!?](?= |$)", "", quote)
        new = _later(said, base, by)
        if new is None:
            return None
        pairs = list(zip(map(str.casefold, said.split()), map(str.casefold, new.split())))
        hour = {old_word: new_word for old_word, new_word in pairs if old_word != new_word}
        if any(old_word in hour and old_word == new_word for old_word, new_word in pairs):
            return None  # "five forty five": words are replaced wherever they are said
        spoken |= hour
        at = times.moment(said, base)
        for value in accepted:
            if not isinstance(value, str):
                return None
            if _ISO.fullmatch(value):
                # the day, or the half of it, may have been said before
                if len(value) < 16 or (int(value[11:13]) - at.hour) % 12 or int(value[14:16]) != at.minute:
                    return None
                moved = _moved(value, timedelta(hours=by))
                if moved[:10] != value[:10] or row.get("now") and (moved > row["now"]) != (value > row["now"]):
                    return None
            else:
                told = _later(value, base, by)
                if told is None:
                    return None
                moved = told
            values[value] = moved
    if set(values) & set(values.values()):
        return None  # one hour would become another that is in the row too
    if not spoken or not _only_marked(row["request"], spoken, [quote for quote, _ in marks]):
        return None
    word = re.compile(
        rf"(?<![\w:])(?:{'|'.join(map(re.escape, sorted(spoken, key=len, reverse=True)))})(?![\w:])", re.IGNORECASE
    )

    def later(string: str) -> str:
        if string in values:
            return values[string]
        return word.sub(lambda found: _cased(found[0], spoken[found[0].casefold()]), string)

    return _changed(row, later)


def _later(phrase: str, base: datetime, by: int) -> str | None:
    """A phrase that says a moment ``by`` hours after this one's, by one word of it."""
    try:
        at = times.moment(phrase, base)
    except times.Unclear:
        return None
    for found in _HOUR.finditer(phrase):
        word = found[0].casefold()
        number = (int(word) if word.isdigit() else _HOURS.index(word) + 1) + by
        if (
            word.isdigit()
            and not 1 <= number <= (11 if int(word) < 12 else 23)
            or not word.isdigit()
            and not 1 <= number <= 11
        ):
            continue
        new = str(number) if word.isdigit() else _cased(found[0], _HOURS[number - 1])
        made = f"{phrase[: found.start()]}{new}{phrase[found.end() :]}"
        try:
            if times.moment(made, base) - at == timedelta(hours=by):
                return made
        except times.Unclear:
            continue
    return None


def _only_marked(request: str, spoken: Mapping[str, str], quotes: Sequence[str]) -> bool:
    """Whether words that change are said in what is marked and nowhere else, and no new word is said already."""
    words = [plain(word) for word in request.split()]
    inside: set[int] = set()
    for quote in quotes:
        wanted = [plain(word) for word in quote.split()]
        inside |= {n + k for n in range(len(words)) if words[n : n + len(wanted)] == wanted for k in range(len(wanted))}
    free = [word for n, word in enumerate(words) if n not in inside]
    return not (set(free) & {*spoken, *spoken.values()})


# -- fillers
# ------------------------------------------------------------------------------------------------------------


def fillers(row: Row, draw: random.Random) -> dict[str, Any]:
    """The row with other fillers between what is marked."""
    words = row["request"].split()
    quotes = list(_quotes(row))
    spans = [find(words, quote) for quote in quotes]
    said: list[str] = []
    at: list[int] = []
    for n, word in enumerate(words):
        inside = any(start <= n < end for start, end in spans)
        if not any(start < n < end for start, end in spans) and draw.random() < _FILLER_RATE:
            said.append(draw.choice(TRAIN.fillers))
        at.append(len(said))
        if inside or plain(word) not in TRAIN.fillers or draw.random() < 0.5:
            said.append(word)
    if said == words or not _said_at(said, quotes, [(at[start], at[start] + end - start) for start, end in spans]):
        return dict(row)
    tags = [tag for tag in row.get("tags", ()) if tag not in ("fluent", "filler")]
    filled = any(plain(word) in SOFT for word in said)
    return dict(row) | {"request": " ".join(said), "tags": [*tags, "filler"] if filled else tags or ["fluent"]}


def _said_at(words: Sequence[str], quotes: Iterable[str], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether each quotation is said at its place still; its number may be another's, or the words said twice now."""
    try:
        return [find(words, quote) for quote in quotes] == spans
    except BadTask:
        return False


def _quotes(row: Row) -> Iterator[str]:
    """Everything that a row quotes of its request."""
    for entry in row.get("spans", ()):
        yield from (entry[key] for key in ("tool", "until") if key in entry)
        for given in entry.get("args", {}).values():
            for one in _listed(given):
                quote = one.get("words") if isinstance(one, Mapping) else one
                if quote is not None:
                    yield quote


# -- texts
# --------------------------------------------------------------------------------------------------------------


def texts(row: Row, draw: random.Random, dictated: Sequence[str]) -> dict[str, Any]:
    """The row with other texts of people's, where one is said in its own words and in one piece; every second time as
    it is."""
    told = dict(row)
    if not dictated or draw.random() < 0.5:
        return told
    for n, param, quote in own_texts(row):
        new = draw.choice(dictated)
        words = told["request"].split()
        spans, (start, end) = [find(words, each) for each in _quotes(told)], find(words, quote)
        said = [*words[:start], *new.split(), *words[end:]]
        said[start + len(new.split()) - 1] += _stop(words[end - 1])
        more = len(said) - len(words)
        other = dict(told) | {"request": " ".join(said)}
        other["calls"] = [dict(call) for call in told["calls"]]
        other["calls"][n]["args"] = told["calls"][n]["args"] | {param: list(dict.fromkeys([_begun(new), new]))}
        other["spans"] = [dict(entry) for entry in told["spans"]]
        other["spans"][n]["args"] = told["spans"][n]["args"] | {param: new}
        wanted = [(first + more * (first >= end), last + more * (last >= end)) for first, last in spans]
        if _said_at(said, _quotes(other), wanted):
            told = other
    return told


def own_texts(row: Row) -> list[tuple[int, str, str]]:
    """Call, parameter and quotation of the texts that a row dictates in their own words, once, apart from all that is
    marked besides."""
    words = row["request"].split()
    quotes = list(_quotes(row))
    found = []
    for n, (call, entry) in enumerate(zip(row["calls"], row.get("spans", ()))):
        for param, given in entry.get("args", {}).items():
            accepted = call["args"].get(param)
            if param not in TEXTS or not isinstance(given, str) or "#" in given or not accepted:
                continue
            value = accepted[0]
            if not isinstance(value, str) or [*map(plain, value.split())] != [*map(plain, given.split())]:
                continue
            if len(value.split()) < 2 or any(plain(word) in SOFT for word in given.split()):
                continue
            try:
                start, end = find(words, given)
                apart = (
                    sum(first < end and start < last for first, last in (find(words, other) for other in quotes)) == 1
                )
            except BadTask:
                continue
            if apart:
                found.append((n, param, given))
    return found


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stop(word: str) -> str:
    """The punctuation that a word ends with."""
    return word[len(word.rstrip(".,;:!?")) :]


# -- rows
# ---------------------------------------------------------------------------------------------------------------


def _cased(like: str, word: str) -> str:
    return word.capitalize() if like[:1].isupper() else word


def _strings(row: Row) -> Iterator[str]:
    """All that is said, quoted or given in a row."""
    found: list[str] = []

    def taken(string: str) -> str:
        found.append(string)
        return string

    _changed(row, taken)
    yield from found


def _changed(row: Row, change: Callable[[str], str]) -> dict[str, Any]:
    """The row with its texts changed: the request, what is quoted of it, values and answers; names of tools and
    parameters stay."""

    def walk(value: Any) -> Any:
        match value:
            case str():
                return change(value)
            case list() | tuple():
                return [walk(item) for item in value]
            case Mapping():
                return {key: walk(item) for key, item in value.items()}
        return value

    told = dict(row) | {"request": change(row["request"])}
    told["calls"] = [call | {"args": walk(call["args"])} for call in row["calls"]]
    if "spans" in row:
        told["spans"] = [
            entry | {key: walk(entry[key]) for key in ("tool", "args", "until") if key in entry}
            for entry in row["spans"]
        ]
    return told | ({"answer": walk(row["answer"])} if "answer" in row else {})
