"""The model of a live session: its context, and what is being written in it.

Owns what the context holds and what it must take in, the generation under way, and deadlines for the model. Does not
know what the core makes of what is written, and how a model computes (`midsentence.models.live`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from midsentence.core.events import Appended, Event, ModelEnded, ModelOutput
from midsentence.core.state import State
from midsentence.core.transcript import Segment
from midsentence.models.live import Croppable, Foreseeing, LiveContext, LiveModel
from midsentence.models.model import common
from midsentence.rendering.renderer import Renderer, Rendering
from midsentence.shells.drafts import Drafts
from midsentence.shells.inbox import Broke, Inbox
from midsentence.tools.bulk import off_loop


@dataclass(slots=True)
class Span:
    """A generation under way."""

    generation: int
    """Its number, by which the core knows it."""
    decoder: Any
    """Makes text of its ids."""
    tokens: asyncio.Queue[tuple[int, int | Exception]] = field(default_factory=asyncio.Queue)
    """(when, token or failure), as the model's thread writes them; the model runs only a few tokens ahead."""
    ids: list[int] = field(default_factory=list)
    """What has been brought to the inbox."""
    taken: int = 0
    """How many of those the core has taken in."""
    task: asyncio.Task[None] | None = None
    """Brings its tokens to the inbox."""


