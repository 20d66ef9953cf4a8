"""Published tables come from committed results, and say what those say."""

import json

import pytest

from scripts import publish

ROW = {
    "task": "written",
    "split": "test",
    "backend": "expert",
    "mode": "speculative",
    "profile": "laptop",
    "n": 120,
    "seeds": [0],
    "accuracy": 0.95,
    "accuracy_ci95": [0.9, 0.98],
    "latency_mean_s": 2.125,
    "success_by_s": {"2": 0.5},
    "speedup_vs_sequential": 2.01,
    "speedup_vs_sequential_ci95": [1.9, 2.1],
    "n_both_right": 114,
    "effects_before_last_word_per_100": 1.67,
}


def test_every_published_table_is_what_its_results_give():
    assert publish.main(["check=true"]) == 0


def test_a_marked_table_is_filled_and_the_rest_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "RESULTS", tmp_path)
    (tmp_path / "tried").mkdir()
    rows = [ROW, ROW | {"mode": "sequential", "speedup_vs_sequential": None}, ROW | {"backend": "no_guess"}]
    (tmp_path / "tried" / "rows.json").write_text(json.dumps({"rows": rows}))
    page = tmp_path / "page.md"
    marker = (
        "<!-- table tried modes=sequential,speculative columns=source,mode,n,right,mean,sequential,before_last_word -->"
    )
    page.write_text(f"before\n{marker}\nold\n<!-- /table -->\nafter\n")
    assert publish.fill(page, check=True) and "old" in page.read_text()
    assert publish.fill(page) and not publish.fill(page)
    assert page.read_text().splitlines() == [
        "before",
        marker,
        "| requests | mode | n | right | mean s | × `sequential` | before the last word, /100 |",
        "|---|---|---:|---:|---:|---:|---:|",
        "| written one by one | `sequential` | 120 | 95% [90, 98] | 2.12 | 1 | 1.7 |",
        "| written one by one | `speculative` | 120 | 95% [90, 98] | 2.12 | 2.01 [1.90, 2.10] | 1.7 |",
        "<!-- /table -->",
        "after",
    ]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nothing", "asks for results 'nothing'; there are tried"),
        ("tried columns=speed", "asks for column 'speed'; use some of source"),
        ("tried modes=parallel", "no row of results/tried fits"),
    ],
)
def test_a_table_that_can_not_be_made_says_why(tmp_path, monkeypatch, spec, why):
    monkeypatch.setattr(publish, "RESULTS", tmp_path)
    (tmp_path / "tried").mkdir()
    (tmp_path / "tried" / "rows.json").write_text(json.dumps({"rows": [ROW]}))
    with pytest.raises(ValueError, match=why):
        publish.table(spec)


def test_results_without_a_name_are_refused(capsys):
    assert publish.main(["report=outputs/x"]) == 2
    assert "use name=RESULT report=FOLDER together" in capsys.readouterr().err
