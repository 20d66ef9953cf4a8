"""A command that can't do its work ends with one line and a status that says whose fault it was; a signal ends it
quietly."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import warnings
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pyarrow
import pytest
import yaml
from safetensors import SafetensorError

from data_gen.trajectory import read_manifest
from midsentence.ending import CLOSED, INTERRUPTED, UserError, ends, program
from midsentence.files import path_of
from midsentence.terminal import plain
from tests.test_configs import started


def ended(monkeypatch, capsys, raised: BaseException) -> tuple[int, list[str]]:
    """Status and lines of a command whose work raises."""

    def main(config):
        raise raised

    monkeypatch.delenv("MIDSENTENCE_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as end:
        started(monkeypatch, main)
    return end.value.code, capsys.readouterr().err.splitlines()


def refused(code: int, name: str) -> OSError:
    return OSError(code, os.strerror(code), name)


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (UserError("x=1 is wrong;\nuse 2"), "x=1 is wrong; use 2"),
        (
            refused(errno.ENOTDIR, "file/data"),
            "file/data: Not a directory; a part of the path is a file; give another path",
        ),
        (refused(errno.EEXIST, "file"), "file: File exists; it is a file, not a folder; give another path"),
        (refused(errno.ENAMETOOLONG, "a" * 300), f"{'a' * 120}…: File name too long; give a shorter name"),
        (refused(errno.ENOSPC, "out"), "out: No space left on device; free some space and run it again, it resumes"),
        (pyarrow.ArrowInvalid("no\nparquet"), "no parquet"),
        (SafetensorError("HeaderTooLarge"), "HeaderTooLarge"),
        (yaml.YAMLError("found ["), "found ["),
        (
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
            "'utf-8' codec can't decode byte 0xff in position 0",
        ),
        (ValueError("a\x1b]0;title\x07b"), "a\\x1b]0;title\\x07b"),
        (ValueError(), "ValueError"),
        (
            refused(errno.ENOTEMPTY, "run"),
            "run: Directory not empty; it holds something; give another path, or empty it",
        ),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "free some space and run it again, it resumes",
        ),
        (
            Exception("No space left on device (os error 28)"),
            "(os error 28); free some space and run it again, it resumes",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
            "there is not enough memory (DefaultCPUAllocator",
        ),
        (MemoryError(), "there is not enough memory (MemoryError); give smaller sizes, or free some"),
        (UserError("http://me:key@host/v1?token=key is wrong"), "http://host/v1?token=… is wrong"),
        (BrokenProcessPool("terminated abruptly"), "a worker process was killed, for want of memory perhaps"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(monkeypatch, capsys, raised, says):
    status, lines = ended(monkeypatch, capsys, raised)
    assert status == 2
    assert len(lines) == 1 and lines[0].startswith("command: ") and says in lines[0]


@pytest.mark.parametrize(
    "raised", [KeyError("x"), AttributeError("no\nsuch"), RecursionError("deep"), AssertionError()]
)
def test_a_fault_in_the_code_is_one_line_status_1_and_a_file_with_the_traceback(monkeypatch, capsys, tmp_path, raised):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, lines = ended(monkeypatch, capsys, raised)
    assert status == 1
    assert len(lines) == 1 and f"internal error: {type(raised).__name__}: " in lines[0]
    (file,) = tmp_path.glob("*.traceback")
    assert str(file) in lines[0]
    assert file.read_text().startswith("Traceback") and type(raised).__name__ in file.read_text()


def test_a_traceback_that_can_be_kept_nowhere_is_still_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    status, lines = ended(monkeypatch, capsys, KeyError("x"))
    assert status == 1 and len(lines) == 1 and "set MIDSENTENCE_TRACEBACK=1" in lines[0]


def test_the_traceback_comes_through_where_it_is_asked_for(monkeypatch):
    monkeypatch.setenv("MIDSENTENCE_TRACEBACK", "1")
    with pytest.raises(KeyError), ends():
        raise KeyError("x")


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    status, lines = ended(monkeypatch, capsys, KeyboardInterrupt())
    assert (status, lines) == (INTERRUPTED, ["command: interrupted; what was finished is kept"])


def test_a_pipe_closed_while_printing_says_nothing(monkeypatch, capsys):
    assert ended(monkeypatch, capsys, BrokenPipeError(errno.EPIPE, "Broken pipe")) == (CLOSED, [])


def test_real_signals_and_pipes_leave_no_traceback(tmp_path):
    code = (
        "import signal, time\nfrom configs.command import command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored\n"
        "def main(config):\n    if config.name == 'prints':\n        print('x' * 10**6)\n"
        "    print('waits', flush=True)\n    time.sleep(60)\n"
        "command(main)()\n"
    )
    script = tmp_path / "long.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    for name, status in (("waits", INTERRUPTED), ("prints", CLOSED)):
        command = [sys.executable, str(script), f"name={name}"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            if name == "waits":
                assert process.stdout.readline() == "waits\n"
                process.send_signal(signal.SIGINT)
            else:
                process.stdout.read(1)
                process.stdout.close()
            said = process.stderr.read()
        assert process.returncode == status
        assert "Traceback" not in said and "Exception ignored" not in said and len(said.splitlines()) <= 1


def test_text_of_others_steers_no_terminal():
    assert plain("a\x1b[2Jb\rc\x9bd\u202ee\ud800\u061c\n\tü") == "a\\x1b[2Jb\\rc\\x9bd\\u202ee\\ud800\\u061c\n\tü"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain("".join(map(chr, range(0xA0)))))


def test_a_program_without_settings_ends_like_a_command(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("MIDSENTENCE_TRACEBACK", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["publish.py", "a", "b"])

    def fails(arguments):
        raise KeyError(arguments[0])

    for main, status, says in (
        (lambda arguments: len(arguments), 2, ""),
        (fails, 1, "publish: internal error: KeyError: 'a'; "),
    ):
        with pytest.raises(SystemExit) as end:
            program(main)
        assert end.value.code == status and capsys.readouterr().err.startswith(says)


STARTED = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
PRINTS = "import sys\nfrom configs.command import command\ncommand(lambda config: print('“' + config.name + '”', sys.stdin))()\n"


@pytest.mark.parametrize(
    ("environ", "redirected", "out"),
    [
        (
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
            "",
            r"\u201ccolumns\u201d <",
        ),
        ({"COLUMNS": "x", "LINES": "-1"}, "", "“columns” <"),
        ({}, "<&-", "“columns” None"),
        ({}, ">&- 2>&-", ""),
    ],
)
def test_it_works_whatever_the_surroundings(tmp_path, environ, redirected, out):
    """An ASCII locale, odd variables, closed streams, no home, a folder with a space and letters of anywhere."""
    folder = tmp_path / "sp ace ü ☃"
    folder.mkdir()
    (folder / "prints.py").write_text(PRINTS, encoding="utf-8")
    environ = {name: value for name, value in STARTED.items() if name != "HOME"} | {"PYTHONUTF8": "1"} | environ
    command = f"exec '{sys.executable}' prints.py name=columns {redirected}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environ, capture_output=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.decode().startswith(out)


WORKS = """
import os, sys, threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from configs.command import command
from midsentence.ending import quietly

