"""A picture of one request: what the user says, what the model writes, what the tools do, on one axis of time.

Owns the drawing. Lanes from top to bottom: words as spoken, updates as they arrive, the model's spans in the colours of
what it writes (a cut ends in a red edge), a lane for each call (hatched while held, filled while it runs), the answer.
Two modes stand one under the other and share the axis. Does not choose the request and to measure anything.

    python -m eval.timeline runs=[outputs/replay/debug] task_id=TASK out=FOLDER
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MultipleLocator

from configs.command import command
from configs.palette import CUT, HELD, INK, LINE, PARTS, RUNNING, SLIP, SOFT, UPDATE, VOID, WORD
from configs.schema import Config
from data_gen.task import Word
from eval.figures.page import spoken
from eval.measures.trace import History, Run, Trace, trace
from eval.running.records import TurnRecord
from midsentence.clock import seconds
from midsentence.core.calls import CallState
from midsentence.core.lines import write_call
from midsentence.files import whole

LEGEND = (
    ("thinks", {"color": PARTS["think"]}),
    ("writes a call", {"color": PARTS["tool_call"]}),
    ("pauses", {"color": PARTS["pause"]}),
    ("answers", {"color": PARTS["answer"]}),
    ("cut by news", {"color": CUT}),
    ("call held", {"facecolor": HELD, "hatch": "////", "edgecolor": RUNNING, "lw": 0}),
    ("call runs", {"color": RUNNING}),
    ("result not used", {"color": VOID}),
    ("taken back by the speaker", {"color": SLIP}),
)
_WIDTH_IN, _LANE_IN = 14.0, 0.36
_BAR = 0.62
"""Height of a bar, in lanes."""
_SLIPS = ("reparandum", "interregnum")
_TEXT_LANES = 1.45
"""Room for the words' texts above their bars, in lanes."""


class Drawable(Protocol):
    """What is drawn of an episode; an `eval.running.records.EpisodeRecord` is one."""

    @property
    def task(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def words(self) -> Sequence[Word]: ...
    @property
    def speech_end_ns(self) -> int: ...
    @property
    def latency_ns(self) -> int: ...
    @property
    def history(self) -> History: ...
    @property
    def turns(self) -> Sequence[TurnRecord]: ...


@rc_context({"text.parse_math": False})  # names and words are data, never mathematics
def draw(episodes: Sequence[Drawable], path: Path, titles: Sequence[str] | None = None, dpi: int = 160) -> None:
    """Draws episodes of one request under one another, the first as what the others are compared with.

    Args:
        episodes: records with their words and logs, or what has as much of them as is drawn.
        path: the picture's file; its ending gives the format.
        titles: one an episode; the mode and its latency by default.
        dpi: pixels an inch; 14 inches are its width.
    """
    traces = [trace(episode.history) for episode in episodes]
    calls = [sorted({run.call for run in seen.runs}) for seen in traces]
    ends_s = [seconds(episode.speech_end_ns + episode.latency_ns) for episode in episodes]
    last_s = max(ends_s)
    lanes = [4 + _TEXT_LANES + len(ids) for ids in calls]
    height_in = _LANE_IN * (sum(lanes) + 1.5 * len(lanes)) + 0.9
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    margins = {"left": 0.075, "right": 0.985, "top": 1 - 0.45 / height_in, "bottom": 0.95 / height_in}
    grid = figure.add_gridspec(len(lanes), 1, height_ratios=lanes, hspace=1.9 / (sum(lanes) / len(lanes)), **margins)
    first = None
    for n, (episode, seen, ids) in enumerate(zip(episodes, traces, calls, strict=True)):
        axes = figure.add_subplot(grid[n], sharex=first)
        first = first or axes
        axes.set_xlim(-0.02 * last_s, last_s * 1.02)
        _Panel(axes, figure, episode, seen, ids).draw(
            titles[n] if titles else _title(episode, episodes[0]), n == 0, n == len(lanes) - 1
        )
    shown = _shown(episodes, traces)
    handles = [Patch(label=label, **look) for label, look in LEGEND if label in shown]
    look = {"frameon": False, "fontsize": 8.5, "labelcolor": INK, "handlelength": 1.4, "columnspacing": 1.6}
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), **look)
    with whole(Path(path)) as half:
        figure.savefig(half, format=Path(path).suffix[1:] or "png")


