"""The transcript: an append-only list of segments, each written by the model or by the environment.

Owns the noun `Segment`, the persistent chain that makes appending to a pure state cost the same at any length, and how
the text of an update says that words are taken back.
Does not know token ids of environment text: `midsentence.rendering.renderer` tokenises each segment by itself, so that
the ids of a prefix never change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from midsentence.clock import NS_PER_S

Kind = Literal[
    "model",
    "partial_query_update",
    "final_query_update",
    "tool_result",
    "tool_error",
    "cancel",
    "error",
    "silence",
    "think_interrupted",
    "tool_call_interrupted",
    "answer_interrupted",
]

MAX_RETRACTS = 1_000_000
"""More words are never taken back at once: no session has that many."""
_LONGEST_SILENCE_NS = 10**18
CLOSES: Mapping[Literal["think", "tool_call", "answer"], Kind] = {
    "think": "think_interrupted",
    "tool_call": "tool_call_interrupted",
    "answer": "answer_interrupted",
}
"""What closes a tag that a cut left open."""
CLOSERS: frozenset[Kind] = frozenset(CLOSES.values())
"""Written by the environment, but inside the model's turn."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the transcript."""

    kind: Kind
    """``model``, or the environment tag that opens the segment."""
    text: str
    """What the model wrote (derived from ``ids``), or the raw data of an environment segment, before escaping."""
    at_ns: int
    """When it was written: the end of its last token, or the arrival of the information."""
    ids: tuple[int, ...] = ()
    """Model segments *are* their token ids, as generated; empty for the environment's."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A persistent chain of segments; appending shares all that came before."""

    last: Segment | None = None
    """The newest segment; None if there is none."""
    before: Transcript | None = None
    """All segments before it; None if there are none."""
    length: int = 0
    """Number of segments."""

    def append(self, segment: Segment) -> Transcript:
        """A new transcript with ``segment`` at its end."""
        return Transcript(segment, self, self.length + 1)

    def __iter__(self) -> Iterator[Segment]:
        segments = []
        node: Transcript | None = self
        while node is not None and node.last is not None:
            segments.append(node.last)
            node = node.before
        return reversed(segments)

    def __len__(self) -> int:
        return self.length


def shortened(text: str, most_chars: int) -> str:
    """A text in at most about ``most_chars``: its head and its tail, and between them how much was left out."""
    if len(text) <= most_chars:
        return text
    tail = most_chars // 4
    head = most_chars - tail
    return f"{text[:head]} … [{len(text) - head - tail} characters left out] … {text[len(text) - tail :]}"


_TAKES_BACK = re.compile(r"^\[-(\d+)\] ?")
_SAYS_SO = re.compile(r"^\[-(?=\d+\])")
_SPARED = re.compile(r"^\[ -(?=\d+\])")


def update_text(text: str, retracts: int = 0) -> str:
    """The data of an update: ``[-2] words`` takes the last two words back first. A user who says "[-1]" takes nothing
    back."""
    text, retracts = _SAYS_SO.sub("[ -", text), min(retracts, MAX_RETRACTS)
    return f"[-{retracts}] {text}" if retracts else text


def says_a_word(text: str) -> bool:
    """Whether a text has anything but white space, punctuation and what can't be seen: a letter, a figure, a sign."""
    return any(unicodedata.category(char)[0] in "LNS" for char in text)


_MOST_HEARD = 8
"""Words that are told of an answer that was cut short: the last that were heard."""


def heard_text(heard: str) -> str:
    """The data of a cancel that is of an answer: the rest of it, after what was heard, was never said."""
    words = heard.split()
    if not words:
        return "your answer: nothing of it was heard"
    return f'your answer after "{"… " if len(words) > _MOST_HEARD else ""}{" ".join(words[-_MOST_HEARD:])}"'


def silence_text(silent_ns: int) -> str:
    """The data of a silence: for how many seconds nobody has spoken."""
    return f"{min(silent_ns, _LONGEST_SILENCE_NS) / NS_PER_S:g}"


def read_update(data: str) -> tuple[str, int]:
    """What was said in an update, and how many words it takes back first: the inverse of `update_text`."""
    taken = _TAKES_BACK.match(data)
    return _SPARED.sub("[-", data[taken.end() :] if taken else data), int(taken[1]) if taken else 0
