"""Where a request says a value: literal words, numbers, dates, times, formulas, aliases, yes and no.

Owns the reading of single values in plain words. Every reading is a `Mention`: a span of words and how far it is from
literal. Refuses to know which of several mentions a call means: that is `data_gen.grounding`'s.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from data_gen.aliases import ALIASES, COUNTS, MONTHS, ONES, PER_YEAR, SCALES, TENS

STOP = frozenset("a an the of in at on for to and or with from by s is are be its his her their my your".split())
NEGATIONS = frozenset("not no without except exclude excluding ignore ignoring never nor neither non less cannot false disable".split())

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+\.\d+|(?<![\w)])\.\d+|\d+"
_ATOM = re.compile(rf"(?P<number>{_NUMBER})|[^\W\d_]+|[$€£¥₹]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class Mention:
    """Words that reveal a value."""

    start: int
    end: int
    """Half-open word indices."""
    cost: float
    """0 for the literal words, more the further the reading is from them."""


@dataclass(frozen=True, slots=True)
class Atom:
    """The smallest thing that is compared: a run of letters, a number, a currency sign."""

    text: str
    word: int
    """Index of the word that it stands in."""
    number: float | None = None


def fold(text: str) -> str:
    """Lower case, without accents; contractions opened, possessives dropped."""
    text = text.replace("’", "'").replace("‘", "'")
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).casefold()
    text = re.sub(r"n't\b", " not", text)
    return re.sub(r"(?<=\w)'s\b", "", text)


def atoms(words: Sequence[str]) -> tuple[Atom, ...]:
    """The atoms of ``words``, in order."""
    found = []
    for index, word in enumerate(words):
        for match in _ATOM.finditer(fold(word)):
            text = match.group()
            if match.group("number"):
                text = text.replace(",", "")
                found.append(Atom(text, index, float(text)))
            else:
                found.append(Atom(text, index, float(ONES[text]) if text in ONES else None))
    return tuple(found)


def identifier_words(name: str) -> list[str]:
    """``calculate_BMI`` and ``calculateBmi`` to their words, lower case."""
    return [atom.text for atom in atoms([_CAMEL.sub(" ", name).replace(".", " ")])]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A light English stemmer: plural, -ing, -ed, -ly, and a final e. Wrong stems are harmless where both sides err alike."""
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "ches", "shes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "edly", "ed", "ly"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            word = rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    return word.removesuffix("e") if len(word) > 3 else word


def atom_distance(value: Atom, heard: Atom) -> float | None:
    """How far a heard atom is from a wanted one, or None where it is another."""
    if value.text == heard.text:
        return 0.0
    if value.number is not None and heard.number is not None:
        return 0.2 if value.number == heard.number else None
    if value.number is not None or heard.number is not None:
        return None
    a, b = stem(value.text), stem(heard.text)
    if a == b:
        return 0.3
    common = 0
    for x, y in zip(a, b):
        if x != y:
            break
        common += 1
    return 1.2 if common >= 5 and common >= 0.55 * max(len(a), len(b)) else None


