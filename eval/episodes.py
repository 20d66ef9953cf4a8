"""One episode of evaluation as a record: what it was, how it went, what it measured, and its log.

Owns the record's schema and its version, and the making of it from a rollout. A record holds its whole log, so it can be
replayed and drawn without the others. Refuses to know files and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from data_gen.conversing import Conversant
from data_gen.task import Task
from eval.conversations import measured
from eval.critical import critical_path
from eval.floor import floor, is_held
from eval.graphs import gold_graph, graph_of, isomorphic
from eval.latency import latency
from eval.listener import listener_ns
from eval.safety import Counts, Rules, counts
from eval.scoring import answer_f1, score
from eval.trace import history_of, log_of, trace
from midsentence import core
from midsentence.clock import Profile
from midsentence.core import State
from midsentence.events import EndPredicted, UserUpdate
from midsentence.modes import Settings
from midsentence.rendering import Renderer
from midsentence.simulate import Rollout, replay
from midsentence.tools.tool import Toolbox

SCHEMA_VERSION = 1


def record(
    task: Task, rollout: Rollout, toolbox: Toolbox, updates: Sequence[UserUpdate | EndPredicted], *, settings: Settings, profile: Profile,
    renderer: Renderer, cap_ns: int, forced: bool = False, user: Conversant | None = None, **where: Any,
) -> dict[str, Any]:
    """A finished episode as JSON.

    Args:
        task: what was asked.
        rollout: what came of it.
        toolbox: the world that it ran in.
        updates: all that the recogniser passes on, that included that the episode did not live to hear.
        settings: the mode's row.
        profile: the device.
        renderer: the one that the episode ran with.
        cap_ns: see `eval.latency.latency`.
        forced: whether a grammar could force tokens.
        user: of a conversation, who spoke in it.
        **where: ``backend``, ``mode``, ``seed``: which row the episode belongs to.
    """
    if task.turns and user is not None:
        return _conversation(
            task, rollout, user, settings=settings, profile=profile, renderer=renderer, cap_ns=cap_ns, forced=forced, **where)
    seen = trace(rollout.history, rollout.drafted.kept if rollout.drafted is not None else ())
    answer = seen.emits[-1][1] if seen.emits and rollout.outcome == "answered" else None
    verdict = score(task, rollout.state, rollout.outcome, answer, toolbox)
    times = latency(seen, rollout.outcome == "answered", task.speech_end_ns, cap_ns)
    made = [(run.name, run.args) for run in seen.runs] if verdict.right else []
    bound = floor(task, updates, settings, profile, renderer, made, forced or settings.verified)
    # of what listens, how near it came to what listening can give, and what its end waited for
    listens = settings.listens and settings.commit_on == "final" and verdict.right
    told = next((piece.tokens for span in reversed(seen.spans) for piece in span.pieces if piece.part == "answer"), 0) if listens else 0
    held = {spec.name for spec in task.tools if is_held(spec, settings) or not settings.speculates}
    waste = counts(
        seen, task.specs, verdict.useful, settings.commit_grace_ns, task.speech_end_ns,
        settings.runs_lines, Rules(settings.commit == "line", settings.commit_on == "silence"),
    )
    return {
        "task": task.id, "source": task.source, "split": task.split, "tags": list(task.tags), **where, "profile": profile.name,
        "outcome": rollout.outcome, "right": verdict.right, "calls_right": verdict.calls_right,
        "answer_right": verdict.answer_right, "answer_f1": answer_f1(answer, task.answer),
        "graph_right": isomorphic(graph_of(rollout.state), gold_graph(task)), "cause": verdict.cause, "why": verdict.why, "answer": answer,
        "speech_end_ns": task.speech_end_ns, "final_ns": seen.final_ns, "end_ns": rollout.end_ns,
        "latency_ns": times.total_ns, "first_token_ns": times.first_token_ns, "parts_ns": times.parts_ns,
        "floor_ns": bound.total_ns,
        "listener_ns": listener_ns(task, updates, settings, profile, renderer, made, told) if listens else None,
        "path_ns": critical_path(seen, task.speech_end_ns, times.total_ns, held) if listens else None,
        "counts": written_anew(waste, rollout).as_json(),
        "words": [[word.text, word.start_ns, word.end_ns, word.label] for word in task.words],
        "prompt_tokens": len(rollout.prompt_ids), "context_tokens": rollout.state.context_tokens,
        "log": log_of(rollout.history), **drafted_of(rollout),
    }


def written_anew(counted: Counts, rollout: Rollout) -> Counts:
    """The counts with tokens counted once that stand in several attempts: those that were read again were not written; and all that was
    written and does not stand in the end was in vain."""
    if (drafted := rollout.drafted) is None:
        return counted
    written = counted.model_tokens - drafted.right
    stands = sum(len(segment.ids) for segment in rollout.state.transcript if segment.kind == "model")
    return replace(counted, model_tokens=written, wasted_tokens=max(0, written - stands))


def drafted_of(rollout: Rollout) -> dict[str, Any]:
    """What became of the attempts of an episode that is verified, as JSON."""
    if (drafted := rollout.drafted) is None:
        return {}
    kept = sorted(map(list, drafted.kept))
    return {"drafted": {"attempts": drafted.attempts, "foreseen": drafted.foreseen, "right": drafted.right, "kept": kept}}


def _conversation(
    task: Task, rollout: Rollout, user: Conversant, *, settings: Settings, profile: Profile, renderer: Renderer, cap_ns: int,
    forced: bool, **where: Any,
) -> dict[str, Any]:
    """A conversation as JSON: the same fields, and its turns; see `eval.conversations`."""
    seen = trace(rollout.history, rollout.drafted.kept if rollout.drafted is not None else ())
    rules = Rules(settings.commit == "line", settings.commit_on == "silence")
    waste = written_anew(counts(seen, task.specs, (), settings.commit_grace_ns, 0, settings.runs_lines, rules), rollout)
    found = measured(
        task, rollout, seen, user=user, settings=settings, profile=profile, renderer=renderer, cap_ns=cap_ns,
        forced=forced or settings.verified, counted=waste)
    return {
        "task": task.id, "source": task.source, "split": task.split, "tags": list(task.tags), **where, "profile": profile.name,
        "outcome": rollout.outcome, "answer_f1": None, "graph_right": isomorphic(graph_of(rollout.state), gold_graph(task)),
        "answer": found["turns"][-1]["answer"], "final_ns": seen.final_ns, "end_ns": rollout.end_ns,
        "prompt_tokens": len(rollout.prompt_ids), "context_tokens": rollout.state.context_tokens,
        "log": log_of(rollout.history), **drafted_of(rollout), **found,
    }


def replayed(row: dict[str, Any], task: Task, settings: Settings) -> State:
    """The core's last state, from a record's log alone.

    Raises:
        ValueError: the record is of another task.
    """
    if row["task"] != task.id:
        raise ValueError(f"the record is of task {row['task']!r}, not of {task.id!r}; give that task")
    state = core.start(settings, task.specs, task.id, row["prompt_tokens"])
    return replay(state, (event for event, _ in history_of(row["log"])))
