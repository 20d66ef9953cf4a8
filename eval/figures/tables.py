"""The report's rows as tables: for the terminal and in Markdown.

Owns columns, their order and how figures are rounded. Does not compute any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from eval.measures.statistics import MIN_N, Proportion
from midsentence.terminal import plain

Row = Mapping[str, Any]

NONE = "–"
WIDE = 150
"""Columns of text from which on a row is one line."""


def _share(row: Row, value: float, ends: Sequence[float] | None = None) -> str:
    """A share in percent, from fewer than ten tasks as k/n."""
    if row["n"] < MIN_N:
        return f"{round(value * row['n'] * len(row['seeds']))}/{row['n'] * len(row['seeds'])}"
    return _ranged(value, ends, lambda x: f"{100 * x:.0f}%")


def _ranged(
    value: float | None, ends: Sequence[float] | None, one: Callable[[float], str], n: int | None = None
) -> str:
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


def _times_fastest(row: Row) -> str:
    """The gain over the group's fastest baseline, and which that is."""
    base = row["fastest_baseline"]
    if base is None or row["mode"] == base:
        return NONE if base is None else "1"
    n, ends = row["n_both_right_fastest_baseline"], row["speedup_vs_fastest_baseline_ci95"]
    return _ranged(row["speedup_vs_fastest_baseline"], ends, lambda x: f"{x:.2f}", n) + f" {base}"


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
    ("× eager_end", lambda r: _times(r, "eager_end")),
    ("× fastest", _times_fastest),
    ("wasted calls", lambda r: f"{r['wasted_calls_per_task']:.2f}"),
    ("held", lambda r: str(r["held_calls"])),
    ("before commit", lambda r: str(r["effects_before_commit"])),
    (
        "wrong effects /100",
        lambda r: NONE if r.get("wrong_effects_per_100") is None else f"{r['wrong_effects_per_100']:.1f}",
    ),
    ("before last word /100", lambda r: f"{r['effects_before_last_word_per_100']:.1f}"),
    ("wrong of them", lambda r: f"{r['wrong_effects_before_last_word_per_100']:.1f}"),
)
"""Head and cell of every column. Latencies are from the end of the last word; ``×`` is how many times as fast, on the
requests that both modes get right, with its 95% interval."""

COST_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("cost/1,000", lambda r: f"{1000 * r['cost_per_task']:.2f}"),
    ("of it wasted", lambda r: f"{1000 * r['wasted_cost_per_task']:.2f}"),
)
"""Where prices are set: of a thousand requests, in the prices' currency."""

