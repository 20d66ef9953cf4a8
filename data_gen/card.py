"""The data card: what a folder of trajectories holds, how it was made and how to load it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

from configs.command import to_write
from configs.schema import Config
from data_gen.trajectory import Trajectory, read_shard, sizes_in
from midsentence.clock import seconds
from midsentence.core.protocol import EDITION
from midsentence.files import write
from midsentence.rendering.renderer import Tags, Turns, turns_of

_LICENCES = {
    "assistant": "made by this code, Apache-2.0; cities from GeoNames (CC BY 4.0), names from Faker (MIT)",
    "naturalistic": "made by this code, Apache-2.0; cities from GeoNames (CC BY 4.0), names from Faker (MIT), some editing terms "
    "from Disfl-QA's dev set (CC BY 4.0)",
    "bfcl": "requests and gold calls: Berkeley Function-Calling Leaderboard, Apache-2.0",
    "written": "written one by one and marked by language models for this project, not transcribed from people; Apache-2.0",
    "written_apart": "written one by one and marked by language models for this project, not transcribed from people; Apache-2.0",
    "domains": "written one by one and marked by language models for this project, not transcribed from people; Apache-2.0",
    "conversations": "written one by one and marked by language models for this project, not transcribed from people; Apache-2.0",
    "dialogue": "made by this code, Apache-2.0; cities from GeoNames (CC BY 4.0), names from Faker (MIT)",
    "home": "sentence templates of home-assistant-intents (Apache-2.0), written by volunteers at github.com/OHF-Voice/intents (CC BY 4.0); "
    "rooms, devices and texts of this code, Apache-2.0",
    "debug": "made by this code, Apache-2.0",
}


def write_card(folder: Path, config: Config, shards: dict[str, list[str]]) -> None:
    """Writes ``README.md`` with the header that `datasets.load_dataset` reads splits from."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in shards:
        lines += [f"  - split: {split}", f'    path: "{split}-*.parquet"']
    given = to_write(config)
    lines += ["---", "", f"# Trajectories: {given['name']}", ""]
    lines += [
        f"Source `{config.task or config.data.source}`; {_LICENCES.get(config.data.source, 'see the source')}.",
        "",
    ]
    lines += ["| split | rows | modes | mean tokens | written by the model |", "|---|---|---|---|---|"]
    for split, names in shards.items():
        modes: Counter[str] = Counter()
        tokens = own = 0
        for name in names:
            for mode, length, written in sizes_in(folder / name):
                modes[mode] += 1
                tokens, own = tokens + length, own + written
        rows = sum(modes.values())
        split_modes = ", ".join(f"{mode} {count}" for mode, count in sorted(modes.items()))
        lines.append(f"| {split} | {rows} | {split_modes} | {tokens / max(rows, 1):.0f} | {own / max(tokens, 1):.0%} |")
    example = next(row for names in shards.values() for name in names for row in read_shard(folder / name))
    clock, turns = config.clock, turns_of(cast(Tags, config.model.tags), cast(Turns | None, config.model.turns))
    lines += [
        "",
        f"Decode rates are log-uniform in {clock.train_decode_tokens_per_s} tokens a second without "
        f"{clock.held_out_decode_tokens_per_s}; prefill is {clock.train_prefill_ratio} times as fast; "
        f"clock stamps: {clock.stamps}; tags: {config.model.tags}; "
        f"turns: {turns}; protocol edition {EDITION}; tokenizer of {given['model']['name']}.",
        "",
        "Load it:",
        "",
        "    datasets.load_dataset(FOLDER)",
        "",
        "Make it again: the settings are in `config.yaml`, seeds and versions in `manifest.json`.",
        "",
        f"## One row ({example.mode})",
        "",
        "```",
        *transcript_lines(example),
        "```",
        "",
    ]
    write(folder / "README.md", "\n".join(lines))


def transcript_lines(row: Trajectory) -> list[str]:
    """A trajectory's transcript, a line a segment: time in seconds, who wrote it, what."""
    lines = []
    for segment in (piece.segment for piece in row.segments):
        who = "model" if segment.kind == "model" else "     "
        text = segment.text if segment.kind == "model" else f"<{segment.kind}> {segment.text}"
        lines.append(f"{seconds(segment.at_ns):8.2f} {who} {text!r}".replace("```", "'''"))
    return lines
