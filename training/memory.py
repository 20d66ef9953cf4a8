"""Keeps memory use constant on a CPU, however long a run is.

Owns two remedies. For every new size of a matrix product oneDNN makes a kernel, and two caches, its own and that of
PyTorch's layer above it, keep a thousand each; packed rows bring ever-new sizes, so memory in use grows for hundreds of
steps. Within a step sizes come again, layer after layer; from step to step they don't, so small caches lose nothing.
And the C allocator, after large tensors of ever-new sizes, keeps pages that hold nothing, more with every step: they
are given back whenever they have become a fifth of what a step takes; after every step it would cost speed.
On a GPU none of this is so. Does not know the trainer.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

_CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
_KERNELS = "64"
_SLACK = 1.2


def bound_kernel_caches() -> None:
    """Keeps both caches of kernels small, unless the environment says otherwise. Call it before the first matrix
    product."""
    for name in _CACHES:
        os.environ.setdefault(name, _KERNELS)


def resident_bytes() -> int:
    """This process's resident memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def give_back() -> bool:
    """Gives free pages of the C allocator back to the system; False where it can't (it is not glibc's)."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return False
    return True


class GiveBack(TrainerCallback):
    """Gives back what is free after a step that left more than a fifth beyond what the first step after the last time
    took."""

    def __init__(self, resident: Callable[[], int] = resident_bytes, trim: Callable[[], bool] = give_back) -> None:
        self.resident, self.trim = resident, trim
        self.taken_bytes = 0
        """Resident after a step that began with nothing free; 0 while that step is under way."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks, which takes microseconds."""
        now = self.resident()
        if not self.taken_bytes:
            self.taken_bytes = now
        elif now > _SLACK * self.taken_bytes and self.trim():
            self.taken_bytes = 0
