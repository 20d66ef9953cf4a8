"""Travel: trains, flights, hotels, their prices, seats and reservations, delays, the weather and entry rules.

Owns the timetable, made from the cities' places on the map, the traveller's clock, and what the tools answer and
refuse. Days and times are given as they were said ("Friday", "around noon" as "noon"); the world reads them. Does not
know who calls and when.
"""

import math
import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from midsentence.tools import times
from midsentence.tools.function import Did, LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote, similar
from midsentence.tools.tool import ToolFailure

NOW = "2026-06-09 08:40:00"
"""The traveller's clock where a request brings none: a Tuesday morning."""
HOME = "Manchester"
"""Where journeys begin if nobody says where."""
MOST_PASSENGERS = 9
Class = Literal["standard", "first", "business"]
Seat = Literal["window", "aisle", "table", "quiet"]

CITIES = {
    # latitude, longitude, network of rails ("" for none), country
    "Manchester": (53.5, -2.2, "britain", "United Kingdom"),
    "London": (51.5, -0.1, "britain europe", "United Kingdom"),
    "Leeds": (53.8, -1.5, "britain", "United Kingdom"),
    "York": (54.0, -1.1, "britain", "United Kingdom"),
    "Edinburgh": (55.9, -3.2, "britain", "United Kingdom"),
    "Glasgow": (55.9, -4.3, "britain", "United Kingdom"),
    "Bristol": (51.5, -2.6, "britain", "United Kingdom"),
    "Cardiff": (51.5, -3.2, "britain", "United Kingdom"),
    "Brighton": (50.8, -0.1, "britain", "United Kingdom"),
    "Newcastle": (55.0, -1.6, "britain", "United Kingdom"),
    "Oxford": (51.8, -1.3, "britain", "United Kingdom"),
    "Liverpool": (53.4, -3.0, "britain", "United Kingdom"),
    "Inverness": (57.5, -4.2, "britain", "United Kingdom"),
    "Bath": (51.4, -2.4, "britain", "United Kingdom"),
    "Dublin": (53.3, -6.3, "ireland", "Ireland"),
    "Cork": (51.9, -8.5, "ireland", "Ireland"),
    "Galway": (53.3, -9.1, "ireland", "Ireland"),
    "Paris": (48.9, 2.4, "europe", "France"),
    "Lyon": (45.8, 4.8, "europe", "France"),
    "Marseille": (43.3, 5.4, "europe", "France"),
    "Nice": (43.7, 7.3, "europe", "France"),
    "Bordeaux": (44.8, -0.6, "europe", "France"),
    "Brussels": (50.8, 4.4, "europe", "Belgium"),
    "Amsterdam": (52.4, 4.9, "europe", "Netherlands"),
    "Cologne": (50.9, 7.0, "europe", "Germany"),
    "Berlin": (52.5, 13.4, "europe", "Germany"),
    "Hamburg": (53.6, 10.0, "europe", "Germany"),
    "Munich": (48.1, 11.6, "europe", "Germany"),
    "Vienna": (48.2, 16.4, "europe", "Austria"),
    "Salzburg": (47.8, 13.0, "europe", "Austria"),
    "Prague": (50.1, 14.4, "europe", "Czechia"),
    "Zurich": (47.4, 8.5, "europe", "Switzerland"),
    "Geneva": (46.2, 6.1, "europe", "Switzerland"),
    "Milan": (45.5, 9.2, "europe", "Italy"),
    "Florence": (43.8, 11.3, "europe", "Italy"),
    "Rome": (41.9, 12.5, "europe", "Italy"),
    "Naples": (40.9, 14.3, "europe", "Italy"),
    "Venice": (45.4, 12.3, "europe", "Italy"),
    "Barcelona": (41.4, 2.2, "europe", "Spain"),
    "Madrid": (40.4, -3.7, "europe", "Spain"),
    "Seville": (37.4, -6.0, "europe", "Spain"),
    "Porto": (41.1, -8.6, "europe", "Portugal"),
    "Lisbon": (38.7, -9.1, "europe", "Portugal"),
    "Krakow": (50.1, 19.9, "europe", "Poland"),
    "Warsaw": (52.2, 21.0, "europe", "Poland"),
    "Budapest": (47.5, 19.0, "europe", "Hungary"),
    "Copenhagen": (55.7, 12.6, "europe", "Denmark"),
    "Stockholm": (59.3, 18.1, "europe", "Sweden"),
    "Oslo": (59.9, 10.8, "", "Norway"),
    "Bergen": (60.4, 5.3, "", "Norway"),
    "Helsinki": (60.2, 24.9, "", "Finland"),
    "Reykjavik": (64.1, -21.9, "", "Iceland"),
    "Athens": (38.0, 23.7, "", "Greece"),
    "Istanbul": (41.0, 29.0, "", "Turkey"),
    "Marrakesh": (31.6, -8.0, "", "Morocco"),
    "Cairo": (30.0, 31.2, "", "Egypt"),
    "Nairobi": (-1.3, 36.8, "", "Kenya"),
    "Lagos": (6.5, 3.4, "", "Nigeria"),
    "Dubai": (25.2, 55.3, "", "United Arab Emirates"),
    "Mumbai": (19.1, 72.9, "", "India"),
    "Delhi": (28.6, 77.2, "", "India"),
    "Singapore": (1.4, 103.8, "", "Singapore"),
    "Bangkok": (13.8, 100.5, "", "Thailand"),
    "Hanoi": (21.0, 105.8, "", "Vietnam"),
    "Tokyo": (35.7, 139.7, "japan", "Japan"),
    "Osaka": (34.7, 135.5, "japan", "Japan"),
    "Kyoto": (35.0, 135.8, "japan", "Japan"),
    "Seoul": (37.6, 127.0, "", "South Korea"),
    "Sydney": (-33.9, 151.2, "", "Australia"),
    "New York": (40.7, -74.0, "america", "United States"),
    "Boston": (42.4, -71.1, "america", "United States"),
    "Washington": (38.9, -77.0, "america", "United States"),
    "Chicago": (41.9, -87.6, "america", "United States"),
    "Toronto": (43.7, -79.4, "canada", "Canada"),
    "Montreal": (45.5, -73.6, "canada", "Canada"),
    "Mexico City": (19.4, -99.1, "", "Mexico"),
    "Lima": (-12.0, -77.0, "", "Peru"),
}
NO_AIRPORT = ("York", "Oxford", "Bath", "Brighton", "Kyoto")
HOTELS = {
    # name: stars, features
    "Grand {}": (5, ("pool", "spa", "gym", "parking", "restaurant")),
    "Station Hotel {}": (3, ("restaurant", "step-free")),
    "{} Garden Inn": (3, ("pets", "parking", "family rooms")),
    "Hotel Old Bridge {}": (4, ("restaurant", "spa", "step-free")),
    "{} Backpackers": (2, ("kitchen", "pets")),
    "Airport Lodge {}": (3, ("parking", "gym", "step-free")),
    "Parkside {}": (4, ("pool", "family rooms", "gym", "parking")),
}
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
)
"""Each has a train, a flight and a hotel reserved from the start."""
VISA_FREE = (
    "Irish",
    "British",
    "French",
    "German",
    "Italian",
    "Spanish",
    "Polish",
    "American",
    "Canadian",
    "Japanese",
    "Australian",
)
VISA_NEEDED = ("Kenya", "Nigeria", "Egypt", "India", "Vietnam", "Australia")
_TRIP = re.compile(r"(train|flight) (.+) to (.+) (\d{4}-\d\d-\d\d) (\d\d:\d\d)")


