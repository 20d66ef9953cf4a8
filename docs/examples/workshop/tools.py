"""The tools of a bike workshop, for whoever has both hands on a bike: parts, customers, the calendar."""

from dataclasses import dataclass, field
from typing import Literal

from midsentence.tools.function import Uniform, tool
from midsentence.tools.tool import ToolFailure

PARTS = {  # in stock, euros
    "inner tubes": (14, 6.5),
    "brake pads": (9, 12.0),
    "chains": (3, 24.0),
    "saddles": (4, 39.0),
    "pedals": (6, 18.5),
    "bells": (11, 8.0),
    "rear lights": (5, 15.0),
    "front lights": (7, 22.0),
    "spokes": (80, 0.9),
    "mudguards": (2, 27.5),
    "gear cables": (12, 5.0),
    "handlebar grips": (8, 13.0),
    "kickstands": (3, 16.0),
    "tyres": (10, 31.0),
    "locks": (5, 45.0),
    "baskets": (1, 33.0),
}
CUSTOMERS = {
    "Ada Byrne": "555 0141",
    "Tom Reed": "555 0188",
    "Mrs Okafor": "555 0123",
    "Lena Fischer": "555 0170",
    "Jon": "555 0102",
    "Priya": "555 0159",
    "Mr Hale": "555 0137",
    "Sofia": "555 0115",
    "Nils Berg": "555 0164",
    "Carmen": "555 0196",
    "Doctor Yilmaz": "555 0128",
    "Eddie": "555 0173",
}
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
HOURS = {"Monday": 3, "Tuesday": 0, "Wednesday": 5, "Thursday": 1, "Friday": 2, "Saturday": 4}


@dataclass
class Workshop:
    """What has changed since the morning."""

    orders: list[tuple[str, int]] = field(default_factory=list)
    repairs: list[tuple[str, str, str]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)


def new_state() -> Workshop:
    return Workshop()


def _known(name: str, among: dict) -> str:
    for known in among:
        if name.casefold() in (known.casefold(), known.casefold().removesuffix("s")):
            return known
    raise ToolFailure(f'there is no "{name}"; there are {", ".join(among)}')


@tool(access="read", latency=Uniform(0.2, 0.6))
def stock(part: str) -> int:
    """Counts how many of a part are in stock."""
    return PARTS[_known(part, PARTS)][0]


@tool(access="read", latency=Uniform(0.2, 0.6))
def price(part: str) -> float:
    """Tells what a part costs, in euros."""
    return PARTS[_known(part, PARTS)][1]


@tool(access="read", latency=Uniform(0.2, 0.6))
def free_hours(day: Day) -> int:
    """Tells how many hours are free on a day."""
    return HOURS[day]


@tool(access="read", latency=Uniform(0.2, 0.6))
def phone_number(customer: str) -> str:
    """Looks up a customer's phone number."""
    return CUSTOMERS[_known(customer, CUSTOMERS)]


@tool(access="write", takes_state=True, latency=Uniform(0.3, 0.8))
def text(state: Workshop, phone: str, message: str) -> str:
    """Sends a text message to a phone number."""
    state.texts.append((phone, message))
    return "sent"


@tool(access="write", takes_state=True, latency=Uniform(0.3, 0.8))
def order(state: Workshop, part: str, count: int = 1) -> str:
    """Orders a part from the supplier."""
    state.orders.append((part, count))
    return "ordered"


@tool(access="write", takes_state=True, latency=Uniform(0.3, 0.8))
def book_repair(state: Workshop, customer: str, day: Day, work: str) -> str:
    """Puts a repair into the calendar."""
    if not HOURS[day]:
        raise ToolFailure(f"{day} is full")
    state.repairs.append((customer, day, work))
    return "booked"