def _shown(episodes: Sequence[Drawable], traces: Sequence[Trace]) -> set[str]:
    """Labels of `LEGEND` whose looks are in the picture."""
    parts = {piece.part for seen in traces for span in seen.spans for piece in span.pieces}
    runs = [(run, [other for other in seen.runs if other.call == run.call]) for seen in traces for run in seen.runs]
    there = {
        "thinks": "think" in parts,
        "writes a call": "tool_call" in parts,
        "pauses": "pause" in parts,
        "answers": "answer" in parts,
        "cut by news": any(span.ended == "cut" for seen in traces for span in seen.spans),
        "call held": any(stay.state is CallState.HELD for seen in traces for stay in seen.stays),
        "call runs": any(run is own[-1] and run.ended == "done" for run, own in runs),
        "result not used": any(run is not own[-1] or run.ended != "done" for run, own in runs),
        "taken back by the speaker": any(word.label in _SLIPS for episode in episodes for word in episode.words),
    }
    return {label for label, is_there in there.items() if is_there}


def _title(episode: Drawable, base: Drawable) -> str:
    if episode is base or episode.latency_ns <= 0:
        return episode.mode
    return f"{episode.mode}: {base.latency_ns / episode.latency_ns:.1f} times as fast"


class _Panel:
    """One episode's lanes."""

    def __init__(self, axes: Axes, figure: Figure, episode: Drawable, seen: Trace, ids: Sequence[int]) -> None:
        self.axes, self.figure, self.episode, self.seen, self.ids = axes, figure, episode, seen, ids
        self.said_s = seconds(episode.speech_end_ns)
        self.end_s = self.said_s + seconds(episode.latency_ns)
        self.crossed: set[float] = set()
        """Lanes whose labels lie across the end of speech."""

    def draw(self, title: str, first: bool, last: bool) -> None:
        axes, lanes = self.axes, 4 + len(self.ids)
        axes.set_ylim(lanes - 0.4, -0.55 - _TEXT_LANES)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=5)
        who = f"{self.episode.backend}, {self.episode.source} {self.episode.task}, {self.episode.profile}"
        if first:
            axes.set_title(who, loc="right", fontsize=8.5, color=SOFT, pad=5)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.xaxis.set_major_locator(MultipleLocator(1 if axes.get_xlim()[1] < 40 else 5))
        axes.tick_params(axis="x", colors=SOFT, labelsize=8.5, length=3, labelbottom=last)
        if last:
            axes.set_xlabel("seconds since the first word", fontsize=9, color=SOFT)
        axes.tick_params(axis="y", length=0, labelsize=9, colors=INK)
        names = ["user says", "is heard", "model", *(f"call {id}" for id in self.ids), "user gets"]
        axes.set_yticks(range(lanes), names)
        axes.grid(axis="x", color=LINE, lw=0.5)
        axes.set_axisbelow(True)
        for start_s, end_s in self.waits():
            axes.axvspan(start_s, end_s, color="#fbf3d5", lw=0, zorder=0)
        self.words()
        self.updates(1)
        self.spans(2)
        for lane, id in enumerate(self.ids, start=3):
            self.call(lane, id)
        self.answer(lanes - 1)
        self.end_of_speech(lanes)

    def waits(self) -> list[tuple[float, float]]:
        """From the end of a turn's last word to its answer; of a single request there is one."""
        said = [turn for turn in self.episode.turns if turn.said]
        return [(seconds(turn.speech_end_ns), seconds(turn.speech_end_ns + turn.latency_ns)) for turn in said] or [
            (self.said_s, self.end_s)
        ]

    def end_of_speech(self, lanes: int) -> None:
        """A dashed line from the words down, interrupted where a label lies across it."""
        free = [lane for lane in range(lanes) if lane not in self.crossed]
        for lane in free:
            if lane - 1 not in free:
                last = next(other for other in range(lane, lanes) if other + 1 not in free)
                ends = (lane - (0.5 if lane else _BAR / 2), last + 0.5)
                self.axes.plot([self.said_s] * 2, ends, color=SOFT, lw=1, ls=(0, (3, 2)), zorder=1)

    def words(self) -> None:
        low, high = self.axes.get_xlim()
        # slanted texts of this size don't touch where they begin ten points apart
        apart, free = 10 * (high - low) / (self.axes.get_window_extent().width * 72 / self.figure.dpi), low
        for word in self.episode.words:
            start, end = seconds(word.start_ns), seconds(word.end_ns)
            colour = SLIP if word.label in _SLIPS else WORD
            self.axes.add_patch(
                Rectangle((start, -_BAR / 2), end - start - 0.012, _BAR, facecolor=colour, lw=0, zorder=2)
            )
            shown = word.text if len(word.text) <= 14 else word.text[:13] + "…"
            free = max(start + apart / 3, free)
            self.axes.text(free, -0.42, shown, rotation=52, rotation_mode="anchor", fontsize=7.5, color=INK, zorder=5)
            free += apart

    def updates(self, lane: int) -> None:
        for update in self.seen.updates:
            marker, size, colour = ("D", 6, INK) if update.final else ("o", 4, UPDATE)
            self.axes.plot([seconds(update.at_ns)], [lane], marker=marker, ms=size, color=colour, zorder=3)
        if (final_ns := self.seen.final_ns) is not None:
            look: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7.5, "color": SOFT}
            room = self.axes.get_xlim()[1] - seconds(final_ns) - self.width("  ", 7.5)
            said = next(
                (text for text in ("end of speech noticed", "end noticed") if self.width(text, 7.5) <= room), ""
            )
            self.axes.annotate(said, (seconds(final_ns), lane), xytext=(8, 0), **look)

    def spans(self, lane: int) -> None:
        for span in self.seen.spans:
            for piece in span.pieces:
                self.bar(lane, seconds(piece.start_ns), seconds(piece.end_ns), PARTS[piece.part])
            if span.ended == "cut":
                self.axes.plot(
                    [seconds(span.end_ns)] * 2,
                    [lane - 0.4, lane + 0.4],
                    color=CUT,
                    lw=1.8,
                    zorder=5,
                    solid_capstyle="butt",
                )

    def call(self, lane: int, id: int) -> None:
        runs = [run for run in self.seen.runs if run.call == id]
        held = [stay for stay in self.seen.stays if stay.call == id and stay.state is CallState.HELD]
        for stay in held:
            corner, width = (seconds(stay.start_ns), lane - _BAR / 2), seconds(stay.end_ns - stay.start_ns)
            self.axes.add_patch(
                Rectangle(corner, width, _BAR, facecolor=HELD, edgecolor=RUNNING, hatch="////", lw=0, zorder=3)
            )
        used = runs[-1] if runs else None
        for run in runs:
            in_vain = run is not used or run.ended != "done"
            self.bar(lane, seconds(run.start_ns), seconds(run.end_ns), VOID if in_vain else RUNNING)
        if used is not None:
            begun = min([seconds(run.start_ns) for run in runs] + [seconds(stay.start_ns) for stay in held])
            self.label(_call_text(used), begun, seconds(used.end_ns), lane)

    def answer(self, lane: int) -> None:
        if not self.seen.emits:
            return
        if self.episode.turns:
            return self.answers(lane)
        at, text = seconds(self.seen.emits[-1][0]), self.seen.emits[-1][1]
        self.axes.plot([at], [lane], marker="o", ms=8, color=PARTS["answer"], zorder=5)
        arrow = {"arrowstyle": "<->", "color": INK, "lw": 1.1, "shrinkA": 0, "shrinkB": 3}
        self.axes.annotate("", (at - 0.03, lane), (self.said_s, lane), arrowprops=arrow)
        middle = (self.said_s + at) / 2
        self.axes.text(
            middle,
            lane,
            f" {at - self.said_s:.2f} s ",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=INK,
            zorder=6,
            bbox={"facecolor": "#fbf3d5", "edgecolor": "none", "pad": 1.0},
        )
        short = text if len(text) <= 60 else text[:59] + "…"
        self.label(f"“{short}”", self.said_s, at + 0.04, lane)

    def answers(self, lane: int) -> None:
        """Of a conversation: each answer as it was spoken, with a red end where the user spoke into it, and how late it
        was."""
        late = {round(end_s, 3): end_s - start_s for start_s, end_s in self.waits()}
        rows = spoken(self.episode.history, self.seen.emits)
        rest = [
            seconds(at_ns)
            for at_ns, _ in self.seen.emits
            if not any(abs(seconds(at_ns) - row[0]) < 1e-6 for row in rows)
        ]
        for start_s, end_s, cut, text in rows:
            voice: dict[str, Any] = {"facecolor": PARTS["answer"], "alpha": 0.4, "lw": 0, "zorder": 4}
            self.axes.add_patch(Rectangle((start_s, lane - _BAR / 2), end_s - start_s, _BAR, **voice))
            if cut:
                self.bar(lane, end_s - 0.05, end_s, CUT)
            short = text
            while len(short) > 4 and self.width(short, 7.5) > end_s - start_s:
                short = short[:-2] + "…"
            self.axes.text(start_s + 0.05, lane, short, ha="left", va="center", fontsize=7.5, color=INK, zorder=6)
        look: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 8, "fontweight": "bold", "color": INK}
        for at_s in [*(row[0] for row in rows), *rest]:
            if round(at_s, 3) in late:
                self.axes.text(at_s - 0.05, lane, f"{late[round(at_s, 3)]:.2f} s", **look)

    def bar(self, lane: int, start: float, end: float, colour: str) -> None:
        self.axes.add_patch(
            Rectangle((start, lane - _BAR / 2), max(end - start, 0.004), _BAR, facecolor=colour, lw=0, zorder=4)
        )

    def width(self, text: str, size: float) -> float:
        """How wide a text is, in seconds of the axis."""
        shown = self.axes.text(0, 0, text, fontsize=size)
        canvas: Any = self.figure.canvas  # `FigureCanvasAgg`, whose renderer has no type
        box = shown.get_window_extent(canvas.get_renderer())
        shown.remove()
        left, right = self.axes.transData.inverted().transform([(box.x0, 0), (box.x1, 0)])
        return float(right[0] - left[0])

    def label(self, text: str, start: float, end: float, lane: float) -> None:
        """Writes beside a bar: on a side where it fits this side of the end of speech, or else on the one that has more
        room."""
        low, high = self.axes.get_xlim()
        wide, said = self.width(text, 8), self.said_s
        rooms = (high - end - 0.12, start - low - 0.12)
        clear = ((said if end < said else high) - end - 0.12, start - (said if start > said else low) - 0.12)
        right = clear[0] >= wide or clear[1] < wide and rooms[0] >= min(rooms[1], wide)
        room = rooms[0] if right else rooms[1]
        while len(text) > 4 and self.width(text, 8) > room:
            text = text[:-2] + "…"
        x, side = (end + 0.06, "left") if right else (start - 0.06, "right")
        ends = (x, x + self.width(text, 8)) if right else (x - self.width(text, 8), x)
        if ends[0] < said < ends[1]:
            self.crossed.add(lane)
        self.axes.text(x, lane, text, ha=side, va="center", fontsize=8, color=INK, zorder=6)


def _call_text(run: Run) -> str:
    return write_call(run.call, run.name, tuple(run.args.values())).partition(". ")[2]


def main(config: Config) -> None:
    """Draws the request named by ``task_id`` in its two modes."""
    from eval.report import chosen
    from eval.running.results import BadResults, find_episode, read_runs

    picture = chosen(read_runs(config.runs))
    if picture is None:
        raise BadResults(
            f"runs={list(config.runs)} hold no request that was right in modes sequential and speculative; nothing to draw"
        )
    base, ours, task = picture
    folder = Path(config.out or f"outputs/{config.name}")
    folder.mkdir(parents=True, exist_ok=True)
    shown = [
        find_episode(config.runs, config.task_id or task, key.backend, key.mode, key.profile) for key in (base, ours)
    ]
    draw(shown, folder / "timeline.png")
    print(f"timeline: {folder}/timeline.png")


if __name__ == "__main__":
    command(main)()
