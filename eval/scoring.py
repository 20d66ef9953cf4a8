"""Whether an episode did what was asked: its calls and effects against gold, and if not, why not.

Owns the match of calls to gold calls, the comparison of the log of effects, the answer's comparison, and the causes of
failure. Refuses to know time. BFCL's rows are judged by BFCL's own checker.

An episode is right if it ended by answering, its calls are right and its answer is. Calls are right if every gold call
was run to its end with accepted arguments (references resolved) and the whole log of effects, in the order in which it
happened, is what gold's would be: no effect more, none less. Doing nothing is no success. A read too many is no failure;
it counts as waste. Of a question, a task that has accepted answers and asks for no effect, the answer is judged: by which
reads it was found is not asked, only that there was no effect.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.calls import State as CallState
from agent.core import State
from agent.protocol import as_text, resolve
from agent.tools.tool import Toolbox, ToolFailure, ToolSpec
from data_gen.reading import references
from data_gen.task import GoldCall, Task

CAUSES = (
    "malformed", "out of budget", "held too long", "no answer", "wrong tool", "wrong argument", "missing", "repeated", "extra",
    "wrong answer",
)
"""Why an episode is not right; the first that applies is its cause."""

_OUTCOMES = {"invalid_actions": "malformed"} | dict.fromkeys(("out_of_budget", "context_overflow", "too_long"), "out of budget")
_MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Ran:
    """A call that was run to its end and still stands when the episode is over."""

    id: int
    name: str
    args: Mapping[str, Any]
    """By parameter name, references resolved."""
    result: Any = None


@dataclass(frozen=True, slots=True)
class Score:
    """The verdict on one episode."""

    right: bool
    calls_right: bool
    answer_right: bool
    cause: str
    """One of `CAUSES`; empty where right."""
    why: str
    """The cause in detail, for reading."""
    useful: tuple[int, ...]
    """IDs of the calls that did what gold asks for; every other start of a tool was in vain."""


def score(task: Task, state: State, outcome: str, answer: str | None, toolbox: Toolbox) -> Score:
    """Judges an episode.

    Args:
        task: what was asked.
        state: the core's last state.
        outcome: the rollout's.
        answer: the text that went out last, if any.
        toolbox: the world that the episode ran in; its ``effects`` are read if it keeps any.
    """
    ran = calls_run(state)
    found = match(task.gold, ran)
    useful = tuple(sorted(found.values()))
    if task.source == "bfcl":
        from eval import bfcl
        verdict = bfcl.check(task, [(call.name, call.args) for call in ran])
        calls_right, why = verdict.valid, verdict.error
        useful = tuple(call.id for call in ran) if verdict.valid else useful
    elif is_question(task):
        effects = effects_of(toolbox)
        calls_right, why = not effects, f"effects {_short(effects)} of a question" if effects else ""
    else:
        effects = effects_of(toolbox)
        gold_effects, gold_state = gold_world(task)
        # where gold itself is refused by its world, only the match of calls can say anything
        same = gold_effects is not None and Counter(map(_text, effects)) == Counter(map(_text, gold_effects))
        same = same and _state(toolbox) == gold_state
        writes = {call.id for call in ran if state.tools[call.name].access == "write"}
        all_matched = len(found) == len(task.gold) and writes <= set(useful) and len(effects) <= len(writes)
        reads_there = all(k in found for k, gold in enumerate(task.gold, 1) if state.tools[gold.name].access != "write")
        # arguments that mean the same to the world are as good as accepted ones
        calls_right = all_matched or same and reads_there
        why = "" if calls_right else f"effects {_short(effects)}, gold {_short(gold_effects or ())}"
        if same:
            useful = tuple(sorted({*useful, *writes}))
    answered = outcome == "answered" and bool(answer and answer.strip())
    answer_right = answered and (not task.answer or any(normal(answer) == normal(gold) for gold in task.answer))
    right = answered and calls_right and answer_right
    cause = "" if right else _cause(task, state, outcome, answered, calls_right, ran, found)
    if not right and (calls_right or not why or not answered):
        why = f"answered {answer!r}" if answered else f"ended as {outcome}"
    return Score(right, calls_right, answer_right, cause, "" if right else why, useful)


def is_question(task: Task) -> bool:
    """Whether a task is done by the right answer alone."""
    specs = specs_of(task)
    return bool(task.answer) and not any(specs[call.name].access == "write" for call in task.gold)


def calls_run(state: State) -> list[Ran]:
    """The calls of the final graph that were run to their end, in ID order."""
    done = [call for _, call in sorted(state.graph.calls.items()) if call.state is CallState.DONE]
    results = {call.id: call.result for call in done}
    return [
        Ran(call.id, call.spec.name, resolve(dict(call.args), results), call.result) for call in done if call.needs <= set(results)
    ]


def match(gold: Sequence[GoldCall], ran: Sequence[Ran]) -> dict[int, int]:
    """Pairs gold calls with calls: ``{place in gold: call ID}``, as many as there can be.

    A call serves a gold call if it is to the same tool, every argument is an accepted value (with ``$k`` standing for the
    result of the call that serves gold call k), and it has no other argument.
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
            if call.id not in pairs.values() and serves(call, gold[k - 1], results, len(gold)):
                search(k + 1, {**pairs, k: call.id}, {**results, k: call.result})
        if len(best) < len(gold):
            search(k + 1, pairs, results)

    search(1, {}, {})
    return best


