"""What a task is: a spoken request, the tools at hand, and the calls it asks for.

Owns the one noun that every task source yields. Does not know how the request is cut into updates, how an agent
answers it, and how it is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from midsentence.clock import parse_now
from midsentence.tools.tool import Toolbox, ToolSpec

Split = Literal["train", "validation", "test"]
Label = Literal["fluent", "reparandum", "interregnum", "repair"]
"""What a word is in a disfluency, as linguists label it."""


class BadTask(ValueError):
    """A row that can't be used; the text names the row and the reason."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, half-open ``[start_ns, end_ns)`` from the start of the user's first word."""

    text: str
    """As it is spelled, punctuation included."""
    start_ns: int
    """Start, in nanoseconds."""
    end_ns: int
    """End, in nanoseconds; not included."""
    label: Label = "fluent"
    """Removing reparandum and interregnum gives back the fluent request."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which words say something: half-open word indices ``[start, end)``."""

    start: int
    """First word."""
    end: int
    """One past the last word."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The result of another gold call, in the place of a value. Rows write it ``"$k"``, and so does ``str``."""

    call: int
    """The place of that call in `Task.gold`, from 1."""

    def __str__(self) -> str:
        return f"${self.call}"


@dataclass(frozen=True, slots=True)
class Spliced:
    """A text with the results of other gold calls in it. Rows write it ``"the file is $1"``, and so does ``str``."""

    parts: tuple[str | Reference, ...]
    """Texts and references, in order."""

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class GoldArg:
    """What is accepted for one argument of a gold call."""

    values: tuple[Any, ...]
    """Accepted values, canonical first, at least one: JSON with `Reference` and `Spliced` in it. An empty text is a
    value like another."""
    optional: bool = False
    """Whether a call may do without it as well."""
    left_out: bool = False
    """Whether the canonical call does without it; only of one that is optional."""

    def __post_init__(self) -> None:
        if not self.values:
            raise BadTask("an argument of gold has no accepted value; give one, or leave the argument out")
        if self.left_out and not self.optional:
            raise BadTask(
                f"gold leaves out an argument that is not optional ({self.values[0]!r}); make it optional, or give it"
            )

    @property
    def must_be_given(self) -> bool:
        """Whether a call needs something here: it can neither do without it nor give an empty text."""
        return not self.optional and "" not in self.values

    @property
    def accepted(self) -> tuple[Any, ...]:
        """All that a call may give: of what it may do without, an empty text too, which says nothing."""
        return (*self.values, "") if self.optional else self.values


@dataclass(frozen=True, slots=True)
class GoldCall:
    """One call that the request asks for. Its ID is its place in `Task.gold`, from 1."""

    name: str
    """The tool's."""
    args: Mapping[str, GoldArg]
    """What is accepted, by parameter; `data_gen.gold.read_args` reads it from a row."""
    name_evidence: Evidence
    """The words after which it is clear that this tool is meant; ``[0, 0)`` where no word is needed."""
    arg_evidence: Mapping[str, Evidence]
    """The words that reveal each argument that the request gives; those of ``args`` that it does not give have none."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says in one go, of several: a stretch of a task's words and gold calls, and what the agent is to
    say to it."""

    kind: str
    """What it is to the turns before it; reports group by it. One of `KINDS`."""
    words: int
    """How many of the task's words have been said by its end."""
    calls: int
    """How many of the task's gold calls are asked for by its end."""
    answer: tuple[str, ...] = ()
    """Accepted answers, as `Task.answer`."""
    says: str = ""
    """What an answer says beside what calls have done; the whole answer where there are none, and the question where
    one is due."""
    asks: str = ""
    """``tool.parameter`` that a call needs and the user has not said: the agent has to ask for it."""
    quiet: bool = False
    """Whether nothing is to be done: no call may stand; a look-up that was thrown away again is in vain, and no
    fault."""
    interrupts: float = 0.0
    """Probability that the user begins it while the answer to the turn before is still being spoken."""


