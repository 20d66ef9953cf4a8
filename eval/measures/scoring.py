"""Whether an episode did what was asked: its calls and effects against gold, and if not, why not.

Owns the match of calls to gold calls, the comparison of the log of effects, the answer's comparison, and the causes of
failure. Does not know time. BFCL's rows are judged by BFCL's own checker.

An episode is right if it ended by answering, its calls are right and its answer is. Calls are right if every gold call
was run to its end with accepted arguments (references resolved) and the whole log of effects is what gold's would be:
no effect more, none less, and in gold's order wherever the order shows: in the final state of a world that has one, and
in a world that has none, among the writes of one resource. Texts count as said: capitals and the punctuation that
closes words are style, and a write whose arguments mean the same to the world is the same write. Doing nothing is never
a success. An extra read is not a failure; it counts as waste. For a question (a task with accepted answers that asks
for no effect) only the answer is judged, and that there was no effect; any reads may lead to it.

For the tools that a toolbox names in ``shows``, opening something only for its result is optional: an extra opening is
not a fault if a call that gold asks for takes its result, and gold's own opening is not required if gold takes its
result.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from data_gen.gold import canonical, filled, gold_args, references, rehearse
from data_gen.task import GoldCall, Task
from midsentence.core.calls import CallState
from midsentence.core.reducer import State
from midsentence.core.values import as_text, resolve
from midsentence.tools.text import spoken
from midsentence.tools.tool import Toolbox, ToolSpec, effects_in, shown_by, state_of

CAUSES = (
    "malformed",
    "out of budget",
    "held too long",
    "no answer",
    "wrong tool",
    "wrong argument",
    "missing",
    "repeated",
    "extra",
    "wrong order",
    "wrong answer",
)
"""Why an episode is not right; the first that applies is its cause."""

_OUTCOMES = {"invalid_actions": "malformed"} | dict.fromkeys(
    ("out_of_budget", "context_overflow", "too_long"), "out of budget"
)
_MOST_STEPS = 20_000
_MOST_CHOICES = 512


@dataclass(frozen=True, slots=True)
class Ran:
    """A call that was run to its end and still stands when the episode is over."""

    id: int
    """The call's ID."""
    name: str
    """The tool's name."""
    args: Mapping[str, Any]
    """By parameter name, references resolved."""
    result: Any = None
    """What the tool returned."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What optional parameters mean when they are left out: to say a default is to leave it out."""


@dataclass(frozen=True, slots=True)
class Score:
    """The verdict on one episode."""

    right: bool
    """Whether calls and answer are right."""
    calls_right: bool
    """Whether the calls did what gold asks for and nothing else."""
    answer_right: bool
    """Whether the answer holds what gold asks for."""
    cause: str
    """One of `CAUSES`; empty where right."""
    why: str
    """The cause in detail, for reading."""
    useful: tuple[int, ...]
    """IDs of the calls that did what gold asks for; every other start of a tool was in vain."""


def score(
    task: Task, state: State, outcome: str, answer: str | None, toolbox: Toolbox, ran: Sequence[Ran] | None = None
) -> Score:
    """Judges an episode.

    Args:
        task: what was asked.
        state: the core's last state.
        outcome: the rollout's.
        answer: the text that went out last, if any.
        toolbox: the world that the episode ran in; its ``effects`` are read if it keeps any.
        ran: the calls to judge; by default all that were run to their end.
    """
    ran = calls_run(state) if ran is None else list(ran)
    found = match(task.gold, ran)
    useful = tuple(sorted(found.values()))
    if task.source == "bfcl":
        from eval.measures import bfcl

        verdict = bfcl.check(task, [(call.name, call.args) for call in ran])
        calls_right, why = verdict.valid, verdict.error
        useful = tuple(call.id for call in ran) if verdict.valid else useful
    elif task.is_question:
        effects = effects_of(toolbox)
        calls_right, why = not effects, f"effects {_short(effects)} of a question" if effects else ""
    else:
        found = paired(task, ran, found)
        used = openings_used(toolbox, ran, found)
        calls_right = done_right(task, toolbox, ran, found, used)
        useful = tuple(sorted({*found.values(), *(call.id for call in used)}))
        why = "" if calls_right else difference(task, toolbox, ran, useful, found)
    said = answer or ""
    answered = outcome == "answered" and bool(said.strip())
    answer_right = answered and (not task.answer or any(holds(said, gold, task.exact_answer) for gold in task.answer))
    right = answered and calls_right and answer_right
    cause = "" if right else _cause(task, state, outcome, answered, calls_right, ran, found)
    if not right and (calls_right or not why or not answered):
        why = f"answered {answer!r}" if answered else f"ended as {outcome}"
    return Score(right, calls_right, answer_right, cause, "" if right else why, useful)


