"""Where a request says a value: literal words, numbers, dates, times, formulas, aliases, yes and no.

Owns the reading of single values in plain words. Every reading is a `Mention`: a span of words and how far it is from
literal. Does not know which of several mentions a call means: that is `data_gen.grounding.arguments`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from data_gen.grounding.aliases import ALIASES, PER_YEAR
from data_gen.grounding.atoms import CAMEL, STOP, Atom, Mention, atom_distance, atoms, identifier_words, stem
from data_gen.grounding.moments import moment_mentions
from data_gen.grounding.quantities import dates, numbers, times

NEGATIONS = frozenset(
    "not no without except exclude excluding ignore ignoring never nor neither non less cannot false disable".split()
)


_LENGTHS = {
    tuple(said.split()): minutes
    for said, minutes in {
        "an hour": 60,
        "one hour": 60,
        "half an hour": 30,
        "quarter of an hour": 15,
        "two hours": 120,
    }.items()
}
"""What people call some numbers of minutes."""


class Heard:
    """A request's words, read once: its atoms, numbers, dates and times."""

    def __init__(self, words: Sequence[str], now: str | None = None) -> None:
        self.words = tuple(words)
        self.now = now
        """The user's date and time, where relative dates can be worked out."""
        self.atoms = atoms(words)

    @cached_property
    def numbers(self) -> tuple[tuple[float, Mention], ...]:
        """Every number that the words say, with its words."""
        return tuple(numbers(self.words, self.atoms))

    @cached_property
    def dates(self) -> tuple[tuple[tuple[int | None, int, int], Mention], ...]:
        """Every date: (year or None, month, day)."""
        return tuple(dates(" ".join(self.words)))

    @cached_property
    def times(self) -> tuple[tuple[int, Mention], ...]:
        """Every time of day, in minutes."""
        return tuple(times(" ".join(self.words)))

    @cached_property
    def compact(self) -> tuple[str, tuple[int, ...]]:
        """The request as one formula-like text without spaces, with the word that each character comes from."""
        text, owner = "", []
        for index, word in enumerate(self.words):
            bare = compact(word)
            bare = {"squared": "^2", "cubed": "^3"}.get(bare, bare)
            text += bare
            owner += [index] * len(bare)
        return text, tuple(owner)


def compact(text: str) -> str:
    """A formula without what formulas are free in: spaces, quotes, multiplication signs, ``lambda x:``, ``f(x) =``."""
    text = re.sub(r"lambda \w+:", "", text.casefold()).replace("**", "^")
    text = text.replace("²", "^2").replace("³", "^3")
    return re.sub(r"[\s\"'`*?]|[.,]$", "", text)


def number_mentions(heard: Heard, value: float, param: str = "") -> list[Mention]:
    """Where the words say the number ``value``."""
    found = [
        mention
        for number, mention in heard.numbers
        if abs(number - value) <= 1e-9 * max(1.0, abs(value))
        and (value == 0 or abs(number - value) <= 1e-6 * abs(value))
    ]
    if any(part in param.casefold() for part in ("compound", "freq", "period", "times")):
        found += [Mention(atom.word, atom.word + 1, 0.8) for atom in heard.atoms if PER_YEAR.get(atom.text) == value]
    if any(part in param.casefold() for part in ("duration", "minute")):
        found += [
            Mention(at, at + len(said), 0.3)
            for said, minutes in _LENGTHS.items()
            if minutes == value
            for at in range(len(heard.words) - len(said) + 1)
            if tuple(word.casefold().strip(",.?!") for word in heard.words[at : at + len(said)]) == said
            and not (said[0] == "an" and at and heard.words[at - 1].casefold() in ("half", "of"))
        ]
    if value == 7 and "day" in param.casefold():
        found += [Mention(atom.word, atom.word + 1, 0.8) for atom in heard.atoms if atom.text == "week"]
    return found


def text_mentions(heard: Heard, value: str) -> list[Mention]:
    """Where the words say the text ``value``."""
    wanted = atoms([value])
    if heard.now is not None and (told := moment_mentions(heard.words, value, heard.now)):
        return told
    found = [mention for wanted_date, _ in dates(value) for mention in _same_date(heard, wanted_date)]
    if found:
        return found  # never by its bare numbers: "the 1st of 2022" is not in "2022-01-01 and 2022-02-01"
    if wanted:
        found += _runs(heard, wanted, 0.0, value)
    if not found and len(opened := atoms([CAMEL.sub(" ", value)])) > len(wanted):
        found += _runs(heard, opened, 0.2, "")
    for variant in _variants(wanted):
        found += _runs(heard, variant, 0.6, "")
    for wanted_time, whole in times(value):
        if whole.end - whole.start == len(value.split()):
            found += [mention for minutes, mention in heard.times if minutes == wanted_time]
    if re.search(r"[\^*+=/()²]", value) and (formula := compact(value)):
        text, owner = heard.compact
        at = text.find(formula)
        while at >= 0:
            found.append(Mention(owner[at], owner[at + len(formula) - 1] + 1, 0.4))
            at = text.find(formula, at + 1)
    if not found:
        found += _scattered(heard, wanted)
    return found