@dataclass
class Journeys:
    """All that the tools can read and change."""

    now: datetime
    """When the request is made."""
    reservations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Reservations by code."""
    alerts: list[dict[str, Any]] = field(default_factory=list)
    """Alerts on prices and delays that were set, in order."""


def new_state(now: str = NOW) -> Journeys:
    """Reservations of the regular travellers, from this date and time on."""
    state = Journeys(datetime.fromisoformat(now))
    names = list(CITIES)
    for n, name in enumerate(GUESTS):
        day = state.now.replace(hour=0, minute=0) + timedelta(days=2 + n % 12)
        goes, far = names[n % 14], names[17 + n % 20]
        railway = names[(n + 5) % 14]
        entries = (
            {
                "kind": "train",
                "from": goes,
                "to": railway,
                "at": day.replace(hour=8 + n % 9),
                "seat": "aisle",
                "class": "standard",
            },
            {
                "kind": "flight",
                "from": "London",
                "to": far,
                "at": day.replace(hour=9 + n % 8),
                "seat": "aisle",
                "class": "standard",
            },
            {"kind": "hotel", "hotel": f"Grand {far}", "to": far, "at": day, "nights": 2 + n % 3, "room": "double"},
        )
        for entry in entries:
            code = _code(name, entry["kind"], entry["to"])
            state.reservations[code] = {"name": name, "passengers": 1 + n % 2, "bags": 0, "checked_in": False} | entry
    return state


def _code(*parts: Any) -> str:
    return f"R{zlib.crc32('|'.join(map(str, parts)).encode()) % 9000 + 1000}"


def _city(name: str) -> str:
    asked = fold(name)
    for city in CITIES:
        if fold(city) == asked:
            return city
    near = similar(name, CITIES)
    hint = f"did the user mean {either(near)}?" if near else "ask for a larger one nearby"
    raise ToolFailure(f"no city {quote(name)} in the timetable; {hint}")


def _day(state: Journeys, day: str | None) -> datetime:
    try:
        return datetime.combine(times.day(day or "today", state.now), datetime.min.time())
    except times.Unclear as failure:
        raise ToolFailure(
            f'day {quote(day or "")} can\'t be read: {failure}; give it as said, "Friday" or "the twelfth"'
        ) from None


def _clock(at: datetime, time: str) -> datetime:
    """A time of day as it was said; a bare hour is between six in the morning and six in the evening."""
    try:
        clock = times.moment(time, at.replace(hour=5, minute=59))
    except times.Unclear as failure:
        raise ToolFailure(f'time {quote(time)} can\'t be read: {failure}; give it as said, "half past nine"') from None
    return at.replace(hour=clock.hour, minute=clock.minute)


def _distance_km(origin: str, destination: str) -> int:
    (a, b), (c, d) = CITIES[origin][:2], CITIES[destination][:2]
    across = (b - d + 180) % 360 - 180
    return round(111 * math.hypot(a - c, across * math.cos(math.radians((a + c) / 2))))


def _departure(
    state: Journeys, kind: str, origin: str, destination: str, day: str | None, after: str | None, before: str | None
) -> str:
    """The first departure after a time, or the last before one; trains leave hourly from 6 to 22, flights every three
    hours."""
    start, end = _city(origin), _city(destination)
    if start == end:
        raise ToolFailure(f"origin and destination are both {start}; ask where to")
    if kind == "train" and not set(CITIES[start][2].split()) & set(CITIES[end][2].split()):
        raise ToolFailure(f"no train runs from {start} to {end}; use find_flight, or change trains in London or Paris")
    if kind == "flight" and (without := [city for city in (start, end) if city in NO_AIRPORT]):
        raise ToolFailure(f"{without[0]} has no airport; use find_train")
    at = _day(state, day)
    step = 60 if kind == "train" else 180
    first = 6 * 60 + zlib.crc32(f"{kind}{start}{end}".encode()) % 12 * 5
    leaving = [at + timedelta(minutes=m) for m in range(first, 22 * 60 + 59, step)]
    leaving = [one for one in leaving if one > state.now]
    if after:
        leaving = [one for one in leaving if one >= _clock(at, after)]
    if before:
        leaving = [one for one in leaving if one < _clock(at, before)][-1:]
    if not leaving:
        raise ToolFailure(f"no {kind} from {start} to {end} then on {at:%A}; ask for another time or day")
    return f"{kind} {start} to {end} {leaving[0]:%Y-%m-%d %H:%M}"


def _trip(trip: str) -> tuple[str, str, str, datetime]:
    found = _TRIP.fullmatch(trip)
    if not found:
        raise ToolFailure(f"{quote(trip)} is no departure; get one from find_train or find_flight")
    return found[1], _city(found[2]), _city(found[3]), datetime.fromisoformat(f"{found[4]} {found[5]}")


def _fare(trip: str, passengers: int, travel_class: str) -> int:
    kind, origin, destination, at = _trip(trip)
    if not 1 <= passengers <= MOST_PASSENGERS:
        raise ToolFailure(f"{passengers} passengers can't travel on one ticket; give 1 to {MOST_PASSENGERS}")
    if kind == "train" and travel_class == "business":
        raise ToolFailure("trains have no business class; use standard or first")
    one = (
        12
        + _distance_km(origin, destination) * (0.14 if kind == "train" else 0.09)
        + (15 if at.weekday() in (4, 6) else 0)
    )
    return round(one * {"standard": 1, "first": 1.8, "business": 2.6}[travel_class]) * passengers


def _hotel(hotel: str) -> tuple[str, str]:
    """A hotel and its city."""
    for city in CITIES:
        for pattern in HOTELS:
            if fold(pattern.format(city)) == fold(hotel).removeprefix("the "):
                return pattern.format(city), city
    raise ToolFailure(f"no hotel {quote(hotel)}; get its name from find_hotel")


def _reservation(state: Journeys, reservation: str) -> dict[str, Any]:
    if reservation not in state.reservations:
        raise ToolFailure(f"no reservation {quote(reservation)}; look it up by name with find_reservation")
    return state.reservations[reservation]


@tool(access="read", latency=LogNormal(1.1, 0.35), takes_state=True)
def find_train(
    state: Journeys,
    destination: str,
    origin: str | None = None,
    day: str | None = None,
    leave_after: str | None = None,
    leave_before: str | None = None,
) -> str:
    """Finds a train and returns its departure; from home and today if nothing is said.

    Args:
        day: As said, Friday
        leave_after: Time as said, half past nine
        leave_before: Time as said
    """
    return _departure(state, "train", origin or HOME, destination, day, leave_after, leave_before)


@tool(access="read", latency=LogNormal(1.5, 0.4), takes_state=True)
def find_flight(
    state: Journeys,
    destination: str,
    origin: str | None = None,
    day: str | None = None,
    leave_after: str | None = None,
    leave_before: str | None = None,
) -> str:
    """Finds a flight and returns its departure; from home and today if nothing is said.

    Args:
        day: As said, Friday
        leave_after: Time as said, half past nine
        leave_before: Time as said
    """
    return _departure(state, "flight", origin or HOME, destination, day, leave_after, leave_before)


@tool(access="read", latency=LogNormal(1.2, 0.3))
def find_hotel(
    city: str,
    stars: int | None = None,
    features: list[
        Literal["pool", "spa", "gym", "parking", "restaurant", "pets", "family rooms", "step-free", "kitchen"]
    ]
    | None = None,
    most_per_night: int | None = None,
) -> str:
    """Finds a hotel in a city and returns its name.

    Args:
        stars: At least so many, 1 to 5
        most_per_night: Price in pounds
    """
    where = _city(city)
    if stars is not None and not 1 <= stars <= 5:
        raise ToolFailure(f"stars is {stars}; give 1 to 5")
    fits = [
        pattern
        for pattern, (own, has) in HOTELS.items()
        if own >= (stars or 1)
        and set(features or ()) <= set(has)
        and (most_per_night is None or own * 38 <= most_per_night)
    ]
    if not fits:
        raise ToolFailure(f"no hotel in {where} has all that; ask for fewer stars, fewer features or a higher price")
    return fits[zlib.crc32(where.encode()) % len(fits)].format(where)


@tool(access="read", reads=("reservations",), latency=Uniform(0.5, 1.0))
def get_price(trip: str, passengers: int = 1, travel_class: Class = "standard") -> str:
    """Says what a departure costs.

    Args:
        trip: From find_train or find_flight
    """
    return f"{_fare(trip, passengers, travel_class)} pounds"


@tool(access="read", reads=("reservations",), latency=Uniform(0.5, 1.2))
def free_seats(trip: str, kind: Seat | None = None) -> str:
    """Says how many seats are free on a departure.

    Args:
        trip: From find_train or find_flight
    """
    how, _, _, _ = _trip(trip)
    if how == "flight" and kind in ("table", "quiet"):
        raise ToolFailure(f"flights have no {kind} seats, only window and aisle")
    return f"{zlib.crc32(f'{trip}{kind}'.encode()) % 40 + 1} {kind or ''} seats".replace("  ", " ")


@tool(access="write", writes=("reservations",), latency=LogNormal(1.8, 0.3), takes_state=True)
def book_trip(
    state: Journeys,
    trip: str,
    passengers: list[str],
    travel_class: Class = "standard",
    seat: Seat | None = None,
    extras: dict[str, int] | None = None,
) -> Did:
    """Books a departure for named passengers and returns the reservation's number; extras are bags, bikes or meals with
    how many.

    Args:
        trip: From find_train or find_flight
        passengers: Their names
        extras: Fields bags, bikes, meals
    """
    kind, origin, destination, at = _trip(trip)
    if not passengers or not all(name.strip() for name in passengers):
        raise ToolFailure("passengers is empty; ask who is travelling")
    _fare(trip, len(passengers), travel_class)
    if kind == "flight" and seat in ("table", "quiet"):
        raise ToolFailure(f"flights have no {seat} seats, only window and aisle")
    if unknown := set(extras or ()) - {"bags", "bikes", "meals"}:
        raise ToolFailure(f"no extra {quote(min(unknown))}; use bags, bikes or meals")
    code = _code(fold(passengers[0]), kind, destination, at)
    if code in state.reservations:
        raise ToolFailure(f"{passengers[0]} is on that {kind} already, {code}; use change_reservation")
    state.reservations[code] = {
        "name": passengers[0],
        "passengers": len(passengers),
        "bags": (extras or {}).get("bags", 0),
        "checked_in": False,
        "kind": kind,
        "from": origin,
        "to": destination,
        "at": at,
        "seat": seat or "any",
        "class": travel_class,
    }
    return Did(
        code,
        {
            "trip": trip,
            "passengers": sorted(map(fold, passengers)),
            "class": travel_class,
            "seat": seat,
            "extras": extras,
        },
    )


@tool(access="write", writes=("reservations",), latency=LogNormal(1.4, 0.3), takes_state=True)
def book_room(
    state: Journeys,
    hotel: str,
    guest: str,
    day: str,
    nights: int = 1,
    room: Literal["single", "double", "twin", "family", "suite"] = "double",
    breakfast: bool = False,
) -> Did:
    """Books a hotel room and returns the reservation's number.

    Args:
        hotel: Name from find_hotel
        guest: In whose name
        day: Of arrival, as said
    """
    name, city = _hotel(hotel)
    at = _day(state, day)
    if not 1 <= nights <= 28:
        raise ToolFailure(f"{nights} nights can't be booked; give 1 to 28")
    if room == "suite" and not name.startswith("Grand"):
        raise ToolFailure(f"{name} has no suites; use double or family")
    code = _code(fold(guest), name, at)
    if code in state.reservations:
        raise ToolFailure(f"{guest} has a room there then already, {code}; use change_reservation")
    state.reservations[code] = {
        "name": guest,
        "passengers": 1,
        "kind": "hotel",
        "hotel": name,
        "to": city,
        "at": at,
        "nights": nights,
        "room": room,
        "breakfast": breakfast,
    }
    return Did(
        code,
        {
            "hotel": name,
            "guest": fold(guest),
            "day": f"{at:%Y-%m-%d}",
            "nights": nights,
            "room": room,
            "breakfast": breakfast,
        },
    )


@tool(access="read", reads=("reservations",), latency=Uniform(0.4, 0.9), takes_state=True)
def find_reservation(state: Journeys, name: str, kind: Literal["train", "flight", "hotel"] | None = None) -> str:
    """Finds a traveller's reservation and returns its number."""
    asked = fold(name)
    under = {
        code: one
        for code, one in state.reservations.items()
        if fold(one["name"]) in asked.split() or asked in fold(one["name"])
    }
    found = [code for code, one in under.items() if kind in (None, one["kind"])]
    if not found and under:
        raise ToolFailure(f"{name} has no {kind} reserved, but a {next(iter(under.values()))['kind']}")
    if not found:
        near = similar(name, (one["name"] for one in state.reservations.values()))
        hint = f"there is one under {either(near)}" if near else "ask for the name"
        raise ToolFailure(f"no reservation under {quote(name)}; {hint}")
    return found[0]


