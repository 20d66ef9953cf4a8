"""midsentence as an agent of LiveKit's: an `Agent` whose language model node is a session that has listened all the
while.

    agent = MidsentenceAgent(model, [get_weather])
    await AgentSession(stt=..., vad=..., tts=...).start(agent, room=ctx.room)

Owns the translation: transcription events into updates, LiveKit's end of a turn into the final one, parts of answers
into the text that its language model node gives, what was spoken and interrupted into the session's own events,
LiveKit's function tools into a toolbox. Does not decide when a turn begins or ends, and what an interruption is:
LiveKit does. Needs the extra ``livekit``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from livekit.agents import Agent, RunContext, StopResponse, ToolError, llm
from livekit.agents.llm import FunctionTool, RawFunctionTool, ToolResult, Toolset
from livekit.agents.llm.utils import build_legacy_openai_schema, prepare_function_arguments
from livekit.agents.voice.speech_handle import SpeechHandle

from midsentence.core.modes import Settings
from midsentence.integrations.classes import label_of, tool_class
from midsentence.integrations.hypotheses import Hypotheses
from midsentence.models.live import LiveModel
from midsentence.rendering.renderer import Renderer
from midsentence.shells.answer_parts import AnswerPart
from midsentence.shells.live import Session, SessionEnded
from midsentence.shells.session import open_session
from midsentence.shells.tool_run import idempotency_key
from midsentence.tools.foreign import RemoteToolbox
from midsentence.tools.function import FunctionToolbox
from midsentence.tools.joined import JoinedToolbox
from midsentence.tools.tool import Access, Json, Toolbox, ToolFailure, is_toolbox

__all__ = ["LiveKitToolbox", "MidsentenceAgent", "tool_class"]

CLOSE_S = 20.0
logger = logging.getLogger(__name__)


class _InNode(llm.LLM):
    """Stands where LiveKit asks whether there is a language model; the agent's own node is asked for text."""

    def chat(self, **_: Any) -> llm.LLMStream:
        raise RuntimeError("MidsentenceAgent answers in its llm_node; an override of that must call the original")


