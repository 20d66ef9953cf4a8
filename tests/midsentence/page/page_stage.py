"""What tests of the page hold conversations with: a planner that reads what was said, in the model's place, and three
slow tools.

"phone of NAME"   looks NAME up        a read, 0.3 s
"text NAME"       sends NAME a message a write, 0.3 s
"broken"          a read that says no
"""

from __future__ import annotations

import asyncio
import copy
import re
from typing import Any

from midsentence.clock import Profile
from midsentence.core.modes import settings
from midsentence.core.said import words_said
from midsentence.core.state import State
from midsentence.models.planned import PlannedModel
from midsentence.page.talk import Stage
from midsentence.rendering.renderer import Renderer
from midsentence.shells.live import Session
from midsentence.shells.session import open_session
from midsentence.testing import PAUSE, Scripted, answer, calls
from midsentence.tools.function import tool
from midsentence.tools.tool import ToolFailure

FAST = Profile("fast", decode_tokens_per_s=20_000, prefill_tokens_per_s=100_000, restart_ns=0)
LIFELIKE = Profile("lifelike", decode_tokens_per_s=90, prefill_tokens_per_s=900, restart_ns=10_000_000)
NUMBERS = {"bob": "+1 555 0100", "ann": "+1 555 0102", "eve": "<img src=x onerror=\"document.title='owned'\">"}


def plan(state: State) -> str:
    """The next action: what is wanted and not there, as it should be; else waiting, or the answer."""
    said = " ".join(words_said(state.transcript)).lower()
    there = {call.spec.name: call for call in state.graph.calls.values()}
    free = state.graph.highest + 1
    lines = []
    for name, pattern in (("find", r"phone of (\w+)"), ("send", r"text (\w+)"), ("broken", r"(broken)")):
        if not (found := re.findall(pattern, said)):
            continue
        wanted, call = found[-1], there.get(name)
        if call is None or call.args["name"] != wanted and not call.frozen:
            lines.append(f'{call.id if call else free}. {name}("{wanted}")')
            free += call is None
    held = [call for call in there.values() if call.spec.access == "write" and not call.frozen]
    if state.final_in_context and state.settings.commit == "line" and (held or any("send(" in line for line in lines)):
        lines.append("COMMIT")
    if lines:
        return calls(*lines, think=f"so far: {said}")
    if not state.final_in_context or state.graph.live:
        return PAUSE
    return answer(
        "; ".join(f"{call.spec.name} {call.args['name']}: {call.result or 'no'}" for call in there.values())
        or "nothing to do"
    )


class World:
    """Three tools, and what they did."""

    def __init__(self, takes_s: float) -> None:
        self.sent: list[str] = []

        @tool(access="read")
        async def find(name: str) -> str:
            """Looks up somebody's phone number."""
            await asyncio.sleep(takes_s)  # noqa: TID251
            return NUMBERS.get(name, "unknown")

        @tool(access="write")
        async def send(name: str) -> str:
            """Sends a message."""
            await asyncio.sleep(takes_s)  # noqa: TID251
            self.sent.append(name)
            return f"sent to {name}"

        @tool(access="read")
        async def broken(name: str) -> str:
            """Says no."""
            await asyncio.sleep(takes_s)  # noqa: TID251
            raise ToolFailure("the line is down")

        self.tools = [find, send, broken]


def stage(tokenizer: Any, profile: Profile = FAST, takes_s: float = 0.0) -> tuple[Stage, list[World]]:
    """A stage, and the world of each session that it has opened."""
    renderer = Renderer.prepare(copy.deepcopy(tokenizer))
    worlds: list[World] = []

    def session(mode: str, watch: Any) -> Session:
        worlds.append(World(takes_s))
        model = PlannedModel(Scripted([], then=plan), renderer, profile, asyncio.get_running_loop().call_later)
        return open_session((model, renderer), worlds[-1].tools, settings(mode), watch=watch)

    tools = [["find", "read"], ["send", "write"], ["broken", "read"]]
    about = {"model": "a script", "tools": tools, "examples": ["the phone of Bob"], "world": "Bob, Ann."}
    modes = ("sequential", "parallel", "eager_end", "speculative")
    return Stage(session, lambda watch: session("parallel", watch), modes, "speculative", "parallel", about), worlds
