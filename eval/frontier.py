"""Early effects against mean latency, for many ways to end a turn: ``python -m eval.frontier experiment=frontier``.

Owns which ends of speech are tried (plain timers, the configured detectors, commits that wait on after the configured
endpoint, and silence told to the agent, where the agent is configured to commit on it), and the points that the expert
makes of them in each mode. All points of a source come from the same requests, so they are paired; sources are never
pooled. Does not know when an effect counts as too early: `eval.measures.waste_and_safety` does. A point's episodes are
a file of their own, so a run that was killed goes on with the next; ``data.workers`` processes share them, and the
result is the same for any number. `docs/frontier.md` says how to read it. Seconds from here on.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, cast

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.progress import Progress

from configs.command import claim, command, out_folder, write_manifest
from configs.modes import settings_of
from configs.palette import INK, MODE_COLOURS, SOFT
from configs.schema import Config, EndpointConfig
from data_gen.episodes import endpoint_of, make_episode, profile_of
from data_gen.seeds import child
from data_gen.sources import honoured, load
from data_gen.task import Split, Task
from eval.figures.plots import styled
from eval.measures.latency import latency
from eval.measures.scoring import score
from eval.measures.statistics import MIN_N, Interval, mean, mean_difference, proportion
from eval.measures.trace import trace
from eval.measures.waste_and_safety import counts
from eval.replay import choose, of_source, recipe
from eval.running.backends import Backend, backend
from midsentence.clock import ns, seconds
from midsentence.ending import quietly
from midsentence.files import marker, whole, write

SCHEMA_VERSION = 1
OURS = ("speculative", "verified")
MODES = ("parallel", "eager_end", *OURS)
"""The strongest baselines, and what is measured against them."""
TIMERS_S = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
"""Plain timers: each takes every silence as long as that for the end."""
GRACES_S = (0.3, 0.6, 1.0)
"""How long what is committed waits for more speech, after the configured endpoint's word."""
PREDICT_S = 0.3
"""The silence after which a timer's end is predicted, for the mode that begins on it; no later than the timer's own."""
FIGURES = ("latency_mean_s", "before_last_word_per_100", "wrong_before_last_word_per_100")
KINDS = {"timer": "o", "detector": "D", "grace": "s", "silence": "*"}
"""What an end of speech comes from, and the marker that it is drawn with."""

Episode = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """One source's requests with one thing that says when the user has finished."""

    source: str
    """The task source."""
    split: Split
    """The split that the requests are of."""
    name: str
    """Of a row of ``data.endpoints``, ``grace_300`` and the like, or ``silence``."""
    kind: Literal["timer", "detector", "grace", "silence"]
    """What decides that the user has finished."""
    delay_s: float
    """The silence after which the endpoint decides; for ``grace``, how long a commit waits; for ``silence``, of the
    endpoint behind it."""
    modes: tuple[str, ...]
    """Modes that are replayed with it."""
    config: Config
    """With the endpoint and the agent's rule of commits."""

    @property
    def file(self) -> str:
        """Where its episodes are."""
        return f"{self.source}-{self.name}.json"


def main(config: Config) -> None:
    """Runs what is not there yet, then writes and draws the frontier."""
    folder = out_folder(config, "frontier")
    endings = endings_of(config)
    honoured(
        config,
        [ending.config for ending in endings],
        (task for ending in endings for task in load(ending.config, ending.split)),
    )
    episodes = explore(folder, endings, config)
    found = frontier(endings, episodes, config)
    write_manifest(folder, config, schema_version=SCHEMA_VERSION)
    write(folder / "frontier.json", json.dumps(found, indent=1) + "\n")
    write(folder / "frontier.md", table(found))
    draw(found, folder / "frontier.png")
    print(f"frontier: {folder}/frontier.json, {folder}/frontier.md, {folder}/frontier.png")