@tool(access="write", writes=("reservations",), latency=LogNormal(1.5, 0.3), takes_state=True)
def change_reservation(
    state: Journeys,
    reservation: str,
    day: str | None = None,
    time: str | None = None,
    nights: int | None = None,
    seat: Seat | None = None,
    travel_class: Class | None = None,
) -> Did:
    """Changes a reservation; only what is given changes.

    Args:
        reservation: Number from find_reservation
        day: As said, Friday
        time: As said, half past nine
        nights: For hotels
    """
    old = _reservation(state, reservation)
    if not (day or time or nights or seat or travel_class):
        raise ToolFailure(f"nothing to change in {reservation}; give day, time, nights, seat or travel_class")
    if old["kind"] == "hotel" and (time or seat or travel_class):
        raise ToolFailure(f"{reservation} is a hotel; only day and nights can change")
    if old["kind"] != "hotel" and nights:
        raise ToolFailure(f"{reservation} is a {old['kind']}, which has no nights")
    if old["kind"] == "flight" and seat in ("table", "quiet"):
        raise ToolFailure(f"flights have no {seat} seats, only window and aisle")
    if old["kind"] == "train" and travel_class == "business":
        raise ToolFailure("trains have no business class; use standard or first")
    at = _day(state, day).replace(hour=old["at"].hour, minute=old["at"].minute) if day else old["at"]
    at = _clock(at, time) if time else at
    if at < state.now:
        raise ToolFailure(f"{at:%A at %H:%M} has passed; ask for a later time")
    given: dict[str, Any] = {"nights": nights, "seat": seat, "class": travel_class}
    state.reservations[reservation] = (
        old | {"at": at} | {key: value for key, value in given.items() if value is not None}
    )
    return Did("changed", {"reservation": reservation, "at": f"{at:%Y-%m-%d %H:%M}"} | given)


