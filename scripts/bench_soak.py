"""Many live sessions at once in one process, for minutes, on the wall clock; and counts what must never happen.

    python -m scripts.bench soak --sessions 100 --minutes 5 --faults
    python -m scripts.bench soak --sessions 4 --minutes 0.1

A session is one conversation of up to four turns; when it is over, another takes its place. Modes in turn:
`speculative`, `verified`, `eager_end`, `parallel`. A player writes what the words ask for at 20 tokens a second; no
weights are loaded. With ``--faults`` tools fail, break, hang and answer late, model streams raise, users leave in
mid-sentence, updates come twice and in the wrong order.

Prints one line of JSON. ``hangs`` are answers that did not come within ``--patience`` seconds, sessions that did not
close, and tasks that were left; the other counters are the judge's (`scripts.soak.judge`). Ends with status 1 if any is
above 0, or a session ended in a way that nobody planned. What was found is a line each on the standard error;
``--keep FOLDER`` keeps the logs of those sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midsentence.clock import Profile, ns
from midsentence.models.load import load_renderer
from midsentence.models.planned import PlannedModel
from midsentence.rendering.renderer import Renderer
from midsentence.shells.limits import Limits
from midsentence.shells.live import SessionEnded
from midsentence.shells.log import write_log
from midsentence.shells.session import open_session
from scripts.soak.judge import COUNTERS, judged
from scripts.soak.player import Faltering, Player
from scripts.soak.user import Left, User
from scripts.soak.world import World

MODES = ("speculative", "verified", "eager_end", "parallel")
DEVICE = Profile("phone", decode_tokens_per_s=20, prefill_tokens_per_s=200, restart_ns=ns(0.03))
TOOL_FAULTS = 0.15
MODEL_FAULTS = 0.1
TURNS = 4
WARM = 0.25
"""Share of the time after which the process's size is taken for the first time."""


@dataclass(slots=True)
class Soak:
    """What is asked for, and what it came to."""

    sessions: int
    seconds: float
    faults: bool
    seed: int = 0
    patience_s: float = 60.0
    boxed: Callable[[World], Any] = lambda world: world
    """What stands between a session and its world: a test plants a fault here."""
    player: Callable[[], Any] = Player
    keep: Path | None = None
    """Where the logs of sessions go in which something was found, and what the user and the world saw of them."""
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    late_s: list[float] = field(default_factory=list)

    async def run(self, renderer: Renderer) -> dict[str, Any]:
        """Keeps so many sessions going until the time is up; gives the line."""
        until_s = time.monotonic() + self.seconds
        first_mb = 0.0
        async with asyncio.TaskGroup() as group:
            lags = group.create_task(self._lags())
            places = [group.create_task(self._place(n, renderer, until_s)) for n in range(self.sessions)]
            await asyncio.sleep(self.seconds * WARM)
            first_mb = size_mb()
            await asyncio.sleep(max(0.0, until_s - time.monotonic()))
            last_mb = size_mb()
            await asyncio.wait(places)
            lags.cancel()
        await asyncio.sleep(0.1)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        self.counts["hangs"] += len(left)
        faults = sum(count for name, count in self.counts.items() if name.startswith("fault_"))
        return {
            "sessions": self.sessions,
            "conversations": self.counts["conversations"],
            "turns": self.counts["turns"],
            "tool_runs": self.counts["tool_runs"],
            "effects": self.counts["effects"],
            "faults": faults,
            **{name: self.counts[name] for name in COUNTERS},
            "rss_growth_mb": round(last_mb - first_mb, 1),
            "loop_lag_p99_s": round(sorted(self.late_s)[int(0.99 * len(self.late_s))], 3) if self.late_s else 0.0,
            "outcomes": dict(self.outcomes),
        }

    async def _lags(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            self.late_s.append(time.monotonic() - before - 0.05)

    async def _place(self, place: int, renderer: Renderer, until_s: float) -> None:
        number = 0
        while time.monotonic() < until_s:
            await self._conversation(
                f"{self.seed}-{place}-{number}", MODES[(place + number) % len(MODES)], renderer, until_s
            )
            number += 1

    async def _conversation(self, name: str, mode: str, renderer: Renderer, until_s: float) -> None:
        draw = random.Random(name)
        world = World(name, TOOL_FAULTS if self.faults else 0.0)
        user = User(draw, draw.randint(1, TURNS), self.patience_s, self.faults, lambda: time.monotonic() >= until_s)
        model: Any = PlannedModel(self.player(), renderer, DEVICE, asyncio.get_running_loop().call_later)
        if self.faults and draw.random() < MODEL_FAULTS:
            model = Faltering(model, draw.randint(1, 8), draw.randint(0, 6))
        session = open_session(
            (model, renderer),
            self.boxed(world),
            mode,
            system="",
            name=name,
            watch=user.watch,
            limits=Limits(model_s=10.0, idle_s=2 * self.patience_s, cancel_s=0.5, drain_s=2.0),
        )
        try:
            async with session:
                await user.converse(session)
        except Left:
            pass
        except SessionEnded:
            if not (isinstance(model, Faltering) and model.fell):
                self.outcomes[f"unplanned {session.outcome}"] += 1
        except TimeoutError:
            self.counts["hangs"] += 1
        user.talk.log, user.talk.ledger = session.history, world.ledger
        self.counts.update(found := judged(user.talk))
        if found.total():
            print(f"{name} ({mode}): {dict(found)}", file=sys.stderr)
            if self.keep is not None:
                write_log(self.keep / f"{name}.jsonl", session.initial, session.history)
                (self.keep / f"{name}.txt").write_text(
                    "\n".join(map(repr, [user.talk.zero_ns, *user.talk.said, *world.ledger])), "utf-8"
                )
        self.outcomes[session.outcome] += 1
        self.counts["conversations"] += 1
        self.counts["turns"] += user.counts["turns"]
        self.counts["tool_runs"] += len(world.ledger)
        self.counts["effects"] += sum(
            1 for ran in world.ledger if ran.did_ns and world.specs[ran.tool].access == "write"
        )
        self.counts["fault_tool"] += sum(1 for ran in world.ledger if ran.fault)
        self.counts["fault_model"] += getattr(model, "fell", False)
        for what in ("left", "duplicates", "disordered"):
            self.counts[f"fault_{what}"] += user.counts[what]


def size_mb() -> float:
    """The process's resident memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else 0.0


def main(arguments: list[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="bench soak")
    parser.add_argument("--sessions", type=int, default=100, help="live at once")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds after which an answer counts as a hang")
    parser.add_argument("--keep", type=Path, help="folder for the logs of sessions in which something was found")
    asked = parser.parse_args(arguments)
    if asked.sessions < 1 or not 0 < asked.minutes < float("inf") or not 0 < asked.patience < float("inf"):
        parser.error(
            f"--sessions {asked.sessions} --minutes {asked.minutes} --patience {asked.patience}; give numbers above 0"
        )
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    soak = Soak(asked.sessions, 60 * asked.minutes, asked.faults, asked.seed, asked.patience, keep=asked.keep)
    line = asyncio.run(soak.run(load_renderer("tiny", "token", "none")))
    print(json.dumps({"bench": "soak", "seed": asked.seed, **line}))
    return int(
        any(line[name] for name in COUNTERS) or any(outcome.startswith("unplanned") for outcome in line["outcomes"])
    )
