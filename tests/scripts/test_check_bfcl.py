"""The comparison with the leaderboard's own evaluation: what is spoilt, the two forms, and that a difference is
found."""

from __future__ import annotations

import ast
import copy
import json
from pathlib import Path

import pytest

from scripts import check_bfcl
from scripts.check_bfcl import FORMS, altered, as_python, as_tags, compare, distinct, folder_of, official, variants

GOLD = [("math.add", {"x": 1, "note": "it's"}), ("say", {"x": 2})]
ACCEPTED = [{"x": (1, 7), "note": ("it's", "")}, {"x": (2,)}]


def made() -> list[tuple[str, list[check_bfcl.Call]]]:
    return distinct(variants(GOLD, ACCEPTED, ["math.add", "say"]))


def test_every_way_to_spoil_is_there_once_and_gold_is_left_as_it_was() -> None:
    before = copy.deepcopy(GOLD)
    found = made()
    assert GOLD == before
    assert found[0] == ("gold", GOLD)
    texts = [json.dumps(calls) for _, calls in found]
    assert len(set(texts)) == len(texts)
    first, second = GOLD
    for kind, calls in (
        ("calls in other order", [second, first]),
        ("arguments in other order", [("math.add", {"note": "it's", "x": 1}), second]),
        ("no calls", []),
        ("call missing", [second]),
        ("call missing", [first]),
        ("call twice", [first, first, second]),
        ("call twice", [first, second, second]),
        ("extra call", [first, second, ("unheard_of", first[1])]),
        ("wrong name", [("math_add", first[1]), second]),
        ("wrong name", [("say", first[1]), second]),
        ("wrong name", [first, ("math.add", second[1])]),
        ("unknown argument", [first, ("say", {"x": 2, "unheard_of": 1})]),
        ("no arguments", [("math.add", {}), second]),
        ("argument left out", [("math.add", {"x": 1}), second]),
        ("values exchanged", [("math.add", {"x": 2, "note": "it's"}), ("say", {"x": 1})]),
        ("number of the other type", [("math.add", {"x": 1.0, "note": "it's"}), second]),
        ("other accepted value", [("math.add", {"x": 7, "note": "it's"}), second]),
        ("wrong type", [("math.add", {"x": "1", "note": "it's"}), second]),
        ("wrong type", [first, ("say", {"x": [2]})]),
    ):
        # as text, for 1, 1.0 and True are equal, and the order of an object's fields is not seen
        assert json.dumps([kind, calls]) in [json.dumps(variant) for variant in found], (kind, calls)


@pytest.mark.parametrize(
    ("value", "kind", "other"),
    [
        (True, "wrong value", False),
        (3, "wrong value", 987657),
        (2.0, "number of the other type", 2),
        ("Rome", "text in other case and marks", " ROME, "),
        ([1, 2], "list in other order", [2, 1]),
        ([1, 2], "in a list: number of the other type", [1.0, 2]),
        ([1, 2], "in a list: wrong type", [None, 2]),
        ({"a": "b", "c": 1}, "field left out", {"c": 1}),
        ({"a": "b", "c": 1}, "unknown field", {"a": "b", "c": 1, "unheard_of": 1}),
        ({"a": [1]}, "in an object: in a list: wrong type", {"a": [{}]}),
        ([], "wrong type", [[]]),
    ],
)
def test_a_value_is_altered_by_its_shape(value: object, kind: str, other: object) -> None:
    assert json.dumps([kind, other]) in [json.dumps(change) for change in altered(value)]


def test_one_and_one_point_nought_and_true_are_three_values() -> None:
    calls = [("a", [("f", {"x": value})]) for value in (1, 1.0, True, 1)]
    assert [variant[1][0][1]["x"] for variant in distinct(iter(calls))] == [1, 1.0, True]


