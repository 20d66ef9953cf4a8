"""Restaurants of a small town: places, menus, tables, bookings, takeaway, waiting lists and reviews.

Owns the town, its clock, and what its tools answer and refuse. Days and times are given as they were said ("Friday",
"half past seven"); the world reads them. Does not know who calls and when.
"""

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from midsentence.tools import times
from midsentence.tools.function import Did, LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote, similar
from midsentence.tools.tool import ToolFailure

NOW = "2026-06-09 10:15:00"
"""The town's clock where a request brings none: a Tuesday morning."""
LARGEST_PARTY = 12
Area = Literal["old town", "harbour", "station", "market square", "riverside", "university", "north end", "west park"]
Diet = Literal["vegetarian", "vegan", "gluten free", "halal"]
Seating = Literal["inside", "outside", "bar", "booth", "window"]
Feature = Literal["terrace", "live music", "step-free", "dogs welcome", "high chairs", "private room", "parking"]

MENUS = {
    "italian": "starters: bruschetta 6, burrata 9 | mains: margherita 11, pepperoni pizza 13, lasagne 14, carbonara 14, "
    "mushroom risotto 15 | desserts: tiramisu 7, panna cotta 6 | drinks: house red 6, lemonade 4 | kids: small margherita 7",
    "japanese": "starters: edamame 5, gyoza 7 | mains: salmon sushi 16, vegetable sushi 13, chicken katsu 14, tonkotsu ramen 14, "
    "miso ramen 13 | desserts: mochi 5 | drinks: green tea 3, sake 8 | kids: small katsu 8",
    "indian": "starters: samosa 5, onion bhaji 5 | mains: butter chicken 14, lamb rogan josh 15, saag paneer 12, chana masala 11, "
    "vegetable biryani 12 | desserts: gulab jamun 5 | drinks: mango lassi 4 | kids: mild korma 8 | sides: garlic naan 4, pilau rice 4",
    "chinese": "starters: spring rolls 6, prawn toast 7 | mains: kung pao chicken 13, sweet and sour pork 13, mapo tofu 11, "
    "beef chow mein 12 | desserts: sesame balls 5 | drinks: jasmine tea 3 | kids: egg noodles 7 | sides: egg fried rice 5",
    "mexican": "starters: nachos 8, guacamole 6 | mains: chicken burrito 11, bean burrito 10, fish tacos 12, beef enchiladas 13 | "
    "desserts: churros 6 | drinks: margarita 9, horchata 4 | kids: cheese quesadilla 7",
    "french": "starters: onion soup 8, snails 11 | mains: steak frites 22, duck confit 23, ratatouille 16, moules marinière 18 | "
    "desserts: crème brûlée 8, tarte tatin 8 | drinks: house white 7 | kids: ham crêpe 8",
    "fish": "starters: oysters 14, fish soup 9 | mains: fish and chips 15, grilled sea bass 21, lobster 34, crab linguine 19 | "
    "desserts: lemon tart 7 | drinks: pale ale 6 | kids: fish fingers 7 | sides: chips 4, mushy peas 3",
    "greek": "starters: tzatziki 5, dolmades 6 | mains: moussaka 14, chicken souvlaki 13, lamb kleftiko 17, spanakopita 11 | "
    "desserts: baklava 6 | drinks: ouzo 5 | kids: chicken skewer 7 | sides: greek salad 8",
    "lebanese": "starters: hummus 5, baba ganoush 6 | mains: falafel wrap 9, chicken shawarma 11, mixed grill 17, lentil moujadara 10 | "
    "desserts: knafeh 6 | drinks: mint lemonade 4 | kids: small shawarma 7 | sides: fattoush 6, flatbread 3",
    "korean": "starters: kimchi pancake 8, mandu 7 | mains: bibimbap 13, bulgogi 16, fried chicken 14, tofu stew 12 | "
    "desserts: shaved ice 7 | drinks: soju 7, barley tea 3 | kids: plain rice bowl 6",
    "vietnamese": "starters: summer rolls 7 | mains: beef pho 13, tofu pho 12, chicken banh mi 9, lemongrass chicken 13 | "
    "desserts: coconut jelly 5 | drinks: iced coffee 4 | kids: small pho 7",
    "thai": "starters: chicken satay 7, fish cakes 7 | mains: pad thai 12, green curry 13, red curry 13, massaman curry 14, "
    "tofu pad thai 11 | desserts: mango sticky rice 6 | drinks: thai iced tea 4 | kids: plain noodles 6 | sides: jasmine rice 3",
    "barbecue": "starters: hot wings 8 | mains: brisket 18, baby back ribs 19, pulled pork bun 13, smoked jackfruit bun 12 | "
    "desserts: pecan pie 7 | drinks: root beer 4 | kids: mini ribs 9 | sides: coleslaw 3, corn bread 4",
    "burgers": "starters: onion rings 5 | mains: cheeseburger 11, double cheeseburger 14, chicken burger 11, veggie burger 10 | "
    "desserts: brownie 5 | drinks: vanilla milkshake 6, cola 3 | kids: mini burger 7 | sides: fries 4, sweet potato fries 5",
    "vegan": "starters: beetroot hummus 6 | mains: jackfruit tacos 12, lentil bowl 11, mushroom burger 12, squash curry 12 | "
    "desserts: chocolate torte 7 | drinks: ginger kombucha 5 | kids: pasta bowl 7",
    "british": "starters: scotch egg 7 | mains: sunday roast 18, steak and ale pie 15, bangers and mash 14, mushroom wellington 15 | "
    "desserts: sticky toffee pudding 7, apple crumble 7 | drinks: bitter 5, cider 5 | kids: sausage and beans 7",
    "steak": "starters: prawn cocktail 9 | mains: sirloin 26, ribeye 29, fillet 34, grilled cauliflower 16 | desserts: cheesecake 8 | "
    "drinks: malbec 8 | kids: minute steak 10 | sides: creamed spinach 5, chips 5",
    "cafe": "starters: tomato soup 6 | mains: eggs benedict 11, avocado toast 9, pancakes 9, cheese toastie 7, quiche 8 | "
    "desserts: carrot cake 5, scone 4, croissant 3 | drinks: flat white 4, cappuccino 4, hot chocolate 4, orange juice 4 | "
    "kids: beans on toast 5",
    "ethiopian": "starters: sambusa 6 | mains: doro wat 14, misir wat 11, vegetable platter 13 | desserts: honey cake 6 | "
    "drinks: spiced coffee 4 | kids: injera roll 6",
    "spanish": "starters: olives 4, padron peppers 6 | mains: paella 17, patatas bravas 7, tortilla 7, garlic prawns 10, croquetas 8 | "
    "desserts: crema catalana 6 | drinks: sangria 7, sherry 5 | kids: ham croquetas 6",
}
"""Courses of each cuisine, dishes with their prices."""
MEATLESS = frozenset(
    "margherita bruschetta burrata risotto vegetable edamame samosa bhaji paneer chana tofu guacamole bean churros ratatouille tzatziki "
    "dolmades spanakopita salad hummus ganoush falafel moujadara fattoush jackfruit onion veggie beetroot lentil mushroom squash "
    "cauliflower spinach toast avocado pancakes quiche scone cake misir olives padron bravas tortilla rice naan fries chips".split()
)
"""Words of dishes without meat or fish."""
ALSO_CALLED = {
    "seafood": "fish",
    "tapas": "spanish",
    "bbq": "barbecue",
    "ribs": "barbecue",
    "pub food": "british",
    "coffee": "cafe",
    "breakfast": "cafe",
    "brunch": "cafe",
    "cake": "cafe",
    "kebab": "lebanese",
    "falafel": "lebanese",
    "middle eastern": "lebanese",
    "steaks": "steak",
}
"""What people say and which cuisine serves it."""
_WHEAT = (
    "pizza",
    "margherita",
    "burger",
    "bun",
    "pie",
    "noodle",
    "ramen",
    "wrap",
    "toast",
    "naan",
    "lasagne",
    "cake",
    "pita",
)
_DAIRY = (
    "margherita",
    "burrata",
    "paneer",
    "quiche",
    "cheese",
    "cake",
    "tzatziki",
    "toast",
    "panna",
    "tiramisu",
    "lassi",
)


