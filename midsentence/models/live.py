"""Models that write on their own time: a worker thread over a `Model`, and a planner paced like a device.

Owns the two interfaces that a live session needs (`LiveModel`, `LiveContext`), and who computes when: the worker serves
every session of a process from one thread, one decode step for all contexts that write, appends in one pass between
steps. Does not know events, tools and the core's rules, and awaits nothing: it answers with futures and callbacks.
"""

from __future__ import annotations

import operator
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from midsentence.clock import NS_PER_S, Profile
from midsentence.core.state import State
from midsentence.models.model import Constraint, Model, Stream, Verifies, common
from midsentence.rendering.renderer import Renderer
from midsentence.shells.drafts import LEAST_FORESEEN
from midsentence.shells.virtual import Grammar, Planner
from midsentence.tools.tool import described

OnToken = Callable[[int | Exception], None]
"""Takes the next token of a generation, or why there will be none. Called from any thread; must not block."""


class ContextFull(Exception):
    """The context would grow past what the model takes."""

    def __init__(self, why: str, most_tokens: int = 0) -> None:
        """Says why, and how many tokens a context has at the most; 0 where that is not known."""
        super().__init__(why)
        self.most_tokens = most_tokens


class LiveContext(Protocol):
    """One session's context. What is asked of it happens in the order in which it was asked."""

    def append(self, ids: Sequence[int]) -> Future[None]:
        """Takes in ids. Fails with `ContextFull`, or with what the model raised."""
        ...

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """Starts writing after ``header``, the switch to the model's turn; ``on_token`` gets the tokens until `stop`.

        Args:
            header: ids.
            state: the session's.
            on_token: see `OnToken`.
            foreseen: as in `took`.
        """
        ...

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """The session has taken a token: the model may run on. It is never more than a few tokens ahead.

        Args:
            foreseen: ids that are likely to come next. What of them the model would have written anyway it may read in one pass; the
                tokens that come are the same, and a context that can't do so writes on. Sessions in a mode that is verified give some.
        """
        ...

    def stop(self, keep: int) -> None:
        """Stops writing, and forgets all but the first ``keep`` tokens after the header; with none kept, the header too."""
        ...

    def close(self) -> None:
        """Stops, and gives the context's memory back. Closing twice is harmless."""
        ...


@runtime_checkable
class Croppable(Protocol):
    """What a context may have besides; one that lacks it is closed, and another is filled anew."""

    def crop(self, length: int) -> None:
        """Forgets all but the first ``length`` tokens, the prompt's included; nothing is being written."""
        ...


class LiveModel(Protocol):
    """A model that live sessions share."""

    end_ids: frozenset[int]
    """Tokens by which the model ends its turn of itself."""

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[Any]:
        """A new `LiveContext` that begins with ``prompt_ids``."""
        ...


# -- a model in a thread of its own ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Append:
    """Ids on their way into a context."""

    context: WorkerContext
    ids: Sequence[int]
    done: Future[None] = field(default_factory=Future)

    @property
    def stream(self) -> Stream:
        return self.context.stream


@dataclass(slots=True)
class _Open:
    """A context to be."""

    prompt_ids: Sequence[int]
    seed: int
    done: Future[WorkerContext] = field(default_factory=Future)


@dataclass(slots=True)
class _Writing:
    """A generation under way."""

    on_token: OnToken
    constraint: Constraint | None
    header: int
    """Tokens of the header."""
    mark: int = 0
    """Length of the context before the header."""
    written: list[int] = field(default_factory=list)
    """What was sent, its end apart."""
    sent: int = 0
    taken: int = 0
    foreseen: tuple[int, Sequence[int]] | None = None
    """After how many tokens which are likely to come."""


