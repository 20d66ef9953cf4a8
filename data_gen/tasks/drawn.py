"""Draws a tool list for each task, with another order, subset, distractors or names, so that a model must read its
prompt.

Owns the draw, a function of the task's id and a seed: which of the tools that the task does not need stay, which of
other folders of tools stand beside them, in which order; with ``renamed`` also what tools and parameters are called and
how they are described. What is wanted, and the toolbox, answer to the new names. A distractor that could be taken for a
tool that is needed is left out. Does not know where tasks come from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from data_gen.grounding.atoms import STOP
from data_gen.grounding.derivation import Clause, Derivation, Draft
from data_gen.seeds import child
from data_gen.task import GoldCall, Task, Turn
from data_gen.tasks.twins import asked_tools
from midsentence.tools.tool import Json, Param, Toolbox, ToolFailure, ToolSpec, effects_in, shown_by

Tools = Literal["all", "drawn", "renamed"]
"""What a task's prompt lists: its source's tools as they are, drawn ones, or drawn ones under other names."""
MOST_DISTRACTORS = 5
MOST_TOOLS = 18
KEEPS_ALL, KEEPS_NAMES = 0.3, 0.4
"""Shares of tasks that keep every tool of their own, and that keep all names where tools are renamed."""
_COMMON = STOP | frozenset(
    "get find set create open show add list search book make send ask check take give start stop update change cancel returns return "
    "gives says sends shows looks finds opens creates adds sets lists new all its it is are was be with without if what when where "
    "which how name date time day one user under from there".split()
)
"""Words of tools' names and descriptions that two tools may share and still be told apart."""


def drawn(task: Task, others: Sequence[ToolSpec], how: Tools, seed: int = 0) -> Task:
    """The task among drawn tools.

    Args:
        task: the task, with all tools of its own.
        others: tools that may stand beside them; they acknowledge whatever they are called with.
        how: what is drawn.
        seed: root seed.
    """
    draw = random.Random(child(seed, task.id, "tools"))
    needed = asked_tools(task)
    own = [spec for spec in task.tools if spec.name in needed]
    spare = [spec for spec in task.tools if spec.name not in needed]
    share = 1.0 if draw.random() < KEEPS_ALL else draw.random()
    kept = own + [spec for spec in spare if draw.random() < share]
    mine = {spec.name for spec in task.tools}
    beside = [spec for spec in others if spec.name not in mine and not any(_near(spec, other) for other in own)]
    count = min(draw.randint(0, MOST_DISTRACTORS), len(beside), max(0, MOST_TOOLS - len(kept)))
    distractors = draw.sample(beside, count)
    names = _names(kept, draw) if how == "renamed" and draw.random() >= KEEPS_NAMES else Names()
    taken = {names.tool(spec.name) for spec in kept}
    distractors = [spec for spec in distractors if spec.name not in taken]
    specs = [names.spec(spec, draw) for spec in kept] + distractors
    draw.shuffle(specs)
    return replace(
        task,
        tools=tuple(specs),
        gold=tuple(names.call(call) for call in task.gold),
        reading=names.reading(task.reading),
        turns=tuple(names.turn(turn) for turn in task.turns),
        toolbox=partial(_toolbox, task.toolbox, tuple(specs), frozenset(spec.name for spec in distractors), names),
    )


def _near(a: ToolSpec, b: ToolSpec) -> bool:
    """Whether two tools are about the same thing, by the words of their names and descriptions."""
    named = [set(_split(spec.name)) - _COMMON for spec in (a, b)]
    told = [set(re.findall(r"[a-z]{3,}", spec.description.casefold())) - _COMMON for spec in (a, b)]
    stems = [{word.rstrip("s") for word in words} for words in (*named, *told)]
    return bool(stems[0] & (stems[1] | stems[3]) or stems[1] & stems[2] or len(stems[2] & stems[3]) > 1)


