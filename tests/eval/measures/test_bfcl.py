"""BFCL's own checker, out of the wheel: gold passes, spoilt calls fail, and nothing of a vendor is imported."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_gen.gold import canonical
from data_gen.task import Task
from data_gen.tasks import bfcl
from eval.measures.bfcl import Verdict, check


@pytest.fixture(scope="module")
def real(bfcl_wheel: Path) -> list[Task]:
    return [task for split in bfcl.SHARES for task in bfcl.tasks(split, 0, bfcl.CATEGORIES, bfcl_wheel)]


def gold_calls(task: Task) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, canonical(call)) for call in task.gold]


def spoil(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 987654
        case str():
            return value + " spoilt"
        case list():
            return [*value, spoil(value[0])] if value else ["spoilt"]
        case dict():
            return {name: spoil(part) for name, part in value.items()}
    return "spoilt"


def test_the_gold_calls_of_every_used_row_pass(real: list[Task], bfcl_wheel: Path) -> None:
    failed = {
        task.id: verdict.error for task in real if not (verdict := check(task, gold_calls(task), bfcl_wheel)).valid
    }
    assert len(real) > 500 and failed == {}


def test_the_order_of_calls_does_not_matter(real: list[Task], bfcl_wheel: Path) -> None:
    task = next(task for task in real if len(task.gold) > 2)
    assert check(task, gold_calls(task)[::-1], bfcl_wheel) == Verdict(True)


def test_spoilt_calls_fail(real: list[Task], bfcl_wheel: Path) -> None:
    spoilt = 0
    for task in real:
        calls = gold_calls(task)
        assert not check(task, calls[:-1], bfcl_wheel).valid, task.id
        assert not check(task, [*calls, calls[0]], bfcl_wheel).valid, task.id
        name, args = calls[0]
        assert not check(task, [("another", args), *calls[1:]], bfcl_wheel).valid, task.id
        assert not check(task, [(name, {**args, "unheard_of": 1}), *calls[1:]], bfcl_wheel).valid, task.id
        for param, value in args.items():
            if isinstance(value, bool):
                continue  # both answers may be accepted
            verdict = check(task, [(name, {**args, param: spoil(value)}), *calls[1:]], bfcl_wheel)
            assert not verdict.valid and verdict.error, (task.id, param)
            spoilt += 1
    assert spoilt > 1000


def test_a_missing_required_argument_is_named(real: list[Task], bfcl_wheel: Path) -> None:
    task = next(task for task in real if task.tags == ("multiple",))
    verdict = check(task, [(task.gold[0].name, {})], bfcl_wheel)
    assert not verdict.valid and "Missing required parameter" in verdict.error


def test_values_of_a_wrong_shape_fail_and_do_not_raise(real: list[Task], bfcl_wheel: Path) -> None:
    for task in real[:150]:
        (name, args), *others = gold_calls(task)
        for param in args:
            for odd in (None, {}, [], [[]], [{"a": 1}], {"a": {"b": 1}}):
                verdict = check(task, [(name, {**args, param: odd}), *others], bfcl_wheel)
                assert not verdict.valid or odd == [], (task.id, param, odd)  # the checker lets some empty lists pass
    document = {"name": "f", "parameters": {"type": "dict", "properties": {"x": {"type": "array"}}, "required": ["x"]}}
    meta = {"category": "parallel", "functions": (document,), "possible_answers": ({"f": {"x": [[1]]}},)}
    verdict = check(replace(real[0], meta=meta), [("f", {"x": [1]})], bfcl_wheel)
    assert not verdict.valid and verdict.error == "the checker could not read the calls: KeyError: 'items'"


def test_nothing_of_the_wheel_or_of_a_vendor_stays_imported(real: list[Task], bfcl_wheel: Path) -> None:
    check(real[0], gold_calls(real[0]), bfcl_wheel)
    assert not [name for name in sys.modules if name.split(".")[0] == "bfcl_eval"]
    assert str(bfcl_wheel) not in sys.path
    assert not {"openai", "anthropic", "mistralai", "cohere"} & set(sys.modules)


def test_other_tasks_and_a_missing_wheel_get_one_clear_line(real: list[Task], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="has no 'category' in its meta; the checker scores tasks of data_gen.tasks.bfcl only"
    ):
        check(replace(real[0], meta=None), [])
    with pytest.raises(FileNotFoundError, match="fetch it with: midsentence fetch bfcl"):
        check(real[0], [], tmp_path / "none.whl")
