"""A house that Home Assistant's intents can be carried out in: devices in rooms, timers, lists, and what is refused.

Owns the state of a house, made from a language's vocabulary, and what each intent does to it or tells of it. States are
drawn by the hash of a task's id; timers that a request refers to are running. Does not know sentences and signatures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_gen.seeds import child
from data_gen.task import GoldArg
from midsentence.tools.text import either, fold, quote
from midsentence.tools.tool import Json, ToolFailure

_STATES = {
    "light": ("on", "off"),
    "switch": ("on", "off"),
    "fan": ("on", "off"),
    "input_boolean": ("on", "off"),
    "lock": ("locked", "unlocked"),
    "cover": ("open", "closed"),
    "valve": ("open", "closed"),
    "media_player": ("playing", "paused"),
    "climate": ("heat", "off"),
    "vacuum": ("cleaning", "docked"),
    "lawn_mower": ("mowing", "docked"),
    "weather": ("sunny", "rainy", "cloudy"),
    "scene": ("",),
    "script": ("off",),
    "button": ("",),
    "todo": ("",),
}
_ON = {"lock": "locked", "cover": "open", "valve": "open", "media_player": "on", "climate": "heat"}
_OFF = {"lock": "unlocked", "cover": "closed", "valve": "closed"}


@dataclass(slots=True)
class Device:
    """One thing in the house."""

    name: str
    """As people say it."""
    domain: str
    """The kind of thing, such as ``light``."""
    area: str
    """Where it is."""
    device_class: str = ""
    """The kind within the domain; empty for none."""
    state: str = ""
    """As it is told, such as ``on`` or what a sensor measures."""
    values: dict[str, Json] = field(default_factory=dict)
    """Brightness, position and the like, as they were set."""


@dataclass(slots=True)
class Timer:
    """A timer that was started."""

    seconds: int
    """What it was started with."""
    left: int
    """Seconds that are left."""
    name: str = ""
    """The name that it was given; empty for none."""
    area: str = ""
    """The room that was named for it; empty for none."""
    paused: bool = False
    """Whether it stands still."""


@dataclass(slots=True)
class House:
    """All that the intents can look at and change."""

    floors: Mapping[str, str]
    """The floor of each area."""
    here: str
    """Where the user speaks."""
    devices: list[Device]
    """All that can be switched or asked."""
    degrees: dict[str, float]
    """Celsius by area."""
    timers: list[Timer] = field(default_factory=list)
    """Those that run, in the order in which they were started."""
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Things to do or to buy by the list's name; that for shopping has none."""
    announced: list[str] = field(default_factory=list)
    """Announcements that were made, in order."""
    clock: str = ""
    """The time that is told."""
    date: str = ""
    """The date that is told."""


def house(vocabulary: Mapping[str, Any], id: str, calls: Sequence[tuple[str, Mapping[str, GoldArg]]]) -> House:
    """The house of a task: its states follow from the id, and it has the timers and the list items that calls refer to,
    each of them a tool and what it accepts."""
    draw = random.Random(child(0, "house", id))
    devices = [
        Device(name, domain, area, state=draw.choice(_STATES.get(domain) or (str(draw.randrange(20, 90)),)))
        for domain, named in vocabulary["devices"].items()
        for name, area in named.items()
    ]
    devices += [
        Device(name, "cover", area, kind, draw.choice(_STATES["cover"]))
        for area, named in vocabulary["covers"].items()
        for name, kind in named.items()
    ]
    made = House(
        dict(vocabulary["areas"]),
        vocabulary["here"],
        devices,
        {area: 16 + draw.randrange(17) / 2 for area in vocabulary["areas"]},
        lists={name: [] for name in ("", *(device.name for device in devices if device.domain == "todo"))},
        clock=f"{draw.randrange(7, 23):02d}:{draw.randrange(60):02d}",
        date=f"2026-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}",
    )
    made.timers.append(Timer(420, draw.randrange(30, 400)))
    for tool, args in _whole(calls):
        if "Timer" in tool and tool not in ("HassStartTimer", "HassCancelAllTimers"):
            seconds = _seconds(args, "start_")
            if seconds or {"name", "area"} & set(args):
                made.timers.append(
                    Timer(seconds or 900, draw.randrange(30, 600), args.get("name", ""), args.get("area", ""))
                )
        if tool.endswith(("CompleteItem", "RemoveItem")) and "item" in args and args.get("name", "") in made.lists:
            made.lists[args.get("name", "")].append(args["item"])
    return made


def _whole(calls: Sequence[tuple[str, Mapping[str, GoldArg]]]) -> list[tuple[str, dict[str, Any]]]:
    """Tools with what they are given first, without those that are a part of an earlier one."""
    found: list[tuple[str, dict[str, Any]]] = []
    for tool, accepted in calls:
        args = {name: arg.values[0] for name, arg in accepted.items() if not arg.left_out}
        if not any(other == tool and args.items() <= whole.items() for other, whole in found):
            found.append((tool, args))
    return found


