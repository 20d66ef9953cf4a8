"""What has been understood so far: the calls that are wanted, given the words heard, and nothing else.

Owns the causal reading of a request. A grounded reading restricts the gold calls to what their evidence says within
the words as they were heard: an argument counts once a word that can't go on with it (or the final update) closes it,
because "New York" may yet become "New York City", and "milk" may become "milk and eggs". How many calls there will be
is not known before something tells them apart. Does not know the call graph and what to do about it: that is the
expert's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from data_gen.gold import references
from data_gen.grounding.heard import as_heard, closes, cut_value, hanging_from, hangs, leaves_open, misheard
from data_gen.task import Evidence, GoldArg, GoldCall, Task
from midsentence.tools.tool import ToolSpec, mismatch

LEAST_WORDS = 2
"""A text of fewer words is hardly all that one looks something up by: "launch" of "launch agenda"."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that is wanted, as far as it has been understood."""

    gold: int
    """Which gold call it is, from 1."""
    spec: ToolSpec
    """Of its tool."""
    args: Mapping[str, Any]
    """Canonical values by parameter, in gold's own terms (a `Reference` is to a gold call)."""
    accepts: Mapping[str, GoldArg]
    """All that is accepted for those parameters."""
    complete: bool
    """Whether all that the call needs has been understood."""
    missing: tuple[str, ...] = ()
    """Required parameters that are not understood yet."""
    drafts: Mapping[str, str] = field(default_factory=dict)
    """Texts that are still being said, as far as they are; what ``args`` have in their place is about to be taken
    back."""
    pending: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that take the results of calls which are not complete themselves."""


class Reading(Protocol):
    """A causal reading of one request."""

    def wanted(self, heard: Sequence[str], final: bool) -> tuple[Wanted, ...]:
        """What is wanted after the words that were heard, in the order in which it became clear.

        Depends on those words alone: two requests in which they are heard share the answer, whatever was said and
            follows.
        """
        ...

    def when_quiet(self, heard: Sequence[str]) -> tuple[Wanted, ...]:
        """What is wanted if nobody says more after a silence, in which any text that has begun may be over."""
        ...


@dataclass(slots=True)
class GroundedReading:
    """The reading of a task whose gold arguments are grounded to words."""

    task: Task
    """Whose words are read."""
    eagerness: float = 0.0
    """Probability of looking up by a text that could be all before a word closes it; drawn by the prefix alone."""
    seed: int = 0
    """Of what is drawn."""
    _known: dict[tuple[tuple[str, ...], bool], tuple[Wanted, ...]] = field(init=False, default_factory=dict)

    def wanted(self, heard: Sequence[str], final: bool) -> tuple[Wanted, ...]:
        """See `Reading`."""
        key = (tuple(heard), final)
        if key not in self._known:
            reading = (
                GroundedReading(as_heard(self.task, heard), self.eagerness, self.seed)
                if misheard(self.task, heard)
                else self
            )
            self._known[key] = reading._wanted(_Heard(heard, final))
        return self._known[key]

    def when_quiet(self, heard: Sequence[str]) -> tuple[Wanted, ...]:
        """See `Reading`. A grounded reading can't tell a value that goes on from one that is over: nothing is, before
        the endpoint."""
        return ()

    def _wanted(self, heard: _Heard) -> tuple[Wanted, ...]:
        found: list[tuple[int, Wanted]] = []
        complete: dict[int, int] = {}
        for k, gold in enumerate(self.task.gold, start=1):
            spec = self.task.specs[gold.name]
            gold = cut_off(gold, heard.words, spec) if heard.final else gold
            if not heard.named(gold.name_evidence.end):
                continue
            known = {name: at for name in gold.args if (at := self._known_at(gold, name, heard, complete)) is not None}
            begun = self._begun(gold, spec, known, heard)
            taken = {
                name: text
                for name, text in begun.items()
                if spec.access == "read" and self._could_be_all(gold, name, text, heard)
            }
            known |= dict.fromkeys(taken, heard.count)
            gold = (
                replace(gold, args={**gold.args, **{name: GoldArg((text,)) for name, text in taken.items()}})
                if taken
                else gold
            )
            missing = tuple(p.name for p in spec.params if p.required and p.name in gold.args and p.name not in known)
            decisive = (known[p] for p in known if spec_requires(spec, p) or references(gold.args[p].values[0]))
            at = max(gold.name_evidence.end, *decisive, 0)
            args = {p.name: gold.args[p.name].values[0] for p in spec.params if p.name in known}
            drafts = {name: text for name, text in begun.items() if name not in taken}
            found.append(
                (at, Wanted(k, spec, args, {name: gold.args[name] for name in args}, not missing, missing, drafts))
            )
            if not missing:
                complete[k] = at
        # by the time they became clear; what takes a call's result became clear no earlier than it, and has a higher
        # number
        return _told_apart([wanted for _, wanted in sorted(found, key=lambda item: (item[0], item[1].gold))])

    def _known_at(self, gold: GoldCall, name: str, heard: _Heard, complete: Mapping[int, int]) -> int | None:
        """The word after which an argument is understood, or None if it is not."""
        arg, evidence = gold.args[name], gold.arg_evidence.get(name)
        if arg.left_out and evidence is None:
            return None
        value, names = arg.values[0], references(arg.values[0])
        if any(k not in complete for k in names):
            return None
        if evidence is None:
            if value == "" and spec_requires(self.task.specs[gold.name], name):
                return gold.name_evidence.end  # what a required parameter is given until something is said of it
            # nothing in the request says it: it follows from other calls' results, or may be left out
            return max(gold.name_evidence.end, *(complete[k] for k in names)) if names else None
        if not heard.closed(evidence.end):
            return None
        return max(evidence.end, *(complete[k] for k in names), 0)

    def _begun(self, gold: GoldCall, spec: ToolSpec, known: Mapping[str, int], heard: _Heard) -> dict[str, str]:
        """Texts that are being said in their own words and that no word has closed, as far as they have been heard."""
        found = {}
        for param in spec.params:
            span = gold.arg_evidence.get(param.name)
            if (
                heard.final
                or span is None
                or param.name in known
                or span.start >= heard.count
                or param.schema.get("type") != "string"
            ):
                continue
            value = gold.args[param.name].values[0]
            part = cut_value(value, heard.words[span.start :]) if not references(value) else None
            if part and mismatch(part, param.schema) is None:
                found[param.name] = part
        return found

    def _could_be_all(self, gold: GoldCall, name: str, text: str, heard: _Heard) -> bool:
        """Whether a text may be looked up by before it is over."""
        enough = len(text.split()) >= LEAST_WORDS and not hangs(heard.words[-1])
        return enough and drawn(self.seed, heard.words[: gold.arg_evidence[name].start]) < self.eagerness


class _Heard:
    """What of a request has been heard, and which stretches of it are over."""

    def __init__(self, words: Sequence[str], final: bool) -> None:
        self.words, self.count, self.final = words, len(words), final
        self._sure = hanging_from(words) if final and words and leaves_open(words) else self.count + 1
        # by place, how many words there are up to the first from there on that closes what stands before it
        self._closers = [self.count + 1] * (self.count + 1)
        for n in range(self.count - 1, -1, -1):
            self._closers[n] = n + 1 if closes(words[n]) else self._closers[n + 1]

    def named(self, end: int) -> bool:
        """Whether the words up to ``end`` have been heard that name a tool, and one more."""
        return end == 0 or self.count > end or self.final and self.count >= end

    def closed(self, end: int) -> bool:
        """Whether a value that is said by the words up to ``end`` is over; at an end of speech, if nothing hangs behind
        it."""
        return end == 0 or self.count >= end and (self.final and end < self._sure or self._closers[end] <= self.count)


def cut_off(gold: GoldCall, heard: Sequence[str], spec: ToolSpec) -> GoldCall:
    """The call that a listener takes a gold call for where speech ends within its values: each is what was heard of
    it."""
    n = len(heard)
    schemas = {param.name: param.schema for param in spec.params}
    args, spans = dict(gold.args), dict(gold.arg_evidence)
    for name, span in gold.arg_evidence.items():
        if span.start < n < span.end:
            parts = (cut_value(value, heard[span.start :]) for value in gold.args[name].values)
            values = [part for value in parts if (part := fitting(value, schemas[name])) is not None]
            if values:
                args[name], spans[name] = GoldArg(tuple(values)), Evidence(span.start, n)
    return GoldCall(gold.name, args, gold.name_evidence, spans)


def fitting(value: Any, schema: Mapping[str, Any]) -> Any:
    """As much of a cut value as its tool takes: of a choice, no half of one; of a list, the items before that. None for
    nothing."""
    while isinstance(value, list) and value and mismatch(value, schema) is not None:
        value = value[:-1]
    return None if value in (None, []) or mismatch(value, schema) is not None else value


def _told_apart(found: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Without the calls of which nothing is known that is not known of another: a listener can't tell that there are
    two.

    A call whose result another one takes stays.
    """
    used = {k for want in found for value in want.args.values() for k in references(value)}
    kept: list[Wanted] = []
    for want in found:
        alike = [
            other for other in found if other is not want and other.spec.name == want.spec.name and within(want, other)
        ]
        if want.complete:
            hidden = want.gold not in used and any(
                other.complete and within(other, want) and other in kept for other in alike
            )
        else:
            hidden = any(other.complete or not within(other, want) or other in kept for other in alike)
        if not hidden:
            kept.append(want)
    return tuple(kept)


def within(want: Wanted, other: Wanted) -> bool:
    """Whether all that is known of a call's arguments is known of another's."""
    return all(name in other.args and other.args[name] == value for name, value in want.args.items())


def reading_of(task: Task, eagerness: float = 0.0, seed: int = 0) -> Reading:
    """The causal reading of a task: its derivation's, or else its grounding.

    Args:
        task: the request.
        eagerness: probability of taking a value that may be complete before a word closes it.
        seed: what such draws follow from, beside the prefix.
    """
    return GroundedReading(task, eagerness, seed) if task.reading is None else task.reading.of(task, eagerness, seed)


def drawn(seed: int, words: Sequence[str]) -> float:
    """A number in [0, 1) that follows from a seed and the words up to a place."""
    digest = hashlib.sha256(" ".join([str(seed), *words]).encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def spec_requires(spec: ToolSpec, name: str) -> bool:
    """Whether a parameter is required."""
    return any(param.name == name and param.required for param in spec.params)
