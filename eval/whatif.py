"""Where speculation pays: ``python -m eval.whatif experiment=whatif`` draws the expert's speedup against the
surroundings.

Owns the map's axes and points, and how a task or its world is changed for each: one thing at a time is moved away from
the configured surroundings, and the same tasks run again in every mode. The expert plays, so this says what
the mode is worth to a model that understands as it does; `docs/whatif.md` says how to read it. Points are independent,
so ``data.workers`` processes share them, and the map is the same for any number. Seconds from here on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import Progress

from configs.command import claim, command, out_folder, write_manifest
from configs.palette import INK, MODE_COLOURS, SOFT
from configs.schema import Config
from data_gen.episodes import endpoint_of, make_episode, profile_of
from data_gen.grounding.derivation import Derivation
from data_gen.seeds import child
from data_gen.sources import honoured
from data_gen.task import Task, Word
from eval.figures.plots import styled
from eval.measures.latency import latency
from eval.measures.rows import BASELINES
from eval.measures.scoring import score
from eval.measures.statistics import MIN_N, ratio_of_means
from eval.measures.trace import trace
from eval.replay import choose, tasks_of
from eval.running.backends import Backend, backend
from midsentence.clock import Profile, ns, seconds
from midsentence.ending import quietly
from midsentence.files import whole, write
from midsentence.tools.tool import Json, Toolbox, ToolSpec

SCHEMA_VERSION = 1
REQUESTS = 40
"""Requests a point where ``eval.expert_tasks`` leaves it open (0): more make the intervals narrower, and each runs some
eighty times."""
OURS = "speculative"
MODES = (*BASELINES, OURS)
TRAILING = "and thanks so much for taking care of all that for me whenever you get to it today".split()
"""Words that ask for nothing: those after the last informative one."""
TRAILING_S = 0.28
"""What each of them takes."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One point of the map."""

    config: Config
    """Of the tasks, the recogniser and the agent."""
    profile: Profile
    """The device."""
    tool_times: float = 1.0
    """What every tool's latency is multiplied by."""
    speech_times: float = 1.0
    """What the user's rate is multiplied by."""
    trailing_words: int = 0
    """Words that say nothing, put at the end of every request."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is changed, and to what."""

    name: str
    """As files and the manifest have it."""
    label: str
    """As the figure has it, with its unit."""
    values: tuple[float, ...]
    """What it is changed to, in order."""
    change: Callable[[Surroundings, float], Surroundings]
    """The surroundings with one of the values."""
    usual: Callable[[Surroundings], float] | None = None
    """Its value in the configured surroundings; None where that is not one number."""


def _decode(base: Surroundings, rate: float) -> Surroundings:
    # a faster device takes in faster too
    prefill = round(base.profile.prefill_tokens_per_s * rate / base.profile.decode_tokens_per_s)
    return replace(base, profile=replace(base.profile, decode_tokens_per_s=round(rate), prefill_tokens_per_s=prefill))


def _data(base: Surroundings, **changes: Any) -> Surroundings:
    return replace(base, config=replace(base.config, data=replace(base.config.data, **changes)))


def _endpoint_delay(base: Surroundings, delay_s: float) -> Surroundings:
    data = base.config.data
    row = endpoint_of(data)
    predict_s = None if row.predict_delay_s is None else min(row.predict_delay_s, delay_s)
    return _data(
        base, endpoints=dict(data.endpoints) | {data.endpoint: replace(row, delay_s=delay_s, predict_delay_s=predict_s)}
    )


AXES = (
    Axis(
        "decode_tokens_per_s",
        "decode rate, tokens/s",
        (10, 20, 40, 80, 160),
        _decode,
        lambda base: base.profile.decode_tokens_per_s,
    ),
    Axis(
        "tool_latency_times",
        "tools' latency, times its own",
        (0.1, 0.3, 1, 3, 10),
        lambda base, x: replace(base, tool_times=x),
        lambda base: 1.0,
    ),
    Axis(
        "speech_rate_times",
        "speaking rate, times its own",
        (0.5, 0.7, 1, 1.4, 2),
        lambda base, x: replace(base, speech_times=x),
        lambda base: 1.0,
    ),
    Axis(
        "endpoint_delay_s",
        "silence that ends a turn, s",
        (0.2, 0.35, 0.5, 0.8, 1.2),
        _endpoint_delay,
        lambda base: endpoint_of(base.config.data).delay_s,
    ),
    Axis(
        "disfluency_times",
        "disfluency, times the source's rates",
        (0, 1, 2, 4, 8),
        lambda base, x: _data(base, disfluency=dict(base.config.data.disfluency) | {"times": x}),
        lambda base: base.config.data.disfluency.get("times", 1.0),
    ),
    Axis(
        "trailing_words",
        "words after the last informative one",
        (0, 2, 4, 8, 16),
        lambda base, x: replace(base, trailing_words=int(x)),
        lambda base: 0.0,
    ),
)
"""The map. The second and third are factors, because latencies and rates differ from tool to tool and speaker to
speaker."""


