"""A session's context in a model that another thread runs: every method only leaves a request at the thread's desk.

Owns the requests, the desk, and what a request does to one context. Does not know when the thread takes them, and how
it computes for many contexts at once (`midsentence.models.worker`).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from midsentence.core.state import State
from midsentence.models.live import OnToken
from midsentence.models.model import Constraint, Grammar, Model, Stream, Verifies
from midsentence.tools.tool import described


@dataclass(slots=True)
class Append:
    """Ids on their way into a context."""

    context: WorkerContext
    """What takes them in."""
    ids: Sequence[int]
    """In order."""
    done: Future[None] = field(default_factory=Future)
    """Done when they are in."""

    @property
    def stream(self) -> Stream:
        """The context inside the model."""
        return self.context.stream


@dataclass(slots=True)
class Open:
    """A context to be."""

    prompt_ids: Sequence[int]
    """What it begins with."""
    seed: int
    """Of its sampling."""
    done: Future[WorkerContext] = field(default_factory=Future)
    """Gives it."""


@dataclass(slots=True)
class Writing:
    """A generation under way."""

    on_token: OnToken
    """Who gets the tokens."""
    constraint: Constraint | None
    """Its grammar; None without one."""
    header: int
    """Tokens of the header."""
    mark: int = 0
    """Length of the context before the header."""
    written: list[int] = field(default_factory=list)
    """What was sent, its end apart."""
    sent: int = 0
    """Tokens that were given to the session."""
    taken: int = 0
    """How many of those it has taken in."""
    foreseen: tuple[int, Sequence[int]] | None = None
    """After how many tokens which are likely to come."""


Request = Open | Append | Callable[[], None]
"""What is left at a desk: a context to be, ids for one, or work for the thread."""


class Desk:
    """Where contexts and the thread that runs their model meet: what is asked, in that order, and who writes."""

    def __init__(self, model: Model, grammar: Grammar | None) -> None:
        self.model, self.grammar = model, grammar
        self.writers: dict[WorkerContext, None] = {}
        """The contexts that write, in the order in which they began. Touched by the thread alone."""
        self.closed: Exception | None = None
        """Why nothing can be asked any more, or None."""
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._gate = threading.Lock()

    def ask(self, *requests: Request) -> None:
        """Leaves requests for the thread, which takes them in this order. A closed desk fails those with a future."""
        with self._gate:
            closed = self.closed
            if closed is None:
                for request in requests:
                    self._requests.put(request)
                return
        for request in requests:
            if isinstance(request, Open | Append):
                _fail(request, closed)

    def close(self, why: Exception) -> None:
        """Takes no more requests; the first reason stands."""
        with self._gate:
            self.closed = self.closed or why

    def ring(self) -> None:
        """Leaves the thread the word that it is to end."""
        self._requests.put(None)

    @property
    def empty(self) -> bool:
        """Whether there is no request."""
        return self._requests.empty()

    def take(self) -> Request | None:
        """The next request, which it waits for; None is the end."""
        return self._requests.get()

    def clear(self) -> None:
        """The thread is at its end: who writes is told why, and what was asked fails."""
        for context in self.writers:
            if context.writing is not None and self.closed is not None:
                deliver(context.writing, self.closed)
        self.writers.clear()
        while not self.empty:
            if isinstance(request := self.take(), Open | Append) and self.closed is not None:
                _fail(request, self.closed)


class WorkerContext:
    """A `LiveContext` of a `midsentence.models.worker.ModelWorker`."""

    def __init__(self, desk: Desk, stream: Stream) -> None:
        self._desk, self._stream = desk, stream
        self.foresees = isinstance(desk.model, Verifies)
        """See `midsentence.models.live.Foreseeing`."""
        self.writing: Writing | None = None
        """Touched by the thread alone, but for the count of tokens taken, and for what is foreseen."""
        self.failure: Exception | None = None
        """What the model raised outside of an append and a step, or None: whatever is asked for next fails with it."""

    @property
    def stream(self) -> Stream:
        """The context inside the model; the thread alone may change it."""
        return self._stream

    @property
    def begun(self) -> Writing:
        """What is being written, of a context that writes."""
        assert self.writing is not None
        return self.writing

    def append(self, ids: Sequence[int]) -> Future[None]:
        """See `LiveContext`."""
        request = Append(self, tuple(ids))
        self._desk.ask(request)
        return request.done

    def write(self, header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
        """See `LiveContext`."""
        begun, grammar = Writing(on_token, None, len(header)), self._desk.grammar
        if foreseen:
            begun.foreseen = 0, tuple(foreseen)
        taken_in = Append(self, tuple(header))

        def mark() -> None:
            begun.mark = self._stream.length

        def begin() -> None:
            if taken_in.done.exception() is not None:
                return
            try:
                begun.constraint = grammar.begin(state) if grammar is not None else None
            except BaseException as error:
                deliver(begun, failure(error))
                return
            self.writing = begun
            self._desk.writers[self] = None

        def told(done: Future[None]) -> None:
            if (error := done.exception()) is not None:
                deliver(begun, failure(error))

        taken_in.done.add_done_callback(told)
        self._desk.ask(lambda: self._try(mark), taken_in, begin)

    def took(self, foreseen: Sequence[int] = ()) -> None:
        """See `LiveContext`."""
        writing = self.writing
        if writing is not None:
            if foreseen:
                writing.foreseen = writing.taken + 1, tuple(foreseen)
            writing.taken += 1
            self._desk.ask(lambda: None)  # wakes the thread, if it waits for this

    def crop(self, length: int) -> None:
        """See `Croppable`."""
        self._desk.ask(lambda: self._try(lambda: self._crop(length)))

    def stop(self, keep: int) -> None:
        """See `LiveContext`."""
        self._desk.ask(lambda: self._try(lambda: self._stop(keep)))

    def close(self) -> None:
        """See `LiveContext`."""
        self._desk.ask(lambda: self._try(self._close))

    def _try(self, work: Callable[[], None]) -> None:
        """Work of this context alone, in the thread: one whose model fails is no longer to be trusted, the others
        are."""
        try:
            work()
        except BaseException as error:
            self.failure = self.failure or failure(error)
            self._desk.writers.pop(self, None)

    def _stop(self, keep: int) -> None:
        self._desk.writers.pop(self, None)
        writing, self.writing = self.writing, None
        if writing is not None:
            length = writing.mark + (writing.header + keep if keep else 0)
            if length < self._stream.length:
                self._desk.model.crop(self._stream, length)

    def _crop(self, length: int) -> None:
        if length < self._stream.length:
            self._desk.model.crop(self._stream, length)

    def _close(self) -> None:
        self._desk.writers.pop(self, None)
        self.writing = None
        self._desk.model.close(self._stream)


def failure(error: BaseException) -> Exception:
    """What a backend raised, as an error: a panic of a Rust library (a tokenizer, a grammar) is no `Exception`."""
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {described(error)}")


def deliver(writing: Writing, token: int | Exception) -> bool:
    """Gives a token, or why there will be none; whether anybody listens."""
    try:
        writing.on_token(token)
    except RuntimeError:  # the session's loop is closed
        return False
    return True


def _fail(request: Open | Append, error: Exception) -> None:
    if request.done.set_running_or_notify_cancel():
        request.done.set_exception(error)
