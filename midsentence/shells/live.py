"""The live loop: the same pure core as in simulation, on real time, with real tools.

    receive an event → core.step → execute its commands

Owns what the user of a session calls, the loop, and the shut-down: everything a session starts lives in its one task
group and ends with it; every wait has a deadline. What waits for the core is in `midsentence.shells.inbox`, its model
in `midsentence.shells.live_writing`, tools that run in `midsentence.shells.live_tools`. Does not decide anything: what
an event means is the core's, and what comes too late is dropped by the core's table, not here.

    async with Session(model, toolbox, renderer, settings("speculative")) as session:
        await session.hear("text Bob that the")
        await session.hear("meeting is at ten", final=True)
        print(await session.answer())
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from midsentence.clock import WallClock, ns
from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    CancelTool,
    Close,
    Command,
    Crowded,
    Emit,
    EndPredicted,
    Event,
    Forget,
    Generate,
    SetTimer,
    Silence,
    Speaking,
    StartTool,
    Stop,
    StopSpeaking,
    UserUpdate,
)
from midsentence.core.forgetting import shown
from midsentence.core.modes import Settings, check_egress
from midsentence.core.reducer import Phase, State
from midsentence.models.live import ContextFull, LiveModel
from midsentence.rendering.prompt import Style, system_prompt
from midsentence.rendering.renderer import Renderer
from midsentence.shells import telemetry
from midsentence.shells.answer_parts import AnswerPart, Answers
from midsentence.shells.arguments import check_options, check_silence, check_spoken, check_update
from midsentence.shells.drafts import Drafts
from midsentence.shells.inbox import Broke, Inbox, is_behind
from midsentence.shells.limits import Limits
from midsentence.shells.live_tools import LiveTools
from midsentence.shells.live_writing import LiveWriter
from midsentence.shells.rollout import Rollout
from midsentence.tools.manual import Detail
from midsentence.tools.tool import Toolbox


class SessionEnded(Exception):
    """The session is over; ``outcome`` says how (`midsentence.core.events.Finish`; also ``idle``, ``model_failed``,
    ``model_timeout``)."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the session is over ({outcome}); open a new one")
        self.outcome = outcome


