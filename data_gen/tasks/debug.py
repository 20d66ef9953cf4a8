"""A handful of requests over three tools, made from a few words: for debugging and tests, without network or files.

Owns those requests and their small world. No figure made from them means anything.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from functools import partial

from data_gen.speech.timing import speak
from data_gen.task import Evidence, GoldArg, GoldCall, Reference, Split, Task
from midsentence.clock import ns
from midsentence.tools.tool import Json, Param, ToolFailure, ToolSpec

_TEXT = {"type": "string"}
TOOLS = (
    ToolSpec("get_phone_number", (Param("name", _TEXT),), "read", "Look up a contact's phone number"),
    ToolSpec(
        "send_sms",
        (Param("recipients", {"type": "array", "items": _TEXT}), Param("message", _TEXT)),
        "write",
        "Send a text message",
    ),
    ToolSpec("get_weather", (Param("city", _TEXT),), "read", "Weather of a city today"),
)
_WORDS: dict[Split, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "train": (
        ("Ann Lee", "Bob Stone", "Carla Diaz"),
        ("New York", "Lima", "Cape Town"),
        ("dinner is at seven", "I am late"),
    ),
    "validation": (("Dan Frost", "Eve Moss"), ("Oslo", "Hong Kong"), ("the train is full",)),
    "test": (("Finn Ray", "Gia Wolf"), ("Porto", "San Jose"), ("we won the match",)),
}


class World:
    """Phone numbers and weather that follow from names, and a log of what was sent."""

    specs: Mapping[str, ToolSpec] = {spec.name: spec for spec in TOOLS}

    def __init__(self, task_id: str, place: str = "") -> None:
        self.task_id, self.place = task_id, place
        self.effects: list[tuple[str, Mapping[str, Json]]] = []

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Runs one of the three tools."""
        if name == "send_sms":
            if not args["recipients"]:
                raise ToolFailure("send_sms needs at least one recipient")
            self.effects.append((name, args))
            return "sent"
        number = int(_hash(*filter(None, [self.place]), name, *map(str, args.values())), 16)
        return f"+1 555 {number % 10_000:04d}" if name == "get_phone_number" else {"celsius": number % 30}

    def elsewhere(self) -> World:
        """A world with other numbers and other weather."""
        return World(self.task_id, "elsewhere")

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """Uniform in 0.5 to 1 s, by a hash of task, tool and arguments."""
        return ns(0.5) + int(_hash(self.task_id, name, str(args)), 16) % ns(0.5)


_Phrase = tuple[list[str], Callable[[int, int], list[GoldCall]]]
"""Words, and the gold calls that they ask for, given the place of the first word and how many calls come before."""


def tasks(split: Split, seed: int = 0, count: int = 24) -> tuple[Task, ...]:
    """``count`` requests with one, two or three gold calls."""
    made = []
    for index in range(count):
        id = f"debug-{split}-{index}"
        draw = random.Random(_hash(seed, id))
        names, cities, messages = _WORDS[split]
        who, city, message = draw.choice(names), draw.choice(cities), draw.choice(messages)
        parts = [_text_someone(who, message), _weather(city)]
        chosen = [parts, parts[::-1], parts[:1], parts[1:]][index % 4]
        words: list[str] = ["please"]
        gold: list[GoldCall] = []
        for n, (said, calls) in enumerate(chosen):
            words += ["and", "also"] if n else []
            gold += calls(len(words), len(gold))
            words += said
        made.append(
            Task(id, "debug", split, speak(words, int(_hash(seed, id)[:8], 16)), TOOLS, tuple(gold), partial(World, id))
        )
    return tuple(made)


def _text_someone(who: str, message: str) -> _Phrase:
    said = ["text", *who.split(), "that", *message.split()]
    n, m = len(who.split()), len(message.split())

    def calls(at: int, issued: int) -> list[GoldCall]:
        verb = Evidence(at, at + 1)
        return [
            GoldCall("get_phone_number", {"name": GoldArg((who,))}, verb, {"name": Evidence(at + 1, at + 1 + n)}),
            GoldCall(
                "send_sms",
                {"recipients": GoldArg(([Reference(issued + 1)],)), "message": GoldArg((message,))},
                verb,
                {"message": Evidence(at + 2 + n, at + 2 + n + m)},
            ),
        ]

    return said, calls


def _weather(city: str) -> _Phrase:
    said = ["get", "the", "weather", "in", *city.split()]

    def calls(at: int, issued: int) -> list[GoldCall]:
        return [
            GoldCall(
                "get_weather",
                {"city": GoldArg((city,))},
                Evidence(at + 2, at + 3),
                {"city": Evidence(at + 4, at + len(said))},
            )
        ]

    return said, calls


def _hash(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:16]