def test_both_forms_say_the_calls() -> None:
    assert as_tags(GOLD) == (
        '<tool_call>\n{"name": "math.add", "arguments": {"x": 1, "note": "it\'s"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "say", "arguments": {"x": 2}}\n</tool_call>'
    )
    assert as_python(GOLD) == """[math.add(x=1, note="it's"), say(x=2)]"""
    assert (as_tags([]), as_python([])) == ("", "[]")
    for _, calls in made():
        said = ast.parse(as_python(calls), mode="eval").body.elts
        read = [
            (ast.unparse(call.func), {word.arg: ast.literal_eval(word.value) for word in call.keywords})
            for call in said
        ]
        assert read == calls


def _judged(folder: Path, wrong: dict[str, str], correct_count: int) -> Path:
    """One round of two rows, ``parallel_0`` right and ``parallel_1`` wrong for us, with official scores."""
    ours = [
        {
            "round": "round_0000",
            "id": "parallel_0",
            "category": "parallel",
            "split": "test",
            "kind": "gold",
            "calls": 2,
            "valid": True,
            "error": "",
        },
        {
            "round": "round_0000",
            "id": "parallel_1",
            "category": "parallel",
            "split": "train",
            "kind": "no calls",
            "calls": 0,
            "valid": False,
            "error": "parallel:count: ['Wrong number: 0']",
        },
    ]
    (folder / "ours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ours))
    for model in FORMS:
        result = folder / "round_0000" / "result" / folder_of(model)
        score = folder / "round_0000" / "score" / folder_of(model) / "non_live"
        result.mkdir(parents=True)
        score.mkdir(parents=True)
        (result / "BFCL_v4_parallel_result.json").write_text(
            "".join(json.dumps({"id": row["id"]}) + "\n" for row in ours)
        )
        header = {"accuracy": correct_count / 2, "correct_count": correct_count, "total_count": 2}
        lines = [header, *({"id": row, "error_type": error} for row, error in wrong.items())]
        (score / "BFCL_v4_parallel_score.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_agreement_is_counted_by_form(tmp_path: Path) -> None:
    report = compare(_judged(tmp_path, {"parallel_1": "parallel:count"}, 1))
    for model in FORMS:
        assert report[model] == {"judged": 2, "agree": 2, "disagree": 0, "same_type_of_error": 2}
    assert (report["rows"], report["variants"], report["calls"], report["disagreements"]) == (2, 2, 2, 0)
    assert report["rows_by_split"] == {"test": 1, "train": 1}
    assert report["ours_by_kind"] == {"gold": {"right": 1}, "no calls": {"wrong": 1}}


@pytest.mark.parametrize(("wrong", "correct"), [({}, 2), ({"parallel_0": "a", "parallel_1": "b"}, 0)])
def test_a_verdict_that_differs_is_found_either_way(
    tmp_path: Path,
    wrong: dict[str, str],
    correct: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["check_bfcl", "compare", str(_judged(tmp_path, wrong, correct))])
    with pytest.raises(SystemExit) as ended:
        check_bfcl.main()
    report = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1
    assert report["disagreements"] == len(FORMS)
    assert {row["id"] for row in report["first_disagreements"]} == {"parallel_0" if wrong else "parallel_1"}


def test_another_type_of_error_is_no_other_verdict_and_is_counted(tmp_path: Path) -> None:
    report = compare(_judged(tmp_path, {"parallel_1": "ast_decoder:decoder_failed"}, 1))
    assert {tuple(report[model].values()) for model in FORMS} == {(2, 2, 0, 1)}


def test_scores_that_do_not_fit_the_results_are_refused(tmp_path: Path) -> None:
    _judged(tmp_path, {"parallel_1": "parallel:count"}, 2)
    with pytest.raises(ValueError, match="but 2 rows and 1 wrong ones; remove it and judge again"):
        official(tmp_path / "round_0000", next(iter(FORMS)), "parallel")


def test_an_unknown_verb_is_told_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["check_bfcl", "prove", "there"])
    with pytest.raises(SystemExit, match=r"got prove there; use: check_bfcl.py write\|judge\|compare DIR"):
        check_bfcl.main()
