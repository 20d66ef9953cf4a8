"""The check of a folder: nothing to find in good rows, and each counter counts what was spoiled."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from configs.schema import Config, DataConfig, EndpointConfig, ModelConfig
from data_gen import check
from data_gen.checks.divergence import part_early
from data_gen.checks.tally import COUNTERS, LOST
from data_gen.generate import _tasks, make_row
from data_gen.sources import load
from data_gen.tasks.twins import known_by, twin
from data_gen.trajectory import Trajectory
from midsentence.core.transcript import Segment
from midsentence.ending import UserError


@pytest.fixture(scope="module", params=["assistant", "debug"])
def config(request) -> Config:
    data = DataConfig(
        source=request.param, sizes={"train": 6, "validation": 2, "test": 2}, eagerness=0.3, disfluency={"times": 3.0}
    )
    if request.param == "debug":
        data.disfluency = {}
    return Config(data=data, model=ModelConfig(name="tiny"))


@pytest.fixture(scope="module")
def rows(config) -> list[Trajectory]:
    return [
        make_row(config, _tasks(config, split)[n], split, n)
        for split, count in config.data.sizes.items()
        for n in range(count)
    ]


def report(config, rows) -> dict:
    return check.check_rows(config, rows).report()


def spoil_log(row: Trajectory, change) -> Trajectory:
    """A row with the events of its log changed."""
    events = json.loads(row.log)
    change(events)
    return replace(row, log=json.dumps(events))


def spoil_segment(row: Trajectory, place: int, **changes) -> Trajectory:
    """A row with a segment changed, that of the model's with this place among them."""
    own = [n for n, piece in enumerate(row.segments) if piece.segment.kind == "model"][place]
    spoilt = replace(row.segments[own], segment=replace(row.segments[own].segment, **changes))
    return replace(row, segments=(*row.segments[:own], spoilt, *row.segments[own + 1 :]))


def outputs(events: list[dict]) -> list[dict]:
    return [event for event in events if event["type"] == "ModelOutput"]


def test_good_rows_have_nothing_to_count(config, rows):
    found = report(config, rows)
    assert found["rows"] == 10 and all(found[name] == 0 for name in COUNTERS) and found["split_overlap"] == 0
    if config.data.source == "assistant":
        assert (
            found["templates"] > 5 and 0 < found["largest_template_share"] < 0.5 and found["share_with_correction"] > 0
        )
    assert found["mean_tokens"]["tiny"] > 100


def early_write(rows: list[Trajectory]) -> Trajectory:
    """A row whose model says something before it pauses for the first time."""
    listening = (row for row in rows if row.mode == "speculative")
    return next(row for row in listening if any("<pause>" in out["text"] for out in outputs(json.loads(row.log))))


def test_words_written_too_early_are_peeked(config, rows):
    def change(events):
        out = next(event for event in outputs(events) if "<pause>" in event["text"])
        out["text"] = "<think>he will say more</think>" + out["text"]

    assert report(config, [spoil_log(early_write(rows), change)])["peeked"] == 1


def test_a_row_unlike_its_twin_diverges_early(config, rows, monkeypatch):
    row = early_write(rows)
    monkeypatch.setattr("data_gen.checks.faults.cut_of", lambda seed, words: words - 1)
    assert report(config, [row])["twins_diverged_early"] == 0
    *ids, last = next(piece.segment.ids for piece in row.segments if piece.segment.kind == "model")
    assert report(config, [spoil_segment(row, 0, ids=(*ids, last + 1))])["twins_diverged_early"] == 1


def test_a_missing_call_is_gold_not_reached(config, rows):
    def change(events):
        events[:] = [event for event in events if event["type"] not in ("ToolResult",)]

    assert report(config, [spoil_log(rows[0], change)])["gold_not_reached"] == 1


def test_a_call_made_twice_is_a_repeated_action(config, rows):
    def change(events):
        # a piece of text with a whole line in it
        out = next(event for event in outputs(events) if re.fullmatch(r"(?:<tool_call>\n)?\d+\. .*\)\n", event["text"]))
        line = out["text"].split("\n")[-2]
        out["text"] += line + "\n"  # the same line again: an identical reissue

    assert report(config, [spoil_log(rows[0], change)])["repeated_actions"] == 1


def test_ids_that_are_not_the_texts_are_a_broken_prefix(config, rows):
    text = [piece.segment.text for piece in rows[0].segments if piece.segment.kind == "model"][-1]
    assert report(config, [spoil_segment(rows[0], -1, text=text + "!")])["prefix_broken"] == 1
    assert report(config, [replace(rows[0], tokens=rows[0].tokens + 1)])["prefix_broken"] == 1
    assert (
        report(config, [spoil_log(rows[0], lambda events: events.insert(0, {"type": "Nonsense"}))])["prefix_broken"]
        == 1
    )


