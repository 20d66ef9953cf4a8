"""A car on the way to the office: navigation, climate, charging, calls and messages, media, service.

Owns the car's state and what each tool does to it. Does not know who drives. What the car looks up in itself is a read;
a question to the chargers' network is egress; what the driver, a passenger or anybody else notices is a write.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from midsentence.tools.function import LogNormal, Uniform, tool
from midsentence.tools.text import fold, quote
from midsentence.tools.tool import ToolFailure

Where = Literal["here", "destination", "route"]
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_STREETS = (
    "Mill Road",
    "Station Street",
    "Harbour Way",
    "Park Lane",
    "Church Hill",
    "Bridge Street",
    "London Road",
    "Queen's Avenue",
)
_NO_NUMBER = ("nobody", "somebody", "someone", "him", "her", "them")


@dataclass(slots=True)
class Car:
    """All that the tools can look at and change."""

    destination: str = "Office"
    """Where the route leads; empty for no route."""
    stops: list[str] = field(default_factory=list)
    """Places on the way, in order."""
    avoid: list[str] = field(default_factory=list)
    """What the route avoids."""
    charging: dict[str, Any] = field(default_factory=dict)
    """The charging limit and schedule, as they were set."""
    degrees: dict[str, float] = field(default_factory=dict)
    """Celsius by zone."""
    seats: dict[str, str] = field(default_factory=dict)
    """Level of heating or cooling by seat."""
    defrosting: set[str] = field(default_factory=set)
    """Windows that are being defrosted."""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Phone calls that were made, in order."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Messages that were sent, in order."""
    playing: tuple[str, str] | None = None
    """Source and title of what plays; None for nothing."""
    bookings: list[dict[str, Any]] = field(default_factory=list)
    """Visits to the workshop; one of each kind of work."""
    tyres_bar: dict[str, float] = field(default_factory=dict)
    """Pressure by wheel, in bar."""


def new_state() -> Car:
    """On the road to the office; one tyre is soft."""
    return Car(tyres_bar={"front_left": 2.4, "front_right": 2.4, "rear_left": 1.9, "rear_right": 2.5})


def _number(text: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(fold(text).encode()).digest()[:4], "big") % below


def _filled(what: str, text: str) -> str:
    if not text.strip():
        raise ToolFailure(f"{what} is empty; ask the driver for it")
    return text.strip()


@tool(access="read", latency=Uniform(0.3, 0.8), takes_state=True)
def find_place(car: Car, query: str, near: Where = "here") -> str:
    """Finds the nearest place of a kind or name on the car's own map, and gives its address."""
    wanted = _filled("query", query)
    return f"{wanted}, {1 + _number(wanted + near, 180)} {_STREETS[_number(near + wanted, len(_STREETS))]}"


@tool(access="egress", latency=LogNormal(0.9, 0.3), takes_state=True)
def find_charger(car: Car, near: Where = "here", min_kw: int | None = None) -> str:
    """Asks the charging network for a free charger.

    Args:
        min_kw: Power that it must have at least
    """
    if min_kw is not None and min_kw > 350:
        raise ToolFailure(f"no charger has {min_kw} kW; the fastest have 350")
    power = min_kw or (50, 75, 150)[_number(near, 3)]
    return f"{power} kW charger, {1 + _number(f'{near}{power}', 90)} {_STREETS[_number(near, len(_STREETS))]}"


@tool(access="write", writes=("route",), latency=Uniform(0.6, 1.4), takes_state=True)
def navigate_to(car: Car, destination: str, avoid: list[Literal["tolls", "motorways", "ferries"]] | None = None) -> str:
    """Starts the way to a new destination, in the place of the old one."""
    car.destination, car.avoid, car.stops = _filled("destination", destination), sorted(set(avoid or ())), []
    return f"{5 + _number(destination, 55)} minutes"


@tool(access="write", reads=("route",), writes=("route",), latency=Uniform(0.5, 1.1), takes_state=True)
def add_stop(car: Car, place: str) -> str:
    """Adds a stop on the present way."""
    if not car.destination:
        raise ToolFailure("there is no way to stop on; start one with navigate_to")
    car.stops.append(_filled("place", place))
    return "added"


@tool(access="write", writes=("route",), latency=Uniform(0.1, 0.3), takes_state=True)
def cancel_navigation(car: Car) -> str:
    """Ends the guidance."""
    if not car.destination:
        raise ToolFailure("no guidance is on")
    car.destination, car.stops = "", []
    return "ended"


@tool(access="read", reads=("route",), latency=Uniform(0.2, 0.5), takes_state=True)
def arrival_time(car: Car) -> str:
    """Says when the car will arrive."""
    if not car.destination:
        raise ToolFailure("there is no destination; start the way with navigate_to")
    return f"at {8 + _number(car.destination, 10):02}:{_number(car.destination, 60):02}"