@tool(access="write", writes=("reservations",), latency=Uniform(0.8, 1.4), takes_state=True)
def cancel_reservation(state: Journeys, reservation: str, refund: Literal["money", "voucher"] = "money") -> str:
    """Cancels a reservation and refunds it.

    Args:
        reservation: Number from find_reservation
    """
    if _reservation(state, reservation).get("checked_in"):
        raise ToolFailure(f"{reservation} is checked in; it can't be cancelled any more")
    del state.reservations[reservation]
    return f"cancelled, refunded as {refund}"


@tool(access="write", writes=("reservations",), latency=Uniform(0.9, 1.6), takes_state=True)
def check_in(state: Journeys, reservation: str, seat: Literal["window", "aisle"] | None = None, bags: int = 0) -> Did:
    """Checks a traveller in for a flight and returns the boarding group.

    Args:
        reservation: Number from find_reservation
        bags: To check
    """
    old = _reservation(state, reservation)
    if old["kind"] != "flight":
        raise ToolFailure(f"{reservation} is a {old['kind']}; only flights need checking in")
    if old["checked_in"]:
        raise ToolFailure(f"{reservation} is checked in already")
    if not 0 <= bags <= 5:
        raise ToolFailure(f"{bags} bags can't be checked; give 0 to 5")
    state.reservations[reservation] = old | {"checked_in": True, "bags": bags, "seat": seat or old["seat"]}
    return Did(
        f"boarding group {zlib.crc32(reservation.encode()) % 4 + 1}",
        {"reservation": reservation, "seat": seat, "bags": bags},
    )