def wait(how):
    os.write(1, f"{os.getpid()}\\n".encode())
    os.kill(os.getpid(), 9) if how == "dies" else threading.Event().wait(100)

def main(config):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=quietly) as pool:
        list(pool.map(wait, [config.name, "waits"]))

if __name__ == "__main__":
    command(main)()
"""


def ended_by(process: psutil.Process) -> bool:
    try:
        process.wait(timeout=60)
    except psutil.TimeoutExpired:
        return False
    return True


def test_workers_end_with_their_parent(tmp_path):
    (tmp_path / "works.py").write_text(WORKS)
    with subprocess.Popen(
        [sys.executable, "works.py", "name=waits"], cwd=tmp_path, env=STARTED, stdout=subprocess.PIPE
    ) as process:
        workers = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
        process.kill()
        assert all(map(ended_by, workers))


def test_the_death_of_a_worker_is_one_line(tmp_path):
    (tmp_path / "works.py").write_text(WORKS)
    done = subprocess.run(
        [sys.executable, "works.py", "name=dies"],
        cwd=tmp_path,
        env=STARTED,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("works: a worker process was killed, for want of memory perhaps; run it again")
    assert len(done.stderr.splitlines()) == 1


def test_a_value_error_that_nobody_worded_keeps_its_traceback_too(monkeypatch, capsys, tmp_path):
    """It is the user's most of the time; where it is a fault in the code, somebody can find it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, lines = ended(monkeypatch, capsys, ValueError("math domain error"))
    assert (
        status == 2
        and len(lines) == 1
        and "math domain error; if nothing is wrong with what you gave, the traceback is in" in lines[0]
    )
    (file,) = tmp_path.glob("*.traceback")
    assert str(file) in lines[0] and "ValueError: math domain error" in file.read_text()


def test_a_sentence_of_ours_needs_no_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for main in (lambda config: path_of("~nobody-here"), lambda config: read_manifest(tmp_path / "none")):
        with pytest.raises(SystemExit) as end:
            started(monkeypatch, main)
        assert end.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_key_in_an_address_stands_in_no_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended(monkeypatch, capsys, KeyError("https://me:sk-secret@host/x"))
    (file,) = tmp_path.glob("*.traceback")
    assert "https://host/x" in file.read_text() and "sk-secret" not in file.read_text()


def test_a_warning_that_quotes_others_is_a_plain_line(monkeypatch, capsys):
    with ends():
        said = warnings.formatwarning("Glyph 27 (\x1b) is\nmissing", UserWarning, "x.py", 3)
    assert said == "UserWarning: Glyph 27 (\\x1b) is missing\n"


def test_settings_are_read_from_no_pickle(monkeypatch, capsys):
    monkeypatch.delenv("MIDSENTENCE_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as end:
        started(monkeypatch, print, "--experimental-rerun=config.pickle")
    assert end.value.code == 2 and "--experimental-rerun reads a pickle, which is code" in capsys.readouterr().err


def test_an_argument_that_the_locale_cannot_read_is_a_line(monkeypatch, capsys):
    monkeypatch.delenv("MIDSENTENCE_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as end:
        started(monkeypatch, print, "out=\udcc3\udca4")
    assert end.value.code == 2
    assert (
        capsys.readouterr().err
        == "command: out=\\udcc3\\udca4 is no text in this locale; use a UTF-8 one, as with LC_ALL=C.UTF-8\n"
    )


ROOT = Path(__file__).parents[1]


def test_help_is_what_the_module_says_and_runs_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.make_tiny", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("Makes the tiny random model")
    assert not (ROOT / "--help").exists()
