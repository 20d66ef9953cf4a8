"""What a drafter has understood, as a guess at what the agent will write: checked, and never trusted.

In a mode that is *verified* two contexts of the same model hear the user. The *drafter* listens, and plans while speech goes on; the
reads that it asks for run, and nothing else of it does. The agent begins when the user has, as far as can be told, finished, and takes
nothing from the drafter but time: lines of its own that the drafter foresaw are taken in at the speed of reading, as a draft is in
speculative decoding, and a read that the drafter has had run is not run again. What the agent writes, and so what it does, is what it
would have written and done without.

Owns which lines are foreseen. Refuses to know time, devices and token ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midsentence.calls import CallState, call_line, call_text
from midsentence.protocol import Join, Ref
from midsentence.state import State


class Foreseen:
    """The drafter's calls, as lines of the agent's."""

    def __init__(self) -> None:
        self._wrong: set[str] = set()
        """Lines that the agent did not write where they were foreseen."""

    def rest(self, agent: State, drafter: State, begun: str) -> str:
        """What the agent is likely to write next, to the end of its action; empty where nothing is foreseen.

        Args:
            agent: its state, in the middle of an action of lines.
            drafter: the drafter's, as it stands.
            begun: what the agent has written of the line under way.
        """
        ids = dict(_known(agent, drafter))
        taken = set(ids)
        lines: list[str] = []
        number = agent.graph.highest + 1
        for id in drafter.graph.sequence():
            call = drafter.graph[id]
            if id in taken or call.state in (CallState.CANCELLED, CallState.FAILED, CallState.SKIPPED) or call.missing:
                continue
            if not call.needs <= ids.keys():
                continue
            args = {name: renumbered(value, ids) for name, value in call.args.items()}
            line = call_line(number, call.spec, args)
            if call_text(call.spec, args) in self._wrong or not lines and not line.startswith(begun):
                continue
            lines.append(line)
            ids[id] = number
            number += 1
        if not lines:
            return ""
        return "".join(f"{line}\n" for line in lines)[len(begun):] + "</tool_call>"

    def missed(self, agent: State, drafter: State, begun: str) -> None:
        """The agent went another way in the line under way: what was foreseen for it is foreseen no more.

        Args:
            agent: as in `rest`.
            drafter: as in `rest`.
            begun: what had been written of the line when `rest` was asked, and of what it gave since.
        """
        ids = dict(_known(agent, drafter))
        for id in drafter.graph.sequence():
            call = drafter.graph[id]
            if id in ids or call.missing or not call.needs <= ids.keys():
                continue
            args = {name: renumbered(value, ids) for name, value in call.args.items()}
            if call_line(agent.graph.highest + 1, call.spec, args).startswith(begun):
                self._wrong.add(call_text(call.spec, args))
                return


def _known(agent: State, drafter: State) -> Mapping[int, int]:
    """Calls of the drafter's that the agent has made too → the agent's IDs, which are other numbers."""
    made = {call.text: id for id, call in sorted(agent.graph.calls.items()) if call.state is not CallState.CANCELLED}
    ids: dict[int, int] = {}
    for id in drafter.graph.sequence():
        call = drafter.graph[id]
        if call.state is CallState.CANCELLED or not call.needs <= ids.keys():
            continue
        args = {name: renumbered(value, ids) for name, value in call.args.items()}
        if (same := made.get(call_text(call.spec, args))) is not None and same not in ids.values():
            ids[id] = same
    return ids


def renumbered(value: Any, ids: Mapping[int, int]) -> Any:
    """A value with the calls that it names under other numbers."""
    match value:
        case Ref(call, path):
            return Ref(ids[call], path)
        case Join(parts):
            return Join(tuple(renumbered(part, ids) for part in parts))
        case list() | tuple():
            return [renumbered(item, ids) for item in value]
        case dict():
            return {name: renumbered(item, ids) for name, item in value.items()}
    return value
