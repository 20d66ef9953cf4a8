"""A LiveKit AgentSession with midsentence in it: the real package with a recogniser and a voice without devices."""
# ruff: noqa: TID251  (a user and a voice that take their time)

from __future__ import annotations

import asyncio
import runpy
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midsentence.core.events import Emit, Speaking, StartTool, ToolError, ToolResult, UserUpdate
from midsentence.shells.live import Session
from midsentence.tools.function import FunctionToolbox, tool
from tests.integrations.planned import Script, call, planned_model, seen, starts, until

pytestmark = pytest.mark.full
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what importing somebody else's package warns of is not ours
    pytest.importorskip("livekit.agents", reason="install it with: pip install -e '.[livekit]'")
    from livekit import rtc
    from livekit.agents import AgentSession, RunContext, function_tool, stt
    from livekit.agents import ToolError as LiveKitToolError
    from livekit.agents.testing import fake_job_context
    from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

    from midsentence.integrations.livekit import MidsentenceAgent, tool_class

RATE = 16_000
WORD_S = 0.15


def silence(length_s: float) -> rtc.AudioFrame:
    samples = int(RATE * length_s)
    return rtc.AudioFrame(bytes(2 * samples), RATE, 1, samples)


class Microphone(AudioInput):
    """Hears nothing, in real time."""

    def __init__(self) -> None:
        super().__init__(label="microphone")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.05)
        return silence(0.05)


