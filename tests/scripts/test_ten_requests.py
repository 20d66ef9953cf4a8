"""The ten requests of docs/written.md are what the command prints."""

from __future__ import annotations

import pytest

from scripts import ten_requests


def test_the_page_shows_what_the_command_prints():
    assert ten_requests.main(["check=true"]) == 0


def test_only_the_marked_part_is_filled_and_a_check_changes_nothing(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- ten requests -->\nold\n<!-- /ten requests -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(ten_requests, "PAGE", page)
    monkeypatch.setattr(ten_requests, "ten", lambda: iter(["### one\n", "### two\n"]))
    assert ten_requests.main(["check=true"]) == 1 and "old" in page.read_text(encoding="utf-8")
    assert ten_requests.main([]) == 0 and ten_requests.main(["check=true"]) == 0
    assert (
        page.read_text(encoding="utf-8")
        == "before\n<!-- ten requests -->\n### one\n### two\n<!-- /ten requests -->\nafter\n"
    )


@pytest.mark.parametrize("source", ten_requests.SOURCES)
def test_what_is_drawn_is_played_as_published_figures_are(source):
    config = ten_requests.settings(source)
    assert (config.data.source, config.data.thoughts) == (source, "none")
    assert config.data.endpoint == "smart_turn" and config.data.revision_rate > 0