class WorkerContext:
    """A context of a `ModelWorker`: every method only leaves a request with the worker's thread."""

    def __init__(self, worker: ModelWorker, stream: Stream) -> None:
        self._worker, self._stream = worker, stream
        self.writing: _Writing | None = None
        """Touched by the worker's thread alone, but for the count of tokens taken, and for what is foreseen."""
        self.failure: Exception | None = None
        """What the model raised outside of an append and a step, or None: whatever is asked for next fails with it."""

    @property
    def stream(self) -> Stream:
        """The context inside the model; the worker's thread alone may change it."""
        return self._stream

    @property
    def begun(self) -> _Writing:
        """What is being written, of a context that writes."""
        assert self.writing is not None
        return self.writing

    def append(self, ids: Sequence[int]) -> Future[None]:
        """See `LiveContext`."""
        request = _Append(self, tuple(ids))
        self._worker.ask(request)
        return request.done

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """See `LiveContext`."""
        begun, grammar = _Writing(on_token, None, len(header)), self._worker.grammar
        if foreseen:
            begun.foreseen = 0, tuple(foreseen)
        taken_in = _Append(self, tuple(header))

        def mark() -> None:
            begun.mark = self._stream.length

        def begin() -> None:
            if taken_in.done.exception() is not None:
                return
            try:
                begun.constraint = grammar.begin(state) if grammar is not None else None
            except BaseException as error:
                _deliver(begun, _failure(error))
                return
            self.writing = begun
            self._worker.contexts[self] = None

        def told(done: Future[None]) -> None:
            if (error := done.exception()) is not None:
                _deliver(begun, _failure(error))

        taken_in.done.add_done_callback(told)
        self._worker.ask(lambda: self._try(mark), taken_in, begin)

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """See `LiveContext`."""
        writing = self.writing
        if writing is not None:
            if foreseen:
                writing.foreseen = writing.taken + 1, tuple(foreseen)
            writing.taken += 1
            self._worker.ask(lambda: None)  # wakes the thread, if it waits for this

    def crop(self, length: int) -> None:
        """See `Croppable`."""
        self._worker.ask(lambda: self._try(lambda: self._crop(length)))

    def stop(self, keep: int) -> None:
        """See `LiveContext`."""
        self._worker.ask(lambda: self._try(lambda: self._stop(keep)))

    def close(self) -> None:
        """See `LiveContext`."""
        self._worker.ask(lambda: self._try(self._close))

    def _try(self, work: Callable[[], None]) -> None:
        """Work of this context alone, in the worker's thread: one whose model fails is no longer to be trusted, the others are."""
        try:
            work()
        except BaseException as error:
            self.failure = self.failure or _failure(error)
            self._worker.contexts.pop(self, None)

    def _stop(self, keep: int) -> None:
        self._worker.contexts.pop(self, None)
        writing, self.writing = self.writing, None
        if writing is not None:
            length = writing.mark + (writing.header + keep if keep else 0)
            if length < self._stream.length:
                self._worker.model.crop(self._stream, length)

    def _crop(self, length: int) -> None:
        if length < self._stream.length:
            self._worker.model.crop(self._stream, length)

    def _close(self) -> None:
        self._worker.contexts.pop(self, None)
        self.writing = None
        self._worker.model.close(self._stream)


