"""Makes examples of folders of trajectories: reads, checks and tokenises them, and drops or cuts those that are too
long.

Owns the reading and the counts of what was left out. Does not know in which order examples are trained on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from data_gen.trajectory import LEARNT, BadData, read_manifest, read_shard, shards_of
from midsentence.ending import quietly
from midsentence.rendering.renderer import Renderer
from training.tokens import IGNORED, Example, check_tokenizer, make_example

LEAST_SHARDS = 4
"""Files for each process that reads them; fewer are read sooner by one."""
_INHERITED: list[Callable[[Path], Any]] = []
"""What forked processes do."""


@dataclass(slots=True)
class Source:
    """The examples of one folder, and what was left out."""

    folder: Path
    """Where the trajectories are."""
    examples: list[Example] = field(default_factory=list)
    """Those that training takes, in the order of the files."""
    dropped: int = 0
    """Rows longer than the limit that were left out."""
    cut: int = 0
    """Rows longer than the limit that end early, at a segment boundary."""
    empty: int = 0
    """Rows in which nothing is supervised."""
    failed: int = 0
    """Rows of episodes that did not end in an answer, left out: they hold what went wrong."""

    @property
    def tokens(self) -> int:
        """Ids of all examples, prompts included."""
        return sum(map(len, self.examples))

    @property
    def supervised_tokens(self) -> int:
        """Ids that the loss counts."""
        return sum(example.supervised_tokens for example in self.examples)


def read_source(
    folder: Path,
    renderer: Renderer,
    *,
    max_length: int,
    too_long: str = "drop",
    cut_spans: bool = True,
    idle_pauses: float = 1.0,
    split: str = "train",
    model: str = "?",
) -> Source:
    """One folder's split.

    Args:
        folder: made by `data_gen.generate`.
        renderer: of the model that is to be trained.
        max_length: most tokens of an example.
        too_long: ``drop`` (counted) or ``cut`` at the last segment boundary within the limit (counted).
        cut_spans: see `training.tokens.make_example`.
        idle_pauses: likewise.
        split: which rows.
        model: the model's name, for errors.

    Raises:
        BadData: the folder can't be used, or nothing in it can be trained on.
    """
    manifest = read_manifest(folder)
    for setting, wanted in (("tags", renderer.tags), ("turns", renderer.turns)):
        if (had := manifest.get(setting, wanted)) != wanted:
            raise BadData(
                f"{folder} was made with model.{setting}={had}, and model.{setting}={wanted} is to be trained; "
                f"set model.{setting}={had}, or generate the data again with model.{setting}={wanted}"
            )
    check_tokenizer(manifest.get("tokenizer", "unknown"), renderer, str(folder), model)
    source = Source(folder)

    def made(path: Path) -> Source:
        """One file's part."""
        part = Source(folder)
        for row in read_shard(path):
            if row.outcome != LEARNT:
                part.failed += 1
                continue
            example = make_example(row, renderer, cut_spans=cut_spans, idle_pauses=idle_pauses, model=model)
            if len(example) > max_length:
                shorter = cut(example, max_length) if too_long == "cut" else None
                if shorter is None:
                    part.dropped += 1
                    continue
                example = shorter
                part.cut += 1
            if example.supervised_tokens:
                part.examples.append(example)
            else:
                part.empty += 1
        return part

    for part in side_by_side(made, shards_of(folder, split)):
        source.examples += part.examples
        source.dropped, source.cut, source.empty = (
            source.dropped + part.dropped,
            source.cut + part.cut,
            source.empty + part.empty,
        )
        source.failed += part.failed
    if not source.examples:
        raise BadData(
            f"{folder} has nothing to train on in split {split!r}: {source.dropped} rows are longer than "
            f"train.max_length={max_length}, {source.empty} have no supervised token, "
            f"{source.failed} are of episodes without an answer; raise train.max_length or use other data"
        )
    return source


def side_by_side(work: Callable[[Path], Any], paths: Sequence[Path]) -> Iterator[Any]:
    """What ``work`` makes of each path, in order: by several processes where there are many paths, and processes can be
    forked.

    Forked, for a tokenizer made ready is inherited so, and can't be sent.
    """
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, len(paths) // LEAST_SHARDS)
    if workers < 2:
        yield from map(work, paths)
        return
    _INHERITED.append(work)
    try:
        with ProcessPoolExecutor(workers, get_context("fork"), initializer=quietly) as pool:
            yield from pool.map(_call, paths)
    finally:
        _INHERITED.pop()


def _call(path: Path) -> Any:
    return _INHERITED[-1](path)


def cut(example: Example, max_length: int) -> Example | None:
    """The example up to its last segment boundary within ``max_length``; None if nothing supervised is left."""
    end = max((start for start in example.starts if start <= max_length), default=0)
    if not (example.labels[:end] != IGNORED).any():
        return None
    starts = tuple(start for start in example.starts if start < end)
    return Example(example.ids[:end], example.labels[:end], example.kinds[:end], starts, example.prompt_tokens)


def describe(sources: Sequence[Source]) -> str:
    """What is trained on, in a line a folder."""
    lines = []
    for source in sources:
        share = source.supervised_tokens / source.tokens
        line = f"{source.folder}: {len(source.examples)} rows, {source.tokens} tokens, {share:.0%} supervised"
        for count, what in (
            (source.dropped, "too long, dropped"),
            (source.cut, "cut"),
            (source.empty, "without a target"),
            (source.failed, "of episodes without an answer, dropped"),
        ):
            line += f", {count} {what}" if count else ""
        lines.append(line)
    return "\n".join(lines)
