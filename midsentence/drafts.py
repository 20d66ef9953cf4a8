"""What a drafter has understood, as a guess at what the agent will write: checked, and never trusted.

In a mode that is *verified* two contexts of the same model hear the user. The *drafter* listens, and plans while speech goes on; the
reads that it asks for run, and nothing else of it does. The agent begins when the user has, as far as can be told, finished, and takes
nothing from the drafter but time: lines of its own that the drafter foresaw are taken in at the speed of reading, as a draft is in
speculative decoding, and a read that the drafter has had run is not run again. What the agent writes, and so what it does, is what it
would have written and done without.

Owns which lines are foreseen, and which reads are the same. Refuses to know time and devices.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from midsentence.calls import CallState, call_line, call_text
from midsentence.events import StartTool
from midsentence.protocol import Join, Parser, Ref
from midsentence.rendering import Renderer
from midsentence.state import Phase, State

_OVER = (CallState.CANCELLED, CallState.FAILED, CallState.SKIPPED)

LEAST_FORESEEN = 4
"""Fewer tokens are as soon written as read."""
MOST_MISSES = 2
"""How often a line may be foreseen at the beginning of a line where the agent writes another."""
_LEAST_AGREED = 8
"""Characters by which the agent is found to have come back to a line that it had left; or a text's end, which is telling enough."""


class Foreseen:
    """The drafter's calls, as lines of the agent's."""

    def __init__(self) -> None:
        self._misses: Counter[str] = Counter()

    def rest(self, agent: State, drafter: State, begun: str) -> str:
        """What the agent is likely to write to the end of the line under way, its newline included; empty where nothing is foreseen.

        Args:
            agent: its state, in the middle of an action of lines.
            drafter: the drafter's, as it stands.
            begun: what the agent has written of the line.
        """
        lines = [line for text, line in _lines(agent, drafter) if "(" in begun or self._misses[text] < MOST_MISSES]
        if (line := next((line for line in lines if line.startswith(begun)), None)) is not None:
            return f"{line[len(begun):]}\n"
        head = begun[:begun.find("(") + 1]
        ends = (_resumed(line, begun) for line in lines if head and line.startswith(head))
        return next((f"{end}\n" for end in ends if end), "")

    def ids(
        self, agent: State, drafter: State, begun: str, written: Sequence[int], text: str, renderer: Renderer,
    ) -> tuple[int, ...]:
        """The ids that the agent is likely to write next, to the end of its line; none where it is not worth a pass to read them.

        Args:
            agent: its state.
            drafter: the drafter's.
            begun: what the agent has written of the line under way.
            written: the ids of the action so far.
            text: their text.
            renderer: makes the ids.
        """
        if not (rest := self.rest(agent, drafter, begun)):
            return ()
        ids = renderer.action_ids(text + rest)
        if ids[:len(written)] != tuple(written) or len(ids) - len(written) < LEAST_FORESEEN:
            return ()
        return ids[len(written):]

    def missed(self, agent: State, drafter: State, begun: str) -> None:
        """The agent wrote another line than the one that `rest` gave for its beginning ``begun``."""
        found = next((text for text, line in _lines(agent, drafter) if line.startswith(begun) and self._misses[text] < MOST_MISSES), None)
        if found is not None and "(" not in begun:
            self._misses[found] += 1


def _lines(agent: State, drafter: State) -> Iterator[tuple[str, str]]:
    """The drafter's calls that the agent has not made, each in normal form and as the agent's next line."""
    ids = _known(agent, drafter)
    for id in drafter.graph.sequence():
        call = drafter.graph[id]
        if id in ids or call.state in _OVER or call.missing or not call.needs <= ids.keys():
            continue
        args = {name: renumbered(value, ids) for name, value in call.args.items()}
        yield call_text(call.spec, args), call_line(agent.graph.highest + 1, call.spec, args)


def _resumed(line: str, begun: str) -> str:
    """The end of a foreseen line that what was written goes back to after it went another way; empty where it does not."""
    left = next(n for n, (one, other) in enumerate(zip(line, begun + "\n")) if one != other)
    for length in range(len(begun) - left, 1, -1):
        end = begun[-length:]
        if (length >= _LEAST_AGREED or '"' in end[:-1]) and (at := line.find(end, left)) >= 0:
            return line[at + length:]
    return ""


def _known(agent: State, drafter: State) -> Mapping[int, int]:
    """Calls of the drafter's that the agent has made too → the agent's IDs, which are other numbers."""
    made = {call.text: id for id, call in sorted(agent.graph.calls.items()) if call.state is not CallState.CANCELLED}
    ids: dict[int, int] = {}
    for id in drafter.graph.sequence():
        call = drafter.graph[id]
        if call.state is CallState.CANCELLED or not call.needs <= ids.keys():
            continue
        args = {name: renumbered(value, ids) for name, value in call.args.items()}
        text = call_text(call.spec, args)
        same = id if id in agent.graph and agent.graph[id].text == text else made.get(text)
        if same is not None and same not in ids.values():
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


def is_free(agent: State) -> bool:
    """Whether the device is the drafter's: both share it, the agent goes first, and once the user has finished there is nothing to listen
    to."""
    over = agent.final_heard and not agent.answered or agent.predicted
    return agent.phase is Phase.IDLE and not over


def afresh(agent: State, drafter: State) -> State:
    """What a drafter begins the next turn with, the agent having answered: the conversation so far, in a context that is made anew."""
    return replace(
        agent, settings=drafter.settings, session=drafter.session, prompt_tokens=drafter.prompt_tokens, generation=drafter.generation,
        outcome="", inbox=(), parser=Parser(), turn_tokens=0, errors_in_row=0, wake=False, speaking=False, phase=Phase.APPENDING,
        renewing=True,
    )


def read_key(start: StartTool) -> str:
    """The same for every call of the same tool with the same arguments."""
    return json.dumps([start.name, dict(start.args)], sort_keys=True, default=repr)
