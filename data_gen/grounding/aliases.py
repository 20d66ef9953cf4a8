"""Names that mean the same thing, for grounding: states, countries, currencies, languages, units, numerals.

Owns small closed tables that change rarely (postal codes, ISO codes, SI units). Does not know requests and tools.
Open sets (which city lies in which state, who makes which share) are left out: they would be guesses.
"""

from __future__ import annotations

MONTHS: tuple[str, ...] = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

_STATES = """AL alabama|AK alaska|AZ arizona|AR arkansas|CA california|CO colorado|CT connecticut|DE delaware|FL florida
GA georgia|HI hawaii|ID idaho|IL illinois|IN indiana|IA iowa|KS kansas|KY kentucky|LA louisiana|ME maine|MD maryland
MA massachusetts|MI michigan|MN minnesota|MS mississippi|MO missouri|MT montana|NE nebraska|NV nevada|NH new hampshire
NJ new jersey|NM new mexico|NY new york|NC north carolina|ND north dakota|OH ohio|OK oklahoma|OR oregon|PA pennsylvania
RI rhode island|SC south carolina|SD south dakota|TN tennessee|TX texas|UT utah|VT vermont|VA virginia|WA washington
WV west virginia|WI wisconsin|WY wyoming|DC district of columbia"""

_GROUPS = """
united states|usa|us|u s|u s a|united states of america|america
united kingdom|uk|u k|great britain|britain
european union|eu
new york city|nyc
los angeles|la
usd|us dollar|dollar|american dollar|united states dollar|$
eur|euro|€
gbp|british pound|pound|pound sterling|british pound sterling|£
jpy|japanese yen|yen|¥
cny|rmb|yuan|chinese yuan|renminbi
inr|indian rupee|rupee|₹
aud|australian dollar
cad|canadian dollar
chf|swiss franc
krw|korean won|won
mxn|mexican peso
rub|russian ruble|ruble
btc|bitcoin
eth|ethereum
en|english
es|spanish
fr|french
de|german
it|italian
pt|portuguese
zh|chinese|mandarin
ja|japanese
ko|korean
ru|russian
celsius|c|°c|degree celsius|centigrade
fahrenheit|f|°f|degree fahrenheit|fahr
kelvin|k|degree kelvin
m|meter|metre
cm|centimeter|centimetre
mm|millimeter|millimetre
km|kilometer|kilometre
in|inch
ft|foot|feet
yd|yard
mi|mile
kg|kilogram|kilo
g|gram
lb|pound
oz|ounce
l|liter|litre
ml|milliliter|millilitre
s|second|sec
min|minute
h|hour|hr
kmh|km h|kmph|kph|kilometer per hour
mph|mile per hour
j|joule
m2|m 2|m²|square meter|sq m
ft2|ft 2|ft²|square foot|square feet|sq ft
tv|television
annually|annual|yearly|per year
male|man
female|woman
"""


def _read() -> dict[tuple[str, ...], frozenset[tuple[str, ...]]]:
    groups = [tuple(tuple(name.split()) for name in line.split("|")) for line in _GROUPS.strip().splitlines()]
    for entry in _STATES.replace("\n", "|").split("|"):
        code, state = entry.split(" ", 1)
        groups.append(((code.casefold(),), tuple(state.split())))
    groups += [((month,), (month[:3],)) for month in MONTHS]
    table: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for group in groups:
        for name in group:
            table.setdefault(name, set()).update(other for other in group if other != name)
    return {name: frozenset(others) for name, others in table.items()}


ALIASES: dict[tuple[str, ...], frozenset[tuple[str, ...]]] = _read()
"""Atoms of a name (lower case, singular) to the atoms of its other names. The two meanings of a code (``la``,
``pound``) are both kept: a value is looked up, never a request, so the wrong one finds nothing."""

CHOICES: dict[str, tuple[str, ...]] = {
    "public transport": ("public transit", "train", "subway", "underground", "metro", "bus", "tram"),
    "drive": ("car",),
    "walk": ("foot",),
}
"""What a choice is called in a parameter's description, to what people say instead; only where there is such a
choice."""

ONES: dict[str, int] = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen".split()
    )
}
TENS: dict[str, int] = {
    word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
SCALES: dict[str, int] = {
    "hundred": 10**2,
    "thousand": 10**3,
    "k": 10**3,
    "million": 10**6,
    "mn": 10**6,
    "billion": 10**9,
    "bn": 10**9,
    "trillion": 10**12,
}
COUNTS: dict[str, float] = {
    "half": 0.5,
    "quarter": 0.25,
    "decade": 10,
    "fortnight": 14,
    "dozen": 12,
    "couple": 2,
    "pair": 2,
    "twice": 2,
    "once": 1,
    "single": 1,
    "double": 2,
}
"""Words that say a number without being a numeral; they count for less than a numeral does."""
ORDINALS: dict[str, int] = {
    word: n
    for n, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), start=1)
}
"""They mostly count what is spoken of ("the third house"), so they count for least."""
PER_YEAR: dict[str, int] = {
    "annually": 1,
    "yearly": 1,
    "annual": 1,
    "semiannually": 2,
    "biannually": 2,
    "quarterly": 4,
    "monthly": 12,
    "weekly": 52,
    "daily": 365,
}
"""How often a year: what ``compounded monthly`` says to a parameter that counts periods."""
