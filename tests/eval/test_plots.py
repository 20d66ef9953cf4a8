"""The report's plots: exact curves, and a file for what can be drawn."""

from __future__ import annotations

import pytest
from matplotlib.image import imread

from eval import replay, timeline
from eval.measures import Terms, rows_of
from eval.plots import MODE_COLOURS, arrivals, write_plots
from eval.results import read_runs


def test_arrivals_are_steps_of_one_request_each():
    assert arrivals([2.0, 1.0], 4) == ([0.0, 1.0, 2.0, 8.0], [0.0, 0.25, 0.5, 0.5])
    assert arrivals([], 3) == ([0.0, 8.0], [0.0, 0.0])
    # an answer during the last word, and one after the axis ends
    assert arrivals([9.0, -1.0], 2) == ([-1.0, -1.0, 9.0, 9.0], [0.0, 0.5, 1.0, 1.0])


def test_plots_of_a_replay(configured, tmp_path):
    folder = tmp_path / "replay"
    replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=4"))
    episodes = read_runs([str(folder)])
    rows = rows_of(episodes, Terms(0, 100))
    names = [path.name for path in write_plots(tmp_path, rows, episodes)]
    assert names == ["success.png", "latency.png", "accuracy.png", "saving.png"]
    speculative = tuple(int(MODE_COLOURS["speculative"][n : n + 2], 16) for n in (1, 3, 5))
    for name in names:
        seen = (imread(tmp_path / name)[:, :, :3] * 255).round().astype(int)
        assert (seen == speculative).all(axis=2).sum() > 50, f"{name} shows no line of mode speculative"
    assert not list(tmp_path.glob("*.tmp*"))


@pytest.mark.parametrize("lacking", ["share_of_saving"])
def test_what_can_not_be_drawn_is_left_out_and_an_older_one_goes(configured, tmp_path, lacking):
    replay.main(configured("eval.backends=[expert]", "eval.expert_tasks=2", "eval.modes=[speculative]"))
    episodes = read_runs([str(tmp_path / "replay")])
    rows = rows_of(episodes, Terms(0, 100))
    assert rows[0][lacking] is None
    (tmp_path / "saving.png").write_bytes(b"old")
    assert "saving.png" not in [path.name for path in write_plots(tmp_path, rows, episodes)]
    assert not (tmp_path / "saving.png").exists()


def test_words_are_never_parsed_as_mathematics(tmp_path):
    from tests.eval.test_page import episode
    hostile = r"$\frac{1$"
    timeline.draw([episode("sequential", hostile)], tmp_path / "timeline.png", [hostile])
    assert (tmp_path / "timeline.png").read_bytes()[:4] == b"\x89PNG"
