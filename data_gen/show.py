"""Prints one trajectory in the terminal: ``python -m data_gen.show path=PATH row=7``.

Coloured by who wrote what, with its clock: time, how many tokens, and whether the loss counts them; of a conversation
also when answers were spoken, and where the user spoke into one. The row is counted over the splits in the order of the
manifest. Does not change anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.command import command
from configs.schema import Config
from data_gen.trajectory import Trajectory, read_manifest, read_rows
from midsentence.clock import seconds
from midsentence.core.events import Speaking, UserUpdate
from midsentence.ending import UserError
from midsentence.terminal import plain

_COLOURS = {
    "model": "bold cyan",
    "partial_query_update": "green",
    "final_query_update": "bold green",
    "tool_result": "yellow",
    "tool_error": "red",
    "error": "red",
    "cancel": "magenta",
}
_HEARD = ("partial_query_update", "final_query_update", "cancel")


def main(config: Config) -> None:
    """Finds the row and prints it."""
    if not config.path:
        raise UserError("give the folder of trajectories: path=PATH")
    folder = Path(config.path)
    Console(highlight=False).print(*render(find(folder, config.row)), sep="\n")


def find(folder: Path, number: int) -> Trajectory:
    """Row ``number`` of a folder, counted from 0 over all splits.

    Raises:
        UserError: the folder has fewer rows.
    """
    seen = 0
    for split in ("train", "validation", "test"):
        if split in read_manifest(folder)["shards"]:
            for row in read_rows(folder, split):
                if seen == number:
                    return row
                seen += 1
    raise UserError(f"row={number} is not in {folder}: it has rows 0 to {seen - 1}")


def render(row: Trajectory) -> list[Any]:
    """The row as things that a rich console prints."""
    profile = row.profile
    head = Text.assemble(
        (plain(f"{row.id}  {row.split}  {row.mode}\n"), "bold"),
        plain("".join(f"{line}\n" for line in requested(row))),
        (
            plain(
                f"{profile.decode_tokens_per_s} tokens/s decode, {profile.prefill_tokens_per_s} prefill; {row.tokens} tokens, "
                f"{row.model_tokens} by the model; speech ends at {seconds(row.speech_end_ns):.2f} s, "
                f"{row.outcome} at {seconds(row.end_ns):.2f} s"
            ),
            "dim",
        ),
    )
    table = Table(box=None, pad_edge=False)
    for name in ("s", "tokens"):
        table.add_column(name, justify="right", style="dim")
    table.add_column("loss", justify="center", style="dim")
    table.add_column("written")
    aloud = spoken(row)
    for part in row.segments:
        segment = part.segment
        if aloud and segment.kind in _HEARD and segment.at_ns >= aloud[0][1]:
            table.add_row(*_said(aloud.pop(0)))
        tag = "" if segment.kind == "model" else f"<{segment.kind}> "
        table.add_row(
            f"{seconds(segment.at_ns):.2f}",
            str(len(segment.ids) or ""),
            "●" if part.supervised else "",
            Text(plain(tag + segment.text.rstrip("\n")), style=_COLOURS.get(segment.kind, "dim")),
        )
    for rest in aloud:
        table.add_row(*_said(rest))
    return [head, table]


def spoken(row: Trajectory) -> list[tuple[int, int, str | None]]:
    """The answers of a conversation that were spoken: from when, until when, and of one that was cut what was heard of
    it."""
    found: list[tuple[int, int, str | None]] = []
    for event in row.events:
        if isinstance(event, Speaking) and event.part == "begun":
            found.append((event.at_ns, event.at_ns, None))
        elif isinstance(event, Speaking):
            found[-1] = (found[-1][0], event.at_ns, event.heard if event.part == "cut" else None)
    return found


def requested(row: Trajectory) -> list[str]:
    """What the user says, as it was heard, in as many lines as answers were spoken; of a single request, as it was
    said."""
    if not (begun := [start_ns for start_ns, _, _ in spoken(row)]):
        return [row.request]
    lines: list[list[str]] = [[] for _ in (*begun, None)]
    for event in row.events:
        if isinstance(event, UserUpdate):
            line = lines[sum(start_ns < event.at_ns for start_ns in begun)]
            del line[max(0, len(line) - event.retracts) :]
            line += event.text.split()
    return [" ".join(line) for line in lines if line]


def _said(aloud: tuple[int, int, str | None]) -> tuple[Any, ...]:
    start_ns, end_ns, heard = aloud
    text = "spoken to its end" if heard is None else f'the user speaks into it: heard "{heard}"'
    line = plain(f"── {text}, at {seconds(end_ns):.2f} ──")
    return f"{seconds(start_ns):.2f}", "", "", Text(line, style="dim" if heard is None else "magenta")


if __name__ == "__main__":
    command(main)()