class Heard:
    """A request's words, read once: its atoms, numbers, dates and times."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.atoms = atoms(words)

    @cached_property
    def numbers(self) -> tuple[tuple[float, Mention], ...]:
        """Every number that the words say, with its words."""
        return tuple(_numbers(self))

    @cached_property
    def dates(self) -> tuple[tuple[tuple[int | None, int, int], Mention], ...]:
        """Every date: (year or None, month, day)."""
        return tuple(_dates(" ".join(self.words)))

    @cached_property
    def times(self) -> tuple[tuple[int, Mention], ...]:
        """Every time of day, in minutes."""
        return tuple(_times(" ".join(self.words)))

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


def _word_at(text: str, position: int) -> int:
    return text.count(" ", 0, position)


def _span(text: str, match: re.Match[str], cost: float) -> Mention:
    return Mention(_word_at(text, match.start()), _word_at(text, match.end() - 1) + 1, cost)


def _numbers(heard: Heard) -> Iterator[tuple[float, Mention]]:
    text = " ".join(heard.words)
    for match in re.finditer(r"(\d+(?:\.\d+)?)(?:e|\s*[x×*]\s*10\s*\^?\s*\(?)([-−]?\d+)", text, re.IGNORECASE):
        yield float(match[1]) * 10.0 ** int(match[2].replace("−", "-")), _span(text, match, 0.0)
    for match in re.finditer(r"(?<![\d/.])(\d+)/(\d+)(?![\d/])", text):
        if int(match[2]):
            yield int(match[1]) / int(match[2]), _span(text, match, 0.5)
    items = heard.atoms
    i = 0
    while i < len(items):
        value, last = _numeral(items, i)
        if value is None:
            word = items[i].text
            if word in COUNTS:
                yield COUNTS[word], Mention(items[i].word, items[i].word + 1, 0.8)
            i += 1
            continue
        start, end = items[i].word, items[last].word + 1
        after = items[last + 1].text if last + 1 < len(items) else ""
        if after == "dozen":
            yield value * 12, Mention(start, items[last + 1].word + 1, 0.1)
        own = heard.words[end - 1]
        if after in ("percent", "percentage", "pct") or re.search(r"\d\s*%", own):
            yield value / 100, Mention(start, end + (after in ("percent", "pct") and items[last + 1].word == end), 0.1)
        before = [atom.text for atom in items[max(0, i - 3):i]]
        if re.search(rf"(?:^|[^\w)])[-−]\$?{re.escape(items[i].text)}", heard.words[start].replace(",", "")):
            yield -value, Mention(start, end, 0.0)
            yield value, Mention(start, end, 1.0)
        else:
            if {"loss", "lost", "negative", "minus"} & set(before):
                yield -value, Mention(start, end, 0.3)
            yield value, Mention(start, end, 0.0)
        if last > i and items[i].number is not None and items[last].text in SCALES:
            yield items[i].number, Mention(start, items[i].word + 1, 1.5)  # "5 million" to a parameter counted in millions
        i = last + 1


def _numeral(items: Sequence[Atom], i: int) -> tuple[float | None, int]:
    """The numeral that begins at atom ``i`` and its last atom: ``twenty one``, ``3.5 million``, ``two hundred and five``."""
    total, current, last, seen = 0.0, 0.0, i, False
    j = i
    while j < len(items):
        atom = items[j]
        if atom.text.isalpha() and atom.text in TENS:
            if seen and current % 100:
                break
            current += TENS[atom.text]
        elif atom.number is not None:
            spelled = atom.text in ONES
            if seen and (not spelled or current % (10 if current % 100 >= 20 and atom.number < 10 else 100)):
                break
            current += atom.number
        elif atom.text in SCALES and (seen or (atom.text != "k" and j > 0 and items[j - 1].text in ("a", "per"))):
            if atom.text == "k" and items[j - 1].word != atom.word:
                break  # "300 K" is a temperature
            current = (current or 1) * SCALES[atom.text]
            if SCALES[atom.text] >= 1000:
                total, current = total + current, 0.0
        elif atom.text == "and" and seen and items[j - 1].text == "hundred" and j + 1 < len(items) and items[j + 1].text in ONES | TENS:
            j += 1
            continue
        else:
            break
        seen, last = True, j
        if atom.number is not None and atom.text not in ONES and not (j + 1 < len(items) and items[j + 1].text in SCALES):
            break
        j += 1
    return (total + current if seen else None), last


_MONTH = "|".join(f"{name[:3]}(?:{name[3:]}|{'t' if name == 'september' else ''})?" if name != "may" else "may" for name in MONTHS)


def _dates(text: str) -> Iterator[tuple[tuple[int | None, int, int], Mention]]:
    low = fold_keep(text)
    def month(name: str) -> int:
        return [known[:3] for known in MONTHS].index(name[:3]) + 1
    year = r"(?:,? *(?:of |in )?(\d{4}))?"
    for match in re.finditer(rf"\b({_MONTH})\.? *(?:the )?(\d{{1,2}})(?!\d|:)(?:st|nd|rd|th)?{year}", low):
        yield (int(match[3]) if match[3] else None, month(match[1]), int(match[2])), _span(low, match, 0.2)
    for match in re.finditer(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? *(?:of )?({_MONTH})\b\.?{year}", low):
        yield (int(match[3]) if match[3] else None, month(match[2]), int(match[1])), _span(low, match, 0.2)
    for match in re.finditer(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", low):
        yield (int(match[1]), int(match[2]), int(match[3])), _span(low, match, 0.1)
    for match in re.finditer(r"\b(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})\b", low):
        a, b, y = int(match[1]), int(match[2]), int(match[3])
        for m, d, cost in ((a, b, 0.2), (b, a, 0.6)):
            if m <= 12 and d <= 31:
                yield (y, m, d), _span(low, match, cost)


def _times(text: str) -> Iterator[tuple[int, Mention]]:
    low = fold_keep(text)
    for match in re.finditer(r"\b(\d{1,2})(?::(\d\d))?(?::\d\d)? *(a\.?m\b|p\.?m\b)", low):
        yield (int(match[1]) % 12 + (12 if match[3][0] == "p" else 0)) * 60 + int(match[2] or 0), _span(low, match, 0.1)
    for match in re.finditer(r"\b(\d{1,2}):(\d\d)(?! *[ap]\.?m)\b", low):
        yield int(match[1]) * 60 + int(match[2]), _span(low, match, 0.1)
    for name, minutes in (("noon", 720), ("midnight", 0)):
        for match in re.finditer(rf"\b{name}\b", low):
            yield minutes, _span(low, match, 0.3)


def fold_keep(text: str) -> str:
    """Lower case with the length kept, so that positions stay true."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def number_mentions(heard: Heard, value: float, param: str = "") -> list[Mention]:
    """Where the words say the number ``value``."""
    found = [mention for number, mention in heard.numbers if abs(number - value) <= 1e-9 * max(1.0, abs(value)) and
             (value == 0 or abs(number - value) <= 1e-6 * abs(value))]
    if any(part in param.casefold() for part in ("compound", "freq", "period", "times")):
        found += [Mention(atom.word, atom.word + 1, 0.8) for atom in heard.atoms if PER_YEAR.get(atom.text) == value]
    return found


