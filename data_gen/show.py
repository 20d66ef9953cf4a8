"""Prints one trajectory in the terminal: ``python -m data_gen.show path=PATH row=7``.

Coloured by who wrote what, with its clock: time, how many tokens, and whether the loss counts them. The row is counted
over the splits in the order of the manifest. Refuses to change anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.command import UserError, command
from configs.schema import Config
from configs.terminal import plain
from data_gen.trajectory import read_manifest, read_rows
from midsentence.clock import seconds

_COLOURS = {
    "model": "bold cyan", "partial_query_update": "green", "final_query_update": "bold green", "tool_result": "yellow",
    "tool_error": "red", "error": "red", "cancel": "magenta",
}


def main(config: Config) -> None:
    """Finds the row and prints it."""
    if not config.path:
        raise UserError("give the folder of trajectories: path=PATH")
    folder = Path(config.path)
    Console(highlight=False).print(*render(find(folder, config.row)), sep="\n")


def find(folder: Path, number: int) -> dict[str, Any]:
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


def render(row: dict[str, Any]) -> list[Any]:
    """The row as things that a rich console prints."""
    profile = row["profile"]
    head = Text.assemble(
        (plain(f"{row['id']}  {row['split']}  {row['mode']}\n"), "bold"), plain(f"{row['request']}\n"),
        (plain(f"{profile['decode_tokens_per_s']} tokens/s decode, {profile['prefill_tokens_per_s']} prefill; {row['tokens']} tokens, "
               f"{row['model_tokens']} by the model; speech ends at {seconds(row['speech_end_ns']):.2f} s, "
               f"{row['outcome']} at {seconds(row['end_ns']):.2f} s"), "dim"),
    )
    table = Table(box=None, pad_edge=False)
    for name, justify in (("s", "right"), ("tokens", "right"), ("loss", "center"), ("written", "left")):
        table.add_column(name, justify=justify, style="dim" if name != "written" else None)
    for part in row["segments"]:
        tag = "" if part["kind"] == "model" else f"<{part['kind']}> "
        table.add_row(
            f"{seconds(part['at_ns']):.2f}", str(len(part["ids"]) or ""), "●" if part["supervised"] else "",
            Text(plain(tag + part["text"].rstrip("\n")), style=_COLOURS.get(part["kind"], "dim")),
        )
    return [head, table]


if __name__ == "__main__":
    command(main)()
