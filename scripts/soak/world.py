"""The tools of a soaked session: reads, egress and writes that take a drawn time, some with faults, and a ledger of
every run.

Owns what happened in the world, with times of the machine's own clock. Does not know sessions, calls and commits: the
judge (`scripts.soak.judge`) compares its ledger with them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midsentence.clock import ns
from midsentence.shells.tool_run import idempotency_key
from midsentence.tools.tool import Access, Json, Param, ToolFailure, ToolSpec

TIMEOUT_S = 1.0
LONGEST_S = 0.8
"""A healthy tool takes from a twentieth of a second to this."""
_HANG_S = 6.0
"""How long a thread hangs: it can't be stopped, and the process is to go on for minutes."""
_ARGS = (Param("what", {"type": "string"}),)


def _spec(name: str, access: Access, **resources: frozenset[str]) -> ToolSpec:
    return ToolSpec(name, _ARGS, access, f"{name.capitalize()} something.", timeout_ns=ns(TIMEOUT_S), **resources)


SPECS = {
    spec.name: spec
    for spec in (
        _spec("look", "read"),
        _spec("ask", "egress"),
        _spec("send", "write"),
        _spec("page", "read", reads=frozenset({"book"})),
        _spec("note", "write", reads=frozenset({"book"}), writes=frozenset({"book"})),
    )
}
"""``page`` and ``note`` share a book, so that they are kept in order, and block: they run in threads."""
FAULTS = ("refuses", "breaks", "breaks_after", "hangs", "late")
"""A tool's own no; a crash before its work, and after it; no answer at all; an answer after the deadline."""
_BLOCK = frozenset({"page", "note"})


@dataclass(slots=True)
class Ran:
    """One run of a tool, as the world saw it."""

    tool: str
    what: str
    key: str
    began_ns: int
    fault: str = ""
    did_ns: int = 0
    """When it had its effect, or its answer; 0 if it had none."""


@dataclass(slots=True)
class World:
    """A toolbox of one session."""

    seed: str
    """Latencies and faults are a hash of it and of what is asked, so the order of runs changes none."""
    fault_rate: float = 0.0
    """Share of calls that go wrong."""
    specs: Mapping[str, ToolSpec] = field(default_factory=lambda: SPECS)
    ledger: list[Ran] = field(default_factory=list)
    """Every run, in the order of beginning."""

    def is_async(self, name: str) -> bool:
        """See `midsentence.tools.tool.AsyncToolbox`."""
        return name not in _BLOCK

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """See `midsentence.tools.tool.Toolbox`."""
        return ns(0.05 + self._drawn("latency", name, args) * (LONGEST_S - 0.05))

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """Blocks for the call's time, then has its effect."""
        ran, wait_s = self._begun(name, args)
        time.sleep(_HANG_S if ran.fault == "hangs" else wait_s)
        return self._ends(ran)

    async def arun(self, name: str, args: Mapping[str, Json]) -> Json:
        """The same without blocking; one that hangs does so until it is cancelled."""
        ran, wait_s = self._begun(name, args)
        if ran.fault == "hangs":
            await asyncio.Event().wait()
        await asyncio.sleep(wait_s)
        return self._ends(ran)

    def _begun(self, name: str, args: Mapping[str, Json]) -> tuple[Ran, float]:
        fault = ""
        if (drawn := self._drawn("fault", name, args)) < self.fault_rate:
            fault = FAULTS[int(drawn / self.fault_rate * len(FAULTS))]
        ran = Ran(name, str(args["what"]), idempotency_key.get(""), time.monotonic_ns(), fault)
        self.ledger.append(ran)
        return ran, 1.5 * TIMEOUT_S if fault == "late" else self.latency_ns(name, args) / 1e9

    def _ends(self, ran: Ran) -> str:
        match ran.fault:
            case "refuses":
                raise ToolFailure(f"{ran.tool} is closed today")
            case "breaks":
                raise RuntimeError("the line is down")
            case "hangs":
                raise RuntimeError("given up")
        ran.did_ns = time.monotonic_ns()
        if ran.fault == "breaks_after":
            raise RuntimeError("the line went down")
        return found(ran.what) if SPECS[ran.tool].access == "read" else "ok"

    def _drawn(self, kind: str, name: str, args: Mapping[str, Any]) -> float:
        digest = hashlib.sha256(f"{self.seed} {kind} {name} {args['what']}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48


def found(what: str) -> str:
    """What a read answers."""
    return f"found-{what}"
