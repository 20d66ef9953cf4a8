"""The wall clock's bench: errors are those of requests that are answered on both clocks, and the commands that it runs
are commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from eval.running.records import VERSION, to_line
from midsentence import cli
from midsentence.clock import ns
from scripts import bench_wallclock
from scripts.bench_wallclock import compared, main
from tests.eval.made import record_of
from tests.test_configs import composed, started

CALIBRATED = {
    "profile": {"name": "measured", "decode_tokens_per_s": 80, "prefill_tokens_per_s": 200, "restart_ns": 4_000_000},
    "threads": 1,
}


def spoken(mode: str, task: str, latency_s: float, **values) -> object:
    return record_of(mode=mode, task=task, latency_ns=ns(latency_s), **values)


class Commands:
    """In the place of processes: takes down what is run, and leaves what it would leave."""

    def __init__(self, slow: str = "") -> None:
        self.ran: list[list[str]] = []
        self.slow = slow
        """A word of the command that takes too long."""

    def __call__(self, words, left_s: float, out: Path | None) -> None:
        if self.slow and self.slow in words:
            raise subprocess.TimeoutExpired(words, left_s)
        self.ran.append(list(words))
        if words[0] == "midsentence":
            out.write_text(json.dumps(CALIBRATED))
        elif words[0] == "eval.replay":
            virtual = "time=virtual" in words
            folder = Path(next(word for word in words if word.startswith("out=")).removeprefix("out="))
            folder.mkdir(parents=True)
            rows = []
            for mode, seconds in (("sequential", (6.0, 5.0)), ("eager_end", (3.0, 3.25))):
                whose = {"backend": "model", "profile": "measured" if virtual else "wall"}
                row = whose | {"file": f"episodes-{mode}.jsonl", "mode": mode, "seed": 0}
                other = {"right": virtual, "outcome": "answered" if virtual else "stalled"}
                made = [spoken(mode, "a", seconds[virtual], **whose), spoken(mode, "b", 9.0, **other, **whose)]
                (folder / row["file"]).write_text("".join(map(to_line, made)))
                rows.append(row)
            (folder / "manifest.json").write_text(json.dumps({"schema_version": VERSION, "rows": rows}))


@pytest.fixture
def made_already(monkeypatch):
    monkeypatch.setattr(bench_wallclock, "gguf_in", lambda folder: Path(folder) / "m.gguf")


def test_the_errors_are_of_requests_that_are_answered_on_both_clocks():
    cut = {"right": False, "outcome": "invalid_actions"}
    measured = [
        spoken("m", "a", 4.0),
        spoken("m", "b", 2.0, right=False),
        spoken("m", "c", 1.0, **cut),
        spoken("m", "d", 1.0),
    ]
    foretold = [
        spoken("m", "a", 3.0),
        spoken("m", "b", 2.5, answer="Sent."),
        spoken("m", "c", 9.0),
        spoken("m", "d", 9.0, **cut),
    ]
    assert compared(measured, foretold) == {
        "requests": 4,
        "right_measured": 2,
        "right_foretold": 3,
        "answered_on_both": 2,
        "same_answer": 1,
        "measured_s": 3.0,
        "foretold_s": 2.75,
        "error_s": -0.25,
        "absolute_error_s": 0.75,
        "worst_error_s": -1.0,
        "error_percent": -8.3,
        "error_by_part_s": {},
        "same": {
            "measured_s": 4.0,
            "foretold_s": 3.0,
            "error_s": -1.0,
            "absolute_error_s": 1.0,
            "worst_error_s": -1.0,
            "error_percent": -25.0,
            "error_by_part_s": {},
        },
    }


def test_where_none_is_answered_on_both_clocks_there_is_no_error():
    assert "error_s" not in compared([spoken("m", "a", 4.0)], [spoken("m", "a", 3.0, right=False, outcome="stalled")])


def test_an_error_is_told_by_the_part_of_the_time_that_it_is_in():
    parts = dict.fromkeys(bench_wallclock.PARTS, 0)
    row = compared(
        [spoken("m", "a", 4.0, parts_ns=parts | {"thinking": ns(4.0)})],
        [spoken("m", "a", 3.0, parts_ns=parts | {"thinking": ns(1.0), "answering": ns(2.0)})],
    )
    assert row["error_by_part_s"] == {"answering": 2.0, "thinking": -3.0}


def test_the_commands_are_ours_and_a_line_comes_of_them(tmp_path, capsys, monkeypatch, made_already):
    commands = Commands()
    assert main(["--out", str(tmp_path / "w"), "--tasks", "2", "--modes", "sequential", "eager_end"], commands) == 0
    out, shown = capsys.readouterr()
    line = json.loads(out)
    assert (line["bench"], line["profile"]["decode_tokens_per_s"]) == ("wallclock", 80)
    assert line["modes"]["sequential"]["error_s"] == -1.0 and line["modes"]["eager_end"]["error_s"] == 0.25
    assert line["all"]["requests"] == 4 and line["all"]["error_s"] == -0.38
    assert "| `eager_end` | 1/2 | 2/2 | 1/2 | 3.00 | 3.25 | +0.25 | 0.25 | +0.25 | +8% |" in shown
    assert "| of these, the same answer |  |  | 2/4 | 4.50 | 4.12 | -0.38 | 0.62 | -1.00 | -8% |" in shown
    before, real, virtual, after = commands.ran
    assert cli.parsed(before[1:]).runtime == "llamacpp" and after == before
    got = []
    for words in (real, virtual):
        started(monkeypatch, got.append, *words[1:])
    there, foretold = got
    assert (there.time, there.eval.runtime, there.eval.modes, there.eval.tasks) == (
        "real",
        "llamacpp",
        ["sequential", "eager_end"],
        2,
    )
    assert (foretold.time, list(foretold.eval.profiles), foretold.model) == ("virtual", ["measured"], there.model)
    assert foretold.clock.profiles["measured"].restart_s == 0.004


def test_a_server_is_asked_by_its_address(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_wallclock, "MODEL", str(tmp_path))
    commands, url = Commands(), "http://127.0.0.1:9/v1"
    line = ["--out", str(tmp_path / "w"), "--tasks", "2", "--modes", "sequential", "eager_end", "--server", url]
    with pytest.raises(SystemExit):
        main(line, commands)
    assert "--server is vLLM's; add --runtime vllm" in capsys.readouterr().err
    assert main([*line, "--runtime", "vllm"], commands) == 0
    assert json.loads(capsys.readouterr().out)["runtime"] == "vllm"
    export, before, real, virtual, after = commands.ran
    assert export[0] == "training.export" and not any("gguf" in word for word in export)
    asked = cli.parsed(before[1:])
    assert (asked.runtime, asked.server) == ("vllm", url) and after == before
    for words in (real, virtual):
        got = []
        started(monkeypatch, got.append, *words[1:])
        assert (got[0].eval.runtime, got[0].eval.vllm.url) == ("vllm", url)


def test_out_of_time_it_says_so_and_goes_on_from_there(tmp_path, capsys, made_already):
    options = ["--out", str(tmp_path / "w"), "--minutes", "3"]
    assert main(options, Commands(slow="time=virtual")) == 1
    out, shown = capsys.readouterr()
    assert not out and shown.startswith("bench: not through after 3 minutes")
    again = Commands(slow="midsentence")
    again_folder = tmp_path / "w" / "real"
    for path in again_folder.iterdir():
        path.unlink()
    again_folder.rmdir()
    assert main(options, again) == 1  # the engine is measured once more at the end alone
    assert [words[0] for words in again.ran] == ["eval.replay", "eval.replay"]


def test_a_file_that_is_not_there_is_made_first(tmp_path, monkeypatch):
    def missing(folder):
        raise FileNotFoundError(folder)

    monkeypatch.setattr(bench_wallclock, "gguf_in", missing)
    commands = Commands()
    main(["--out", str(tmp_path / "w")], commands)
    assert commands.ran[0][0] == "training.export"
    assert composed(*commands.ran[0][1:]).gguf


def test_a_command_that_fails_gives_its_status(tmp_path, made_already):
    def fails(words, left_s, out):
        raise subprocess.CalledProcessError(2, words)

    assert main(["--out", str(tmp_path / "w")], fails) == 2
