"""Makes the report of replays: ``python -m eval.report runs=[outputs/replay/debug] out=PATH``.

Owns the files of a report: ``report.json`` (schema in `docs/report.md`), ``report.md``, ``timeline.png``, the plots of
`eval.figures.plots` and the page of `eval.figures.page`. All files are
made before any gets its place, so bad input or a full disk leaves an earlier report as it was. Ends with status 1 if an
effect came before commit or twice, or if an episode beat the floor: then something is broken, and no figure counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from configs.command import claim, command, git_state
from configs.schema import Config
from eval import closed_book
from eval.figures import paper
from eval.figures.page import write_page
from eval.figures.plots import NAMES, write_plots
from eval.figures.tables import NOTE, Grid, answers, kept_out, markdown, terminal
from eval.figures.turn_tables import conversations
from eval.measures.conversations import last_turn
from eval.measures.rows import BACKEND_ORDER, Terms, rows_of, sorted_keys
from eval.running.records import EpisodeRecord
from eval.running.results import Episodes, Key, find_episode, read_manifest, read_runs
from midsentence.clock import seconds
from midsentence.files import write as write_whole
from midsentence.terminal import plain

SCHEMA_VERSION = 1


def main(config: Config) -> None:
    """Reads, computes, writes, shows."""
    folder = Path(config.out or f"outputs/{config.name}")
    episodes = read_runs(config.runs)
    asked = config.eval
    terms = Terms(config.seed, asked.resamples, asked.margin, asked.price_input, asked.price_output, asked.price_call)
    rows = rows_of(episodes, terms)
    held = closed_book.read(config.runs)
    for row, key in zip(rows, sorted_keys(episodes), strict=True):
        row |= closed_book.beside(key, episodes[key], held)
    tables = paper.beside(episodes, config.runs, terms) if asked.paper else []
    manifests = [read_manifest(Path(run)) for run in config.runs]
    git = [manifest.get("git", {}) for manifest in manifests]
    out = [
        {"run": run} | entry for run, manifest in zip(config.runs, manifests) for entry in manifest.get("rejected", [])
    ]
    report = {"schema_version": SCHEMA_VERSION, "git": git_state(), "runs": list(config.runs), "runs_git": git}
    report |= {"rejected": out, "rows": rows}
    report |= {"paper": tables} if asked.paper else {}
    picture = chosen(episodes)
    with together(folder) as half:
        write(half, report, config.runs, picture)
        plots = [folder / path.name for path in write_plots(half, rows, episodes)]
        write_page(half / "report.html", config.runs, episodes, rows, picture[2] if picture else None)
    for name in {*NAMES} - {path.name for path in plots}:
        (folder / name).unlink(missing_ok=True)  # a picture of an earlier report would belie this one
    show(rows, paper.grids(tables))
    print(*kept_out(out), sep="\n", end="\n" if out else "")
    print(f"report: {folder}/report.json, {folder}/report.md" + (f", {folder}/timeline.png" if picture else ""))
    print(f"to look at: {folder}/report.html" + "".join(f", {path}" for path in plots))
    if faults := broken(rows):
        print(*(plain(f"FAILED: {fault}") for fault in faults), sep="\n", file=sys.stderr)
        sys.exit(1)


@contextlib.contextmanager
def together(folder: Path) -> Iterator[Path]:
    """A folder inside ``folder`` for files that are put into it together, when all of them are whole; if one fails,
    none is."""
    claim(folder)
    half = folder / ".partial"
    shutil.rmtree(half, ignore_errors=True)  # of a report that was killed
    half.mkdir()
    try:
        yield half
        for path in sorted(half.iterdir()):
            path.rename(folder / path.name)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def write(folder: Path, report: dict[str, Any], runs: Sequence[str], picture: tuple[Key, Key, str] | None) -> None:
    """Writes the files that the figures and one picture are in."""
    beside = [*conversations(report["rows"]), *paper.grids(report.get("paper", []))]
    text = plain(markdown(report["rows"], beside) + "".join(f"\n{line}\n" for line in kept_out(report["rejected"])))
    if picture is not None:
        from eval.timeline import draw

        base, ours, task = picture
        shown = [last_turn(find_episode(runs, task, key.backend, key.mode, key.profile)) for key in (base, ours)]
        draw(shown, folder / "timeline.png")
    for name, content in (("report.json", json.dumps(report, indent=1) + "\n"), ("report.md", text)):
        write_whole(folder / name, content)


def show(rows: Sequence[dict[str, Any]], beside: Sequence[Grid] = ()) -> None:
    """Prints the tables: the rows, what questions were answered, and ``beside``."""
    # a file or a pipe has no width: the table is as wide as it needs to be
    priced = any(row["cost_per_task"] is not None for row in rows)
    given = os.environ.get("COLUMNS", "")
    width = int(given) if given.isascii() and given.isdigit() and int(given) else 285 if priced else 245
    console = Console() if sys.stdout.isatty() else Console(width=width)
    for table in terminal(rows, console.width):
        console.print(table)
    console.print(NOTE, style="dim")
    for grid in (*answers(rows), *conversations(rows), *beside):
        console.print()
        console.print(grid.terminal())


def broken(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What must never be: each fault in a line."""
    faults = []
    for row in rows:
        where = f"{row['backend']}, {row['mode']}, {row['profile']}"
        if row["effects_before_commit"]:
            faults.append(f"{where}: {row['effects_before_commit']} effects before commit")
        if row["effects_repeated"]:
            faults.append(f"{where}: {row['effects_repeated']} effects more than once")
        turns = (row.get("conversations") or {}).get("floor_beaten", 0)
        if row["floor_beaten"] or turns:
            which = f"{turns} turns" if turns else f"{row['floor_beaten']} episodes"
            faults.append(f"{where}: {which} beat the floor, so the bound or the clock is wrong")
    return faults


def chosen(episodes: Episodes) -> tuple[Key, Key, str] | None:
    """Which request is drawn, in which two modes: one that both get right, with a held call and several started early,
    whose speedup is typical. The model's where it has one, for it is what was measured; else the expert's. None where a
    mode lacks."""
    for backend in ("model", *BACKEND_ORDER):
        for ours in (key for key in episodes if key.backend == backend and key.mode == "speculative"):
            base = Key(ours.source, ours.split, backend, "sequential", ours.profile)
            others = {e.task: e for e in episodes.get(base, ())}
            pairs = [
                (e, others[e.task]) for e in episodes[ours] if e.right and e.task in others and others[e.task].right
            ]
            if not pairs:
                continue
            ratios = [b.latency_ns / max(1, a.latency_ns) for a, b in pairs]
            typical = sorted(ratios)[len(ratios) // 2]
            best = min(
                range(len(pairs)), key=lambda n: (_dull(pairs[n][0]), abs(ratios[n] - typical), pairs[n][0].task)
            )
            return base, ours, pairs[best][0].task
    return None


def _dull(episode: EpisodeRecord) -> int:
    """How little there is to see: three or four calls, most begun while the user speaks and one held, none in vain, in
    a request that is short enough for its words to be read, are best."""
    counts, said_s = episode.counts, seconds(episode.speech_end_ns)
    penalties = (
        (counts.early_calls == 0, 3),
        (counts.early_calls * 2 < counts.started_calls, 1),
        (counts.held_calls == 0, 1),
        (counts.started_calls < 3, 1),
        (counts.started_calls > 4, 2),
        (counts.wasted_calls > 0, 1),
        (counts.repeated_actions > 0, 1),
        (said_s > 10, 3),
    )
    return sum(points for fault, points in penalties if fault)


if __name__ == "__main__":
    command(main)()
