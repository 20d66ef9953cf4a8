"""Tools that take their time: the assistant's world is in memory and answers at once, which no service does.

Owns the waiting. Refuses to know which tools these are: how long a call takes is its toolbox's word (`Toolbox.latency_ns`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from midsentence.clock import NS_PER_S
from midsentence.tools.tool import Json, Toolbox, ToolSpec


class Paced:
    """A toolbox whose calls last as long live as they do on the virtual clock; the same call always lasts the same."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """See `Toolbox`."""
        return self._toolbox.specs

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """See `Toolbox`."""
        return self._toolbox.latency_ns(name, args)

    def is_async(self, name: str) -> bool:
        """Always: one that is cancelled stops waiting."""
        return True

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """See `Toolbox`; takes no time."""
        return self._toolbox.run(name, args)

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """`run` after the call's latency. Raises as `run` does."""
        await asyncio.sleep(self.latency_ns(name, args) / NS_PER_S)  # noqa: TID251  (a tool that takes its time; the session has its deadline)
        return self._toolbox.run(name, args)