def _seconds(args: Mapping[str, Any], prefix: str = "") -> int:
    return sum(args.get(f"{prefix}{unit}", 0) * n for unit, n in (("hours", 3600), ("minutes", 60), ("seconds", 1)))


def _chosen(house: House, args: Mapping[str, Any], domains: Sequence[str] = (), near: bool = True) -> list[Device]:
    """The devices that arguments name; where they name no place, those around the user if there are any.

    Raises:
        ToolFailure: there are none.
    """
    wanted = [args["domain"]] if "domain" in args else domains
    found = [device for device in house.devices if not wanted or device.domain in wanted]
    if "device_class" in args:
        found = [device for device in found if device.device_class == args["device_class"]]
    if "name" in args:
        if not any(fold(device.name) == fold(args["name"]) for device in found):
            raise ToolFailure(
                f"no device {quote(args['name'])}; there are {', '.join(device.name for device in found[:12]) or 'none'}"
            )
        found = [device for device in found if fold(device.name) == fold(args["name"])]
    elif near and not {"area", "floor"} & set(args):
        found = [device for device in found if device.area == house.here] or found
    found = [device for device in found if args.get("area", device.area) == device.area]
    found = [device for device in found if args.get("floor", house.floors[device.area]) == house.floors[device.area]]
    if not found:
        what = args.get("name") or args.get("device_class") or (" or ".join(wanted) if wanted else "device")
        raise ToolFailure(f"no {what} in {args.get('area') or args.get('floor') or 'the house'}; name another place")
    return found


def _done(devices: Sequence[Device]) -> Json:
    return {"done": [device.name for device in devices]}


def _switched(house: House, args: Mapping[str, Any], states: Mapping[str, str], plain: str) -> Json:
    if not args:
        raise ToolFailure("what? give a name, or an area with a domain")
    found = _chosen(house, args, () if {"name", "domain", "device_class"} & set(args) else ("light",))
    for device in found:
        device.state = states.get(device.domain, plain)
    return _done(found)


def turn_on(house: House, **args: Any) -> Json:
    """Switches on, opens, locks, starts."""
    return _switched(house, args, _ON, "on")


def turn_off(house: House, **args: Any) -> Json:
    """Switches off, closes, unlocks."""
    return _switched(house, args, _OFF, "off")


def get_state(house: House, **args: Any) -> Json:
    """The states of devices, or which of them are in one."""
    found = _chosen(house, args, near=False)
    if "state" in args:
        return {"matching": [device.name for device in found if device.state == args["state"]], "of": len(found)}
    return {device.name: device.state for device in found[:8]}


def _setter(domains: Sequence[str], *params: str, limits: Mapping[str, tuple[float, float]]) -> Callable[..., Json]:
    """A tool that sets values of devices."""

    def set_values(house: House, **args: Any) -> Json:
        given = {param: args[param] for param in params if param in args}
        if not given:
            raise ToolFailure(f"nothing to set; give {either(params)}")
        for param, value in given.items():
            low, high = limits.get(param, (None, None))
            if low is not None and high is not None and not (isinstance(value, int | float) and low <= value <= high):
                raise ToolFailure(f"{param}: {value} is not from {low:g} to {high:g}")
        found = _chosen(house, {name: value for name, value in args.items() if name not in params}, domains)
        for device in found:
            device.values |= given
        return _done(found)

    return set_values


def get_temperature(house: House, **args: Any) -> Json:
    """Degrees of a room, of a device's room, or of where the user is."""
    if "name" in args:
        area = _chosen(house, args, ("climate",))[0].area
    elif "floor" in args:
        area = next(area for area, floor in house.floors.items() if floor == args["floor"])
    else:
        area = args.get("area", house.here)
    return {"celsius": house.degrees[area], "area": area}


def _mover(domain: str, state: str) -> Callable[..., Json]:
    """A tool that puts one device, or those of a place, into a state."""

    def move(house: House, **args: Any) -> Json:
        # where a robot is to work is not where it stands
        place = (
            {} if domain in ("vacuum", "lawn_mower") else {key: args[key] for key in ("area", "floor") if key in args}
        )
        found = _chosen(house, place | {key: args[key] for key in ("name",) if key in args}, (domain,))[
            : None if place else 1
        ]
        for device in found:
            device.state = state
        return _done(found)

    return move


def change_volume(house: House, volume_step: Any, **args: Any) -> Json:
    """Turns up or down, a step or so many percent."""
    if not (volume_step in ("up", "down") or isinstance(volume_step, int) and -100 <= volume_step <= 100):
        raise ToolFailure(f"volume_step: {volume_step} is neither up nor down nor -100 to 100")
    return _done(_chosen(house, args, ("media_player",)))


