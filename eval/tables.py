"""The report's rows as tables: for the terminal and in Markdown.

Owns columns, their order and how figures are rounded. Refuses to compute any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from eval.statistics import MIN_N

Row = Mapping[str, Any]

NONE = "–"
WIDE = 150
"""Columns of text from which on a row is one line."""


def _share(row: Row, value: float, ends: Sequence[float] | None = None) -> str:
    """A share in percent, from fewer than ten tasks as k/n."""
    if row["n"] < MIN_N:
        return f"{round(value * row['n'] * len(row['seeds']))}/{row['n'] * len(row['seeds'])}"
    return _ranged(value, ends, lambda x: f"{100 * x:.0f}%")


def _ranged(value: float | None, ends: Sequence[float] | None, one: Callable[[float], str], n: int | None = None) -> str:
    if value is None:
        return NONE
    if ends is None:
        return one(value) + (f" (n={n})" if n is not None else "")
    return f"{one(value)} [{one(ends[0]).rstrip('%')}, {one(ends[1]).rstrip('%')}]"


def _seconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _times(row: Row, base: str) -> str:
    if row["mode"] == base:
        return "1"
    n = row["n_both_right" if base == "sequential" else f"n_both_right_{base}"]
    return _ranged(row[f"speedup_vs_{base}"], row[f"speedup_vs_{base}_ci95"], lambda x: f"{x:.2f}", n)


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("backend", lambda r: r["backend"]),
    ("mode", lambda r: r["mode"]),
    ("n", lambda r: str(r["n"])),
    ("accuracy", lambda r: _share(r, r["accuracy"], r["accuracy_ci95"])),
    ("mean s", lambda r: _seconds(r["latency_mean_s"])),
    ("p95 s", lambda r: _seconds(r["latency_p95_s"])),
    ("by 1 s", lambda r: _share(r, r["success_by_s"]["1"])),
    ("by 2 s", lambda r: _share(r, r["success_by_s"]["2"])),
    ("by 4 s", lambda r: _share(r, r["success_by_s"]["4"])),
    ("× sequential", lambda r: _times(r, "sequential")),
    ("× parallel", lambda r: _times(r, "parallel")),
    ("wasted calls", lambda r: f"{r['wasted_calls_per_task']:.2f}"),
    ("held", lambda r: str(r["held_calls"])),
    ("early effects", lambda r: str(r["effects_before_commit"])),
)
"""Head and cell of every column. Latencies are from the end of the last word; ``×`` is how many times as fast, on the
requests that both modes get right, with its 95% interval."""

NOTE = (
    "Latency from the end of the user's last word. × is how many times as fast as that mode, over the requests that both get "
    "right, with 95% bootstrap intervals over requests. An episode without an answer counts as the cap, 30 s unless set."
)


def groups(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows that belong under one title: source, split, profile."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["task"], row["split"], row["profile"]), []).append(row)
    return found


def _stacked(text: str) -> str:
    """A figure with its interval below it, in a form that is not broken again."""
    figure, bracket, interval = text.partition(" [")
    return figure + "\n" + interval.rstrip("]").replace(", ", "–") if bracket else text.replace(" ", "\n", 1)


def terminal(rows: Sequence[Row], width: int = WIDE) -> list[Table]:
    """A table for each group; where there are fewer columns of text than `WIDE`, intervals stand under their figures."""
    wide = width >= WIDE
    tables = []
    for (source, split, profile), group in groups(rows).items():
        look = {"box": box.SIMPLE_HEAD, "title_justify": "left", "pad_edge": False, "collapse_padding": not wide}
        table = Table(title=f"{source}, {split}, {profile}", **look)
        for n, (head, _) in enumerate(COLUMNS):
            text, side = head if wide else head.replace(" ", "\n"), "left" if n < 2 else "right"
            table.add_column(text, justify=side, no_wrap=n < 2, overflow="fold")
        before = group[0]["backend"]
        for row in group:
            if row["backend"] != before:
                table.add_section()
                before = row["backend"]
            cells = (cell(row) for _, cell in COLUMNS)
            table.add_row(*(escape(text if wide else _stacked(text)) for text in cells))
        tables.append(table)
    return tables


def markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    lines: list[str] = []
    for (source, split, profile), group in groups(rows).items():
        lines += [f"## {source}, {split}, {profile}", "", "| " + " | ".join(head for head, _ in COLUMNS) + " |"]
        lines.append("|" + "|".join("---" if n < 2 else "---:" for n in range(len(COLUMNS))) + "|")
        lines += ["| " + " | ".join(cell(row) for _, cell in COLUMNS) + " |" for row in group]
        lines.append("")
        failed = [row for row in group if row["causes"]]
        if failed:
            lines += ["Why requests failed:", ""]
            for row in failed:
                causes = ", ".join(f"{cause} {count}" for cause, count in sorted(row["causes"].items(), key=lambda item: -item[1]))
                lines.append(f"- {row['backend']}, {row['mode']}: {causes}")
            lines.append("")
    return "\n".join([*lines, NOTE, ""])
