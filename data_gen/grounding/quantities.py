"""The numbers, dates and times of day that a request says, each with the words that say it.

Owns numerals in digits and words, percentages, scales and signs; dates and times in the forms that people write and
say. Does not know what a number counts.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from data_gen.grounding.aliases import COUNTS, MONTHS, ONES, ORDINALS, SCALES, TENS
from data_gen.grounding.atoms import STOP, Atom, Mention


def _word_at(text: str, position: int) -> int:
    return text.count(" ", 0, position)


def _span(text: str, match: re.Match[str], cost: float) -> Mention:
    return Mention(_word_at(text, match.start()), _word_at(text, match.end() - 1) + 1, cost)


def numbers(words: Sequence[str], items: Sequence[Atom]) -> Iterator[tuple[float, Mention]]:
    text = " ".join(words)
    for match in re.finditer(r"(\d+(?:\.\d+)?)(?:e|\s*[x×*]\s*10\s*\^?\s*\(?)([-−]?\d+)", text, re.IGNORECASE):
        yield float(match[1]) * 10.0 ** int(match[2].replace("−", "-")), _span(text, match, 0.0)
    for match in re.finditer(r"(?<![\d/.])(\d+)/(\d+)(?![\d/])", text):
        if int(match[2]):
            yield int(match[1]) / int(match[2]), _span(text, match, 0.5)
    for match in re.finditer(r"(?<![\d/.])(\d+) +(\d+)/(\d+)(?![\d/])", text):
        if int(match[3]):
            yield int(match[1]) + int(match[2]) / int(match[3]), _span(text, match, 0.2)
    yield from _with_unit(items)
    for match in re.finditer(r"\b(?:from|at) rest\b", text):
        yield 0.0, _span(text, match, 0.3)
    i = 0
    while i < len(items):
        value, last = _numeral(items, i)
        if value is None:
            word = items[i].text
            if (part := _fraction(items, i - 1, 0.0)) is not None and (word == "point" or word in _SIGNS):
                yield part[0], Mention(items[i].word, items[part[1]].word + 1, 0.5)
            if word in COUNTS or word in ORDINALS:
                yield (
                    COUNTS.get(word, ORDINALS.get(word, 0)),
                    Mention(items[i].word, items[i].word + 1, 1.8 if word in ORDINALS else 0.8),
                )
            i += 1
            continue
        if (part := _fraction(items, last, value)) is not None:
            whole, (value, last) = value, part
            yield whole, Mention(items[i].word, items[last].word + 1, 1.5)
        start, end = items[i].word, items[last].word + 1
        after = items[last + 1].text if last + 1 < len(items) else ""
        if after == "dozen":
            yield value * 12, Mention(start, items[last + 1].word + 1, 0.1)
        own = words[end - 1]
        if after in ("percent", "percentage", "pct") or re.search(r"\d\s*%", own):
            yield value / 100, Mention(start, end + (after in ("percent", "pct") and items[last + 1].word == end), 0.1)
        if after == "m" and items[last + 1].word == end - 1 and own.lstrip("\"'(").startswith(("$", "€", "£")):
            yield value * 10**6, Mention(start, end, 0.0)
        before = [atom.text for atom in items[max(0, i - 3) : i]]
        if re.search(rf"(?:^|[^\w)])[-−]\$?{re.escape(items[i].text)}", words[start].replace(",", "")):
            yield -value, Mention(start, end, 0.0)
            yield value, Mention(start, end, 1.0)
        else:
            spelled = 0.0 if items[i].text[0].isdigit() or items[i].text[0] == "." else 0.5
            if start and words[start - 1] in ("-", "−"):
                yield -value, Mention(start - 1, end, 0.1)
            if {"loss", "lost", "negative", "minus"} & set(before):
                yield -value, Mention(start, end, 0.3)
            power = re.search(
                rf"[^\W\d_]\^{re.escape(items[i].text)}", words[start]
            )  # m/s^2, x^2: an exponent counts nothing
            yield value, Mention(start, end, 1.5 if power else spelled)
        if last > i and (first := items[i].number) is not None and items[last].text in SCALES:
            yield first, Mention(start, items[i].word + 1, 1.5)  # "5 million" to a parameter counted in millions
        i = last + 1


def _numeral(items: Sequence[Atom], i: int) -> tuple[float | None, int]:
    """The numeral that begins at atom ``i`` and its last atom: ``twenty one``, ``3.5 million``,
    ``two hundred and five``."""
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
        elif (
            atom.text == "and"
            and seen
            and items[j - 1].text == "hundred"
            and j + 1 < len(items)
            and items[j + 1].text in ONES | TENS
        ):
            j += 1
            continue
        else:
            break
        seen, last = True, j
        if (
            atom.number is not None
            and atom.text not in ONES
            and not (j + 1 < len(items) and items[j + 1].text in SCALES)
        ):
            break
        j += 1
    return (total + current if seen else None), last


def _fraction(items: Sequence[Atom], last: int, value: float) -> tuple[float, int] | None:
    """A numeral that ends at atom ``last`` with the fraction after it, and its last atom: ``and a half``,
    ``point five``, ``½``."""
    following = [atom.text for atom in items[last + 1 : last + 5]]
    if following and following[0] in _SIGNS:
        return value + unicodedata.numeric(following[0]), last + 1
    if following[:1] == ["point"]:
        digits = list(itertools.takewhile(lambda text: text in _DIGITS or text.isdigit(), following[1:]))
        if digits and value.is_integer():
            return float(f"{int(value)}.{''.join(_DIGITS.get(text, text) for text in digits)}"), last + 1 + len(digits)
        return None
    if following[:1] != ["and"] or not value.is_integer():
        return None
    if following[1:2] == ["half"]:
        return value + 1 / 2, last + 2
    count, unit = (_COUNTED.get(following[1], 0.0), following[2]) if len(following) > 2 else (0.0, "")
    if unit not in _PARTS or not 0 < count * _PARTS[unit] < 1:
        return None
    found, end = value + count * _PARTS[unit], last + 3
    if len(following) > 3 and following[3] in SCALES:  # "one and a half million"
        return found * SCALES[following[3]], end + 1
    return found, end


def _with_unit(items: Sequence[Atom]) -> Iterator[tuple[float, Mention]]:
    """A fraction behind its unit, or as the unit: ``an hour and a half``, ``three quarters``."""
    texts = [atom.text for atom in items]
    for i, text in enumerate(texts):
        count, last = (1.0, i) if text in ("a", "an") else _numeral(items, i)
        if count is None:
            continue
        if (unit := texts[last + 1 : last + 2]) and unit[0] in _PARTS and unit[0].endswith("s"):
            yield count * _PARTS[unit[0]], Mention(items[i].word, items[last + 1].word + 1, 0.5)
        if unit and unit[0] not in STOP and items[last + 1].number is None and unit[0] not in SCALES | TENS:
            if (part := _fraction(items, last + 1, count)) is not None and texts[last + 2] == "and":
                yield part[0], Mention(items[i].word, items[part[1]].word + 1, 0.5)


_SIGNS = frozenset("½⅓⅔¼¾⅕⅖⅗⅘⅛⅜⅝⅞")
_COUNTED: dict[str, float] = {"a": 1, "one": 1, "two": 2, "three": 3}
_PARTS: dict[str, float] = {
    "half": 1 / 2,
    "third": 1 / 3,
    "thirds": 1 / 3,
    "quarter": 1 / 4,
    "quarters": 1 / 4,
    "fifth": 1 / 5,
    "fifths": 1 / 5,
    "tenth": 1 / 10,
    "tenths": 1 / 10,
}
_DIGITS = {word: str(int(number)) for word, number in ONES.items() if number < 10} | {"oh": "0"}


_MONTH = "|".join(
    f"{name[:3]}(?:{name[3:]}|{'t' if name == 'september' else ''})?" if name != "may" else "may" for name in MONTHS
)


def dates(text: str) -> Iterator[tuple[tuple[int | None, int, int], Mention]]:
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


def times(text: str) -> Iterator[tuple[int, Mention]]:
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