def serves(call: Ran, gold: GoldCall, results: Mapping[int, Any], calls: int | None = None) -> bool:
    """Whether a call is what a gold call asks for; ``$20`` is a price where there are only two gold ``calls``."""
    if call.name != gold.name or any(name not in gold.args for name in call.args):
        return False
    for name, accepted in gold.args.items():
        if name not in call.args:
            if "" not in accepted:
                return False
        elif not any(equal(call.args[name], filled(value, results)) for value in accepted if _known(value, results, calls)):
            return False
    return True


def _known(value: Any, results: Mapping[int, Any], calls: int | None) -> bool:
    return all(k in results for k in references(value, calls))


def filled(value: Any, results: Mapping[int, Any]) -> Any:
    """A gold value with ``$k`` replaced by results."""
    match value:
        case str() if (whole := re.fullmatch(r"\$(\d+)", value)) and int(whole[1]) in results:
            return results[int(whole[1])]
        case str():
            return re.sub(r"\$(\d+)", lambda found: as_text(results[int(found[1])]) if int(found[1]) in results else found[0], value)
        case list() | tuple():
            return [filled(item, results) for item in value]
        case dict():
            return {name: filled(item, results) for name, item in value.items()}
    return value


def equal(a: Any, b: Any) -> bool:
    """JSON equality: 2 is 2.0, true is not 1, a tuple is a list."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def normal(text: str) -> str:
    """An answer without case, punctuation and articles, as extractive question answering compares them."""
    words = re.sub(r"[^\w\s]", "", text.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


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
    for effect in getattr(toolbox, "effects", ()):
        name, args, error = (*effect, "") if isinstance(effect, tuple) else (effect.name, effect.args, effect.error)
        found.append([name, dict(args), *([error] if error else [])])
    return found


def gold_world(task: Task) -> tuple[list[Any] | None, Any]:
    """The log of effects and the final state of a fresh world after gold's calls, first accepted values, in order.

    The log is None if a call was refused: a task whose gold can't be done has nothing that doing nothing could equal.
    """
    toolbox = task.toolbox()
    results: dict[int, Any] = {}
    for k, gold in enumerate(task.gold, start=1):
        try:
            results[k] = toolbox.run(gold.name, gold_args(gold, results))
        except ToolFailure:
            return None, None
    return effects_of(toolbox), _state(toolbox)


def gold_args(gold: GoldCall, results: Mapping[int, Any]) -> dict[str, Any]:
    """A gold call's arguments, first accepted values, what may be left out left out where the first value says so."""
    return {name: filled(values[0], results) for name, values in gold.args.items() if not (values[0] == "" and len(values) > 1)}


def _state(toolbox: Toolbox) -> Any:
    state = getattr(toolbox, "state", None)
    return state() if callable(state) else None


def _text(effect: Any) -> str:
    return json.dumps(effect, sort_keys=True, ensure_ascii=False)


def _short(effects: Sequence[Any]) -> str:
    text = "; ".join(f"{name}({json.dumps(args, ensure_ascii=False)})" for name, args, *_ in effects) or "none"
    return text if len(text) <= 200 else text[:199] + "…"


def _cause(
    task: Task, state: State, outcome: str, answered: bool, calls_right: bool, ran: Sequence[Ran], found: Mapping[int, int]
) -> str:
    """The first of `CAUSES` that applies."""
    if outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    if not answered:
        held = any(call.state is CallState.HELD for call in state.graph.calls.values())
        return "held too long" if held else "no answer"
    if calls_right:
        return "wrong answer"
    if is_question(task):
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
    return "extra" if spare else "wrong argument"


def specs_of(task: Task) -> dict[str, ToolSpec]:
    """A task's tools by name."""
    return {spec.name: spec for spec in task.tools}
