"""The core benchmark measures a session that goes on, and the core's work an event does not grow with the session."""

from __future__ import annotations

import json
import sys

from midsentence.core import reducer
from midsentence.core.calls import CallState
from scripts import bench_core
from scripts.bench_core import Talk


def calls_made(talk: Talk, events: int) -> int:
    """Python functions called in the next ``events`` events: what time measures, without the clock."""
    count = 0

    def see(frame, what, arg) -> None:
        nonlocal count
        count += what == "call"

    sys.setprofile(see)
    try:
        talk.run(events)
    finally:
        sys.setprofile(None)
    return count


def test_the_work_of_an_event_does_not_grow_with_the_session():
    talk = Talk()
    talk.run(100)
    early = calls_made(talk, 800)
    talk.run(4000)
    assert calls_made(talk, 800) < 1.05 * early


def test_a_scan_of_the_session_would_be_seen(monkeypatch):
    step = reducer.step

    def scanning(state, event):
        for segment in state.transcript:
            str(segment.kind) and (lambda: None)()
        return step(state, event)

    monkeypatch.setattr(reducer, "step", scanning)
    talk = Talk()
    talk.run(100)
    early = calls_made(talk, 300)
    talk.run(600)
    assert calls_made(talk, 300) > 1.5 * early


def test_the_session_that_is_measured_is_a_real_one():
    talk = Talk()
    talk.run(1000)
    assert talk.state.turn > 5
    assert talk.state.errors_in_row == 0
    finished = [call for call in talk.state.graph.calls.values() if call.id < talk.state.graph.highest - 1]
    assert {call.state for call in finished} == {CallState.DONE}
    assert {call.version for call in finished} == {2}


def test_the_command_prints_one_line_of_json(capsys):
    assert bench_core.main(["--model", "tiny", "--repeats", "1", "--histories", "100", "400"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"token_at_100_us", "event_at_400_us", "ratio_400_to_100", "decode_step_us", "token_share_of_step"} <= set(
        report
    )


def test_a_model_that_is_not_there_is_noted(capsys):
    assert bench_core.main(["--model", "/nowhere", "--repeats", "1", "--histories", "100"]) == 0
    assert "no decode step measured" in json.loads(capsys.readouterr().out)["note"]
