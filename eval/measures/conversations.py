"""A conversation turn by turn: what each turn came to, how long it took, and what a whole conversation adds up to.

Owns the division of an episode's log among turns, the verdict on each of them, and the measures that there are for
conversations alone. A turn lasts from the user's first word of it to the first word of the next one. It is judged by
itself: what was called in it, in the world that gold's earlier calls leave, so a mistake is counted where it was made.
Does not know files and tables.

A turn is right if it was answered, its calls and its answer are right (`eval.measures.scoring`), no tool ran where none
was to, and it was answered by a question exactly where one is due. A conversation is right if all its turns are. The
latency and the floor of a conversation are the means of its turns'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_gen.dialogue.turns import alone
from data_gen.dialogue.user import Conversant, said_in
from data_gen.expert.replies import is_question
from data_gen.task import Task, Turn, Word
from eval.measures.floor import floor
from eval.measures.latency import PARTS, latency, success_by
from eval.measures.scoring import Ran, calls_run, score
from eval.measures.trace import History, Run, Trace, trace
from eval.measures.waste_and_safety import Counts, wasted_calls
from eval.running.records import EpisodeRecord, TurnRecord
from midsentence.clock import Profile, seconds
from midsentence.core.calls import call_text
from midsentence.core.events import Appended, Crowded, EndPredicted, Forget, ModelOutput, Speaking, UserUpdate
from midsentence.core.modes import Settings
from midsentence.rendering.renderer import Renderer
from midsentence.shells.rollout import Rollout

DEADLINES_S = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Slice:
    """What happened in one turn."""

    start_ns: int
    """The user's first word."""
    end_ns: int
    """The first word of the next turn, or the end of the episode."""
    speech_end_ns: int
    """The end of the user's last word of it."""
    said: bool
    """Whether the user came to say it at all."""
    answer: str | None
    """The last that went out in it once the user had said it all; what answers a false end of speech is none."""
    history: History
    """All up to that answer, or to the end of the turn without one."""
    runs: tuple[Run, ...]
    """Tools that were started in it."""


def slices(task: Task, rollout: Rollout, whole: Trace) -> list[Slice]:
    """The turns of an episode; one that was never said comes after its end, as the task has it timed."""
    found: list[Slice] = []
    for n, turn in enumerate(task.turns):
        said = n < len(rollout.starts_ns)
        first = task.words[task.turns[n - 1].words if n else 0]
        start_ns = rollout.starts_ns[n] if said else max(whole.end_ns, found[-1].end_ns) + 1
        speech_end_ns = start_ns + task.words[turn.words - 1].end_ns - (first.start_ns if n else 0)
        end_ns = rollout.starts_ns[n + 1] if n + 1 < len(rollout.starts_ns) else whole.end_ns + 1
        emits = [(at_ns, text) for at_ns, text in whole.emits if speech_end_ns <= at_ns < end_ns] if said else []
        until_ns = emits[-1][0] if emits else end_ns - 1
        history = [(event, commands) for event, commands in rollout.history if event.at_ns <= until_ns]
        runs = tuple(run for run in whole.runs if said and start_ns <= run.start_ns < end_ns)
        found.append(
            Slice(start_ns, max(end_ns, start_ns), speech_end_ns, said, emits[-1][1] if emits else None, history, runs)
        )
    return found