@tool(access="write", writes=("climate",), latency=Uniform(0.2, 0.5), takes_state=True)
def set_temperature(car: Car, degrees: float, zone: Literal["driver", "passenger", "rear", "all"] = "all") -> str:
    """Sets the temperature in the car, in degrees."""
    if not 15 <= degrees <= 28:
        raise ToolFailure(f"{degrees:g} degrees can't be set; give 15 to 28")
    car.degrees[zone] = degrees
    return f"{degrees:g} degrees"


@tool(access="write", writes=("climate",), latency=Uniform(0.2, 0.4), takes_state=True)
def set_seat_heating(
    car: Car,
    seat: Literal["driver", "passenger", "rear_left", "rear_right"],
    level: Literal["off", "low", "medium", "high"],
) -> str:
    """Heats a seat, or stops heating it."""
    car.seats[seat] = level
    return level


@tool(access="write", writes=("climate",), latency=Uniform(0.2, 0.4), takes_state=True)
def defrost(car: Car, window: Literal["front", "rear"]) -> str:
    """Clears a window of ice or mist."""
    car.defrosting.add(window)
    return "clearing"


@tool(access="write", writes=("charging",), latency=Uniform(0.4, 0.9), takes_state=True)
def set_charging(car: Car, limit_percent: int, schedule: dict[str, str] | None = None) -> str:
    """Sets how full the battery is charged, and when.

    Args:
        schedule: start and end, HH:MM; at once if left out
    """
    if not 20 <= limit_percent <= 100:
        raise ToolFailure(f"{limit_percent} percent can't be set; give 20 to 100")
    for key, value in (schedule or {}).items():
        if key not in ("start", "end") or not _TIME.fullmatch(value):
            raise ToolFailure(f"schedule: {key} {quote(value)} can't be read; give start and end as HH:MM")
    car.charging = {"limit": limit_percent, **(schedule or {})}
    return f"charging to {limit_percent} percent"


@tool(access="write", writes=("phone",), latency=Uniform(0.5, 1.0), takes_state=True)
def call(car: Car, contact: str, phone: Literal["mobile", "home", "work"] | None = None) -> str:
    """Rings somebody up."""
    if fold(_filled("contact", contact)) in _NO_NUMBER:
        raise ToolFailure(f"no contact {quote(contact)}; ask for the name")
    car.calls.append({"contact": contact, "phone": phone})
    return "ringing"


@tool(access="write", writes=("phone",), latency=Uniform(0.5, 1.0), takes_state=True)
def send_message(car: Car, contact: str, text: str) -> str:
    """Sends somebody a text message."""
    if fold(_filled("contact", contact)) in _NO_NUMBER:
        raise ToolFailure(f"no contact {quote(contact)}; ask for the name")
    car.messages.append({"contact": contact, "text": _filled("text", text)})
    return "sent"


@tool(access="write", writes=("media",), latency=Uniform(0.4, 0.8), takes_state=True)
def play_media(car: Car, source: Literal["radio", "podcast", "music", "audiobook"], title: str) -> str:
    """Plays a station, a podcast, music or an audiobook."""
    car.playing = (source, _filled("title", title))
    return "playing"


@tool(access="read", latency=Uniform(0.2, 0.4), takes_state=True)
def tyre_pressure(
    car: Car, wheel: Literal["front_left", "front_right", "rear_left", "rear_right"] | None = None
) -> str:
    """Reads the pressure of one tyre, or of all."""
    return ", ".join(
        f"{name.replace('_', ' ')} {bar} bar" for name, bar in car.tyres_bar.items() if wheel in (None, name)
    )


@tool(access="write", writes=("service",), latency=LogNormal(1.1, 0.2), takes_state=True)
def book_service(
    car: Car,
    work: Literal["inspection", "tyre_change", "brakes", "windscreen", "oil_change", "software"],
    day: str,
    time: str | None = None,
) -> str:
    """Books the car in at the garage, or moves what is booked.

    Args:
        day: YYYY-MM-DD
        time: HH:MM
    """
    if not _DAY.fullmatch(day):
        raise ToolFailure(f"day: {quote(day)} can't be read; give YYYY-MM-DD")
    if time is not None and not (_TIME.fullmatch(time) and "07:30" <= time <= "17:00"):
        raise ToolFailure(f"time: {quote(time)} is not in the garage's hours; give HH:MM from 07:30 to 17:00")
    if not time and any(booked["day"] == day and booked["work"] == work for booked in car.bookings):
        raise ToolFailure(f"{work} is booked for {day} already; give a time to move it")
    others = [booked for booked in car.bookings if booked["work"] != work]
    moved = len(others) < len(car.bookings)
    car.bookings = [*others, {"work": work, "day": day, "time": time}]
    return "moved" if moved else "booked"