@dataclass(frozen=True)
class Place:
    """Somewhere to eat."""

    name: str
    """As people say it."""
    cuisine: str
    """What is cooked."""
    area: str
    """The part of town."""
    price: str
    """How dear it is."""
    features: tuple[str, ...] = ()
    """What it has, such as step-free access."""
    shut: str = ""
    """The weekday on which it is closed."""
    seats: tuple[str, ...] = ("inside",)
    """Where one can sit."""
    kind: str = "restaurant"
    """``restaurant``, or what it is instead."""
    popular: bool = False
    """Whether Friday and Saturday from 19:30 to 20:30 are always full."""

    @property
    def hours(self) -> tuple[int, int]:
        """When it opens and closes."""
        return {"cafe": (7, 17), "bar": (16, 24)}.get(self.kind, (12, 23))

    def dishes(self, course: str | None = None) -> dict[str, int]:
        """Dishes with their prices."""
        found: dict[str, int] = {}
        for part in MENUS[self.cuisine].split(" | "):
            title, listed = part.split(": ")
            if course in (None, title):
                found |= {dish: int(cost) for dish, cost in (entry.rsplit(" ", 1) for entry in listed.split(", "))}
        return found


PLACES = (
    Place(
        "Luna Rossa",
        "italian",
        "old town",
        "moderate",
        ("terrace", "high chairs"),
        "monday",
        ("inside", "outside"),
        popular=True,
    ),
    Place("Il Forno", "italian", "station", "cheap", ("high chairs", "step-free"), "", ("inside", "booth")),
    Place(
        "Sakura House",
        "japanese",
        "riverside",
        "expensive",
        ("private room",),
        "monday",
        ("inside", "bar", "window"),
        popular=True,
    ),
    Place("Ramen Taro", "japanese", "university", "cheap", (), "sunday", ("inside", "bar")),
    Place("Bombay Lantern", "indian", "market square", "moderate", ("parking", "high chairs"), "", ("inside", "booth")),
    Place("Spice Garden", "indian", "north end", "cheap", ("step-free", "parking"), "monday"),
    Place("Golden Wok", "chinese", "station", "cheap", ("high chairs",), ""),
    Place(
        "Dragon Palace",
        "chinese",
        "harbour",
        "moderate",
        ("private room", "parking"),
        "",
        ("inside", "booth", "window"),
    ),
    Place(
        "El Toro", "mexican", "old town", "moderate", ("live music", "terrace"), "monday", ("inside", "outside", "bar")
    ),
    Place("Casa Lupe", "mexican", "university", "cheap", ("dogs welcome",), "", ("inside", "outside")),
    Place(
        "Chez Margot",
        "french",
        "old town",
        "expensive",
        ("terrace", "private room"),
        "sunday",
        ("inside", "outside", "window"),
        popular=True,
    ),
    Place(
        "Blue Anchor",
        "fish",
        "harbour",
        "moderate",
        ("terrace", "dogs welcome"),
        "monday",
        ("inside", "outside", "window"),
    ),
    Place(
        "The Captain's Table",
        "fish",
        "harbour",
        "expensive",
        ("private room", "step-free"),
        "",
        ("inside", "window"),
        popular=True,
    ),
    Place("Olive Tree", "greek", "riverside", "moderate", ("terrace", "high chairs"), "", ("inside", "outside")),
    Place(
        "Taverna Nikos",
        "greek",
        "west park",
        "cheap",
        ("live music", "dogs welcome"),
        "wednesday",
        ("inside", "outside"),
    ),
    Place(
        "Cedar House", "lebanese", "market square", "moderate", ("step-free", "private room"), "", ("inside", "booth")
    ),
    Place("Beirut Corner", "lebanese", "university", "cheap", (), ""),
    Place("Seoul Kitchen", "korean", "station", "moderate", (), "monday", ("inside", "bar")),
    Place("Saigon Street", "vietnamese", "market square", "cheap", ("terrace",), "sunday", ("inside", "outside")),
    Place(
        "Thai Orchid", "thai", "riverside", "moderate", ("step-free", "high chairs"), "", ("inside", "window", "booth")
    ),
    Place("Baan Siam", "thai", "harbour", "cheap", ("terrace",), "wednesday", ("inside", "outside")),
    Place(
        "Smoke and Oak",
        "barbecue",
        "west park",
        "moderate",
        ("parking", "live music", "dogs welcome"),
        "monday",
        ("inside", "outside", "booth"),
    ),
    Place("Patty Shack", "burgers", "university", "cheap", ("high chairs",), "", ("inside", "booth", "outside")),
    Place("Green Fork", "vegan", "north end", "moderate", ("terrace", "dogs welcome"), "monday", ("inside", "outside")),
    Place(
        "The Crooked Spoon",
        "british",
        "old town",
        "moderate",
        ("dogs welcome", "parking"),
        "",
        ("inside", "outside", "bar"),
    ),
    Place(
        "Henry's Chop House",
        "steak",
        "riverside",
        "expensive",
        ("private room", "parking"),
        "sunday",
        ("inside", "booth", "bar"),
        popular=True,
    ),
    Place(
        "Cafe Aurora",
        "cafe",
        "market square",
        "cheap",
        ("high chairs", "terrace"),
        "",
        ("inside", "outside", "window"),
        "cafe",
    ),
    Place(
        "Morning Glory",
        "cafe",
        "west park",
        "moderate",
        ("dogs welcome", "step-free"),
        "",
        ("inside", "outside"),
        "cafe",
    ),
    Place("Addis", "ethiopian", "north end", "cheap", ("live music",), "monday"),
    Place(
        "Bar Pepe",
        "spanish",
        "old town",
        "moderate",
        ("live music", "terrace"),
        "",
        ("inside", "outside", "bar"),
        "bar",
    ),
)
GUESTS = (
    "Marchetti",
    "Okafor",
    "Lindqvist",
    "Delgado",
    "Brennan",
    "Nakamura",
    "Fitzgerald",
    "Petrov",
    "Haddad",
    "Osei",
    "Kowalski",
    "Moreau",
    "Whitfield",
    "Castellano",
    "Iyer",
    "Novak",
    "Sandoval",
    "Pemberton",
    "Achterberg",
    "Yilmaz",
    "Donnelly",
    "Khoury",
    "Bianchi",
    "Larsen",
    "Abernathy",
    "Chowdhury",
    "Vance",
    "Sokolova",
    "Mbeki",
    "Rourke",
    "Greta",
    "Tobias",
    "Imogen",
    "Rashid",
    "Paloma",
    "Desmond",
)
"""Under whose names there are bookings from the start, and the deliveries on their way."""
_PARTS = re.compile(r"(.+)/(\d{4}-\d\d-\d\d) (\d\d:\d\d)/(\d+)/(\w+)")


