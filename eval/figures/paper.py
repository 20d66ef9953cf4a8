"""Compares published figures with those of a replay: the paper's tables (``eval.paper=true``).

Owns `paper.yaml` (figures of others, each with where it was read), the pairing of a synchronous with an asynchronous
row as the paper pairs them, and the sentences on what differs. A checkpoint named ``baseline`` in ``eval.checkpoints``
is the paper's SFT baseline: the other checkpoints are compared with it in its synchronous mode, and with themselves.
Does not measure anything but those pairs, and to say that a figure was reached or missed: the settings differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.folder import SETTINGS, raw_settings
from data_gen.seeds import child
from eval.figures.tables import NONE, Grid
from eval.measures.rows import Terms, row_of
from eval.measures.statistics import Interval, mean, proportion, ratio_of_means
from eval.running.backends import PLANNED, UNTRAINED
from eval.running.records import EpisodeRecord
from eval.running.results import Episodes, Key, read_manifest

BASELINE = "baseline"
CLAIM_N = 100
"""Fewer requests carry no claim: the interval of a share is wider than ten points either side."""

_MEASURES: Mapping[str, str] = {"answer_exact": "answer_right", "graph_accuracy": "graph_right", "accuracy": "right"}
"""Fields of the report's rows, as they are called in an episode's record."""
_FILE = Path(__file__).with_name("paper.yaml")


@lru_cache
def published() -> dict[str, Any]:
    """`paper.yaml`: sources, tables by task, names of models.

    Raises:
        ValueError: a figure without a source.
    """
    loaded: Any = OmegaConf.to_container(OmegaConf.load(_FILE))
    data: dict[str, Any] = loaded
    known = data["sources"]
    for task, table in data["tables"].items():
        for entry in table["published"]:
            for name, figure in entry.items():
                if name != "model" and (not isinstance(figure, dict) or figure.get("source") not in known):
                    raise ValueError(
                        f"{_FILE.name}: {name} of {entry['model']!r} under {task} has no source; use one of {list(known)}"
                    )
    return data


def beside(episodes: Episodes, runs: Sequence[str], terms: Terms) -> list[dict[str, Any]]:
    """The paper's tables for what there is: published figures, our pairs, what differs. One for each task and
    device."""
    found, models = [], models_of(runs)
    for task, table in published()["tables"].items():
        for profile in sorted({key.profile for key in episodes if key.source == task}):
            own = {key: list(kept) for key, kept in episodes.items() if (key.source, key.profile) == (task, profile)}
            ours = [pair for pair in _pairs(own, table, terms) if pair["n"]]
            if ours:
                names = list(dict.fromkeys(side["backend"] for pair in ours for side in (pair["sync"], pair["async"])))
                found.append(
                    {
                        "task": task,
                        "profile": profile,
                        "paper": table["paper"],
                        "measure": table["measure"],
                        "measure_name": table["measure_name"],
                        "published": table["published"],
                        "ours": ours,
                        "differs": [*_models(names, models, table["models"]), *table["differs"], *_sizes(ours)],
                        "sources": _sources(table),
                    }
                )
    return found


def models_of(runs: Sequence[str]) -> dict[str, str]:
    """The model's name behind each backend with weights, from the settings that the replays left."""
    found: dict[str, set[str]] = {}
    for run in map(Path, runs):
        settings = run / SETTINGS
        model = raw_settings(settings).get("model") if settings.is_file() else None
        name = model.get("name", "unknown") if isinstance(model, dict) else "unknown"
        for row in read_manifest(run)["rows"]:
            found.setdefault(row["backend"], set()).add(str(name))
    return {backend: " and ".join(sorted(names)) for backend, names in found.items() if backend not in PLANNED}


def _pairs(own: Episodes, table: Mapping[str, Any], terms: Terms) -> Iterator[dict[str, Any]]:
    """Each backend against itself, and each checkpoint against the baseline, in the modes that the paper pairs."""
    rows = _pooled(own)
    for backend, splits in dict.fromkeys((key.backend, key.split) for key in rows):
        own_first = [backend] + ([BASELINE] if backend not in (*UNTRAINED, BASELINE) else [])
        for mode in table["async"]:
            for sync in own_first:
                before, after = (
                    next((kept for key, kept in rows.items() if (key.backend, key.split, key.mode) == wanted), [])
                    for wanted in ((sync, splits, table["sync"]), (backend, splits, mode))
                )
                yield {
                    "sync": {"backend": sync, "mode": table["sync"]},
                    "async": {"backend": backend, "mode": mode},
                    "splits": splits.split("+"),
                    **_measured(before, after, table["measure"], terms),
                }


