"""The report's plots of whole rows: latency, accuracy, cost and share of the saving.

Owns four figures, made from the report's rows and, for the distribution of latencies, from the episodes. Colours are
those of modes, everywhere the same; a backend is a kind of line or marker. A figure that lacks what it shows is left
out. Does not compute any figure that `eval.measures.rows` has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from configs.palette import INK, LINE, MODE_COLOURS, SOFT
from eval.figures.tables import groups
from eval.measures.rows import BACKEND_ORDER
from eval.running.records import EpisodeRecord
from eval.running.results import Episodes, Key
from midsentence.clock import seconds
from midsentence.files import whole

Row = Mapping[str, Any]

LINES = {
    "expert": "-",
    "no_thoughts": (0, (1, 1.3)),
    "no_guess": (0, (5, 1.5, 1, 1.5)),
    "untrained": (0, (2.6, 1.6)),
    "model": (0, (8, 2)),
}
MARKERS = {"expert": "o", "no_thoughts": "v", "no_guess": "s", "untrained": "^", "model": "D"}
MOST_S = 8.0
"""Latencies are drawn up to here, as the area under success by deadline is."""
MOST_MEAN_S = 12.0
"""Mean latencies beyond it, which are of episodes that ran into the cap, stand at the edge with their figure."""
_PANEL_IN = (5.4, 3.7)
_ACROSS = 3
NAMES = ("success.png", "latency.png", "accuracy.png", "saving.png")


def write_plots(folder: Path, rows: Sequence[Row], episodes: Episodes) -> list[Path]:
    """Draws what can be drawn; gives the files, in order.

    Args:
        folder: where they go; it is there.
        rows: the report's.
        episodes: what the rows were made of.
    """
    drawn: Mapping[str, Callable[[Path], bool]] = dict(
        zip(
            NAMES,
            (
                lambda path: success(rows, episodes, path),
                lambda path: latencies(rows, episodes, path),
                lambda path: accuracy(rows, path),
                lambda path: saving(rows, path),
            ),
            strict=True,
        )
    )
    written = []
    for name, draw in drawn.items():
        if draw(folder / name):
            written.append(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)  # a picture of an earlier report would belie this one
    return written


def success(rows: Sequence[Row], episodes: Episodes, path: Path) -> bool:
    """Success by deadline: the share that is right within so many seconds of the end of speech. A failure never is."""
    return _arrivals(rows, episodes, path, "Right by the deadline", "deadline", lambda episode: episode.right)


def latencies(rows: Sequence[Row], episodes: Episodes, path: Path) -> bool:
    """Distribution of latencies over all requests, right or wrong; an episode without an answer never arrives."""
    answered = "Answered by then, right or wrong"
    return _arrivals(rows, episodes, path, answered, "latency", lambda episode: episode.outcome == "answered")


def _arrivals(
    rows: Sequence[Row],
    episodes: Episodes,
    path: Path,
    title: str,
    late: str,
    counts: Callable[[EpisodeRecord], bool],
) -> bool:
    def draw(axes: Axes, group: Sequence[Row]) -> None:
        for row in group:
            own = episodes[Key(row["task"], row["split"], row["backend"], row["mode"], row["profile"])]
            at_s, share = arrivals([seconds(episode.latency_ns) for episode in own if counts(episode)], len(own))
            axes.plot(at_s, share, **_line(row), drawstyle="steps-post")
        _shares(axes)
        axes.set_xlim(0, MOST_S)
        axes.set_xlabel(f"{late}, seconds after the last word")

    return _panels(rows, path, title, "share of requests", draw)


def arrivals(lates_s: Sequence[float], n: int) -> tuple[list[float], list[float]]:
    """The exact curve of the share of ``n`` that has arrived, as the corners of steps from 0 (or earlier) to `MOST_S`
    (or later)."""
    ordered = sorted(lates_s)
    share = [k / n for k in range(len(ordered) + 1)]
    return [min([0.0, *ordered]), *ordered, max([MOST_S, *ordered])], [*share, share[-1]]


def accuracy(rows: Sequence[Row], path: Path) -> bool:
    """Accuracy against mean latency, with intervals where there are enough requests."""

    def draw(axes: Axes, group: Sequence[Row]) -> None:
        edge = edge_s([row["latency_mean_s"] for row in group])
        for row in group:
            low, high = row["accuracy_ci95"] or (row["accuracy"], row["accuracy"])
            colour, late = MODE_COLOURS.get(row["mode"], INK), row["latency_mean_s"]
            at = min(late, 0.985 * edge)
            axes.plot([at, at], [low, high], color=colour, lw=1.4, alpha=0.55, zorder=2, solid_capstyle="butt")
            axes.plot(
                [at],
                [row["accuracy"]],
                marker=MARKERS.get(row["backend"], "o"),
                ms=8,
                color=colour,
                mec="white",
                mew=1,
                zorder=3,
            )
        free = -1.0
        for row in sorted((row for row in group if row["latency_mean_s"] > edge), key=lambda row: row["accuracy"]):
            free = max(free + 0.05, row["accuracy"])  # one above the other where points are close
            look: dict[str, Any] = {
                "textcoords": "offset points",
                "fontsize": 8,
                "ha": "right",
                "va": "center",
                "zorder": 4,
            }
            colour = MODE_COLOURS.get(row["mode"], INK)
            axes.annotate(
                f"{row['latency_mean_s']:.0f} s →", (0.985 * edge, free), xytext=(-7, 0), color=colour, **look
            )
        floors = [row["floor_mean_s"] for row in group if row["floor_mean_s"] is not None]
        if floors:
            axes.axvline(min(floors), color=INK, lw=1, ls=(0, (3, 2)), zorder=1)
            upright: dict[str, Any] = {
                "textcoords": "offset points",
                "fontsize": 8,
                "color": SOFT,
                "rotation": 90,
                "va": "bottom",
                "ha": "left",
            }
            axes.annotate("floor", (min(floors), 0.02), xycoords=axes.get_xaxis_transform(), xytext=(3, 0), **upright)
        _shares(axes)
        least = min(min(row["accuracy_ci95"] or [row["accuracy"]]) for row in group)
        axes.set_ylim(0.5 if least >= 0.55 else 0, 1.03)
        axes.set_xlim(0, edge)
        axes.set_xlabel("mean latency, seconds after the last word")

    return _panels(rows, path, "Accuracy against latency", "share right", draw, legend="marks")


def edge_s(means_s: Sequence[float]) -> float:
    """How far the axis of mean latencies goes: a tenth beyond the longest of those that tell something, or a third
    where others, with their figures, stand at the edge."""
    told = [late for late in means_s if late <= MOST_MEAN_S]
    return (1.1 if len(told) == len(means_s) else 1.33) * max(told or [MOST_MEAN_S])


def saving(rows: Sequence[Row], path: Path) -> bool:
    """Share of the time that could be saved against `sequential` that each mode saves."""
    bars = groups([row for row in rows if row["share_of_saving"] is not None and row["mode"] != "sequential"])
    shown = [row for group in bars.values() if len(group) > 1 for row in group]  # of a single bar the table says all

    def draw(axes: Axes, group: Sequence[Row]) -> None:
        names = [f"{row['backend']}\n{row['mode'].replace('_', ' ')}" for row in group]
        for n, row in enumerate(group):
            value, ends = row["share_of_saving"], row["share_of_saving_ci95"]
            axes.bar(n, value, width=0.66, color=MODE_COLOURS.get(row["mode"], INK), zorder=2)
            if ends is not None:
                axes.plot([n, n], ends, color=INK, lw=1.4, zorder=3, solid_capstyle="butt")
            top = max(value, ends[1] if ends else value, 0)
            axes.annotate(
                f"{100 * value:.0f}%",
                (n, top),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=INK,
            )
        axes.set_xticks(
            range(len(group)), names, fontsize=7.5 if len(group) > 4 else 8.5, rotation=90 if len(group) > 8 else 0
        )
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, len(group) - 0.4)
        _shares(axes)
        low = min(0.0, *(min([row["share_of_saving"], *(row["share_of_saving_ci95"] or [])]) for row in group))
        axes.set_ylim(1.1 * low, 1.1)
        axes.axhline(1, color=INK, lw=1, ls=(0, (3, 2)), zorder=1)
        look: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "fontsize": 8, "color": SOFT}
        axes.annotate("all that is possible", (axes.get_xlim()[1], 1), xytext=(-2, 3), **look)

    return _panels(shown, path, "Share of the possible saving over sequential", "", draw, legend=None)


def _line(row: Row) -> dict[str, Any]:
    return {"color": MODE_COLOURS.get(row["mode"], INK), "ls": LINES.get(row["backend"], "-"), "lw": 1.9}


def _shares(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def styled(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """The look that all plots share."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=8.5, length=3)
    axes.grid(axis=grid, color=LINE, lw=0.5)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=9, color=SOFT)