def endings_of(config: Config) -> list[Ending]:
    """What is run, in order: of each source the timers, the detectors, commits that wait, and silence if the agent
    commits on it."""
    found = []
    for name in config.eval.sources or [""]:
        own = of_source(config, name)
        split = cast(Split, config.eval.split if own.data.sizes.get(config.eval.split, 1) else "test")
        law = replace(own, agent=replace(own.agent, commit_on="final"))
        timers = {
            f"timer_{round(1000 * delay_s)}": EndpointConfig(delay_s, 1.0, min(PREDICT_S, delay_s))
            for delay_s in TIMERS_S
        }
        detectors = {name: row for name, row in own.data.endpoints.items() if 0 < row.false_rate < 1}
        kinds: tuple[tuple[Literal["timer", "detector"], dict[str, EndpointConfig]], ...] = (
            ("timer", timers),
            ("detector", detectors),
        )
        for kind, rows in kinds:
            for endpoint, row in rows.items():
                data = replace(law.data, endpoint=endpoint, endpoints=dict(law.data.endpoints) | {endpoint: row})
                found.append(Ending(_source(own), split, endpoint, kind, row.delay_s, MODES, replace(law, data=data)))
        for grace_s in GRACES_S:
            patient = replace(law, agent=replace(law.agent, commit_grace_s=grace_s))
            found.append(Ending(_source(own), split, f"grace_{round(1000 * grace_s)}", "grace", grace_s, OURS, patient))
        if own.agent.commit_on == "silence":
            behind = endpoint_of(own.data).delay_s
            found.append(Ending(_source(own), split, "silence", "silence", behind, OURS[:1], own))
    return found


def _source(config: Config) -> str:
    return config.task or config.data.source


def explore(folder: Path, endings: Sequence[Ending], config: Config) -> list[dict[str, list[Episode]]]:
    """Each ending's episodes by mode: read where they are there already, run and kept where they are not.

    Raises:
        ValueError: the folder holds a point of other settings.
    """
    points = folder / "points"
    claim(folder)
    points.mkdir(parents=True, exist_ok=True)
    for ending in endings:
        if (made := marker(points / ending.file)) and made.get("recipe") != _key(ending):
            raise ValueError(f"{points / ending.file} is of other settings; give another out=, or delete the folder")
    missing = [ending for ending in endings if not marker(points / ending.file)]
    with Progress(disable=not sys.stderr.isatty()) as bar:
        shown = bar.add_task("points", total=len(endings), completed=len(endings) - len(missing))
        for n, (ending, made) in enumerate(
            zip(missing, _run(missing, config.data.workers)), len(endings) - len(missing) + 1
        ):
            write(points / ending.file, json.dumps({"recipe": _key(ending), "modes": made}) + "\n")
            bar.advance(shown)
            if bar.disable:
                print(f"{n} of {len(endings)}: {ending.source}, {ending.name}", flush=True)
    return [_read(points / ending.file)["modes"] for ending in endings]


def _read(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def _key(ending: Ending) -> str:
    """A hash of all that an ending's episodes depend on: of the endpoints its own row alone, so that another may be
    added."""
    config = ending.config
    data = replace(config.data, endpoints={config.data.endpoint: endpoint_of(config.data)})
    own = replace(config, data=data, eval=replace(config.eval, sources=[], split=ending.split))
    text = recipe(own, {"expert": backend("expert", own)}) + config.eval.profiles[0]
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _run(endings: Sequence[Ending], workers: int) -> Iterator[dict[str, list[Episode]]]:
    if workers <= 1:
        yield from map(episodes_of, endings)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=quietly) as pool:
        yield from pool.map(episodes_of, endings)


def episodes_of(ending: Ending) -> dict[str, list[Episode]]:
    """One ending's episodes by mode, each with what the frontier needs of it."""
    config = ending.config
    tasks = choose(load(config, ending.split), config.eval.expert_tasks, config.seed)
    played = backend("expert", config)
    return {mode: [outcome(task, mode, config, played) for task in tasks] for mode in ending.modes}