def calls_run(state: State) -> list[Ran]:
    """The calls of the final graph that were run to their end, in ID order."""
    done = [call for _, call in sorted(state.graph.calls.items()) if call.state is CallState.DONE]
    results = {call.id: call.result for call in done}
    return [
        Ran(
            call.id,
            call.spec.name,
            resolve(dict(call.args), results),
            call.result,
            {param.name: param.default for param in call.spec.params if not param.required},
        )
        for call in done
        if call.needs <= set(results)
    ]


def match(gold: Sequence[GoldCall], ran: Sequence[Ran]) -> dict[int, int]:
    """Pairs gold calls with calls: ``{place in gold: call ID}``, as many as there can be.

    A call serves a gold call if it is to the same tool, every argument is an accepted value (a reference to gold call k
    stands for the result of the call that serves it), and it has no other argument.
    """
    best: dict[int, int] = {}
    steps = 0

    def search(k: int, pairs: dict[int, int], results: dict[int, Any]) -> None:
        nonlocal best, steps
        steps += 1
        if len(pairs) > len(best):
            best = dict(pairs)
        if k > len(gold) or steps > _MOST_STEPS or len(best) == len(gold):
            return
        for call in ran:
            if call.id not in pairs.values() and serves(call, gold[k - 1], results):
                search(k + 1, {**pairs, k: call.id}, {**results, k: call.result})
        if len(best) < len(gold):
            search(k + 1, pairs, results)

    search(1, {}, {})
    return best


def serves(call: Ran, gold: GoldCall, results: Mapping[int, Any]) -> bool:
    """Whether a call is what a gold call asks for.

    Args:
        call: the call.
        gold: the gold call.
        results: of the gold calls that have been served, by their place in gold.
    """
    if call.name != gold.name:
        return False
    args = {name: value for name, value in call.args.items() if name in gold.args or not _is_default(call, name)}
    if any(name not in gold.args for name in args):
        return False
    for name, arg in gold.args.items():
        if name not in args or _is_default(call, name):
            if not arg.must_be_given:
                continue
            if name not in args and call.defaults.get(name) is None:
                return False
        value = args.get(name, call.defaults.get(name))
        if not any(alike(value, filled(one, results)) for one in arg.accepted if _known(one, results)):
            return False
    return True


def _is_default(call: Ran, name: str) -> bool:
    return name in call.defaults and equal(call.args.get(name), call.defaults[name])


def _known(value: Any, results: Mapping[int, Any]) -> bool:
    return all(k in results for k in references(value))


def equal(a: Any, b: Any) -> bool:
    """JSON equality: 2 is 2.0, true is not 1, a tuple is a list."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def alike(a: Any, b: Any) -> bool:
    """Equality as speech can tell: texts may differ in capitals and in the punctuation that closes words."""
    return equal(a, b) or equal(spoken(a), spoken(b))


def normal(text: str) -> str:
    """An answer without case, punctuation and articles, as extractive question answering compares them."""
    words = re.sub(r"[^\w\s]", "", text.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def holds(answer: str, gold: str, exact: bool) -> bool:
    """Whether an answer is an accepted one, or, if it need not be ``exact``, holds it as a run of words."""
    ours, theirs = normal(answer), normal(gold)
    return ours == theirs if exact else f" {theirs} " in f" {ours} "


def answer_f1(answer: str | None, accepted: Sequence[str]) -> float | None:
    """F1 of an answer's words against the accepted answer that it is nearest to; None where a task asks for no answer.

    As HotpotQA's own evaluation has it: yes, no and no answer count only if they are exactly right.
    """
    if not accepted:
        return None
    return max(_f1(normal(answer or ""), normal(gold)) for gold in accepted)


def _f1(ours: str, gold: str) -> float:
    if {ours, gold} & {"yes", "no", "noanswer"}:
        return float(ours == gold)
    ours_words, gold_words = ours.split(), gold.split()
    shared = sum((Counter(ours_words) & Counter(gold_words)).values())
    return 2 * shared / (len(ours_words) + len(gold_words)) if shared else 0.0


def effects_of(toolbox: Toolbox) -> list[Any]:
    """What a toolbox's log of effects holds, as JSON, in order; nothing for one that keeps none."""
    found = []
    for effect in effects_in(toolbox):
        name, args, error = (*effect, "") if isinstance(effect, tuple) else (effect.name, effect.args, effect.error)
        found.append([name, dict(args), *([error] if error else [])])
    return found