@tool(access="read", latency=LogNormal(0.8, 0.4))
def trip_status(number: str) -> str:
    """Says whether a train or flight is on time, by its number."""
    code = re.sub(r"\W", "", number).upper()
    if not re.fullmatch(r"[A-Z]{1,3}\d{1,4}", code):
        raise ToolFailure(f"{quote(number)} is no train's or flight's number; it has letters and digits, as in BA417")
    late = zlib.crc32(code.encode()) % 6 * 10
    return f"{code} is {f'{late} minutes late' if late else 'on time'}, from {'platform' if len(code) > 5 else 'gate'} {len(code) * 3}"


@tool(access="read", latency=Uniform(0.3, 0.8), takes_state=True)
def get_weather(state: Journeys, city: str, day: str | None = None) -> str:
    """Returns the weather forecast for a city on a day.

    Args:
        day: As said, Friday; today if left out
    """
    where, at = _city(city), _day(state, day)
    if at > state.now + timedelta(days=14):
        raise ToolFailure(f"{at:%d %B} is too far ahead; forecasts reach 14 days")
    sky = ("sunny", "cloudy", "showers", "rain", "windy")[zlib.crc32(f"{where}{at:%j}".encode()) % 5]
    return f"{sky}, {round(32 - abs(CITIES[where][0]) * 0.3)} degrees on {at:%A}"


