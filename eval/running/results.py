"""Reads folders of replays; accepts only finished ones of this schema whose lines are all complete.

Owns the check of a folder and the loading of its episodes. Does not know figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.running.records import VERSION, BadRecord, EpisodeRecord, from_line
from midsentence.files import intact, shaped

MANIFEST = "manifest.json"


_ROW = {"file": str, "backend": str, "mode": str, "profile": str, "seed": int, "source?": str, "sha256?": str}
_REJECTED = {"source": str, "split?": str, "count": int, "rows?": [str]}
_SHAPE = {"rows": [_ROW], "git?": {}, "finished?": str, "plays?": {}, "rejected?": [_REJECTED]}
"""What a manifest has, as far as it is read."""


class BadResults(ValueError):
    """A folder of replays that can't be used; the text names it and the fix."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one row of the table is about, seeds together."""

    source: str
    """The tasks' source."""
    split: str
    """The tasks' split."""
    backend: str
    """Who played the model."""
    mode: str
    """Name of the mode."""
    profile: str
    """Name of the device."""

    @classmethod
    def of(cls, episode: EpisodeRecord) -> Key:
        """The row that an episode belongs to."""
        return cls(episode.source, episode.split, episode.backend, episode.mode, episode.profile)


Episodes = Mapping[Key, Sequence[EpisodeRecord]]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished replay.

    Raises:
        BadResults: there is none, or it is of another schema version, or files are missing.
    """
    again = f"python -m eval.replay out={folder}"
    if not folder.is_dir():
        raise BadResults(f"no folder of replays at {folder}; make one with: {again}")
    if not (folder / MANIFEST).exists():
        raise BadResults(
            f"{folder} holds no {MANIFEST}: it is empty or half-written; run eval.replay again, it resumes"
        )
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except ValueError as error:
        raise BadResults(f"{folder / MANIFEST} is no JSON ({error}); delete the folder and replay again") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise BadResults(
            f"{folder} has schema version {version}, this code reads {VERSION}; replay again into another out="
        )
    if not manifest.get("rows"):
        raise BadResults(f"{folder / MANIFEST} names no rows of episodes; replay again into another out=")
    if not shaped(manifest, _SHAPE) or any(row["file"] != Path(row["file"]).name for row in manifest["rows"]):
        raise BadResults(
            f"{folder / MANIFEST} names files that are not the folder's, or is no manifest; replay again into another out="
        )
    if missing := [row["file"] for row in manifest["rows"] if not (folder / row["file"]).is_file()]:
        raise BadResults(f"{folder} misses {len(missing)} of its files, the first {missing[0]}; run eval.replay again")
    if changed := [row["file"] for row in manifest["rows"] if not intact(folder / row["file"], row)]:
        raise BadResults(
            f"{folder / changed[0]} is not the file that {MANIFEST} names (its sha256 differs); run eval.replay again"
        )
    return manifest


def read_file(path: Path) -> Iterator[EpisodeRecord]:
    """The episodes of one file.

    Raises:
        BadResults: a line is cut short or no record of this version.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield from_line(line)
            except BadRecord as error:
                raise BadResults(
                    f"{path} line {number} is no record ({error}); delete the file and replay again"
                ) from None
            except ValueError:
                raise BadResults(f"{path} line {number} is no record; delete the file and replay again") from None


def read_runs(folders: Sequence[str]) -> dict[Key, list[EpisodeRecord]]:
    """All episodes of some replays by row, without their words and logs, in a fixed order.

    Raises:
        BadResults: no folder given, one that can't be used, or an episode that is there twice.
    """
    if not folders:
        raise BadResults("runs is empty; name folders of replays: runs=[outputs/replay/NAME]")
    rows: dict[Key, list[EpisodeRecord]] = {}
    for folder in map(Path, folders):
        for entry in read_manifest(folder)["rows"]:
            for episode in read_file(folder / entry["file"]):
                rows.setdefault(Key.of(episode), []).append(episode.bare())
    for key, episodes in rows.items():
        episodes.sort(key=lambda episode: (episode.task, episode.seed))
        ids = [(episode.task, episode.seed) for episode in episodes]
        if len(set(ids)) < len(ids):
            raise BadResults(
                f"backend {key.backend}, mode {key.mode} is in more than one of runs={list(folders)}; give each row once"
            )
    return rows


def find_episode(
    folders: Sequence[str], task: str, backend: str, mode: str, profile: str = "", seed: int | None = None
) -> EpisodeRecord:
    """One episode with its log.

    Raises:
        BadResults: it is not there.
    """
    for folder in map(Path, folders):
        for entry in read_manifest(folder)["rows"]:
            fits = entry["backend"] == backend and entry["mode"] == mode and profile in ("", entry["profile"])
            if fits and seed in (None, entry["seed"]):
                for episode in read_file(folder / entry["file"]):
                    if episode.task == task:
                        return episode
    raise BadResults(
        f"no episode of task {task!r} with backend {backend!r} in mode {mode!r} in {', '.join(map(str, folders))}"
    )
