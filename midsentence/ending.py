"""How a command reports failure: one line, and an exit status that distinguishes the user's mistakes from faults in the
code.

Owns the two exits, `fail` (2, what the user can mend) and `break_down` (1, a fault in the code, with the traceback in a
file that the line names), and `ends`, which maps whatever a command raises to them; Ctrl-C and a closed pipe end it
without a word more. Does not know what a command does.
"""

from __future__ import annotations

import contextlib
import errno
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any, NoReturn

from midsentence.addresses import without_keys
from midsentence.terminal import plain

INTERRUPTED = 128 + signal.SIGINT
CLOSED = 128 + signal.SIGPIPE
"""What a shell reports of a process that ended by the signal."""
_READERS = ("pyarrow", "safetensors", "safetensors_rust", "yaml", "zstandard", "tokenizers", "zipfile")
"""Libraries that read files: what they raise in kinds of their own is about the file."""
_HERE = Path(__file__).resolve().parent.parent
_ROOMS = ("midsentence", "configs", "data_gen", "training", "eval", "scripts")
_FIXES = {
    errno.ENOSPC: "free some space and run it again, it resumes",
    errno.EDQUOT: "free some space and run it again, it resumes",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOTDIR: "a part of the path is a file; give another path",
    errno.EEXIST: "it is a file, not a folder; give another path",
    errno.EISDIR: "it is a folder; give a file",
    errno.ENOENT: "give a path that is there",
    errno.EACCES: "give a path that you may use",
    errno.EPERM: "give a path that you may use",
    errno.ENOTEMPTY: "it holds something; give another path, or empty it",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "give a path that can be written",
    errno.ELOOP: "its links lead back to themselves; give another path",
}


class UserError(Exception):
    """Something that the user can mend; the text names the value and the fix, in a line."""


@contextlib.contextmanager
def ends() -> Iterator[None]:
    """Ends the process as the module says; ``MIDSENTENCE_TRACEBACK`` lets everything through instead."""
    _open_streams()
    warnings.formatwarning = _warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a locale may know ASCII only
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        _exit(CLOSED)
    except KeyboardInterrupt:
        _say("interrupted; what was finished is kept")
        _exit(INTERRUPTED)
    except Exception as error:
        if os.environ.get("MIDSENTENCE_TRACEBACK"):
            raise
        if _is_the_users(error):
            fail(error, "" if _said_here(error) else f"; if nothing is wrong with what you gave, {_kept(error)}")
        break_down(error)


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A library's warning, which may quote what others wrote, in a line."""
    return plain(f"{category.__name__}: {' '.join(str(message).split())}") + "\n"


def _open_streams() -> None:
    """Where a standard stream was closed, what is printed goes nowhere, and no file of results gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if name != "stdin" and getattr(sys, name) is None:  # who reads asks whether there is something to read
            setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))


def program(main: Callable[[list[str]], int | None], usage: str | None = None) -> NoReturn:
    """Runs a program that takes its arguments as they are, and ends it as the commands end.

    Args:
        main: takes the arguments and gives the exit status.
        usage: what ``--help`` prints in place of running it, for a program that does not read that option itself.
    """
    with ends():
        if usage is not None and {"-h", "--help"} & {*sys.argv[1:]}:
            print(usage.strip())
            sys.exit(0)
        status = main(sys.argv[1:])
    sys.exit(status)


def fail(error: BaseException, more: str = "") -> NoReturn:
    """Says what is wrong, on one line, and ends with status 2."""
    _say(_words(error) + more)
    _exit(2)


def break_down(error: BaseException) -> NoReturn:
    """Says that the code is at fault and where the traceback is, on one line, and ends with status 1."""
    _say(f"internal error: {type(error).__name__}: {_words(error)[:300]}; {_kept(error)}")
    _exit(1)


def _is_the_users(error: Exception) -> bool:
    kinds = (UserError, ValueError, OSError, MemoryError, BrokenExecutor)
    return (
        isinstance(error, kinds)
        or _full(error)
        or _out_of_memory(error)
        or type(error).__module__.partition(".")[0] in _READERS
    )


def _full(error: BaseException) -> bool:
    """Whether a library says in words of its own that the disk is full."""
    return os.strerror(errno.ENOSPC) in str(error) and not isinstance(error, OSError)


def _out_of_memory(error: BaseException) -> bool:
    """Whether it is memory that a library could not have, of the machine or of a GPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _said_here(error: Exception) -> bool:
    """Whether a ``ValueError`` is a sentence of ours: of a kind of ours, or raised by a ``raise`` in our code. Others,
    of ``int("x")`` or a library, are about what the user gave most of the time, and a fault in the code now and
    then."""
    if not isinstance(error, ValueError) or type(error).__module__.partition(".")[0] in (*_ROOMS, *_READERS):
        return True
    *_, frame = traceback.extract_tb(error.__traceback__) or [None]
    if frame is None or not any(Path(frame.filename).is_relative_to(_HERE / room) for room in _ROOMS):
        return False
    return (frame.line or "").startswith("raise ")


def _words(error: BaseException) -> str:
    """What an error says, in a line."""
    if isinstance(error, OSError) and error.errno in _FIXES and error.strerror:
        name = str(error.filename2 or error.filename or "")
        shown = f"{name[:120]}…" if len(name) > 120 else name
        return f"{f'{shown}: ' if shown else ''}{error.strerror}; {_FIXES[error.errno]}"
    if isinstance(error, BrokenExecutor):
        return "a worker process was killed, for want of memory perhaps; run it again, with fewer workers if so; what was finished is kept"
    said = " ".join(str(error).split())
    if _out_of_memory(error):
        return f"there is not enough memory ({said[:200] or type(error).__name__}); give smaller sizes, or free some"
    return f"{said or type(error).__name__}; {_FIXES[errno.ENOSPC]}" if _full(error) else said or type(error).__name__


def _kept(error: BaseException) -> str:
    try:
        handle, path = tempfile.mkstemp(prefix="midsentence-", suffix=".traceback")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_keys("".join(traceback.format_exception(error))))
    except OSError:
        return "set MIDSENTENCE_TRACEBACK=1 to see the traceback, for no file could be written"
    return f"the traceback is in {path}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the standard error may be closed
        print(f"{_name()}: {plain(without_keys(text))}", file=sys.stderr, flush=True)


def _name() -> str:
    """What the program is called; of ``python -m package``, the package."""
    path = Path(sys.argv[0])
    return path.parent.name if path.stem == "__main__" else path.stem


def _exit(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence()
    sys.exit(status)


def _silence() -> None:
    """Lets what is still to be printed go nowhere, so that the interpreter's own last flush has nothing to complain
    of."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quietly() -> None:
    """For a worker process: Ctrl-C ends it at once and without a traceback, as the command that started it says what is
    to be said; and so does the end of that command, whatever ended it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()


def _end_with(parent: Any) -> None:
    """Waits for a process's end on what the two share, which works on every system, and ends this one."""
    parent.join()
    os._exit(1)
