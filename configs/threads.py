"""Threads that wait without burning a core that somebody else needs.

Owns one setting of the OpenMP runtime beneath PyTorch. After each parallel loop a thread that is done waits for the
others, and by default it spins for milliseconds before it sleeps. Where another process has one of the cores, the
thread that is waited for is the one that does not run, and the spinning keeps it from running: two threads are then
slower than one by far (docs/training.md has figures). Does not know how many threads there are.
"""

from __future__ import annotations

import os

_SPINS = "1000"
"""Turns of a loop, some microseconds; the runtime's own is 300,000."""


def wait_politely() -> None:
    """Lets waiting threads sleep soon, unless the environment says otherwise. Call it before torch is imported: it is
    read then."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