def outcome(task: Task, mode: str, config: Config, played: Backend) -> Episode:
    """One episode: whether it is right, how late, and its effects before the user's last word."""
    seed, world, row = child(config.seed, "frontier"), task.toolbox(), settings_of(mode, config.agent)
    rollout = make_episode(
        task,
        mode,
        profile_of(config.eval.profiles[0], config.clock),
        played.renderer(),
        agent=config.agent,
        data=config.data,
        seed=seed,
        toolbox=world,
        planner=played.planner(task, config.data, child(seed, task.id, "eager")),
    ).run()
    seen = trace(rollout.history)
    answered = rollout.outcome == "answered"
    verdict = score(task, rollout.state, rollout.outcome, seen.emits[-1][1] if seen.emits and answered else None, world)
    waste = counts(seen, task.specs, verdict.useful, row.commit_grace_ns, task.speech_end_ns, row.runs_lines)
    late = latency(seen, answered, task.speech_end_ns, ns(config.eval.cap_s))
    return {
        "task": task.id,
        "right": verdict.right,
        "latency_ns": late.total_ns,
        "before_last_word": waste.effects_before_last_word,
        "wrong_before_last_word": waste.wrong_effects_before_last_word,
    }


# --- figures


def frontier(
    endings: Sequence[Ending], episodes: Sequence[Mapping[str, list[Episode]]], config: Config
) -> dict[str, Any]:
    """The frontier as JSON: ``{schema_version, profile, seed, sources: [{task, split, n, points, silence_less}]}``."""
    sources = []
    for name in dict.fromkeys(ending.source for ending in endings):
        own = [(ending, made) for ending, made in zip(endings, episodes, strict=True) if ending.source == name]
        points = [point(ending, mode, made[mode], config) for ending, made in own for mode in ending.modes]
        silent = next((made[OURS[0]] for ending, made in own if ending.kind == "silence"), None)
        less = [
            {"ending": ending.name, "mode": mode} | less_than(silent, made[mode], config)
            for ending, made in own
            if ending.kind != "silence" and silent
            for mode in ending.modes
        ]
        sources.append(
            {"task": name, "split": own[0][0].split, "n": points[0]["n"], "points": points, "silence_less": less}
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "profile": config.eval.profiles[0],
        "seed": config.seed,
        "sources": sources,
    }


def point(ending: Ending, mode: str, made: Sequence[Episode], config: Config) -> dict[str, Any]:
    """One point's figures, with intervals over requests."""
    right = proportion([episode["right"] for episode in made])
    ends = right.interval
    found: dict[str, Any] = {
        "ending": ending.name,
        "kind": ending.kind,
        "delay_s": ending.delay_s,
        "mode": mode,
        "n": len(made),
        "accuracy": right.k / right.n,
        "accuracy_ci95": None if ends is None else [ends.low, ends.high],
    }
    for name, values in _values(made).items():
        interval = mean(values, child(config.seed, "frontier", name), config.eval.resamples)
        low, high = interval.low, interval.high
        if name != FIGURES[0] and not any(
            values
        ):  # resampling nothing gives nothing: what may be is the bound of a proportion
            high = 100 * proportion([False] * len(made)).upper_bound
        found |= {name: interval.value, f"{name}_ci95": [low, high] if interval.n >= MIN_N else None}
    return found


def less_than(ours: Sequence[Episode], theirs: Sequence[Episode], config: Config) -> dict[str, Any]:
    """By how much each figure is less on silence than at another point, over the same requests.

    Raises:
        ValueError: the requests are others.
    """
    if [episode["task"] for episode in ours] != [episode["task"] for episode in theirs]:
        raise ValueError("two points of a source ran different requests; delete the folder's points and run again")
    found: dict[str, Any] = {}
    mine, other = _values(ours), _values(theirs)
    for name in FIGURES:
        interval = mean_difference(other[name], mine[name], child(config.seed, "frontier", name), config.eval.resamples)
        found |= {name: interval.value, f"{name}_ci95": _ends(interval)}
    return found


def _ends(interval: Interval) -> list[float] | None:
    return [interval.low, interval.high] if interval.n >= MIN_N else None


def _values(made: Sequence[Episode]) -> dict[str, list[float]]:
    read: tuple[Callable[[Episode], float], ...] = (
        lambda episode: seconds(episode["latency_ns"]),
        lambda episode: 100 * episode["before_last_word"],
        lambda episode: 100 * episode["wrong_before_last_word"],
    )
    return {name: [value(episode) for episode in made] for name, value in zip(FIGURES, read)}


