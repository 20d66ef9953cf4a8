"""The intents of a language as tools: names and descriptions are the package's, types those of the lists that its
templates use.

Owns which intent reads and which writes, what it touches and how long it takes, and the signature that comes out. Does
not know what a tool does (`data_gen.tasks.home.house`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hassil.intents import RangeSlotList, TextSlotList

from data_gen.grounding.spans import Habits
from data_gen.tasks.home import house
from data_gen.tasks.home.grammar import Grammar
from data_gen.tasks.own_tools import Named, Tools
from midsentence.tools.function import FunctionToolbox, Tool, Uniform
from midsentence.tools.tool import Param, Toolbox, ToolSpec

_DEVICES, _MEDIA, _TIMERS, _LISTS, _ROBOTS = "devices", "media", "timers", "lists", "robots"
_QUICK, _SLOW, _AWAY = Uniform(0.2, 0.6), Uniform(0.4, 1.0), Uniform(0.5, 1.5)
_READS: Mapping[str, tuple[Callable[..., Any], Sequence[str], Uniform]] = {
    "HassGetState": (house.get_state, (_DEVICES, _MEDIA, _ROBOTS), _QUICK),
    "HassClimateGetTemperature": (house.get_temperature, (), _QUICK),
    "HassGetCurrentTime": (lambda house: house.clock, (), _QUICK),
    "HassGetCurrentDate": (lambda house: house.date, (), _QUICK),
    "HassGetWeather": (house.weather, (), _AWAY),
    "HassTimerStatus": (house.timer_status, (_TIMERS,), _QUICK),
}
_WRITES: Mapping[str, tuple[Callable[..., Any], str, Uniform]] = {
    "HassTurnOn": (house.turn_on, _DEVICES, _QUICK),
    "HassTurnOff": (house.turn_off, _DEVICES, _QUICK),
    "HassLightSet": (house.set_light, _DEVICES, _QUICK),
    "HassSetPosition": (house.set_position, _DEVICES, _SLOW),
    "HassClimateSetTemperature": (house.set_temperature, _DEVICES, _SLOW),
    "HassClimateSetFanMode": (house.set_fan_mode, _DEVICES, _SLOW),
    "HassFanSetSpeed": (house.set_fan_speed, _DEVICES, _QUICK),
    "HassSetVolume": (house.set_volume, _MEDIA, _QUICK),
    "HassSetVolumeRelative": (house.change_volume, _MEDIA, _QUICK),
    "HassMediaPause": (house.pause_media, _MEDIA, _QUICK),
    "HassMediaUnpause": (house.play_media, _MEDIA, _QUICK),
    "HassMediaNext": (house.play_media, _MEDIA, _QUICK),
    "HassMediaPrevious": (house.play_media, _MEDIA, _QUICK),
    "HassMediaPlayerMute": (house.mute, _MEDIA, _QUICK),
    "HassMediaPlayerUnmute": (house.unmute, _MEDIA, _QUICK),
    "HassMediaSearchAndPlay": (house.play, _MEDIA, _AWAY),
    "HassBroadcast": (house.broadcast, "speakers", _SLOW),
    "HassVacuumStart": (house.clean, _ROBOTS, _SLOW),
    "HassVacuumCleanArea": (house.clean, _ROBOTS, _SLOW),
    "HassVacuumReturnToBase": (house.dock, _ROBOTS, _SLOW),
    "HassLawnMowerStartMowing": (house.mow, _ROBOTS, _SLOW),
    "HassLawnMowerDock": (house.dock_mower, _ROBOTS, _SLOW),
    "HassStartTimer": (house.start_timer, _TIMERS, _QUICK),
    "HassCancelTimer": (house.cancel_timer, _TIMERS, _QUICK),
    "HassCancelAllTimers": (house.cancel_timers, _TIMERS, _QUICK),
    "HassIncreaseTimer": (house.increase_timer, _TIMERS, _QUICK),
    "HassDecreaseTimer": (house.decrease_timer, _TIMERS, _QUICK),
    "HassPauseTimer": (house.pause_timer, _TIMERS, _QUICK),
    "HassUnpauseTimer": (house.unpause_timer, _TIMERS, _QUICK),
    "HassShoppingListAddItem": (house.add_item, _LISTS, _QUICK),
    "HassShoppingListCompleteItem": (house.take_item, _LISTS, _QUICK),
    "HassListAddItem": (house.add_item, _LISTS, _QUICK),
    "HassListCompleteItem": (house.take_item, _LISTS, _QUICK),
    "HassListRemoveItem": (house.take_item, _LISTS, _QUICK),
}
_REPEATABLE = frozenset(
    {
        "HassMediaNext",
        "HassMediaPrevious",
        "HassSetVolumeRelative",
        "HassIncreaseTimer",
        "HassDecreaseTimer",
        "HassStartTimer",
    }
)
_SAYS_SOMETHING = ("name", "area", "floor", "domain", "device_class")
HABITS = Habits(
    {
        **dict.fromkeys(("HassTurnOn", "HassTurnOff", "HassGetState"), _SAYS_SOMETHING),
        "HassLightSet": ("brightness", "color", "temperature"),
        **dict.fromkeys(("HassStartTimer", "HassIncreaseTimer", "HassDecreaseTimer"), ("minutes", "hours", "seconds")),
    }
)
"""What the package's signatures leave open: such a call asks for nothing without one of these."""