def test_a_row_in_two_splits_is_an_overlap(config, rows):
    moved = replace(rows[0], split="test")
    found = report(config, [*rows, moved])
    assert found["split_overlap"] >= 1


def test_twins_share_their_beginning_and_want_something_else(config):
    tasks = load(config, "train")
    for task, other in zip(tasks[:4], tasks[1:5]):  # noqa: RUF007  (the first four pairs)
        cut = len(task.words) // 2
        double = twin(task, other, cut)
        assert double.words[:cut] == task.words[:cut] and double.words[cut].text != task.words[cut].text
        assert double.gold != task.gold and double.id == task.id
        assert len(known_by(task, cut).words) == cut and known_by(task, len(task.words)) is task


def segments(*parts: tuple[str, str, int]) -> list[Segment]:
    return [Segment(kind, text, at_ns, tuple(text.encode()) if kind == "model" else ()) for kind, text, at_ns in parts]


def test_an_action_that_one_goes_on_with_and_the_other_cuts_is_no_early_divergence():
    going_on = segments(
        ("update", "and", 10), ("model", "1. a()\nmore", 30), ("cancel", "1", 20), ("update", "yes", 40)
    )
    cut = segments(
        ("update", "and", 10), ("model", "1. a()\n", 20), ("closer", "", 25), ("cancel", "1", 20), ("update", "no", 25)
    )
    assert not part_early(going_on, cut, 25) and not part_early(cut, going_on, 25)
    other_word = segments(("update", "or", 10), *((s.kind, s.text, s.at_ns) for s in cut[1:]))
    other_line = segments(("update", "and", 10), ("model", "1. b()\n", 20), ("cancel", "1", 20))
    no_cancel = [segment for segment in cut if segment.kind != "cancel"]
    assert all(part_early(going_on, bad, 25) for bad in (other_word, other_line, no_cancel, cut[:1]))


def test_rows_at_fault_are_named(config, rows, tmp_path, monkeypatch, capsys):
    row = replace(rows[0], tokens=rows[0].tokens + 1)
    monkeypatch.setattr(check, "check", lambda folder, *_: check.check_rows(config, [row, *rows[1:3]]))
    check.main(Config(path=str(tmp_path)))
    shown = capsys.readouterr()
    assert shown.err == f"{row.id}: prefix_broken\n" and json.loads(shown.out)["prefix_broken"] == 1


def test_what_a_false_end_made_impossible_is_counted_apart():
    """A plain timer of 0.3 s takes every pause for the end: some writes can't be taken back when the user goes on."""
    timer = EndpointConfig(delay_s=0.3, false_rate=1.0)
    data = DataConfig(source="naturalistic", endpoints={"oracle": timer}, sizes={"train": 24}, modes=["speculative"])
    config = Config(data=data, model=ModelConfig(name="tiny"))
    tasks = _tasks(config, "train")
    found = check.check_rows(config, [make_row(config, tasks[n], "train", n) for n in range(24)])
    assert found.counts[LOST] > 0 and found.report()[LOST] == found.counts[LOST]
    assert found.counts["gold_not_reached"] == 0 and found.faulty == []


def test_a_look_up_that_is_tried_again_at_a_false_end_is_no_repetition(tmp_path):
    """It failed for want of a word that was still to come; where all has been heard, another try is what the expert
    owes."""
    request = "text Mrs. Oppenheimer lunch is ready"
    starts = [0.0, 0.4, 3.5, 4.4, 4.8, 5.1]
    row = {
        "id": "m",
        "now": "2026-03-07 07:44:00",
        "request": request,
        "split": "train",
        "words": [[word, at, at + 0.3] for word, at in zip(request.split(), starts)],
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Mrs. Oppenheimer"]}},
            {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["lunch is ready"]}},
        ],
        "spans": [
            {"tool": "text", "args": {"name": "Mrs. Oppenheimer"}},
            {"tool": "text", "args": {"message": "lunch is ready"}},
        ],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    data = DataConfig(source="jsonl", sizes={"train": 20}, modes=["eager_end"], endpoint="timer")
    data.endpoints["timer"] = EndpointConfig(delay_s=0.3, false_rate=1.0)
    config = Config(data=data, model=ModelConfig(name="tiny"), requests=str(tmp_path / "rows.jsonl"), tools="assistant")
    made = [make_row(config, _tasks(config, "train")[0], "train", n) for n in range(20)]
    retried = [row for row in made if sum(piece.segment.kind == "tool_error" for piece in row.segments) > 1]
    assert retried and report(config, retried)["repeated_actions"] == 0


def test_rows_of_a_task_that_there_is_not_are_a_line(config, rows):
    with pytest.raises(
        UserError, match="gone/x is of task 'none', which its source does not make any more; generate the data again"
    ):
        check.check_rows(config, [replace(rows[0], id="gone/x", task="none")])