class Recogniser(stt.STT):
    """Recognises what the test says."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.said: asyncio.Queue[stt.SpeechEvent] = asyncio.Queue()

    async def _recognize_impl(self, *args: Any, **options: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, *, conn_options: Any = None, **_: Any) -> stt.RecognizeStream:
        return Recognising(stt=self, conn_options=conn_options)

    def say(self, text: str, kind: stt.SpeechEventType = stt.SpeechEventType.INTERIM_TRANSCRIPT) -> None:
        self.said.put_nowait(
            stt.SpeechEvent(kind, alternatives=[stt.SpeechData(language="en", text=text)] if text else [])
        )

    def end(self, text: str) -> None:
        """The final transcript, and the end of speech, which is how this recogniser detects turns."""
        self.say(text, stt.SpeechEventType.FINAL_TRANSCRIPT)
        self.say("", stt.SpeechEventType.END_OF_SPEECH)


class Recognising(stt.RecognizeStream):
    async def _run(self) -> None:
        while True:
            self._event_ch.send_nowait(await self._stt.said.get())


class Loudspeaker(AudioOutput):
    """Plays in real time into nothing, and says which of the answer's words have been played."""

    def __init__(self, agent: Speaker) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._agent, self._pushed_s, self._began_s = agent, 0.0, 0.0
        self._ending: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._pushed_s:
            self._began_s = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._pushed_s += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._pushed_s:
            self._ending = asyncio.create_task(self._play_out())

    async def _play_out(self) -> None:
        await asyncio.sleep(self._pushed_s - (time.monotonic() - self._began_s))
        self._over(False)

    def clear_buffer(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if self._pushed_s:
            self._over(True)

    def _over(self, interrupted: bool) -> None:
        played_s = min(self._pushed_s, time.monotonic() - self._began_s)
        self._pushed_s = 0.0
        said = " ".join(self._agent.words[: int(played_s / WORD_S)]) if interrupted else None
        self.on_playback_finished(playback_position=played_s, interrupted=interrupted, synchronized_transcript=said)


class Speaker(MidsentenceAgent):
    """An agent with a voice that has no sound; ``words`` is what it says now."""

    words: list[str]

    async def tts_node(self, text: AsyncIterator[str], model_settings: Any) -> AsyncIterator[rtc.AudioFrame]:
        self.words = []
        async for piece in text:
            self.words += piece.split()
        for _ in self.words:
            yield silence(WORD_S)


@dataclass
class World:
    """What the tools did."""

    looked_up: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def tools(self) -> list[Any]:
        """LiveKit's own kinds: a function tool, and one with a raw schema."""

        @tool_class("read")
        @function_tool
        async def phone(context: RunContext, name: str) -> str:
            """Finds a number.

            Args:
                name: Whose.
            """
            if name == "nobody":
                raise LiveKitToolError("there is no such person")
            self.looked_up.append(f"{name} {context.function_call.name}")
            await self.may_answer.wait()
            return f"+1 555 {name}"

        texts = {
            "type": "object",
            "properties": {"to": {"type": "string"}, "text": {"type": "string"}},
            "required": ["to", "text"],
        }

        @function_tool(raw_schema={"name": "send", "description": "Sends a text.", "parameters": texts})
        async def send(raw_arguments: dict[str, object]) -> dict[str, str]:
            self.sent.append((raw_arguments["to"], raw_arguments["text"]))
            return {"status": "sent"}

        return [phone, send]


@dataclass
class Call:
    """A conversation under way."""

    agent: Speaker
    recogniser: Recogniser
    livekit: AgentSession
    world: World

    @property
    def talk(self) -> Session:
        return self.agent.talk


def talk(
    renderer: Any, script: Any, user: Callable[[Call], Awaitable[None]], voice: bool = False, typed: bool = False
) -> Call:
    """A user in a conversation; the call, over."""

    async def work() -> Call:
        world, recogniser = World(), Recogniser()
        world.may_answer.set()
        agent = Speaker(planned_model(script, renderer), world.tools(), options={"system": ""})
        handling = {"turn_detection": "stt", "endpointing": {"min_delay": 0.1, "max_delay": 0.3}}
        heard = {} if typed else {"stt": recogniser, "turn_handling": handling, "aec_warmup_duration": None}
        session = AgentSession(vad=None, **heard)
        if not typed:
            session.input.audio = Microphone()
        if voice:
            session.output.audio = Loudspeaker(agent)
        try:
            await session.start(agent, record=False)
            made = Call(agent, recogniser, session, world)
            await user(made)
        finally:
            await session.aclose()
        return made

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return asyncio.run(asyncio.wait_for(work(), 90))


def order(session: Session, *kinds: type) -> list[Any]:
    """Events and commands of these kinds, as they came."""
    return [item for event, items in session.history for item in (event, *items) if isinstance(item, kinds)]


def answers(made: Call) -> list[str]:
    """What LiveKit's own history holds of the agent."""
    return [item.text_content for item in made.livekit.history.items if getattr(item, "role", "") == "assistant"]


def test_a_read_starts_before_the_final_transcript_and_a_write_waits_for_the_turns_end(renderer):
    script = Script(
        ("text bob", call('1. phone("bob")')),
        ("at ten", call('2. send($1, "at ten")')),
        ("", "<answer>I texted Bob.</answer>"),
    )

    async def user(made: Call) -> None:
        made.recogniser.say("text bob")
        await until(lambda: seen(made.talk, ToolResult))
        made.recogniser.say("text bob that the meeting is")
        made.recogniser.end("Text Bob that the meeting is at ten.")
        await until(lambda: answers(made))

    made = talk(renderer, script, user)
    assert starts(made.talk) == [("phone", {"name": "bob"}), ("send", {"to": "+1 555 bob", "text": "at ten"})]
    heard = order(made.talk, StartTool, UserUpdate)
    read, write = [item for item in heard if isinstance(item, StartTool)]
    [end] = [update for update in seen(made.talk, UserUpdate) if update.final]
    assert heard.index(read) < heard.index(end) < heard.index(write)
    assert (
        " ".join(update.text for update in seen(made.talk, UserUpdate)).strip()
        == "text bob that the meeting is at ten."
    )
    assert answers(made) == ["I texted Bob."] and made.world.sent == [("+1 555 bob", "at ten")]
    assert made.world.looked_up == ["bob phone"] and made.talk.outcome == "closed"


def test_a_correction_in_a_later_hypothesis_revises_the_read(renderer):
    script = Script(
        ("of bob", call('1. phone("bob")')),
        ("[-1] rob", call('1. name = "rob"')),
        ("final_query", "<answer>Rob has +1 555 rob.</answer>"),
    )

    async def user(made: Call) -> None:
        made.recogniser.say("the number of bob")
        await until(lambda: len(seen(made.talk, ToolResult)) == 1)
        made.recogniser.say("the number of rob")
        await until(lambda: len(seen(made.talk, ToolResult)) == 2)
        made.recogniser.end("The number of Rob.")
        await until(lambda: answers(made))

    made = talk(renderer, script, user)
    assert made.world.looked_up == ["bob phone", "rob phone"] and answers(made) == ["Rob has +1 555 rob."]
    assert [(update.text, update.retracts) for update in seen(made.talk, UserUpdate)] == [
        ("the number of bob", 0),
        ("rob", 1),
        ("", 0),
    ]


def test_a_voice_that_is_interrupted_loses_no_result_repeats_no_effect_and_tells_what_was_heard(renderer):
    long = "I texted Ann and now I go on to say a lot more than anybody would ever want to hear of it all"
    script = Script(
        ("text ann", call('1. send("ann", "hi")')),
        ("final_query", f"<answer>{long}</answer>"),
        ("number of bob", call('2. phone("bob")')),
        ("final_query", "<answer>It is +1 555 bob.</answer>", 2),
    )

    async def user(made: Call) -> None:
        made.recogniser.end("text ann hi")
        await until(lambda: made.livekit.agent_state == "speaking")
        made.world.may_answer.clear()
        await asyncio.sleep(3 * WORD_S)
        made.recogniser.say("the number of bob")
        await until(lambda: made.world.looked_up and [told for told in seen(made.talk, Speaking) if told.part == "cut"])
        made.world.may_answer.set()
        await until(lambda: len(seen(made.talk, ToolResult)) == 2)
        made.recogniser.end("the number of bob please")
        await until(lambda: [told for told in seen(made.talk, Speaking) if told.part == "ended"])

    made = talk(renderer, script, user, voice=True)
    assert made.world.sent == [("ann", "hi")] and made.world.looked_up == ["bob phone"]
    told = seen(made.talk, Speaking)
    assert [each.part for each in told] == ["begun", "cut", "begun", "ended"]
    assert told[1].heard and told[1].heard != long and long.startswith(told[1].heard)
    assert answers(made) == [told[1].heard, "It is +1 555 bob."]
    [cancelled] = [segment.text for segment in made.talk.state.transcript if segment.kind == "cancel"]
    assert cancelled.startswith("your answer after ")


def test_what_is_typed_is_a_turn_and_a_tools_no_is_a_failure(renderer):
    script = Script(
        ("number", call('1. phone("nobody")')), ("tool_error 1", "<answer>There is nobody of that name.</answer>")
    )
    results: list[Any] = []

    async def user(made: Call) -> None:
        results.append(await made.livekit.run(user_input="the number of nobody"))

    made = talk(renderer, script, user, typed=True)
    results[0].expect.next_event().is_message(role="assistant")
    results[0].expect.no_more_events()
    assert answers(made) == ["There is nobody of that name."]
    [error] = seen(made.talk, ToolError)
    assert (error.kind, error.message) == ("failed", "there is no such person")
    assert [(update.text, update.final) for update in seen(made.talk, UserUpdate)] == [("the number of nobody", True)]
    assert [item.text for item in order(made.talk, Emit)] == ["There is nobody of that name."]


def test_tools_of_all_kinds_and_classes_by_name(renderer):
    @tool(access="read")
    def clock() -> str:
        """Tells the time."""
        return "noon"

    class WithMethod(MidsentenceAgent):
        @function_tool
        async def book(self, table: int, guests: list[str] | None = None) -> str:
            """Books a table."""
            return f"{table}"

    agent = WithMethod((None, renderer), [*World().tools(), clock], access={"send": "egress"})
    assert {name: spec.access for name, spec in agent._toolbox.specs.items()} == {
        "phone": "read",
        "send": "egress",
        "clock": "read",
        "book": "write",
    }
    assert [param.name for param in agent._toolbox.specs["phone"].params] == ["name"]
    assert [param.required for param in agent._toolbox.specs["book"].params] == [True, False]
    own = FunctionToolbox([clock])
    assert MidsentenceAgent((None, renderer), own)._toolbox is own
    with pytest.raises(ValueError, match="access names 'sent', which is no function tool here; there is phone, send"):
        MidsentenceAgent((None, renderer), World().tools(), access={"sent": "read"})


def test_a_session_that_breaks_ends_the_reply(renderer):
    class Broken:
        def plan(self, state: Any) -> str:
            raise RuntimeError("no weights")

    async def user(made: Call) -> None:
        with pytest.raises(RuntimeError, match="the session is over: model_failed"):
            await made.livekit.run(user_input="hello")

    assert talk(renderer, Broken(), user, typed=True).talk.outcome == "model_failed"


def test_the_example_runs(renderer, monkeypatch):
    """Its job's entry, with a script in the place of the weights; without a room, what the user says is typed."""
    example = runpy.run_path(str(Path(__file__).parents[2] / "docs/examples/stacks/livekit_agent.py"))
    made: list[Any] = []

    class Typed(AgentSession):
        def __init__(self, **_: Any) -> None:
            super().__init__(vad=None)

        async def start(self, agent: Any, *, room: Any) -> None:
            agent._options["system"] = ""
            await super().start(agent, record=False)
            made.append((self, agent))

    async def work() -> Session:
        script = Script(
            ("weather in oslo", call('1. get_weather("oslo")')),
            ("tool_result 1", "<answer>It is sunny in Oslo.</answer>"),
        )
        with fake_job_context() as job:
            job.proc.userdata["model"] = planned_model(script, renderer)
            await example["converse"](job)
            [(session, agent)] = made
            result = await session.run(user_input="what is the weather in oslo")
            result.expect.next_event().is_message(role="assistant")
            await session.aclose()
            job._tempdir.cleanup()  # nobody else does, without a worker
        return agent.talk

    monkeypatch.setitem(example["converse"].__globals__, "AgentSession", Typed)
    for service in ("STT", "TTS", "VAD"):
        monkeypatch.setattr(example["inference"], service, lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        over = asyncio.run(asyncio.wait_for(work(), 60))
    assert starts(over) == [("get_weather", {"city": "oslo"})] and seen(over, ToolResult)[0].value == "sunny in oslo"
