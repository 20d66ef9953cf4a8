"""Views of trajectories: rates, distributions, one transcript with its loss mask, and the data of a timeline.

Owns what `notebooks/01_look_at_the_data.ipynb` shows. Does not know how trajectories are made and what a model learns
from them.
"""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from configs.folder import settings_in
from configs.modes import settings_of
from configs.palette import INK, LEARNED, LEARNED_INK, LINE, MODE_COLOURS, SOFT
from data_gen.sources import load
from data_gen.task import Split, Word
from data_gen.trajectory import Trajectory, read_rows
from midsentence.clock import seconds
from midsentence.core import reducer
from midsentence.core.events import Command, Event

_LINE = re.compile(r"^\s*(?:(\d+)\. |REMOVE (\d+))", re.MULTILINE)


def read(folder: Path, split: str = "train", most: int = 2000) -> list[Trajectory]:
    """The first rows of a split."""
    return [row for _, row in zip(range(most), read_rows(folder, split))]


def rates(rows: Sequence[Trajectory]) -> dict[str, float]:
    """How disfluent the requests are, and how often what was understood changed; shares."""
    labels = Counter(word.label for row in rows for word in row.words)
    words = sum(labels.values())
    changed = [revisions(row) for row in rows]
    return {
        "requests with a disfluency": _share(any(word.label != "fluent" for word in row.words) for row in rows),
        "words taken back (reparandum)": labels["reparandum"] / words,
        "words between (interregnum)": labels["interregnum"] / words,
        "words of repairs": labels["repair"] / words,
        "trajectories with a call revised": _share(revised > 0 for revised, _ in changed),
        "trajectories with a call removed": _share(removed > 0 for _, removed in changed),
        "trajectories with an answer": _share(row.outcome == "answered" for row in rows),
    }


def example(rows: Sequence[Trajectory], mode: str) -> Trajectory:
    """The first row of a mode in which the speaker takes something back; its first where none does."""
    own = [row for row in rows if row.mode == mode]
    return next((row for row in own if any(word.label == "reparandum" for word in row.words)), own[0])


def revisions(row: Trajectory) -> tuple[int, int]:
    """Calls issued anew under an ID that was there already, and removals."""
    seen: set[str] = set()
    revised = removed = 0
    for part in row.segments:
        if part.segment.kind == "model":
            for issued, dropped in _LINE.findall(part.segment.text):
                revised += issued in seen
                removed += bool(dropped)
                seen.add(issued)
    return revised, removed


def _share(values: Iterable[bool]) -> float:
    return float(np.mean(list(values)))


MEASURES: Mapping[str, Callable[[Trajectory], float]] = {
    "words of a request": lambda row: len(row.words),
    "tokens of a trajectory": lambda row: row.tokens,
    "tokens that the model writes": lambda row: row.model_tokens,
    "seconds of speech": lambda row: seconds(row.speech_end_ns),
    "seconds from the last word to the end": lambda row: seconds(row.end_ns - row.speech_end_ns),
    "decode rate, tokens/s": lambda row: row.profile.decode_tokens_per_s,
}


def distributions(rows: Sequence[Trajectory]) -> bytes:
    """A picture (PNG): a histogram of each of `MEASURES`, modes over one another."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 5.6), layout="constrained")
    there = {row.mode for row in rows}
    modes = [*(mode for mode in MODE_COLOURS if mode in there), *sorted(there - MODE_COLOURS.keys())]
    colours = [MODE_COLOURS.get(mode, INK) for mode in modes]
    for axes, (name, measure) in zip(figure.subplots(2, 3).flat, MEASURES.items()):
        values = [[measure(row) for row in rows if row.mode == mode] for mode in modes]
        axes.hist(values, bins=24, stacked=True, label=modes, color=colours)
        axes.set_xlabel(name, color=SOFT)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(colors=SOFT)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(LINE)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(modes), frameon=False)
    figure.supylabel("trajectories", color=SOFT, fontsize=10)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


@dataclass(frozen=True, slots=True)
class Drawn:
    """What `eval.timeline.draw` takes of a row."""

    task: str
    """Its id."""
    source: str
    """The task's source."""
    backend: str
    """Who plays."""
    mode: str
    """The mode's name."""
    profile: str
    """The device's name."""
    words: tuple[Word, ...]
    """What the user says, with times."""
    speech_end_ns: int
    """End of the last word."""
    latency_ns: int
    """From the end of speech to the end of the episode."""
    history: tuple[tuple[Event, tuple[Command, ...]], ...]
    """Every event with its commands, in order."""
    turns: tuple[()] = ()
    """A row does not say when turns began; a conversation is drawn as one request."""


def episode_of(row: Trajectory, folder: Path, trust: bool = False) -> Drawn:
    """What `eval.timeline.draw` takes of a row: its events put through the core again, with the commands that come of
    them.

    Args:
        row: one of the folder's.
        folder: made by `data_gen.generate`.
        trust: see `configs.folder.settings_in`.

    Raises:
        ValueError: the folder's settings have no such task.
    """
    config = settings_in(folder, trust=trust)
    task = next((task for task in load(config, cast(Split, row.split)) if task.id == row.task), None)
    if task is None:
        raise ValueError(
            f"{folder} has a row of task {row.task!r}, which its source does not make any more; generate it again"
        )
    state = reducer.start(settings_of(row.mode, config.agent), task.specs, task.id, len(row.prompt_ids))
    history = []
    for event in row.events:
        state, commands = reducer.step(state, event)
        history.append((event, commands))
    return Drawn(
        row.task,
        row.source,
        "expert",
        row.mode,
        row.profile.name,
        row.words,
        row.speech_end_ns,
        row.end_ns - row.speech_end_ns,
        tuple(history),
    )


def transcript_html(row: Trajectory) -> str:
    """A row's transcript as HTML: what the loss counts on green, the rest grey; every text escaped."""
    parts = [f"<p><b>{html.escape(row.id)}</b>, {html.escape(row.mode)}: {html.escape(row.request)}</p><pre>"]
    for part in row.segments:
        segment = part.segment
        tag = "" if segment.kind == "model" else f"<{segment.kind}> "
        look = f"background:{LEARNED};color:{LEARNED_INK}" if part.supervised else f"color:{SOFT}"
        text = html.escape(tag + segment.text.rstrip("\n"))
        parts.append(f'<span style="{look}">{seconds(segment.at_ns):7.2f} s  {text}</span>\n')
    return "".join([*parts, "</pre>"])
