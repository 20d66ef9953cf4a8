"""midsentence as the thinking part of a Pipecat pipeline: a processor in the place of the aggregators and the language
model.

    agent = MidsentenceProcessor(model, [get_weather])
    Pipeline([transport.input(), stt, UserTurnProcessor(...), agent, tts, transport.output(), agent.heard])

Owns the translation: transcription frames into updates, the pipeline's end of a turn into the final one, parts of
answers into text frames, what was spoken and interrupted into the session's own events, Pipecat's tools into a toolbox.
Does not decide when a turn begins or ends, and what an interruption is: the pipeline's strategies do. Needs the extra
``pipecat``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    CancelFrame,
    EagerTranscriptionFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.services.llm_service import FunctionCallParams
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text

from midsentence.clock import ns
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
from midsentence.tools.function import FunctionToolbox, Tool
from midsentence.tools.joined import JoinedToolbox
from midsentence.tools.tool import Access, Json, Toolbox, is_toolbox

__all__ = ["HeardProcessor", "MidsentenceProcessor", "PipecatToolbox", "tool_class"]


class MidsentenceProcessor(FrameProcessor):
    """One conversation. Takes transcriptions, gives text frames; passes on every other frame.

    Frames are taken in the order in which they come, system frames included (Pipecat's direct mode): an interruption
    empties no queue of ours, so it loses no word and no result.
    """

    def __init__(
        self,
        model: tuple[LiveModel, Renderer],
        tools: Toolbox | ToolsSchema | Iterable[Any] = (),
        mode: str | Settings = "speculative",
        *,
        access: Mapping[str, Access] | None = None,
        voice: bool = True,
        end_s: float = 10.0,
        name: str | None = None,
        **session: Any,
    ) -> None:
        """Nothing is opened before the pipeline sets the processor up.

        Args:
            model: what `midsentence.shells.session.load` gives.
            tools: a toolbox; or Pipecat's tools (`ToolsSchema`, function schemas with handlers, direct functions) and
                midsentence's, mixed.
            mode: see `midsentence.shells.session.open_session`.
            access: classes by name, before those of `tool_class`; a tool that nobody speaks of is a write.
            voice: whether the answers are spoken, by a TTS service and a transport downstream.
            end_s: how long an `EndFrame` waits for an answer that is due.
            name: the processor's.
            session: options of `midsentence.shells.live.Session`.
        """
        super().__init__(name=name, enable_direct_mode=True)
        self._model, self._mode, self._options = model, mode, session
        self._toolbox = self._boxed(tools, access or {})
        self._voice, self._end_s = voice, end_s
        self._hypotheses = Hypotheses()
        self._spoken: list[TextPartForConcatenation] = []
        self._is_open = self._is_mute = self._is_speaking = False
        self._nothing_due = asyncio.Event()
        self._nothing_due.set()
        self._opened = asyncio.Event()
        self._live: asyncio.Task[None] | None = None
        self.session: Session | None = None
        """The session, once the pipeline has started; it can be read after its end."""
        self.heard = HeardProcessor(self._spoken)
        """The pipeline's last processor, behind the transport's output: it notes which words have been spoken."""

    def _boxed(self, tools: Any, access: Mapping[str, Access]) -> Toolbox:
        if is_toolbox(tools):
            return tools
        theirs = [] if isinstance(tools, ToolsSchema) else [tool for tool in tools if _is_pipecats(tool)]
        ours = [] if isinstance(tools, ToolsSchema) else [tool for tool in tools if not _is_pipecats(tool)]
        schema = tools if isinstance(tools, ToolsSchema) else ToolsSchema(theirs)
        boxes: list[Toolbox] = [PipecatToolbox(schema, self, access)] if schema.standard_tools else []
        return JoinedToolbox([*boxes, FunctionToolbox(ours)]) if ours or not boxes else boxes[0]

    @property
    def _talk(self) -> Session:
        """The session, of a processor that is set up."""
        assert self.session is not None
        return self.session

    # -- Pipecat's side ------------------------------------------------------------------------------------------------

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Opens the session: the prompt is taken in while other processors connect."""
        await super().setup(setup)
        self._live = self.create_task(self._converse(), "conversation")
        await self._opened.wait()

    async def cleanup(self) -> None:
        """Ends the session, where no end frame has."""
        await self._close()
        await super().cleanup()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See the module."""
        await super().process_frame(frame, direction)
        if self.session is None:  # it could not be opened, and the pipeline has been told
            await self.push_frame(frame, direction)
            return
        match frame:
            case InterimTranscriptionFrame():
                return await self._hear(frame.text)
            case TranscriptionFrame():
                return await self._hear(frame.text, closes=True)
            case EagerTranscriptionFrame():
                await self._hear(frame.text)
                with suppress(SessionEnded):
                    await self._talk.end_predicted()
                return
            case UserStartedSpeakingFrame():
                self._talk.speech_began()
            case UserStoppedSpeakingFrame():
                await self._turn_ended()
            case BotStoppedSpeakingFrame():
                await self._tell_spoken("ended")
            case EndFrame():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nothing_due.wait(), self._end_s)
                await self._close()
            case CancelFrame():
                await self._close()
        await self.push_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._is_mute = self._is_open  # what of the answer is still to come has lost its beginning
            await self._tell_spoken("cut")

    async def _hear(self, text: str, *, closes: bool = False) -> None:
        change = self._hypotheses.take(text, closes=closes)
        if change is not None:
            if change.late:
                self._nothing_due.clear()
            with suppress(SessionEnded):
                await self._talk.hear(change.text, retracts=change.retracts, final=change.late)

    async def _turn_ended(self) -> None:
        if self._hypotheses.unended:
            self._nothing_due.clear()
            with suppress(SessionEnded):
                await self._talk.hear("", final=True)
        self._hypotheses.end()

    # -- the session's side --------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """The session's whole life, in one task."""
        try:
            async with open_session(
                self._model, self._toolbox, self._mode, hush=self._hush, **self._options
            ) as session:
                self.session = session
                self._opened.set()
                async for part in session.answer_parts():
                    await self._say(part)
            if session.outcome != "closed":
                why = f"the session is over: {session.outcome}"
                await self.push_error(why, exception=session.failure, force_treat_as_permanent=True)
        except Exception as error:
            await self.push_error(f"the session broke: {error}", exception=error, force_treat_as_permanent=True)
        finally:
            self._nothing_due.set()
            self._opened.set()

    async def _say(self, part: AnswerPart) -> None:
        if part.withdrawn:
            self._is_mute = False
            if self._is_open:
                self._is_open = False
                await self.push_frame(InterruptionFrame())  # what the voice has of it and has not said, it must not say
                await self.push_frame(LLMFullResponseEndFrame())
            return
        if not self._is_open:
            self._is_open, self._is_mute = True, False
            self._spoken.clear()
            await self.push_frame(LLMFullResponseStartFrame())
        if part.text and not self._is_mute:
            await self.push_frame(LLMTextFrame(part.text))
        if part.last:
            was_cut, self._is_open, self._is_mute = self._is_mute, False, False
            await self.push_frame(LLMFullResponseEndFrame())
            await self._tell_spoken("begun")
            if was_cut:
                await self._tell_spoken("cut")
            self._nothing_due.set()

    async def _tell_spoken(self, part: Literal["begun", "ended", "cut"]) -> None:
        """From the moment when it is handed over, an answer is being spoken."""
        if not self._voice or self._is_speaking == (part == "begun"):
            return
        self._is_speaking = part == "begun"
        with suppress(SessionEnded):
            await self._talk.speaking(part, concatenate_aggregated_text(self._spoken) if part == "cut" else "")

    def _hush(self) -> None:
        """The user's words reach the session before the pipeline has taken them for an interruption, or where it takes
        none for one."""
        self.create_task(self._hushed(), "hush")

    async def _hushed(self) -> None:
        if self._is_speaking:
            await self.broadcast_interruption()
            await self._tell_spoken("cut")

    async def _close(self) -> None:
        if self.session is not None:
            await self.session.close()
        if self._live is not None:
            await asyncio.wait((self._live,), timeout=self._end_s)


class HeardProcessor(FrameProcessor):
    """Notes the words that a TTS service says have been spoken, where the transport lets them through: behind its
    output."""

    def __init__(self, spoken: list[TextPartForConcatenation]) -> None:
        super().__init__(enable_direct_mode=True)
        self._spoken = spoken

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Passes everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame):
            self._spoken.append(TextPartForConcatenation(frame.text, frame.includes_inter_frame_spaces))
        await self.push_frame(frame, direction)