@dataclass
class Town:
    """All that the tools can read and change."""

    now: datetime
    """When the request is made."""
    bookings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tables by the booking's reference."""
    orders: list[dict[str, Any]] = field(default_factory=list)
    """Meals to be fetched, in order."""
    waiting: list[dict[str, Any]] = field(default_factory=list)
    """Entries of waiting lists, in order."""
    reviews: list[dict[str, Any]] = field(default_factory=list)
    """Reviews that were written, in order."""


def new_state(now: str = NOW) -> Town:
    """The town at this date and time, with a booking for each of its regular guests."""
    town = Town(datetime.fromisoformat(now))
    for n, name in enumerate(GUESTS):
        place = PLACES[n * 7 % 26]
        at = datetime.combine(town.now.date(), datetime.min.time()) + timedelta(days=1 + n % 9, hours=18 + n % 3)
        while f"{at:%A}".lower() == place.shut:
            at += timedelta(days=1)
        town.bookings[_reference(name, place.name)] = {
            "name": name,
            "place": place.name,
            "at": at,
            "people": 2 + n % 4,
            "seating": place.seats[0],
            "note": "",
        }
        town.orders.append({"name": name, "place": place.name, "ready": f"{20 + n % 25} minutes"})
    return town


def _reference(*parts: Any) -> str:
    return f"B{zlib.crc32('|'.join(map(str, parts)).encode()) % 9000 + 1000}"


