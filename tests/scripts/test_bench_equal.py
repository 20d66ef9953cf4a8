"""The table of equal and different effects: no verdict is wrong, and a comparer that goes by the letter is found
out."""

from __future__ import annotations

import pytest

from midsentence.tools import normal
from scripts import bench_equal
from scripts.bench_equal import OTHER, SAME, verdicts


def test_no_verdict_is_wrong(capsys):
    assert bench_equal.main([]) == 0
    last = (
        f"{len(SAME)} pairs of equal and {len(OTHER)} of different effects, {5 * len(SAME + OTHER)} verdicts, 0 wrong"
    )
    assert capsys.readouterr().out.splitlines()[-1] == last


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_effects_are_one_effect_to_everybody(one, other):
    assert set(verdicts(one, other).values()) == {True}


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_different_effects_are_two_to_everybody(one, other):
    assert set(verdicts(one, other).values()) == {False}


def test_a_form_by_the_letter_is_counted(monkeypatch, capsys):
    monkeypatch.setattr("midsentence.core.calls.normal_form", lambda spec, args, own: dict(args))
    assert bench_equal.main([]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_a_form_that_takes_too_much_for_equal_is_counted(monkeypatch, capsys):
    monkeypatch.setattr("midsentence.core.calls.normal_form", lambda spec, args, own: {})
    assert bench_equal.main([]) == 1
    assert normal.normal_form(bench_equal.SPECS["pay"], {"to": "a"}) == {"to": "a"}