class MidsentenceAgent(Agent):
    """One conversation."""

    def __init__(
        self,
        model: tuple[LiveModel, Renderer],
        tools: Toolbox | Iterable[Any] = (),
        mode: str | Settings = "speculative",
        *,
        access: Mapping[str, Access] | None = None,
        options: Mapping[str, Any] | None = None,
        instructions: str = "",
        **agent: Any,
    ) -> None:
        """Nothing is opened before LiveKit enters the agent.

        Args:
            model: what `midsentence.shells.session.load` gives.
            tools: a toolbox; or LiveKit's function tools and midsentence's, mixed. Methods of a subclass that are
                function tools are added.
            mode: see `midsentence.shells.session.open_session`.
            access: classes by name, before those of `tool_class`; a tool that nobody speaks of is a write.
            options: of `midsentence.shells.live.Session`; ``system=`` replaces the prompt.
            instructions: LiveKit's; the session does not read them.
            agent: LiveKit's own options.
        """
        handling = {**(agent.pop("turn_handling", None) or {}), "preemptive_generation": {"enabled": False}}
        super().__init__(instructions=instructions, llm=_InNode(), turn_handling=handling, **agent)
        self._model, self._mode, self._options = model, mode, dict(options or {})
        self._toolbox = self._boxed(tools, access or {})
        self._hypotheses = Hypotheses()
        self._todo: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._parts: asyncio.Queue[AnswerPart] = asyncio.Queue()
        self._answered_messages: set[str] = set()
        self._is_open = self._is_speaking = False
        self._cut_early: str | None = None
        """What had been heard of an answer that was interrupted before it was whole."""
        self._opened = asyncio.Event()
        self._live: asyncio.Task[None] | None = None
        self.talk: Session | None = None
        """The session, once LiveKit has entered the agent; it can be read after its end."""

    def _boxed(self, tools: Any, access: Mapping[str, Access]) -> Toolbox:
        given = [] if is_toolbox(tools) else list(tools)
        if sets := [tool for tool in given if isinstance(tool, Toolset)]:
            raise ValueError(
                f"toolset {sets[0].id!r} can't be used here: give its function tools, or use midsentence.tools.mcp"
            )
        theirs = [tool for tool in [*given, *self.tools] if isinstance(tool, FunctionTool | RawFunctionTool)]
        ours = [tool for tool in given if not isinstance(tool, FunctionTool | RawFunctionTool)]
        boxes: list[Toolbox] = [tools] if is_toolbox(tools) else [FunctionToolbox(ours)] if ours or not theirs else []
        boxes += [LiveKitToolbox(theirs, self, access)] if theirs else []
        return JoinedToolbox(boxes) if len(boxes) > 1 else boxes[0]

    @property
    def _open_talk(self) -> Session:
        """The session, of an agent that has been entered."""
        assert self.talk is not None
        return self.talk

    # -- LiveKit's side ------------------------------------------------------------------------------------------------

    async def on_enter(self) -> None:
        """Opens the session. What is said before it is open waits. An override must call this."""
        for name, take in self._events().items():
            self.session.on(name, take)
        self._live = asyncio.create_task(self._converse(), name="midsentence conversation")
        await self._opened.wait()

    async def on_exit(self) -> None:
        """Ends the session. An override must call this."""
        for name, take in self._events().items():
            self.session.off(name, take)
        if self.talk is not None:
            await self.talk.close()
        if self._live is not None:
            await asyncio.wait((self._live,), timeout=CLOSE_S)

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        """LiveKit's turn detection says that the user has finished. An override must call this."""
        self._end_turn(new_message)

    async def llm_node(self, chat_ctx: llm.ChatContext, tools: Any, model_settings: Any) -> AsyncIterator[str]:
        """The answer to the turn, as the session writes it.

        Raises:
            RuntimeError: the session is over.
        """
        last = chat_ctx.items[-1] if chat_ctx.items else None
        if isinstance(last, llm.ChatMessage) and last.role == "user":
            self._end_turn(last)  # a message that was typed has not been heard
        while True:
            part = await self._parts.get()
            if part is _OVER:
                self._parts.put_nowait(part)
                raise RuntimeError(
                    f"the session is over: {self.talk.outcome if self.talk is not None else 'it never began'}"
                )
            if part.text and not part.withdrawn:
                yield part.text
            if part.last:
                return

    def _events(self) -> dict[str, Callable[[Any], None]]:
        return {
            "user_input_transcribed": self._on_transcribed,
            "conversation_item_added": self._on_item,
            "speech_created": self._on_speech,
        }

    def _on_transcribed(self, event: Any) -> None:
        change = self._hypotheses.take(event.transcript, closes=event.is_final)
        if change is not None:
            self._ask(lambda: self._open_talk.hear(change.text, retracts=change.retracts, final=change.late))

    def _on_item(self, event: Any) -> None:
        if getattr(event.item, "role", "") == "assistant":
            heard = event.item.text_content or ""
            self._ask(partial(self._tell_spoken, "cut" if event.item.interrupted else "ended", heard))

    def _on_speech(self, event: Any) -> None:
        def done(handle: SpeechHandle) -> None:
            if handle.interrupted:  # nothing of it was heard, if no item has said otherwise
                self._ask(partial(self._tell_spoken, "cut", ""))

        event.speech_handle.add_done_callback(done)

    def _end_turn(self, message: llm.ChatMessage) -> None:
        """A turn's end, once, whichever of LiveKit's hooks tells it; of a message that was not heard, its words as
        well."""
        if message.id in self._answered_messages:
            return
        self._answered_messages.add(message.id)
        words = "" if self._hypotheses.unended else message.text_content or ""
        heard = self._hypotheses.unended
        self._hypotheses.end()
        while not self._parts.empty() and self._parts.get_nowait() is not _OVER:
            pass  # what was written to turns before this and has not been said is not to be said now
        if heard or words:
            self._ask(lambda: self._open_talk.hear(words, final=True))

    def _ask(self, work: Callable[[], Awaitable[None]]) -> None:
        """Leaves work for the session, which takes it in this order."""
        self._todo.put_nowait(work)

    # -- the session's side --------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """The session's whole life, in one task, and that of the one that passes on what LiveKit tells."""
        pump: asyncio.Task[None] | None = None
        try:
            async with open_session(self._model, self._toolbox, self._mode, hush=self._hush, **self._options) as talk:
                self.talk = talk
                self._opened.set()
                pump = asyncio.create_task(self._pass_on(), name="midsentence ears")
                async for part in talk.answer_parts():
                    await self._take_part(part)
            if talk.outcome != "closed":
                logger.error("the session is over: %s", talk.outcome, exc_info=talk.failure)
        except Exception:
            logger.exception("the session broke")
        finally:
            if pump is not None:
                pump.cancel()
            self._parts.put_nowait(_OVER)
            self._opened.set()

    async def _pass_on(self) -> None:
        while True:
            work = await self._todo.get()
            with suppress(SessionEnded):
                await work()

    async def _take_part(self, part: AnswerPart) -> None:
        self._parts.put_nowait(part)
        if part.withdrawn:
            self._is_open = False
            return
        if not self._is_open:
            self._is_open, self._cut_early = True, None
        if part.last:
            self._is_open = False
            await self._tell_spoken("begun")  # from the moment when it is there to be said
            if self._cut_early is not None:
                await self._tell_spoken("cut", self._cut_early)

    async def _tell_spoken(self, part: Literal["begun", "ended", "cut"], heard: str = "") -> None:
        if part == "cut" and self._is_open and self._cut_early is None:
            self._cut_early = heard
        if self._is_speaking != (part == "begun"):
            self._is_speaking = part == "begun"
            with suppress(SessionEnded):
                await self._open_talk.speaking(part, heard if part == "cut" else "")

    def _hush(self) -> None:
        """The user's words reach the session before LiveKit has taken them for an interruption, or where it takes none
        for one."""
        self._ask(self._hushed)

    async def _hushed(self) -> None:
        if self._is_speaking:
            with suppress(RuntimeError):  # there is no speech, or it may not be interrupted
                self.session.interrupt()