def _key(name: str) -> str:
    return re.sub(r"[^\w ]", "", fold(name).replace("'s", "s")).removeprefix("the ").strip()


def _place(name: str) -> Place:
    asked = _key(name)
    found = [place for place in PLACES if _key(place.name) == asked] or [
        place for place in PLACES if asked and asked in _key(place.name)
    ]
    if len(found) > 1:
        raise ToolFailure(f"{quote(name)} could be {either(place.name for place in found)}; say which")
    if not found:
        near = similar(name, (place.name for place in PLACES)) or [place.name for place in PLACES[:3]]
        raise ToolFailure(f"no restaurant {quote(name)} in town; did the user mean {either(near)}?")
    return found[0]


def _moment(town: Town, day: str, time: str) -> datetime:
    """A day and a time of day as they were said; a bare hour is the next one after half past eleven, or in the morning
    if so said."""
    at = _day(town, day)
    try:
        clock = times.moment(time, at.replace(hour=11, minute=30))
    except times.Unclear as failure:
        raise ToolFailure(f'time {quote(time)} can\'t be read: {failure}; give it as said, "half past seven"') from None
    return at.replace(hour=clock.hour, minute=clock.minute)


def _day(town: Town, day: str) -> datetime:
    try:
        return datetime.combine(times.day(day, town.now), datetime.min.time())
    except times.Unclear as failure:
        raise ToolFailure(
            f'day {quote(day)} can\'t be read: {failure}; give it as said, "Friday" or "the twelfth"'
        ) from None