def counted(group: Sequence[Row]) -> str:
    """How many requests the curves of a panel are of: one number, or below the title those of the backends where they
    differ."""
    found: dict[str, list[int]] = {}
    for row in group:
        found.setdefault(row["backend"], []).append(row["n"])
    alike: dict[str, list[str]] = {}
    for name, counts in found.items():
        said = f"{min(counts)}" + (f" to {max(counts)}" if max(counts) > min(counts) else "")
        alike.setdefault(said, []).append(name.replace("_", " "))
    if len(alike) == 1:
        return f", n = {next(iter(alike))}"
    return "\nn = " + ", ".join(f"{said} ({', '.join(names)})" for said, names in alike.items())


@rc_context({"text.parse_math": False})  # names and words are data, never mathematics
def _panels(
    rows: Sequence[Row],
    path: Path,
    title: str,
    says: str,
    draw: Callable[[Axes, Sequence[Row]], None],
    legend: Literal["lines", "marks"] | None = "lines",
) -> bool:
    """A panel for each source, split and device; False where there is none. The legend has what curves, or points, look
    like."""
    found = groups(rows)
    if not found:
        return False
    across = min(_ACROSS, len(found))
    down = -(-len(found) // across)
    size = (_PANEL_IN[0] * across + 0.4, _PANEL_IN[1] * down + 0.9)
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for n, (axes, ((source, split, profile), group)) in enumerate(zip(grid.flat, found.items())):
        draw(axes, group)
        axes.set_title(f"{source}, {split}, {profile}{counted(group)}", loc="left", fontsize=9.5, color=INK)
        if n % across == 0:
            axes.set_ylabel(says)
        styled(axes, "both" if legend else "y")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    if legend:
        handles = legend_of(rows, legend)
        look = {
            "frameon": False,
            "fontsize": 9,
            "labelcolor": INK,
            "columnspacing": 1.6,
            "handlelength": 3.4 if legend == "lines" else 1.2,
        }
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 3 * across + 1), **look)
    with whole(Path(path)) as half:
        figure.savefig(half, format=Path(path).suffix[1:] or "png")
    return True


def legend_of(rows: Sequence[Row], shown: Literal["lines", "marks"]) -> list[Line2D]:
    """An entry for each mode, by colour, and where there are several backends one for each, by the line or the mark
    that it has."""
    modes = [mode for mode in MODE_COLOURS if any(row["mode"] == mode for row in rows)]
    backends = [name for name in BACKEND_ORDER if any(row["backend"] == name for row in rows)]
    if shown == "lines":
        handles = [Line2D([], [], color=MODE_COLOURS[mode], lw=3, label=mode.replace("_", " ")) for mode in modes]
        more = [Line2D([], [], color=INK, lw=1.9, ls=LINES[name], label=name.replace("_", " ")) for name in backends]
    else:
        look: dict[str, Any] = {"ls": "", "marker": "o", "ms": 7, "mew": 0}
        handles = [Line2D([], [], color=MODE_COLOURS[mode], label=mode.replace("_", " "), **look) for mode in modes]
        more = [
            Line2D([], [], color=INK, label=name.replace("_", " "), **look | {"marker": MARKERS[name]})
            for name in backends
        ]
    return handles + (more if len(backends) > 1 else [])
