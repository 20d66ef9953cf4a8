"""The counters of random schedules: all zero and every transition seen; each one counts when its bug is planted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from immutables import Map

from agent.calls import Graph
from agent.core import _Step
from scripts import bench_schedules
from scripts.bench_schedules import COUNTERS, run_chunk

ROOT = Path(__file__).parent.parent.parent


def raises(*_):
    raise RuntimeError("planted")


def without_memory_of_effects(start_tool):
    def planted(self, call):
        self.graph = replace(self.graph, effects=Map())
        start_tool(self, call)

    return planted


def any_version(self, id, version, *, ran):
    return self.graph[id] if id in self.graph and self.graph[id].state in ("running", "unknown") else None


BUGS = {
    "effects_before_commit": [(_Step, "is_open", lambda self, call: True)],
    "effects_more_than_once": [(Graph, "effect_below", lambda self, id: None)],
    "duplicate_effects": [
        (_Step, "repeated_write", lambda self, call: None), (_Step, "start_tool", without_memory_of_effects(_Step.start_tool)),
    ],
    "effects_after_reopen": [(_Step, "reopen", lambda self: None)],
    "stale_results_seen": [(_Step, "current", any_version)],
    "dependents_left_running": [(Graph, "below", lambda self, id: ())],
    "hangs": [(_Step, "advance_calls", lambda self: None)],
    "raised": [(_Step, "discard_answer", raises)],
}  # fmt: skip


def test_every_counter_has_a_bug_to_count():
    assert tuple(BUGS) == COUNTERS


def test_a_result_taken_back_and_shown_all_the_same_is_counted(monkeypatch):
    monkeypatch.setattr(_Step, "void", lambda self, call: False)
    assert run_chunk(1000, 500, seed=0)[0]["stale_results_seen"] > 0


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_planted_bug_is_counted(counter, monkeypatch):
    for owner, name, planted in BUGS[counter]:
        monkeypatch.setattr(owner, name, planted)
    assert run_chunk(0, 500, seed=0)[0][counter] > 0


def test_five_thousand_schedules_cover_every_transition_and_count_nothing(capsys):
    assert bench_schedules.main(["--count", "5000"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "schedules": 5000, "transitions_covered": report["transitions_total"], "transitions_total": len(bench_schedules.ROWS),
        **dict.fromkeys(COUNTERS, 0),
    }  # fmt: skip


def test_a_count_that_is_not_zero_is_the_exit_status(capsys, tmp_path):
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"seed": 0, "next": 100, "counts": {"hangs": 2}, "covered": ["held:clear"]}))
    assert bench_schedules.main(["--count", "100", "--state", str(state)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["schedules"], report["hangs"], report["transitions_covered"]) == (100, 2, 1)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    assert run_chunk(0, 40, seed=1) == run_chunk(0, 40, seed=1)
    log = [repr(bench_schedules.Schedule(seed).any_event()) for seed in range(20)]
    assert log == [repr(bench_schedules.Schedule(seed).any_event()) for seed in range(20)]
    assert len(set(log)) > 5


def test_a_killed_run_goes_on_where_it_was(tmp_path, capsys):
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "scripts.bench", "schedules", "--count", "20000", "--state", str(state)]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not state.exists():
            assert running.poll() is None, "the run ended by itself"
            try:
                running.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    kept = json.loads(state.read_text())
    assert kept["next"] >= bench_schedules.CHUNK and kept["next"] % bench_schedules.CHUNK == 0
    kept["counts"] = {"hangs": 5}  # stands for what the killed run had found; a run that began anew would not know of it
    state.write_text(json.dumps(kept))
    bench_schedules.main(["--count", str(kept["next"] + 50), "--state", str(state)])
    report = json.loads(capsys.readouterr().out)
    assert (report["schedules"], report["hangs"], report["raised"]) == (kept["next"] + 50, 5, 0)
    assert json.loads(state.read_text())["next"] == kept["next"] + 50


def test_a_state_of_another_seed_is_refused(tmp_path, capsys):
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"seed": 3, "next": 0, "counts": {}, "covered": []}))
    with pytest.raises(SystemExit):
        bench_schedules.main(["--count", "10", "--state", str(state)])
    assert f"{state} was begun with seed 3, not 0" in capsys.readouterr().err