def gold_effects(task: Task) -> list[Any]:
    """The log of effects of a fresh world after gold's calls, first accepted values, in order.

    Raises:
        BadTask: its own world refuses a gold call.
    """
    toolbox = task.toolbox()
    rehearse(task, toolbox)
    return effects_of(toolbox)


def paired(task: Task, ran: Sequence[Ran], found: Mapping[int, int]) -> dict[int, int]:
    """``found`` and the pairs of gold writes with calls whose arguments are not accepted ones, but mean one to the
    world."""
    pairs, by_id = dict(found), {call.id: call for call in ran}
    # what a call of the episode returned is what its gold call returns there
    results = rehearse(task) | {k: by_id[id].result for k, id in found.items()}
    for k, gold in enumerate(task.gold, start=1):
        if k in pairs or task.specs[gold.name].access != "write":
            continue
        wanted = [does(task, k, args, results, task.toolbox()) for args in accepted_args(gold, results)]
        for call in ran:
            if call.name == gold.name and call.id not in pairs.values():
                did = does(task, k, call.args, results, task.toolbox())
                if did is not None and did in wanted:
                    pairs[k], results[k] = call.id, call.result
                    break
    return pairs


def accepted_args(gold: GoldCall, results: Mapping[int, Any]) -> Iterator[dict[str, Any]]:
    """The arguments that gold lists, canonical first, at most `_MOST_CHOICES` of them."""
    options = []
    for name, arg in gold.args.items():
        given = [{name: filled(value, results)} for value in arg.values]
        options.append([{}, *given] if arg.left_out else [*given, {}] if arg.optional else given)
    for choice in islice(product(*options), _MOST_CHOICES):
        yield {name: value for part in choice for name, value in part.items()}


def does(task: Task, k: int, args: Mapping[str, Any], results: Mapping[int, Any], toolbox: Toolbox) -> Any:
    """What a call does and returns in the place of gold call k, as speech can tell it; None if it is refused.

    Args:
        task: whose gold.
        k: place in gold.
        args: the call's.
        results: of the gold calls before it.
        toolbox: a fresh world.
    """
    specs, asked = task.specs, task.gold[k - 1]
    for gold in task.gold[: k - 1]:
        if specs[gold.name].access == "write":
            toolbox.run(gold.name, gold_args(gold, results))
    before = len(effects_of(toolbox))
    try:
        result = toolbox.run(asked.name, args)
    except Exception:  # a tool of the user's own may break down on what it was not given in the episode
        return None
    return spoken([effects_of(toolbox)[before:], None if specs[asked.name].access == "write" else result])


def openings_used(toolbox: Toolbox, ran: Sequence[Ran], found: Mapping[int, int]) -> list[Ran]:
    """Calls that gold does not ask for, that only show something, and whose result a call takes that gold asks for."""
    shows, asked = shown_by(toolbox), set(found.values())
    takers = [as_text(value) for call in ran if call.id in asked for value in call.args.values()]
    return [
        call
        for call in ran
        if call.name in shows
        and call.id not in asked
        and (text := as_text(call.result))
        and any(text in taken for taken in takers)
    ]


def opened_for_result(task: Task, shows: Collection[str]) -> set[int]:
    """Gold calls that only show something, where gold takes the result whatever accepted value is chosen: it is all
    they are for."""
    taken = {k for gold in task.gold for k in needed(gold)}
    return {k for k, gold in enumerate(task.gold, start=1) if gold.name in shows and k in taken}


def needed(gold: GoldCall) -> set[int]:
    """Gold calls whose results every accepted value of some argument names that has to be given."""
    must = [arg for arg in gold.args.values() if arg.must_be_given]
    return {k for arg in must for k in set.intersection(*(set(references(value)) for value in arg.values))}


