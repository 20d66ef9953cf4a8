"""Users, models and tools led by a seeded generator: nothing hangs, nothing is left, no write runs twice."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
import random

import pytest

from midsentence.clock import Profile, ns
from midsentence.core.modes import MODES
from midsentence.shells.limits import Limits
from midsentence.shells.live import SessionEnded
from midsentence.shells.log import replay
from midsentence.shells.tool_run import idempotency_key
from midsentence.tools.function import tool
from midsentence.tools.tool import ToolFailure
from tests.midsentence.shells.live_stage import call, fake, planned


class Chaos:
    """A planner and tools that a seeded generator leads: any action, delay, failure and disobedience."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"runtime:{seed}")
        self.running: dict[tuple[str, str], int] = {}
        self.effects: list[str] = []

    def plan(self, state) -> str:
        rng = self.rng
        top = state.graph.highest
        lines = []
        for _ in range(rng.randint(1, 3)):
            kind = rng.random()
            id = top + len(lines) + 1 if kind < 0.7 else rng.randint(1, top + 2)
            arg = f"${rng.randint(1, top)}" if top and rng.random() < 0.4 else f'"a{rng.randint(0, 5)}"'
            name = "nothing" if rng.random() < 0.03 else rng.choice(["read", "egress", "write"])
            lines.append(f"REMOVE {id}" if kind > 0.92 else f"{id}. {name}({arg})")
        return rng.choices(
            [
                call(*lines),
                "<pause>",
                "<answer>Ok.</answer>",
                "<think>" + "so " * rng.randint(1, 30) + "</think>" + call(*lines),
                "<tool_call>nonsense",
                "<think>never closed",
            ],
            [6, 2, 3, 4, 0.3, 0.2],
        )[0]

    def tools(self):
        rng = self.rng

        async def run(text: str) -> str:
            for _ in range(rng.choice([0, 1, 1, 2, 5])):
                try:
                    await asyncio.sleep(rng.choice([0, 0.01, 0.3, 2, 8]))
                except BaseException:
                    if rng.random() < 0.5:
                        raise
            if rng.random() < 0.25:
                raise rng.choice(
                    [ToolFailure("no"), ValueError("x"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()]
                )
            return f"got {text}"

        async def read(text: str) -> str:
            """Reads."""
            return await run(text)

        async def egress(text: str) -> str:
            """Asks."""
            return await run(text)

        async def write(text: str) -> str:
            """Writes."""
            self.effects.append(idempotency_key.get())
            return await run(text)

        timeout_s = rng.choice([0.2, 1, 5])
        return [tool(access=fn.__name__, timeout_s=timeout_s)(fn) for fn in (read, egress, write)]


class TestChaos:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("seed", range(40))
    def test_nothing_hangs_and_nothing_is_left(self, renderer, seed):
        chaos = Chaos(seed)
        rng = chaos.rng
        rate, mode = rng.choice([20, 100, 1000]), rng.choice(list(MODES))
        profile = Profile("any", rate, rate * 10, rng.choice([0, ns(0.05)]))
        changes = {
            "interrupt": rng.choice(["token", "line", "action"]),
            "commit": rng.choice(["action", "paper"]),
            "revise_cascade": rng.choice(["rerun", "cancel"]),
            "commit_grace_ns": rng.choice([0, ns(0.4)]),
            "allowed_egress": frozenset(["egress"]) if rng.random() < 0.5 else frozenset(),
        }
        limits = Limits(inbox_events=rng.choice([1, 2, 64]), backlog_segments=rng.choice([1, 16]), idle_s=40)

        async def work():
            async with planned(renderer, chaos, chaos.tools(), mode, profile, limits, changes) as session:
                try:
                    for n in range(rng.randint(1, 6)):
                        await asyncio.sleep(rng.choice([0, 0.05, 0.5, 3]))
                        await session.hear(f"word{n}", final=rng.random() < 0.4, retracts=rng.choice([0, 0, 1]))
                    await session.hear("end", final=True)
                    if rng.random() < 0.7:
                        await session.answer(rng.choice([0.5, 20, 100]))
                except (SessionEnded, TimeoutError):
                    pass
            return session

        session = fake(work)
        assert session.outcome in ("closed", "invalid_actions", "out_of_budget", "context_overflow", "idle")
        again = replay(session.initial, [event for event, _ in session.history])
        assert list(again.transcript) == list(session.state.transcript)
        assert len(chaos.effects) == len(set(chaos.effects)), "a write ran twice under one key"
        times = [event.at_ns for event, _ in session.history]
        assert times[0] >= 0 and times == sorted(times)