def _free(place: Place, at: datetime, people: int, seating: str | None, now: datetime) -> None:
    """Makes sure that the place could take these people."""
    opens, closes = place.hours
    when = f"{at:%A} at {at:%H:%M}"
    if at < now:
        raise ToolFailure(f"{when} has passed; ask for another time")
    if f"{at:%A}".lower() == place.shut:
        raise ToolFailure(f"{place.name} is closed on {place.shut.title()}s; ask for another day")
    if not opens <= at.hour < closes - 1:
        raise ToolFailure(f"{place.name} takes guests from {opens}:00 to {closes - 1}:00, not at {at:%H:%M}")
    if not 1 <= people <= LARGEST_PARTY:
        raise ToolFailure(
            f"{place.name} has tables for 1 to {LARGEST_PARTY} people, not for {people}; use ask_place for larger parties"
        )
    if seating is not None and seating not in place.seats:
        raise ToolFailure(f"{place.name} has no {seating} tables, only {either(place.seats)}")
    if place.popular and at.weekday() in (4, 5) and 19 * 60 + 30 <= at.hour * 60 + at.minute <= 20 * 60 + 30:
        raise ToolFailure(
            f"{place.name} is full on {when}; there are tables before 19:30 and after 20:30, or use join_waitlist"
        )


def _suits(place: Place, diet: str | None) -> bool:
    return diet is None or any(_fits(dish, place, diet) for dish in place.dishes("mains"))


def _fits(dish: str, place: Place, diet: str) -> bool:
    meatless = place.cuisine == "vegan" or any(word in MEATLESS for word in fold(dish).split())
    match diet:
        case "halal":
            return place.cuisine in ("lebanese", "indian") or meatless
        case "gluten free":
            return not any(word in dish for word in _WHEAT)
        case "vegan":
            return meatless and not any(word in dish for word in _DAIRY)
    return meatless


