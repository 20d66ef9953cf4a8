"""The expert: a reconciler that plays the model.

From what has been understood so far follows the set of calls that are wanted; the call graph says which exist; the
expert's action is the difference (`data_gen.expert.edits`): issue, revise, remove, pause or answer. So it is short,
repeats nothing by construction, and is defined on any state, a trained model's mistakes included. It obeys the row of
settings it runs under, so that every mode, the baselines included, has an expert of its own.

    no difference, speech goes on          → <pause>
    calls wanted that are not there        → issue, or revise one that is there and not wanted
    calls there that are not wanted        → REMOVE; what was looked up stays until the request is over
    nothing to change, final update heard  → <answer>, at once if the results don't matter, else when they are in
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from configs.schema import DataConfig
from data_gen.expert.answers import SHORT, Answers, sentence, told
from data_gen.expert.drafts import Patience, amends, harmless, is_drafted, is_held
from data_gen.expert.edits import BAD, Edit, cost_of, first_edits, reconcile
from data_gen.expert.listening import heard_in, silent_s
from data_gen.expert.order import Line, Planned, ordered
from data_gen.expert.replies import spoken_answer
from data_gen.gold import references
from data_gen.grounding.heard import breaks_off, hangs_last
from data_gen.grounding.reading import Reading, Wanted, within
from data_gen.task import Task
from midsentence.core.reducer import State
from midsentence.core.values import write_value
from midsentence.tools.tool import ToolSpec

Thoughts = Literal["slots", "none"]
"""``slots``: what changed since the model last wrote, as ``parameter=value``; ``none``: no thought at all."""
QUIET_S = 0.6
"""How long nobody must have spoken for words that are whole to be taken as all."""
_COMMIT_COST = 4
"""About how many tokens an action that only commits takes: a shorter answer is no later."""


@dataclass(frozen=True, slots=True)
class Expert:
    """Plays the model on one task; `midsentence.shells.virtual` asks it for its next action."""

    task: Task
    """Whose gold it plays."""
    reading: Reading
    """What of it has been understood when."""
    thoughts: Thoughts = "slots"
    """What it thinks before it acts (`data.thoughts`)."""
    answers: Answers = "sentence"
    """How it answers (`data.answers`)."""
    patience: Patience = "costly"
    """Which calls wait for the end of their clause (`data.patience`)."""

    def __post_init__(self) -> None:
        if self.patience not in get_args(Patience):
            raise ValueError(f"data.patience is {self.patience!r}; use one of {', '.join(get_args(Patience))}")
        if self.answers not in get_args(Answers):
            raise ValueError(f"data.answers is {self.answers!r}; use {' or '.join(get_args(Answers))}")

    def plan(self, state: State) -> str:
        """The next action in ``state``, as text."""
        heard, ended = heard_in(state.transcript), self.ended(state)
        quiet = ended and not state.final_in_context
        wanted: Sequence[Wanted] = self.reading.when_quiet(heard) if quiet else self.reading.wanted(heard, ended)
        if ended and breaks_off(heard):
            wanted = harmless(wanted, state)
        edits, ids = reconcile(wanted, state, ended, self.patience)
        edits = first_edits(edits, state)
        thought = self._thought(state, wanted, edits) if self.thoughts == "slots" else ""
        return thought + self._action(state, edits, ids, ended, wanted)

    def ended(self, state: State) -> bool:
        """Whether what was said is taken as whole: by the endpoint's word, or where a silence is enough, by it and the
        words.

        It is whole if nothing hangs at its end, and every call that it asks for has all that it needs. One that never
        becomes whole waits for the endpoint.
        """
        if state.final_in_context or state.settings.commit_on != "silence" or silent_s(state.transcript) < QUIET_S:
            return state.final_in_context
        heard = heard_in(state.transcript)
        wanted = self.reading.when_quiet(heard) if heard and not hangs_last(heard) else ()
        return bool(wanted) and all(want.complete for want in wanted)

    def _action(
        self, state: State, edits: Sequence[Edit], ids: Mapping[int, int], ended: bool, wanted: Sequence[Wanted]
    ) -> str:
        lines = [edit.line for edit in edits]
        if state.settings.commit == "line" and ended:
            lines = self._committed(state, edits, ids, wanted)
        if edits:
            return written(lines)
        if not ended:
            return "<pause>"
        # what was looked up for the user's own sake must be known before one can answer; a write's "sent" need not
        live = [state.graph[id] for id in sorted(state.graph.live)]
        if any(call.spec.access != "write" and not any(call.id in other.needs for other in live) for call in live):
            return written(lines) if lines else "<pause>"
        answer = self._answer(state, ids, wanted)
        # an answer commits too, but not before it is written
        return written(lines) if lines and cost_of(answer) > _COMMIT_COST else f"<answer>{answer}</answer>"

    def _committed(
        self, state: State, edits: Sequence[Edit], ids: Mapping[int, int], wanted: Sequence[Wanted]
    ) -> list[str]:
        """The lines with the commits that they need, in the order in which all is done first
        (`data_gen.expert.order`)."""
        graph = state.graph
        gone = {id for edit in edits if not edit.gold for id in (edit.id, *graph.below(edit.id))}

        def waits(spec: ToolSpec) -> bool:
            return spec.access != "read" or not state.settings.speculates

        calls = {
            call.id: Planned(call.spec, call.needs, waits(call.spec) and not state.commits.covers(call))
            for id in sorted(graph.live)
            if id not in gone and not (call := graph[id]).missing
        }
        changed = {edit.id for edit in edits}
        for want in wanted:
            if (id := ids.get(want.gold)) in changed:
                needs = frozenset(ids[k] for value in want.args.values() for k in references(value) if k in ids)
                calls[id] = Planned(want.spec, needs, waits(want.spec))
        lines = [Line(edit.line, cost_of(edit.line), edit.id, not edit.gold, edit.id not in graph) for edit in edits]
        return ordered(lines, calls, cost_of)

    def _answer(self, state: State, ids: Mapping[int, int], wanted: Sequence[Wanted]) -> str:
        # what failed and was never wanted, or was done by a later call, is nothing to the user
        bad = next((state.graph[id] for id in sorted(ids.values()) if state.graph[id].state in BAD), None)
        if self.task.turns:
            return spoken_answer(self.task, self.answers, len(heard_in(state.transcript)), wanted, state, ids, bad)
        said = SHORT if bad is None else f"I could not finish {bad.spec.name}."
        if self.answers == "sentence":
            said = sentence(told(ids.values(), state.graph.calls), state.graph.calls, bad)
        # of a request that is not over nobody knows what it will have asked
        if bad is None and self.task.answer and len(heard_in(state.transcript)) >= len(self.task.words):
            told_it = self.answers == "sentence" and not self.task.exact_answer
            return said if told_it and any(value in said for value in self.task.answer) else self.task.answer[0]
        return said

    def _thought(self, state: State, wanted: Sequence[Wanted], edits: Sequence[Edit]) -> str:
        """What has been understood since the model last wrote, of calls that are not written out below."""
        segments = list(state.transcript)
        last = max((n for n, segment in enumerate(segments) if segment.kind == "model"), default=-1)
        before = {w.gold: w for w in self.reading.wanted(heard_in(segments[: max(last, 0)]), False)}
        written = {edit.gold for edit in edits}
        # of several that could not be told apart, which one turns out to be meant is no news
        gone = [w for k, w in before.items() if not w.complete and all(call.gold != k for call in wanted)]
        parts = []
        for call in wanted:
            drafted = is_held(call, state) or not self.ended(state) and is_drafted(call, wanted, state)
            if call.complete or call.gold in written or amends(state) and drafted:
                continue  # the draft says it
            old = before.get(call.gold) or next((w for w in gone if w.spec is call.spec and within(w, call)), None)
            # what follows from other calls is no news of the user's
            news = [
                f"{n}={write_value(v)}"
                for n, v in call.args.items()
                if not (old and n in old.args) and not references(v)
            ]
            if news or old is None:
                parts.append(" ".join([f"{call.spec.name}:", *news, *(f"{name}=?" for name in call.missing)]))
        return f"<think>{'; '.join(parts)}</think>" if parts else ""


def expert_of(task: Task, reading: Reading, data: DataConfig, thoughts: str = "") -> Expert:
    """The expert as the settings have it; ``thoughts`` in the place of the settings' where they are given."""
    said = cast(Thoughts, thoughts or data.thoughts), cast(Answers, data.answers), cast(Patience, data.patience)
    return Expert(task, reading, *said)


def written(lines: Iterable[str]) -> str:
    """An action of lines."""
    return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"
