"""The way of a task to its row in the report, as `docs/architecture.md` draws it: a run takes the stops in that
order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from eval import replay
from eval.measures.rows import Terms, rows_of
from eval.running.results import read_runs
from tests.test_configs import composed

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def drawn() -> list[tuple[str, bool, str, str]]:
    """The stops of the page: number, whether it is a return, file, function."""
    (table,) = re.findall(r"<!-- the way: .*?-->\n(.*?)<!-- /the way -->", PAGE.read_text("utf-8"), re.DOTALL)
    rows = re.findall(r"^\| (\d+)( ↩)? \| `(\S+)` \| `(\S+)` \|", table, re.MULTILINE)
    return [(number, bool(back), file, function) for number, back, file, function in rows]


def test_the_page_counts_its_stops_and_returns():
    stops = drawn()
    assert [number for number, *_ in stops] == [str(n) for n in range(1, len(stops) + 1)]
    files = [file for _, _, file, _ in stops]
    returns = [n > 0 and files[n - 1] != file and file in files[:n] for n, file in enumerate(files)]
    assert [back for _, back, *_ in stops] == returns
    said = f"**{len(stops)} stops in {len(set(files))} files, {sum(returns)} returns**"
    assert said in PAGE.read_text("utf-8"), said


def test_a_run_takes_the_stops_in_the_order_of_the_page(tmp_path):
    stops = [(file, function) for _, _, file, function in drawn()]
    wanted = {(str(ROOT / file), function) for file, function in stops}
    walked: list[tuple[str, str]] = []

    def called(frame, event, arg) -> None:
        if event == "call" and (place := (frame.f_code.co_filename, frame.f_code.co_qualname)) in wanted:
            walked.append((str(Path(place[0]).relative_to(ROOT)), place[1]))

    config = composed(
        "data=assistant",
        "model=tiny",
        "data.sizes={train: 1, validation: 1, test: 1}",
        "eval.backends=[expert]",
        "eval.modes=[speculative]",
        "eval.expert_tasks=1",
        f"out={tmp_path / 'replay'}",
    )
    sys.setprofile(called)
    try:
        replay.main(config)
        rows = rows_of(read_runs([config.out]), Terms(resamples=10))
    finally:
        sys.setprofile(None)
    assert rows[0]["accuracy"] == 1  # so all that is measured of what was right is on the way
    rest = iter(walked)
    missed = [stop for stop in stops if not any(place == stop for place in rest)]
    assert missed == [], f"not reached after the stop before it: {missed[0]}"
