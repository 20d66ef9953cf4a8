"""The docs of calls agree with the table and with the tests that they name."""

from __future__ import annotations

import re

import pytest

from midsentence.core.calls import ROWS, CallState
from scripts import draw_calls
from scripts.draw_calls import DOCS, PAGE, PICTURE

TESTS = DOCS.parent / "tests"


def test_the_page_is_what_the_table_draws():
    assert draw_calls.page(PAGE.read_text()) == PAGE.read_text(), "run python -m scripts.draw_calls"


def test_the_picture_was_drawn_from_this_table():
    assert f"table {draw_calls.fingerprint()}" in PICTURE.read_text(), "run python -m scripts.draw_calls"


def test_check_says_what_is_out_of_date(monkeypatch, capsys):
    assert draw_calls.main(["--check"]) == 0
    monkeypatch.setattr(draw_calls, "ROWS", ROWS[:-1])
    assert draw_calls.main(["--check"]) == 1
    assert "out of date: calls.md, calls.svg; run python -m scripts.draw_calls" in capsys.readouterr().out


def test_drawing_writes_both(tmp_path, monkeypatch):
    page, picture = tmp_path / "calls.md", tmp_path / "calls.svg"
    page.write_text(re.sub(r"(draw_calls -->\n).*?(<!-- end)", r"\1\2", PAGE.read_text(), flags=re.S))
    monkeypatch.setattr(draw_calls, "PAGE", page)
    monkeypatch.setattr(draw_calls, "PICTURE", picture)
    assert draw_calls.main([]) == 0
    assert page.read_text() == PAGE.read_text()
    assert "<svg" in picture.read_text()


def test_every_state_has_a_place_in_the_picture():
    assert set(draw_calls.PLACES) == set(CallState)


def test_every_transition_but_the_late_answers_is_in_the_diagram():
    drawn = sum(len(inputs) for inputs in draw_calls.arrows().values())
    assert drawn == sum(row.input != "stale" for row in ROWS)


def test_a_page_without_its_markers_is_refused():
    with pytest.raises(ValueError, match="calls.md lacks .*; put the markers back where the diagram should stand"):
        draw_calls.page("# Calls\n")


def named(page: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", (DOCS / page).read_text()))


def written(pattern: str) -> set[str]:
    return {
        name
        for path in TESTS.glob(pattern)
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), flags=re.M)
    }


@pytest.mark.parametrize("page", ["calls.md", "guarantees.md", "protocol.md"])
def test_the_tests_that_the_docs_name_exist(page):
    assert named(page)
    assert named(page) <= written("**/test_*.py")


def test_every_scenario_of_a_rule_is_named_in_the_docs():
    parts = ("calls", "commit", "guarantees", "lines", "paper")
    scenarios = set().union(*(written(f"midsentence/test_scenarios_{part}.py") for part in parts))
    assert scenarios - named("calls.md") == set()
    assert written("midsentence/test_scenarios_turns.py") - named("protocol.md") - named("calls.md") == set()