def done_right(task: Task, toolbox: Toolbox, ran: Sequence[Ran], found: Mapping[int, int], used: Sequence[Ran]) -> bool:
    """Whether the calls of an episode are gold's, and what they did is what they do in gold's order.

    Args:
        task: what was asked.
        toolbox: the world that the episode ran in.
        ran: the calls that were run to their end.
        found: gold calls with the calls that serve them.
        used: see `openings_used`.
    """
    specs, by_id = task.specs, {call.id: call for call in ran}
    spare = {k for k in range(1, len(task.gold) + 1)} - found.keys() - opened_for_result(task, shown_by(toolbox))
    known = {*found.values(), *(call.id for call in used)}
    if spare or any(call.id not in known for call in ran if specs[call.name].access == "write"):
        return False
    world = task.toolbox()
    try:
        for call in [*used, *(by_id[found[k]] for k in sorted(found))]:
            if specs[call.name].access == "write":
                world.run(call.name, call.args)
    except Exception:  # in gold's order they can't be done
        return False
    ours, gold = effects_of(toolbox), effects_of(world)
    if Counter(map(_text, ours)) != Counter(map(_text, gold)):
        return False
    wanted = state_of(world)
    return state_of(toolbox) == wanted if wanted is not None else _in_order(ours, gold, specs)


def _in_order(ours: Sequence[Any], gold: Sequence[Any], specs: Mapping[str, ToolSpec]) -> bool:
    """Whether the effects on each resource came in gold's order."""

    def on(resource: str, effects: Sequence[Any]) -> list[str]:
        return [_text(effect) for effect in effects if resource in specs[effect[0]].writes]

    return all(
        on(resource, ours) == on(resource, gold)
        for resource in {name for spec in specs.values() for name in spec.writes}
    )


def difference(
    task: Task, toolbox: Toolbox, ran: Sequence[Ran], useful: Collection[int], found: Mapping[int, int]
) -> str:
    """What was done and what gold asks for, where they differ: calls of gold's that nothing serves, reads too, with
    what was called instead; then the effects.

    Args:
        task: what was asked.
        toolbox: the world that the episode ran in.
        ran: the calls that were run to their end.
        useful: IDs of those that did what gold asks for.
        found: gold calls with the calls that serve them.
    """
    spare = [call for call in ran if call.id not in useful]
    said = []
    for k in sorted({*range(1, len(task.gold) + 1)} - found.keys() - opened_for_result(task, shown_by(toolbox))):
        gold = task.gold[k - 1]
        asked = _short([[gold.name, canonical(gold)]])
        near = [[call.name, dict(call.args)] for call in spare if call.name == gold.name]
        said.append(f"{'instead of' if near else 'nothing did'} {asked}{f': {_short(near)}' if near else ''}")
    did, wanted = _short(effects_of(toolbox)), _short(gold_effects(task))
    return ". ".join([*said, *([f"effects {did}, gold {wanted}"] if did != wanted or not said else [])])


def _text(effect: Any) -> str:
    return json.dumps(effect, sort_keys=True, ensure_ascii=False)


def _short(effects: Sequence[Any]) -> str:
    text = (
        "; ".join(f"{name}({json.dumps(args, ensure_ascii=False, default=str)})" for name, args, *_ in effects)
        or "none"
    )
    return text if len(text) <= 200 else text[:199] + "…"


def _cause(
    task: Task,
    state: State,
    outcome: str,
    answered: bool,
    calls_right: bool,
    ran: Sequence[Ran],
    found: Mapping[int, int],
) -> str:
    """The first of `CAUSES` that applies."""
    if outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    if not answered:
        held = any(call.state is CallState.HELD for call in state.graph.calls.values())
        return "held too long" if held else "no answer"
    if calls_right:
        return "wrong answer"
    if task.is_question:
        return "extra"
    spare = [call for call in ran if call.id not in found.values()]
    absent = Counter(gold.name for k, gold in enumerate(task.gold, start=1) if k not in found)
    left = Counter(call.name for call in spare)
    if absent:
        if absent - left and left - absent:
            return "wrong tool"
        return "wrong argument" if absent & left else "missing"
    seen = Counter(_text([call.name, dict(call.args)]) for call in ran)
    if any(count > 1 for count in seen.values()):
        return "repeated"
    return "extra" if spare else "wrong order"
