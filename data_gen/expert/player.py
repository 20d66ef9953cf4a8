"""The expert: a reconciler that plays the model.

From what has been understood so far follows the set of calls that are wanted; the call graph says which exist; the
expert's action is the difference: issue, revise, remove, pause or answer. So it is short, repeats nothing by
construction, and is defined on any state, a trained model's mistakes included. It obeys the row of settings it runs
under, so that every mode, the baselines included, has an expert of its own.

    no difference, speech goes on          → <pause>
    calls wanted that are not there        → issue, or revise one that is there and not wanted
    calls there that are not wanted        → REMOVE; what was looked up stays until the request is over
    nothing to change, final update heard  → <answer>, at once if the results don't matter, else when they are in
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from configs.schema import DataConfig
from data_gen.expert.answers import SHORT, Answers, sentence, told
from data_gen.expert.order import Line, Planned, ordered
from data_gen.expert.replies import spoken_answer
from data_gen.gold import issued, references
from data_gen.grounding.heard import breaks_off, hangs
from data_gen.grounding.reading import Reading, Wanted, spec_requires, within
from data_gen.task import Task
from midsentence.core.calls import Call, CallState, call_line, call_text
from midsentence.core.lines import write_amend
from midsentence.core.reducer import State
from midsentence.core.transcript import Segment, read_update
from midsentence.core.values import refs, write_value
from midsentence.tools.normal import normal_form
from midsentence.tools.tool import Access, ToolSpec

Thoughts = Literal["slots", "none"]
"""``slots``: what changed since the model last wrote, as ``parameter=value``; ``none``: no thought at all."""

Patience = Literal["none", "costly", "all"]
"""Which reads wait until their clause is closed, see `_unclosed`."""

_MOST_TRIES = 3
_MOST_WRITES = 2
"""Calls that are made for one effect while the tool says that it did nothing; then the user is told."""
_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]")
QUIET_S = 0.6
"""How long nobody must have spoken for words that are whole to be taken as all."""
_COMMIT_COST = 4
"""About how many tokens an action that only commits takes: a shorter answer is no later."""
_LEAST_GROWTH = 1
"""Words by which texts that are being said must have grown before a line is written for them alone."""
_LOOKED_UP = (CallState.RUNNING, CallState.DONE)
_BAD = (CallState.FAILED, CallState.SKIPPED, CallState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Expert:
    """Plays the model on one task; `midsentence.shells.virtual` asks it for its next action."""

    task: Task
    reading: Reading
    thoughts: Thoughts = "slots"
    answers: Answers = "sentence"
    patience: Patience = "costly"

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
            wanted = _harmless(wanted, state)
        edits, ids = reconcile(wanted, state, ended, self.patience)
        edits = _first(edits, state)
        thought = self._thought(state, wanted, edits) if self.thoughts == "slots" else ""
        return thought + self._action(state, edits, ids, ended, wanted)

    def ended(self, state: State) -> bool:
        """Whether what was said is taken as whole: by the endpoint's word, or where a silence is enough, by it and the words.

        It is whole if nothing hangs at its end, and every call that it asks for has all that it needs. One that never becomes
        whole waits for the endpoint.
        """
        if state.final_in_context or state.settings.commit_on != "silence" or silent_s(state.transcript) < QUIET_S:
            return state.final_in_context
        heard = heard_in(state.transcript)
        wanted = self.reading.when_quiet(heard) if heard and not hangs(heard[-1]) else ()
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
        return written(lines) if lines and _cost(answer) > _COMMIT_COST else f"<answer>{answer}</answer>"

    def _committed(self, state: State, edits: Sequence[Edit], ids: Mapping[int, int], wanted: Sequence[Wanted]) -> list[str]:
        """The lines with the commits that they need, in the order in which all is done first (`data_gen.expert.order`)."""
        graph = state.graph
        gone = {id for edit in edits if not edit.gold for id in (edit.id, *graph.below(edit.id))}

        def waits(spec: ToolSpec) -> bool:
            return spec.access != "read" or not state.settings.speculates

        calls = {
            call.id: Planned(call.spec, call.needs, waits(call.spec) and not state.commits.covers(call))
            for id in sorted(graph.live) if id not in gone and not (call := graph[id]).missing
        }
        changed = {edit.id for edit in edits}
        for want in wanted:
            if (id := ids.get(want.gold)) in changed:
                needs = frozenset(ids[k] for value in want.args.values() for k in references(value) if k in ids)
                calls[id] = Planned(want.spec, needs, waits(want.spec))
        lines = [Line(edit.line, _cost(edit.line), edit.id, not edit.gold, edit.id not in graph) for edit in edits]
        return ordered(lines, calls, _cost)

    def _answer(self, state: State, ids: Mapping[int, int], wanted: Sequence[Wanted]) -> str:
        # what failed and was never wanted, or was done by a later call, is nothing to the user
        bad = next((state.graph[id] for id in sorted(ids.values()) if state.graph[id].state in _BAD), None)
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
            drafted = _is_held(call, state) or not self.ended(state) and is_drafted(call, wanted, state)
            if call.complete or call.gold in written or amends(state) and drafted:
                continue  # the draft says it
            old = before.get(call.gold) or next((w for w in gone if w.spec is call.spec and within(w, call)), None)
            # what follows from other calls is no news of the user's
            news = [f"{n}={write_value(v)}" for n, v in call.args.items() if not (old and n in old.args) and not references(v)]
            if news or old is None:
                parts.append(" ".join([f"{call.spec.name}:", *news, *(f"{name}=?" for name in call.missing)]))
        return f"<think>{'; '.join(parts)}</think>" if parts else ""


def heard_in(segments: Iterable[Segment]) -> tuple[str, ...]:
    """The words as they were heard, what was taken back left out: all that a transcript tells of what was said."""
    heard: list[str] = []
    for segment in segments:
        if segment.kind in ("partial_query_update", "final_query_update"):
            text, retracts = read_update(segment.text)
            del heard[max(0, len(heard) - retracts):]
            heard += text.split()
    return tuple(heard)


def silent_s(segments: Iterable[Segment]) -> float:
    """For how long nobody has spoken, as far as a transcript tells."""
    silent = 0.0
    for segment in segments:
        if segment.kind == "silence":
            silent = float(segment.text)
        elif segment.kind in ("partial_query_update", "final_query_update") and any(read_update(segment.text)):
            silent = 0.0
    return silent


def written(lines: Iterable[str]) -> str:
    """An action of lines."""
    return "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"


@dataclass(frozen=True, slots=True)
class Edit:
    """One line of an action."""

    line: str
    gold: int = 0
    """The gold call that it issues or revises; 0 for a removal."""
    id: int = 0
    """The ID of that call."""
    access: Access = "read"
    """The class of its tool."""


def expert_of(task: Task, reading: Reading, data: DataConfig, thoughts: str = "") -> Expert:
    """The expert as the settings have it; ``thoughts`` in the place of the settings' where they are given."""
    said = cast(Thoughts, thoughts or data.thoughts), cast(Answers, data.answers), cast(Patience, data.patience)
    return Expert(task, reading, *said)


