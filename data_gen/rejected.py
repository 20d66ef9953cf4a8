"""Reports rows that can't be used, on the terminal and in a file next to the results.

Owns that file. Does not know why a row can't be used: its source says so (`data_gen.sources.rejected`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from midsentence.files import write
from midsentence.terminal import plain

FILE = "rejected.jsonl"
_KIND = re.compile(r"[a-z][a-z, ]{3,40}(?=: )")
"""The kind of reason, where a reason begins with one."""
MOST_SHOWN = 20
"""Rows that are printed; the file has them all."""


def report_rejected(folder: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Names the rows of the user's files that could not be used, and leaves all of them in ``rejected.jsonl``."""
    path = folder / FILE
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = "".join(json.dumps({"row": name, "reason": reason}, ensure_ascii=False) + "\n" for name, reason in rows)
    write(path, text, errors="backslashreplace")  # half a character is then JSON's own escape of it
    for name, reason in rows[:MOST_SHOWN]:
        print(plain(f"rejected {name}: {reason}"))
    rest = f", {len(rows) - MOST_SHOWN} of them not shown" if len(rows) > MOST_SHOWN else ""
    print(f"rejected rows: {len(rows)}{rest} ({path})")
    kinds = Counter(found[0] for _, reason in rows if (found := _KIND.match(reason)) is not None)
    if kinds.total() == len(rows) > 1:
        print(plain("by reason: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())))