NOTE = (
    "Latency from the end of the user's last word. × is how many times as fast as that mode, over the requests that both get "
    "right, with 95% bootstrap intervals over requests; fastest: the fastest of the modes that plan nothing before the end of "
    "speech, chosen once for a group by mean latency. An episode without an answer counts as the cap, 30 s unless set."
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts, to be shown in a terminal or in Markdown."""

    title: str
    """The line above it."""
    heads: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Texts of the cells, a row each."""
    notes: tuple[str, ...] = ()
    """Sentences below it."""
    left: int = 2
    """Columns that are aligned to the left; the others hold figures."""

    def markdown(self) -> list[str]:
        """Its lines."""
        lines = [f"## {self.title}", ""] if self.title else []
        lines += [
            _line(self.heads),
            "|" + "|".join("---" if n < self.left else "---:" for n in range(len(self.heads))) + "|",
        ]
        lines += [_line(row) for row in self.rows]
        return [*lines, "", *(f"- {note}" for note in self.notes), *([""] if self.notes else [])]

    def terminal(self) -> Table:
        """The same for `rich`, the notes as its caption."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        table = Table(
            title=shown(self.title),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            pad_edge=False,
            caption=shown(notes) or None,
            caption_justify="left",
        )
        for n, head in enumerate(self.heads):
            table.add_column(shown(head), justify="left" if n < self.left else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*map(shown, row))
        return table


def shown(text: str) -> str:
    """Text of others as `rich` prints it: neither the terminal nor `rich` reads anything into it."""
    return escape(plain(text))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def columns(rows: Sequence[Row]) -> tuple[tuple[str, Callable[[Row], str]], ...]:
    """The columns of some rows: costs are shown where prices are set."""
    return COLUMNS + (COST_COLUMNS if any(row["cost_per_task"] is not None for row in rows) else ())


def answers(rows: Sequence[Row]) -> list[Grid]:
    """Of sources of questions: what was answered, beside what is answered without a tool. A grid for each group that
    has some."""
    grids = []
    for (source, split, profile), group in groups(rows).items():
        asked = [row for row in group if row["answer_exact"] is not None]
        if not asked or source != "hotpotqa" and all(row.get("majority_exact") is None for row in asked):
            continue
        lines = tuple(
            (
                row["backend"],
                row["mode"],
                str(row["n"]),
                _exact(row, "answer"),
                _f1(row, "answer"),
                _exact(row, "closed_book"),
                _f1(row, "closed_book"),
                _exact(row, "majority"),
                _f1(row, "majority"),
            )
            for row in asked
        )
        known = next((row for row in asked if row.get("majority_answer") is not None), None)
        note = (
            f"Majority: every question is answered {known['majority_answer']!r}, the most frequent answer of {known['majority_train_n']} "
            f"training questions. Closed book: the written question, a short prompt, no tool; the expert has no such figure."
            if known
            else "No closed-book and majority figures here: make them with python -m eval.closed_book and the replay's own settings."
        )
        heads = ("backend", "mode", "n", "exact match", "F1", "closed book exact", "F1", "majority exact", "F1")
        grids.append(Grid(f"answers: {source}, {split}, {profile}", heads, lines, (note,)))
    return grids


def _exact(row: Row, name: str) -> str:
    share = row.get(f"{name}_exact")
    if share is None:
        return NONE
    # over several seeds a share is no count of cases
    return Proportion(round(share * row["n"]), row["n"]).text if len(row["seeds"]) == 1 else f"{100 * share:.1f}%"


def _f1(row: Row, name: str) -> str:
    return NONE if row.get(f"{name}_f1") is None else f"{row[f'{name}_f1']:.2f}"


def failures(rows: Sequence[Row]) -> list[Grid]:
    """Right requests and causes of failure, by mode and by label of disfluency: a grid for each backend that failed at
    some."""
    grids = []
    for (source, split, profile), group in groups(rows).items():
        for backend in dict.fromkeys(row["backend"] for row in group if row["causes"]):
            own = [row for row in group if row["backend"] == backend]
            labels = sorted({label for row in own for label in row["by_label"]})
            lines = [("all", *(_failed(len(row["seeds"]) * row["n"], row["causes"]) for row in own))]
            for label in labels if len(labels) > 1 else ():
                entries = [row["by_label"].get(label) for row in own]
                lines.append(
                    (label, *(NONE if entry is None else _failed(entry["n"], entry["causes"]) for entry in entries))
                )
            title = f"right, and why not: {source}, {split}, {profile}, {backend}"
            grids.append(Grid(title, ("label", *(row["mode"] for row in own)), tuple(lines), left=len(own) + 1))
    return grids


def _failed(n: int, causes: Mapping[str, int]) -> str:
    said = ", ".join(
        f"{cause} {count}" for cause, count in sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"{n - sum(causes.values())}/{n}" + (f": {said}" if said else "")


def groups(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Rows that belong under one title: source, split, profile."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["task"], row["split"], row["profile"]), []).append(row)
    return found


def kept_out(rejected: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each source that has rows that can't be used: no ``n`` counts them."""
    lines = []
    for entry in rejected:
        some = f", {', '.join(entry['rows'][:10])}" + (", …" if entry["count"] > 10 else "")
        where = f"{entry['source']}, {entry['split']} ({entry['run']})"
        lines.append(
            plain(f"Kept out of {where}, and counted in no n: {entry['count']} row{'s' * (entry['count'] > 1)}{some}.")
        )
    return lines


def _stacked(text: str) -> str:
    """A figure with its interval below it, in a form that is not broken again."""
    figure, bracket, interval = text.partition(" [")
    return figure + "\n" + interval.rstrip("]").replace(", ", "–") if bracket else text.replace(" ", "\n", 1)


def terminal(rows: Sequence[Row], width: int = WIDE) -> list[Table]:
    """A table for each group; where there are fewer columns of text than `WIDE`, intervals stand under their
    figures."""
    wide = width >= WIDE
    tables = []
    for (source, split, profile), group in groups(rows).items():
        look: dict[str, Any] = {
            "box": box.SIMPLE_HEAD,
            "title_justify": "left",
            "pad_edge": False,
            "collapse_padding": not wide,
        }
        table = Table(title=shown(f"{source}, {split}, {profile}"), **look)
        own = columns(group)
        for n, (head, _) in enumerate(own):
            text = head if wide else head.replace(" ", "\n")
            table.add_column(text, justify="left" if n < 2 else "right", no_wrap=n < 2, overflow="fold")
        before = group[0]["backend"]
        for row in group:
            if row["backend"] != before:
                table.add_section()
                before = row["backend"]
            cells = (cell(row) for _, cell in own)
            table.add_row(*(shown(text if wide else _stacked(text)) for text in cells))
        tables.append(table)
    return tables


def results(rows: Sequence[Row]) -> list[Grid]:
    """The rows: a grid for each group."""
    grids = []
    for (source, split, profile), group in groups(rows).items():
        own = columns(group)
        cells = tuple(tuple(cell(row) for _, cell in own) for row in group)
        grids.append(Grid(f"{source}, {split}, {profile}", tuple(head for head, _ in own), cells))
    return grids


def markdown(rows: Sequence[Row], beside: Sequence[Grid] = ()) -> str:
    """The rows, what questions were answered, why requests failed, and ``beside`` as Markdown."""
    lines = [line for grid in results(rows) for line in grid.markdown()] + [NOTE, ""]
    for grid in (*answers(rows), *failures(rows), *beside):
        lines += grid.markdown()
    return "\n".join(lines)
