"""BFCL as a task source: rows from the wheel, tools, rejections, the committed split and classes."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from data_gen.gold import canonical
from data_gen.task import Evidence
from data_gen.tasks import bfcl
from midsentence.tools.tool import Toolbox, bind, mismatch
from tests.data_gen.tasks.bfcl_rows import TEA, TIDES, write_wheel


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = write_wheel(tmp_path / "rows.whl")
    table = bfcl.make_splits(bfcl.rows(path), frozenset({"parallel_0", "parallel_multiple_0", "multiple_0"}))
    monkeypatch.setattr(bfcl, "splits", lambda: table)
    return path


def every_task(wheel: Path | None = None) -> list:
    return [task for split in bfcl.SHARES for task in bfcl.tasks(split, 3, bfcl.CATEGORIES, wheel)]


def test_used_rows_become_spoken_tasks(wheel: Path) -> None:
    found = {task.id: task for task in every_task(wheel)}
    assert set(found) == {"parallel_0", "parallel_multiple_0", "multiple_0"}
    task = found["parallel_0"]
    assert task.request == "Switch on the lamp in the kitchen and in the hall"
    assert task.tags == ("parallel",) and task.source == "bfcl" and task.speech_end_ns > 0
    hall, kitchen = task.gold
    assert hall.args["room"].values == ("hall", "hallway") and canonical(hall) == {"room": "hall"}
    assert hall.arg_evidence == {"room": Evidence(10, 11)} and hall.name_evidence == Evidence(0, 0)
    assert kitchen.arg_evidence == {"room": Evidence(6, 7)}
    tea, tides = found["parallel_multiple_0"].gold
    assert canonical(tea) == {"minutes": 4.0, "kind": "black"}
    assert canonical(tides) == {"harbour": "Dover", "point": [51.1, 1.3]}
    assert tea.name_evidence.end <= 3 and tides.name_evidence.end > 6


def test_rows_that_cannot_be_used_are_named_with_their_reason(wheel: Path) -> None:
    assert bfcl.rejected(wheel=wheel) == (
        ("parallel_1", 'call 1: no words reveal lamp.set.room (text): ["attic"]'),
        ("parallel_2", "the same call twice: the protocol refuses a second equal call"),
        ("multiple_1", "call 1: no words reveal tea_timer.minutes (number): [3]"),
    )
    assert bfcl.rejected(("multiple",), wheel) == bfcl.rejected(wheel=wheel)[2:]


def test_words_are_the_same_for_a_seed_and_differ_between_seeds(wheel: Path) -> None:
    first, again, other = (bfcl.tasks("train", seed, bfcl.CATEGORIES, wheel) for seed in (1, 1, 2))
    assert [task.words for task in first] == [task.words for task in again] != [task.words for task in other]


def test_function_documents_become_tools() -> None:
    tea, tides = bfcl.tool_spec(TEA), bfcl.tool_spec(TIDES)
    assert [(p.name, p.required, dict(p.schema)) for p in tea.params] == [
        ("minutes", True, {"type": "number"}),
        ("cups", False, {"type": "array", "items": {"type": "object", "properties": {"size": {"type": "integer"}}}}),
        ("note", False, {}),
        ("kind", False, {"type": "string", "enum": ["green", "black"]}),
    ]
    assert dict(tides.params[1].schema) == {"type": "array", "items": {"type": "number"}}
    assert tea.access == "write"  # the table does not name it


def test_the_toolbox_acknowledges_and_logs_writes() -> None:
    tea = bfcl.tool_spec(TEA)
    weather = bfcl.tool_spec({**TIDES, "name": "weather_forecast"})
    box: Toolbox = bfcl.AckToolbox("t", (tea, weather))
    one = box.run("weather_forecast", {"harbour": "a", "point": [1]})
    assert one == box.run("weather_forecast", {"point": [1], "harbour": "a"}) and set(one) == {"status", "value"}
    assert box.run("weather_forecast", {"harbour": "b", "point": [1]}) != one
    assert box.effects == []
    assert set(box.run("tea_timer", {"minutes": 1})) == {"status", "id"}
    assert box.effects == [("tea_timer", {"minutes": 1})]


def test_latency_is_drawn_once_between_half_a_second_and_one() -> None:
    box = bfcl.AckToolbox("t", (bfcl.tool_spec(TEA),))
    drawn = [box.latency_ns("tea_timer", {"minutes": n}) for n in range(200)]
    assert drawn == [box.latency_ns("tea_timer", {"minutes": n}) for n in range(200)]
    assert all(500_000_000 <= value < 1_000_000_000 for value in drawn)
    assert max(drawn) > 950_000_000 and min(drawn) < 550_000_000
    assert drawn[0] != bfcl.AckToolbox("u", box.tools).latency_ns("tea_timer", {"minutes": 0})


def test_a_split_keeps_rows_that_share_a_function_together(wheel: Path) -> None:
    table = bfcl.make_splits(bfcl.rows(wheel), frozenset({"parallel_0", "parallel_multiple_0"}))
    assert table["tea_timer"] == table["tides.get"] != table["lamp.set"]
    assert table == bfcl.make_splits(bfcl.rows(wheel), frozenset({"parallel_multiple_0", "parallel_0"}))
    row = next(row for row in bfcl.rows(wheel) if row.id == "parallel_multiple_0")
    with pytest.raises(ValueError, match="parallel_multiple_0: its functions lie in several splits"):
        bfcl.split_of(row, {"tea_timer": "train", "tides.get": "test"})


def test_bad_input_gets_one_clear_line(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown category 'simple'; use some of parallel"):
        bfcl.rows(wheel, ("simple",))
    with pytest.raises(ValueError, match="unknown split 'dev'; use one of train, validation, test"):
        bfcl.tasks("dev", 0, wheel=wheel)  # type: ignore[arg-type]
    other = tmp_path / "other.whl"
    zipfile.ZipFile(other, "w").close()
    with pytest.raises(
        ValueError, match=r"has no bfcl_eval/data/possible_answer/BFCL_v4_parallel.json; give the wheel"
    ):
        bfcl.rows(other)


# --- the real wheel


def test_every_real_row_is_used_or_named(bfcl_wheel: Path) -> None:
    counts = Counter(row.category for row in bfcl.rows(bfcl_wheel))
    assert counts == {
        "parallel": 200,
        "parallel_multiple": 200,
        "multiple": 200,
        "live_parallel": 16,
        "live_parallel_multiple": 24,
    }
    used = every_task(bfcl_wheel)
    out = bfcl.rejected(wheel=bfcl_wheel)
    assert len(used) + len(out) == 640 and not {task.id for task in used} & {id for id, _ in out}
    # what docs/bfcl.md says; a change of grounding changes both
    kept = Counter(task.tags[0] for task in used)
    assert kept == {
        "parallel": 188,
        "parallel_multiple": 183,
        "multiple": 184,
        "live_parallel": 3,
        "live_parallel_multiple": 18,
    }


def test_splits_share_no_gold_function(bfcl_wheel: Path) -> None:
    names = {
        split: {call.name for task in bfcl.tasks(split, 0, bfcl.CATEGORIES, bfcl_wheel) for call in task.gold}
        for split in bfcl.SHARES
    }
    assert (
        not names["train"] & names["test"]
        and not names["train"] & names["validation"]
        and not names["test"] & names["validation"]
    )
    sizes = {split: len(bfcl.tasks(split, 0, bfcl.CATEGORIES, bfcl_wheel)) for split in bfcl.SHARES}
    total = sum(sizes.values())
    assert all(abs(sizes[split] / total - share) < 0.02 for split, share in bfcl.SHARES.items())
    assert set().union(*(row.gold_names for row in bfcl.rows(bfcl_wheel))) <= set(bfcl.splits())


def test_canonical_calls_fit_their_tools_and_evidence_its_request(bfcl_wheel: Path) -> None:
    for task in every_task(bfcl_wheel):
        specs = {tool.name: tool for tool in task.tools}
        for call in task.gold:
            args = bind(specs[call.name], (), canonical(call))
            for param in specs[call.name].params:
                if param.name in args:
                    assert mismatch(args[param.name], param.schema) is None, task.id
                    assert param.name in call.arg_evidence, task.id
                    assert (
                        0 <= call.arg_evidence[param.name].start < call.arg_evidence[param.name].end <= len(task.words)
                    ), task.id
            assert call.name_evidence.end <= len(task.words)
            assert (call.name_evidence.end > 0) <= (len(task.tools) > 1), task.id


def test_every_function_of_a_used_row_was_reviewed(bfcl_wheel: Path) -> None:
    listed = [name for names in json.loads(bfcl.CLASSES_FILE.read_text(encoding="utf-8")).values() for name in names]
    assert len(listed) == len(set(listed))
    offered = {tool.name for task in every_task(bfcl_wheel) for tool in task.tools}
    assert offered == set(listed)
    held = {
        name: bfcl.classes()[name]
        for name in ("send_email", "book_flight", "spotify.play", "doctor.search", "math.factorial")
    }
    assert held == {
        "send_email": "write",
        "book_flight": "write",
        "spotify.play": "write",
        "doctor.search": "egress",
        "math.factorial": "read",
    }
