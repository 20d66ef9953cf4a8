"""The live loop: the same pure core as in simulation, on real time, with real tools. The one async file of the loop.

    receive an event → core.step → execute its commands

Owns the inbox, tasks, deadlines, cancellation and shut-down of a session. Everything a session starts lives in its one
task group and ends with it; every wait has a deadline. Refuses to decide anything: what an event means is the core's,
and what comes too late is dropped by the core's table, not here.

    async with Session(model, toolbox, renderer, settings("speculative")) as session:
        await session.hear("text Bob that the")
        await session.hear("meeting is at ten", final=True)
        print(await session.answer())
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from midsentence.clock import NS_PER_S, WallClock, ns
from midsentence.core import reducer
from midsentence.core.events import (
    PRIORITY,
    Append,
    Appended,
    CancelTool,
    Close,
    Command,
    Crowded,
    Emit,
    EndPredicted,
    Event,
    Forget,
    Generate,
    ModelEnded,
    ModelOutput,
    SetTimer,
    Silence,
    Speaking,
    StartTool,
    Stop,
    StopSpeaking,
    Timer,
    ToolError,
    UserUpdate,
)
from midsentence.core.forgetting import shown
from midsentence.core.modes import Settings, check_egress
from midsentence.core.outcome import Outcome, failed
from midsentence.core.reducer import Phase, State
from midsentence.core.transcript import MAX_RETRACTS, Segment
from midsentence.models.live import ContextFull, Croppable, LiveContext, LiveModel
from midsentence.models.model import common
from midsentence.rendering.prompt import Style, system_prompt
from midsentence.rendering.renderer import Renderer, Rendering
from midsentence.shells import telemetry
from midsentence.shells.answer_parts import AnswerPart, AnswerParts
from midsentence.shells.drafts import Drafts
from midsentence.shells.kept_reads import Reads
from midsentence.shells.rollout import Rollout
from midsentence.shells.tool_run import Run, idempotency_key, launch
from midsentence.tools.bulk import off_loop
from midsentence.tools.manual import Detail
from midsentence.tools.tool import Toolbox

__all__ = ["Limits", "Session", "SessionEnded", "idempotency_key", "merged"]


MAX_SILENCE_S = 86_400.0


class SessionEnded(Exception):
    """The session is over; ``outcome`` says how (`midsentence.core.events.Finish`; also ``idle``, ``model_failed``, ``model_timeout``)."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the session is over ({outcome}); open a new one")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and bounds of a session. A tool's own deadline is its ``timeout_s``."""

    inbox_events: int = 64
    """Events that wait for the core before those who bring more must wait too."""
    backlog_segments: int = 16
    """Segments that wait for the model before further words of the user are put together into one update."""
    update_chars: int = 100_000
    """Longest text of one update: an hour of speech has 50,000."""
    model_s: float = 60.0
    """Longest wait for the model: for a token, or for an append to be taken in."""
    silence_s: tuple[float, ...] = (0.6, 1.2, 2.4)
    """With ``commit_on = silence``: seconds after the last words came at which the session is told that nobody speaks. The first must
    be longer than the recogniser takes between updates; empty for a caller that knows better and says so by `Session.silent`."""
    idle_s: float = 600.0
    """Longest time in which nothing at all happens."""
    cancel_s: float = 1.0
    """How long a cancelled tool has to clean up before it is abandoned."""
    drain_s: float = 2.0
    """At the end: how long writes that have started have to finish, since half a write is worst."""

    def __post_init__(self) -> None:
        for name in ("inbox_events", "backlog_segments", "update_chars"):
            if type(value := getattr(self, name)) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; use a whole number from 1 on")
        for name in ("model_s", "idle_s", "cancel_s", "drain_s"):
            if not _is_time(value := getattr(self, name)) or value == 0 and name in ("model_s", "idle_s"):
                raise ValueError(f"{name} is {value!r}; use seconds, a number {'above' if name in ('model_s', 'idle_s') else 'from'} 0")
        times = self.silence_s
        are_times = isinstance(times, tuple | list) and all(_is_time(at_s) and at_s > 0 for at_s in times)
        if not are_times or list(times) != sorted(set(times)):
            raise ValueError(f"silence_s is {times!r}; use seconds above 0, each later than the one before, or () for none")