def _booking(town: Town, booking: str) -> dict[str, Any]:
    if booking not in town.bookings:
        raise ToolFailure(f"no booking {quote(booking)}; look it up by name with find_booking")
    return town.bookings[booking]


@tool(access="read", latency=LogNormal(0.7, 0.3))
def find_place(
    food: str,
    area: Area | None = None,
    price: Literal["cheap", "moderate", "expensive"] | None = None,
    diet: Diet | None = None,
    features: list[Feature] | None = None,
) -> str:
    """Finds a place that serves a cuisine or dish and returns its name.

    Args:
        food: Cuisine or dish as said, Thai, ramen
    """
    asked = ALSO_CALLED.get(fold(food), fold(food))
    serving = [p for p in PLACES if asked == p.cuisine or asked == p.kind] or [
        p for p in PLACES if any(asked.rstrip("s") in fold(dish) for dish in p.dishes()) or p.cuisine in asked.split()
    ]
    if not serving:
        raise ToolFailure(f"nobody in town serves {quote(food)}; there is {either(sorted(MENUS))}")
    fits = [
        p
        for p in serving
        if area in (None, p.area)
        and price in (None, p.price)
        and _suits(p, diet)
        and set(features or ()) <= set(p.features)
    ]
    if not fits:
        raise ToolFailure(
            f"no place for {food} fits all that; without the rest there is {either(p.name for p in serving[:3])}"
        )
    return fits[0].name


@tool(access="read", latency=Uniform(0.4, 0.8))
def nearby_places(
    area: Area,
    kind: Literal["restaurant", "cafe", "bar"] | None = None,
    features: list[Feature] | None = None,
) -> list[str]:
    """Lists the places to eat in a part of town."""
    found = [
        p.name for p in PLACES if p.area == area and kind in (None, p.kind) and set(features or ()) <= set(p.features)
    ]
    if not found:
        raise ToolFailure(f"no such place in {area}; ask for less, or for another part of town")
    return found


@tool(access="read", latency=Uniform(0.5, 1.1))
def get_menu(
    place: str,
    course: Literal["starters", "mains", "sides", "desserts", "drinks", "kids"] | None = None,
    diet: Diet | None = None,
) -> list[str]:
    """Returns the dishes of a place with their prices."""
    where = _place(place)
    found = [
        f"{dish} {cost}" for dish, cost in where.dishes(course).items() if diet is None or _fits(dish, where, diet)
    ]
    if not found:
        raise ToolFailure(
            f"{where.name} has no {diet or ''} {course or 'dishes'}; ask for another course".replace("  ", " ")
        )
    return found


@tool(access="read", latency=Uniform(0.3, 0.6), takes_state=True)
def opening_hours(town: Town, place: str, day: str | None = None) -> str:
    """Says when a place is open on a day.

    Args:
        day: As said, Sunday, tomorrow; today if left out
    """
    where, at = _place(place), _day(town, day or "today")
    if f"{at:%A}".lower() == where.shut:
        return f"closed on {at:%A}"
    return f"{where.hours[0]}:00 to {where.hours[1]}:00 on {at:%A}"


@tool(access="read", reads=("reviews",), latency=LogNormal(0.9, 0.3), takes_state=True)
def get_reviews(
    town: Town, place: str, about: Literal["food", "service", "noise", "prices", "children"] | None = None
) -> str:
    """Sums up what guests say about a place."""
    where = _place(place)
    own = [review for review in town.reviews if review["place"] == where.name]
    stars = 3 + zlib.crc32(where.name.encode()) % 20 / 10
    subject = about or "food"
    mood = ("praised", "mostly liked", "mixed")[zlib.crc32(f"{where.name}{subject}".encode()) % 3]
    return f"{stars:.1f} stars from {120 + len(own)} guests; {subject}: {mood}"