def main(config: Config) -> None:
    """Runs the map, writes it and draws it."""
    folder = out_folder(config, "whatif")
    played = backend("expert", config)
    honoured(config, [config], (task for each in (played,) for task in tasks_of(config, each)))
    claim(folder)
    base = Surroundings(config, profile_of(config.eval.profiles[0], config.clock))
    found = explore(base, axes_for(config), played)
    write_manifest(folder, config, schema_version=SCHEMA_VERSION)
    write(folder / "whatif.json", json.dumps(found, indent=1) + "\n")
    draw(found, folder / "whatif.png")
    print(f"whatif: {folder}/whatif.json, {folder}/whatif.png")


def axes_for(config: Config) -> tuple[Axis, ...]:
    """The axes that the configured source has: only generated ones have a disfluency rate."""
    generated = (config.task or config.data.source) in ("assistant", "naturalistic")
    return tuple(axis for axis in AXES if generated or axis.name != "disfluency_times")


def explore(base: Surroundings, axes: Sequence[Axis], played: Backend) -> dict[str, Any]:
    """The map as JSON: ``{schema_version, task, split, profile, seed, axes: [{name, label, usual, points}]}``."""
    config = base.config
    places = [[(axis, value, _is_usual(axis, value, base)) for value in axis.values] for axis in axes]
    # the configured surroundings are a point of every axis, and run once
    asked = {_key(*place): base if place[2] else place[0].change(base, place[1]) for row in places for place in row}
    found: dict[tuple[str, float | None], dict[str, Any]] = {}
    with Progress(disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task("points", total=len(asked))
        for key, made in zip(asked, _points(list(asked.values()), played, config.data.workers)):
            found[key] = made
            bar.advance(shown)
            if bar.disable:
                print(
                    f"{len(found)} of {len(asked)} points: {key[0]}" + ("" if key[1] is None else f" {key[1]:g}"),
                    flush=True,
                )
    source = config.task or config.data.source
    return {
        "schema_version": SCHEMA_VERSION,
        "task": source,
        "split": config.eval.split,
        "profile": base.profile.name,
        "seed": config.seed,
        "axes": [
            {
                "name": axis.name,
                "label": axis.label,
                "usual": axis.usual(base) if axis.usual else None,
                "points": [{"value": place[1]} | found[_key(*place)] for place in row],
            }
            for axis, row in zip(axes, places)
        ],
    }


def _is_usual(axis: Axis, value: float, base: Surroundings) -> bool:
    return axis.usual is not None and axis.usual(base) == value


def _key(axis: Axis, value: float, usual: bool) -> tuple[str, float | None]:
    return ("usual", None) if usual else (axis.name, value)


def _points(wheres: Sequence[Surroundings], played: Backend, workers: int) -> Iterator[dict[str, Any]]:
    """The points in order, made here or by as many processes."""
    if workers <= 1:
        yield from (point(where, played) for where in wheres)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quietly) as pool:
        yield from pool.map(partial(point, played=played), wheres)


def point(where: Surroundings, played: Backend) -> dict[str, Any]:
    """One point: accuracy and mean latency by mode, and speedups over the tasks that both modes get right."""
    config = where.config
    chosen = choose(tasks_of(config, played), config.eval.expert_tasks or REQUESTS, config.seed)
    tasks = [changed(task, where) for task in chosen]
    found = {mode: [outcome(task, mode, where, played) for task in tasks] for mode in MODES}
    result: dict[str, Any] = {
        "n": len(tasks),
        "accuracy": {mode: sum(right for right, _ in ran) / len(ran) for mode, ran in found.items()},
        "latency_mean_s": {mode: sum(late for _, late in ran) / len(ran) for mode, ran in found.items()},
    }
    for mode in BASELINES:
        pairs = [(theirs[1], ours[1]) for theirs, ours in zip(found[mode], found[OURS]) if theirs[0] and ours[0]]
        result[f"n_both_right_{mode}"] = len(pairs)
        interval = None
        if pairs:
            seed = child(config.seed, "whatif", mode)
            interval = ratio_of_means(
                [base for base, _ in pairs], [ours for _, ours in pairs], seed, config.eval.resamples
            )
        result[f"speedup_vs_{mode}"] = interval.value if interval else None
        result[f"speedup_vs_{mode}_ci95"] = [interval.low, interval.high] if interval and interval.n >= MIN_N else None
    return result