def _is_time(value: Any) -> bool:
    """Whether something is a finite number of seconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


@dataclass(slots=True)
class _Span:
    """A generation under way."""

    generation: int
    header_tokens: int
    decoder: Any
    tokens: asyncio.Queue[tuple[int, int | Exception]] = field(default_factory=asyncio.Queue)
    """(when, token or failure), as the model's thread writes them; the model runs only a few tokens ahead."""
    ids: list[int] = field(default_factory=list)
    """What has been brought to the inbox."""
    taken: int = 0
    """How many of those the core has taken in."""
    text: str = ""
    """Their text."""
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Broke:
    """The model failed. Waits in the inbox behind what it wrote before: a failure after an action's end is no failure."""

    at_ns: int
    error: Exception
    span: _Span | None
    """The generation in which it did, or None for an append."""


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
            system: the system text; by default `midsentence.rendering.prompt.system_prompt`'s, in ``style``, with the date ``now``.
            style: ``short`` for models trained on the protocol, ``full`` explains it.
            detail: how much the prompt says of each tool.
            now: the user's date and time, for the prompt.
            name: prefix of idempotency keys, which must be another for every session; a random one by default.
            seed: of sampling.
            clock: real time, by default.
            limits: deadlines and bounds.
            hush: called when the user speaks into an answer that `speaking` says is being spoken: stop it, then tell how much was
                heard. Must not block.
            watch: called with every event and its commands as they happen; must not block. What it raises ends the session.

        Raises:
            TypeError: an option of another type.
            ValueError: a value that there is not, or an allowed egress that is no such tool of ``toolbox``.
        """
        if type(seed) is not int:
            raise TypeError(f"seed is {seed!r}; give a whole number")
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"name is {name!r}; give a text that no other session has, or None for a random one")
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits is {limits!r}; give midsentence.shells.live.Limits(…)")
        if strange := next((each for each in (watch, hush) if each is not None and not callable(each)), None):
            raise TypeError(f"watch and hush are functions, and {strange!r} is none")
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
        self.abandoned = 0
        """Tools that ignored their cancellation and were left behind."""
        self._model, self._toolbox, self._renderer, self._seed = model, toolbox, renderer, seed
        self._watch, self._hush = watch, hush
        self._telemetry = telemetry.listener(time.time_ns)
        self._rendering, self._vocabulary = Rendering(renderer), renderer.vocabulary_size
        self._inbox: asyncio.PriorityQueue[tuple[int, int, int, Event | _Broke]] = asyncio.PriorityQueue(self.limits.inbox_events)
        self._answers: asyncio.Queue[str | None] = asyncio.Queue()
        self._parts: asyncio.Queue[AnswerPart | None] = asyncio.Queue()
        self._answering = AnswerParts()
        self._tools: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._backlog: UserUpdate | None = None
        self._span: _Span | None = None
        self._silence: asyncio.Task[None] | None = None
        self._seq = 0
        self._ended = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._drafts = Drafts() if settings.verified else None
        self._reads = Reads(toolbox)
        self._ids: list[int] = []
        """All that counts of the context behind the prompt, as far as it was asked of the model."""
        self._past: list[int] = []
        """What the context still holds behind that, of an attempt that was thrown away."""
        self._context: LiveContext
        self._loop: asyncio.AbstractEventLoop

    # -- for the user of a session -----------------------------------------------------------------------------

    async def __aenter__(self) -> Session:
        self._loop = asyncio.get_running_loop()
        opening: Future[LiveContext] = self._model.open(self.prompt_ids, self._seed)
        try:
            async with asyncio.timeout(self.limits.model_s):
                self._context = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close_late)
            raise
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
        """The user's first word begins now: zero of the session's clock. Without this it is the first update's arrival."""
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
            ValueError: it is longer than `Limits.update_chars`, or takes back no such number of words; nothing was heard.
        """
        if not isinstance(text, str):
            raise TypeError(f"hear was given {type(text).__name__} for text; give whole words as str, \"\" for none")
        if len(text) > self.limits.update_chars:
            raise ValueError(f"hear was given {len(text)} characters, and an update holds {self.limits.update_chars}; give them in parts")
        if type(retracts) is not int or retracts < 0:
            raise ValueError(f"hear was given retracts={retracts!r}; give how many words are taken back, from 0 on")
        if retracts > MAX_RETRACTS:
            raise ValueError(f"hear was given a retracts of more than {MAX_RETRACTS}; give how many words are taken back")
        if type(final) is not bool:
            raise TypeError(f"hear was given final={final!r}; give True or False: it lets calls go")
        if self._ended.is_set() or self.state.phase is Phase.FINISHED:
            raise SessionEnded(self.outcome)
        self.clock.start()
        self._take_in(UserUpdate(self.clock.now_ns(), text, final, retracts))
        await asyncio.sleep(0)  # lets the loop go round, however fast the words come

    async def silent(self, seconds: float) -> None:
        """Nobody has spoken for so long, says a detector of voices. Heard where the agent may commit on a silence.

        Raises:
            SessionEnded: nobody listens any more.
            ValueError: no length of time; nothing was heard.
        """
        if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SILENCE_S:
            raise ValueError(f"silent was given no number of seconds from 0 to {MAX_SILENCE_S:g}; give how long nobody has spoken")
        if self._ended.is_set() or self.state.phase is Phase.FINISHED:
            raise SessionEnded(self.outcome)
        if self.state.settings.commit_on == "silence" and self._backlog is None and not self._inbox.full():
            self._put_now(Silence(self.clock.now_ns(), ns(seconds)))
        await asyncio.sleep(0)

    async def end_predicted(self) -> None:
        """The recogniser expects that the user has finished with the words heard so far, and will say whether it was right:
        with a final update without words, or with more words. Only an eager mode acts on it.

        Raises:
            SessionEnded: nobody listens any more.
        """
        if self._ended.is_set() or self.state.phase is Phase.FINISHED:
            raise SessionEnded(self.outcome)
        # words that still wait would come after it: a prediction that is late is none
        if self._backlog is None and not self._inbox.full():
            self._put_now(EndPredicted(self.clock.now_ns()))
        await asyncio.sleep(0)

    async def speaking(self, part: Literal["begun", "ended", "cut"], heard: str = "") -> None:
        """How far the last answer has been spoken; for a caller that has a voice. The model is told of one that was cut.

        Args:
            part: ``begun``, ``ended``, or ``cut``: it was stopped, for the user spoke.
            heard: of one that was cut, as much as has been heard.

        Raises:
            SessionEnded: nobody listens any more.
            TypeError: ``heard`` is no text.
            ValueError: no such part, or more text than an update may have; nothing was taken in.
        """
        if part not in ("begun", "ended", "cut"):
            raise ValueError(f"speaking was given {part!r}; use 'begun', 'ended' or 'cut'")
        if not isinstance(heard, str):
            raise TypeError(f"speaking was given {type(heard).__name__} for heard; give text, \"\" for none")
        if len(heard) > self.limits.update_chars:
            raise ValueError(f"speaking was given {len(heard)} characters of an answer; it holds {self.limits.update_chars} at the most")
        if self._ended.is_set() or self.state.phase is Phase.FINISHED:
            raise SessionEnded(self.outcome)
        await self._put(Speaking(self.clock.now_ns(), part, heard))

    async def answer(self, timeout_s: float | None = None) -> str:
        """The next answer.

        Raises:
            SessionEnded: there will be none.
            TimeoutError: none within ``timeout_s``.
        """
        async with asyncio.timeout(timeout_s if timeout_s is not None else self.limits.idle_s):
            text = await self._answers.get()
        if text is None:
            self._answers.put_nowait(None)  # for whoever asks next
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
        """Every answer in pieces, as the model writes it, until the session is over: see `midsentence.shells.answer_parts`. For one reader;
        `answer` and `answers` give the same answers whole."""
        while (part := await self._parts.get()) is not None:
            yield part
        self._parts.put_nowait(None)  # for whoever asks next

    async def close(self, why: str = "closed") -> None:
        """Ends the session, and waits until all that it started is over. Closing twice is harmless."""
        # the loop keeps its own deadlines; this one only guards against a fault in it
        async with asyncio.timeout(self.limits.drain_s + 4 * self.limits.cancel_s + 10):
            if self.state.phase is not Phase.FINISHED and not self._ended.is_set():
                await self._put(Close(self.clock.now_ns(), why))
            await self._ended.wait()

    @property
    def outcome(self) -> str:
        """How it ended; empty while it runs."""
        return self.state.outcome or ("crashed" if self._ended.is_set() else "")

    def rollout(self) -> Rollout:
        """The session as simulations give theirs."""
        answered = self.state.answered and self.state.outcome in ("", "closed")
        end_ns = self.history[-1][0].at_ns if self.history else 0
        outcome = "answered" if answered else self.state.outcome or "stalled"
        drafted = self._drafts.drafted(self._reads.joined) if self._drafts is not None else None
        return Rollout(self.state, self.prompt_ids, tuple(self.history), outcome, end_ns, drafted=drafted)

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self.state.phase is not Phase.FINISHED:
                self._take(await self._next(self.limits.idle_s) or Close(self.clock.now_ns(), "idle"))
            await self._drain()
        finally:
            try:
                try:
                    self._context.close()
                except Exception as error:
                    self.failure = self.failure or error
                self._answers.put_nowait(None)
                self._parts.put_nowait(None)
                for task in (*self._tools.values(), *self._others):
                    task.cancel()
                self._reads.forget()
                if ending := [*self._tools.values(), *(asyncio.ensure_future(self._leave(run)) for run in self._reads.over)]:
                    # each gives its tool `cancel_s` to clean up
                    await asyncio.wait(ending, timeout=2 * self.limits.cancel_s)
            finally:
                self._ended.set()

    def _take_in(self, update: UserUpdate) -> None:
        """An update for the core, together with others if it is behind."""
        self._count_silence(update)
        if self._backlog is not None:
            self._backlog = merged(self._backlog, update)
        elif self._inbox.full() or self._is_behind():
            self._backlog = update
        else:
            self._put_now(update)

    def _is_behind(self) -> bool:
        """Whether words can wait: the model is behind, and words that it has not seen already hold back what was committed."""
        waiting = self.state.inbox
        return len(waiting) >= self.limits.backlog_segments and any(
            pending.segment.kind in ("partial_query_update", "final_query_update") for pending in waiting
        )

    async def _next(self, timeout_s: float) -> Event | _Broke | None:
        if self._backlog is not None and not self._is_behind():
            update, self._backlog = self._backlog, None
            self._put_now(replace(update, at_ns=self.clock.now_ns()), force=True)
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._inbox.get())[-1]
        except TimeoutError:
            return None

    async def _drain(self) -> None:
        """Lets writes that have started finish, so that the log says what they did; the core has cancelled all else."""
        for task in self._others:
            task.cancel()
        end_s = self._loop.time() + self.limits.drain_s
        while True:
            while not self._inbox.empty():
                self._take(self._inbox.get_nowait()[-1])
            writes = [task for task in self._tools.values() if not task.cancelling()]
            left_s = end_s - self._loop.time()
            if not writes or left_s <= 0:
                return
            await asyncio.wait(writes, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    def _take(self, item: Event | _Broke) -> None:
        if not isinstance(item, _Broke):
            self._feed(item)
        elif item.span is not None and item.span is not self._span:
            return
        elif isinstance(item.error, ContextFull):
            self._feed(Crowded(item.at_ns, item.error.most_tokens))
            self.failure = item.error if self.state.phase is Phase.FINISHED else self.failure
        else:
            self.failure = item.error
            why = "model_timeout" if isinstance(item.error, TimeoutError) else "model_failed"
            self._feed(Close(item.at_ns, why))

    def _feed(self, event: Event) -> None:
        span = self._span if isinstance(event, ModelOutput) and self._span and self._span.generation == event.generation else None
        if span is not None and isinstance(event, ModelOutput):
            span.taken, span.text = span.taken + len(event.ids), span.text + event.text
        answered = self.state.answered
        self.state, commands = reducer.step(self.state, event)
        self.history.append((event, commands))
        for command in commands:
            self._obey(command)
        for part in self._answering.follow(self.state, commands):
            self._parts.put_nowait(part)
        if span is not None and span is self._span:
            foreseen = self._drafts.ids(span.ids[:span.taken]) if self._drafts is not None else ()
            self._tell_model(self._context.took, *([foreseen] if foreseen else []))
        if self._telemetry is not None:
            try:
                self._telemetry(event, commands, self.state)
            except Exception:  # an exporter's fault is none of the session's: it goes on unwatched
                self._telemetry = None
        if self._watch is not None:
            self._watch(event, commands)
        if self._drafts is not None:
            if self.state.answered and not answered:
                self._drafts.forget()
                self._reads.forget()
            while self._reads.over:
                self._start(self._leave(self._reads.over.pop()))
            if isinstance(event, UserUpdate) and not event.final and self.state.phase is not Phase.FINISHED:
                self._feed(EndPredicted(event.at_ns))

    def _obey(self, command: Command) -> None:
        match command:
            case Append(segments):
                self._start(self._append(segments))
            case Forget():
                self._forget()
            case Generate(generation):
                self._write(generation)
            case Stop(keep=keep):
                self._stop(keep)
            case StartTool(call, version):
                task = self._group.create_task(self._tool(command), name=f"tool {command.name} {call}v{version}")
                self._tools[call, version] = task
                task.add_done_callback(lambda _: self._tools.pop((call, version), None))
            case CancelTool(call, version):
                if (running := self._tools.get((call, version))) is not None:
                    running.cancel()
            case SetTimer(at_ns, timer):
                self._start(self._timer(at_ns, timer))
            case Emit(text):
                self._answers.put_nowait(text)
            case StopSpeaking():
                if self._hush is not None:
                    self._hush()

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)
        return task

    async def _put(self, item: Event | _Broke) -> None:
        self._seq += 1
        await self._inbox.put((item.at_ns, PRIORITY.get(type(item), 0), self._seq, item))

    def _put_now(self, event: Event, force: bool = False) -> None:
        self._seq += 1
        row = (event.at_ns, PRIORITY[type(event)], self._seq, event)
        if force and self._inbox.full():
            self._start(self._put(event))
        else:
            self._inbox.put_nowait(row)

    async def _timer(self, at_ns: int, timer: int) -> None:
        await asyncio.sleep(max(0, at_ns - self.clock.now_ns()) / NS_PER_S)
        await self._put(Timer(max(at_ns, self.clock.now_ns()), timer))

    def _count_silence(self, update: UserUpdate) -> None:
        """Words begin a new silence; the endpoint's word ends the count."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if self.state.settings.commit_on == "silence" and not update.final:
            self._silence = self._start(self._silences(update.at_ns))

    async def _silences(self, since_ns: int) -> None:
        for step_s in self.limits.silence_s:
            await asyncio.sleep(max(0, since_ns + ns(step_s) - self.clock.now_ns()) / NS_PER_S)
            if self._backlog is not None:
                return  # words that still wait would come after it: what is silent is the recogniser's past
            await self._put(Silence(max(since_ns + ns(step_s), self.clock.now_ns()), ns(step_s)))

    # -- the model ---------------------------------------------------------------------------------------------

    async def _append(self, segments: tuple[Segment, ...]) -> None:
        await self._take_ids(self._rendering.environment, segments)

    def _forget(self) -> None:
        """Makes the context anew. Where it can be cropped, what it begins with as before stays, and the rest goes with the next append."""
        if self._drafts is not None:
            self._drafts.again()
        segments = shown(self.state.transcript, self.state.turned, self.state.shown)
        had, self._ids, self._rendering = [*self._ids, *self._past], [], Rendering(self._renderer)
        self._past = had if isinstance(self._context, Croppable) else []
        self._start(self._take_ids(self._rendering.take, segments) if self._past else self._renew(segments))

    async def _renew(self, segments: tuple[Segment, ...]) -> None:
        """Makes the context anew, from the prompt on: what the model's engine kept for the old one is given back first."""
        try:
            async with asyncio.timeout(self.limits.model_s):
                self._context.close()
                opening: Future[LiveContext] = self._model.open(self.prompt_ids, self._seed)
                try:
                    self._context = await asyncio.wrap_future(opening)
                except BaseException:
                    opening.add_done_callback(_close_late)
                    raise
        except Exception as error:
            await self._put(_Broke(self.clock.now_ns(), error, None))
        else:
            await self._take_ids(self._rendering.take, segments)

    async def _take_ids(self, render: Callable[[tuple[Segment, ...]], Sequence[int]], segments: tuple[Segment, ...]) -> None:
        """Has the model take in what is told it; what its context holds of that from a thrown away attempt, it keeps."""
        try:
            async with asyncio.timeout(self.limits.model_s):
                ids = await off_loop(render, segments, over=[segment.text for segment in segments])
                again = common(ids, self._past)
                keeps = again == len(ids)
                self._ids += ids
                if self._past and not keeps and isinstance(self._context, Croppable):
                    self._context.crop(len(self.prompt_ids) + len(self._ids) - len(ids) + again)
                self._past = self._past[again:] if keeps else []
                await asyncio.wrap_future(self._context.append(ids[again:]))
        except Exception as error:
            await self._put(_Broke(self.clock.now_ns(), error, None))
        else:
            await self._put(Appended(self.clock.now_ns(), len(ids)))

    def _write(self, generation: int) -> None:
        header = self._rendering.header()
        span = self._span = _Span(generation, len(header), self._renderer.decoder())
        loop, clock = self._loop, self.clock

        def on_token(token: int | Exception) -> None:
            loop.call_soon_threadsafe(span.tokens.put_nowait, (clock.now_ns(), token))

        span.task = self._start(self._listen(span))
        try:
            if self._past and isinstance(self._context, Croppable):
                self._context.crop(len(self.prompt_ids) + len(self._ids))
                self._past = []
            foreseen = self._drafts.ids(()) if self._drafts is not None else ()
            self._context.write(header, self.state, on_token, *([foreseen] if foreseen else []))
        except Exception as error:  # a grammar or a backend that fails before its first token
            on_token(error)

    async def _listen(self, span: _Span) -> None:
        """Brings a generation's tokens to the inbox; the model runs on as the core takes them."""
        while True:
            try:
                async with asyncio.timeout(self.limits.model_s):
                    at_ns, token = await span.tokens.get()
            except TimeoutError as error:
                return await self._put(_Broke(self.clock.now_ns(), error, span))
            if isinstance(token, Exception):
                return await self._put(_Broke(at_ns, token, span))
            if isinstance(token, int) and token in self._model.end_ids:
                return await self._put(ModelEnded(at_ns, span.generation))
            if not isinstance(token, int) or not 0 <= token < self._vocabulary:
                strange = ValueError(f"the model wrote token {token!r}, and the tokenizer has {self._vocabulary}; load its own")
                return await self._put(_Broke(at_ns, strange, span))
            span.ids.append(token)
            await self._put(ModelOutput(at_ns, span.generation, span.decoder.push(token), (token,)))

    def _tell_model(self, what: Callable[..., None], *args: Any) -> None:
        """Calls a backend that may be anybody's: what it raises ends this session, as the model's failure."""
        try:
            what(*args)
        except Exception as error:
            self.failure = self.failure or error
            self._start(self._put(_Broke(self.clock.now_ns(), error, None)))

    def _stop(self, keep: int) -> None:
        span, self._span = self._span, None
        if span is not None:
            if span.task is not None:
                span.task.cancel()
            if self._drafts is not None:
                self._drafts.wrote(span.ids[:keep])
            self._ids += self._rendering.model(span.ids[:keep])
            self._tell_model(self._context.stop, keep)

    # -- tools -------------------------------------------------------------------------------------------------

    async def _tool(self, start: StartTool) -> None:
        """Runs one call: a result, an error or a time-out comes of it, whatever the tool does."""
        try:
            run = self._launch(start)
        except Exception as error:
            return await self._put(failed(error).event(start, self.clock.now_ns()))
        work = run.work
        try:
            await asyncio.wait((work,), timeout=start.timeout_ns / NS_PER_S)
            if not work.done():
                why = f"no answer within {start.timeout_ns / NS_PER_S:g} s"
                await self._put(ToolError(self.clock.now_ns(), start.call, start.version, why, "timeout"))
                if self.state.tools[start.name].access != "write":
                    return
                # a write cut off half-way is worse than a late one, and the core takes a late answer
                await asyncio.wait((work,), timeout=self.limits.idle_s)
            if work.done():
                outcome = Outcome(kind="crashed", message="cancelled itself") if work.cancelled() else work.result()
                await self._put(outcome.event(start, self.clock.now_ns()))
        finally:
            await self._leave(run)

    async def _leave(self, run: Run) -> None:
        self.abandoned += await run.leave(self.limits.cancel_s)

    def _launch(self, start: StartTool) -> Run:
        if self._drafts is not None:
            return self._reads.asked(start)
        return Run(launch(self._toolbox, start.name, start.args, start.key))


def merged(old: UserUpdate, new: UserUpdate) -> UserUpdate:
    """Two updates as one: what the second takes back is gone before anybody saw it."""
    words = old.text.split()
    kept = words[: max(0, len(words) - new.retracts)]
    text = " ".join([*kept, *new.text.split()])
    return UserUpdate(new.at_ns, text, new.final, old.retracts + max(0, new.retracts - len(words)))


def _close_late(opening: Future[LiveContext]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
