"""Several toolboxes as one, such as your own functions and an MCP server's tools.

Owns the mapping from a tool's name to its toolbox. Does not know what the tools do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from midsentence.tools.text import either
from midsentence.tools.tool import AsyncToolbox, Json, Toolbox, ToolFailure, ToolSpec


class JoinedToolbox:
    """The tools of all, each run by its own box.

    Raises:
        ValueError: two of them have a tool of the same name.
    """

    def __init__(self, boxes: Sequence[Toolbox]) -> None:
        self._boxes: dict[str, Toolbox] = {}
        for box in boxes:
            if twins := [name for name in box.specs if name in self._boxes]:
                raise ValueError(f"two toolboxes have a tool called {twins[0]!r}; rename one")
            self._boxes |= dict.fromkeys(box.specs, box)
        self._specs = {name: box.specs[name] for name, box in self._boxes.items()}

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name."""
        return self._specs

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """See `Toolbox`."""
        return self._box(name).run(name, args)

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """`run` in the caller's loop, where the tool's box can; else in a thread."""
        box = self._box(name)
        if isinstance(box, AsyncToolbox):
            return await box.arun(name, args)
        return await asyncio.to_thread(box.run, name, args)

    def is_async(self, name: str) -> bool:
        """Whether `arun` awaits the tool in the caller's loop."""
        box = self._boxes.get(name)
        return isinstance(box, AsyncToolbox) and box.is_async(name)

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """See `Toolbox`."""
        return self._box(name).latency_ns(name, args)

    def _box(self, name: str) -> Toolbox:
        if name not in self._boxes:
            raise ToolFailure(f'no tool "{name}": use {either(self._boxes) if self._boxes else "none"}')
        return self._boxes[name]