def table(found: Mapping[str, Any]) -> str:
    """The points as Markdown, a table a source."""
    lines = []
    for source in found["sources"]:
        lines += [f"{source['task']}, {source['split']}, {found['profile']}, {source['n']} requests", ""]
        lines += [
            "| end of speech | mode | right | effects before the last word /100 | wrong of them /100 | mean latency, s |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for row in source["points"]:
            cells = [
                _ranged(
                    100 * row["accuracy"],
                    row["accuracy_ci95"] and [100 * end for end in row["accuracy_ci95"]],
                    "{:.0f}",
                )
                + "%",
                *(_ranged(row[name], row[f"{name}_ci95"], "{:.1f}") for name in FIGURES[1:]),
                _ranged(row[FIGURES[0]], row[f"{FIGURES[0]}_ci95"], "{:.2f}"),
            ]
            lines.append(f"| {row['ending']} | `{row['mode']}` | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _ranged(value: float, ends: Sequence[float] | None, form: str) -> str:
    return form.format(value) + ("" if ends is None else " [" + ", ".join(form.format(end) for end in ends) + "]")


# --- picture


@rc_context({"text.parse_math": False})  # names and words are data, never mathematics
def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draws the frontier: a column a source, all effects before the last word above, the wrong ones of them below."""
    sources = found["sources"]
    figure = Figure(figsize=(5.2 * len(sources) + 0.4, 8.0), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(sources), squeeze=False, sharex="col")
    for column, source in enumerate(sources):
        for row, name in enumerate(FIGURES[1:]):
            axes = grid[row][column]
            _panel(axes, source["points"], name)
            if column == 0:
                axes.set_ylabel("effects before the last word /100" if row == 0 else "wrong ones of them /100")
            styled(axes)
        grid[0][column].set_title(
            f"{source['task']}, {source['split']}, n = {source['n']}", loc="left", fontsize=9.5, color=INK
        )
        grid[1][column].set_xlabel("mean latency, seconds after the last word")
    title = f"Hasty or slow: what the end of speech costs, played by the expert on {found['profile']}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    points = [point for source in sources for point in source["points"]]
    handles = [Line2D([], [], color=MODE_COLOURS[mode], lw=3, label=mode.replace("_", " ")) for mode in MODES]
    says = {
        "timer": "plain timer, by seconds",
        "detector": "detector",
        "grace": "commit waits, by seconds",
        "silence": "on silence",
    }
    handles += [
        Line2D([], [], color=INK, lw=0, marker=marker, ms=11 if kind == "silence" else 6, label=says[kind])
        for kind, marker in KINDS.items()
        if any(point["kind"] == kind for point in points)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9, labelcolor=INK
    )
    with whole(Path(path)) as half:
        figure.savefig(half, format=Path(path).suffix[1:] or "png")


def _panel(axes: Axes, points: Sequence[Mapping[str, Any]], name: str) -> None:
    for mode in MODES:
        own = [point for point in points if point["mode"] == mode]
        timers = [point for point in own if point["kind"] == "timer"]
        colour = MODE_COLOURS[mode]
        axes.plot(
            [point[FIGURES[0]] for point in timers], [point[name] for point in timers], color=colour, lw=1.9, zorder=2
        )
        for point in own:
            at, high = point[FIGURES[0]], point[name]
            look: dict[str, Any] = {"color": colour, "lw": 1.1, "alpha": 0.35, "zorder": 1}
            if point[f"{name}_ci95"]:
                axes.hlines(high, *point[f"{FIGURES[0]}_ci95"], **look)
                axes.vlines(at, *point[f"{name}_ci95"], **look)
            size, front = (15, 4) if point["kind"] == "silence" else (7, 3)
            axes.plot(
                [at],
                [high],
                marker=KINDS[point["kind"]],
                ms=size,
                color=colour,
                mec="white",
                mew=1,
                zorder=front,
                clip_on=False,
            )
        named = [point for point in own if point["kind"] in ("timer", "grace")]
        for point in (
            named if mode == OURS[-1] else timers[:: max(1, len(timers) - 1)]
        ):  # the points of others lie close
            beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "color": SOFT}
            axes.annotate(f"{point['delay_s']:g}", (point[FIGURES[0]], point[name]), xytext=(4, 4), **beside)
    axes.set_ylim(bottom=0)


if __name__ == "__main__":
    command(main)()