def _split(name: str) -> list[str]:
    return [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


# -- other names
# --------------------------------------------------------------------------------------------------------

_VERBS = {
    "create": ("add", "make"),
    "open": ("show",),
    "send": ("deliver", "submit"),
    "find": ("search", "look_up", "get"),
    "set": ("put", "adjust"),
    "list": ("query", "view"),
    "book": ("reserve",),
    "cancel": ("withdraw",),
    "change": ("update", "modify"),
    "check": ("look_up", "query"),
    "order": ("buy",),
    "compose": ("write", "draw_up"),
    "append": ("add",),
    "start": ("run",),
    "get": ("fetch", "look_up", "read"),
    "play": ("start",),
    "turn": ("switch",),
    "pay": ("transfer",),
    "delete": ("remove",),
}
"""Other verbs for the first word of a tool's name; those that look up are for reads alone."""
_PARAMS = {
    "recipients": ("to", "receivers"),
    "message": ("text", "body"),
    "name": ("called", "label"),
    "content": ("text", "body"),
    "location": ("place", "where"),
    "due_date": ("due", "when"),
    "start_date": ("start", "begins"),
    "end_date": ("end", "ends"),
    "end_location": ("destination", "to"),
    "start_location": ("origin", "departure"),
    "title": ("heading", "called"),
    "context": ("body", "text"),
    "attachments": ("files", "enclosures"),
    "place": ("venue", "location"),
    "people": ("party_size", "guests"),
    "time": ("at", "hour"),
    "day": ("on", "date"),
    "room": ("area", "where"),
    "amount": ("value", "quantity"),
    "note": ("remark", "comment"),
    "date": ("day", "on"),
    "city": ("town", "place"),
    "topic": ("subject", "about"),
    "duration": ("length", "lasts"),
    "file_name": ("file", "document"),
    "transport": ("way", "means"),
}
"""Other names for parameters."""
_SAYS = {
    "Returns": ("Gives", "Looks up"),
    "Creates": ("Makes", "Adds"),
    "Opens": ("Brings up", "Shows"),
    "Sends": ("Delivers", "Gets out"),
    "Shows": ("Displays", "Presents"),
    "Finds": ("Looks for", "Searches for"),
    "Books": ("Reserves", "Arranges"),
    "Adds": ("Puts in", "Appends"),
    "Cancels": ("Calls off", "Withdraws"),
    "Changes": ("Updates", "Modifies"),
    "Sets": ("Puts", "Adjusts"),
    "Lists": ("Gives all of", "Names"),
    "Says": ("Tells", "Gives"),
    "Starts": ("Begins", "Launches"),
    "Stops": ("Ends", "Halts"),
    "Forwards": ("Passes on", "Sends on"),
    "Orders": ("Buys", "Requests"),
    "Replies": ("Answers", "Responds"),
}
"""Other first words for descriptions."""


@dataclass(frozen=True, slots=True)
class Names:
    """What tools and their parameters are called, by what they were called."""

    tools: Mapping[str, str] = field(default_factory=dict)
    """By the tool's old name."""
    params: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the tool's old name."""

    def tool(self, old: str) -> str:
        """A tool's name."""
        return self.tools.get(old, old)

    def args(self, old: str, by_param: Mapping[str, Any]) -> dict[str, Any]:
        """What is given by parameter, under the parameters' new names."""
        new = self.params.get(old, {})
        return {new.get(param, param): value for param, value in by_param.items()}

    def back(self, new: str, by_param: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """A tool's old name, and what is given by parameter under the old ones."""
        old = next((name for name, other in self.tools.items() if other == new), new)
        known = {other: param for param, other in self.params.get(old, {}).items()}
        return old, {known.get(param, param): value for param, value in by_param.items()}

    def said(self, text: str) -> str:
        """A text of the tools' own, such as a refusal, with their new names."""
        new = {old: other for each in self.params.values() for old, other in each.items() if "_" in old} | dict(
            self.tools
        )
        return re.sub(r"[A-Za-z_]\w*", lambda found: new.get(found[0], found[0]), text) if new else text

    def call(self, call: GoldCall) -> GoldCall:
        """A gold call."""
        args, spans = self.args(call.name, call.args), self.args(call.name, call.arg_evidence)
        return GoldCall(self.tool(call.name), args, call.name_evidence, spans)

    def turn(self, turn: Turn) -> Turn:
        """A turn; the question for what it leaves out stays as it is worded."""
        tool, _, param = turn.asks.rpartition(".")
        return replace(turn, asks=f"{self.tool(tool)}.{self.params.get(tool, {}).get(param, param)}") if tool else turn

    def draft(self, draft: Draft) -> Draft:
        """A wanted call."""
        new = self.params.get(draft.tool, {})
        needs = tuple(new.get(param, param) for param in draft.needs)
        return replace(draft, tool=self.tool(draft.tool), args=self.args(draft.tool, draft.args), needs=needs)

    def reading(self, reading: Any) -> Any:
        """A derivation, if there is one."""
        if not self.tools or not isinstance(reading, Derivation):
            return reading
        return replace(reading, asks=partial(_asks, reading.asks, self))

    def spec(self, spec: ToolSpec, draw: random.Random) -> ToolSpec:
        """A tool."""
        if spec.name not in self.tools:
            return spec
        new = self.params[spec.name]
        params = tuple(
            replace(param, name=new[param.name], description=self.said(param.description)) for param in spec.params
        )
        verb = spec.description.split(" ", 1)[0]
        description = spec.description.replace(verb, draw.choice((verb, *_SAYS.get(verb, ()))), 1) if verb else ""
        own = spec.canonical
        return replace(
            spec,
            name=self.tools[spec.name],
            params=params,
            description=self.said(description),
            secret=frozenset(new[param] for param in spec.secret),
            canonical=None
            if own is None
            else lambda args: self.args(spec.name, own(self.back(self.tools[spec.name], args)[1])),
        )


def _asks(asks: Callable[[Sequence[Clause]], Sequence[Draft]], names: Names, said: Sequence[Clause]) -> list[Draft]:
    return [names.draft(draft) for draft in asks(said)]


def _names(specs: Iterable[ToolSpec], draw: random.Random) -> Names:
    """New names for tools and parameters, all in one style; what would clash keeps its own."""
    camel = draw.random() < 0.4
    style = _camel if camel else str
    tools: dict[str, str] = {}
    params: dict[str, dict[str, str]] = {}
    specs = list(specs)
    old = {spec.name for spec in specs}
    for spec in specs:
        verb, _, rest = spec.name.partition("_")
        verbs = (verb,) if verb == "get" and spec.access == "write" else (verb, *_VERBS.get(verb, ()))
        name = style("_".join(filter(None, (draw.choice(verbs), rest))))
        tools[spec.name] = spec.name if name in tools.values() or name in old - {spec.name} else name
        params[spec.name] = _params(spec.params, style, draw)
    return Names(tools, params)


def _params(params: Sequence[Param], style: Callable[[str], str], draw: random.Random) -> dict[str, str]:
    new: dict[str, str] = {}
    for param in params:
        name = style(draw.choice((param.name, *_PARAMS.get(param.name, ()))))
        clash = name in new.values() or any(
            name in (other.name, style(other.name)) for other in params if other is not param
        )
        new[param.name] = style(param.name) if clash else name
    return new


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# -- the toolbox
# --------------------------------------------------------------------------------------------------------


class DrawnToolbox:
    """A toolbox that shows some of its tools, under other names, and others that only acknowledge."""

    def __init__(self, inner: Toolbox, specs: Sequence[ToolSpec], strangers: frozenset[str], names: Names) -> None:
        from data_gen.tasks.bfcl import AckToolbox

        self._inner, self._names, self._strangers = inner, names, strangers
        self._specs = {spec.name: spec for spec in specs}
        self._beside = AckToolbox(
            str(getattr(inner, "_seed", "")), tuple(spec for spec in specs if spec.name in strangers)
        )

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools that are shown, by name."""
        return self._specs

    @property
    def shows(self) -> frozenset[str]:
        """See `midsentence.tools.assistant.AssistantToolbox.shows`."""
        return frozenset(self._names.tool(name) for name in shown_by(self._inner))

    @property
    def effects(self) -> list[Any]:
        """Every write that took place, those of the toolbox's own tools first."""
        return [*map(self._renamed, effects_in(self._inner)), *self._beside.effects]

    def _renamed(self, effect: Any) -> Any:
        if isinstance(effect, tuple):
            return (self._names.tool(effect[0]), self._names.args(effect[0], effect[1]))
        return replace(effect, name=self._names.tool(effect.name), args=self._names.args(effect.name, effect.args))

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Runs a tool; a stranger acknowledges."""
        if name not in self._specs:
            raise ToolFailure(f'no tool "{name}": use {", ".join(self._specs)}')
        if name in self._strangers:
            return self._beside.run(name, args)
        try:
            return self._inner.run(*self._names.back(name, args))
        except ToolFailure as failure:
            raise ToolFailure(self._names.said(str(failure))) from None

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """That of the tool itself."""
        return (self._beside if name in self._strangers else self._inner).latency_ns(*self._names.back(name, args))

    def __getattr__(self, name: str) -> Any:
        if name == "elsewhere":
            elsewhere = self._inner.elsewhere  # type: ignore[attr-defined]
            return lambda: DrawnToolbox(elsewhere(), tuple(self._specs.values()), self._strangers, self._names)
        if name == "state":
            return self._inner.state  # type: ignore[attr-defined]
        raise AttributeError(name)


def _toolbox(
    inner: Callable[[], Toolbox], specs: tuple[ToolSpec, ...], strangers: frozenset[str], names: Names
) -> DrawnToolbox:
    return DrawnToolbox(inner(), specs, strangers, names)
