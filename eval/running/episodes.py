"""Makes the record of an episode: its verdict, its measures and its log.

Owns the making of a record from a rollout, and the core's last state from a record. Does not know files and tables, and
how a record is written (`eval.running.records`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data_gen.dialogue.user import Conversant
from data_gen.task import Task
from eval.measures.conversations import measured
from eval.measures.critical import critical_path
from eval.measures.floor import floor, is_held
from eval.measures.isomorphism import gold_graph, graph_of, isomorphic
from eval.measures.latency import latency
from eval.measures.listener import listener_ns
from eval.measures.scoring import answer_f1, score
from eval.measures.trace import Trace, log_of, trace
from eval.measures.waste_and_safety import Counts, Rules, counts
from eval.running.records import Attempts, EpisodeRecord
from midsentence.clock import Profile
from midsentence.core import reducer
from midsentence.core.modes import Settings
from midsentence.core.reducer import State
from midsentence.rendering.renderer import Renderer
from midsentence.shells.log import replay
from midsentence.shells.rollout import Rollout
from midsentence.tools.tool import Toolbox


def record(
    task: Task,
    rollout: Rollout,
    toolbox: Toolbox,
    *,
    settings: Settings,
    profile: Profile,
    renderer: Renderer,
    cap_ns: int,
    backend: str,
    mode: str,
    seed: int,
    source: str = "",
    time: str = "virtual",
    forced: bool = False,
    user: Conversant | None = None,
) -> EpisodeRecord:
    """A finished episode's record.

    Args:
        task: what was asked.
        rollout: what came of it, with all that the recogniser passes on.
        toolbox: the world that it ran in.
        settings: the mode's row.
        profile: the device.
        renderer: the one that the episode ran with.
        cap_ns: see `eval.measures.latency.latency`.
        backend: which row the episode belongs to, as the next four.
        mode: likewise.
        seed: likewise.
        source: likewise; the task's own by default.
        time: likewise.
        forced: whether a grammar could force tokens.
        user: of a conversation, who spoke in it.
    """
    seen = trace(rollout.history, rollout.drafted.kept if rollout.drafted is not None else ())
    if task.turns and user is not None:
        rules = Rules(settings.commit == "line", settings.commit_on == "silence")
        waste = counts(seen, task.specs, (), settings.commit_grace_ns, 0, settings.runs_lines, rules)
        found = measured(
            task,
            rollout,
            seen,
            user=user,
            settings=settings,
            profile=profile,
            renderer=renderer,
            cap_ns=cap_ns,
            forced=forced or settings.verified,
            counted=written_anew(waste, rollout),
        )
    else:
        found = _measured(
            task, rollout, seen, toolbox, settings, profile, renderer, cap_ns, forced or settings.verified
        )
    return EpisodeRecord(
        task=task.id,
        source=source or task.source,
        split=task.split,
        tags=task.tags,
        backend=backend,
        mode=mode,
        seed=seed,
        time=time,
        profile=profile.name,
        outcome=rollout.outcome,
        graph_right=isomorphic(graph_of(rollout.state), gold_graph(task)),
        final_ns=seen.final_ns,
        end_ns=rollout.end_ns,
        prompt_tokens=len(rollout.prompt_ids),
        context_tokens=rollout.state.context_tokens,
        log=log_of(rollout.history),
        drafted=_attempts(rollout),
        **found,
    )


def _measured(
    task: Task,
    rollout: Rollout,
    seen: Trace,
    toolbox: Toolbox,
    settings: Settings,
    profile: Profile,
    renderer: Renderer,
    cap_ns: int,
    forced: bool,
) -> dict[str, Any]:
    """Fields of a single request's record: the verdict and the measures."""
    answer = seen.emits[-1][1] if seen.emits and rollout.outcome == "answered" else None
    verdict = score(task, rollout.state, rollout.outcome, answer, toolbox)
    times = latency(seen, rollout.outcome == "answered", task.speech_end_ns, cap_ns)
    made = [(run.name, run.args) for run in seen.runs] if verdict.right else []
    bound = floor(task, rollout.updates, settings, profile, renderer, made, forced)
    # of what listens, how near it came to what listening can give, and what its end waited for
    listens = settings.listens and settings.commit_on == "final" and verdict.right
    told = (
        next((piece.tokens for span in reversed(seen.spans) for piece in span.pieces if piece.part == "answer"), 0)
        if listens
        else 0
    )
    held = {spec.name for spec in task.tools if is_held(spec, settings) or not settings.speculates}
    waste = counts(
        seen,
        task.specs,
        verdict.useful,
        settings.commit_grace_ns,
        task.speech_end_ns,
        settings.runs_lines,
        Rules(settings.commit == "line", settings.commit_on == "silence"),
    )
    return {
        "right": verdict.right,
        "calls_right": verdict.calls_right,
        "answer_right": verdict.answer_right,
        "answer_f1": answer_f1(answer, task.answer),
        "cause": verdict.cause,
        "why": verdict.why,
        "answer": answer,
        "speech_end_ns": task.speech_end_ns,
        "latency_ns": times.total_ns,
        "first_token_ns": times.first_token_ns,
        "parts_ns": times.parts_ns,
        "floor_ns": bound.total_ns,
        "listener_ns": listener_ns(task, rollout.updates, settings, profile, renderer, made, told) if listens else None,
        "path_ns": critical_path(seen, task.speech_end_ns, times.total_ns, held) if listens else None,
        "counts": written_anew(waste, rollout),
        "words": task.words,
    }


def written_anew(counted: Counts, rollout: Rollout) -> Counts:
    """The counts with tokens counted once that stand in several attempts: those that were read again were not written;
    and all that was written and does not stand in the end was in vain."""
    if (drafted := rollout.drafted) is None:
        return counted
    written = counted.model_tokens - drafted.right
    stands = sum(len(segment.ids) for segment in rollout.state.transcript if segment.kind == "model")
    return replace(counted, model_tokens=written, wasted_tokens=max(0, written - stands))


def _attempts(rollout: Rollout) -> Attempts | None:
    """What became of the attempts of an episode that is verified."""
    if (drafted := rollout.drafted) is None:
        return None
    return Attempts(
        attempts=drafted.attempts, foreseen=drafted.foreseen, right=drafted.right, kept=tuple(sorted(drafted.kept))
    )


def replayed(record: EpisodeRecord, task: Task, settings: Settings) -> State:
    """The core's last state, from a record's log alone.

    Raises:
        ValueError: the record is of another task.
    """
    if record.task != task.id:
        raise ValueError(f"the record is of task {record.task!r}, not of {task.id!r}; give that task")
    state = reducer.start(settings, task.specs, task.id, record.prompt_tokens)
    return replay(state, (event for event, _ in record.history))
