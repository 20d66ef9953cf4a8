"""The report's plots: exact curves, and a file for what can be drawn."""

from __future__ import annotations

import io

import pytest
from matplotlib.image import imread

from configs.palette import MODE_COLOURS
from data_gen import look
from eval import replay, timeline
from eval.figures.plots import LINES, MARKERS, MOST_MEAN_S, arrivals, counted, edge_s, legend_of, saving, write_plots
from eval.measures.rows import Terms, rows_of
from eval.running.results import read_runs
from tests.data_gen.made import trajectory


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
    from tests.eval.figures.test_page import episode

    hostile = r"$\frac{1$"
    timeline.draw([episode("sequential", hostile)], tmp_path / "timeline.png", [hostile])
    assert (tmp_path / "timeline.png").read_bytes()[:4] == b"\x89PNG"


def shown(backend: str, mode: str, n: int, **more) -> dict:
    return {"task": "bfcl", "split": "test", "profile": "laptop", "backend": backend, "mode": mode, "n": n} | more


def test_a_title_says_of_how_many_requests_each_curve_is():
    assert counted([shown("expert", "parallel", 112), shown("model", "parallel", 112)]) == ", n = 112"
    assert (
        counted([shown("expert", "parallel", 112), shown("no_guess", "parallel", 12)])
        == "\nn = 112 (expert), 12 (no guess)"
    )
    assert counted([shown("expert", "parallel", 12), shown("expert", "speculative", 10)]) == ", n = 10 to 12"


@pytest.mark.parametrize("kind", ["lines", "marks"])
def test_the_legend_shows_what_is_drawn_and_nothing_else(kind):
    rows = [shown("expert", "speculative", 9), shown("model", "sequential", 9)]
    entries = {line.get_label(): line for line in legend_of(rows, kind)}
    assert list(entries) == ["sequential", "speculative", "expert", "model"]
    assert entries["speculative"].get_color() == MODE_COLOURS["speculative"]
    for name in ("expert", "model"):
        assert entries[name].get_marker() == ("None" if kind == "lines" else MARKERS[name])
        assert (entries[name].get_linestyle() == "None") is (kind == "marks")
    assert [line.get_label() for line in legend_of(rows[:1], kind)] == ["speculative"]  # one backend needs no name


def test_kinds_of_lines_and_hues_are_told_apart():
    assert len({str(look) for look in LINES.values()}) == len(LINES) == len(MARKERS) == len(set(MARKERS.values()))

    def luminance(colour: str) -> float:
        return sum(weight * int(colour[n : n + 2], 16) for weight, n in ((0.3, 1), (0.59, 3), (0.11, 5)))

    for ours in ("speculative", "async_io"):
        assert abs(luminance(MODE_COLOURS[ours]) - luminance(MODE_COLOURS["eager_end"])) > 40


def test_the_cap_does_not_squeeze_what_there_is_to_see():
    assert edge_s([2.0, 4.0, 30.0]) == pytest.approx(5.32) and edge_s([11.0, 2.0]) == pytest.approx(12.1)
    assert edge_s([30.0]) == pytest.approx(1.33 * MOST_MEAN_S)


def test_a_single_bar_is_no_chart(tmp_path):
    bar = {"share_of_saving": 0.5, "share_of_saving_ci95": None}
    alone = [shown("expert", "sequential", 9, **bar), shown("expert", "speculative", 9, **bar)]
    assert not saving(alone, tmp_path / "saving.png")
    assert saving([*alone, shown("expert", "parallel", 9, **bar)], tmp_path / "saving.png")


def test_one_palette_for_all():
    modes = ("speculative", "async_io")
    seen = (
        (imread(io.BytesIO(look.distributions([trajectory(mode=mode, tokens=3) for mode in modes])))[:, :, :3] * 255)
        .round()
        .astype(int)
    )
    for mode in modes:
        colour = tuple(int(MODE_COLOURS[mode][n : n + 2], 16) for n in (1, 3, 5))
        assert (seen == colour).all(axis=2).sum() > 50
