"""The backend on llama.cpp, for small devices and fast replays: it runs a GGUF file without torch, with many contexts
at once.

Owns which context lies where in llama.cpp's cache, and what of it is reused: a cut crops it, a fork shares its cells,
and the prompt of a closed context serves the next one that begins alike. Contexts of any lengths share a pass. The file
is what ``python -m training.export … gguf=true`` writes. Does not know the protocol, and how llama.cpp is called
(`midsentence.models.llama_library`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from midsentence.models.ends import turn_ends
from midsentence.models.llama_library import MAX_CONTEXTS, OUTPUTS, Cache, CacheFull, Weights
from midsentence.models.model import Constraint, Mask, agreed, check_room, common

_CONTEXTS = 8
_CELLS = 2048
"""Room at the start: contexts, and tokens of all together. It doubles when it is short."""


class LlamaCppStream:
    """One context: its ids, of which the first ``cached`` are in the cache, at ``slot``."""

    __slots__ = ("cached", "ids", "logits", "prompt_tokens", "seed", "slot")

    def __init__(self, ids: list[int], seed: int, slot: int, prompt_tokens: int) -> None:
        self.ids, self.prompt_tokens = ids, prompt_tokens
        self.slot: int | None = slot
        """None once it is closed."""
        self.cached = 0
        self.logits: np.ndarray | None = None
        """(V,) after the cached ids, where they are known."""
        self.seed = seed

    @property
    def length(self) -> int:
        """Tokens in the context, the prompt included."""
        return len(self.ids)


class LlamaCppModel:
    """A causal language model that serves many streams. One thread at a time may use it."""

    def __init__(
        self,
        path: str | Path,
        *,
        tokenizer: Any = None,
        temperature: float = 0.0,
        max_tokens: int = 4096,
        eager: bool = True,
        float32: bool = False,
        threads: int | None = None,
    ) -> None:
        """Loads the weights.

        Args:
            path: a GGUF file; with ``generation_config.json`` beside it, that says which tokens end a turn.
            tokenizer: the model's; carried for the caller, and ids beyond it are never chosen.
            temperature: 0 is greedy. Else a token depends on the stream's seed, its position and the logits alone.
            max_tokens: the longest context.
            eager: whether `append` computes at once (live) or leaves it for the next `decode` (throughput).
            float32: whether keys and values are kept in float32, which greedy choices that equal those of float32
                elsewhere need; else in half the memory, as float16.
            threads: that compute; by default as many as this process may run on.

        Raises:
            ImportError: the extra ``llamacpp`` is not installed.
            ValueError: llama.cpp can't load the file.
        """
        self.path, self.tokenizer = Path(path), tokenizer
        self.temperature, self.max_tokens, self.eager, self.float32 = temperature, max_tokens, eager, float32
        self.threads = threads or available_threads()
        self.weights = Weights(self.path)
        rows = self.embeddings = self.weights.vocabulary_tokens
        self.context_tokens = self.weights.context_tokens
        self.vocabulary_tokens = len(tokenizer) if tokenizer is not None else rows
        if self.vocabulary_tokens > rows:
            self.weights.free()
            raise ValueError(
                f"{path}: the tokenizer has {self.vocabulary_tokens} tokens, the model {rows}; they are not a pair"
            )
        self.end_ids = turn_ends(_end_ids(self.path, self.weights.end_id), tokenizer)
        """Tokens with which the model ends a turn; a caller decides what they mean."""
        self.computed_tokens = 0
        """Tokens taken into the cache since loading, each once unless it was forgotten."""
        self._streams: dict[int, LlamaCppStream] = {}
        """Open contexts by slot."""
        self._free: dict[int, list[int]] = {}
        """What the other slots hold, the longest unused first."""
        self._cache = Cache(self.weights, _CONTEXTS, _CELLS, threads=self.threads, float32=float32)
        self._free = {slot: [] for slot in range(_CONTEXTS)}

    # --- the interface of midsentence.models.model.Model

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> LlamaCppStream:
        """A new context; what its prompt shares with another, open or closed, is not computed again.

        Raises:
            ValueError: an empty prompt, or one longer than ``max_tokens``.
        """
        if not prompt_ids:
            raise ValueError("a context can't begin with an empty prompt; give it at least one id")
        ids = list(prompt_ids)
        check_room(0, len(ids), self.max_tokens)
        held = self._free | {slot: stream.ids[: stream.cached] for slot, stream in self._streams.items()}
        best = max(held, key=lambda slot: common(held[slot], ids))
        shared = common(held[best], ids)
        slot = self._take(best)
        if slot != best:
            self._cache.share(best, slot, shared)
        else:
            self._cache.keep(slot, shared)
        stream = self._streams[slot] = LlamaCppStream(ids, seed, slot, len(ids))
        stream.cached = shared
        known = self._streams.get(best)
        if slot != best and known is not None and shared == len(ids) == known.cached:
            stream.logits = known.logits
        try:
            self._catch_up([stream])
        except BaseException:
            self.close(stream)
            raise
        return stream

    def append(self, batch: Sequence[tuple[LlamaCppStream, Sequence[int]]]) -> None:
        """Extends each context by its ids, all together (or at the next `decode`, where not eager).

        Raises:
            ValueError: a context would grow past ``max_tokens``, or is closed; none is extended then.
        """
        for stream, ids in batch:
            self._slot(stream)
            check_room(stream.length, len(ids), self.max_tokens)
        for stream, ids in batch:
            check_room(stream.length, len(ids), self.max_tokens)  # a stream may be there twice
            stream.ids.extend(ids)
        if self.eager:
            self._catch_up([stream for stream, _ in batch])

    def decode(self, streams: Sequence[LlamaCppStream], masks: Sequence[Mask | None] | None = None) -> list[int]:
        """One token for each stream, chosen and appended to its context; it is taken into the cache when needed.

        Raises:
            ValueError: a context is full or closed, or a mask allows nothing.
        """
        if not streams:
            return []
        for stream in streams:
            self._slot(stream)
            check_room(stream.length, 1, self.max_tokens)
            self._reread(stream)
        self._catch_up(streams)
        chosen = []
        for stream, mask in zip(streams, masks or [None] * len(streams), strict=True):
            assert stream.logits is not None  # `_catch_up` has them
            chosen.append(self._choose(stream.logits, stream.seed, stream.length, mask))
        for stream, token in zip(streams, chosen, strict=True):
            stream.ids.append(token)
        return chosen

    def verify(self, stream: LlamaCppStream, ids: Sequence[int], constraint: Constraint | None = None) -> int:
        """See `midsentence.models.model.Verifies`. On a processor a pass costs what its tokens cost, so `OUTPUTS` are
        taken in at once, and no more after one that is wrong; a first one that is known to be wrong costs nothing. Many
        tokens are computed by other kernels than a single one: in float32 the choices are the same, by test; with a
        cache in float16 or weights of eight bits, where two tokens are nearly as likely as each other, either.

        Raises:
            ValueError: a context would grow past ``max_tokens``, or is closed, or a mask allows nothing.
        """
        slot = self._slot(stream)
        if not ids:
            return 0
        check_room(stream.length, len(ids), self.max_tokens)
        self._reread(stream)
        length = stream.length
        logits = (
            [stream.logits] if stream.logits is not None and stream.cached == length else []
        )  # after none of the ids, one, two …

        def chosen(after: int) -> int:
            while len(logits) <= after:
                read = stream.length - length
                more = ids[read : read + OUTPUTS - (not logits)]
                stream.ids.extend(more)
                logits.extend(self._compute([stream], [len(more) + (not logits)])[slot])
            return self._choose(logits[after], stream.seed, length + after, constraint)

        right = 0
        try:
            right = agreed(ids, self.end_ids, constraint, chosen)
        finally:
            kept = min(stream.length - length, right)
            self.crop(stream, length + kept)
        if logits:
            stream.logits = logits[kept].copy()
        stream.ids.extend(ids[kept:right])  # forced at the end: nobody asked what comes after
        return right

    def crop(self, stream: LlamaCppStream, length: int) -> None:
        """Forgets all but the first ``length`` tokens.

        Raises:
            ValueError: the context is not that long, or is closed.
        """
        self._slot(stream)
        if not 0 < length <= stream.length:
            raise ValueError(
                f"can't crop a context of {stream.length} tokens to {length}; keep between 1 and {stream.length}"
            )
        del stream.ids[length:]
        if stream.cached > length:
            self._forget(stream, length)

    def fork(self, stream: LlamaCppStream) -> LlamaCppStream:
        """An independent copy, with the same seed."""
        shared = self._slot(stream)
        slot = self._take()
        self._cache.share(shared, slot, stream.cached)
        other = self._streams[slot] = LlamaCppStream(list(stream.ids), stream.seed, slot, stream.prompt_tokens)
        other.cached, other.logits = stream.cached, stream.logits
        return other

    def close(self, stream: LlamaCppStream) -> None:
        """Gives the stream's memory back, but for its prompt, which stays until the room is needed. Twice is
        harmless."""
        if stream.slot is not None:
            kept = min(stream.cached, stream.prompt_tokens)
            self._cache.keep(stream.slot, kept)
            self._free[stream.slot] = stream.ids[:kept]
            del self._streams[stream.slot]
            stream.slot = stream.logits = None

    def free(self) -> None:
        """Gives all memory back; nothing can be done with the model after. Twice is harmless."""
        for stream in list(self._streams.values()):
            self.close(stream)
        self._cache.free()
        self.weights.free()

    def __del__(self) -> None:
        if hasattr(self, "_cache"):  # what Python's own collector knows nothing of
            self.free()

    # --- inside

    def _slot(self, stream: LlamaCppStream) -> int:
        if stream.slot is None:
            raise ValueError(f"the context of {stream.length} tokens is closed; open another")
        return stream.slot

    def _reread(self, stream: LlamaCppStream) -> None:
        """After a crop: lets the last token go from the cache, for its logits."""
        if stream.logits is None and stream.cached == stream.length:
            self._forget(stream, stream.length - 1)

    def _forget(self, stream: LlamaCppStream, length: int) -> None:
        self._cache.keep(self._slot(stream), length)
        stream.cached, stream.logits = length, None

    def _take(self, best: int | None = None) -> int:
        """A slot for a new context: an empty one, or the one that was closed first, or one more; ``best``, whose
        contents more contexts may want, only if no other is free."""
        if not self._free:
            if self._cache.contexts == MAX_CONTEXTS:
                raise ValueError(
                    f"{MAX_CONTEXTS} contexts are open, and llama.cpp takes no more; close some, or use a smaller batch"
                )
            self._make_room(2 * self._cache.contexts, self._cache.tokens)
        slot = min(self._free, key=lambda slot: (slot == best, bool(self._free[slot])))
        del self._free[slot]
        if best in self._free:  # to the end: the least used goes first
            self._free[best] = self._free.pop(best)
        return slot

    def _make_room(self, contexts: int, tokens: int) -> None:
        """A larger cache, with what the open contexts have; what they shared is copied to each."""
        held = sum(stream.length for stream in self._streams.values())
        made = Cache(self.weights, contexts, max(tokens, held), threads=self.threads, float32=self.float32)
        for slot in self._streams:
            self._cache.move(slot, made)
        self._cache.free()
        self._cache = made
        self._free = {slot: [] for slot in range(contexts) if slot not in self._streams}

    def _catch_up(self, streams: Sequence[LlamaCppStream]) -> None:
        """Computes what the cache lacks of the streams, and the logits after each."""
        behind = [stream for stream in dict.fromkeys(streams) if stream.cached < stream.length]
        if behind:
            logits = self._compute(behind, [1] * len(behind))
            for stream in behind:
                stream.logits = logits[self._slot(stream)][0]

    def _compute(self, streams: Sequence[LlamaCppStream], wanted: Sequence[int]) -> dict[int, np.ndarray]:
        """Takes in what the cache lacks of the streams.

        Args:
            streams: each once, each behind.
            wanted: after how many of its last tokens a stream's logits are given.

        Returns:
            (wanted, V) float32, by slot.
        """
        rows = [
            (self._slot(stream), stream.cached, stream.ids[stream.cached :], last)
            for stream, last in zip(streams, wanted, strict=True)
        ]
        while True:
            try:
                logits = self._cache.compute(rows)
                break
            except CacheFull:
                self._spare()
        for stream in streams:
            self.computed_tokens += stream.length - stream.cached
            stream.cached = stream.length
        return logits

    def _spare(self) -> None:
        """Lets a closed context's prompt go, the longest unused first; if there is none, gets more room."""
        for slot, ids in self._free.items():
            if ids:
                self._cache.keep(slot, 0)
                self._free[slot] = []
                return
        self._make_room(self._cache.contexts, 2 * self._cache.tokens)

    def _choose(self, logits: np.ndarray, seed: int, length: int, mask: Mask | None) -> int:
        """What a stream writes after ``length`` tokens; logits (V,)."""
        logits = logits[: self.vocabulary_tokens]
        if mask is not None and (allowed := mask.allowed()) is not None:
            allowed = np.asarray(allowed, bool)[: len(logits)]
            if not allowed.any():
                raise ValueError("the mask allows no token at all; the grammar must always leave one")
            logits = np.where(allowed, logits[: len(allowed)], -np.inf)  # ids beyond the mask are not allowed
        return int(logits.argmax()) if self.temperature == 0 else self._sample(logits, seed, length)

    def _sample(self, logits: np.ndarray, seed: int, length: int) -> int:
        """By the inverse of the distribution function, at a point that seed and position fix: batching and what was
        generated and cropped in between change nothing."""
        digest = hashlib.sha256(f"{seed}:{length}".encode()).digest()
        point = int.from_bytes(digest[:6], "big") / 2**48
        scaled = logits.astype(np.float64) / self.temperature
        cumulative = np.exp(scaled - scaled.max()).cumsum()
        return int(np.searchsorted(cumulative, point * cumulative[-1], side="right"))


def gguf_in(folder: str | Path) -> Path:
    """The GGUF file in a model's folder.

    Raises:
        FileNotFoundError: none, or several; the text says how to make one.
    """
    found = sorted(Path(folder).glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if found:
        raise FileNotFoundError(
            f"{folder} holds {len(found)} GGUF files ({', '.join(path.name for path in found)}); leave one there"
        )
    name = Path(folder).name
    raise FileNotFoundError(
        f"no GGUF file in {folder}, which llama.cpp needs; make one of a training run with: python -m training.export path={folder} "
        f"out=outputs/export/{name} gguf=true, and give outputs/export/{name} as the adapter, or use runtime transformers"
    )


def available_threads() -> int:
    """How many threads this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_ids(path: Path, end_id: int) -> int | list[int] | None:
    """The tokens that end what it writes: as transformers reads them for the same folder, else the file's one."""
    beside = path.with_name("generation_config.json")
    if beside.exists():
        named: int | list[int] | None = json.loads(beside.read_text("utf-8")).get("eos_token_id")
        return named
    return None if end_id < 0 else end_id