def _same_date(heard: Heard, wanted: tuple[int | None, int, int]) -> Iterator[Mention]:
    year, month, day = wanted
    for (y, m, d), mention in heard.dates:
        if (m, d) != (month, day):
            continue
        if y == year or year is None:
            yield mention
        elif y is None:
            # the year is said elsewhere ("this year is 2023", or with the other end of a range)
            for atom in heard.atoms:
                if atom.number == year:
                    yield Mention(min(mention.start, atom.word), max(mention.end, atom.word + 1), mention.cost + 0.8)


def _runs(heard: Heard, wanted: Sequence[Atom], base: float, raw: str) -> Iterator[Mention]:
    """Places where ``wanted`` stands in one run; small words may be missing or added inside it."""
    content = [atom for atom in wanted if atom.text not in STOP] or list(wanted)
    strict = len(content) < len(wanted) and len(content) == 0
    for start in range(len(heard.atoms)):
        cost, at, last = base, start, None
        wish = list(wanted) if wanted[0].text == heard.atoms[start].text or strict else content
        k = 0
        while k < len(wish):
            if at >= len(heard.atoms):
                break
            distance = atom_distance(wish[k], heard.atoms[at])
            if distance is not None:
                cost, last, k, at = cost + distance / len(wish) ** 0.5, at, k + 1, at + 1
            elif wish[k].text in STOP:
                k += 1
            elif last is not None and heard.atoms[at].text in STOP:
                cost, at = cost + 0.2, at + 1
            else:
                break
        if k < len(wish) or last is None:
            continue
        first_word, last_word = heard.atoms[start].word, heard.atoms[last].word
        if len(wanted) == 1 and len(wanted[0].text) == 1 and wanted[0].number is None:
            # one letter says something only as it is written, or after a number: C is a key, c may be anything
            unit = re.search(r"[\d°]\s*$", " ".join(heard.words[max(0, first_word - 1) : first_word])) or re.search(
                r"[\d°]", heard.words[first_word]
            )
            if not unit and (not raw or raw not in re.split(r"[^\w+#]", heard.words[first_word])):
                continue
        if raw == "A" and (first_word == 0 or heard.words[first_word - 1].endswith((".", "?", "!"))):
            continue  # an article
        yield Mention(first_word, last_word + 1, cost)


def _variants(wanted: Sequence[Atom]) -> Iterator[tuple[Atom, ...]]:
    """``wanted`` with one of its names said otherwise."""
    names = [stem(atom.text) if atom.text not in ("us", "celsius") else atom.text for atom in wanted]
    plain = [atom.text for atom in wanted]
    for i in range(len(wanted)):
        for j in range(i + 1, min(len(wanted), i + 4) + 1):
            for others in {
                ALIASES.get(tuple(plain[i:j])),
                ALIASES.get(tuple(names[i:j])),
                ALIASES.get(tuple(p.removesuffix("s") for p in plain[i:j])),
            }:
                for other in others or ():
                    yield (*wanted[:i], *atoms([" ".join(other)]), *wanted[j:])


def _scattered(heard: Heard, wanted: Sequence[Atom]) -> Iterator[Mention]:
    """All content atoms of a name near one another, in any order: ``view of the city`` for ``city view``."""
    content = [atom for atom in wanted if atom.text not in STOP]
    if not 2 <= len(content) <= 8:
        return
    places = [
        [(i, d) for i, heard_atom in enumerate(heard.atoms) if (d := atom_distance(atom, heard_atom)) is not None]
        for atom in content
    ]
    if not all(places):
        return
    for anchor, _ in places[0]:
        picks = [min(options, key=lambda option: abs(option[0] - anchor)) for options in places]
        low, high = min(p for p, _ in picks), max(p for p, _ in picks)
        if high - low < len(content) + 6 and len({p for p, _ in picks}) == len(picks):
            yield Mention(
                heard.atoms[low].word, heard.atoms[high].word + 1, 1.5 + sum(d for _, d in picks) / len(picks)
            )


