"""A recorded world: the tools of a data set answer as they did in it.

Owns the lookup of a call in a record: the same call gets the same result, whatever the spelling of its arguments that
mean the same; a call that is not in the record is refused, with a message that says so. Does not know where records
come from. Latencies are `AckToolbox`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_gen.tasks.bfcl import AckToolbox
from midsentence.core.calls import call_text
from midsentence.tools.tool import Json, ToolFailure, ToolSpec


@dataclass(slots=True)
class Recorded(AckToolbox):
    """Tools that answer from a record."""

    results: Mapping[str, Json] = field(default_factory=dict)
    """What calls returned, by `midsentence.core.calls.call_text`."""

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """The recorded result; a write goes into the log of effects."""
        if name not in self.specs:
            raise ToolFailure(f"no tool {name!r}: use {', '.join(self.specs)}")
        spec = self.specs[name]
        if (text := call_text(spec, args)) not in self.results:
            raise ToolFailure(f"the record has no {text}")
        if spec.access == "write":
            self.effects.append((name, dict(args)))
        return self.results[text]


def recorded(id: str, specs: tuple[ToolSpec, ...], results: Sequence[Mapping[str, Any]]) -> Recorded:
    """A fresh world of a record: entries of ``name``, ``args`` and ``result``."""
    by_name = {spec.name: spec for spec in specs}
    known = {
        call_text(by_name[entry["name"]], entry["args"]): entry["result"]
        for entry in results
        if entry["name"] in by_name
    }
    return Recorded(id, specs, results=known)