def outcome(task: Task, mode: str, where: Surroundings, played: Backend) -> tuple[bool, float]:
    """Whether an episode is right, and its latency in seconds."""
    config = where.config
    seed = child(config.seed, "whatif")
    world = task.toolbox()
    rollout = make_episode(
        task,
        mode,
        where.profile,
        played.renderer(),
        agent=played.agent,
        data=config.data,
        seed=seed,
        toolbox=Paced(world, where.tool_times),
        planner=played.planner(task, config.data, child(seed, task.id, "eager")),
    ).run()
    seen = trace(rollout.history)
    answered = rollout.outcome == "answered"
    verdict = score(task, rollout.state, rollout.outcome, seen.emits[-1][1] if seen.emits and answered else None, world)
    return verdict.right, seconds(latency(seen, answered, task.speech_end_ns, ns(config.eval.cap_s)).total_ns)


class Paced:
    """A world whose tools take so many times as long."""

    def __init__(self, world: Toolbox, times: float) -> None:
        self.world, self.times = world, times

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The world's."""
        return self.world.specs

    def run(self, name: str, args: Mapping[str, Json]) -> Json:
        """The world's."""
        return self.world.run(name, args)

    def latency_ns(self, name: str, args: Mapping[str, Json]) -> int:
        """The world's, times the factor."""
        return round(self.world.latency_ns(name, args) * self.times)


def changed(task: Task, where: Surroundings) -> Task:
    """The task as it is spoken here: with words after it, faster or slower. What it asks for stays."""
    words, reading = list(task.words), task.reading
    for text in TRAILING[: where.trailing_words]:
        words.append(Word(text, words[-1].end_ns, words[-1].end_ns + ns(TRAILING_S)))
    if where.trailing_words and isinstance(reading, Derivation):
        # what only the end of speech closed is closed by the next word now
        closed = len(task.words) + 1
        reading = replace(
            reading,
            edits=tuple(
                replace(edit, closes=closed) if edit.closes is None and edit.op == "put" and not edit.grows else edit
                for edit in reading.edits
            ),
        )
    rate = where.speech_times
    words = [replace(word, start_ns=round(word.start_ns / rate), end_ns=round(word.end_ns / rate)) for word in words]
    return replace(task, words=tuple(words), reading=reading)


@rc_context({"text.parse_math": False})  # names and words are data, never mathematics
def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draws the map: a panel an axis, a line a baseline, with 95% intervals; the dotted line is the configured
    value."""
    across = 3
    down = -(-len(found["axes"]) // across)
    figure = Figure(figsize=(4.6 * across, 3.3 * down + 0.9), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for axes in grid.flat[len(found["axes"]) :]:
        axes.set_visible(False)
    for n, (axes, axis) in enumerate(zip(grid.flat, found["axes"])):
        _panel(axes, axis)
        axes.set_ylabel("times as fast" if n % across == 0 else "")
        styled(axes)
    tasks = found["axes"][0]["points"][0]["n"]
    where = f"{found['task']}, {found['split']}, {found['profile']}, {tasks} requests"
    title = f"How many times as fast {OURS} is, played by the expert: {where}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9.5, labelcolor=INK
    )
    with whole(Path(path)) as half:
        figure.savefig(half, format=Path(path).suffix[1:] or "png")


def _panel(axes: Axes, axis: Mapping[str, Any]) -> None:
    # an axis that begins at 0 can't be logarithmic: its points stand side by side
    values = [point["value"] for point in axis["points"]]
    places = list(range(len(values)))
    for mode in BASELINES:
        drawn = [(x, point) for x, point in zip(places, axis["points"]) if point[f"speedup_vs_{mode}"] is not None]
        colour = MODE_COLOURS[mode]
        axes.plot(
            [x for x, _ in drawn],
            [p[f"speedup_vs_{mode}"] for _, p in drawn],
            marker="o",
            ms=5,
            lw=1.9,
            color=colour,
            label=f"over {mode}",
        )
        sure = [(x, *p[f"speedup_vs_{mode}_ci95"]) for x, p in drawn if p[f"speedup_vs_{mode}_ci95"]]
        if sure:
            xs, low, high = zip(*sure)
            axes.fill_between(xs, low, high, color=colour, alpha=0.16, lw=0)
    if axis["usual"] in values:
        axes.axvline(places[values.index(axis["usual"])], color=SOFT, lw=1, ls=(0, (1, 2)), zorder=0)
    axes.axhline(1, color=INK, lw=1, ls=(0, (3, 2)), zorder=1)
    axes.set_xticks(places, [f"{value:g}" for value in values])
    axes.set_xlabel(axis["label"])


if __name__ == "__main__":
    command(main)()