class PipecatToolbox(RemoteToolbox):
    """Pipecat's tools. Handlers get the call's arguments and a callback as they do from a language model service.

    ``params.llm`` is None, for there is none; ``params.tool_call_id`` is the call's idempotency key. An intermediate
    result is dropped.
    """

    def __init__(self, tools: ToolsSchema, processor: FrameProcessor, access: Mapping[str, Access]) -> None:
        self._processor = processor
        self._handlers = {schema.name: schema.handler for schema in tools.standard_tools}
        functions = {wrapper.name: wrapper.function for wrapper in tools.direct_functions}
        self._handlers |= {wrapper.name: _direct(wrapper) for wrapper in tools.direct_functions}
        if missing := [name for name, handler in self._handlers.items() if handler is None]:
            raise ValueError(
                f"tool {missing[0]!r} has no handler: give FunctionSchema(handler=...), or a direct function"
            )
        marked = self._handlers | functions
        if strange := [name for name in access if name not in marked]:
            raise ValueError(
                f"access names {strange[0]!r}, which is no tool of Pipecat's here; it has {', '.join(marked)}"
            )
        rows = [
            schema.to_default_dict() | label_of(marked[schema.name], schema.name, access)
            for schema in tools.standard_tools
        ]
        super().__init__(rows, self._ask)
        limits_s = {
            name: getattr(marked[spec.real or name], "_pipecat_timeout_secs", None)
            for name, spec in self._specs.items()
        }
        self._specs = {
            name: replace(spec, timeout_ns=ns(limit_s)) if (limit_s := limits_s[name]) else spec
            for name, spec in self._specs.items()
        }

    async def _ask(self, name: str, args: dict[str, Json]) -> Json:
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def take(result: Any, *, properties: Any = None) -> None:
            if not given.done() and (properties is None or properties.is_final):
                given.set_result(result)

        worker = self._processor.pipeline_worker
        await self._handlers[name](
            FunctionCallParams(
                function_name=name,
                tool_call_id=idempotency_key.get(name),
                arguments=args,
                llm=None,
                pipeline_worker=worker,
                context=LLMContext(),
                result_callback=take,
                app_resources=getattr(worker, "app_resources", None),
            )
        )
        result: Json = await given  # a handler may hand its work on; the call's deadline is the session's
        return result


def _direct(wrapper: Any) -> Any:
    async def handle(params: FunctionCallParams) -> None:
        await wrapper.invoke(params.arguments, params)

    return handle


def _is_pipecats(tool: Any) -> bool:
    if isinstance(tool, FunctionSchema):
        return True
    if isinstance(tool, Tool) or not inspect.iscoroutinefunction(tool):
        return False
    return next(iter(inspect.signature(tool).parameters), "") == "params"