_OVER = AnswerPart("")
"""Ends the row of parts: there will be no more."""


class LiveKitToolbox(RemoteToolbox):
    """LiveKit's function tools. A `ToolError` is the tool's own no: it did nothing.

    A tool may take a `RunContext`: its session, user data and function call are real, its speech handle belongs to no
    speech.
    """

    def __init__(
        self, tools: Iterable[FunctionTool | RawFunctionTool], agent: Agent, access: Mapping[str, Access]
    ) -> None:
        self._agent, self._tools = agent, {tool.info.name: tool for tool in tools}
        if strange := [name for name in access if name not in self._tools]:
            raise ValueError(
                f"access names {strange[0]!r}, which is no function tool here; there is {', '.join(self._tools)}"
            )
        rows = []
        for name, tool in self._tools.items():
            raw = (
                tool.info.raw_schema
                if isinstance(tool, RawFunctionTool)
                else build_legacy_openai_schema(tool, internally_tagged=True)
            )
            row = {key: raw[key] for key in ("name", "description", "parameters") if raw.get(key) is not None}
            rows.append(row | label_of(tool, name, access))
        super().__init__(rows, self._ask)

    async def _ask(self, name: str, args: dict[str, Json]) -> Json:
        call = llm.FunctionCall(call_id=idempotency_key.get(name), name=name, arguments=json.dumps(args))
        context = RunContext(session=self._agent.session, speech_handle=SpeechHandle.create(), function_call=call)
        try:
            given, named = prepare_function_arguments(
                fnc=self._tools[name], json_arguments=args, call_ctx=context, fnc_call=call
            )
            returned = await self._tools[name](*given, **named)
        except ToolError as error:
            raise ToolFailure(error.message) from None
        except StopResponse:
            return None
        if isinstance(returned, ToolResult):
            returned = returned.output
        if (
            isinstance(returned, Agent)
            or isinstance(returned, tuple)
            and any(isinstance(item, Agent) for item in returned)
        ):
            raise TypeError(
                f"tool {name} hands over to another agent, which a session can't; return text, numbers, lists, dicts or None"
            )
        result: Json = returned
        return result