def reconcile(
    wanted: Sequence[Wanted], state: State, final: bool, patience: Patience = "costly"
) -> tuple[list[Edit], dict[int, int]]:
    """The lines that turn the calls there are into the calls wanted, and the ID of each gold call.

    Defined on any state: calls that nobody wants are revised into ones that are wanted, or removed; those that already
    took effect are left alone. What failed for good stands for what is wanted; what needs its result gets no line and no ID.
    """
    spare = [call for _, call in sorted(state.graph.calls.items()) if call.state is not CallState.CANCELLED]
    ids: dict[int, int] = {}
    edits: list[Edit] = []
    next_id = state.graph.highest + 1
    waiting, drafted = _whole_and_drafted(wanted, state, final, patience)
    claimed = _claimed(drafted, spare, state)
    stands: dict[str, int] = {}
    lost: set[int] = set()
    while waiting:
        unmatched = []
        for want in waiting:
            unknown = {other.gold for other in waiting} - ids.keys()
            match = _standing([call for call in spare if _serves(call, want, ids, unknown)])
            if match is not None:
                spare.remove(match)
                ids[want.gold] = match.id
                stands[call_line(0, match.spec, match.args)] = match.id
                # what failed may have been misheard, so nothing is tried again before all has been heard
                hopeless = not (_may_retry(state, match) and final)
                if match.state is CallState.UNKNOWN or match.state is CallState.FAILED and hopeless:
                    lost.add(want.gold)
            elif lost & {k for value in want.args.values() for k in references(value)}:
                lost.add(want.gold)
            else:
                unmatched.append(want)
        if not unmatched:
            break
        # one at a time: once it has its ID, what takes its result may turn out to stand already, and need no line
        want, *waiting = unmatched
        if not final and (one := stands.get(_same(want, ids))) is not None:
            ids[want.gold] = one  # what makes the two different may still be said; until then one call does
            continue
        theirs = [call.id for call in claimed.values()]
        free = [call for call in spare if state.graph.effect_below(call.id) is None]
        old = _to_revise([call for call in free if call.id not in theirs] or free, want, ids, state)
        if old is not None:
            spare.remove(old)
        id = old.id if old is not None else next_id
        next_id += old is None
        ids[want.gold] = id
        stands[_same(want, ids)] = id
        edits += _lines(want, id, old, {name: issued(value, ids) for name, value in want.args.items()}, state)
    for want in drafted:
        # what was taken as whole at a false end, and has taken effect, is not written again while nothing else is said
        if (done := next((call for call in spare if _says(call, want, ids) and state.graph.effect_below(call.id)), None)) is not None:
            spare.remove(done)
            ids[want.gold] = done.id
            continue
        match = claimed.get(want.gold)
        match = match if match is not None and match in spare else _to_revise(
            [call for call in spare if state.graph.effect_below(call.id) is None], want, ids, state)
        if match is not None:
            spare.remove(match)
        args = {name: issued(value, ids) for name, value in _drafts(want, state).items() if _has_ids(value, ids)}
        if not args and match is None and want.gold not in _operands(wanted):
            continue
        id = match.id if match is not None else next_id
        next_id += match is None
        ids[want.gold] = id
        edits += _lines(want, id, match, args, state)
    free = [call for call in spare if state.graph.effect_below(call.id) is None]
    # a later clause may ask for what was looked up, and to look it up again would be a repetition; of an earlier turn it was told
    free = [call for call in free if call.spec.access == "write" or not _is_kept(call, state, final)]
    # what is tried again comes first: other lines may need its result, and one call a turn is all that some modes have
    again = [
        Edit(call_line(id, call.spec, call.args), gold, id, call.spec.access)
        for id, gold in {id: gold for gold, id in ids.items()}.items()
        if final and id in state.graph and _may_retry(state, call := state.graph[id])
    ]
    # what is committed may start while other lines are written, so it is taken back first
    removed = [Edit(f"REMOVE {call.id}", id=call.id) for call in _roots(free)]
    first = [edit for edit in removed if state.commits.lets_go(state.graph[edit.id]) and state.graph[edit.id].spec.access == "write"]
    edits = [*first, *again, *edits, *(edit for edit in removed if edit not in first)]
    return edits, ids


