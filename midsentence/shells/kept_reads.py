"""Keeps the reads of a live session's turn, so that they are not run again when every new word discards an attempt.

Owns who waits for which run. Does not know how a session runs (`midsentence.shells.live_tools`), and calls.
"""

from __future__ import annotations

from midsentence.core.events import StartTool
from midsentence.shells.drafts import read_key
from midsentence.shells.tool_run import Run, launch
from midsentence.tools.tool import Toolbox, ToolSpec


class Reads:
    """Whoever asks for a read that has been run, or is running, joins it. A failure is not kept, so that it may be
    tried again; and when an effect begins or ends, what it may have changed, as far as tools say, is not kept
    either."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._kept: dict[str, tuple[ToolSpec, Run]] = {}
        self.joined: set[tuple[int, int]] = set()
        """Starts, as (call, version), for which no tool was run."""
        self.over: list[Run] = []
        """Runs that nobody keeps any more; whoever takes them from here leaves them (`Run.leave`)."""

    def asked(self, start: StartTool) -> Run:
        """A call is to run.

        Raises:
            Exception: no thread could be started, or the toolbox failed before its tool ran.
        """
        spec = self._toolbox.specs[start.name]
        if spec.access == "write":
            self._drop(spec)
            run = Run(launch(self._toolbox, start.name, start.args, start.key))
            run.work.add_done_callback(lambda _: self._drop(spec))
            return run
        if (kept := self._kept.get(read_key(start))) is not None and kept[1].stands:
            self.joined.add((start.call, start.version))
            return kept[1].join()
        if kept is not None:
            self.over.append(kept[1])
        run = Run(launch(self._toolbox, start.name, start.args, start.key))
        self._kept[read_key(start)] = spec, run.join()
        return run

    def forget(self) -> None:
        """The turn is over: what was read for it is old."""
        self.over += [run for _, run in self._kept.values()]
        self._kept.clear()

    def gave_up(self, run: Run) -> None:
        """A run took longer than its tool may: that is a failure, and who asks for the read again has it run anew."""
        old = [key for key, (_, kept) in self._kept.items() if kept is run]
        self.over += [self._kept.pop(key)[1] for key in old]

    def _drop(self, effect: ToolSpec) -> None:
        old = {key for key, (spec, _) in self._kept.items() if effect.conflicts_with(spec)}
        self.over += [self._kept.pop(key)[1] for key in old]
