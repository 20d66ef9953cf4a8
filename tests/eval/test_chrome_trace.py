"""The export to the Trace Event Format: what a viewer asks of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eval import chrome_trace, replay
from eval.measures.trace import trace
from midsentence.clock import ns
from midsentence.ending import UserError


@pytest.fixture
def exported(configured, tmp_path):
    replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=2", "eval.modes=[speculative]"))
    config = configured(f"path={tmp_path / 'replay'}", "row=1")
    config.out = str(tmp_path / "trace.json")
    chrome_trace.main(config)
    return json.loads((tmp_path / "trace.json").read_text()), chrome_trace.find(tmp_path / "replay", 1)


def test_every_event_is_of_the_format(exported):
    made, _ = exported
    assert set(made) >= {"traceEvents", "displayTimeUnit"} and made["displayTimeUnit"] in ("ms", "ns")
    named = {event["tid"] for event in made["traceEvents"] if event["ph"] == "M" and event["name"] == "thread_name"}
    times = [event["ts"] for event in made["traceEvents"] if event["ph"] != "M"]
    assert times == sorted(times)
    for event in made["traceEvents"]:
        assert {"ph", "pid", "tid", "name", "args"} <= set(event) and isinstance(event["name"], str)
        match event["ph"]:
            case "X":
                assert event["tid"] in named and event["dur"] >= 0
            case "i":
                assert event["tid"] in named and event["s"] == "t"
            case other:
                assert other == "M"


def test_events_of_a_lane_do_not_overlap(exported):
    made, _ = exported
    ends: dict[int, float] = {}
    for event in made["traceEvents"]:
        if event["ph"] == "X":
            # a viewer nests what overlaps, and refuses what is neither inside nor outside; a microsecond's fraction is
            # rounding
            assert event["ts"] >= ends.get(event["tid"], 0) - 1e-3, event
            ends[event["tid"]] = event["ts"] + event["dur"]


def test_words_calls_and_answer_are_there_in_microseconds(exported):
    made, episode = exported
    seen = trace(episode.history)
    kinds = [event.get("cat") for event in made["traceEvents"]]
    assert kinds.count("word") == len(episode.words)
    assert kinds.count("tool") == len(seen.runs) > 0
    (answer,) = [event for event in made["traceEvents"] if event.get("cat") == "answer"]
    assert ns(answer["ts"] / 1e6) == pytest.approx(episode.speech_end_ns + episode.latency_ns, abs=1000)


def test_a_row_that_is_not_there(exported, tmp_path):
    with pytest.raises(UserError, match=r"row=9 is not in .*: it has episodes 0 to 1"):
        chrome_trace.find(tmp_path / "replay", 9)


def test_a_trace_replaces_a_trace_and_nothing_else(exported, configured, tmp_path):
    config = configured(f"path={tmp_path / 'replay'}", "row=1")
    config.out = str(tmp_path / "trace.json")
    chrome_trace.main(config)
    config.out = str(tmp_path / "replay" / "manifest.json")
    with pytest.raises(UserError, match="manifest.json is there already and no trace; give another out="):
        chrome_trace.main(config)


def test_what_others_wrote_steers_no_terminal(exported, configured, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chrome_trace, "find", lambda *_: replace(exported[1], task="a\x1b[2J"))
    config = configured(f"path={tmp_path / 'replay'}", "row=1")
    config.out = str(tmp_path / "other.json")
    chrome_trace.main(config)
    assert "trace of task a\\x1b[2J, expert, speculative" in capsys.readouterr().out