class LiveWriter:
    """One session's context in a model, and the one generation that may be under way there."""

    def __init__(
        self,
        model: LiveModel,
        renderer: Renderer,
        prompt_ids: Sequence[int],
        seed: int,
        inbox: Inbox,
        drafts: Drafts | None,
        failed: Callable[[Exception], None],
    ) -> None:
        """Nothing is opened before `open`.

        Args:
            model: shared by any number of sessions.
            renderer: made for its tokenizer.
            prompt_ids: what the context begins with.
            seed: of sampling.
            inbox: where what is written is put.
            drafts: of a session that is verified.
            failed: called with what the model's backend raised where it should only have been told something.
        """
        self._model, self._renderer, self._prompt_ids, self._seed = model, renderer, prompt_ids, seed
        self._inbox, self._drafts, self._failed = inbox, drafts, failed
        self._rendering, self._vocabulary = Rendering(renderer), renderer.vocabulary_size
        self._span: Span | None = None
        self._ids: list[int] = []
        """All that counts of the context behind the prompt, as far as it was asked of the model."""
        self._past: list[int] = []
        """What the context still holds behind that, of an attempt that was thrown away."""
        self.context: LiveContext

    async def open(self) -> None:
        """Opens the context.

        Raises:
            TimeoutError: the model took too long.
            Exception: what it raised.
        """
        opening: Future[LiveContext] = self._model.open(self._prompt_ids, self._seed)
        async with asyncio.timeout(self._inbox.limits.model_s):
            await self._take_over(opening)

    async def _take_over(self, opening: Future[LiveContext]) -> None:
        try:
            self.context = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close_late)
            raise

    def append(self, segments: tuple[Segment, ...]) -> None:
        """Takes in what the environment wrote."""
        self._inbox.start(self._append(segments))

    async def _append(self, segments: tuple[Segment, ...]) -> None:
        await self._take_ids(self._rendering.environment, segments)

    def renew(self, segments: tuple[Segment, ...]) -> None:
        """Makes the context anew. Where it can be cropped, what it begins with as before stays, and the rest goes with
        the next append."""
        if self._drafts is not None:
            self._drafts.again()
        had, self._ids, self._rendering = [*self._ids, *self._past], [], Rendering(self._renderer)
        self._past = had if isinstance(self.context, Croppable) else []
        self._inbox.start(self._take_ids(self._rendering.take, segments) if self._past else self._reopen(segments))

    async def _reopen(self, segments: tuple[Segment, ...]) -> None:
        """Makes the context anew, from the prompt on: what the model's engine kept for the old one is given back
        first."""
        try:
            async with asyncio.timeout(self._inbox.limits.model_s):
                self.context.close()
                await self._take_over(self._model.open(self._prompt_ids, self._seed))
        except Exception as error:
            await self._inbox.put(Broke(self._inbox.clock.now_ns(), error, None))
        else:
            await self._take_ids(self._rendering.take, segments)

    async def _take_ids(
        self, render: Callable[[tuple[Segment, ...]], Sequence[int]], segments: tuple[Segment, ...]
    ) -> None:
        """Has the model take in what is told it; what its context holds of that from a thrown away attempt, it
        keeps."""
        try:
            async with asyncio.timeout(self._inbox.limits.model_s):
                ids = await off_loop(render, segments, over=[segment.text for segment in segments])
                again = common(ids, self._past)
                keeps = again == len(ids)
                self._ids += ids
                if self._past and not keeps and isinstance(self.context, Croppable):
                    self.context.crop(len(self._prompt_ids) + len(self._ids) - len(ids) + again)
                self._past = self._past[again:] if keeps else []
                await asyncio.wrap_future(self.context.append(ids[again:]))
        except Exception as error:
            await self._inbox.put(Broke(self._inbox.clock.now_ns(), error, None))
        else:
            await self._inbox.put(Appended(self._inbox.clock.now_ns(), len(ids)))

    def write(self, generation: int, state: State) -> None:
        """A generation begins, in this state of the core."""
        header = self._rendering.header()
        span = self._span = Span(generation, self._renderer.decoder())
        loop, clock = asyncio.get_running_loop(), self._inbox.clock

        def on_token(token: int | Exception) -> None:
            loop.call_soon_threadsafe(span.tokens.put_nowait, (clock.now_ns(), token))

        span.task = self._inbox.start(self._listen(span))
        try:
            if self._past and isinstance(self.context, Croppable):
                self.context.crop(len(self._prompt_ids) + len(self._ids))
                self._past = []
            foreseen = self._foreseen(())
            self.context.write(header, state, on_token, *([foreseen] if foreseen else []))
        except Exception as error:  # a grammar or a backend that fails before its first token
            on_token(error)

    def _foreseen(self, written: Sequence[int]) -> Sequence[int]:
        """What is likely to come next, for a context that can read it in one pass."""
        reads = not isinstance(self.context, Foreseeing) or self.context.foresees
        return self._drafts.ids(written) if self._drafts is not None and reads else ()

    def is_under_way(self, span: object) -> bool:
        """Whether a generation has not ended."""
        return span is self._span

    def taken(self, event: Event) -> Span | None:
        """The core takes an event in. The generation under way, if the event is of it."""
        span = self._span
        if span is None or not isinstance(event, ModelOutput) or span.generation != event.generation:
            return None
        span.taken += len(event.ids)
        return span

    def go_on(self, span: Span) -> None:
        """The core has taken a token in; its generation, if nothing has ended it, runs on."""
        if span is self._span:
            foreseen = self._foreseen(span.ids[: span.taken])
            self._tell(self.context.took, *([foreseen] if foreseen else []))

    def stop(self, keep: int) -> None:
        """The generation ends; its first ``keep`` tokens stand."""
        span, self._span = self._span, None
        if span is not None:
            if span.task is not None:
                span.task.cancel()
            if self._drafts is not None:
                self._drafts.wrote(span.ids[:keep])
            self._ids += self._rendering.model(span.ids[:keep])
            self._tell(self.context.stop, keep)

    def _tell(self, what: Callable[..., None], *args: Any) -> None:
        """Calls a backend that may be anybody's."""
        try:
            what(*args)
        except Exception as error:
            self._failed(error)

    async def _listen(self, span: Span) -> None:
        """Brings a generation's tokens to the inbox; the model runs on as the core takes them."""
        while True:
            try:
                async with asyncio.timeout(self._inbox.limits.model_s):
                    at_ns, token = await span.tokens.get()
            except TimeoutError as error:
                return await self._inbox.put(Broke(self._inbox.clock.now_ns(), error, span))
            if isinstance(token, Exception):
                return await self._inbox.put(Broke(at_ns, token, span))
            if isinstance(token, int) and token in self._model.end_ids:
                return await self._inbox.put(ModelEnded(at_ns, span.generation))
            if not isinstance(token, int) or not 0 <= token < self._vocabulary:
                strange = ValueError(
                    f"the model wrote token {token!r}, and the tokenizer has {self._vocabulary}; load its own"
                )
                return await self._inbox.put(Broke(at_ns, strange, span))
            span.ids.append(token)
            await self._inbox.put(ModelOutput(at_ns, span.generation, span.decoder.push(token), (token,)))


def _close_late(opening: Future[LiveContext]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