@tool(access="write", writes=("alerts",), latency=Uniform(0.4, 0.8), takes_state=True)
def set_price_alert(
    state: Journeys, destination: str, below: int, origin: str | None = None, until: str | None = None
) -> Did:
    """Tells the user when a flight gets cheaper than a price.

    Args:
        below: In pounds
        until: Last day, as said
    """
    start, end = _city(origin or HOME), _city(destination)
    if below < 5:
        raise ToolFailure(f"{below} pounds is no fare; give at least 5")
    last = f"{_day(state, until):%Y-%m-%d}" if until else None
    alert: dict[str, Any] = {"origin": start, "destination": end, "below": below, "until": last}
    state.alerts.append(alert)
    return Did("watching", alert)


@tool(access="egress", latency=LogNormal(1.7, 0.4))
def entry_rules(country: str, passport: str) -> str:
    """Asks the border authority what a traveller of a nationality needs to enter a country.

    Args:
        passport: Nationality as said, Irish
    """
    known = {fold(place[3]): place[3] for place in CITIES.values()}
    where = known.get(fold(country).removeprefix("the "))
    if where is None:
        near = similar(country, known.values())
        raise ToolFailure(
            f"nothing is known of {quote(country)}; {f'did the user mean {either(near)}?' if near else 'give a country'}"
        )
    free = passport.strip().title() in VISA_FREE and where not in VISA_NEEDED
    return f"{where}: {'no visa up to 90 days' if free else 'a visa is needed, apply online'}"
