"""The table of flows: none goes out that might carry a result; a core that looks for copies is found out."""

from __future__ import annotations

import pytest

from scripts import bench_taint
from scripts.bench_taint import CARRY, CLEAN, went_out


@pytest.mark.parametrize("way", CARRY)
def test_what_may_carry_a_result_waits(way):
    assert not went_out(CARRY[way])


@pytest.mark.parametrize("way", CLEAN)
def test_the_users_own_words_go(way):
    assert went_out(CLEAN[way])


def test_no_verdict_is_wrong(capsys):
    assert bench_taint.main([]) == 0
    last = f"{len(CARRY)} ways to carry a result out and {len(CLEAN)} of the user's own words, 0 wrong"
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert len(CARRY) >= 28


@pytest.mark.parametrize("planted", [True, False])
def test_a_rule_that_lets_all_or_nothing_pass_is_counted(planted, monkeypatch, capsys):
    monkeypatch.setattr("midsentence.core.execution.only_said", lambda args, words: planted)
    assert bench_taint.main([]) == 1
    assert "WRONG" in capsys.readouterr().out
