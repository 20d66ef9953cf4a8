"""The record of an episode: one line a record, which comes back as it was, and what is no record is refused by name."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from data_gen.task import Word
from eval.running import records
from eval.running.records import Attempts, BadRecord, EpisodeRecord, from_json, from_line, to_json, to_line
from eval.running.results import BadResults, read_file, read_runs
from midsentence.clock import NS_PER_S
from tests.eval.made import record_of, turn_of

ROOT = Path(__file__).parents[3]
COMMITTED = sorted((ROOT / "notebooks/results").rglob("*.jsonl"))
OPTIONAL = {"time", "drafted", "turns", "repeated_across_turns", "forgets"}
"""What a line of a single request in simulation leaves out."""


def test_a_line_of_a_single_request_has_the_fields_of_version_1_in_their_order():
    assert records.VERSION == 1
    assert list(json.loads(to_line(record_of()))) == [
        each.name for each in fields(EpisodeRecord) if each.name not in OPTIONAL
    ]


def test_what_only_some_episodes_have_stands_in_their_lines_alone():
    drafted = Attempts(attempts=2, foreseen=9, right=7, kept=((1, 1), (2, 1)))
    row = to_json(record_of(time="real", drafted=drafted))
    assert (row["time"], row["drafted"]) == (
        "real",
        {"attempts": 2, "foreseen": 9, "right": 7, "kept": [[1, 1], [2, 1]]},
    )
    talk = to_json(record_of(turns=(turn_of(), turn_of(kind="thanks")), forgets=1))
    assert "listener_ns" not in talk and "path_ns" not in talk
    assert list(talk)[-5:] == ["counts", "turns", "repeated_across_turns", "words", "forgets"]


@pytest.mark.parametrize(
    "made",
    [
        record_of(
            words=(Word("Bob", 0, 5, "reparandum"),), answer=None, final_ns=None, answer_f1=0.5, tags=("repair",)
        ),
        record_of(listener_ns=4, path_ns={"writing": 4}, log=[[{"type": "Close"}, []]]),
        record_of(drafted=Attempts(attempts=0, foreseen=0, right=0, kept=((3, 2),)), time="real"),
        record_of(turns=(turn_of(silence_ns=3), turn_of(answer=None, first_token_ns=1)), repeated_across_turns=1),
    ],
)
def test_a_record_comes_back_from_its_line(made):
    assert from_line(to_line(made)) == made and to_line(from_line(to_line(made))) == to_line(made)


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_committed_records_are_read_whole(path):
    """They were written before some fields came; what they say stays."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for line, found in zip(lines, read_file(path), strict=True):
        written = json.loads(line)
        assert {name: to_json(found)[name] for name in written} == written


def spoilt(**changes) -> dict:
    return to_json(record_of(turns=(turn_of(),))) | changes


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "it is [1]; expected an object"),
        ({name: value for name, value in spoilt().items() if name != "floor_ns"}, "floor_ns is missing"),
        (spoilt(luck=1), "luck is no field of version 1"),
        (spoilt(right=1), "right is 1; expected bool"),
        (spoilt(latency_ns=True), "latency_ns is true; expected int"),
        (spoilt(latency_ns=1.5), "latency_ns is 1.5; expected int"),
        (spoilt(answer=3), "answer is 3; expected str"),
        (spoilt(tags=["a", None]), "tags[1] is null; expected str"),
        (spoilt(parts_ns={"thinking": "x"}), 'parts_ns.thinking is "x"; expected int'),
        (spoilt(counts={}), "counts.started_calls is missing"),
        (spoilt(words=[["Bob", 0, 1]]), 'words[0] is ["Bob", 0, 1]; expected an object'),
        (
            spoilt(words=[["Bob", 0, 1, "loud"]]),
            'words[0].label is "loud"; expected one of fluent, reparandum, interregnum, repair',
        ),
        (spoilt(turns=[{"kind": "request"}]), "turns[0].said is missing"),
        (
            spoilt(drafted={"attempts": 0, "foreseen": 0, "right": 0, "kept": [[1]]}),
            "drafted.kept[0] is [1]; expected 2 values",
        ),
        (spoilt(log={"a": 1}), 'log is {"a": 1}; expected a list'),
        (spoilt(log=[[{}, []], 3]), "log[1] is 3; expected a list"),
    ],
)
def test_what_is_no_record_is_refused_by_its_field(row, said):
    with pytest.raises(BadRecord) as error:
        from_json(row)
    assert str(error.value) == said


def test_a_line_that_is_no_record_names_the_file_the_field_and_the_fix(tmp_path):
    path = tmp_path / "episodes-a.jsonl"
    path.write_text(to_line(record_of()) + json.dumps(spoilt(luck=1)) + "\n", encoding="utf-8")
    with pytest.raises(BadResults) as error:
        list(read_file(path))
    assert (
        str(error.value)
        == f"{path} line 2 is no record (luck is no field of version 1); delete the file and replay again"
    )


def test_records_of_another_version_are_refused_before_a_line_is_read(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 2, "rows": [{}]}))
    with pytest.raises(BadResults, match="has schema version 2, this code reads 1; replay again into another out="):
        read_runs([str(tmp_path)])


def test_a_folder_of_this_version_without_rows_is_not_called_another_version(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": records.VERSION, "rows": []}))
    with pytest.raises(BadResults, match="names no rows of episodes; replay again into another out="):
        read_runs([str(tmp_path)])


def test_figures_are_made_of_records_without_words_and_log():
    made = record_of(log=[[{"type": "Close", "at_ns": NS_PER_S}, []]])
    assert (made.bare().words, made.bare().log, made.bare().latency_ns) == ((), (), made.latency_ns)