def tools(grammar: Grammar) -> dict[str, Tool]:
    """The tools of a language's intents, by name, in the package's order.

    Raises:
        ValueError: the package has an intent that nobody said what it does.
    """
    schemas = _schemas(grammar)
    made = {}
    for name, entry in grammar.language.catalogue.items():
        if name not in schemas:
            continue
        if name not in _READS and name not in _WRITES:
            raise ValueError(
                f"the package's intent {name} is new here; say in data_gen/tasks/home/tools.py what it does"
            )
        params = tuple(
            Param(slot, schemas[name][slot], bool(given.get("required")), given.get("description", ""))
            for slot, given in entry.get("slots", {}).items()
            if slot in schemas[name]
        )
        made[name] = _tool(name, entry["description"], params)
    return made


def _tool(name: str, description: str, params: tuple[Param, ...]) -> Tool:
    if name in _READS:
        fn, touched, latency = _READS[name]
        spec = ToolSpec(name, params, "read", description, frozenset(touched))
    else:
        fn, resource, latency = _WRITES[name]
        spec = ToolSpec(
            name, params, "write", description, writes=frozenset({resource}), repeatable=name in _REPEATABLE
        )
    return Tool(spec, fn, latency, {param.name: Any for param in params}, takes_state=True)


def _schemas(grammar: Grammar) -> dict[str, dict[str, dict[str, Any]]]:
    """JSON schemas by intent and slot: what the templates can put there."""
    found: dict[str, dict[str, list[Any]]] = {}
    for template in grammar.templates:
        slots = found.setdefault(template.intent, {})
        for slot, value in template.fixed.items():
            slots.setdefault(slot, []).append(value)
        for reference in grammar.references(template):
            said = grammar.list_of(template, reference)
            if isinstance(said, RangeSlotList):
                slots.setdefault(reference.slot_name, []).append(int)
            elif isinstance(said, TextSlotList) and reference.list_name != "name":
                slots.setdefault(reference.slot_name, []).extend(value.value_out for value in said.values)
            else:
                slots.setdefault(reference.slot_name, []).append(str)
    areas, floors = grammar.language.vocabulary["areas"], sorted(set(grammar.language.vocabulary["areas"].values()))
    places = {"area": list(areas), "floor": floors}
    return {
        intent: {slot: _schema(places.get(slot) or values) for slot, values in slots.items()}
        for intent, slots in found.items()
    }


def _schema(values: Sequence[Any]) -> dict[str, Any]:
    kinds = list(dict.fromkeys("integer" if value is int or isinstance(value, int) else "string" for value in values))
    if str in values or len(kinds) > 1 or kinds == ["integer"]:
        return {"type": kinds[0] if len(kinds) == 1 else sorted(kinds)}
    return {"type": "string", "enum": list(dict.fromkeys(values))}


def toolbox(chosen: Sequence[Tool], vocabulary: Mapping[str, Any], id: str, calls: Sequence[Named]) -> Toolbox:
    """A fresh house with some of the tools."""
    return FunctionToolbox(chosen, id, house.house(vocabulary, id, calls))


def listed(chosen: Sequence[Tool], vocabulary: Mapping[str, Any]) -> Tools:
    """Some of the tools as the door of marked rows takes them."""
    return Tools(tuple(tool.spec for tool in chosen), partial(toolbox, chosen, vocabulary), HABITS)


def words_of(name: str) -> str:
    """An intent's name as a tag: ``LightSet`` of ``HassLightSet``."""
    return re.sub("^Hass", "", name)
