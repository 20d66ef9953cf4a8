"""A house that listens: lights, heating, blinds, locks, music, scenes, timers and a word to the other rooms.

Owns the house's state and what each tool does to it. Does not know who asks. Looking at a sensor is a read; a search
for a song goes to a music service and is egress; all else can be seen or heard in a room and is a write.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from midsentence.tools.function import LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote
from midsentence.tools.tool import ToolFailure

Room = Literal[
    "living_room", "kitchen", "dining_room", "bedroom", "bathroom", "hallway", "office", "nursery", "garage", "garden"
]
Door = Literal["front", "back", "garage", "patio"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_NO_HEATING = ("garage", "garden", "hallway")
_NO_BLINDS = ("garage", "garden", "hallway")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_PLAYLISTS = (
    "breakfast",
    "chill",
    "classical",
    "cooking",
    "country",
    "dinner jazz",
    "disco",
    "focus",
    "folk",
    "jazz",
    "kids songs",
    "lullabies",
    "nineties",
    "eighties",
    "party",
    "rain sounds",
    "reggae",
    "rock",
    "running",
    "sleep",
    "soul",
    "the news",
    "the radio",
    "white noise",
    "whale song",
    "workout",
    "opera",
    "christmas",
    "piano",
    "ocean waves",
    "blues",
    "lofi",
)


@dataclass(slots=True)
class House:
    """All that the tools can look at and change."""

    lights: dict[str, dict[str, Any]] = field(default_factory=dict)
    """State, brightness and colour by room."""
    degrees: dict[str, float] = field(default_factory=dict)
    """Celsius by room, as measured."""
    targets: dict[str, float] = field(default_factory=dict)
    """Celsius by room, as asked for."""
    schedules: list[dict[str, Any]] = field(default_factory=list)
    """Times at which the heating changes."""
    blinds: dict[str, str] = field(default_factory=dict)
    """Position by room."""
    locks: dict[str, str] = field(default_factory=dict)
    """``locked`` or ``unlocked`` by door."""
    open_doors: set[str] = field(default_factory=set)
    """Doors that stand open."""
    music: dict[str, str] = field(default_factory=dict)
    """What plays, by room."""
    timers: dict[str, int] = field(default_factory=dict)
    """Minutes by the timer's label."""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """Alarms that were set, in order."""
    announced: list[dict[str, Any]] = field(default_factory=list)
    """Announcements that were made, in order."""
    scene: str = ""
    """The scene that was set last; empty for none."""


def new_state() -> House:
    """The house on an ordinary evening: the patio door stands open, pasta and laundry are being timed, the kitchen has
    the radio on."""
    return House(
        degrees={
            "living_room": 20.5,
            "kitchen": 21.5,
            "dining_room": 19.5,
            "bedroom": 17.5,
            "bathroom": 22.0,
            "hallway": 16.5,
            "office": 18.0,
            "nursery": 19.0,
            "garage": 9.0,
            "garden": 6.5,
        },
        locks={"front": "locked", "back": "unlocked", "garage": "locked", "patio": "unlocked"},
        open_doors={"patio"},
        music={"kitchen": "the radio", "living_room": "jazz", "office": "focus", "nursery": "white noise"},
        timers={"pasta": 9, "laundry": 40, "eggs": 6, "bread": 55},
    )


def _time(what: str, given: str) -> str:
    if not _TIME.fullmatch(given):
        raise ToolFailure(f"{what}: {quote(given)} is no time; give HH:MM, as 07:30")
    return given


@tool(access="write", writes=("lights",), latency=Uniform(0.2, 0.5), takes_state=True)
def set_lights(
    house: House,
    room: Room,
    state: Literal["on", "off"],
    brightness: int | None = None,
    colour: Literal["warm", "white", "red", "orange", "green", "blue", "purple", "pink"] | None = None,
) -> str:
    """Switches the lights of a room on or off.

    Args:
        brightness: Percent, 1 to 100
    """
    if brightness is not None and not 1 <= brightness <= 100:
        raise ToolFailure(f"brightness: {brightness} is not from 1 to 100 percent")
    if state == "off" and (brightness is not None or colour is not None):
        raise ToolFailure("lights that go off have no brightness and no colour; leave them out, or set state to on")
    house.lights[room] = {"state": state, "brightness": brightness, "colour": colour}
    return f"lights {state}"


@tool(access="read", reads=("heating",), latency=Uniform(0.2, 0.6), takes_state=True)
def get_temperature(house: House, room: Room) -> str:
    """Reads the temperature in a room or outside in the garden."""
    return f"{house.degrees[room]:g} degrees"


@tool(access="write", writes=("heating",), latency=Uniform(0.4, 0.9), takes_state=True)
def set_heating(house: House, room: Room, degrees: float, until: str | None = None) -> str:
    """Heats a room to a temperature in degrees.

    Args:
        until: HH:MM; until the next schedule if left out
    """
    if room in _NO_HEATING:
        raise ToolFailure(f"the {room} has no heating")
    if not 5 <= degrees <= 28:
        raise ToolFailure(f"{degrees:g} degrees can't be set; give 5 to 28")
    if until is not None:
        _time("until", until)
    house.targets[room] = degrees
    return f"heating to {degrees:g}"


