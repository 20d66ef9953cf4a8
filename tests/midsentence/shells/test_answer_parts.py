"""An answer goes out while it is written, and is taken back where it is discarded: exact times in fake time."""
# ruff: noqa: TID251  (users and tools that take their time: in fake time, but for what uses threads)

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from midsentence.clock import seconds
from midsentence.core import reducer
from midsentence.core.events import Emit, ToolResult
from midsentence.core.modes import settings
from midsentence.shells.answer_parts import AnswerPart, may_be_said, sayable
from midsentence.shells.live import Session
from midsentence.testing import Scripted
from midsentence.tools.function import Constant, tool
from tests.midsentence.shells.live_stage import SLOW, call, commands, events, fake, planned, say


async def parts_of(session: Session) -> list[tuple[float, AnswerPart]]:
    now = asyncio.get_running_loop().time
    start = now()
    return [(round(now() - start, 3), part) async for part in session.answer_parts()]


class TestAnswerParts:
    def run(self, renderer, actions, *rows, tools=(), profile=SLOW, close_s=3.0, changes=None):
        async def work():
            script = Scripted(actions, "<answer>Ok.</answer>")
            async with planned(renderer, script, tools, profile=profile, changes=changes) as session:
                reader = asyncio.create_task(parts_of(session))
                await say(session, *rows)
                await asyncio.sleep(close_s)
            return session, await reader

        return fake(work)

    def test_an_answer_goes_out_while_it_is_written(self, renderer):
        session, told = self.run(renderer, ["<answer> Sunny & mild, 3 < 4. </answer>"], (0, "how is it", True))
        [(emitted_s, emit)] = commands(session, Emit)
        assert "".join(part.text for _, part in told) == emit.text == "Sunny & mild, 3 < 4."
        assert [part.last for _, part in told] == [False] * (len(told) - 1) + [True]
        assert len(told) > 5 and told[0][0] < emitted_s - 0.1 and told[-1][0] == pytest.approx(emitted_s, abs=0.002)

    def test_what_waits_for_a_write_goes_out_whole_when_the_write_is_done(self, renderer):
        @tool(latency=Constant(0.5))
        async def send(text: str) -> str:
            """Sends."""
            await asyncio.sleep(0.5)
            return "sent"

        session, told = self.run(
            renderer, [call('1. send("hi")'), "<answer>Sent it.</answer>"], (0, "send hi", True), tools=[send]
        )
        done_s = seconds(next(event.at_ns for event in events(session, ToolResult)))
        assert [part for _, part in told] == [AnswerPart("Sent it.", last=True)]
        assert told[0][0] >= done_s - 0.002

    def test_what_the_user_speaks_into_is_taken_back(self, renderer):
        answers = ["<answer>It is a very long story indeed.</answer>", "<answer>Sorry.</answer>"]
        _session, told = self.run(
            renderer, answers, (0, "tell me", True), (0.2, "no wait", True), changes={"interrupt": "token"}
        )
        at = [part.withdrawn for _, part in told].index(True)
        assert at > 1 and "It is a very".startswith("".join(part.text for _, part in told[:at])[:4])
        assert not any(part.last for _, part in told[: at + 1])
        assert "".join(part.text for _, part in told[at + 1 :]) == "Sorry." and told[-1][1].last

    def test_what_is_refused_is_taken_back(self, renderer):
        _session, told = self.run(renderer, ["<answer>It is <pause>", "<answer>Fine.</answer>"], (0, "how is it", True))
        at = [part.withdrawn for _, part in told].index(True)
        assert (
            "".join(part.text for _, part in told[:at]) == "It is"
            and "".join(part.text for _, part in told[at:]) == "Fine."
        )

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("  a b ", "a b"),
            ("a </ans", "a"),
            ("a <b", "a <b"),
            ("a < b <", "a < b"),
            ("<", ""),
            ("a </answer_interr", "a"),
            ("", ""),
        ],
    )
    def test_what_may_open_a_tag_waits(self, written, said):
        assert sayable(written) == said

    def test_a_predicted_end_lets_nothing_out(self):
        state = reducer.start(settings("speculative"), {})
        assert not may_be_said(state) and may_be_said(replace(state, saw_final=True))
        assert not may_be_said(replace(state, saw_final=True, predicted=True))
