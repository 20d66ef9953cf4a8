"""Converts a transcript to token ids and back: the only place that makes a transcript's ids.

Owns the fold over segments, turns, clock stamps, what data looks like, and the text of generated ids. Model
segments are their ids already; environment segments are tokenised one by one, so the ids of a prefix of a transcript
are a prefix of the ids of the whole: a KV cache is only ever extended, and training sees the ids that inference sees.

Turns are *flat* or *chat*. Flat: after the prompt there is one stream, in which single tokens, the tags, say who
writes, and nothing else stands between segments. Chat: who writes is said by the role headers of the model's own chat
format, and a segment of the environment ends with a line break.

Data (a user's words, a tool's results) is tokenised by a copy of the tokenizer that knows no added token at all, so
that it can't become a tag's token or a special one; and what would read as a tag is broken first, so that its text
can't be taken for one either. All else reads as it was said. Does not know what the tags mean.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer

from midsentence.clock import NS_PER_S
from midsentence.core.protocol import EDITION, TAGS
from midsentence.core.transcript import CLOSERS, Segment
from midsentence.rendering.chat_format import ChatFormat

Tags = Literal["token", "text"]
"""Whether tags are single tokens, added where the tokenizer lacks them, or plain text. A tag that the tokenizer has as
a token of its own (Qwen's ``<tool_call>``) is that token either way: it is how the model writes it."""

Turns = Literal["flat", "chat"]
"""One stream, where tags are tokens; or the turns of the model's chat format, between role headers."""

Stamps = Literal["none", "text", "token"]
"""The clock on environment segments: nothing; ``@3.2``, seconds since the user's first word; or one of 64 tokens for
the time since the last stamped segment."""

CLOCK_TOKENS = tuple(f"<clock_{k}>" for k in range(64))

CLOCK_EDGES_NS = tuple(round(20_000_000 * (2 ** (k / 6) - 1)) for k in range(64))
"""``<clock_k>`` stands for an elapsed time in ``[edge k, edge k+1)``: six steps an octave, fine near 0 (2 ms), a
ninth at 1 s, and all from 29 s on in the last."""

_PROBES = (
    "",
    " a",
    "text Bob 1,234 ",
    "\n\n",
    "naïve Ünïcode 日本語 👍🏽",
    "\"$1\" + 'x'",
    "   &lt;think&gt;",
    "don't DON'T",
)
_MODEL_ROLE, _ENVIRONMENT_ROLE = "model", "environment"
_LOOSE_LINE = re.compile(r"(?<=<tool_call>)\n")


@dataclass(frozen=True, slots=True)
class Span:
    """A run of ids with one origin; a transcript's ids are its spans', concatenated."""

    ids: tuple[int, ...]
    """Token ids, in order."""
    segment: int | None
    """Index of the segment, or None for the prompt and for role switches."""
    kind: str
    """The segment's kind, ``prompt`` or ``role``."""


def _fold(character: str) -> str:
    """What one character of data becomes where it may not stand as it is."""
    if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
        return " "  # one line a segment: no newline, no other separator that anything might read as one
    if unicodedata.category(character) == "Cs":
        return "\ufffd"  # half a surrogate pair is no text, and no tokenizer takes it
    return character


def _skeleton(character: str) -> str:
    """What a character may be read as, at the worst: by a normaliser, by a filter of invisible characters, in any
    case."""
    parts = unicodedata.normalize("NFKD", character)
    return "".join(part for part in parts if unicodedata.category(part) not in ("Cf", "Mn")).casefold()


class _Folding(dict[int, str]):
    """A table for ``str.translate`` that fills itself."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold

    def __missing__(self, code: int) -> str:
        self[code] = folded = self._fold(chr(code))
        return folded


_FOLDED, _SKELETONS = _Folding(_fold), _Folding(_skeleton)
_TAG_LIKE = re.compile("|".join(map(re.escape, TAGS)))


def as_data(text: str) -> str:
    """What others wrote, on one line and as they wrote it, but that nothing in it reads as a tag: ``&lt;think>``.

    A tag counts however it is disguised: in capitals, full-width letters or brackets, with marks or invisible
    characters inside.
    """
    text = text.translate(_FOLDED)
    if not _TAG_LIKE.search(text.translate(_SKELETONS)):
        return text
    origin = [n for n, character in enumerate(text) for _ in _SKELETONS[ord(character)]]
    brackets = {origin[found.start()] for found in _TAG_LIKE.finditer(text.translate(_SKELETONS))}
    return "".join("&lt;" if n in brackets else character for n, character in enumerate(text))


class Renderer:
    """Makes ids of transcripts for one tokenizer, one form of tags and turns, and one kind of clock stamp."""

    def __init__(
        self, tokenizer: Any, tags: Tags = "token", clock: Stamps = "none", turns: Turns | None = None
    ) -> None:
        """Reads the tokenizer and changes nothing in it.

        Args:
            tokenizer: of Hugging Face.
            tags: their form.
            clock: stamps on environment segments.
            turns: None for flat where tags are tokens, and chat where they are text.

        Raises:
            TypeError: the tokenizer has no fast backend.
            ValueError: it has no chat template, or lacks the tokens; `prepare` adds them. Or turns are flat and tags
                text.
        """
        if tags not in ("token", "text") or clock not in ("none", "text", "token"):
            raise ValueError(
                f"tags is {tags!r} and clock {clock!r}; use 'token' or 'text', and 'none', 'text' or 'token'"
            )
        self.turns = turns_of(tags, turns)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise TypeError(
                f"tokenizer {type(tokenizer).__name__} has no fast (Rust) backend; load it with AutoTokenizer"
            )
        self.tokenizer, self.tags, self.clock = tokenizer, tags, clock
        self.format = ChatFormat.of(tokenizer)
        self._backend = backend
        added = {token.content: index for index, token in backend.get_added_tokens_decoder().items()}
        self.tag_ids: dict[str, int] = {tag: added[tag] for tag in TAGS if tag in added}
        needed = [*(TAGS if tags == "token" else ()), *(CLOCK_TOKENS if clock == "token" else ())]
        if missing := [token for token in needed if token not in added]:
            raise ValueError(f"the tokenizer lacks {len(missing)} tokens ({missing[0]} …); Renderer.prepare adds them")
        self._clock_ids = tuple(added[token] for token in CLOCK_TOKENS) if clock == "token" else ()
        self._tag_pattern = re.compile("|".join(map(re.escape, self.tag_ids))) if self.tag_ids else None
        # shares vocabulary and merges with the real one, but has no added tokens to recognise
        self._plain = Tokenizer(backend.model)
        if backend.normalizer is not None:
            self._plain.normalizer = backend.normalizer
        if backend.pre_tokenizer is not None:
            self._plain.pre_tokenizer = backend.pre_tokenizer
        # some tokenizers add runs of blanks as tokens; those are no danger
        self._guarded = frozenset(index for content, index in added.items() if content.strip(" \t\n▁"))
        self._added_bytes = {index: content.encode() for content, index in added.items()}
        self._bytes: dict[int, bytes] = {}
        self._byte_level = backend.decoder is not None and b"ByteLevel" in backend.decoder.__getstate__()
        self._encode_short = lru_cache(maxsize=16384)(self._encode)
        self.environment_to_model: tuple[int, ...] = ()
        self.model_to_environment: tuple[int, ...] = ()
        if self.turns == "chat":
            self.environment_to_model = self.format_ids(self.format.environment_to_model)
            self.model_to_environment = self.format_ids(self.format.model_to_environment)

    @classmethod
    def prepare(
        cls, tokenizer: Any, tags: Tags = "token", clock: Stamps = "none", turns: Turns | None = None
    ) -> Renderer:
        """Adds what the tokenizer lacks (in place) and returns its renderer; save the tokenizer with the model.

        They are added as ordinary, not special, tokens: `decode` shows them whatever it is told to skip.
        """
        wanted = [*(TAGS if tags == "token" else ()), *(CLOCK_TOKENS if clock == "token" else ())]
        known = {token.content for token in tokenizer.added_tokens_decoder.values()}
        tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in wanted if tag not in known])
        return cls(tokenizer, tags, clock, turns)

    @property
    def vocabulary_size(self) -> int:
        """One more than the largest id: what a model's embedding must have at least."""
        return max(max(self._added_bytes, default=-1), self._plain.get_vocab_size() - 1) + 1

    @cached_property
    def fingerprint(self) -> str:
        """Names all that ids depend on: vocabulary, added tokens, how text is cut, chat format, tags, turns, clock,
        edition."""
        vocabulary = sorted(self._backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
        behaviour = [self._encode(probe) for probe in _PROBES]  # merges and pre-tokenizer, by what they do
        chat = [self.format_ids(self.format.start), self.format_ids(self.format.system_to_environment)]
        chat += [self.environment_to_model, self.model_to_environment]
        whole = json.dumps(
            [vocabulary, behaviour, chat, TAGS, self.tags, self.turns, self.clock, EDITION], ensure_ascii=True
        )
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    # --- text to ids

    def prompt_ids(self, system: str) -> tuple[int, ...]:
        """Chat start, system text, opening of the environment's first turn.

        The system text is the developer's: tags in it are tags, other special tokens are not. Text in it that others
        wrote (a foreign tool's description) must have gone through `as_data`.
        """
        head, tail = self.format_ids(self.format.start), self.format_ids(self.format.system_to_environment)
        return head + self.action_ids(system) + tail

    def action_ids(self, text: str) -> tuple[int, ...]:
        """Ids of what an expert writes in the model's place: tags are tags, all else is plain text.

        In flat turns the first line of a ``<tool_call>`` follows its tag directly.
        """
        if self.turns == "flat":
            text = _LOOSE_LINE.sub("", text)
        if self._tag_pattern is None:
            return self._encode(text)
        ids: list[int] = []
        at = 0
        for match in self._tag_pattern.finditer(text):
            ids += self._encode_short(text[at : match.start()])
            ids.append(self.tag_ids[match.group()])
            at = match.end()
        return (*ids, *self._encode_short(text[at:]))

    def environment_ids(self, segment: Segment, since_ns: int = 0) -> tuple[int, ...]:
        """Ids of one environment segment, without role switches.

        Args:
            segment: what the environment writes.
            since_ns: when the last stamped segment was written; only ``clock = token`` asks.
        """
        if segment.kind in CLOSERS:
            return self._tag(f"</{segment.kind}>")
        tag, data = f"<{segment.kind}>", as_data(segment.text)
        # a blank joins the word after it in one token; before a figure it would be a token of its own
        rest = f" {data}" if data and not (self.turns == "flat" and data[0].isdigit()) else data
        rest += "\n" if self.turns == "chat" else ""
        if self.clock == "text":
            tenths = segment.at_ns * 10 // NS_PER_S
            rest = f" @{tenths // 10}.{tenths % 10}{rest if rest[:1].isspace() or not rest else f' {rest}'}"
        if self.clock == "token":
            step = bisect_right(CLOCK_EDGES_NS, max(0, segment.at_ns - since_ns)) - 1
            return (*self._tag(tag), self._clock_ids[step], *self._encode(rest))
        return self._tag(tag) + self._encode(rest)

    def spans(self, prompt: Sequence[int], segments: Iterable[Segment]) -> list[Span]:
        """The whole transcript as runs of ids that say where they come from; labels are made of these."""
        rendering = Rendering(self)
        spans = [Span(tuple(prompt), None, "prompt")]
        for index, segment in enumerate(segments):
            switch, ids = rendering.push(segment)
            if switch:
                spans.append(Span(switch, None, "role"))
            spans.append(Span(ids, index, segment.kind))
        return spans

    def ids(self, prompt: Sequence[int], segments: Iterable[Segment]) -> list[int]:
        """The ids of the whole transcript."""
        return [index for span in self.spans(prompt, segments) for index in span.ids]

    def _tag(self, tag: str) -> tuple[int, ...]:
        return (self.tag_ids[tag],) if tag in self.tag_ids else self._encode_short(tag)

    def format_ids(self, text: str) -> tuple[int, ...]:
        """Ids of the chat format's own text: the one place where special tokens are recognised."""
        return tuple(self._backend.encode(text, add_special_tokens=False).ids)

    def _encode(self, text: str) -> tuple[int, ...]:
        """Ids of plain text, none of them an added token's, whatever the text says."""
        if not text:
            return ()
        ids = self._plain.encode(text, add_special_tokens=False).ids
        if self._guarded.isdisjoint(ids) and not self._makes_tags(text):
            return tuple(ids)
        # a vocabulary that holds its special tokens as ordinary entries, or a normaliser that makes brackets of other
        # characters: character by character nothing can come together, and what still offends is left out
        ids = []
        for character in text:
            one = self._plain.encode(character, add_special_tokens=False).ids
            if self._guarded.isdisjoint(one) and not self._makes_brackets(character):
                ids += one
        return tuple(ids)

    def _makes_tags(self, text: str) -> bool:
        """Whether the tokenizer's normaliser makes a tag that the text does not have."""
        normal = self._normal(text)
        return normal is not text and len(_TAG_LIKE.findall(normal.casefold())) > len(
            _TAG_LIKE.findall(text.casefold())
        )

    def _makes_brackets(self, character: str) -> bool:
        normal = self._normal(character)
        return any(c in normal and c != character for c in "<>")

    def _normal(self, text: str) -> str:
        normalizer = self._plain.normalizer
        return text if normalizer is None else normalizer.normalize_str(text)

    # --- ids to text

    def text(self, ids: Iterable[int]) -> str:
        """What ids say, tags and special tokens shown, nothing stripped or cleaned up."""
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, index: int) -> bytes:
        """The bytes that one token stands for; none for an id that the tokenizer lacks."""
        known = self._bytes.get(index)
        if known is None:
            known = self._bytes[index] = self._spell(index)
        return known

    def decoder(self) -> Decoder:
        """A new incremental decoder, for one run of generated ids."""
        return Decoder(self)

    def _spell(self, index: int) -> bytes:
        if index in self._added_bytes:
            return self._added_bytes[index]
        token = self._plain.id_to_token(index)
        if token is None:
            return b""
        if self._byte_level:
            return bytes(_BYTE_OF[c] for c in token)
        if match := re.fullmatch(r"<0x([0-9A-F]{2})>", token):  # byte fallback of SentencePiece vocabularies
            return bytes([int(match[1], 16)])
        return token.replace("▁", " ").encode()


def turns_of(tags: Tags, turns: Turns | None) -> Turns:
    """The form of turns that is meant.

    Raises:
        ValueError: no such form, or one that the tags can't carry.
    """
    if turns not in (None, "flat", "chat"):
        raise ValueError(f"turns is {turns!r}; use 'flat' or 'chat'")
    if turns == "flat" and tags == "text":
        raise ValueError(
            "turns='flat' needs tags that are tokens: a tag of text may be taken for more of the text before it; use 'chat'"
        )
    return turns or ("flat" if tags == "token" else "chat")


def _byte_of() -> dict[str, int]:
    """GPT-2's table: how byte-level vocabularies write each byte as a visible character."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE_OF = _byte_of()


class Decoder:
    """Ids to text, token by token; a character that spans tokens comes with its last."""

    __slots__ = ("_renderer", "_utf8")

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, index: int) -> str:
        """The text that this token completes."""
        return self._utf8.decode(self._renderer.token_bytes(index))

    def flush(self) -> str:
        """What an unfinished character leaves behind (``\\ufffd``, or nothing)."""
        return self._utf8.decode(b"", final=True)


class Rendering:
    """The fold over a transcript, segment by segment: says what to append to a context as the transcript grows."""

    __slots__ = ("_last_id", "_renderer", "_role", "_stamped_ns")

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._role = _ENVIRONMENT_ROLE  # the prompt ends inside the environment's first turn
        self._last_id: int | None = None
        self._stamped_ns = 0

    def copy(self) -> Rendering:
        """An independent copy, for a context that forks."""
        other = Rendering(self._renderer)
        other._role, other._last_id, other._stamped_ns = self._role, self._last_id, self._stamped_ns
        return other

    def header(self) -> tuple[int, ...]:
        """What must stand before the model's next token: the switch to its turn, or nothing if it has the turn or turns
        are flat.

        Changes nothing: the switch counts as written once `model` records a token after it. A backend that was given
        the header, and then kept no token, crops the header off again.
        """
        return self._renderer.environment_to_model if self._role == _ENVIRONMENT_ROLE else ()

    def model(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Records what the model wrote; returns it with the switch before it, if there was one."""
        if not ids:
            return ()
        switch = self.header()
        self._role, self._last_id = _MODEL_ROLE, ids[-1]
        return (*switch, *ids)

    def environment(self, segments: Iterable[Segment]) -> tuple[int, ...]:
        """Records what the environment wrote; returns all of its ids, switches included."""
        ids: list[int] = []
        for segment in segments:
            if segment.kind == "model":
                raise ValueError("a model segment is no environment segment; give its ids to Rendering.model")
            for part in self.push(segment):
                ids += part
        return tuple(ids)

    def take(self, segments: Iterable[Segment]) -> tuple[int, ...]:
        """Records segments of either side; returns all of their ids, switches included."""
        return tuple(id for segment in segments for part in self.push(segment) for id in part)

    def push(self, segment: Segment) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """One more segment: the role switch that it brings about, and its own ids.

        Raises:
            ValueError: a closer with no turn of the model to stand in.
        """
        if segment.kind == "model":
            switch = self.header() if segment.ids else ()
            self.model(segment.ids)
            return switch, segment.ids
        ids = self._renderer.environment_ids(segment, self._stamped_ns)
        if segment.kind in CLOSERS:
            if self._role != _MODEL_ROLE:
                raise ValueError(f"</{segment.kind}> with no turn of the model open; closers follow what they close")
            self._last_id = ids[-1]
            return (), ids
        switch = ()
        if self._role == _MODEL_ROLE:
            switch = self._renderer.model_to_environment
            if switch and switch[0] == self._last_id:
                switch = switch[1:]  # the model ended its turn itself
        self._role, self._stamped_ns = _ENVIRONMENT_ROLE, segment.at_ns
        return switch, ids
