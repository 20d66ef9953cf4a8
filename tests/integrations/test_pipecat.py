"""A Pipecat pipeline with midsentence in it: the real package, its own turn detection, a TTS service and a transport
without a device."""
# ruff: noqa: TID251  (frames that come when something has happened, a voice that takes its time)

from __future__ import annotations

import asyncio
import runpy
import warnings
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midsentence.core.events import Emit, EndPredicted, Speaking, StartTool, ToolResult, UserUpdate
from midsentence.shells.live import Session
from midsentence.tools.function import FunctionToolbox, tool
from tests.integrations.planned import Script, call, planned_model, seen, starts, until

pytestmark = pytest.mark.full
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what importing somebody else's package warns of is not ours
    pytest.importorskip("pipecat", reason="install it with: pip install -e '.[pipecat]'")
    from pipecat.adapters.llm.schemas.direct_function import tool_options
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
    from pipecat.frames.frames import (
        DataFrame,
        EagerTranscriptionFrame,
        Frame,
        InterimTranscriptionFrame,
        InterruptionFrame,
        LLMFullResponseEndFrame,
        LLMFullResponseStartFrame,
        LLMTextFrame,
        StartFrame,
        TranscriptionFrame,
        TTSAudioRawFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.services.llm_service import FunctionCallParams
    from pipecat.services.tts_service import TTSService
    from pipecat.tests.utils import run_test
    from pipecat.transports.base_output import BaseOutputTransport
    from pipecat.transports.base_transport import TransportParams
    from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
    from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
    from pipecat.turns.user_turn_processor import UserTurnProcessor
    from pipecat.turns.user_turn_strategies import UserTurnStrategies

    from midsentence.integrations.pipecat import MidsentenceProcessor, tool_class

BYTES_A_SECOND = 16_000 * 2


@dataclass
class Wait(DataFrame):
    """Holds up the frames behind it until something has happened."""

    until: Callable[[], Any] = lambda: True


class Gate(FrameProcessor):
    """Obeys `Wait`, in the pipeline's first place."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, Wait):
            await until(frame.until)
        else:
            await self.push_frame(frame, direction)


class SilentTTS(TTSService):
    """Says every sentence in a fifth of a second a word, without a sound."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        for _ in text.split():
            yield TTSAudioRawFrame(
                audio=bytes(BYTES_A_SECOND // 5), sample_rate=16_000, num_channels=1, context_id=context_id
            )


class Loudspeaker(BaseOutputTransport):
    """A transport that plays in real time into nothing."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=16_000))

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: Any) -> bool:
        await asyncio.sleep(len(frame.audio) / BYTES_A_SECOND)
        return True


def interim(text: str) -> InterimTranscriptionFrame:
    return InterimTranscriptionFrame(text, "user", "2026-11-28T12:00:00")


def final(text: str) -> TranscriptionFrame:
    return TranscriptionFrame(text, "user", "2026-11-28T12:00:00")


@dataclass
class World:
    """What the tools did."""

    looked_up: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def tools(self) -> list[Any]:
        """Pipecat's own kinds: a direct function, and a schema with a handler."""

        @tool_class("read")
        async def phone(params: FunctionCallParams, name: str) -> None:
            """Finds a number.

            Args:
                name: Whose.
            """
            self.looked_up.append(name)
            await self.may_answer.wait()
            await params.result_callback(f"+1 555 {name}")

        @tool_options(timeout_secs=5)
        async def send(params: FunctionCallParams) -> None:
            self.sent.append((params.arguments["to"], params.arguments["text"]))
            await params.result_callback({"status": "sent", "key": params.tool_call_id})

        texts = {"to": {"type": "string"}, "text": {"type": "string", "description": "What it says."}}
        return [phone, FunctionSchema("send", "Sends a text.", texts, ["to", "text"], handler=send)]


def turns() -> UserTurnProcessor:
    """Pipecat's own detection, by transcripts alone: a turn is over 0.3 s after the last one."""
    strategies = UserTurnStrategies(
        start=[TranscriptionUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.3)]
    )
    return UserTurnProcessor(user_turn_strategies=strategies)


def talk(
    renderer: Any,
    script: Script,
    frames: Callable[[MidsentenceProcessor, World], Sequence[Frame]],
    voice: bool = False,
    tools: Callable[[World], Any] = World.tools,
    **options: Any,
) -> tuple[Session, World, list[Frame]]:
    """Runs frames through a pipeline: the session at its end, what the tools did, and what came out below."""

    async def work() -> tuple[Session, World, list[Frame]]:
        world = World()
        world.may_answer.set()
        agent = MidsentenceProcessor(planned_model(script, renderer), tools(world), voice=voice, system="", **options)
        rest = [SilentTTS(push_start_frame=True, push_stop_frames=True), Loudspeaker(), agent.heard] if voice else []
        down, _ = await run_test(
            Pipeline([Gate(), turns(), agent, *rest]), frames_to_send=frames(agent, world), start_timeout=20
        )
        return agent.session, world, list(down)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return asyncio.run(asyncio.wait_for(work(), 60))


def order(session: Session, *kinds: type) -> list[Any]:
    """Events and commands of these kinds, as they came."""
    return [item for event, items in session.history for item in (event, *items) if isinstance(item, kinds)]


def text_of(frames: Sequence[Frame]) -> str:
    return "".join(frame.text for frame in frames if isinstance(frame, LLMTextFrame))


def test_a_read_starts_before_the_final_transcript_and_a_write_waits_for_the_turns_end(renderer):
    script = Script(
        ("text bob", call('1. phone("bob")')),
        ("at ten", call('2. send($1, "at ten")')),
        ("", "<answer>I texted Bob.</answer>"),
    )

    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        return [
            interim("text bob"),
            Wait(until=lambda: seen(agent.session, ToolResult)),
            interim("text bob that the meeting is"),
            final("Text Bob that the meeting is at ten."),
            Wait(until=lambda: world.sent),
        ]

    session, world, down = talk(renderer, script, frames)
    assert starts(session) == [("phone", {"name": "bob"}), ("send", {"to": "+1 555 bob", "text": "at ten"})]
    read, write = [item for item in order(session, StartTool, UserUpdate) if isinstance(item, StartTool)]
    heard = order(session, StartTool, UserUpdate)
    [end] = [update for update in seen(session, UserUpdate) if update.final]
    assert heard.index(read) < heard.index(end) < heard.index(write)
    assert [update.text for update in seen(session, UserUpdate)] == ["text bob", "that the meeting is", "at ten.", ""]
    assert text_of(down) == "I texted Bob." and world.sent == [("+1 555 bob", "at ten")]
    answer = [
        frame for frame in down if isinstance(frame, LLMFullResponseStartFrame | LLMTextFrame | LLMFullResponseEndFrame)
    ]
    assert isinstance(answer[0], LLMFullResponseStartFrame) and isinstance(answer[-1], LLMFullResponseEndFrame)
    assert session.outcome == "closed"


def test_a_correction_in_a_later_hypothesis_revises_the_read(renderer):
    script = Script(
        ("of bob", call('1. phone("bob")')),
        ("[-1] rob", call('1. name = "rob"')),
        ("tool_result 1v2", "<pause>"),
        ("final_query", "<answer>Rob has +1 555 rob.</answer>"),
    )

    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        return [
            interim("the number of bob"),
            Wait(until=lambda: len(seen(agent.session, ToolResult)) == 1),
            interim("the number of rob"),
            Wait(until=lambda: len(seen(agent.session, ToolResult)) == 2),
            final("The number of Rob."),
            Wait(until=lambda: order(agent.session, Emit)),
        ]

    session, world, down = talk(renderer, script, frames)
    assert world.looked_up == ["bob", "rob"] and text_of(down) == "Rob has +1 555 rob."
    assert [(update.text, update.retracts) for update in seen(session, UserUpdate)] == [
        ("the number of bob", 0),
        ("rob", 1),
        ("", 0),
    ]


def test_an_interruption_loses_no_result_and_repeats_no_effect(renderer):
    script = Script(
        ("text ann", call('1. send("ann", "hi")')),
        ("final_query", "<answer>I texted Ann.</answer>"),
        ("number of bob", call('2. phone("bob")')),
        ("tool_result 2", "<pause>"),
        ("final_query", "<answer>It is +1 555 bob.</answer>", 2),
    )

    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        def hold() -> bool:
            world.may_answer.clear()
            return True

        def release() -> bool:
            world.may_answer.set()
            return len(seen(agent.session, ToolResult)) == 2

        return [
            final("text ann hi"),
            Wait(until=lambda: order(agent.session, Emit)),
            Wait(until=hold),
            interim("the number of bob"),
            Wait(until=lambda: world.looked_up),
            InterruptionFrame(),
            Wait(until=release),
            final("the number of bob please"),
            Wait(until=lambda: len(order(agent.session, Emit)) == 2),
        ]

    session, world, down = talk(renderer, script, frames)
    assert world.sent == [("ann", "hi")] and world.looked_up == ["bob"]
    assert [result.value for result in seen(session, ToolResult)][1] == "+1 555 bob"
    assert text_of(down) == "I texted Ann.It is +1 555 bob."


def test_a_voice_that_is_interrupted_tells_what_was_heard(renderer):
    long = "One is the first. Two is the second. Three is the third. Four is the fourth. Five is the fifth."
    script = Script(("final_query", f"<answer>{long}</answer>"), ("final_query", "<answer>Okay.</answer>", 2))

    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        spoken = agent._spoken
        return [
            final("count please"),
            Wait(until=lambda: order(agent.session, Emit) and spoken),
            interim("stop"),
            Wait(until=lambda: [told for told in seen(agent.session, Speaking) if told.part == "cut"]),
            final("stop it"),
            Wait(until=lambda: [told for told in seen(agent.session, Speaking) if told.part == "ended"]),
        ]

    session, _, down = talk(renderer, script, frames, voice=True)
    told = seen(session, Speaking)
    assert [each.part for each in told] == ["begun", "cut", "begun", "ended"]
    assert told[1].heard and told[1].heard != long and long.startswith(told[1].heard.strip())
    assert any(isinstance(frame, InterruptionFrame) for frame in down)
    [cancelled] = [segment.text for segment in session.state.transcript if segment.kind == "cancel"]
    assert cancelled.startswith("your answer after ")


def test_a_predicted_end_is_passed_on_and_no_word_is_heard_twice(renderer):
    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        return [
            # Pipecat empties its own queues when a turn begins: words that come in the same moment are lost to it
            interim("what is"),
            Wait(until=lambda: seen(agent.session, UserUpdate)),
            EagerTranscriptionFrame("What is the time?", "user", "2026-11-28T12:00:00"),
            final("What is the time?"),
            Wait(until=lambda: order(agent.session, Emit)),
        ]

    script = Script(("time", "<answer>Noon.</answer>"), ("", "<answer>Noon.</answer>"))
    session, _, down = talk(renderer, script, frames, mode="eager_end")
    kinds = [(type(event), getattr(event, "text", "")) for event in order(session, UserUpdate, EndPredicted)]
    assert kinds == [(UserUpdate, "what is"), (UserUpdate, "the time?"), (EndPredicted, ""), (UserUpdate, "")]
    assert text_of(down) == "Noon."


def test_a_session_that_can_not_be_opened_is_an_error_frame_and_the_pipeline_goes_on(renderer):
    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        return [interim("hello"), InterruptionFrame()]

    session, _, down = talk(renderer, Script(), frames, mode="hasty")
    assert session is None and [type(frame) for frame in down if isinstance(frame, InterruptionFrame)]


def test_tools_of_both_kinds_and_classes_by_name(renderer):
    @tool(access="read")
    def clock() -> str:
        """Tells the time."""
        return "noon"

    agent = MidsentenceProcessor((None, renderer), [*World().tools(), clock], access={"send": "egress"})
    assert {name: spec.access for name, spec in agent._toolbox.specs.items()} == {
        "phone": "read",
        "send": "egress",
        "clock": "read",
    }
    assert agent._toolbox.specs["send"].timeout_ns == 5_000_000_000
    own = FunctionToolbox([clock])
    assert MidsentenceProcessor((None, renderer), own)._toolbox is own
    with pytest.raises(
        ValueError, match="access names 'sent', which is no tool of Pipecat's here; it has send, phone|phone, send"
    ):
        MidsentenceProcessor((None, renderer), World().tools(), access={"sent": "read"})
    with pytest.raises(ValueError, match="tool 'bare' has no handler"):
        MidsentenceProcessor((None, renderer), [FunctionSchema("bare", "", {}, [])])


def test_a_session_that_breaks_is_an_error_frame(renderer):
    class Broken:
        def plan(self, state: Any) -> str:
            raise RuntimeError("no weights")

    def frames(agent: MidsentenceProcessor, world: World) -> list[Frame]:
        return [final("hello"), Wait(until=lambda: agent.session.outcome), final("anybody there")]

    session, _, _ = talk(renderer, Broken(), frames)
    assert session.outcome == "model_failed"


def test_the_example_runs(renderer):
    example = runpy.run_path(str(Path(__file__).parents[2] / "docs/examples/stacks/pipecat_bot.py"))

    class Transport:
        """Both ends without a device; its input obeys `Wait`."""

        def input(self) -> FrameProcessor:
            return Gate()

        def output(self) -> FrameProcessor:
            return Loudspeaker()

    async def work() -> list[Frame]:
        script = Script(
            ("weather in oslo", call('1. get_weather("oslo")')),
            ("final_query", "<answer>It is sunny in Oslo.</answer>"),
        )
        made = example["pipeline"](
            planned_model(script, renderer),
            Transport(),
            Gate(),
            SilentTTS(push_start_frame=True, push_stop_frames=True),
            system="",
        )
        [agent] = [each for each in made.processors if isinstance(each, MidsentenceProcessor)]
        frames = [
            interim("what is the weather in oslo"),
            Wait(until=lambda: seen(agent.session, ToolResult)),
            final("What is the weather in Oslo?"),
            Wait(until=lambda: order(agent.session, Emit)),
        ]
        down, _ = await run_test(made, frames_to_send=frames, start_timeout=30)
        assert starts(agent.session) == [("get_weather", {"city": "oslo"})]
        assert seen(agent.session, ToolResult)[0].value == "sunny in oslo"
        return list(down)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.run(asyncio.wait_for(work(), 90))
