"""The bench that tries to beat the floor: it finds nothing below, and finds a bound that is wrong."""

from __future__ import annotations

import json
import random

import pytest

from eval.measures.scoring import needed
from midsentence.core.silence import silences
from scripts import bench_floor
from scripts.bench_floor import SOURCES, Equal, run_chunk, tasks_of
from tests.eval.measures.test_needs import OPEN, ROUTE, WHO
from tests.eval.measures.test_scoring_world import task_of

MAIL = task_of(OPEN, ("compose_new_email", WHO | {"attachments": [["$1"]], "context": ["here it is"]}))
SENT = task_of(ROUTE, ("send_sms", {"recipients": [["+15550100"]], "message": ["$1"]}))


@pytest.mark.parametrize("source", sorted({*SOURCES} - {"bfcl"}))
def test_nothing_is_below_on_any_source(source):
    _, counts, found = run_chunk((source, 0, 8, 3, None))
    assert (counts["tried"], counts["below"], found) == (8, 0, [])
    assert counts["right"] >= 5


def test_a_bound_that_counts_edges_that_do_not_bind_is_found_out(monkeypatch):
    monkeypatch.setattr(bench_floor, "tasks_of", lambda source, questions: [MAIL, SENT])
    assert run_chunk(("assistant", 0, 60, 0, None))[1]["below"] == 0
    monkeypatch.setattr(
        "eval.measures.floor.binding",
        lambda task: {k: {n for n in needed(gold) if n < k} for k, gold in enumerate(task.gold, start=1)},
    )
    _, counts, found = run_chunk(("assistant", 0, 60, 0, None))
    assert counts["below"] == len(found) > 0


def test_a_bound_that_knows_no_silences_is_found_out(monkeypatch):
    assert run_chunk(("debug", 0, 60, 0, None))[1]["below"] == 0
    monkeypatch.setattr("eval.measures.floor.silences", lambda *told: [])
    _, counts, found = run_chunk(("debug", 0, 60, 0, None))
    assert counts["below"] == len(found) > 0


def test_a_bound_that_takes_only_the_silence_after_the_last_word_is_found_out(monkeypatch):
    """What is held may run in mid-sentence, from the first silence on."""
    late = lambda words, updates: [s for s in silences(words, updates) if s.at_ns > words[-1][1]]  # noqa: E731
    monkeypatch.setattr("eval.measures.floor.silences", late)
    below = sum(run_chunk((source, 0, 60, 0, None))[1]["below"] for source in ("debug", "assistant"))
    assert below > 0


def test_equal_calls_do_without_what_nobody_needs():
    attached = {
        str(args["attachments"])
        for n in range(40)
        for _, args in Equal(MAIL, random.Random(n)).calls()
        if "attachments" in args
    }
    assert any("branding contract" in text.casefold() for text in attached) and any("Ref" in text for text in attached)
    messages = {
        str(args["message"])
        for n in range(40)
        for name, args in Equal(SENT, random.Random(n)).calls()
        if "message" in args
    }
    assert "https://maps.apple.com/?daddr=Oslo&dirflg=d" in messages


def test_it_prints_a_line_of_json(capsys, monkeypatch):
    monkeypatch.setattr(bench_floor, "SOURCES", ("debug",))
    assert bench_floor.main(["--count", "3"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["tried"], line["below"], line["by_source"]["debug"]["tried"]) == (3, 0, 3)
    assert len(tasks_of("hotpotqa")) == 15
