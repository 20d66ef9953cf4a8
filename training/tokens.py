"""One trajectory as token ids, labels and segment positions.

Owns which ids the loss counts: what the model wrote, except segments that the data marks as unsupervised, which are, in
rows of `training.repair`, what the model itself wrote before the expert took over, including its mistakes. Role
headers, stamps and closers are the environment's and never count. Ids come from the one renderer. Does not know
batches, models and trainers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_gen.seeds import child
from data_gen.trajectory import BadData, Piece, Trajectory
from midsentence.core.transcript import CLOSERS
from midsentence.rendering.renderer import Renderer

IGNORED = -100
"""The label of an id that the loss does not count."""

KINDS = ("thought", "call", "pause", "answer", "revision")
"""What the model writes; the loss is reported for each."""

_THOUGHT, _CALL, _PAUSE, _ANSWER, _REVISION = range(len(KINDS))
_TAG = re.compile(rb"<think>|<tool_call>|<pause>|<answer>")
_KIND_OF_TAG = {b"<think>": _THOUGHT, b"<tool_call>": _CALL, b"<pause>": _PAUSE, b"<answer>": _ANSWER}
_LINE = re.compile(
    rb"(?:^|(?<=<tool_call>))[ \t]*(?:(REMOVE)[ \t]+\d+|(COMMIT)\b|(\d{1,9})[ \t]*\.)[^\n]*", re.MULTILINE
)
_CLOSED_BY = {
    "think_interrupted": b"<think>",
    "tool_call_interrupted": b"<tool_call>",
    "answer_interrupted": b"<answer>",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A trajectory, ready for training."""

    ids: np.ndarray
    """(T,) int32, the whole transcript."""
    labels: np.ndarray
    """(T,) int32: the id itself where it is supervised, else `IGNORED`; not shifted."""
    kinds: np.ndarray
    """(T,) int8: index into `KINDS` where the model wrote the id, else -1."""
    starts: tuple[int, ...]
    """Position of each segment's first id, in the order of the transcript."""
    prompt_tokens: int
    """The first so many ids are the prompt, the same for all trajectories with the same tools and settings."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def supervised_tokens(self) -> int:
        """Ids that the loss counts."""
        return int((self.labels != IGNORED).sum())


def check_tokenizer(found: str, renderer: Renderer, where: str, model: str) -> None:
    """Refuses trajectories made for another tokenizer, other tags or another clock.

    Raises:
        BadData: the fingerprints differ; the text names both and the fix.
    """
    if found != renderer.fingerprint:
        raise BadData(
            f"{where} was made with tokenizer {found}, but model={model} with tags={renderer.tags}, "
            f"turns={renderer.turns} and stamps={renderer.clock} "
            f"is {renderer.fingerprint}; generate the data again with model={model}"
        )


def make_example(
    row: Trajectory, renderer: Renderer, *, cut_spans: bool = True, idle_pauses: float = 1.0, model: str = "?"
) -> Example:
    """Ids and labels of one row.

    Args:
        row: the trajectory.
        renderer: must be the one that the row was made with.
        cut_spans: whether the tokens of a span that an interruption cut count, up to the cut.
        idle_pauses: share of the bare pauses that count, picked by a hash of row and place. They are most of what a
            listening agent writes: where all count, a small model learns first, and for long only, to pause.
        model: the model's name, for the error's text.

    Raises:
        BadData: the row names another tokenizer.
    """
    check_tokenizer(row.tokenizer, renderer, f"trajectory {row.id}", model)
    pieces = row.segments
    ids: list[int] = []
    labels: list[int] = []
    kinds: list[int] = []
    starts: list[int] = []
    issued: set[bytes] = set()
    for span in renderer.spans(row.prompt_ids, [piece.segment for piece in pieces]):
        if span.segment is not None:
            starts.append(len(ids))
        ids += span.ids
        if span.segment is None or span.kind != "model":
            labels += [IGNORED] * len(span.ids)  # prompt, role switches, and all that the environment writes
            kinds += [-1] * len(span.ids)
            continue
        spelled = [renderer.token_bytes(index) for index in span.ids]
        kinds += token_kinds(spelled, issued)
        idle = pieces[span.segment].segment.text.strip() == "<pause>"
        if idle and child(0, row.id, "pause", span.segment) % 1_000_000 >= idle_pauses * 1_000_000:
            counted = 0
        else:
            counted = _counted(pieces, span.segment, spelled, cut_spans)
        labels += span.ids[:counted]
        labels += [IGNORED] * (len(span.ids) - counted)
    return Example(
        np.array(ids, np.int32),
        np.array(labels, np.int32),
        np.array(kinds, np.int8),
        tuple(starts),
        len(row.prompt_ids),
    )


def token_kinds(spelled: Sequence[bytes], issued: set[bytes]) -> list[int]:
    """What each token of a model segment is part of: the kind of its first byte.

    Args:
        spelled: the bytes of each token.
        issued: IDs of the calls seen so far; those of this segment are added. A line with an ID that was already
            issued, or ``REMOVE``, is a revision; a ``COMMIT`` counts as a call.
    """
    text = b"".join(spelled)
    marks = [(0, _THOUGHT), *((m.start(), _KIND_OF_TAG[m.group()]) for m in _TAG.finditer(text))]
    for begin, end in [(m.end(), _end(text, m.end())) for m in re.finditer(rb"<tool_call>", text)]:
        for line in _LINE.finditer(text, begin, end):
            known = line[1] is not None or line[3] in issued
            marks.append((line.start(), _REVISION if known else _CALL))
            if line[3] is not None:
                issued.add(line[3])
        marks.append((end, _CALL))
    marks.sort(key=lambda mark: mark[0])
    kinds, at, mark = [], 0, 0
    for token in spelled:
        while mark + 1 < len(marks) and marks[mark + 1][0] <= at:
            mark += 1
        kinds.append(marks[mark][1])
        at += len(token)
    return kinds


def _end(text: bytes, begin: int) -> int:
    found = text.find(b"</tool_call>", begin)
    return len(text) if found < 0 else found


def _counted(pieces: Sequence[Piece], index: int, spelled: Sequence[bytes], cut_spans: bool) -> int:
    """How many of a model segment's tokens the loss counts, from its first."""
    if not pieces[index].supervised:
        return 0
    after = pieces[index + 1].segment.kind if index + 1 < len(pieces) else None
    if cut_spans or after not in CLOSERS:
        return len(spelled)
    opened = b"".join(spelled).rfind(_CLOSED_BY[after])
    at = 0
    for n, token in enumerate(spelled):
        if at >= opened:
            return n
        at += len(token)
    return len(spelled)
