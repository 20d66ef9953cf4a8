"""The player of a soaked session, and what its user's words ask for.

Words come in pairs, a verb and a thing: ``look k1``, ``ask k2``, ``page k3``, ``send k4``, ``note k5``, and
``forward k6``, which sends what looking k6 up finds. ``no k7`` after a pair puts another thing in its place. All other
words mean nothing. `wanted` reads them, for the user and for the player; the judge asks it what the user ended up with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from midsentence.core.calls import Call, CallState
from midsentence.core.state import State
from midsentence.core.transcript import read_update
from midsentence.models.live import LiveModel, OnToken
from midsentence.testing import PAUSE, answer, calls

VERBS = ("look", "ask", "page", "send", "note", "forward")
_UPDATES = ("partial_query_update", "final_query_update")


def take(words: list[str], text: str, retracts: int = 0) -> None:
    """An update, as it changes what was said."""
    del words[max(0, len(words) - retracts) :]
    words += text.split()


def wanted(words: Sequence[str]) -> list[tuple[str, str]]:
    """What is asked for, as (verb, thing), each once, in the order said."""
    asked: list[tuple[str, str]] = []
    for verb, thing in pairwise(words):
        if verb in VERBS:
            asked.append((verb, thing))
        elif verb == "no" and asked:
            asked[-1] = asked[-1][0], thing
    return list(dict.fromkeys(asked))


@dataclass(slots=True)
class Player:
    """Plays the model: writes the difference between the calls that are wanted and those there are, and answers when
    there is none."""

    retried: set[int] = field(default_factory=set)

    def plan(self, state: State) -> str:
        """The next action."""
        words: list[str] = []
        for segment in state.transcript:
            if segment.kind in _UPDATES:
                take(words, *read_update(segment.text))
        lines = self._lines(state, wanted(words))
        if not lines:
            return answer("all done") if state.final_in_context else PAUSE
        if state.final_in_context and state.settings.commit == "line":
            lines.append("COMMIT")
        return calls(*lines)

    def _lines(self, state: State, asked: Iterable[tuple[str, str]]) -> list[str]:
        there = {call.id: call for call in state.graph.calls.values() if call.state is not CallState.CANCELLED}
        lines, kept, following = [], set(), state.graph.highest + 1

        def have(tool: str, argument: str) -> int:
            nonlocal following
            text = f"{tool}({argument})"
            for call in there.values():
                if _spelled(call) == text:
                    kept.add(call.id)
                    if call.state is CallState.FAILED and call.id > state.settled and call.id not in self.retried:
                        self.retried.add(call.id)
                        lines.append(f"{call.id}. {text}")
                    return call.id
            lines.append(f"{following}. {text}")
            following += 1
            return following - 1

        for verb, thing in asked:
            if verb == "forward":
                have("send", f"${have('look', _text(thing))}")
            else:
                have(verb, _text(thing))
        gone = [call for call in there.values() if call.id not in kept and not call.frozen]
        needed = {need for call in there.values() if call.frozen for need in call.needs}
        removed = [f"REMOVE {call.id}" for call in sorted(gone, key=lambda one: -one.id) if call.id not in needed]
        return removed + lines


def _text(thing: str) -> str:
    return f'"{thing}"'


def _spelled(call: Call) -> str:
    [value] = call.args.values() if call.args else [""]
    return f"{call.spec.name}({_text(value) if isinstance(value, str) else f'${min(call.needs)}'})"


class Faltering:
    """A model whose stream raises in the middle of one generation."""

    def __init__(self, model: LiveModel, generation: int, tokens: int) -> None:
        """After ``tokens`` tokens of the ``generation``-th, counted from 1."""
        self.model, self.generation, self.tokens, self.end_ids = model, generation, tokens, model.end_ids
        self.fell = False

    def open(self, prompt_ids: Sequence[int], seed: int = 0) -> Future[Any]:
        """See `LiveModel`."""
        opening = self.model.open(prompt_ids, seed)
        context = opening.result()
        write, begun = context.write, 0

        def faltering(header: Sequence[int], state: State, on_token: OnToken, foreseen: Sequence[int] = ()) -> None:
            nonlocal begun
            begun += 1
            left = self.tokens if begun == self.generation else -1

            def passed(token: int | Exception) -> None:
                nonlocal left
                if left == 0:
                    context.stop(0)
                    self.fell, token = True, RuntimeError("the stream broke")
                left -= 1
                on_token(token)

            write(header, state, passed, foreseen)

        context.write = faltering
        return opening