def _is_kept(call: Call, state: State, final: bool) -> bool:
    """Whether something that was looked up, and is not wanted, stays all the same."""
    return call.state is CallState.DONE and call.id <= state.settled if final else call.state in _LOOKED_UP


def _first(edits: Sequence[Edit], state: State) -> list[Edit]:
    """As many calls as one action may have, and every removal: this action is a commit point for all that is there.

    A write that would be revised by a later action is removed instead.
    """
    calls = [edit for edit in edits if edit.gold]
    limit = len(calls) if state.settings.calls_per_action is None else state.settings.calls_per_action
    wrong = [edit.id for edit in calls[limit:] if edit.id in state.graph.live and state.graph[edit.id].spec.access == "write"]
    return [*calls[:limit], *(edit for edit in edits if not edit.gold), *(Edit(f"REMOVE {id}", id=id) for id in wrong)]


def _same(want: Wanted, ids: Mapping[int, int]) -> str:
    """A text that two wanted calls share when they would be the same call."""
    return call_line(0, want.spec, {name: issued(value, ids) for name, value in want.args.items()})


def _standing(calls: Sequence[Call]) -> Call | None:
    """The call that stands, of those that are what is wanted; a write that failed does when it was tried often enough."""
    failed = [call for call in calls if call.state is CallState.FAILED and call.spec.access == "write"]
    standing = [call for call in calls if call not in failed]
    return next(iter(standing or failed[_MOST_WRITES - 1:]), None)


