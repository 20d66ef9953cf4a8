"""The bench that attacks the commands: a part of it finds nothing, every counter counts what is planted, a seed gives
the same cases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from scripts import bench_hostile
from scripts.hostile import faults, lines, mutated, tried, world
from scripts.hostile.found import COUNTERS, Tally, lost, snapshot, wrong_with
from scripts.hostile.lines import Line
from scripts.hostile.warm import Ended, forked, line, warm

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a world of earlier results."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))  # which it changes
        warm([*lines.COMMANDS, *lines.SCRIPTS])
    world.make(folder / "master")
    mutated.prepared()
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv("MIDSENTENCE_TRACEBACK", raising=False)


def case(place: Path, monkeypatch, kind: str, *more, numbers=range(1)) -> Tally:
    tally = Tally()
    for number in numbers:
        bench_hostile.KINDS[kind](tally, place / "master", place, 0, number, *more)
    return tally


@pytest.mark.parametrize(("kind", "count"), [("line", 12), ("file", 40), ("kill", 2), ("disk", 2)])
def test_a_part_of_it_finds_nothing(place, monkeypatch, kind, count):
    tally = case(place, monkeypatch, kind, numbers=range(count))
    assert tally.findings == [] and not tally.counts
    assert tally.tried.total() == count


def test_a_seed_gives_the_same_cases(place):
    for make in (lambda n: lines.drawn(3, n, "out"), lambda n: mutated.drawn(3, n, place / "master")):
        first, second = ([str(make(n)) for n in range(60)] for _ in range(2))
        assert first == second and len(set(first)) > 40


def test_every_command_and_every_reader_is_attacked(place):
    drawn = {lines.drawn(0, n, "out").module for n in range(400)}
    assert drawn == {*lines.COMMANDS, *lines.SCRIPTS}
    assert {mutated.drawn(0, n, place / "master").reader for n in range(400)} == {*mutated.READERS}


@pytest.mark.parametrize(
    ("ended", "nonsense", "found"),
    [
        (Ended(1, "", 'Traceback (most recent call last):\n  File "x"\nKeyError: 1\n'), False, {"tracebacks"}),
        (Ended(1, "", "show: internal error: KeyError: 1; the traceback is in /tmp/x\n"), False, {"tracebacks"}),
        (Ended(-signal.SIGSEGV, "", ""), False, {"tracebacks"}),
        (Ended(-signal.SIGKILL, "", "", hung=True), False, {"hangs"}),
        (Ended(0, "done\n", ""), True, {"accepted_nonsense"}),
        (Ended(2, "", "one\ntwo\n"), False, {"more_than_a_line"}),
        (Ended(2, "", ""), False, {"more_than_a_line"}),
        (Ended(2, "", "show: row=7 is not there\n"), True, set()),
        (Ended(0, "done\n", ""), False, set()),
    ],
)
def test_what_is_wrong_with_an_end(ended, nonsense, found):
    assert wrong_with(ended, nonsense=nonsense) == found


def test_a_fork_says_how_it_ended(tmp_path):
    assert forked(lambda: print("out") or sys.exit(3), tmp_path) == Ended(3, "out\n", "")
    assert "KeyError: 'x'" in forked(lambda: {}["x"], tmp_path).err
    assert forked(lambda: print(sys.stdin.read(), os.getcwd()), tmp_path, stdin=b"typed").out == f"typed {tmp_path}\n"
    assert forked(lambda: print(sys.stdin), tmp_path, stdin=None).out == "None\n"


def test_what_spins_and_what_waits_for_ever_hang(tmp_path, monkeypatch):
    def spin() -> None:
        while True:
            pass

    assert forked(spin, tmp_path, limit_s=0.0).hung
    monkeypatch.setattr("scripts.hostile.warm.PATIENCE", 1)
    assert forked(signal.pause, tmp_path, limit_s=0.2).hung


def test_a_lost_or_changed_file_is_seen(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    before = snapshot(tmp_path)
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").unlink()
    (tmp_path / "c").write_text("new")
    assert lost(before, snapshot(tmp_path)) == ["a", "b"]


def planted_line(monkeypatch, module: str, *arguments: str, nonsense: bool = False) -> None:
    monkeypatch.setattr(lines, "drawn", lambda seed, number, out: Line(module, arguments, nonsense))


def test_planted_faults_of_commands_are_counted(place, monkeypatch):
    planted_line(monkeypatch, "data_gen.show", "path=data")
    monkeypatch.setattr("data_gen.show.render", lambda row: {}["planted"])
    assert case(place, monkeypatch, "line").counts == {"tracebacks": 1}
    planted_line(monkeypatch, "data_gen.show", "path=data", nonsense=True)
    monkeypatch.setattr("data_gen.show.render", lambda row: ["fine"])
    assert case(place, monkeypatch, "line").counts == {"accepted_nonsense": 1}
    monkeypatch.setattr("data_gen.show.render", lambda row: [Path("data/config.yaml").unlink()])
    planted_line(monkeypatch, "data_gen.show", "path=data")
    assert case(place, monkeypatch, "line").counts == {"earlier_results_lost": 1}
    assert (place / "world" / "data" / "config.yaml").exists()  # the next case has the whole world again


def test_planted_faults_of_readers_are_counted(place, monkeypatch):
    whole, python = world.rows_as_text(world.ROWS).encode(), (place / "master" / "tools.py").read_bytes()
    for broken, counts in (
        (
            mutated.Mutant("rows", "requests.jsonl", whole, "nothing wrong with it", bad="first"),
            {"accepted_nonsense": 1},
        ),
        (mutated.Mutant("rows", "requests.jsonl", b"{}\n", "x", good=frozenset({"first"})), {"good_rows_lost": 1}),
        (mutated.Mutant("python", "tools.py", python, "nothing wrong with it", refused=True), {"accepted_nonsense": 1}),
    ):
        monkeypatch.setattr(mutated, "drawn", lambda seed, number, at, broken=broken: broken)
        assert case(place, monkeypatch, "file").counts == counts


def test_a_folder_that_runs_code_is_counted(place, monkeypatch):
    door = mutated.Mutant("data", "data/config.yaml", (place / "master" / "data" / "config.yaml").read_bytes(), "x")
    monkeypatch.setattr(mutated, "drawn", lambda seed, number, at: door)
    ran = place / "files" / mutated.RAN
    monkeypatch.setitem(mutated.READERS, "data", ran.touch)
    assert case(place, monkeypatch, "file").counts == {"accepted_nonsense": 1}
    assert not ran.exists()


def test_results_that_are_written_in_place_are_counted(place, monkeypatch):
    """A kill between two writes leaves half of a file under its own name."""
    import contextlib

    @contextlib.contextmanager
    def in_place(path: Path):
        with path.open("wb") as file:
            file.write(b"half")
        (path.parent / "step").mkdir(exist_ok=True)
        yield path

    known = faults.alone("generate", tried.world_of(place, place / "master", "kills"))
    monkeypatch.setattr("data_gen.trajectory.whole", in_place)
    monkeypatch.setattr(faults, "kills", lambda draw, alone: [faults.Kill(n) for n in range(3, 12)])
    assert known.steps > 6
    tally = case(place, monkeypatch, "kill")
    assert tally.counts["bytes_changed"] == 1


def test_a_run_that_forgets_to_resume_is_counted(place, monkeypatch):
    monkeypatch.setattr("data_gen.generate.intact", lambda path, said: path.is_file())
    monkeypatch.setattr(faults, "kills", lambda draw, alone: [faults.Kill(10**6)])
    out = place / "kills" / "killed"
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)
    out.mkdir(exist_ok=True)
    (out / "test-00000-of-00001.parquet").write_bytes(b"half")
    assert case(place, monkeypatch, "kill").counts["bytes_changed"] == 1


def test_without_a_mount_files_are_kept_short(tmp_path):
    ended = forked(faults.short_files(lambda: (tmp_path / "long").write_bytes(bytes(5000)), 4096), tmp_path)
    assert ended.status == 1 and "File too large" in ended.err


def test_it_prints_a_line_of_json_and_its_status_says_whether_anything_was_found(place, monkeypatch, capsys):
    monkeypatch.setattr(bench_hostile, "warm", lambda modules: None)
    few = ["--files", "0", "--kills", "0", "--disks", "0", "--place", str(place)]
    planted_line(monkeypatch, "data_gen.show", "path=nosuch", nonsense=True)
    assert bench_hostile.main(["--lines", "2", *few]) == 0
    said = capsys.readouterr()
    made = json.loads(said.out)
    assert (
        made["bench"] == "hostile"
        and made["tried"] == {"lines": 2}
        and all(made[name] == 0 for name in COUNTERS)
        and not said.err
    )
    planted_line(monkeypatch, "data_gen.show", "path=data", nonsense=True)
    assert bench_hostile.main(["--only", "line 0", *few]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["accepted_nonsense"] == 1
    assert said.err.startswith("accepted_nonsense line 0: python -m data_gen.show path=data -> 0: ")


def test_several_processes_try_the_same(place):
    options = Namespace(lines=0, files=9, kills=0, disks=0, first=0, seed=0, only="", workers=1)
    alone = bench_hostile.run(options, place)
    options.workers = 3
    shared = bench_hostile.run(options, place)
    assert (shared.tried, shared.statuses, shared.findings) == (alone.tried, alone.statuses, []) and shared.tried == {
        "files": 9
    }


def test_a_line_is_what_the_module_does_when_it_is_run(tmp_path):
    ended = forked(line("scripts.bench", ["nosuch"]), tmp_path)
    assert ended.status == 2 and ended.err.startswith("bench: unknown benchmark 'nosuch'; use one of")
