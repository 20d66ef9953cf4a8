"""The backend on Hugging Face transformers: any causal LM, with or without a PEFT adapter, many contexts at once.

Owns each context's KV cache: kept across interruptions, appended to, cropped, copied on a fork; and prompts computed
once for all contexts that begin alike. A batch is *packed*: the new tokens of all its contexts stand in one row, every
linear layer sees exactly those, and attention runs context by context over that context's own cache. So contexts of any
lengths mix, nothing is padded, and no context sees what its batch mates hold. Does not know the protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from midsentence.models import folders
from midsentence.models.ends import turn_ends
from midsentence.models.load import finite, reading
from midsentence.models.model import Constraint, Mask, agreed, check_room, common
from midsentence.models.packed_linear import can_pack, pack

ATTENTION = "midsentence_packed"
_CHUNK_TOKENS = 8192
"""Most new tokens in one pass: bounds the memory for activations, whatever the batch."""
_GROW_TOKENS = 256
_KEPT_PROMPTS = 8


class TransformersStream:
    """One context: its ids, and keys and values for the first ``cached`` of them."""

    __slots__ = ("cached", "ids", "kv", "logits", "seed")

    def __init__(self, seed: int) -> None:
        self.ids: list[int] = []
        self.kv: list[torch.Tensor] = []
        """A layer each: (2, kv_heads, capacity, head_dim), keys then values."""
        self.cached = 0
        self.logits: torch.Tensor | None = None
        """(V,) after the cached ids, where they are known."""
        self.seed = seed

    @property
    def length(self) -> int:
        """Tokens in the context, the prompt included."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class _Row:
    """One context's share of a packed batch: new tokens ``[start, start + count)`` of the row, after ``past`` cached
    ones."""

    stream: TransformersStream
    start: int
    count: int
    past: int
    mask: torch.Tensor | None
    """(count, past + count) bool, True where a new token sees a position; None where causality needs no mask."""


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    packed: Sequence[_Row] | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a packed batch: query (1, heads, N, d), key and value (1, kv_heads, N, d) → (1, N, heads, d)."""
    if packed is None:  # the model is used directly, outside this backend
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            scaling=scaling,
            sliding_window=sliding_window,
            softcap=softcap,
            **kwargs,
        )
        return attended
    if softcap is not None:
        raise ValueError(
            f"{type(module).__name__} caps its attention scores, which this backend can't do; use another model"
        )
    heads, kv_heads, d = query.shape[1], key.shape[1], query.shape[3]
    groups = heads // kv_heads
    pieces = []
    for row in packed:
        begin, end, total = row.start, row.start + row.count, row.past + row.count
        kv = row.stream.kv[module.layer_idx]
        kv[0, :, row.past : total] = key[0, :, begin:end]
        kv[1, :, row.past : total] = value[0, :, begin:end]
        keys, values = kv[0:1, :, :total], kv[1:2, :, :total]
        mask = row.mask
        if sliding_window is not None and total > sliding_window:
            mask = _causal(row.count, row.past, query.device, sliding_window)
        if mask is None and row.count > 1:  # a context's first tokens
            keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
            out = functional.scaled_dot_product_attention(
                query[:, :, begin:end], keys, values, is_causal=True, scale=scaling
            )
        else:
            # the query heads of a group become rows over their shared key head: no copy of the cache
            grouped = query[:, :, begin:end].reshape(1, kv_heads, groups * row.count, d)
            tiled = mask.repeat(groups, 1) if mask is not None else None
            out = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=tiled, scale=scaling)
            out = out.reshape(1, heads, row.count, -1)
        pieces.append(out)
    joined = torch.cat(pieces, dim=2) if len(pieces) > 1 else pieces[0]
    return joined.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _attend)


def _causal(count: int, past: int, device: torch.device, window: int | None = None) -> torch.Tensor:
    """(count, past + count) bool: new token i, at position past + i, sees all before it and itself, or its window."""
    mask = torch.ones(count, past + count, dtype=torch.bool, device=device).tril(past)
    return mask if window is None else mask.triu(past - window + 1)


class TransformersModel:
    """A causal language model that serves many streams."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        tokenizer: Any = None,
        temperature: float = 0.0,
        max_tokens: int = 4096,
        eager: bool = True,
    ) -> None:
        """Takes the model over: it is put in evaluation mode and gets this backend's attention.

        Args:
            model: a decoder-only model whose attention goes through transformers' attention interface.
            tokenizer: the model's; carried for the caller, and ids beyond it are never chosen.
            temperature: 0 is greedy. Else a token depends on the stream's seed, its position and the logits alone.
            max_tokens: the longest context.
            eager: whether `append` computes at once (live: speech is taken in as it arrives) or leaves it for the next
                `decode` (throughput: appended ids and the first token share a pass).

        Raises:
            ValueError: the model has layers without keys and values (a state can't be cropped), or no pluggable
                attention.
        """
        config = model.config.get_text_config(decoder=True)
        kinds = set(getattr(config, "layer_types", None) or ())
        if odd := kinds - {"full_attention", "sliding_attention"}:
            raise ValueError(
                f"{type(model).__name__} has layers of kind {', '.join(sorted(odd))}; use one of attention only"
            )
        model.set_attn_implementation(ATTENTION)
        if model.config._attn_implementation != ATTENTION:
            raise ValueError(f"{type(model).__name__} does not let its attention be set; use a model that does")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.temperature, self.max_tokens, self.eager = temperature, max_tokens, eager
        self.layers = config.num_hidden_layers
        self.vocabulary_tokens = len(tokenizer) if tokenizer is not None else None
        self.embeddings: int = model.get_input_embeddings().num_embeddings
        """Tokens that the weights have a row for."""
        self.context_tokens: int | None = getattr(config, "max_position_embeddings", None)
        """The longest context that it was made for, where it says so."""
        self.end_ids = turn_ends(getattr(model.generation_config, "eos_token_id", None), tokenizer)
        """Tokens with which the model ends a turn; a caller decides what they mean."""
        self._kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self._head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._prompts: list[TransformersStream] = []

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        adapter: str | Path | None = None,
        dtype: str | torch.dtype = "auto",
        device: str | None = None,
        packed: bool = True,
        **options: Any,
    ) -> TransformersModel:
        """Loads a model by name (see `midsentence.models.folders.resolve`), with its tokenizer.

        Args:
            name_or_path: a local folder, a hub name or the embedded model's.
            adapter: folder of a PEFT adapter, merged into the weights; its tokenizer, if it has one, goes before the
                model's.
            dtype: of weights and cache; ``auto`` is the checkpoint's own.
            device: where to compute; the accelerator if there is one.
            packed: whether float32 weights on a CPU are laid out for speed (`midsentence.models.packed_linear`).
            options: of the constructor.

        Raises:
            ValueError: no tokenizer beside the checkpoint, or weights that are no finite numbers.
        """
        folder = folders.resolve(str(name_or_path))
        speaks = adapter if adapter is not None and (Path(adapter) / "tokenizer.json").is_file() else folder
        try:
            with reading(speaks):
                tokenizer = AutoTokenizer.from_pretrained(speaks, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"no tokenizer in {speaks}; save the tokenizer with the checkpoint") from error
        with reading(folder):
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=False)
        rows = model.get_input_embeddings().num_embeddings
        if adapter is not None:
            from peft import PeftModel

            if len(tokenizer) > rows:  # the tags that were added in training; the adapter holds their rows
                model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            with reading(adapter):
                model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        elif len(tokenizer) > rows:
            raise ValueError(
                f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {rows}; they are not a pair"
            )
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model = finite(model, folder if adapter is None else adapter).to(device)
        if packed and can_pack(model):
            pack(model)
        return cls(model, tokenizer=tokenizer, **options)

    # --- the interface of midsentence.models.model.Model

    @torch.inference_mode()
    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> TransformersStream:
        """A new context; what its prompt shares with an earlier one is copied, not computed.

        Raises:
            ValueError: an empty prompt, or one longer than ``max_tokens``.
        """
        if not prompt_ids:
            raise ValueError("a context can't begin with an empty prompt; give it at least one id")
        stream, ids = TransformersStream(seed), list(prompt_ids)
        known = max(self._prompts, key=lambda prompt: common(prompt.ids, ids), default=None)
        shared = common(known.ids, ids) if known is not None else 0
        if known is not None and shared:
            self._reserve(stream, len(ids))
            for mine, theirs in zip(stream.kv, known.kv, strict=True):
                mine[:, :, :shared] = theirs[:, :, :shared]
            stream.ids, stream.cached = ids[:shared], shared
            stream.logits = known.logits if shared == known.length else None
            self._prompts.remove(known)  # to the end: the least used goes first
            self._prompts.append(known)
        if shared < len(ids):
            self._extend(stream, ids[shared:])
            self._catch_up([stream])
            if known is not None and shared == known.length:
                self._prompts.remove(known)  # the longer prompt serves its contexts too
            self._prompts.append(self.fork(stream))
            del self._prompts[:-_KEPT_PROMPTS]
        return stream

    def append(self, batch: Sequence[tuple[TransformersStream, Sequence[int]]]) -> None:
        """Extends each context by its ids, all in one pass (or at the next `decode`, where not eager).

        Raises:
            ValueError: a context would grow past ``max_tokens``; none is extended then.
        """
        for stream, ids in batch:
            check_room(stream.length, len(ids), self.max_tokens)
        for stream, ids in batch:
            self._extend(stream, ids)
        if self.eager:
            self._catch_up([stream for stream, _ in batch])

    def decode(self, streams: Sequence[TransformersStream], masks: Sequence[Mask | None] | None = None) -> list[int]:
        """One token for each stream, chosen and appended to its context; its keys and values are computed when needed.

        Raises:
            ValueError: a context is full, or a mask allows nothing.
        """
        if not streams:
            return []
        for stream in streams:
            check_room(stream.length, 1, self.max_tokens)
            if stream.logits is None and stream.cached == stream.length:
                stream.cached -= 1  # after a crop: one token again, for its logits
        self._catch_up(streams)
        logits = torch.stack([stream.logits for stream in streams])
        if self.vocabulary_tokens is not None:
            logits[:, self.vocabulary_tokens :] = -torch.inf
        for row, mask in enumerate(masks or ()):
            if mask is not None and (allowed := mask.allowed()) is not None:
                _forbid(logits[row], allowed)
        if self.temperature > 0:
            chosen = [
                self._sample(row, stream.seed, stream.length) for stream, row in zip(streams, logits, strict=True)
            ]
        else:
            chosen = logits.argmax(dim=-1).tolist()
        for stream, index in zip(streams, chosen, strict=True):
            self._extend(stream, [index])
        return chosen

    def verify(self, stream: TransformersStream, ids: Sequence[int], constraint: Constraint | None = None) -> int:
        """See `midsentence.models.model.Verifies`. What is computed in one pass differs from what is computed token by
        token by rounding
        alone: in float32 the choices are the same, by test; where two tokens are as likely as each other in the
            weights' precision, either.

        Raises:
            ValueError: a context would grow past ``max_tokens``, or a mask allows nothing.
        """
        if not ids:
            return 0
        check_room(stream.length, len(ids), self.max_tokens)
        if stream.logits is None and stream.cached == stream.length:
            stream.cached -= 1  # after a crop: one token again, for its logits
        length, known = stream.length, stream.logits if stream.cached == stream.length else None
        self._extend(stream, ids)
        read = self._compute([stream], [len(ids) + (known is None)])
        logits = (
            read if known is None else torch.cat((known[None], read))
        )  # (1 + ids, V): after none of the ids, one, two …
        right = 0
        try:
            right = self._agreed(logits, ids, stream.seed, length, constraint)
        finally:
            self.crop(stream, length + right)
        stream.logits = logits[right].clone()
        return right

    def crop(self, stream: TransformersStream, length: int) -> None:
        """Forgets all but the first ``length`` tokens.

        Raises:
            ValueError: the context is not that long.
        """
        if not 0 < length <= stream.length:
            raise ValueError(
                f"can't crop a context of {stream.length} tokens to {length}; keep between 1 and {stream.length}"
            )
        del stream.ids[length:]
        if stream.cached > length:
            stream.cached, stream.logits = length, None

    @torch.inference_mode()
    def fork(self, stream: TransformersStream) -> TransformersStream:
        """An independent copy, with the same seed."""
        other = TransformersStream(stream.seed)
        other.ids, other.cached, other.logits = list(stream.ids), stream.cached, stream.logits
        # clone: a narrowed copy keeps its source's strides otherwise, and its memory
        other.kv = [kv[:, :, : stream.cached].clone(memory_format=torch.contiguous_format) for kv in stream.kv]
        return other

    def close(self, stream: TransformersStream) -> None:
        """Gives the stream's memory back. Closing twice is harmless."""
        stream.kv, stream.logits, stream.cached = [], None, 0

    # --- inside

    def _extend(self, stream: TransformersStream, ids: Sequence[int]) -> None:
        check_room(stream.length, len(ids), self.max_tokens)
        stream.ids.extend(ids)

    def _reserve(self, stream: TransformersStream, tokens: int) -> None:
        """Makes room for ``tokens``, keeping what is cached."""
        capacity = stream.kv[0].shape[2] if stream.kv else 0
        if capacity >= tokens:
            return
        grown = max(tokens + _GROW_TOKENS, min(capacity * 3 // 2, self.max_tokens))
        shape = (2, self._kv_heads, grown, self._head_dim)
        old = stream.kv
        stream.kv = [torch.zeros(shape, dtype=self.model.dtype, device=self.model.device) for _ in range(self.layers)]
        for new, kv in zip(stream.kv, old):
            new[:, :, : stream.cached] = kv[:, :, : stream.cached]

    def _catch_up(self, streams: Sequence[TransformersStream]) -> None:
        """Computes what the streams' caches lack, and the logits after each."""
        behind: list[TransformersStream] = []
        tokens = 0
        for stream in dict.fromkeys(streams):
            pending = stream.length - stream.cached
            if not pending:
                continue
            if behind and tokens + pending > _CHUNK_TOKENS:
                self._forward(behind)
                behind, tokens = [], 0
            behind.append(stream)
            tokens += pending
        if behind:
            self._forward(behind)

    def _forward(self, streams: Sequence[TransformersStream]) -> None:
        for stream, last in zip(streams, self._compute(streams, [1] * len(streams)), strict=True):
            stream.logits = last

    @torch.inference_mode()
    def _compute(self, streams: Sequence[TransformersStream], wanted: Sequence[int]) -> torch.Tensor:
        """Computes what the streams' caches lack, in one pass.

        Args:
            streams: each once.
            wanted: after how many of its last tokens a stream's logits are given.

        Returns:
            (sum of ``wanted``, V) float32, stream by stream.
        """
        device = self.model.device
        rows: list[_Row] = []
        ids: list[int] = []
        positions: list[int] = []
        kept: list[int] = []
        for stream, last in zip(streams, wanted, strict=True):
            past, count = stream.cached, stream.length - stream.cached
            self._reserve(stream, stream.length)
            mask = _causal(count, past, device) if past and count > 1 else None
            rows.append(_Row(stream, len(ids), count, past, mask))
            ids += stream.ids[past:]
            positions += range(past, stream.length)
            kept += range(len(ids) - last, len(ids))
        logits: torch.Tensor = (
            self.model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=torch.tensor([positions], device=device),
                use_cache=False,
                packed=rows,
                logits_to_keep=torch.tensor(kept, device=device),
            )
            .logits[0]
            .float()
        )
        for stream in streams:
            stream.cached = stream.length
        return logits

    def _agreed(
        self, logits: torch.Tensor, ids: Sequence[int], seed: int, length: int, constraint: Constraint | None
    ) -> int:
        """See `midsentence.models.model.agreed`.

        Args:
            logits: (1 + ids, V) after none of the ids, one, two …
            ids: what is foreseen.
            seed: the stream's.
            length: of the context before the ids.
            constraint: of the generation.
        """
        if constraint is None:
            return agreed(ids, self.end_ids, None, self._choices(logits[:-1], seed, length).__getitem__)

        def chosen(after: int) -> int:
            row = logits[after : after + 1].clone()
            if (allowed := constraint.allowed()) is not None:
                _forbid(row[0], allowed)
            return self._choices(row, seed, length + after)[0]

        return agreed(ids, self.end_ids, constraint, chosen)

    def _choices(self, logits: torch.Tensor, seed: int, length: int) -> list[int]:
        """What one stream would write after ``length`` tokens, one more, … ; logits (n, V)."""
        if self.vocabulary_tokens is not None:
            logits = logits.clone()
            logits[:, self.vocabulary_tokens :] = -torch.inf
        if self.temperature > 0:
            return [self._sample(row, seed, length + n) for n, row in enumerate(logits)]
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        return chosen

    def _sample(self, logits: torch.Tensor, seed: int, length: int) -> int:
        """By the inverse of the distribution function, at a point that seed and position fix: batching and what was
        generated and cropped in between change nothing."""
        digest = hashlib.sha256(f"{seed}:{length}".encode()).digest()
        point = int.from_bytes(digest[:6], "big") / 2**48
        cumulative = torch.softmax(logits.double() / self.temperature, dim=-1).cumsum(dim=-1)
        return int(torch.searchsorted(cumulative, point * cumulative[-1], right=True))


def _forbid(logits: torch.Tensor, allowed: Any) -> None:
    """Takes away, in place, what the mask does not allow; ids beyond the mask are not allowed."""
    allowed = torch.as_tensor(allowed, dtype=torch.bool, device=logits.device)[: logits.shape[0]]
    if not bool(allowed.any()):
        raise ValueError("the mask allows no token at all; the grammar must always leave one")
    logits[: allowed.shape[0]].masked_fill_(~allowed, -torch.inf)
    logits[allowed.shape[0] :] = -torch.inf