def _serves(call: Call, want: Wanted, ids: Mapping[int, int], unknown: Set[int]) -> bool:
    """Whether a call is what is wanted, with any accepted value; ``unknown`` are gold calls that have no ID yet."""
    if call.spec.name != want.spec.name:
        return False
    if unknown.isdisjoint(k for value in want.args.values() for k in references(value)):
        if call.text == call_text(want.spec, {name: issued(value, ids) for name, value in want.args.items()}):
            return True
    for name, arg in want.accepts.items():
        if name not in call.args:
            if arg.must_be_given:
                return False
        elif not any(_alike(call, name, issued(value, ids)) for value in arg.accepted if unknown.isdisjoint(references(value))):
            return False
    # what means nothing (a null, a default) asks for nothing else
    return all(name in want.accepts for name in normal_form(call.spec, call.args, own=False))


def amends(state: State) -> bool:
    """Whether single arguments may be written: what stands is told apart from what is new by the line, not by the call."""
    return state.settings.revise == "amend" and state.settings.calls_per_action is None


def _whole_and_drafted(
    wanted: Sequence[Wanted], state: State, final: bool, patience: Patience
) -> tuple[list[Wanted], list[Wanted]]:
    """The calls that are wanted as they are, and those that are not whole but written down all the same.

    See `is_drafted`; what takes the result of a draft is one too.
    """
    undecided = set() if final else _unclosed(wanted, state, patience)
    drafts = amends(state) and not final
    drafted = [want for want in wanted if drafts and is_drafted(want, wanted, state)]
    undecided |= {want.gold for want in drafted}
    # a line can name only what has an ID
    drafted.sort(key=lambda want: want.gold not in _operands(wanted))
    whole = []
    for want in wanted:
        if want.complete and want.gold not in undecided:
            if undecided & {k for value in want.args.values() for k in references(value)}:
                undecided.add(want.gold)
                drafted += [want] if drafts and _is_held(want, state) else []
            else:
                whole.append(want)
    return whole, drafted


def is_drafted(want: Wanted, wanted: Sequence[Wanted], state: State) -> bool:
    """Whether what is not whole is written down all the same: it is held anyway, or can't run before a required argument is given."""
    if want.complete and not want.drafts:
        return False
    if _is_held(want, state):
        return bool(want.args or want.drafts or want.pending)
    waits = any(spec_requires(want.spec, name) for name in want.missing)
    return waits and bool(want.args or want.gold in _operands(wanted))


def _operands(wanted: Sequence[Wanted]) -> set[int]:
    """The calls that are not whole and whose results others take."""
    return {k for want in wanted for value in want.pending.values() for k in references(value)}


