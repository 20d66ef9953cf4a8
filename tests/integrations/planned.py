"""A scripted model in real time, for tests in which other people's packages keep the clock."""
# ruff: noqa: TID251  (a test that waits for what another package does)

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from midsentence.clock import Profile, ns
from midsentence.core.events import StartTool
from midsentence.core.modes import settings
from midsentence.models.planned import PlannedModel
from midsentence.rendering.renderer import Renderer
from midsentence.shells.live import Session
from midsentence.tools.function import boxed

FAST = Profile("fast", decode_tokens_per_s=20_000, prefill_tokens_per_s=200_000, restart_ns=ns(0.0001))


class Script:
    """Plays the model: each action once the context says what it waits for, a pause until then."""

    def __init__(self, *steps: tuple[str, str] | tuple[str, str, int]) -> None:
        """Takes (what a segment must say, the action, how many segments must say it), in order.

        A segment says its kind, a blank, and its text.
        """
        self.steps = list(steps)

    def plan(self, state: Any) -> str:
        if self.steps:
            wanted, action, times = (*self.steps[0], 1)[:3]
            if sum(wanted in f"{segment.kind} {segment.text}" for segment in state.transcript) >= times:
                del self.steps[0]
                return action
        return "<pause>"


def call(*lines: str) -> str:
    return "<tool_call>" + "\n".join(lines) + "\n</tool_call>"


def planned_model(script: Script, renderer: Renderer) -> tuple[PlannedModel, Renderer]:
    """What `midsentence.shells.session.load` gives, with a script in the place of the weights. In a running loop."""
    return PlannedModel(script, renderer, FAST, asyncio.get_running_loop().call_later), renderer


def planned(renderer: Renderer, script: Script, tools: Any, mode: str = "speculative", **options: Any) -> Session:
    model, _ = planned_model(script, renderer)
    box = boxed(tools)
    return Session(model, box, renderer, settings(mode), system="", **options)


def starts(session: Session) -> list[tuple[str, dict[str, Any]]]:
    """Every start of a tool: its name and arguments."""
    return [
        (item.name, dict(item.args)) for _, items in session.history for item in items if isinstance(item, StartTool)
    ]


def seen(session: Session, kind: type) -> list[Any]:
    return [event for event, _ in session.history if isinstance(event, kind)]


async def until(what: Callable[[], Any], patience_s: float = 20.0) -> None:
    """Waits until something holds; the deadline is the test's only."""
    async with asyncio.timeout(patience_s):
        while not what():
            await asyncio.sleep(0.005)