@tool(access="egress", latency=LogNormal(1.6, 0.4))
def ask_place(place: str, question: str) -> str:
    """Sends a question to a restaurant's staff and returns their answer."""
    where = _place(place)
    if not question.strip():
        raise ToolFailure("question is empty; say what the user wants to know")
    return (
        f"{where.name}: yes, that is no problem"
        if zlib.crc32(fold(question).encode()) % 3
        else f"{where.name}: sorry, not this week"
    )


@tool(access="read", reads=("bookings",), latency=LogNormal(1.0, 0.35), takes_state=True)
def find_table(
    town: Town, place: str, people: int, time: str, day: str | None = None, seating: Seating | None = None
) -> str:
    """Finds a free table and returns its code for book_table.

    Args:
        time: As said, half past seven
        day: As said, Friday; today if left out
    """
    where, at = _place(place), _moment(town, day or "today", time)
    _free(where, at, people, seating, town.now)
    return f"{where.name}/{at:%Y-%m-%d %H:%M}/{people}/{seating or where.seats[0]}"


@tool(access="write", writes=("bookings",), latency=Uniform(0.8, 1.5), takes_state=True)
def book_table(town: Town, table: str, name: str, requests: list[str] | None = None, phone: str | None = None) -> Did:
    """Books a table that find_table found and returns the booking's number.

    Args:
        table: Code from find_table
        requests: Wishes for the staff
    """
    found = _PARTS.fullmatch(table)
    if not found:
        raise ToolFailure(f"{quote(table)} is no table's code; get one from find_table")
    if not name.strip():
        raise ToolFailure("name is empty; ask who the table is for")
    where, at = _place(found[1]), datetime.fromisoformat(f"{found[2]} {found[3]}")
    _free(where, at, int(found[4]), found[5], town.now)
    booking = _reference(fold(name), where.name, at)
    if booking in town.bookings:
        raise ToolFailure(f"{name} has a table at {where.name} then already, {booking}; use change_booking")
    town.bookings[booking] = {
        "name": name,
        "place": where.name,
        "at": at,
        "people": int(found[4]),
        "seating": found[5],
        "note": "; ".join(requests or ()),
    }
    return Did(booking, {"table": table, "name": fold(name), "requests": requests or None, "phone": phone})


@tool(access="read", reads=("bookings",), latency=Uniform(0.4, 0.9), takes_state=True)
def find_booking(town: Town, name: str, place: str | None = None) -> str:
    """Finds a booking by the guest's name and returns its number."""
    where = _place(place).name if place else None
    under = {
        ref: one
        for ref, one in town.bookings.items()
        if fold(name) in fold(one["name"]) or fold(one["name"]) in fold(name).split()
    }
    found = [ref for ref, one in under.items() if where in (None, one["place"])]
    if not found and under:
        raise ToolFailure(f"{name} has no booking at {where}, but one at {next(iter(under.values()))['place']}")
    if not found:
        near = similar(name, (one["name"] for one in town.bookings.values()))
        raise ToolFailure(
            f"no booking under {quote(name)}"
            + (f"; there is one under {either(near)}" if near else "; ask for the name")
        )
    return found[-1]


@tool(access="write", writes=("bookings",), latency=Uniform(0.8, 1.4), takes_state=True)
def change_booking(
    town: Town,
    booking: str,
    people: int | None = None,
    time: str | None = None,
    day: str | None = None,
    seating: Seating | None = None,
    note: str | None = None,
) -> Did:
    """Changes a booking; only what is given changes.

    Args:
        booking: Number from find_booking
        time: As said, half past seven
        day: As said, Friday
        note: For the staff
    """
    old = _booking(town, booking)
    if people is None and seating is None and not (time or day or note):
        raise ToolFailure(f"nothing to change in {booking}; give people, time, day, seating or note")
    at = _moment(town, day or f"{old['at']:%B} {old['at'].day}", time or f"{old['at']:%H:%M}")
    new = old | {
        "at": at,
        "people": people or old["people"],
        "seating": seating or old["seating"],
        "note": note or old["note"],
    }
    _free(_place(old["place"]), at, new["people"], new["seating"], town.now)
    town.bookings[booking] = new
    return Did("changed", {"booking": booking} | new | {"at": f"{at:%Y-%m-%d %H:%M}"})