def _drafts(want: Wanted, state: State) -> dict[str, Any]:
    """What a draft says: all that is known, but of what would run at once nothing that is still being said."""
    return {**want.args, **want.pending, **(want.drafts if _is_held(want, state) else {})}


def _unclosed(wanted: Sequence[Wanted], state: State, patience: Patience) -> set[int]:
    """The reads that would run at once and of which more may be said: there is an argument that has not been, and nothing that was
    heard since asks for another call. To start one now would be to pay for "the weather", for that "in Berlin", and for "today".
    """
    found: set[int] = set()
    for n, want in enumerate(wanted):
        waits = patience == "all" or patience == "costly" and want.spec.costly
        if waits and not _is_held(want, state) and any(param.name not in want.args for param in want.spec.params):
            # what takes its result became clear with it, from words that may be older
            users = {want.gold}
            for later in wanted[n + 1:]:
                if users & {k for value in later.args.values() for k in references(value)}:
                    users.add(later.gold)
            if all(later.gold in users for later in wanted[n + 1:]):
                found.add(want.gold)
    return found


def _is_held(want: Wanted, state: State) -> bool:
    """Whether a call waits for the commit whatever it says, so that it costs nothing to write it before it is whole."""
    free = want.spec.access == "read" or want.spec.name in state.settings.allowed_egress
    return not (free and state.settings.speculates)


def _harmless(wanted: Sequence[Wanted], state: State) -> list[Wanted]:
    """Of what is wanted where speech is said to end and words break off ("blue at twenty percent, and"), what may run all the same."""
    held: set[int] = set()
    for want in wanted:
        if _is_held(want, state) or held & {k for value in want.args.values() for k in references(value)}:
            held.add(want.gold)
    return [want for want in wanted if want.gold not in held]


def _claimed(drafted: Sequence[Wanted], spare: Sequence[Call], state: State) -> dict[int, Call]:
    """The calls that were written for what is not whole yet, by gold call: those that have something in common with it."""
    found: dict[int, Call] = {}
    scores = []
    for n, want in enumerate(drafted):
        for call in spare:
            if call.spec.name == want.spec.name and state.graph.effect_below(call.id) is None and call.state is not CallState.FAILED:
                scores.append((-_in_common(call, want), n, call.id, want, call))
    for score, _, _, want, call in sorted(scores, key=lambda entry: entry[:3]):
        if score < 0 and want.gold not in found and call not in found.values():
            found[want.gold] = call
    return found


def _in_common(call: Call, want: Wanted) -> int:
    """How much of a call is what is wanted: equal arguments, and texts of which one goes on with the other."""
    found = 0
    for name, value in {**want.args, **want.drafts}.items():
        had = call.args.get(name)
        same = isinstance(had, str) and isinstance(value, str) and bool(had) and (value.startswith(had) or had.startswith(value))
        found += 2 * (had == value or same or had is not None and not isinstance(had, str) and bool(references(value)))
    return found


def _says(call: Call, want: Wanted, ids: Mapping[int, int]) -> bool:
    """Whether a call says all that is said of a draft so far, and nothing else."""
    said = {**want.args, **want.drafts, **want.pending}
    if call.spec.name != want.spec.name or set(normal_form(call.spec, call.args, own=False)) - said.keys():
        return False
    for name, value in said.items():
        had = call.args.get(name)
        begun = name in want.drafts and isinstance(had, str) and had.startswith(value)
        if name not in call.args or not _has_ids(value, ids) or not (begun or _alike(call, name, issued(value, ids))):
            return False
    return bool(said)


def _has_ids(value: Any, ids: Mapping[int, int]) -> bool:
    return all(k in ids for k in references(value))


