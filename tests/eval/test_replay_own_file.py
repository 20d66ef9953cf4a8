"""A file of one's own replays directly: ``python -m eval.replay task=jsonl tools=assistant requests=FILE``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_gen.tasks.rows import split_of
from eval import replay, report

ROWS = [
    {
        "id": "late",
        "request": "text Sam Ortiz that I will be ten minutes late",
        "calls": [
            {"name": "get_phone_number", "args": {"name": ["Sam Ortiz"]}},
            {"name": "send_sms", "args": {"recipients": [["$1"]], "message": ["I will be ten minutes late"]}},
        ],
    },
    {
        "id": "shopping",
        "request": "create a note called Groceries that says milk and eggs",
        "calls": [
            {"name": "create_note", "args": {"name": ["Groceries"], "content": ["milk and eggs"]}},
        ],
    },
]
OWN = ("task=jsonl", "tools=assistant", "eval.backends=[expert]", "eval.modes=[speculative]")


def file_of(folder: Path, *rows: dict) -> str:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"requests={path}"


def replayed(out: Path) -> dict[str, str]:
    """Splits of what was replayed, by task; all of it must be right."""
    episodes = [
        json.loads(line) for line in (out / "episodes-expert-speculative-laptop-0.jsonl").read_text().splitlines()
    ]
    assert all(episode["right"] and episode["source"] == "jsonl" for episode in episodes)
    return {episode["task"]: episode["split"] for episode in episodes}


def test_all_of_a_file_too_small_for_the_split_is_replayed_and_said(configured, tmp_path, capsys):
    assert {split_of(row["id"]) for row in ROWS} == {"train"}
    replay.main(configured(*OWN, file_of(tmp_path, *ROWS)))
    assert "mine.jsonl is in split 'test': all 2 usable rows are replayed" in capsys.readouterr().out
    assert replayed(tmp_path / "replay") == {"late": "train", "shopping": "train"}


def test_rows_of_the_split_are_replayed_alone_and_all_where_that_is_asked_for(configured, tmp_path, capsys):
    rows = file_of(tmp_path, ROWS[0] | {"split": "test"}, ROWS[1])
    replay.main(configured(*OWN, rows))
    assert replayed(tmp_path / "replay") == {"late": "test"} and "usable rows" not in capsys.readouterr().out
    replay.main(configured(*OWN, rows, "eval.split=all", f"out={tmp_path / 'all'}"))
    assert replayed(tmp_path / "all") == {"late": "test", "shopping": "train"}


def test_results_of_a_file_are_never_taken_for_those_of_another(configured, tmp_path):
    config = configured(*OWN, file_of(tmp_path, *ROWS))
    replay.main(config)
    file_of(tmp_path, ROWS[0])
    with pytest.raises(ValueError, match="other settings or weights; give another out="):
        replay.main(config)


def test_a_replay_that_failed_before_its_first_episode_binds_nobody(configured, tmp_path):
    with pytest.raises(ValueError, match="no usable row in split 'test'"):
        replay.main(configured(*OWN, file_of(tmp_path, ROWS[0] | {"request": "text somebody"})))
    replay.main(configured(*OWN, file_of(tmp_path, ROWS[0])))
    assert replayed(tmp_path / "replay") == {"late": "train"}


def test_rows_that_cannot_be_used_are_named_and_counted_in_the_report(configured, tmp_path, capsys):
    bad = {"id": "bad", "request": "text somebody", "calls": ROWS[0]["calls"]}
    config = configured(*OWN, file_of(tmp_path, *ROWS, bad, bad))
    replay.main(config)
    said = capsys.readouterr().out
    assert "rejected line 3 (bad): " in said and f"rejected rows: 2 ({tmp_path / 'replay' / 'rejected.jsonl'})" in said
    (entry,) = json.loads((tmp_path / "replay" / "manifest.json").read_text())["rejected"]
    assert (entry["source"], entry["count"], entry["rows"]) == ("jsonl", 2, ["line 3 (bad)", "line 4 (bad)"])
    assert len((tmp_path / "replay" / "rejected.jsonl").read_text().splitlines()) == 2
    replay.main(config)  # again: the file does not grow
    assert len((tmp_path / "replay" / "rejected.jsonl").read_text().splitlines()) == 2
    capsys.readouterr()
    report.main(configured(f"runs=[{tmp_path / 'replay'}]", f"out={tmp_path / 'report'}", "eval.resamples=10"))
    assert json.loads((tmp_path / "report" / "report.json").read_text())["rejected"][0]["count"] == 2
    for text in (capsys.readouterr().out, (tmp_path / "report" / "report.md").read_text()):
        assert "and counted in no n: 2 rows, line 3 (bad), line 4 (bad)." in text


def test_rows_of_the_leaderboard_that_are_kept_out_are_those_of_the_split(configured, tmp_path, bfcl_wheel):
    config = configured("task=", "data.source=bfcl", "data.categories=[parallel,parallel_multiple]", "eval.split=test")
    (entry,) = replay.kept_out(config, tmp_path)
    assert (entry["source"], entry["split"], entry["count"]) == ("bfcl", "test", 6) and "parallel_71" in entry["rows"]
