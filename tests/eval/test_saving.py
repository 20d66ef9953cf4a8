"""Where the saving is lost: an exact division from scenario rows, one that adds up on real episodes, and text to
read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval import saving as lost_
from eval.measures.trace import Line, Piece, Run, Span, Trace, trace
from eval.replay import main as replay
from eval.running.results import BadResults
from eval.saving import STEPS, lost, pairs, timeline
from midsentence.clock import ns
from midsentence.core.events import UserUpdate
from tests.eval.made import record_of


def span(
    start: float, end: float, part: str, *, final: bool, ended: str = "action", lines: tuple[float, ...] = ()
) -> Span:
    """A span of one piece, in seconds; lines are when they were complete."""
    piece = Piece(ns(start), ns(end), part, f"<{part}>", 4)
    return Span(
        ns(start), ns(end), (piece,), final, ended, tuple(Line(ns(at), n, "a()") for n, at in enumerate(lines, start=1))
    )


def seen(*spans: Span, appends: tuple[tuple[float, float], ...] = ()) -> Trace:
    updates = (UserUpdate(ns(1), "text Bob"), UserUpdate(ns(10), "", True))
    runs = (Run(1, 1, "send", {"to": "Bob"}, ns(13), ns(14), "done"),)
    taken = tuple((ns(start), ns(end)) for start, end in appends)
    return Trace(updates, spans, taken, runs, (), ((ns(14), "Done."),), (), ns(14))


def test_every_step_of_what_is_lost():
    found = lost(
        seen(
            span(9, 10.5, "tool_call", final=False, ended="cut"),
            span(10.7, 12, "tool_call", final=True, ended="cut", lines=(11.5, 12)),
            span(12.25, 13, "answer", final=True),
            appends=((10.5, 10.7), (12, 12.2)),
        ),
        ns(9),
        ns(5),
        ns(2),
    )
    assert found.total_ns == ns(3) == sum(found.steps_ns.values())
    assert found.steps_ns == dict(zip(STEPS, map(ns, (0.5, 0.4, 1.3, 0.75, 0.05, 1, -1))))
    assert found.left == "several lines left to write, another under way"


def test_what_comes_after_the_commit_point_is_no_writing():
    found = lost(
        seen(
            span(10.5, 11, "pause", final=True),
            span(12, 13, "answer", final=True),
            appends=((10, 10.5),),
        ),
        ns(9),
        ns(5),
        ns(4),
    )
    assert (found.left, found.steps_ns["until all is done"], found.steps_ns["pause or answer"]) == (
        "no line left to write",
        ns(3),
        ns(0.5),
    )


def test_a_timeline_begins_before_the_end_of_speech_and_tells_who_did_what():
    spans = span(9, 10.5, "tool_call", final=False, ended="cut"), span(12, 13, "answer", final=True)
    shown = timeline(record_of(speech_end_ns=ns(9)), seen(*spans))
    assert [line.split()[:2] for line in shown] == [
        ["0.00", "model"],
        ["1.00", "heard"],
        ["3.00", "model"],
        ["4.00", "tool"],
        ["5.00", "user"],
    ]
    assert (
        shown[0].endswith("<tool_call> ✂")
        and shown[1].endswith("end of speech: (nothing more)")
        and "1.00 s  1. send(" in shown[3]
    )


def test_the_division_of_real_episodes_adds_up_and_is_printed(configured, capsys, monkeypatch):
    config = configured("eval.backends=[expert]", "eval.modes=[sequential,speculative]", "eval.expert_tasks=4")
    replay(config)
    config.runs = [config.out]
    (found,) = pairs(config.runs).values()
    for episode, floor_ns, other in found:
        assert (episode.mode, other.mode, episode.task) == ("speculative", "sequential", other.task)
        item = lost(trace(episode.history), episode.speech_end_ns, episode.latency_ns, floor_ns)
        assert item.total_ns == episode.latency_ns - floor_ns == sum(item.steps_ns.values())
        assert item.total_ns >= 0 and all(spent >= 0 for name, spent in item.steps_ns.items() if name != STEPS[-1])
    capsys.readouterr()
    with monkeypatch.context() as patched:  # others may have written the episodes
        patched.setattr(
            lost_, "pairs", lambda runs: {replace(key, backend="b\x1b[2J"): each for key, each in pairs(runs).items()}
        )
        lost_.main(config)
        said = capsys.readouterr().out
        assert "b\\x1b[2J, laptop: " in said and "\x1b" not in said
    lost_.main(config)
    out = capsys.readouterr().out
    assert f"{len(found)} requests, share of the saving 0." in out and all(
        f"\n{episode.task}: " in out for episode, _, _ in found
    )
    config.task_id = found[0][0].task
    lost_.main(config)
    assert capsys.readouterr().out.count("user gets") == 1
    config.task_id = "nosuch"
    with pytest.raises(
        BadResults, match="task_id=nosuch is no task that modes speculative and sequential both get right"
    ):
        lost_.main(config)


def test_replays_without_a_baseline_are_refused(configured):
    config = configured("eval.backends=[expert]", "eval.modes=[speculative]", "eval.expert_tasks=1")
    replay(config)
    with pytest.raises(BadResults, match="replay both"):
        pairs([config.out])