class Session:
    """One conversation. An async context manager: what it started is over when the block is.

    Its outcome, and everything that happened, can be read afterwards.
    """

    def __init__(
        self,
        model: LiveModel,
        toolbox: Toolbox,
        renderer: Renderer,
        settings: Settings,
        *,
        system: str | None = None,
        style: Style = "short",
        detail: Detail = "short",
        now: str | None = None,
        name: str | None = None,
        seed: int = 0,
        clock: WallClock | None = None,
        limits: Limits | None = None,
        watch: Callable[[Event, tuple[Command, ...]], None] | None = None,
        hush: Callable[[], None] | None = None,
    ) -> None:
        """Nothing runs before the block is entered.

        Args:
            model: shared by any number of sessions.
            toolbox: this session's tools; it can run these and no others.
            renderer: made for the model's tokenizer.
            settings: a mode's row, see `midsentence.core.modes.settings`.
            system: the system text; by default `midsentence.rendering.prompt.system_prompt`'s, in ``style``, with the
                date ``now``.
            style: ``short`` for models trained on the protocol, ``full`` explains it.
            detail: how much the prompt says of each tool.
            now: the user's date and time, for the prompt.
            name: prefix of idempotency keys, which must be another for every session; a random one by default.
            seed: of sampling.
            clock: real time, by default.
            limits: deadlines and bounds.
            hush: called when the user speaks into an answer that `speaking` says is being spoken: stop it, then tell
                how much was heard. Must not block.
            watch: called with every event and its commands as they happen; must not block. What it raises ends the
                session.

        Raises:
            TypeError: an option of another type.
            ValueError: a value that there is not, or an allowed egress that is no such tool of ``toolbox``.
        """
        check_options(seed, name, limits, watch, hush)
        self.clock, self.limits = clock or WallClock(), limits or Limits()
        specs = dict(toolbox.specs)
        check_egress(settings.allowed_egress, specs.values())
        text = system if system is not None else system_prompt(settings, specs.values(), now, style, detail)
        name = name or f"session-{secrets.token_hex(8)}"
        self.prompt_ids = tuple(renderer.prompt_ids(text))
        self.state: State = reducer.start(settings, specs, name, len(self.prompt_ids))
        self.initial: State = self.state
        """The state before the first event: what a log is replayed on."""
        self.history: list[tuple[Event, tuple[Command, ...]]] = []
        """Every event with the commands that came of it."""
        self.failure: Exception | None = None
        """What the model's backend raised, if it did."""
        self._watch, self._hush = watch, hush
        self._telemetry = telemetry.listener(time.time_ns)
        self._answers = Answers()
        self._ended = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._drafts = Drafts() if settings.verified else None
        self._inbox = Inbox(self.clock, self.limits, self._group, settings.commit_on == "silence")
        self._writer = LiveWriter(model, renderer, self.prompt_ids, seed, self._inbox, self._drafts, self._model_failed)
        self._tools = LiveTools(toolbox, specs, self._inbox, self._group, settings.verified)

    # -- for the user of a session -----------------------------------------------------------------------------

    async def __aenter__(self) -> Session:
        await self._writer.open()
        await self._group.__aenter__()
        self._group.create_task(self._run(), name="session")
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self.close()
        except BaseException as broke:
            # the group ends its tasks, and raises this or the failure of its own that led to it
            await self._group.__aexit__(type(broke), broke, broke.__traceback__)
            raise
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:  # the body's own errors pass through as they are; nothing of the session runs any more
            await self._group.__aexit__(None, None, None)

    def speech_began(self) -> None:
        """The user's first word begins now: zero of the session's clock. Without this it is the first update's
        arrival."""
        self.clock.start()

    async def hear(self, text: str, *, final: bool = False, retracts: int = 0) -> None:
        """Words that the recogniser has heard since its last update.

        Never waits for the model: while it can't keep up, updates are put together into one.

        Args:
            text: whole words.
            final: whether the user seems to have finished; more words after that reopen the turn.
            retracts: how many of the last words sent are taken back before ``text``.

        Raises:
            SessionEnded: nobody listens any more.
            TypeError: ``text`` is no text, or ``final`` no truth value; nothing was heard.
            ValueError: it is longer than `Limits.update_chars`, or takes back no such number of words; nothing was
                heard.
        """
        check_update(text, final, retracts, self.limits)
        self._check_open()
        self.clock.start()
        self._inbox.hear(UserUpdate(self.clock.now_ns(), text, final, retracts), is_behind(self.state, self.limits))
        await asyncio.sleep(0)  # lets the loop go round, however fast the words come

    async def silent(self, seconds: float) -> None:
        """Nobody has spoken for so long, says a detector of voices. Heard where the agent may commit on a silence.

        Raises:
            SessionEnded: nobody listens any more.
            ValueError: no length of time; nothing was heard.
        """
        check_silence(seconds)
        self._check_open()
        if self.state.settings.commit_on == "silence" and self._inbox.takes_hints:
            self._inbox.put_now(Silence(self.clock.now_ns(), ns(seconds)))
        await asyncio.sleep(0)

    async def end_predicted(self) -> None:
        """The recogniser expects that the user has finished with the words heard so far, and will say whether it was
        right: with a final update without words, or with more words. Only an eager mode acts on it.

        Raises:
            SessionEnded: nobody listens any more.
        """
        self._check_open()
        if self._inbox.takes_hints:
            self._inbox.put_now(EndPredicted(self.clock.now_ns()))
        await asyncio.sleep(0)

    async def speaking(self, part: Literal["begun", "ended", "cut"], heard: str = "") -> None:
        """How far the last answer has been spoken; for a caller that has a voice. The model is told of one that was
        cut.

        Args:
            part: ``begun``, ``ended``, or ``cut``: it was stopped, for the user spoke.
            heard: of one that was cut, as much as has been heard.

        Raises:
            SessionEnded: nobody listens any more.
            TypeError: ``heard`` is no text.
            ValueError: no such part, or more text than an update may have; nothing was taken in.
        """
        check_spoken(part, heard, self.limits)
        self._check_open()
        await self._inbox.put(Speaking(self.clock.now_ns(), part, heard))

    async def answer(self, timeout_s: float | None = None) -> str:
        """The next answer.

        Raises:
            SessionEnded: there will be none.
            TimeoutError: none within ``timeout_s``.
        """
        text = await self._answers.next(timeout_s if timeout_s is not None else self.limits.idle_s)
        if text is None:
            raise SessionEnded(self.outcome) from self.failure
        return text

    async def answers(self) -> AsyncIterator[str]:
        """Every answer, until the session is over."""
        while True:
            try:
                yield await self.answer()
            except SessionEnded:
                return

    async def answer_parts(self) -> AsyncIterator[AnswerPart]:
        """Every answer in pieces, as the model writes it, until the session is over: see
        `midsentence.shells.answer_parts`. For one reader; `answer` and `answers` give the same answers whole."""
        while (part := await self._answers.next_part()) is not None:
            yield part

    async def close(self, why: str = "closed") -> None:
        """Ends the session, and waits until all that it started is over. Closing twice is harmless."""
        # the loop keeps its own deadlines; this one only guards against a fault in it
        async with asyncio.timeout(self.limits.drain_s + 4 * self.limits.cancel_s + 10):
            if self.state.phase is not Phase.FINISHED and not self._ended.is_set():
                await self._inbox.put(Close(self.clock.now_ns(), why))
            await self._ended.wait()

    @property
    def abandoned(self) -> int:
        """Tools that ignored their cancellation and were left behind."""
        return self._tools.abandoned

    @property
    def outcome(self) -> str:
        """How it ended; empty while it runs."""
        return self.state.outcome or ("crashed" if self._ended.is_set() else "")

    def rollout(self) -> Rollout:
        """The session as simulations give theirs."""
        answered = self.state.answered and self.state.outcome in ("", "closed")
        end_ns = self.history[-1][0].at_ns if self.history else 0
        outcome = "answered" if answered else self.state.outcome or "stalled"
        drafted = self._drafts.drafted(self._tools.joined) if self._drafts is not None else None
        return Rollout(self.state, self.prompt_ids, tuple(self.history), outcome, end_ns, drafted=drafted)

    def _check_open(self) -> None:
        if self._ended.is_set() or self.state.phase is Phase.FINISHED:
            raise SessionEnded(self.outcome)

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self.state.phase is not Phase.FINISHED:
                event = await self._inbox.next(self.limits.idle_s, is_behind(self.state, self.limits))
                self._take(event or Close(self.clock.now_ns(), "idle"))
            await self._drain()
        finally:
            try:
                try:
                    self._writer.context.close()
                except Exception as error:
                    self.failure = self.failure or error
                self._answers.end()
                self._tools.cancel_all()
                self._inbox.cancel()
                await self._tools.end()
            finally:
                self._ended.set()

    async def _drain(self) -> None:
        """Lets writes that have started finish, so that the log says what they did; the core has cancelled all else."""
        self._inbox.cancel()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self.limits.drain_s
        while True:
            while len(self._inbox):
                self._take(self._inbox.take())
            writes, left_s = self._tools.writes, end_s - loop.time()
            if not writes or left_s <= 0:
                return
            await asyncio.wait(writes, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    def _take(self, item: Event | Broke) -> None:
        if not isinstance(item, Broke):
            self._feed(item)
        elif item.span is not None and not self._writer.is_under_way(item.span):
            return
        elif isinstance(item.error, ContextFull):
            self._feed(Crowded(item.at_ns, item.error.most_tokens))
            self.failure = item.error if self.state.phase is Phase.FINISHED else self.failure
        else:
            self.failure = item.error
            why = "model_timeout" if isinstance(item.error, TimeoutError) else "model_failed"
            self._feed(Close(item.at_ns, why))

    def _model_failed(self, error: Exception) -> None:
        """A backend, which may be anybody's, raised when it was only told something: that ends this session."""
        self.failure = self.failure or error
        self._inbox.start(self._inbox.put(Broke(self.clock.now_ns(), error, None)))

    def _feed(self, event: Event) -> None:
        span = self._writer.taken(event)
        had_answered = self.state.answered
        self.state, commands = reducer.step(self.state, event)
        self.history.append((event, commands))
        for command in commands:
            self._obey(command)
        self._answers.follow(self.state, commands)
        if span is not None:
            self._writer.go_on(span)
        self._show(event, commands)
        if self._drafts is not None:
            self._follow_drafts(self._drafts, event, had_answered)

    def _show(self, event: Event, commands: tuple[Command, ...]) -> None:
        """Tells those who only watch."""
        if self._telemetry is not None:
            try:
                self._telemetry(event, commands, self.state)
            except Exception:  # an exporter's fault is none of the session's: it goes on unwatched
                self._telemetry = None
        if self._watch is not None:
            self._watch(event, commands)

    def _follow_drafts(self, drafts: Drafts, event: Event, had_answered: bool) -> None:
        """A session that is verified takes every update for the last, and forgets what it foresaw with the turn."""
        if self.state.answered and not had_answered:
            drafts.forget()
            self._tools.forget()
        self._tools.leave_reads()
        if isinstance(event, UserUpdate) and not event.final and self.state.phase is not Phase.FINISHED:
            self._feed(EndPredicted(event.at_ns))

    def _obey(self, command: Command) -> None:
        match command:
            case Append(segments):
                self._writer.append(segments)
            case Forget():
                self._writer.renew(shown(self.state.transcript, self.state.turned, self.state.shown))
            case Generate(generation):
                self._writer.write(generation, self.state)
            case Stop(keep=keep):
                self._writer.stop(keep)
            case StartTool():
                self._tools.start(command)
            case CancelTool(call, version):
                self._tools.cancel(call, version)
            case SetTimer(at_ns, timer):
                self._inbox.set_timer(at_ns, timer)
            case Emit(text):
                self._answers.put(text)
            case StopSpeaking():
                if self._hush is not None:
                    self._hush()
