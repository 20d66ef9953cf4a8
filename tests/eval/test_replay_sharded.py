"""Several processes share a replay: the same bytes as one, whoever is killed and however many go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eval import replay
from eval.running import sharding
from eval.running.records import to_line
from eval.running.sharding import ALONE, Part, Share, share
from midsentence.ending import UserError
from tests.eval.made import record_of

ROOT = Path(__file__).parents[2]
EXPERT = ("eval.backends=[expert]", "eval.expert_tasks=5", "eval.modes=[sequential,speculative]")


def written(folder: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("episodes-*")}


class Group:
    """Stands in for ``PartialState``: threads in the place of processes, a barrier that breaks when one is gone."""

    def __init__(self, count: int) -> None:
        self.count, self.barrier, self.closed = count, threading.Barrier(count, timeout=60), []

    def wait_for_everyone(self) -> None:
        self.barrier.wait()  # BrokenBarrierError is a RuntimeError, as what gloo raises

    def destroy_process_group(self) -> None:
        self.closed.append(threading.current_thread().name)


@pytest.fixture
def together(monkeypatch):
    """Runs a replay in so many shares; gives what each raised."""
    here = threading.local()
    monkeypatch.setattr(replay, "share", lambda: getattr(here, "share", ALONE))

    def run(config, count: int) -> list[Exception | None]:
        group = Group(count)

        def one(index: int) -> Exception | None:
            here.share = Share(index, count, group)
            try:
                replay.main(config)
            except Exception as error:
                group.barrier.abort()
                return error
            return None

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return run


@pytest.fixture
def whole(configured, tmp_path) -> dict[str, bytes]:
    """What one process writes."""
    replay.main(configured(*EXPERT, f"out={tmp_path / 'one'}"))
    return written(tmp_path / "one")


@pytest.mark.parametrize("count", [2, 7])
def test_shares_come_together_to_the_same_bytes(configured, tmp_path, whole, together, count):
    config = configured(*EXPERT)
    assert together(config, count) == [None] * count
    assert written(config.out) == whole and (Path(config.out) / "manifest.json").exists()
    stamp = (Path(config.out) / "manifest.json").stat().st_mtime_ns
    assert together(config, count) == [None] * count
    assert (Path(config.out) / "manifest.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("then", [1, 2, 3])
def test_one_that_fails_stops_all_and_any_number_goes_on(configured, tmp_path, whole, together, monkeypatch, then):
    config, add, ran = configured(*EXPERT), Part.add, []

    def counted(self, row):
        if ".1." in self.path.name and ran.count(1) == 2:
            raise OSError("disk full")
        ran.append(1 if ".1." in self.path.name else 0)
        add(self, row)

    monkeypatch.setattr(Part, "add", counted)
    ended = together(config, 3)
    assert [type(error) for error in ended] == [UserError, OSError, UserError]
    assert "another process of this replay failed, see its own message; start it again, it resumes" == str(ended[0])
    left = written(config.out)
    assert (
        left and not any(name.endswith(".jsonl") for name in left) and not (Path(config.out) / "manifest.json").exists()
    )
    half = next(Path(config.out).glob("*.0.part"))
    with half.open("a") as file:
        file.write('{"task": "half a li')  # as a kill leaves it
    again = []
    monkeypatch.setattr(Part, "add", lambda self, row: (again.append(row.task), add(self, row)))
    assert together(config, then) == [None] * then
    assert len(again) == 10 - len(ran) and written(config.out) == whole


def test_a_row_that_lacks_episodes_is_not_finished(configured, together, monkeypatch):
    monkeypatch.setattr(Share, "of", lambda self, items: items[:1])
    ended = together(configured(*EXPERT), 2)
    assert "lacks 4 of 5 episodes" in str(ended[0]) and "it resumes" in str(ended[0])


def test_what_was_gathered_before_a_kill_is_not_lost(tmp_path):
    base = tmp_path / "episodes-a-0.part"
    for path, tasks in (
        (base, "ab"),
        (tmp_path / "episodes-a-0.0.part", "bc"),
        (tmp_path / "episodes-a-0.12.part", "d"),
    ):
        path.write_text("".join(to_line(record_of(task=task)) for task in tasks))
    (tmp_path / "episodes-b-0.0.part").write_text("{}\n")
    assert sorted(Part.gather(base).done) == ["a", "b", "c", "d"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["episodes-a-0.part", "episodes-b-0.0.part"]
    assert sorted(Part.open(base).done) == ["a", "b", "c", "d"] == sorted(Part.gather(base).done)


def test_a_row_under_way_of_other_code_is_not_taken_for_an_unfinished_line(tmp_path):
    """Nothing is thrown away: hours may be in it."""
    path = tmp_path / "episodes-a-0.part"
    path.write_text(to_line(record_of()) + '{"task": "b"}\n')
    with pytest.raises(UserError) as error:
        Part.open(path)
    assert (
        str(error.value) == f"{path} has a line that is no record (source is missing); delete the file and replay again"
    )
    assert path.read_text().endswith('{"task": "b"}\n')


@pytest.mark.parametrize("environ", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_one_process_is_alone_and_imports_nothing_for_it(environ):
    assert share(environ) is ALONE
    code = f"import sys; from eval.running.sharding import share; share({environ}); sys.exit('torch.distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_a_share_on_its_own_waits_for_nobody():
    ALONE.wait()
    ALONE.close()
    with ALONE.main_first():
        pass
    assert ALONE.main and ALONE.of([1, 2]) == [1, 2]
    assert [Share(index, 3).of("abcdefg") for index in range(3)] == ["adg", "be", "cf"]
    assert sharding.Part(Path("x.part")).own(ALONE).path == Path("x.part")


# -- real processes ----------------------------------------------------------------------------------------------------

BOTH = (
    "experiment=debug",
    "eval.backends=[expert,untrained]",
    "eval.expert_tasks=4",
    "eval.tasks=3",
    "eval.modes=[speculative]",
    "model.dtype=float32",
    "agent.max_generated_tokens=30",
)
LAUNCH = (
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--main_process_port",
    "0",
)


def launched(*command: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=280)


@pytest.mark.slow
def test_two_processes_replay_as_one_and_a_killed_one_resumes(tmp_path):
    alone = launched(sys.executable, "-m", "eval.replay", *BOTH, f"out={tmp_path / 'one'}")
    assert alone.returncode == 0, alone.stderr
    two = launched(*LAUNCH, "-m", "eval.replay", *BOTH, f"out={tmp_path / 'two'}")
    assert two.returncode == 0, two.stderr[-3000:]
    assert "4 episodes, 2 of them here" in two.stdout  # two processes there were
    assert written(tmp_path / "two") == written(tmp_path / "one")

    command = [*LAUNCH, "-m", "eval.replay", *BOTH, f"out={tmp_path / 'killed'}"]
    started = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not list((tmp_path / "killed").glob("*.1.part")):
            assert started.poll() is None
            time.sleep(0.05)  # noqa: TID251  (for another process, and only to poll)
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    assert not (tmp_path / "killed" / "manifest.json").exists()
    assert launched(sys.executable, "-m", "eval.replay", *BOTH, f"out={tmp_path / 'killed'}").returncode == 0
    assert written(tmp_path / "killed") == written(tmp_path / "one")


@pytest.mark.slow
def test_one_process_that_fails_takes_the_other_with_it(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import os, sys\nsys.path.insert(0, os.getcwd())\n"
        "from configs.command import command\nfrom eval import replay, sharding\n"
        "def add(self, row):\n    raise ValueError('no room on the disk')\n"
        "if os.environ['RANK'] == '1':\n    sharding.Part.add = add\n"
        "command(replay.main)()\n"
    )
    done = launched(*LAUNCH, str(driver), "experiment=debug", *EXPERT, f"out={tmp_path / 'out'}")
    assert done.returncode != 0
    assert "no room on the disk" in done.stderr
    assert list((tmp_path / "out").glob("*.part")) and not list((tmp_path / "out").glob("*.jsonl"))
    assert not (tmp_path / "out" / "manifest.json").exists()