def _pooled(own: Episodes) -> dict[Key, list[EpisodeRecord]]:
    """Rows with the splits of backends that nobody trained put together: for those no question was held out or seen."""
    found: dict[Key, list[EpisodeRecord]] = {}
    for key in sorted(own, key=lambda key: (_place(key.backend), key.backend, key.split, key.mode)):
        splits = (
            sorted({other.split for other in own if other.backend == key.backend})
            if key.backend in UNTRAINED
            else [key.split]
        )
        pooled = Key(key.source, "+".join(splits), key.backend, key.mode, key.profile)
        found.setdefault(pooled, []).extend(
            replace(episode, task=f"{key.split}/{episode.task}") for episode in own[key]
        )
    return found


def _place(backend: str) -> int:
    return (*UNTRAINED, BASELINE).index(backend) if backend in (*UNTRAINED, BASELINE) else len(UNTRAINED) + 1


def _measured(
    sync: Sequence[EpisodeRecord], asynchronous: Sequence[EpisodeRecord], measure: str, terms: Terms
) -> dict[str, Any]:
    """The figures of one pair, over the requests that both sides ran."""
    sides = [{(e.task, e.seed): e for e in side} for side in (sync, asynchronous)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    pair = [[side[place] for place in shared] for side in sides]
    if not shared:
        return {"n": 0}
    # the report's own rows of the pair: speedups and latencies mean the same here as there
    keys = [Key("", "", "pair", mode, "") for mode in ("sequential", "async")]
    before, after = (row_of(key, dict(zip(keys, pair)), terms) for key in keys)
    name, seed = _MEASURES[measure], child(terms.seed, "paper")
    late = [_by_task(side, lambda e: e.latency_ns / 1e9) for side in pair]
    faster = ratio_of_means(late[0], late[1], seed, terms.resamples) if min(map(sum, late)) > 0 else None
    return {
        "n": after["n"],
        "n_both_right": after["n_both_right"],
        "accuracy_sync": _share(pair[0], name, seed, terms),
        "accuracy_async": _share(pair[1], name, seed, terms),
        "strict_sync": _share(pair[0], "right", seed, terms),
        "strict_async": _share(pair[1], "right", seed, terms),
        "latency_sync_s": before["latency_mean_s"],
        "latency_async_s": after["latency_mean_s"],
        "speedup_all": faster.as_json() if faster else None,
        "speedup_both_right": after["speedup_vs_sequential"],
        "speedup_both_right_ci95": after["speedup_vs_sequential_ci95"],
    }


def _share(episodes: Sequence[EpisodeRecord], name: str, seed: int, terms: Terms) -> dict[str, Any]:
    """A share of requests with its interval: Wilson's where each ran once, else the bootstrap's."""
    once = len({episode.seed for episode in episodes}) == 1
    interval: Interval | None = (
        proportion([bool(getattr(episode, name)) for episode in episodes]).interval
        if once
        else mean(_by_task(episodes, lambda e: float(getattr(e, name))), seed, terms.resamples)
    )
    right, n = sum(bool(getattr(episode, name)) for episode in episodes), len(episodes)
    return {"value": right / n, "right": right, "n": n} | (
        {"ci95": [interval.low, interval.high]} if interval else {"ci95": None}
    )


def _by_task(episodes: Sequence[EpisodeRecord], value: Callable[[EpisodeRecord], float]) -> list[float]:
    found: dict[str, list[float]] = {}
    for episode in episodes:
        found.setdefault(episode.task, []).append(value(episode))
    return [sum(found[task]) / len(found[task]) for task in sorted(found)]


def _models(names: Sequence[str], models: Mapping[str, str], theirs: str) -> list[str]:
    """What stands behind our rows, and behind ``theirs``; model size is what differs most."""
    said = []
    if any(name in PLANNED for name in names):
        said.append(
            "The expert is no model and its row no result of one: it follows rules and knows how each request was made. The row shows what "
            "the modes can give to an agent that understands all it hears."
        )
    known = published()["models"]
    for model in dict.fromkeys(models[name] for name in names if name in models):
        who = ", ".join(name for name in names if models.get(name) == model)
        said.append(f"Model size, above all: {who} is {known.get(model, model)}; {theirs}.")
    return said


def _sizes(ours: Sequence[Mapping[str, Any]]) -> list[str]:
    few = sorted({pair["n"] for pair in ours if pair["n"] < CLAIM_N})
    return (
        [
            f"n = {', '.join(map(str, few))}: fewer than {CLAIM_N} requests carry no claim, neither about a difference of a few points nor "
            "about having reached or missed a published figure."
        ]
        if few
        else []
    )


def _sources(table: Mapping[str, Any]) -> dict[str, Any]:
    used = {figure["source"] for entry in table["published"] for name, figure in entry.items() if name != "model"}
    return {name: source for name, source in published()["sources"].items() if name in used}


def grids(tables: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """The tables as text."""
    heads = ("whose", "n", "accuracy: sync → async, %", "strict, %", "latency s", "× faster", "× faster, both right")
    found = []
    for table in tables:
        rows = [_published_row(table["paper"], entry) for entry in table["published"]]
        rows += [_own_row(pair, table["measure"]) for pair in table["ours"]]
        notes = (
            f"Accuracy is by {table['measure_name']}; strict is this project's own. Intervals are 95%. Latency is a mean over all "
            "requests, ours from the end of the last word; × faster is the ratio of those means, in the last column over requests that "
            "both sides get right.",
            *table["differs"],
            *(f"{name}: {source['cite']}." for name, source in table["sources"].items()),
        )
        found.append(
            Grid(f"{table['task']}, {table['profile']}: published figures and ours", heads, tuple(rows), notes, left=1)
        )
    return found


def _published_row(paper: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    def of(*names: str) -> str:
        there = [entry[name] for name in names if name in entry]
        if not there:
            return NONE
        sources = ", ".join(dict.fromkeys(figure["source"] for figure in there))
        lone = "→ " if len(names) > len(there) and names[-1] in entry else ""  # only the asynchronous side is known
        return f"{lone}{' → '.join(map(_figure, there))} ({sources})"

    accuracy = of("accuracy_sync", "accuracy_async")
    if (change := entry.get("accuracy_change")) is not None:
        low, high = change["value"]
        accuracy = f"{-high} to {-low} points lower ({change['source']})"
    return (
        f"{paper}, {entry['model']}",
        of("n"),
        accuracy,
        NONE,
        of("latency_sync_s", "latency_async_s"),
        of("speedup"),
        NONE,
    )


def _figure(figure: Mapping[str, Any]) -> str:
    value = figure["value"]
    text = f"{value[0]}–{value[1]}" if isinstance(value, list) else str(value)
    return ("about " if figure.get("about") else "< " if figure.get("below") else "") + text


def _own_row(pair: Mapping[str, Any], measure: str) -> tuple[str, ...]:
    sync, other = pair["sync"], pair["async"]
    who = f"ours, {sync['backend']} {sync['mode']} → {other['backend'] + ' ' if other['backend'] != sync['backend'] else ''}{other['mode']}"
    faster = pair["speedup_all"]
    both = pair["speedup_both_right"]
    return (
        who + ("" if pair["splits"] == ["test"] else f" ({', '.join(pair['splits'])})"),
        str(pair["n"]),
        f"{_percent(pair['accuracy_sync'])} → {_percent(pair['accuracy_async'])}",
        "the same"
        if _MEASURES[measure] == "right"
        else f"{_percent(pair['strict_sync'])} → {_percent(pair['strict_async'])}",
        f"{pair['latency_sync_s']:.2f} → {pair['latency_async_s']:.2f}",
        NONE
        if faster is None
        else _ranged(faster["value"], None if faster["low"] is None else (faster["low"], faster["high"])),
        NONE if both is None else f"{_ranged(both, pair['speedup_both_right_ci95'])} (n={pair['n_both_right']})",
    )


def _percent(share: Mapping[str, Any]) -> str:
    if share["ci95"] is None:
        return f"{share['right']}/{share['n']}"
    return f"{100 * share['value']:.1f} [{100 * share['ci95'][0]:.1f}, {100 * share['ci95'][1]:.1f}]"


def _ranged(value: float, ends: Sequence[float] | None) -> str:
    return f"{value:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")