KINDS = (
    "request",
    "run_together",
    "long_pause",
    "follow_up",
    "underspecified",
    "clarified",
    "correction_before",
    "correction_after",
    "change_of_mind_before",
    "change_of_mind_after",
    "question",
    "backchannel",
    "thanks",
    "new_subject",
)
"""Kinds of turns. A turn that is ``underspecified`` leaves out what a call needs, and the next one gives it
(``clarified``), gives it and changes something else, before the effect (``correction_before``), or drops it all
(``change_of_mind_before``)."""


@dataclass(frozen=True)
class Task:
    """A request and what it asks for; or a conversation, whose turns share its words and gold calls out among
    themselves."""

    id: str
    """Unique within the source."""
    source: str
    """``bfcl``, ``assistant``, …"""
    split: Split
    """``train``, ``validation`` or ``test``."""
    words: tuple[Word, ...]
    """What the user says, with times."""
    tools: tuple[ToolSpec, ...]
    """The tools that the prompt lists, in order."""
    gold: tuple[GoldCall, ...]
    """The calls that count as right, in an order in which each comes after those it refers to."""
    toolbox: Callable[[], Toolbox]
    """A fresh world with these tools; each episode gets its own."""
    answer: tuple[str, ...] = ()
    """Accepted answers; empty where any short confirmation will do."""
    exact_answer: bool = False
    """Whether the answer must be one of them and nothing else (extractive question answering); otherwise it must hold
    one."""
    now: str | None = None
    """The user's date and time, ``YYYY-MM-DD HH:MM:SS``, that relative dates resolve against."""
    tags: tuple[str, ...] = ()
    """Labels that reports group by (category, disfluency types)."""
    meta: Mapping[str, Any] | None = None
    """What the source's own checker needs (BFCL: its function documents and possible answers)."""
    reading: Any = None
    """What the source knows of how the request is understood word by word (`data_gen.grounding.derivation.Derivation`);
    None where the gold calls' evidence is all there is."""
    turns: tuple[Turn, ...] = ()
    """Of a conversation its turns, in order; none for a single request. Its words are all turns' words, timed as if
    every answer took the same time; when a turn really begins depends on the agent (`data_gen.dialogue.user`). Its
    ``answer`` is empty."""

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
                raise BadTask(
                    f"task {self.id}: gold call {k} is to {call.name!r}; its tools are {', '.join(sorted(known))}"
                )
            if loose := sorted(call.arg_evidence.keys() - call.args.keys()):
                raise BadTask(
                    f"task {self.id}: gold call {k} to {call.name} has evidence for {loose[0]!r}, but no such argument; drop one"
                )
        for before, after in zip(self.words, self.words[1:]):
            if after.start_ns < before.start_ns:
                raise BadTask(f"task {self.id}: word {after.text!r} starts before {before.text!r}, which precedes it")
        if self.turns:
            self._check_turns()

    def _check_turns(self) -> None:
        if self.answer or self.exact_answer:
            raise BadTask(f"task {self.id}: it has turns, so each has its own answer; leave the task's empty")
        if (self.turns[-1].words, self.turns[-1].calls) != (len(self.words), len(self.gold)):
            raise BadTask(
                f"task {self.id}: its turns end with {self.turns[-1].words} words and {self.turns[-1].calls} calls; "
                f"it has {len(self.words)} and {len(self.gold)}"
            )
        words = calls = 0
        for n, turn in enumerate(self.turns, start=1):
            if turn.kind not in KINDS:
                raise BadTask(f"task {self.id}: turn {n} is of kind {turn.kind!r}; use one of {', '.join(KINDS)}")
            if turn.words <= words or turn.calls < calls:
                raise BadTask(
                    f"task {self.id}: turn {n} ends with {turn.words} words and {turn.calls} calls, the one before with "
                    f"{words} and {calls}; each has at least one word, in order"
                )
            if turn.quiet and turn.calls > calls:
                raise BadTask(f"task {self.id}: turn {n} is quiet, but gold has calls in it")
            words, calls = turn.words, turn.calls

    @cached_property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name."""
        return {spec.name: spec for spec in self.tools}

    @cached_property
    def is_question(self) -> bool:
        """Whether it is done by the right answer alone: it has accepted answers, and gold asks for no effect."""
        return bool(self.answer) and not any(self.specs[call.name].access == "write" for call in self.gold)

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
