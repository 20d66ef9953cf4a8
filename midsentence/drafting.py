"""The drafter beside a live session that is verified: what it hears, when it has the device, whose reads they are, what it foresees.

Owns the drafter's life (one for each turn of the user's), and the reads that it shares with its agent. Refuses to know how a session
runs (`midsentence.runtime`), and what is foreseen (`midsentence.drafts`). A drafter that fails costs its agent nothing but time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from midsentence.drafts import Foreseen, is_free, read_key
from midsentence.events import Command, Event, StartTool, UserUpdate
from midsentence.rendering import Renderer
from midsentence.running import Run, launch
from midsentence.simulate import Drafted
from midsentence.state import Phase, State
from midsentence.tools.tool import Toolbox, ToolSpec


class Reads:
    """The reads of one turn that a drafter has had run. Whoever asks for one of them again joins it; a failure is not kept, so that it
    may be tried again; and when an effect begins or ends, what it may have changed, as far as tools say, is not kept either."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._kept: dict[str, tuple[ToolSpec, Run]] = {}
        self._used: set[Run] = set()

    def drafted(self, start: StartTool) -> Run:
        """The drafter asks for a read.

        Raises:
            Exception: no thread to be had, or a toolbox that breaks before its tool runs.
        """
        if (run := self._standing(start)) is not None:
            return run.join()
        run = Run(launch(self._toolbox, start.name, start.args, start.key))
        self._kept[read_key(start)] = self._toolbox.specs[start.name], run
        return run

    def asked(self, start: StartTool) -> Run:
        """The agent asks for a call: it joins the drafter's, or has it run.

        Raises:
            Exception: as `drafted`.
        """
        spec = self._toolbox.specs[start.name]
        if spec.access == "write":
            self._drop(spec)
        elif (run := self._standing(start)) is not None:
            self._used.add(run)
            return run.join()
        run = Run(launch(self._toolbox, start.name, start.args, start.key))
        if spec.access == "write":
            run.work.add_done_callback(lambda _: self._drop(spec))
        return run

    def forget(self) -> None:
        """The turn is over: what was read for it is old."""
        self._kept.clear()

    @property
    def used(self) -> int:
        """How many of the drafter's reads the agent has asked for."""
        return len(self._used)

    def _standing(self, start: StartTool) -> Run | None:
        _, run = self._kept.get(read_key(start), (None, None))
        return run if run is not None and run.stands else None

    def _drop(self, effect: ToolSpec) -> None:
        self._kept = {key: (spec, run) for key, (spec, run) in self._kept.items() if not effect.conflicts_with(spec)}


class Drafter(Protocol):
    """A drafter's session: an async context manager, that ends with its block."""

    state: State
    history: list[tuple[Event, tuple[Command, ...]]]
    failure: Exception | None

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exc: Any) -> None: ...

    def hears(self, update: UserUpdate) -> None:
        """The user goes on. Of one that is over, nothing comes of it."""
        ...

    def goes_on(self, free: bool) -> None:
        """Whether the device is its own."""
        ...


@dataclass(frozen=True, slots=True)
class _Given:
    """What was foreseen, as long as it is not known what became of it."""

    after: int
    """Tokens of the action before."""
    ids: tuple[int, ...]
    agent: State
    begun: str


class Drafting:
    """The drafters of one live session, one after the other."""

    def __init__(self, toolbox: Toolbox, renderer: Renderer, begin: Callable[[State | None], Drafter]) -> None:
        """Of a session that has not begun.

        Args:
            toolbox: the agent's.
            renderer: the agent's.
            begin: makes a drafter's session, which goes on from the agent's state, or from nothing.
        """
        self.reads = Reads(toolbox)
        self.failure: Exception | None = None
        """What ended the last drafter that failed."""
        self._renderer, self._begin = renderer, begin
        self._foreseen = Foreseen()
        self._given: _Given | None = None
        self._drafter: Drafter | None = None
        self._ever: list[Drafter] = []
        self._waiting: list[UserUpdate] = []
        """Words for a drafter that is not there yet."""
        self._agent: State | None = None
        """Where the next drafter begins; None for the first turn."""
        self._answered, self._free = False, True
        self._over = asyncio.Event()
        self._asked = self._right = 0

    async def run(self) -> None:
        """Has one drafter after the other listen, a turn each, until it is cancelled."""
        while True:
            self._over.clear()
            drafter = self._begin(self._agent)
            try:
                async with drafter:
                    self._ever.append(drafter)
                    self._drafter = drafter
                    drafter.goes_on(self._free)
                    for update in self._waiting:
                        drafter.hears(update)
                    self._waiting.clear()
                    await self._over.wait()
            except Exception as error:
                self.failure = error
            else:
                self.failure = drafter.failure or self.failure
            finally:
                self._drafter = None
            await self._over.wait()

    def follows(self, event: Event, agent: State) -> None:
        """The agent has taken in an event, and is in this state now."""
        if isinstance(event, UserUpdate) and (event.text.strip() or event.retracts):
            if self._drafter is not None:
                self._drafter.hears(event)
            else:
                self._waiting.append(event)
        if agent.answered and not self._answered:
            self._next_turn(agent)
        self._answered = agent.answered
        self._free = is_free(agent)
        if self._drafter is not None:
            self._drafter.goes_on(self._free)

    def foresees(self, agent: State, written: Sequence[int], text: str) -> tuple[int, ...]:
        """The ids that the agent is likely to write next, to the end of its line; none where nothing new is foreseen.

        Args:
            agent: its state, all that was written taken in.
            written: the ids of the action so far.
            text: their text.
        """
        if self._settle(written) or self._drafter is None:
            return ()
        if agent.parser.where != "tool_call" or agent.phase is not Phase.GENERATING:
            return ()
        begun = agent.parser.buffer
        ids = self._foreseen.ids(agent, self._drafter.state, begun, written, text, self._renderer)
        if ids:
            self._given = _Given(len(written), ids, agent, begun)
            self._asked += len(ids)
        return ids

    def stopped(self, written: Sequence[int]) -> None:
        """The agent has ended an action, or was cut."""
        self._settle(written)
        self._given = None

    def drafted(self) -> Drafted:
        """What the drafters have done."""
        history = tuple(row for drafter in self._ever for row in drafter.history)
        context_tokens = self._ever[-1].state.context_tokens if self._ever else 0
        return Drafted.of(history, context_tokens, foreseen=self._asked, right=self._right, used=self.reads.used)

    def _settle(self, written: Sequence[int]) -> bool:
        """Sees what became of what was foreseen. Whether some of that is still to come."""
        if (given := self._given) is None:
            return False
        since = tuple(written[given.after:given.after + len(given.ids)])
        right = next((n for n, (one, other) in enumerate(zip(since, given.ids)) if one != other), len(since))
        if right == len(since) < len(given.ids):
            return True
        self._given, self._right = None, self._right + right
        if right < len(given.ids) and self._drafter is not None:
            self._foreseen.missed(given.agent, self._drafter.state, given.begun)
        return False

    def _next_turn(self, agent: State) -> None:
        self._agent, self._drafter, self._foreseen = agent, None, Foreseen()
        self._waiting.clear()
        self.reads.forget()
        self._over.set()
