"""What a task is: a spoken request, the tools at hand, and the calls it asks for.

Owns the one noun that every task source yields. Refuses to know how the request is cut into updates, how an agent
answers it, and how it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.clock import parse_now
from agent.tools.tool import Toolbox, ToolSpec

Split = Literal["train", "validation", "test"]


class BadTask(ValueError):
    """A row that can't be used; the text names the row and the reason."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, half-open ``[start_ns, end_ns)`` from the start of the user's first word."""

    text: str
    start_ns: int
    end_ns: int
    label: Literal["fluent", "reparandum", "interregnum", "repair"] = "fluent"
    """The linguists' label; removing reparandum and interregnum gives back the fluent request."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which words say something: half-open word indices ``[start, end)``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GoldCall:
    """One call that the request asks for. Its ID is its place in `Task.gold`, from 1."""

    name: str
    args: Mapping[str, tuple[Any, ...]]
    """Accepted values by parameter, canonical first; ``""`` among them means "may be left out", as in BFCL.
    ``"$k"`` is the result of gold call k, alone, inside lists, and inside texts."""
    name_evidence: Evidence
    """The words after which it is clear that this tool is meant; ``[0, 0)`` where no word is needed."""
    arg_evidence: Mapping[str, Evidence]
    """The words that reveal each argument that the request gives."""


@dataclass(frozen=True, slots=True)
class Task:
    """A request and what it asks for."""

    id: str
    source: str
    """``bfcl``, ``assistant``, …"""
    split: Split
    words: tuple[Word, ...]
    tools: tuple[ToolSpec, ...]
    gold: tuple[GoldCall, ...]
    toolbox: Callable[[], Toolbox]
    """A fresh world with these tools; each episode gets its own."""
    answer: tuple[str, ...] = ()
    """Accepted answers; empty where any short confirmation will do."""
    exact_answer: bool = False
    """Whether the answer must be one of them and nothing else (extractive question answering); otherwise it must hold one."""
    now: str | None = None
    """The user's date and time, ``YYYY-MM-DD HH:MM:SS``, that relative dates resolve against."""
    tags: tuple[str, ...] = ()
    """Labels that reports group by (category, disfluency types)."""
    meta: Mapping[str, Any] | None = None
    """What the source's own checker needs (BFCL: its function documents and possible answers)."""
    reading: Any = None
    """What the source knows of how the request is understood word by word (`data_gen.derivation.Derivation`); None where
    the gold calls' evidence is all there is."""

    def __post_init__(self) -> None:
        if not self.words:
            raise BadTask(f"task {self.id}: the request has no words; give it at least one")
        if self.now is not None:
            try:
                parse_now(self.now)
            except ValueError as error:
                raise BadTask(f"task {self.id}: {error}") from None
        known = {tool.name for tool in self.tools}
        for k, call in enumerate(self.gold, start=1):
            if call.name not in known:
                raise BadTask(f"task {self.id}: gold call {k} is to {call.name!r}; its tools are {', '.join(sorted(known))}")
        for before, after in zip(self.words, self.words[1:]):
            if after.start_ns < before.start_ns:
                raise BadTask(f"task {self.id}: word {after.text!r} starts before {before.text!r}, which precedes it")

    @property
    def request(self) -> str:
        """The request as text, words joined by single spaces."""
        return " ".join(word.text for word in self.words)

    def said(self, words: int | None = None) -> tuple[str, ...]:
        """The texts of the first ``words`` words; of all by default."""
        return tuple(word.text for word in self.words[:words])

    @property
    def speech_end_ns(self) -> int:
        """The end of the last word: where every latency starts to count."""
        return self.words[-1].end_ns
