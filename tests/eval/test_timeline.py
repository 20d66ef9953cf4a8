"""The picture of one request: where its labels stand, and what its legend says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from configs.palette import CUT, PARTS
from data_gen.task import Word
from eval import timeline
from midsentence.clock import ns
from tests.eval.figures.test_page import conversation, episode

LONG = "x" * 50


@pytest.fixture
def figures(monkeypatch):
    kept = []

    class Kept(Figure):
        def __init__(self, *given, **more) -> None:
            super().__init__(*given, **more)
            kept.append(self)

    monkeypatch.setattr(timeline, "Figure", Kept)
    return kept


def dashes(axes) -> list[tuple[float, float]]:
    """Where the end of speech is drawn, from lane to lane."""
    return [tuple(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"]


@pytest.mark.parametrize(("text", "expected"), [("short", [(-0.31, 4.5)]), (LONG, [(-0.31, 2.5), (3.5, 4.5)])])
def test_no_label_lies_over_the_end_of_speech(figures, tmp_path, text, expected):
    """The call runs from 2 to 3 s of 4, speech ends at 1 s: a long label fits on neither side of that, and the line
    leaves its lane out."""
    timeline.draw([episode(text=text)], tmp_path / "timeline.png")
    (axes,) = figures[0].axes
    assert dashes(axes) == [pytest.approx(ends) for ends in expected]
    for label in axes.texts:
        box = axes.transData.inverted().transform(label.get_window_extent())
        over = box[0][0] < 1 < box[1][0] and label.get_rotation() == 0
        assert not (over and any(top < label.get_position()[1] < bottom for top, bottom in dashes(axes))), (
            label.get_text()
        )


def test_the_legend_shows_what_is_drawn_and_nothing_else(figures, tmp_path):
    said = episode()
    timeline.draw([said], tmp_path / "timeline.png")
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["writes a call", "answers", "call runs"]
    timeline.draw([replace(said, words=(Word("Bob", 0, ns(1), "reparandum"),))], tmp_path / "timeline.png")
    assert [text.get_text() for text in figures[1].legends[0].get_texts()][-1] == "taken back by the speaker"


def test_of_a_conversation_each_turn_has_its_wait_and_each_answer_its_bar(figures, tmp_path):
    timeline.draw([conversation("speculative")], tmp_path / "timeline.png")
    (axes,) = figures[0].axes
    texts = [label.get_text() for label in axes.texts]
    assert "3.00 s" in texts and any(text.startswith("text B") for text in texts)
    colours = [patch.get_facecolor() for patch in axes.patches]
    assert to_rgba(CUT) in colours and to_rgba(PARTS["answer"], 0.4) in colours
    waits = [patch.get_extents() for patch in axes.patches if patch.get_facecolor() == to_rgba("#fbf3d5")]
    assert len(waits) == 2
