"""A model in a thread of its own, for every session of a process.

Owns who computes when: one decode step for all contexts that write, appends in one pass between steps; and that a
context whose model fails takes no other with it. Does not know events, tools and the core's rules, and awaits nothing.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from midsentence.models.live import ContextFull
from midsentence.models.model import LEAST_FORESEEN, Bounded, Grammar, Model, Stream, Verifies
from midsentence.models.worker_context import Append, Desk, Open, WorkerContext, deliver, failure
from midsentence.tools.tool import described


class ModelWorker:
    """One thread that runs a `Model` for any number of sessions. Use it as a context manager, or `close` it."""

    def __init__(self, model: Model, *, grammar: Grammar | None = None, lead_tokens: int = 4) -> None:
        """Starts the thread.

        Args:
            model: used by the thread alone from now on.
            grammar: constrains what is written; None lets the model write anything.
            lead_tokens: how far generations that share steps may run ahead of their sessions, so that none misses a
                step for being a moment late. One that writes alone never does: what is written after an action's end is
                in vain.
        """
        if lead_tokens < 1:
            raise ValueError(f"lead_tokens is {lead_tokens}; it must be at least 1")
        self.model, self.lead_tokens, self.end_ids = model, lead_tokens, model.end_ids
        self.desk = Desk(model, grammar)
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
        request = Open(tuple(prompt_ids), seed)
        self.desk.ask(request)
        return request.done

    def close(self, timeout_s: float = 5.0) -> None:
        """Ends the thread after the pass under way, and waits for that at most ``timeout_s``. Twice is harmless."""
        self.shut()
        self._thread.join(timeout_s)

    def shut(self) -> None:
        """`close` without the wait."""
        self.desk.close(RuntimeError("the model's worker is closed; open sessions while it runs"))
        self.desk.ring()

    # -- in the thread

    def _serve(self) -> None:
        try:
            while self._handle():
                self._step()
        except BaseException as error:  # a bug here, or the end of the interpreter: nobody may wait for ever
            self.desk.close(RuntimeError(f"the model's worker broke: {type(error).__name__}: {described(error)}"))
        finally:
            self.desk.clear()

    def _handle(self) -> bool:
        """Takes all requests there are, and waits for one if nothing can be written. False at the end."""
        idle = not self._ready()
        appends: list[Append] = []
        while idle or not self.desk.empty:
            request = self.desk.take()
            idle = False
            if isinstance(request, Append):
                appends.append(request)
                continue
            self._extend(appends)
            appends = []
            if request is None:
                return False
            if isinstance(request, Open):
                self._open(request)
            else:
                request()
        self._extend(appends)
        return True

    def _open(self, request: Open) -> None:
        if not request.done.set_running_or_notify_cancel():
            return
        try:
            stream = self.model.open(request.prompt_ids, seed=request.seed)
        except BaseException as error:
            request.done.set_exception(failure(error))
        else:
            request.done.set_result(WorkerContext(self.desk, stream))

    def _ready(self) -> list[WorkerContext]:
        """The contexts that may write a token now."""
        lead = self.lead_tokens if len(self.desk.writers) > 1 else 1
        return [context for context in self.desk.writers if context.begun.sent - context.begun.taken < lead]

    def _extend(self, appends: Sequence[Append]) -> None:
        wanted = [append for append in appends if append.done.set_running_or_notify_cancel()]
        fitting = []
        for append in wanted:
            if (error := append.context.failure or self._overflow(append.stream, len(append.ids))) is not None:
                append.done.set_exception(error)
            elif append.ids:
                fitting.append(append)
            else:
                append.done.set_result(None)
        groups = (
            [fitting] if len({id(append.stream) for append in fitting}) == len(fitting) else [[one] for one in fitting]
        )
        for group in groups:
            self._extend_group(group)

    def _extend_group(self, group: Sequence[Append]) -> None:
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
                    append.done.set_exception(failure(error))
        else:
            for append in group:
                append.done.set_result(None)

    def _overflow(self, stream: Stream, more: int) -> Exception | None:
        if not isinstance(self.model, Bounded):
            return None
        most = self.model.max_tokens
        try:
            if stream.length + more <= most:
                return None
        except BaseException as error:
            return failure(error)
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
                raise ValueError(
                    f"the model gave {len(tokens)} tokens for {len(streams)} contexts; it must give one for each"
                )
            return [*tokens]
        except BaseException as error:
            if len(contexts) == 1:
                return [failure(error)]
            # one that fails must not take the others with it; who has a token already that nobody saw can't go on
            same = [self._length(context) == length for context, length in zip(contexts, lengths)]
            return [self._decode([context])[0] if fits else failure(error) for context, fits in zip(contexts, same)]

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
            self._give(context, failure(error))
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
        if list(ids[: len(since)]) != since or len(ids) - len(since) < LEAST_FORESEEN:
            return False
        rest = ids[len(since) :]
        try:
            if self._overflow(context.stream, len(rest)) is not None:
                return False
            right = model.verify(context.stream, rest, writing.constraint)
        except BaseException as error:
            self._give(context, failure(error))
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
                token = failure(error)
        if not deliver(writing, token) or isinstance(token, Exception) or token in self.end_ids:
            self.desk.writers.pop(context, None)  # nobody listens, or there is no more to say; `stop` crops