class ModelWorker:
    """One thread that runs a `Model` for any number of sessions. Use it as a context manager, or `close` it."""

    def __init__(self, model: Model, *, grammar: Grammar | None = None, lead_tokens: int = 4) -> None:
        """Starts the thread.

        Args:
            model: used by the thread alone from now on.
            grammar: constrains what is written; None lets the model write anything.
            lead_tokens: how far generations that share steps may run ahead of their sessions, so that none misses a step
                for being a moment late. One that writes alone never does: what is written after an action's end is in vain.
        """
        if lead_tokens < 1:
            raise ValueError(f"lead_tokens is {lead_tokens}; it must be at least 1")
        self.model, self.grammar, self.lead_tokens = model, grammar, lead_tokens
        self.end_ids = model.end_ids
        self.contexts: dict[WorkerContext, None] = {}
        """Those that write, in the order in which they began."""
        self._requests: queue.SimpleQueue[_Open | _Append | Callable[[], None] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed: Exception | None = None
        # a daemon: a pass that never ends must not keep the process from ending
        self._thread = threading.Thread(target=self._serve, name="model worker", daemon=True)
        self._thread.start()

    def __enter__(self) -> ModelWorker:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[WorkerContext]:
        """A new context; the future fails with what the model raised."""
        request = _Open(tuple(prompt_ids), seed)
        self.ask(request)
        return request.done

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends the thread after the pass under way, and waits for that at most ``timeout_s``. Twice is harmless."""
        self.shut()
        self._thread.join(timeout_s)

    def shut(self) -> None:
        """`close` without the wait."""
        self._refuse(RuntimeError("the model's worker is closed; open sessions while it runs"))
        self._requests.put(None)

    def ask(self, *requests: _Open | _Append | Callable[[], None]) -> None:
        """Leaves requests for the thread, which takes them in this order. A closed worker fails those with a future."""
        with self._gate:
            closed = self._closed
            if closed is None:
                for request in requests:
                    self._requests.put(request)
                return
        for request in requests:
            if isinstance(request, _Open | _Append):
                _fail(request, closed)

    # -- in the thread

    def _serve(self) -> None:
        try:
            while self._handle():
                self._step()
        except BaseException as error:  # a bug here, or the end of the interpreter: nobody may wait for ever
            self._refuse(RuntimeError(f"the model's worker broke: {type(error).__name__}: {described(error)}"))
        finally:
            for context in self.contexts:
                if context.writing is not None and self._closed is not None:
                    _deliver(context.writing, self._closed)
            self.contexts.clear()
            while not self._requests.empty():
                if isinstance(request := self._requests.get(), _Open | _Append) and self._closed is not None:
                    _fail(request, self._closed)

    def _refuse(self, why: Exception) -> None:
        with self._gate:
            self._closed = self._closed or why

    def _handle(self) -> bool:
        """Takes all requests there are, and waits for one if nothing can be written. False at the end."""
        idle = not self._ready()
        appends: list[_Append] = []
        while idle or not self._requests.empty():
            request = self._requests.get()
            idle = False
            if isinstance(request, _Append):
                appends.append(request)
                continue
            self._extend(appends)
            appends = []
            if request is None:
                return False
            if isinstance(request, _Open):
                self._open(request)
            else:
                request()
        self._extend(appends)
        return True

    def _open(self, request: _Open) -> None:
        if not request.done.set_running_or_notify_cancel():
            return
        try:
            stream = self.model.open(request.prompt_ids, seed=request.seed)
        except BaseException as error:
            request.done.set_exception(_failure(error))
        else:
            request.done.set_result(WorkerContext(self, stream))

    def _ready(self) -> list[WorkerContext]:
        """The contexts that may write a token now."""
        lead = self.lead_tokens if len(self.contexts) > 1 else 1
        return [context for context in self.contexts if context.begun.sent - context.begun.taken < lead]

    def _extend(self, appends: Sequence[_Append]) -> None:
        wanted = [append for append in appends if append.done.set_running_or_notify_cancel()]
        fitting = []
        for append in wanted:
            if (error := append.context.failure or self._overflow(append.stream, len(append.ids))) is not None:
                append.done.set_exception(error)
            elif append.ids:
                fitting.append(append)
            else:
                append.done.set_result(None)
        groups = [fitting] if len({id(append.stream) for append in fitting}) == len(fitting) else [[one] for one in fitting]
        for group in groups:
            self._extend_group(group)

    def _extend_group(self, group: Sequence[_Append]) -> None:
        if not group:
            return
        lengths = [self._length(append.context) for append in group]
        try:
            self.model.append([(append.stream, append.ids) for append in group])
        except BaseException as error:
            for append, length in zip(group, lengths):
                if len(group) > 1 and self._length(append.context) == length:
                    self._extend_group([append])  # one that fails must not take the others with it
                else:
                    append.done.set_exception(_failure(error))
        else:
            for append in group:
                append.done.set_result(None)

    def _overflow(self, stream: Stream, more: int) -> Exception | None:
        most = getattr(self.model, "max_tokens", None)
        try:
            if most is None or stream.length + more <= most:
                return None
        except BaseException as error:
            return _failure(error)
        return ContextFull(f"the context has {stream.length} tokens, {more} more pass the model's {most}", most)

    def _step(self) -> None:
        """One token for every context that may write."""
        fitting = []
        for context in self._ready():
            if (error := self._overflow(context.stream, 1)) is not None:
                self._give(context, error)
            elif not self._force(context) and not self._verify(context):
                fitting.append(context)
        if fitting:
            for context, token in zip(fitting, self._decode(fitting), strict=True):
                self._give(context, token)

    def _length(self, context: WorkerContext) -> int | None:
        try:
            return context.stream.length
        except BaseException:  # then what is asked of the model fails too, and says so
            return None

    def _decode(self, contexts: Sequence[WorkerContext]) -> list[int | Exception]:
        streams, lengths = [context.stream for context in contexts], [self._length(context) for context in contexts]
        try:
            tokens = list(self.model.decode(streams, [context.begun.constraint for context in contexts]))
            if len(tokens) != len(streams):
                raise ValueError(f"the model gave {len(tokens)} tokens for {len(streams)} contexts; it must give one for each")
            return [*tokens]
        except BaseException as error:
            if len(contexts) == 1:
                return [_failure(error)]
            # one that fails must not take the others with it; who has a token already that nobody saw can't go on
            same = [self._length(context) == length for context, length in zip(contexts, lengths)]
            return [self._decode([context])[0] if fits else _failure(error) for context, fits in zip(contexts, same)]

    def _force(self, context: WorkerContext) -> bool:
        """Tokens that the grammar leaves no choice about are taken in, not decoded."""
        constraint = context.begun.constraint
        if constraint is None:
            return False
        try:
            if not (forced := tuple(constraint.forced())):
                return False
            if (full := self._overflow(context.stream, len(forced))) is not None:
                raise full
            self.model.append([(context.stream, forced)])
        except BaseException as error:
            self._give(context, _failure(error))
        else:
            for token in forced:
                self._give(context, token)
        return True

    def _verify(self, context: WorkerContext) -> bool:
        """What is foreseen is taken in as far as it would be written, in a pass of its own."""
        writing, model = context.begun, self.model
        given, writing.foreseen = writing.foreseen, None
        if given is None or not isinstance(model, Verifies):
            return False
        after, ids = given
        since = writing.written[after:]
        if list(ids[:len(since)]) != since or len(ids) - len(since) < LEAST_FORESEEN:
            return False
        rest = ids[len(since):]
        try:
            if self._overflow(context.stream, len(rest)) is not None:
                return False
            right = model.verify(context.stream, rest, writing.constraint)
        except BaseException as error:
            self._give(context, _failure(error))
            return True
        for token in rest[:right]:
            self._give(context, token, pushed=True)
        return right > 0

    def _give(self, context: WorkerContext, token: int | Exception, pushed: bool = False) -> None:
        writing = context.begun
        if not isinstance(token, Exception):
            try:
                token = operator.index(token)  # backends give what their arrays hold
            except TypeError:
                token = ValueError(f"the model gave {type(token).__name__} for a token; it must give an id")
        if isinstance(token, int):
            writing.sent += 1
            try:
                if token not in self.end_ids:
                    writing.written.append(token)
                    if writing.constraint is not None and not pushed:
                        writing.constraint.push(token)
            except BaseException as error:
                token = _failure(error)
        if not _deliver(writing, token) or isinstance(token, Exception) or token in self.end_ids:
            self.contexts.pop(context, None)  # nobody listens, or there is no more to say; `stop` crops


def _failure(error: BaseException) -> Exception:
    """What a backend raised, as an error: a panic of a Rust library (a tokenizer, a grammar) is no `Exception`."""
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {described(error)}")


def _deliver(writing: _Writing, token: int | Exception) -> bool:
    try:
        writing.on_token(token)
    except RuntimeError:  # the session's loop is closed
        return False
    return True


def _fail(request: _Open | _Append, error: Exception) -> None:
    if request.done.set_running_or_notify_cancel():
        request.done.set_exception(error)


# -- a planner in the model's place ------------------------------------------------------------------------------------

PLAN_END = -1
"""The token that ends a plan which holds no complete action."""

Later = Callable[[float, Callable[[], None]], Any]
"""Calls back after so many seconds: an event loop's ``call_later``."""


class PlannedModel:
    """A planner (the expert, a script) that writes and reads at a device's rates: no weights, and exact in fake time."""

    end_ids = frozenset({PLAN_END})

    def __init__(self, planner: Planner, renderer: Renderer, profile: Profile, later: Later) -> None:
        """One session's model: a planner serves one session.

        Args:
            planner: what is written; what it raises ends the session as failed.
            renderer: the session's.
            profile: how fast.
            later: the running loop's ``call_later``.
        """
        self.planner, self.renderer, self.profile, self.later = planner, renderer, profile, later

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[_PlannedContext]:
        """See `LiveModel`. The prompt is taken as read."""
        done: Future[_PlannedContext] = Future()
        done.set_result(_PlannedContext(self))
        return done


class _PlannedContext:
    def __init__(self, model: PlannedModel) -> None:
        self._model = model
        self._run = 0
        """Number of what is due; callbacks of earlier ones do nothing."""
        self._ids: Sequence[int] = ()
        self._given = 0
        self._taken = 0
        self._base = 0
        """Tokens from which on the clock of writing counts."""
        self._waits = False
        """Whether the next token is written, and the session has not taken the one before."""
        self._on_token: OnToken

    def append(self, ids: Sequence[int]) -> Future[None]:
        done: Future[None] = Future()

        def settle() -> None:
            if done.set_running_or_notify_cancel():
                done.set_result(None)

        self._model.later(self._model.profile.append_ns(len(ids)) / NS_PER_S, settle)
        return done

    def crop(self, length: int) -> None: ...

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        try:
            plan = self._model.planner.plan(state)
            if plan is None:
                raise ValueError("this planner leaves an action to a model; give the session one")
            ids = (*(self._model.renderer.action_ids(plan) if isinstance(plan, str) else plan), PLAN_END)
        except Exception as error:
            on_token(error)
            return
        self._ids, self._on_token = ids, on_token
        self._given, self._taken, self._base, self._waits = 0, 0, 0, False
        if foreseen:
            self._verify(foreseen)
        else:
            self._write_on()

    def took(self, foreseen: Sequence[int] = ()) -> None:
        self._taken += 1
        if self._waits:
            self._give(1)
        elif foreseen and self._taken == self._given:
            self._verify(foreseen)

    def stop(self, keep: int) -> None:
        self._run += 1

    def close(self) -> None:
        self._run += 1

    def _after(self, wait_ns: int, what: Callable[[], None]) -> None:
        """In the place of what was due."""
        self._run += 1
        run = self._run
        self._model.later(wait_ns / NS_PER_S, lambda: what() if run == self._run else None)

    def _write_on(self) -> None:
        if self._given < len(self._ids):
            n, profile = self._given - self._base, self._model.profile
            self._after(profile.token_end_ns(0, n + 1) - profile.token_end_ns(0, n), self._due)

    def _due(self) -> None:
        self._waits = self._taken < self._given
        if not self._waits:
            self._give(1)

    def _verify(self, foreseen: Sequence[int]) -> None:
        right = common(foreseen, self._ids[self._given:])
        self._base = self._given + right
        self._after(self._model.profile.append_ns(len(foreseen)), lambda: self._give(right))

    def _give(self, tokens: int) -> None:
        self._waits = False
        given, self._given = self._given, self._given + tokens
        run = self._run
        for id in self._ids[given:self._given]:
            self._on_token(id)
        if run == self._run:  # nobody has stopped it
            self._write_on()