@tool(access="write", writes=("heating",), latency=Uniform(0.5, 1.0), takes_state=True)
def schedule_heating(house: House, room: Room, degrees: float, schedule: dict[str, str]) -> str:
    """Has a room heated at certain times, every week.

    Args:
        schedule: from and to (HH:MM), and days if not all: weekdays or weekend
    """
    if room in _NO_HEATING:
        raise ToolFailure(f"the {room} has no heating")
    if "from" not in schedule or set(schedule) - {"from", "to", "days"}:
        raise ToolFailure(
            f"schedule has {either(schedule) if schedule else 'nothing'}; give from, and to and days where they were said"
        )
    for key in ("from", "to"):
        if key in schedule:
            _time(f"schedule.{key}", schedule[key])
    if schedule.get("days", "weekdays") not in ("weekdays", "weekend"):
        raise ToolFailure(
            f"schedule.days: {quote(schedule['days'])} is neither weekdays nor weekend; leave it out for all days"
        )
    house.schedules.append({"room": room, "degrees": degrees, **schedule})
    return "scheduled"


@tool(access="write", writes=("blinds",), latency=Uniform(0.3, 0.8), takes_state=True)
def set_blinds(house: House, room: Room, position: Literal["open", "half", "closed"]) -> str:
    """Moves the blinds or curtains of a room."""
    if room in _NO_BLINDS:
        raise ToolFailure(f"the {room} has no blinds")
    house.blinds[room] = position
    return f"blinds {position}"


@tool(access="read", reads=("locks",), latency=Uniform(0.2, 0.5), takes_state=True)
def door_status(house: House, door: Door) -> str:
    """Says whether a door is open, closed or locked."""
    return "open" if door in house.open_doors else "locked" if house.locks[door] == "locked" else "closed"


@tool(access="write", writes=("locks",), latency=Uniform(0.6, 1.2), takes_state=True)
def set_lock(house: House, door: Door, state: Literal["locked", "unlocked"]) -> str:
    """Locks or unlocks a door."""
    if state == "locked" and door in house.open_doors:
        raise ToolFailure(f"the {door} door stands open; ask somebody to close it first")
    house.locks[door] = state
    return state


@tool(access="egress", latency=LogNormal(0.7, 0.3), takes_state=True)
def find_song(house: House, title: str, artist: str | None = None) -> str:
    """Searches the music service for one song or album by its title."""
    if not title.strip():
        raise ToolFailure("title is empty; ask what the song is called")
    return "song:" + "-".join(fold(f"{title} {artist or ''}").replace("'", "").split())


@tool(access="write", writes=("music",), latency=Uniform(0.4, 0.9), takes_state=True)
def play_music(house: House, room: Room, what: str, volume: int | None = None) -> str:
    """Plays a playlist, a station, or a song that find_song found, in a room.

    Args:
        volume: 0 to 10
    """
    if not what.startswith("song:") and fold(what) not in _PLAYLISTS:
        raise ToolFailure(
            f"no playlist or station {quote(what)}; find songs with find_song, or play one of {', '.join(_PLAYLISTS[:6])}"
        )
    if volume is not None and not 0 <= volume <= 10:
        raise ToolFailure(f"volume: {volume} is not from 0 to 10")
    house.music[room] = what
    return "playing"


@tool(access="write", writes=("music",), latency=Uniform(0.2, 0.4), takes_state=True)
def stop_music(house: House, room: Room) -> str:
    """Stops the music, radio or noise in a room."""
    if room not in house.music:
        raise ToolFailure(
            f"nothing plays in the {room}; something plays in {either(sorted(house.music)) if house.music else 'no room'}"
        )
    del house.music[room]
    return "stopped"


@tool(
    access="write",
    writes=("lights", "blinds", "music", "heating", "locks"),
    latency=Uniform(0.8, 1.6),
    takes_state=True,
)
def set_scene(
    house: House, scene: Literal["movie", "dinner", "good_night", "good_morning", "away", "party", "reading", "bath"]
) -> str:
    """Sets the whole house to a scene."""
    house.scene = scene
    return f"scene {scene}"


@tool(access="write", writes=("timers",), latency=Uniform(0.1, 0.3), takes_state=True)
def start_timer(house: House, minutes: int, label: str | None = None) -> str:
    """Starts a timer of so many minutes, with a label if it is for something."""
    if not 1 <= minutes <= 24 * 60:
        raise ToolFailure(f"{minutes} minutes can't be timed; give 1 to {24 * 60}")
    name = fold(label or f"{minutes} minutes")
    house.timers[name] = minutes
    return f"timer {name}"


@tool(access="write", writes=("timers",), latency=Uniform(0.1, 0.3), takes_state=True)
def cancel_timer(house: House, label: str) -> str:
    """Cancels a running timer by its label."""
    if fold(label) not in house.timers:
        raise ToolFailure(f"no timer {quote(label)}; running: {', '.join(sorted(house.timers)) or 'none'}")
    del house.timers[fold(label)]
    return "cancelled"


@tool(access="write", latency=Uniform(0.2, 0.4), takes_state=True)
def set_alarm(
    house: House,
    time: str,
    days: list[Day] | None = None,
    sound: Literal["gentle", "loud", "radio", "birds"] | None = None,
) -> str:
    """Sets an alarm to wake somebody.

    Args:
        time: HH:MM
        days: Days on which it repeats; once if left out
    """
    house.alarms.append({"time": _time("time", time), "days": sorted(set(days or ())), "sound": sound})
    return f"alarm at {time}"


@tool(access="write", writes=("speakers",), latency=Uniform(0.3, 0.7), takes_state=True)
def announce(house: House, message: str, rooms: list[Room] | None = None) -> str:
    """Says a message aloud in some rooms, or in all if none are given."""
    if not message.strip():
        raise ToolFailure("message is empty; ask what to say")
    house.announced.append({"message": message.strip(), "rooms": sorted(set(rooms or ()))})
    return "announced"