_FLAG_WORDS = frozenset(
    "is include included including get use has have want with show return whether if should the of a flag enable apply".split()
)


def flag_mentions(heard: Heard, value: bool, name: str) -> list[Mention]:
    """Where the words say yes (or no) to the flag ``name``: its own words, without (or with) a negation beside them."""
    wanted = [atom for atom in atoms([" ".join(identifier_words(name))]) if atom.text not in _FLAG_WORDS]
    hits: dict[int, float] = {}
    for i, heard_atom in enumerate(heard.atoms):
        distances = [
            distance for atom in wanted if (distance := atom_distance(atom, heard_atom, short=True)) is not None
        ]
        if distances:
            hits[i] = min(distances)
    found: list[Mention] = []
    for i in hits:
        if any(j in hits for j in range(i - 4, i)):
            continue  # counted with the hit before it
        cluster = [j for j in hits if i <= j <= i + 6]
        matched = sum(
            any(atom_distance(atom, heard.atoms[j], short=True) is not None for j in cluster) for atom in wanted
        )
        if matched * 2 < len(wanted):
            continue
        around = (
            heard.atoms[max(0, i - 4) : i]
            + heard.atoms[cluster[0] : cluster[-1]]
            + heard.atoms[cluster[-1] + 1 : cluster[-1] + 3]
        )
        negations = [atom.word for atom in around if atom.text in NEGATIONS]
        if bool(negations) == value:
            continue
        span = [*(heard.atoms[j].word for j in cluster), *negations]
        found.append(
            Mention(min(span), max(span) + 1, 0.5 + min(hits[j] for j in cluster) + (len(wanted) - matched) * 0.3)
        )
    return found or [*_switched(heard, value, identifier_words(name))]


def _switched(heard: Heard, value: bool, name: Sequence[str]) -> Iterator[Mention]:
    """Where a word of one of two states says which the flag is to have: ``switch off``, ``unlock``; ``don't`` turns it
    around."""
    named = [word for word in map(_bare, name) if word in _OPPOSITES]
    if not named and not _STATES & set(name):
        return
    yes = {word for one in named for word in (one, *_ALSO.get(one, ()))} or {"on", *_ALSO["on"]}
    no = {other for word in yes for other in _OPPOSITES[word]}
    for i, atom in enumerate(heard.atoms):
        said = _bare(atom.text)
        if said not in yes | no:
            continue
        before = [other.word for other in heard.atoms[max(0, i - 3) : i] if other.text in _TURNS_AROUND]
        if ((said in yes) != bool(before)) == value:
            # a particle beside its verb is sure; "the lamp on the desk" says a place
            particle = said in ("on", "off") and not _VERBS_OF_SWITCHES & {
                other.text for other in heard.atoms[max(0, i - 6) : i]
            }
            yield Mention(min([atom.word, *before]), atom.word + 1, 1.4 if particle else 0.9)


def _bare(word: str) -> str:
    """``locked`` and ``unlocks`` as the states are listed."""
    return next(
        (
            form
            for form in (word, word.removesuffix("d"), word.removesuffix("ed"), word.removesuffix("s"), stem(word))
            if form in _OPPOSITES
        ),
        word,
    )


_PAIRS = (
    "on off",
    "enable disable",
    "activate deactivate",
    "start stop",
    "lock unlock",
    "open close",
    "open shut",
    "mute unmute",
    "show hide",
    "arm disarm",
    "connect disconnect",
    "subscribe unsubscribe",
    "allow block",
    "allow forbid",
    "allow deny",
    "pause resume",
    "pause play",
    "pin unpin",
    "archive unarchive",
    "follow unfollow",
    "accept decline",
    "accept reject",
    "install uninstall",
)
_OPPOSITES: dict[str, set[str]] = {}
for _pair in _PAIRS:
    _one, _other = _pair.split()
    _OPPOSITES.setdefault(_one, set()).add(_other)
    _OPPOSITES.setdefault(_other, set()).add(_one)
_ALSO = {
    one: tuple(word for word in words if word != one)
    for words in (("on", "enable", "activate", "start"), ("off", "disable", "deactivate", "stop"), ("close", "shut"))
    for one in words
}
"""Words that say the same of a switch."""
_STATES = frozenset("state status power powered active enabled running".split())
"""What a flag is called that means "on" without saying so."""
_TURNS_AROUND = frozenset("not never without".split())
_VERBS_OF_SWITCHES = frozenset("turn turns turned switch switches put leave keep power".split())