@tool(access="write", writes=("bookings",), latency=Uniform(0.6, 1.2), takes_state=True)
def cancel_booking(town: Town, booking: str, reason: str | None = None) -> str:
    """Cancels a booking.

    Args:
        booking: Number from find_booking
    """
    _booking(town, booking)
    del town.bookings[booking]
    return "cancelled"


@tool(access="write", writes=("orders",), latency=LogNormal(1.3, 0.3), takes_state=True)
def order_takeaway(
    town: Town,
    place: str,
    dishes: dict[str, int],
    collect_at: str | None = None,
    deliver_to: dict[str, str] | None = None,
    note: str | None = None,
) -> Did:
    """Orders dishes, each with how many, to collect or to be delivered to {"street", "bell"?}.

    Args:
        dishes: How many of each dish
        collect_at: Time as said
        deliver_to: Fields street and bell
        note: For the kitchen
    """
    where, costs, meant = _place(place), 0, {}
    menu = where.dishes()
    for dish, count in dishes.items():
        known = next((one for one in menu if fold(dish).rstrip("s") == fold(one).rstrip("s")), None)
        if known is None:
            near = similar(dish, menu) or list(menu)[:3]
            raise ToolFailure(f"{where.name} has no {quote(dish)}; there is {either(near)}")
        if not 1 <= count <= 20:
            raise ToolFailure(f"{count} {dish} can't be ordered; give 1 to 20")
        meant[known], costs = count, costs + count * menu[known]
    if not meant:
        raise ToolFailure("dishes is empty; ask what the user would like")
    if deliver_to is not None and not deliver_to.get("street"):
        raise ToolFailure("deliver_to has no street; ask for the address")
    at = f"{_moment(town, 'today', collect_at):%H:%M}" if collect_at else None
    order = {
        "place": where.name,
        "dishes": dict(sorted(meant.items())),
        "collect_at": at,
        "deliver_to": deliver_to,
        "note": note,
    }
    town.orders.append(order | {"name": "", "ready": "30 minutes"})
    return Did(f"ordered, {costs} in all", order)


@tool(access="read", reads=("orders",), latency=Uniform(0.3, 0.7), takes_state=True)
def order_status(town: Town, name: str) -> str:
    """Says when an order will arrive, by the name that it is under."""
    found = [order for order in town.orders if order["name"] and fold(order["name"]) in fold(name).split()]
    if not found:
        raise ToolFailure(f"no order under {quote(name)}; ask what name it was ordered in")
    return f"{found[-1]['place']}: {found[-1]['ready']}"


@tool(access="write", writes=("waiting",), latency=Uniform(0.5, 1.0), takes_state=True)
def join_waitlist(town: Town, place: str, name: str, people: int, day: str | None = None) -> Did:
    """Puts a guest on a place's waiting list for an evening.

    Args:
        day: As said, Friday; today if left out
    """
    where, at = _place(place), _day(town, day or "today")
    if f"{at:%A}".lower() == where.shut:
        raise ToolFailure(f"{where.name} is closed on {at:%A}s, so there is no waiting list")
    entry: dict[str, Any] = {"place": where.name, "name": name, "people": people, "day": f"{at:%Y-%m-%d}"}
    town.waiting.append(entry)
    return Did(f"number {1 + zlib.crc32(where.name.encode()) % 5} on the list", entry)


@tool(access="write", writes=("reviews",), latency=Uniform(0.6, 1.0), takes_state=True)
def leave_review(town: Town, place: str, stars: int, text: str | None = None) -> Did:
    """Publishes the user's review of a place, with 1 to 5 stars."""
    where = _place(place)
    if not 1 <= stars <= 5:
        raise ToolFailure(f"stars is {stars}; give 1 to 5")
    review: dict[str, Any] = {"place": where.name, "stars": stars, "text": text}
    town.reviews.append(review)
    return Did("published", review)
