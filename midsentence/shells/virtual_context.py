"""The context of an episode: the ids behind its prompt, and how far a model's own context holds them.

Owns what the model has yet to read, and what it still holds of an attempt that was thrown away. Does not know times.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from midsentence.core.transcript import Segment
from midsentence.models.model import Model, Stream, common
from midsentence.rendering.renderer import Renderer, Rendering
from midsentence.shells.needs import NeedAppend


class EpisodeContext:
    """All that an episode's model has before it. Without a model it is only counted."""

    def __init__(self, renderer: Renderer, prompt_ids: Sequence[int]) -> None:
        self.renderer, self.prompt_ids = renderer, tuple(prompt_ids)
        self.model: Model | None = None
        self.stream: Stream | None = None
        self._rendering = Rendering(renderer)
        self._ids: list[int] = []
        """All ids after the prompt."""
        self.unread: list[int] = []
        """Those at its end that the model's context has not taken in yet."""
        self._past: list[int] = []
        """What the model's context still holds behind what counts of it: of an attempt that was thrown away."""

    def attach(self, model: Model, seed: int) -> Stream:
        """Opens the context in a model."""
        self.model, self.stream = model, model.open(self.prompt_ids, seed=seed)
        return self.stream

    def driven(self) -> tuple[Model, Stream]:
        """The model that writes, and its context: `midsentence.shells.batch.run_batch` has set both before it asks for
        the first token."""
        assert self.model is not None and self.stream is not None
        return self.model, self.stream

    def append(self, segments: Sequence[Segment]) -> tuple[int, int]:
        """Takes in what the environment wrote. How many tokens that is, and how many of them must be read."""
        ids = self._rendering.environment(segments)
        again = common(ids, self._past)
        self._settle(again)
        self._ids += ids
        self.unread += ids[again:]
        return len(ids), len(ids) - again

    def renew(self, segments: Sequence[Segment]) -> tuple[int, int]:
        """Makes the context anew; what it begins with as before stays. Gives what `append` does."""
        had, read = [*self._ids, *self._past], len(self._ids) - len(self.unread)
        self._rendering = Rendering(self.renderer)
        self._ids = list(self._rendering.take(segments))
        same = common(had, self._ids)
        kept = min(same, read)
        self.unread = self._ids[kept:]
        self._past = had[kept:read] if same == len(self._ids) == kept else []
        if not self._past:
            self._settle(0)
        return len(self._ids), len(self._ids) - same

    def read_all(self) -> None:
        """Nobody reads what waits to be read: a planner writes, and there is no model."""
        self.unread.clear()

    def head(self) -> Generator[NeedAppend, None, int]:
        """Brings the model's context up to the start of a generation. Gives its length before the header."""
        if self.unread:
            yield NeedAppend(tuple(self.unread))
            self.unread.clear()
        mark = self.driven()[1].length
        if header := self._rendering.header():
            yield NeedAppend(header)
        return mark

    def cut(self, mark: int, keep: int) -> None:
        """Takes back all but ``keep`` tokens of what the model wrote behind ``mark`` and the header; with none kept,
        the header too."""
        header = self._rendering.header()
        model, stream = self.driven()
        model.crop(stream, mark + (len(header) + keep if keep else 0))

    def wrote(self, ids: Sequence[int], by_model: bool) -> None:
        """A generation has ended so; what the model did not write itself, it must read."""
        written = self._rendering.model(ids)
        self._ids += written
        if not by_model and self.model is not None:
            self.unread += written

    def _settle(self, again: int) -> None:
        """What the model's context holds of a thrown away attempt goes, but for so many tokens, which come next as they
        did then."""
        if self.model is not None and self.stream is not None:
            length = len(self.prompt_ids) + len(self._ids) - len(self.unread) + again
            if self.stream.length > length:
                self.model.crop(self.stream, length)
        self._past = []
