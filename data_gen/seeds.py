"""Child seeds: one root a run, a hash of root and names for everything else, the same on every machine."""

from __future__ import annotations

import hashlib


def child(seed: int, *names: object) -> int:
    """A 63-bit seed that follows from the root and the names, and from nothing else."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
