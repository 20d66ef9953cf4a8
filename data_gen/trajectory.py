"""Trajectories: recorded logs of episodes, as rows on disk.

Owns the row's schema and its version, the making of a trajectory from a rollout, and the one place that writes and
reads shards. A trajectory names the tokenizer and the clock it was made with; the version stands once, in the folder's
manifest. Does not know what a trainer does with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from datasets import Features, List, Value

from data_gen.task import Task, Word
from midsentence.clock import Profile
from midsentence.core.events import Event, event_from_json, to_json
from midsentence.core.forgetting import Shown
from midsentence.core.protocol import EDITION
from midsentence.core.transcript import Segment
from midsentence.files import digest, intact, marker, shaped, whole
from midsentence.models.folders import hub_id
from midsentence.rendering.renderer import Renderer
from midsentence.shells.rollout import Rollout

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

_TEXT, _INT = Value("string"), Value("int64")
FEATURES = Features(
    {
        "id": _TEXT,
        "task": _TEXT,
        "source": _TEXT,
        "split": _TEXT,
        "mode": _TEXT,
        "seed": _INT,
        "request": _TEXT,
        "words": List({"text": _TEXT, "start_ns": _INT, "end_ns": _INT, "label": _TEXT}),
        "tags": List(_TEXT),
        "tokenizer": _TEXT,
        "profile": {"name": _TEXT, "decode_tokens_per_s": _INT, "prefill_tokens_per_s": _INT, "restart_ns": _INT},
        "prompt_ids": List(Value("int32")),
        "segments": List(
            {"kind": _TEXT, "text": _TEXT, "at_ns": _INT, "ids": List(Value("int32")), "supervised": Value("bool")}
        ),
        "log": _TEXT,
        "outcome": _TEXT,
        "speech_end_ns": _INT,
        "end_ns": _INT,
        "tokens": _INT,
        "model_tokens": _INT,
    }
)
"""The columns; what is in them, `Trajectory` says."""

_SHAPE = {"shards": {str: [str]}, "files?": {str: {"rows?": int, "sha256?": str}}, "recipe?": str, "tokenizer?": str}
"""What a manifest has, as far as it is read."""
LEARNT = "answered"
"""The outcome of the episodes that data is made of."""
RENEWED = "context_renewed"
"""The outcome of an episode whose context was too long and let something go: a row holds the transcript, and so not
what was read."""


class BadData(ValueError):
    """A folder of trajectories that can't be used; the text names it and the fix."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment, and whether the loss counts it."""

    segment: Segment
    """What was written, with its ids if the model wrote it."""
    supervised: bool
    """Whether the loss counts it."""


def pieces(rollout: Rollout, uncounted: Set[int] = frozenset()) -> tuple[Piece, ...]:
    """The transcript with what the model wrote in one go put together.

    Args:
        rollout: the episode.
        uncounted: places in the transcript of what the model wrote that the loss must not count:
            `data_gen.expert.handover` gives those of what a model wrote before the expert took over; where the expert
            writes all, there are none.
    """
    merged: list[Piece] = []
    for place, segment in enumerate(rollout.state.transcript):
        if (
            segment.kind == "model"
            and merged
            and merged[-1].segment.kind == "model"
            and not _ended(merged[-1].segment.text)
        ):
            last = merged[-1].segment
            whole = Segment("model", last.text + segment.text, segment.at_ns, last.ids + segment.ids)
            merged[-1] = Piece(whole, merged[-1].supervised)
        else:
            merged.append(Piece(segment, segment.kind == "model" and place not in uncounted))
    return tuple(merged)