def measured(
    task: Task,
    rollout: Rollout,
    whole: Trace,
    *,
    user: Conversant,
    settings: Settings,
    profile: Profile,
    renderer: Renderer,
    cap_ns: int,
    forced: bool,
    counted: Counts,
) -> dict[str, Any]:
    """Fields of a conversation's record: its turns, and what they add up to.

    Args:
        task: the conversation.
        rollout: what came of it.
        whole: its log, read.
        user: who spoke in it.
        settings: the mode's row.
        profile: the device.
        renderer: the one that the episode ran with.
        cap_ns: see `eval.measures.latency.latency`.
        forced: whether a grammar could force tokens.
        counted: waste and safety of the log as a whole.
    """
    specs, parts = task.specs, slices(task, rollout, whole)
    ran = calls_run(rollout.state)
    last = {run.call: run for run in whole.runs}
    turns: list[TurnRecord] = []
    useful: set[int] = set()
    words = tuple(word for n, part in enumerate(parts) if part.said for word in _moved(task, n, part))
    for n, (turn, part) in enumerate(zip(task.turns, parts)):
        here = {run.call for run in part.runs}
        mine = [call for call in ran if specs[call.name].access != "write" or call.id in here]
        own = alone(task, n, part.start_ns)
        verdict, cause, why = _judged(own, turn, part, mine, rollout, last)
        useful |= set(verdict)
        seen = trace(part.history)
        times = latency(seen, part.answer is not None, part.speech_end_ns, cap_ns)
        made = [(run.name, run.args) for run in part.runs] if not cause else []
        heard = said_in(task, n, part.start_ns, user.data, user.seed)
        updates = [event for event in heard if isinstance(event, UserUpdate | EndPredicted)]
        bound = floor(own, updates, settings, profile, renderer, made, forced, later=n > 0)
        asked = part.answer is not None and is_question(part.answer)
        turns.append(
            TurnRecord(
                kind=turn.kind,
                said=part.said,
                right=not cause,
                cause=cause,
                why=why,
                answer=part.answer,
                start_ns=part.start_ns,
                speech_end_ns=part.speech_end_ns,
                latency_ns=times.total_ns,
                first_token_ns=times.first_token_ns,
                parts_ns=times.parts_ns,
                floor_ns=bound.total_ns,
                asks=bool(turn.asks),
                asked=asked,
                silence_ns=_silent_ns(part, words, whole),
                tokens=_tokens(part),
            )
        )
    wrong = [turn for turn in turns if not turn.right]
    total = {name: sum(turn.parts_ns[name] for turn in turns) for name in PARTS}
    mean_ns = sum(total.values()) // len(turns)
    shares = {name: ns // len(turns) for name, ns in total.items()}
    shares[PARTS[0]] += mean_ns - sum(shares.values())
    firsts = [turn.first_token_ns for turn in turns if turn.first_token_ns is not None]
    return {
        "right": not wrong,
        "calls_right": all(turn.cause in ("", "wrong answer") for turn in turns),
        "answer_right": not any(turn.cause in ("no answer", "wrong answer") for turn in turns),
        "answer_f1": None,
        "cause": wrong[0].cause if wrong else "",
        "why": f"turn {turns.index(wrong[0]) + 1}: {wrong[0].why}" if wrong else "",
        "answer": turns[-1].answer,
        "speech_end_ns": parts[-1].speech_end_ns,
        "latency_ns": mean_ns,
        "parts_ns": shares,
        "first_token_ns": sum(firsts) // len(firsts) if firsts else None,
        "floor_ns": sum(turn.floor_ns for turn in turns) // len(turns),
        "counts": _counts(task, parts, whole, counted, useful),
        "turns": tuple(turns),
        "repeated_across_turns": _repeated(task, whole),
        "words": words,
        "forgets": sum(
            isinstance(command, Forget) and bool(command.turns or command.results)
            for _, commands in rollout.history
            for command in commands
        ),
    }


def _moved(task: Task, n: int, part: Slice) -> list[Word]:
    """A turn's words, at the times at which they were said."""
    words = task.words[task.turns[n - 1].words if n else 0 : task.turns[n].words]
    late_ns = part.start_ns - (words[0].start_ns if n else 0)
    return [replace(word, start_ns=word.start_ns + late_ns, end_ns=word.end_ns + late_ns) for word in words]


def _judged(
    own: Task, turn: Turn, part: Slice, ran: Sequence[Ran], rollout: Rollout, last: Mapping[int, Run]
) -> tuple[tuple[int, ...], str, str]:
    """The IDs of a turn's useful calls, the cause of its failure and that in detail; empty where it is right."""
    if not part.said:
        return (), "no answer", "the user never came to say it"
    specs, world = own.specs, own.toolbox()
    writes = sorted((call for call in ran if specs[call.name].access == "write"), key=lambda call: last[call.id].end_ns)
    for call in writes:
        try:
            world.run(call.name, call.args)
        except Exception:  # in the world that gold leaves it can't be done: it is no call of gold's
            continue
    outcome = "answered" if part.answer is not None else rollout.state.outcome or "stalled"
    verdict = score(own, rollout.state, outcome, part.answer, world, ran)
    if not verdict.right:
        return verdict.useful, verdict.cause, verdict.why
    asked = is_question(part.answer or "")
    stands = {call.id for call in ran}
    did = [run.name for run in part.runs if run.call in stands and last[run.call] is run]
    if turn.quiet and did or writes and not any(specs[call.name].access == "write" for call in own.gold):
        return verdict.useful, "extra", f"called {', '.join(did)} where nothing was to be done"
    if turn.asks and not asked:
        return verdict.useful, "wrong answer", f"did not ask for {turn.asks}, but answered {part.answer!r}"
    return verdict.useful, "", ""


def _silent_ns(part: Slice, words: Sequence[Word], whole: Trace) -> int | None:
    """From the user's first word to silence, where the user spoke into an answer; None where not. The last one counts.

    An answer may also be cut by words that were said before it began and were passed on late; that is no speaking into
    it.
    """
    spoken = [
        event
        for event, _ in part.history
        if isinstance(event, Speaking) and event.part == "cut" and event.at_ns >= part.start_ns
    ]
    if not spoken:
        return None
    began_ns = max(at_ns for at_ns, _ in whole.emits if at_ns <= spoken[-1].at_ns)
    into = [
        max(word.start_ns, began_ns) for word in words if word.end_ns > began_ns and word.start_ns <= spoken[-1].at_ns
    ]
    return spoken[-1].at_ns - min(into) if into else None


def _tokens(part: Slice) -> int:
    """Tokens that the context grew by, the model's own included. What has left it by the turn's end, an attempt on a
    false end of speech, is not among them; nor is what room was made of."""
    size = began = 0
    anew: Forget | None = None
    for event, commands in part.history:
        if isinstance(event, ModelOutput):
            size += len(event.ids)
        elif isinstance(event, Appended):
            now = event.tokens if anew else size + event.tokens
            if anew and (anew.turns or anew.results):
                began += now - size
            size, anew = now, None
        elif isinstance(event, Crowded):
            anew = None
        anew = next((command for command in commands if isinstance(command, Forget)), anew)
        if event.at_ns < part.start_ns:
            began = size
    return size - began


def _counts(task: Task, parts: Sequence[Slice], whole: Trace, counted: Counts, useful: set[int]) -> Counts:
    """The counts, with what is early counted from each turn's own words."""
    specs = task.specs
    early = wrong = before_final = 0
    for part in parts:
        finals = [u.at_ns for u in whole.updates if u.final and part.start_ns <= u.at_ns < part.end_ns]
        effects = [run for run in part.runs if specs[run.name].access == "write" and run.ended != "failed"]
        effects = [run for run in effects if run.start_ns < part.speech_end_ns]
        early += len(effects)
        wrong += sum(run.call not in useful for run in effects)
        before_final += sum(not run.kept and (not finals or run.start_ns < finals[-1]) for run in part.runs)
    needless = sum(
        run.call not in useful for run in whole.runs if specs[run.name].access == "write" and run.ended != "failed"
    )
    return replace(
        counted,
        wrong_effects=needless,
        effects_before_last_word=early,
        wrong_effects_before_last_word=wrong,
        early_calls=before_final,
        wasted_calls=wasted_calls(whole, specs, useful),
    )


def _repeated(task: Task, whole: Trace) -> int:
    """Effects beyond the first that mean the same, whatever turns they are in. No gold asks for one."""
    specs = task.specs
    effects = {run.call: run for run in whole.runs if specs[run.name].access == "write" and run.ended != "failed"}
    texts = Counter(call_text(specs[run.name], run.args) for run in effects.values() if not specs[run.name].repeatable)
    return sum(count - 1 for count in texts.values())


def last_turn(episode: EpisodeRecord) -> EpisodeRecord:
    """An episode with the latency and the floor of its last turn, for pictures, which end with it; of a single request
    it is itself."""
    if not episode.turns:
        return episode
    last = episode.turns[-1]
    return replace(
        episode,
        latency_ns=last.latency_ns,
        floor_ns=last.floor_ns,
        parts_ns=last.parts_ns,
        first_token_ns=last.first_token_ns,
    )


# -- what a row of the report says ------------------------------------------------------------------------------------


def summary(own: Sequence[EpisodeRecord]) -> dict[str, Any] | None:
    """What a row says of its conversations; None where it has none."""
    turns = [turn for episode in own for turn in episode.turns]
    if not turns:
        return None
    silent = sorted(seconds(turn.silence_ns) for turn in turns if turn.silence_ns is not None)
    needed = [turn for turn in turns if turn.asks]
    others = [turn for turn in turns if not turn.asks and turn.said]
    return figures(turns) | {
        "conversations": len(own),
        "conversations_right": sum(episode.right for episode in own),
        "asked_where_needed": [sum(turn.asked for turn in needed), len(needed)],
        "asked_needlessly": [sum(turn.asked for turn in others), len(others)],
        "silence_s": {"n": len(silent), "median": float(np.median(silent)), "max": silent[-1]} if silent else None,
        "repeated_across_turns": sum(episode.repeated_across_turns for episode in own),
        "tokens_per_turn": float(np.mean([turn.tokens for turn in turns if turn.said])),
        "context_tokens_max": max(episode.context_tokens for episode in own),
        "growth_tokens": _growth(own),
        "forgets": sum(episode.forgets for episode in own),
        "kinds": {
            kind: figures([turn for turn in turns if turn.kind == kind])
            for kind in sorted({turn.kind for turn in turns})
        },
    }


def _growth(own: Sequence[EpisodeRecord]) -> list[dict[str, Any]]:
    """By place of a turn, from the first: of how many, how much a context grew in it, and by its end since the prompt;
    means."""
    found = []
    for n in range(max(len(episode.turns) for episode in own)):
        said = [
            [turn.tokens for turn in episode.turns[: n + 1]]
            for episode in own
            if len(episode.turns) > n and episode.turns[n].said
        ]
        if said:
            own_tokens, since = np.mean([each[-1] for each in said]), np.mean([sum(each) for each in said])
            found.append({"n": len(said), "turn": float(own_tokens), "since": float(since)})
    return found


def figures(turns: Sequence[TurnRecord]) -> dict[str, Any]:
    """Figures over turns."""
    rights, lates = [turn.right for turn in turns], [seconds(turn.latency_ns) for turn in turns]
    return {
        "n": len(turns),
        "right": sum(rights),
        "latency_mean_s": float(np.mean(lates)),
        "success_by_s": {str(deadline): success_by(rights, lates, deadline) for deadline in DEADLINES_S},
        "floor_mean_s": float(np.mean([seconds(turn.floor_ns) for turn in turns])),
        "floor_beaten": sum(turn.right and turn.latency_ns < turn.floor_ns for turn in turns),
    }
