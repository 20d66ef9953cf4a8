"""One replay over several processes: which episodes are a process's own, where it keeps them, how a row is put
together.

Owns `Share`, a process's place among those that `accelerate launch` started, and `Part`, the file of a row under way.
Does not know what is in a record. `docs/replay.md` says how to start several processes.

While processes run, each appends to a file of its own, and what they share is never written to. The main process puts
files together before anybody starts and after everybody is done, so a killed replay goes on with any number of
processes.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from data_gen.task import Task
from eval.running.records import BadRecord, EpisodeRecord, from_line, to_line
from midsentence.ending import UserError
from midsentence.files import write

_LAUNCHERS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers say how many processes they started; the names are those that accelerate reads."""
_PATIENCE = timedelta(days=7)
"""How long one process waits for the others. One that fails is noticed at once; this is for shares of unequal
length."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """One process's place among those that replay together."""

    index: int = 0
    """Which of the processes this is, from 0."""
    count: int = 1
    """How many processes there are."""
    state: Any = None
    """accelerate's ``PartialState``; None for a process on its own, which needs nothing of it."""

    @property
    def main(self) -> bool:
        """Whether this process prepares, and puts together."""
        return self.index == 0

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Those of ``items`` that are this process's; all processes must give the same."""
        return items[self.index :: self.count]

    def wait(self) -> None:
        """Waits until all processes are here.

        Raises:
            UserError: another process is gone, so they never will be.
        """
        if self.state is None:
            return
        try:
            self.state.wait_for_everyone()
        except RuntimeError:  # what the backend says is a page about sockets
            raise UserError(
                "another process of this replay failed, see its own message; start it again, it resumes"
            ) from None

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The others do what is inside after the main process has."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def close(self) -> None:
        """Leaves the group, at the end of everything."""
        if self.state is not None:
            self.state.destroy_process_group()


ALONE = Share()


def share(environ: Mapping[str, str] = os.environ) -> Share:
    """This process's place; nothing of torch is imported for a process on its own."""
    if not any(int(environ.get(name) or 1) > 1 for name in _LAUNCHERS):
        return ALONE
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return Share(state.process_index, state.num_processes, state)


@dataclass(slots=True)
class Part:
    """A row under way: what is done, on disk and here."""

    path: Path
    """The file of finished episodes, not yet in order."""
    done: dict[str, EpisodeRecord] = field(default_factory=dict)
    """Records by task ID."""

    @classmethod
    def open(cls, path: Path) -> Part:
        """Reads what an earlier run left; a last line that it did not finish is dropped.

        Raises:
            UserError: a line is data, but no record of this version.
        """
        done: dict[str, EpisodeRecord] = {}
        kept = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = from_line(line)
                except BadRecord as error:
                    raise UserError(
                        f"{path} has a line that is no record ({error}); delete the file and replay again"
                    ) from None
                except ValueError:
                    break
                done[record.task] = record
                kept += len(line)
            if kept < path.stat().st_size:
                with path.open("r+b") as file:
                    file.truncate(kept)
        return cls(path, done)

    @classmethod
    def gather(cls, path: Path) -> Part:
        """The same with what several processes left beside ``path``, which is put there. Nobody may be writing."""
        whole = cls.open(path)
        others = [cls.open(other) for other in sorted(path.parent.glob(f"{glob.escape(path.stem)}.*.part"))]
        if others:
            for other in others:
                whole.done |= other.done
            write(path, "".join(map(to_line, whole.done.values())))
            for other in others:
                other.path.unlink()
        return whole

    def own(self, share: Share) -> Part:
        """What this process goes on with: a file of its own beside this one, if there are several."""
        return self if share.count == 1 else Part(self.path.with_suffix(f".{share.index}.part"), dict(self.done))

    def add(self, record: EpisodeRecord) -> None:
        """Keeps a record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(to_line(record))
        self.done[record.task] = record

    def finish(self, tasks: Sequence[Task]) -> None:
        """Puts the records in the tasks' order, under the final name.

        Raises:
            UserError: some are not there.
        """
        if missing := [task.id for task in tasks if task.id not in self.done]:
            some = f"{len(missing)} of {len(tasks)} episodes, the first {missing[0]}"
            raise UserError(f"{self.path.stem} lacks {some}; replay again, it resumes")
        write(self.path.with_suffix(".jsonl"), "".join(to_line(self.done[task.id]) for task in tasks))
        self.path.unlink(missing_ok=True)
