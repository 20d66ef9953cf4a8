"""One process that has imported everything, and a fork of it for each case: Python with torch takes seconds to start, a
fork none.

Owns the fork: its folder, its standard streams, its limits, and how it ended. Does not know what a case is for. What
Python settles when it starts (the locale, say) can't be tried this way.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

LIMIT_S = 60.0
"""Of CPU for a case, and `PATIENCE` times as much by the clock."""
PATIENCE = 12
"""Other work may share the processors."""
MOST_BYTES = 12 << 30
"""Address space that a case may take beyond what this process has."""
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Ended:
    """How a case ended."""

    status: int
    """What a shell would see; negative for the signal that ended it."""
    out: str
    err: str
    hung: bool = False
    """Whether it was ended because its time was up."""

    @property
    def last(self) -> str:
        """The last line of what it said."""
        return (self.err.strip() or self.out.strip() or "nothing").splitlines()[-1]


def warm(modules: Sequence[str]) -> None:
    """Imports modules, and what they import only when they are run; parses a command line once."""
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "WANDB_MODE": "disabled",
    }
    for name in (
        *modules,
        "datasets",
        "peft",
        "matplotlib.figure",
        "transformers.models.llama.modeling_llama",
        "transformers.generation",
    ):
        importlib.import_module(name)
    import torch
    from hydra import compose, initialize_config_module

    from configs.schema import register

    register()
    torch.set_num_threads(1)
    with initialize_config_module("configs", version_base="1.3"):
        compose("config", ["experiment=debug", "data.sizes={train: 1}"])
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page


def line(module: str, arguments: Sequence[str]) -> Callable[[], None]:
    """What ``python -m module arguments`` does."""

    def run() -> None:
        from configs.command import command
        from midsentence.ending import program

        sys.argv = [f"{module.rpartition('.')[2]}.py", *arguments]
        main = importlib.import_module(module).main
        (command(main) if "config" in inspect.signature(main).parameters else partial(program, main))()

    return run


def forked(
    body: Callable[[], object],
    folder: Path,
    *,
    limit_s: float = LIMIT_S,
    stdin: bytes | None = b"",
    environ: Mapping[str, str] | None = None,
    kill_after_s: float | None = None,
) -> Ended:
    """Runs a case in a fork.

    Args:
        body: the case.
        folder: where it runs; its temporary files go there too.
        limit_s: of CPU; by the clock it gets `PATIENCE` times as much.
        stdin: what it reads; None for a closed standard input.
        environ: variables that it has beside this process's.
        kill_after_s: when it is killed, with all that it started.
    """
    said = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # newer Pythons warn of forks beside threads; ours only wait
        pid = os.fork()
    if pid == 0:
        try:
            _become(folder, said, stdin, environ or {}, limit_s)
            os._exit(_status(body))
        finally:
            os._exit(99)
    started_s = time.monotonic()
    until_s = started_s + min(limit_s * PATIENCE, kill_after_s or float("inf"))
    while (found := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < until_s:
        time.sleep(_POLL_S)
    late = found[0] == 0
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # and what it left behind
    if late:
        found = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(found[1])
    texts = []
    for file in said:
        file.seek(0)
        texts.append(file.read().decode(errors="replace"))
        file.close()
    return Ended(status, *texts, hung=(late and kill_after_s is None) or status == -signal.SIGXCPU)


def _become(folder: Path, said: Sequence, stdin: bytes | None, environ: Mapping[str, str], limit_s: float) -> None:
    os.setsid()
    for file, number in zip(said, (1, 2), strict=True):
        os.dup2(file.fileno(), number)
    os.close(0)
    if stdin is not None:
        reads, writes = os.pipe()
        os.write(writes, stdin[:65536])
        os.close(writes)
        os.dup2(reads, 0)
    sys.stdin = None if stdin is None else open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.update(environ)
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seconds = int(limit_s) + 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + int(used.ru_utime + used.ru_stime),) * 2)
    taken = (
        int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
        if Path("/proc/self/statm").exists()
        else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.resetwarnings()
    warnings.simplefilter("default")


def _status(body: Callable[[], object]) -> int:
    """Runs the body as the interpreter runs a program: what it raises is printed, and its streams are flushed at the
    end."""
    try:
        try:
            body()
            code: object = 0
        except SystemExit as end:
            code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return int(code or 0)  # type: ignore[call-overload]
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
