"""The data card: what a folder of trajectories holds, how it was made and how to load it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet

from configs.command import to_write
from configs.schema import Config
from midsentence.clock import seconds
from midsentence.files import write
from midsentence.protocol import EDITION
from midsentence.rendering import turns_of

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
    lines += [f"Source `{config.task or config.data.source}`; {_LICENCES.get(config.data.source, 'see the source')}.", ""]
    lines += ["| split | rows | modes | mean tokens | written by the model |", "|---|---|---|---|---|"]
    example = None
    for split, names in shards.items():
        modes: Counter[str] = Counter()
        tokens = own = 0
        for name in names:
            table = parquet.read_table(folder / name, columns=["mode", "tokens", "model_tokens"])
            modes.update(table["mode"].to_pylist())
            tokens += sum(table["tokens"].to_pylist())
            own += sum(table["model_tokens"].to_pylist())
        rows = sum(modes.values())
        split_modes = ", ".join(f"{mode} {count}" for mode, count in sorted(modes.items()))
        lines.append(f"| {split} | {rows} | {split_modes} | {tokens / max(rows, 1):.0f} | {own / max(tokens, 1):.0%} |")
        example = example or next((row for name in names for row in parquet.read_table(folder / name).slice(0, 1).to_pylist()), None)
    clock = config.clock
    lines += [
        "", f"Decode rates are log-uniform in {clock.train_decode_tokens_per_s} tokens a second without "
        f"{clock.held_out_decode_tokens_per_s}; prefill is {clock.train_prefill_ratio} times as fast; "
        f"clock stamps: {clock.stamps}; tags: {config.model.tags}; "
        f"turns: {turns_of(config.model.tags, config.model.turns)}; protocol edition {EDITION}; tokenizer of {given['model']['name']}.",
        "", "Load it:", "", "    datasets.load_dataset(FOLDER)", "",
        "Make it again: the settings are in `config.yaml`, seeds and versions in `manifest.json`.", "",
        f"## One row ({example['mode']})", "", "```", *transcript_lines(example), "```", "",
    ]
    write(folder / "README.md", "\n".join(lines))


def transcript_lines(row: dict) -> list[str]:
    """A row's transcript, a line a segment: time in seconds, who wrote it, what."""
    lines = []
    for part in row["segments"]:
        who = "model" if part["kind"] == "model" else "     "
        text = part["text"] if part["kind"] == "model" else f"<{part['kind']}> {part['text']}"
        lines.append(f"{seconds(part['at_ns']):8.2f} {who} {text!r}".replace("```", "'''"))
    return lines