def _lines(want: Wanted, id: int, old: Call | None, args: Mapping[str, Any], state: State) -> list[Edit]:
    """The lines that make call ``old`` the wanted one, or issue it: single arguments where they are fewer tokens."""
    whole = Edit(call_line(id, want.spec, args), want.gold, id, want.spec.access)
    if old is None or not amends(state):
        return [whole]
    if want.complete and not want.drafts and any(name not in args for name in normal_form(old.spec, old.args, own=False)):
        return [whole]  # an argument can be set anew, not taken out
    lines: list[str] = []
    changed: list[str] = []
    grown = 0
    for param in want.spec.params:
        if param.name not in args or param.name in old.args and _alike(old, param.name, args[param.name]):
            continue
        if param.name not in old.args and not normal_form(want.spec, {param.name: args[param.name]}, own=False):
            continue  # its default, which a call without it has already
        value, had = args[param.name], old.args.get(param.name)
        if isinstance(value, str) and isinstance(had, str) and had and value.startswith(had):
            changed.append(param.name)
            grown += len(value[len(had):].split())
            lines.append(write_amend(id, param.name, value[len(had):], append=True))
        elif not (param.name in want.drafts and isinstance(had, str) and had.startswith(value)):
            changed.append(param.name)
            grown += len(value.split()) if isinstance(value, str) else _LEAST_GROWTH
            lines.append(write_amend(id, param.name, value))
    if sum(map(_cost, lines)) > _cost(whole.line):
        return [whole]
    if want.drafts and lines and all(name in want.drafts and name in old.args for name in changed) and grown < _LEAST_GROWTH:
        return []
    return [Edit(line, want.gold, id, want.spec.access) for line in lines]


def _alike(call: Call, name: str, value: Any) -> bool:
    """Whether an argument of a call is a value, or says the same to its tool beside the call's other arguments.

    What one argument says may depend on another: with ``all_day``, "on Friday" is a date, and "Friday at nine" the same one.
    """
    had = call.args[name]
    if had == value or not (isinstance(had, str) and isinstance(value, str)) or call.spec.canonical is None:
        return bool(had == value)
    rest = {other: given for other, given in call.args.items() if not any(refs([given]))}  # no tool knows what a result will be
    return call_text(call.spec, {**rest, name: had}) == call_text(call.spec, {**rest, name: value})


def _cost(line: str) -> int:
    """About how many tokens a line takes."""
    return len(_PIECES.findall(line)) + 1


def _to_revise(free: Sequence[Call], want: Wanted, ids: Mapping[int, int], state: State) -> Call | None:
    """The call to put the wanted one in place of: one of the same tool, with most in common."""
    needed = {ids[k] for value in want.args.values() for k in _needs(value, ids)}
    if amends(state):  # an operand may be any call that is not made from this one
        fits = [call for call in free if not needed & {call.id, *state.graph.below(call.id)}]
    else:
        fits = [call for call in free if call.id > max(needed, default=0)]
    # a write that failed keeps its ID dead: a new attempt takes a new one
    fits = [call for call in fits if call.spec.name == want.spec.name and call.state is not CallState.FAILED]
    return max(fits, key=lambda call: (sum(call.args.get(n) == issued(v, ids) for n, v in want.args.items()), -call.id), default=None)


def _needs(value: Any, ids: Mapping[int, int]) -> list[int]:
    return [k for k in references(value) if k in ids]


def _roots(calls: Sequence[Call]) -> list[Call]:
    """Calls whose removal takes the others with it; those that failed or were skipped harm nobody and stay."""
    calls = [call for call in calls if call.state not in _BAD]
    return [call for call in calls if not any(other.id in call.needs for other in calls)]


def _may_retry(state: State, call: Call) -> bool:
    """Whether a read that failed is tried again: versions that never ran, for more was heard, were no tries."""
    if call.state is not CallState.FAILED or call.spec.access == "write":
        return False
    told = (segment.text.partition(":")[0].partition("v")[0] for segment in state.transcript if segment.kind == "tool_error")
    return sum(id == str(call.id) for id in told) < _MOST_TRIES