def _ended(text: str) -> bool:
    """Whether an action is over: what follows is another generation's."""
    return text.rstrip().endswith(("</tool_call>", "<pause>", "</answer>"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """A recorded episode: a row on disk, with the columns of `FEATURES`.

    Times are integer nanoseconds from the start of the user's first word.
    """

    id: str
    """The task's ID and what tells its trajectories apart: ``TASK/N``."""
    task: str
    """The task's ID."""
    source: str
    """The task's source."""
    split: str
    """The task's split."""
    mode: str
    """Name of the mode that was played."""
    seed: int
    """What the episode drew from."""
    request: str
    """The words as text."""
    words: tuple[Word, ...]
    """As they were spoken."""
    tags: tuple[str, ...]
    """The task's."""
    tokenizer: str
    """Fingerprint of the renderer that made the ids: `midsentence.rendering.renderer.Renderer.fingerprint`."""
    profile: Profile
    """The device that it ran on."""
    prompt_ids: tuple[int, ...]
    """Ids of the prompt, in ``tokenizer``."""
    segments: tuple[Piece, ...]
    """The transcript; what the model wrote in one go is one segment, and only the model's segments have ids."""
    log: str
    """The core's events, a JSON list."""
    outcome: str
    """As `midsentence.shells.rollout.Rollout` has it, or `RENEWED`."""
    speech_end_ns: int
    """The end of the last word."""
    end_ns: int
    """When the last event happened."""
    tokens: int
    """Ids of the whole, prompt included."""
    model_tokens: int
    """Those that the model wrote."""

    @property
    def events(self) -> list[Event]:
        """The log's events.

        Raises:
            ValueError: the log is not a list of events.
        """
        return [event_from_json(item) for item in json.loads(self.log)]


def trajectory_of(
    rollout: Rollout,
    task: Task,
    mode: str,
    profile: Profile,
    renderer: Renderer,
    *,
    id: str,
    seed: int,
    uncounted: Set[int] = frozenset(),
) -> Trajectory:
    """The trajectory of an episode; ``uncounted`` as in `pieces`."""
    parts = pieces(rollout, uncounted)
    ids = renderer.ids(rollout.prompt_ids, (piece.segment for piece in parts))
    return Trajectory(
        id=id,
        task=task.id,
        source=task.source,
        split=task.split,
        mode=mode,
        seed=seed,
        request=task.request,
        words=task.words,
        tags=task.tags,
        tokenizer=renderer.fingerprint,
        profile=profile,
        prompt_ids=rollout.prompt_ids,
        segments=parts,
        log=json.dumps([to_json(event) for event, _ in rollout.history], ensure_ascii=False, separators=(",", ":")),
        outcome=rollout.outcome if rollout.state.shown == Shown() else RENEWED,
        speech_end_ns=task.speech_end_ns,
        end_ns=rollout.end_ns,
        tokens=len(ids),
        model_tokens=sum(len(piece.segment.ids) for piece in parts),
    )


def to_row(made: Trajectory) -> dict[str, Any]:
    """A trajectory as a row of `FEATURES`."""
    return {each.name: getattr(made, each.name) for each in fields(made)} | {
        "words": [asdict(word) for word in made.words],
        "tags": list(made.tags),
        "profile": asdict(made.profile),
        "prompt_ids": list(made.prompt_ids),
        "segments": [
            {"kind": s.kind, "text": s.text, "at_ns": s.at_ns, "ids": list(s.ids), "supervised": part.supervised}
            for part in made.segments
            for s in (part.segment,)
        ],
    }


def from_row(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory of a row of `FEATURES`."""
    return Trajectory(
        **{
            **row,
            "words": tuple(Word(**word) for word in row["words"]),
            "tags": tuple(row["tags"]),
            "profile": Profile(**row["profile"]),
            "prompt_ids": tuple(row["prompt_ids"]),
            "segments": tuple(
                Piece(Segment(part["kind"], part["text"], part["at_ns"], tuple(part["ids"])), part["supervised"])
                for part in row["segments"]
            ),
        }
    )


def write_shard(path: Path, made: Iterable[Trajectory]) -> None:
    """Writes a file of trajectories, whole or not at all; the features go along, so that `datasets` reads the types
    that were meant."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = pa.Table.from_pylist([to_row(one) for one in made], schema=FEATURES.arrow_schema)
    with whole(path) as half:
        parquet.write_table(table, half, compression="zstd")


def shard_name(split: str, index: int, count: int) -> str:
    """The file name of a shard, as `datasets` finds splits by."""
    return f"{split}-{index:05d}-of-{count:05d}.parquet"


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder of trajectories.

    Raises:
        BadData: there is none, it is of another schema version or protocol edition, or shards are missing.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        fetched = (
            f", or, if it is on the hub: hf download {folder} --repo-type dataset --local-dir FOLDER"
            if hub_id(str(folder))
            else ""
        )
        raise BadData(
            f"no folder of trajectories at {folder}; make one with: python -m data_gen.generate out={folder}{fetched}"
        )
    if not path.exists():
        raise BadData(
            f"{folder} holds no {MANIFEST}: it is empty or half-written; run data_gen.generate again, it resumes"
        )
    if not (manifest := marker(path)):
        raise BadData(f"{folder} holds a torn {MANIFEST}; run data_gen.generate again, it resumes")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise BadData(
            f"{folder} has schema version {manifest.get('schema_version')}, this code reads {SCHEMA_VERSION}; generate the data again"
        )
    if (edition := manifest.get("edition", 1)) != EDITION:
        raise BadData(
            f"{folder} was made in edition {edition} of the protocol, and this code speaks edition {EDITION}; "
            f"generate the data again with the settings in its config.yaml, into another folder"
        )
    shards = manifest.get("shards") or {}
    if not shaped(manifest, _SHAPE) or any(
        str(name) != Path(str(name)).name for names in shards.values() for name in names
    ):
        raise BadData(f"{path} names shards that are no files of the folder, or is none; generate the data again")
    missing = [name for names in shards.values() for name in names if not (folder / name).is_file()]
    if missing:
        raise BadData(
            f"{folder} misses {len(missing)} of its shards, the first {missing[0]}; run data_gen.generate again"
        )
    said = manifest.get("files") or {}
    if changed := [name for names in shards.values() for name in names if not intact(folder / name, said.get(name))]:
        raise BadData(
            f"{folder / changed[0]} is not the file that {MANIFEST} names (its sha256 differs); run data_gen.generate again"
        )
    return manifest


def files_of(folder: Path, shards: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """What a manifest says of each shard: its rows and its sha256, by which it is known again."""
    import pyarrow.parquet as parquet

    names = [name for each in shards.values() for name in each]
    return {
        name: {"rows": parquet.read_metadata(folder / name).num_rows, "sha256": digest(folder / name)} for name in names
    }


def shards_of(folder: Path, split: str) -> list[Path]:
    """The files of a split, in order.

    Raises:
        BadData: see `read_manifest`; or the split is empty.
    """
    manifest = read_manifest(folder)
    names: Sequence[str] = manifest["shards"].get(split, ())
    if not names:
        raise BadData(
            f"{folder} has no rows in split {split!r}; it has {', '.join(manifest['shards']) or 'none at all'}"
        )
    return [folder / name for name in names]


def read_shard(path: Path) -> list[Trajectory]:
    """The trajectories of one file.

    Raises:
        BadData: it can't be read, or has other columns than this version's.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise BadData(
            f"{path} can't be read ({str(error).splitlines()[0]}); delete it and run data_gen.generate again"
        ) from None
    found, wanted = (
        {column.name: column.type for column in schema} for schema in (table.schema, FEATURES.arrow_schema)
    )
    if wrong := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        raise BadData(
            f"{path} has column {wrong[0]} as {found.get(wrong[0], 'none')}, in schema version {SCHEMA_VERSION} it is "
            f"{wanted.get(wrong[0], 'none')}; delete it and run data_gen.generate again"
        )
    return [from_row(row) for row in table.to_pylist()]


def sizes_in(path: Path) -> list[tuple[str, int, int]]:
    """Of each row of a file its mode, its tokens and those that the model wrote, without reading the rest."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(path, columns=["mode", "tokens", "model_tokens"])
    return list(zip(*(table[name].to_pylist() for name in table.column_names)))


def read_rows(folder: Path, split: str) -> Iterator[Trajectory]:
    """The trajectories of a split, in order.

    Raises:
        BadData: see `read_manifest` and `read_shard`; or the split is empty.
    """
    for path in shards_of(folder, split):
        yield from read_shard(path)
