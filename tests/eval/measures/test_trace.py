"""A log read back as spans, runs and stays of calls: exact times."""

from __future__ import annotations

from eval.measures.trace import History, history_of, log_of, trace
from midsentence.clock import NS_PER_S, Profile
from midsentence.core.calls import CallState
from midsentence.core.events import UserUpdate
from midsentence.core.modes import settings
from midsentence.shells.rollout import Rollout
from midsentence.shells.virtual import Episode
from midsentence.testing import Scripted
from midsentence.tools.tool import Param, ToolSpec

MS = 1_000_000
TEXT = {"type": "string"}
FAST = Profile("test", 100, 1000, 0)
"""10 ms a token written, 1 ms a token read but never less than 10 ms."""


class Box:
    """A read of 300 ms and a write of 500 ms."""

    def __init__(self) -> None:
        self.specs = {
            "look": ToolSpec("look", (Param("what", TEXT),), "read"),
            "send": ToolSpec("send", (Param("text", TEXT),), "write"),
        }
        self.effects: list = []

    def run(self, name, args):
        if name == "send":
            self.effects.append((name, dict(args)))
        return f"{name} ok"

    def latency_ns(self, name, args):
        return (300 if name == "look" else 500) * MS


def episode(renderer, mode: str, updates: list[UserUpdate], *lines: str, **changes) -> tuple[Rollout, Box]:
    """An episode played from a script."""
    box = Box()
    played = Episode(
        settings=settings(mode, **changes),
        profile=FAST,
        toolbox=box,
        updates=updates,
        renderer=renderer,
        prompt_ids=renderer.prompt_ids("x"),
        planner=Scripted(lines),
    )
    return played.run(), box


def spoken(*rows: tuple[float, str], final: float) -> list[UserUpdate]:
    """Updates at times in seconds, and an empty final one."""
    return [UserUpdate(round(at * NS_PER_S), text) for at, text in rows] + [
        UserUpdate(round(final * NS_PER_S), "", True)
    ]


LOOK = '<tool_call>\n1. look("a")\n</tool_call>'
SEND = '<tool_call>\n2. send("b")\n</tool_call>'


def history(renderer) -> History:
    """Look while the user speaks, be cut in a thought, send early, answer."""
    rollout, _ = episode(
        renderer,
        "speculative",
        spoken((0.0, "look a"), (1.0, "send"), (1.05, "b"), final=3.0),
        LOOK,
        "<pause>",
        "<think>" + "hm " * 60 + "</think><pause>",
        SEND,
        "<answer>ok</answer>",
    )
    assert rollout.outcome == "answered"
    return rollout.history


def test_a_read_runs_while_the_user_speaks_and_a_write_waits_for_the_commit_point(tiny_renderer):
    seen = trace(history(tiny_renderer))
    look, send = seen.runs
    assert (look.name, look.ended, look.end_ns - look.start_ns) == ("look", "done", 300 * MS)
    assert look.end_ns < seen.final_ns == 3 * NS_PER_S
    held = [stay for stay in seen.stays if stay.state is CallState.HELD]
    assert [(stay.call, stay.end_ns) for stay in held] == [(2, send.start_ns)]
    assert held[0].start_ns < seen.final_ns < send.start_ns
    answer = next(span for span in seen.spans if span.pieces[-1].part == "answer")
    # the answer is the action that commits, so the write starts as it ends, and the answer goes out when the write is
    # done
    assert (send.start_ns, seen.emits) == (answer.end_ns, ((send.end_ns, "ok"),))
    assert send.end_ns - send.start_ns == 500 * MS


def test_a_commit_is_no_call_that_waits(tiny_renderer):
    heard = spoken((0.0, "look a"), (1.0, "send b"), final=3.0)
    commit = "<tool_call>\nCOMMIT\n</tool_call>"
    rollout, _ = episode(tiny_renderer, "speculative", heard, LOOK, "<pause>", SEND, commit, "<answer>ok</answer>")
    seen = trace(rollout.history)
    assert any(line.call == 0 for span in seen.spans for line in span.lines) and {stay.call for stay in seen.stays} == {
        1,
        2,
    }


def test_spans_have_parts_without_gaps_and_the_cut_one_says_so(tiny_renderer):
    seen = trace(history(tiny_renderer))
    assert [span.ended for span in seen.spans].count("cut") == 1
    for span in seen.spans:
        assert [a.end_ns for a in span.pieces[:-1]] == [b.start_ns for b in span.pieces[1:]]
        assert (span.pieces[0].start_ns, span.pieces[-1].end_ns) == (span.start_ns, span.end_ns)
        assert [a.part != b.part for a, b in zip(span.pieces, span.pieces[1:])] == [True] * (len(span.pieces) - 1)
    cut = next(span for span in seen.spans if span.ended == "cut")
    assert ({piece.part for piece in cut.pieces}, cut.end_ns) == ({"think"}, round(1.05 * NS_PER_S))
    assert [span.saw_final for span in seen.spans] == [False] * (len(seen.spans) - 1) + [True]


def test_only_what_follows_the_final_update_in_the_context_saw_it(tiny_renderer):
    rollout, _ = episode(tiny_renderer, "sequential", spoken((0.0, "look a"), final=1.0), LOOK, "<answer>ok</answer>")
    assert [span.saw_final for span in trace(rollout.history).spans] == [True, True]


def test_a_log_survives_json(tiny_renderer):
    import json

    made = history(tiny_renderer)
    assert history_of(json.loads(json.dumps(log_of(made)))) == list(made)


def test_every_prefix_of_a_log_can_be_read(tiny_renderer):
    made = history(tiny_renderer)
    for n in range(len(made) + 1):
        seen = trace(made[:n])
        assert all(run.start_ns <= run.end_ns <= seen.end_ns for run in seen.runs)
        assert all(span.start_ns <= span.end_ns for span in seen.spans)