def play(house: House, search_query: str, **args: Any) -> Json:
    """Plays what is found."""
    if not search_query.strip():
        raise ToolFailure("search_query is empty; say what to play")
    found = _chosen(house, {key: args[key] for key in ("name", "area") if key in args}, ("media_player",))[:1]
    found[0].state, found[0].values["playing"] = "playing", search_query
    return _done(found)


def weather(house: House, **args: Any) -> Json:
    """The sky over a place."""
    place = _chosen(house, args, ("weather",), near=False)[0]
    return {"sky": place.state, "celsius": house.degrees[place.area] - 8}


def broadcast(house: House, message: str) -> Json:
    """Says a message in the other rooms."""
    if not message.strip():
        raise ToolFailure("message is empty; ask what to say")
    house.announced.append(message)
    return "announced"


def _list(house: House, name: str) -> list[str]:
    known = next((key for key in house.lists if fold(key) == fold(name)), None)
    if known is None:
        raise ToolFailure(f"no list {quote(name)}; there are {', '.join(key for key in house.lists if key) or 'none'}")
    return house.lists[known]


def add_item(house: House, item: str, name: str = "") -> Json:
    """Puts something on a list."""
    _list(house, name).append(item)
    return "added"


def take_item(house: House, item: str, name: str = "") -> Json:
    """Checks something off a list, or takes it from it."""
    items = _list(house, name)
    if (found := next((other for other in items if fold(other) == fold(item)), None)) is None:
        raise ToolFailure(f"{quote(item)} is not on the list; it has {', '.join(items) or 'nothing'}")
    items.remove(found)
    return "taken off"


def _timer(house: House, args: Mapping[str, Any]) -> Timer:
    """The timer that arguments name, or the last that was started."""
    seconds, name, area = _seconds(args, "start_"), args.get("name", ""), args.get("area", "")
    for timer in reversed(house.timers):
        if (
            (not seconds or timer.seconds == seconds)
            and fold(name) in ("", fold(timer.name))
            and area in ("", timer.area)
        ):
            return timer
    known = ", ".join(f"{timer.name or timer.area or 'a timer'} of {timer.seconds} s" for timer in house.timers)
    raise ToolFailure(f"no such timer; there are {known or 'none'}")


def start_timer(house: House, **args: Any) -> Json:
    """Starts a timer."""
    if not 1 <= (seconds := _seconds(args)) <= 86_400:
        raise ToolFailure(f"{seconds} seconds can't be timed; give 1 second to 24 hours")
    house.timers.append(Timer(seconds, seconds, args.get("name", ""), house.here))
    return "started"


def _changer(sign: int) -> Callable[..., Json]:
    def change(house: House, **args: Any) -> Json:
        if not (seconds := _seconds(args)):
            raise ToolFailure("by how much? give hours, minutes or seconds")
        timer = _timer(house, args)
        timer.left = max(0, timer.left + sign * seconds)
        return {"left_s": timer.left}

    return change


def _pauser(paused: bool) -> Callable[..., Json]:
    def pause(house: House, **args: Any) -> Json:
        _timer(house, args).paused = paused
        return "paused" if paused else "running"

    return pause


def cancel_timer(house: House, **args: Any) -> Json:
    """Cancels one timer."""
    house.timers.remove(_timer(house, args))
    return "cancelled"


def cancel_timers(house: House, **args: Any) -> Json:
    """Cancels all timers, of a room if one is named."""
    gone = [timer for timer in house.timers if args.get("area", timer.area) in (timer.area, "")]
    house.timers = [timer for timer in house.timers if timer not in gone]
    return {"cancelled": len(gone)}


def timer_status(house: House, **args: Any) -> Json:
    """What is left of a timer."""
    return {"left_s": _timer(house, args).left}


_PERCENT = (0, 100)
set_light = _setter(
    ("light",), "brightness", "color", "temperature", limits={"brightness": _PERCENT, "temperature": (1000, 10_000)}
)
set_position = _setter(("cover", "valve"), "position", limits={"position": _PERCENT})
set_temperature = _setter(("climate",), "temperature", limits={"temperature": (5, 35)})
set_fan_mode = _setter(("climate",), "fan_mode", limits={})
set_fan_speed = _setter(("fan",), "percentage", limits={"percentage": _PERCENT})
set_volume = _setter(("media_player",), "volume_level", limits={"volume_level": _PERCENT})
pause_media, play_media = _mover("media_player", "paused"), _mover("media_player", "playing")
mute, unmute = _mover("media_player", "muted"), _mover("media_player", "playing")
clean, dock = _mover("vacuum", "cleaning"), _mover("vacuum", "docked")
mow, dock_mower = _mover("lawn_mower", "mowing"), _mover("lawn_mower", "docked")
increase_timer, decrease_timer = _changer(1), _changer(-1)
pause_timer, unpause_timer = _pauser(True), _pauser(False)