def text_mentions(heard: Heard, value: str) -> list[Mention]:
    """Where the words say the text ``value``."""
    wanted = atoms([_CAMEL.sub(" ", value) if " " not in value and not value.isupper() and len(value) > 6 else value])
    found = list(_runs(heard, wanted, 0.0, value)) if wanted else []
    for variant in _variants(wanted):
        found += _runs(heard, variant, 0.6, "")
    for wanted_date, _ in _dates(value):
        found += _same_date(heard, wanted_date)
    for wanted_time, whole in _times(value):
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
        if len(wanted) == 1 and len(wanted[0].text) == 1 and raw and raw not in re.split(r"[^\w+#]", heard.words[first_word]):
            continue  # one letter says something only as it is written: C is a key, c may be anything
        yield Mention(first_word, last_word + 1, cost)


def _variants(wanted: Sequence[Atom]) -> Iterator[tuple[Atom, ...]]:
    """``wanted`` with one of its names said otherwise."""
    names = [stem(atom.text) if atom.text not in ("us", "celsius") else atom.text for atom in wanted]
    plain = [atom.text for atom in wanted]
    for i in range(len(wanted)):
        for j in range(i + 1, min(len(wanted), i + 4) + 1):
            for others in {ALIASES.get(tuple(plain[i:j])), ALIASES.get(tuple(names[i:j])), ALIASES.get(tuple(p.removesuffix("s") for p in plain[i:j]))}:
                for other in others or ():
                    yield (*wanted[:i], *atoms([" ".join(other)]), *wanted[j:])


def _scattered(heard: Heard, wanted: Sequence[Atom]) -> Iterator[Mention]:
    """All content atoms of a name near one another, in any order: ``view of the city`` for ``city view``."""
    content = [atom for atom in wanted if atom.text not in STOP]
    if not 2 <= len(content) <= 8:
        return
    places = [[(i, d) for i, heard_atom in enumerate(heard.atoms) if (d := atom_distance(atom, heard_atom)) is not None] for atom in content]
    if not all(places):
        return
    for anchor, _ in places[0]:
        picks = [min(options, key=lambda option: abs(option[0] - anchor)) for options in places]
        low, high = min(p for p, _ in picks), max(p for p, _ in picks)
        if high - low < len(content) + 6 and len({p for p, _ in picks}) == len(picks):
            yield Mention(heard.atoms[low].word, heard.atoms[high].word + 1, 1.5 + sum(d for _, d in picks) / len(picks))


_FLAG_WORDS = frozenset("is include included including get use has have want with show return whether if should the of a flag enable apply".split())


def flag_mentions(heard: Heard, value: bool, name: str) -> list[Mention]:
    """Where the words say yes (or no) to the flag ``name``: its own words, without (or with) a negation beside them."""
    wanted = [atom for atom in atoms([" ".join(identifier_words(name))]) if atom.text not in _FLAG_WORDS]
    hits = [(i, distance) for i, heard_atom in enumerate(heard.atoms) for atom in wanted
            if (distance := atom_distance(atom, heard_atom)) is not None]
    found = []
    for i, distance in hits:
        near = {j for j, _ in hits if abs(j - i) <= 6}
        matched = sum(any(atom_distance(atom, heard.atoms[j]) is not None for j in near) for atom in wanted)
        if matched * 2 < len(wanted) or (len(wanted) == 2 and matched < 2 and len(wanted[0].text) < 5):
            continue
        around = heard.atoms[max(0, i - 4):i] + heard.atoms[i + 1:i + 3]
        negations = [atom for atom in around if atom.text in NEGATIONS]
        if bool(negations) == value:
            continue
        span = [heard.atoms[i].word, *(atom.word for atom in negations)]
        found.append(Mention(min(span), max(span) + 1, 0.5 + distance))
    return found
