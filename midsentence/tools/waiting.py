"""Simulated tool latency: a simulated world is in memory and answers at once, which no real service does.

Owns the waiting. Does not know which tools these are: the toolbox says how long each call takes (`Toolbox.latency_ns`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from midsentence.clock import NS_PER_S
from midsentence.tools.tool import Json, Toolbox, ToolSpec


class WaitingToolbox:
    """A toolbox whose calls last as long live as they do on the virtual clock, and then do what they do; the same call
    always lasts the same."""

    def __init__(self, toolbox: Toolbox, aside: Callable[..., Coroutine[Any, Any, Any]] | None = None) -> None:
        """Of another toolbox.

        Args:
            toolbox: the tools.
            aside: runs a function that may block (`asyncio.to_thread`); None for tools that take no time of their own.
        """
        self._toolbox, self._aside = toolbox, aside

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """See `Toolbox`."""
        return self._toolbox.specs

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """See `Toolbox`."""
        return self._toolbox.latency_ns(name, args)

    def is_async(self, name: str) -> bool:
        """Always: waiting for a call blocks nobody, and a cancelled one stops waiting."""
        return True

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """See `Toolbox`; takes no time."""
        return self._toolbox.run(name, args)

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """`run` after the call's latency. Raises as `run` does."""
        await asyncio.sleep(self.latency_ns(name, args) / NS_PER_S)  # noqa: TID251  (a tool that takes its time; the session has its deadline)
        return (
            self._toolbox.run(name, args) if self._aside is None else await self._aside(self._toolbox.run, name, args)
        )
