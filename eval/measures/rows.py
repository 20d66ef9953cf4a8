"""Computes the rows of the report from episodes, with intervals.

Owns every figure of `docs/report.md` and how rows are paired. Does not know files, and how rows are shown. Seconds
from here on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from data_gen.seeds import child
from data_gen.speech.disfluency import Rates
from eval.measures.conversations import summary
from eval.measures.latency import PARTS, success_area, success_by, success_curve
from eval.measures.statistics import (
    MIN_N,
    Interval,
    accuracy_difference,
    mean,
    non_inferior,
    proportion,
    ratio_of_means,
)
from eval.running.records import EpisodeRecord
from eval.running.results import Episodes, Key
from midsentence.clock import seconds

DEADLINES_S = (1, 2, 4)
BASELINES = ("sequential", "parallel", "eager_end")
UNHEARING = ("sequential", "parallel", "async_tools", "eager_end")
"""Modes that plan nothing before the end of speech, true or predicted; the fastest of them is what listening must
beat."""
MODE_ORDER = ("sequential", "parallel", "async_tools", "eager_end", "async_io", "speculative", "verified")
BACKEND_ORDER = ("expert", "no_thoughts", "no_guess", "untrained", "model")
KINDS = frozenset(entry.name for entry in fields(Rates))
"""Kinds of disfluency, as tasks are tagged with them."""
FLUENT = "fluent"


@dataclass(frozen=True, slots=True)
class Terms:
    """What figures are computed under."""

    seed: int = 0
    """Of the bootstrap."""
    resamples: int = 10_000
    """Of the bootstrap."""
    margin: float = 0.02
    """See `EvalConfig.margin`."""
    price_input: float = 0.0
    """Of a million tokens taken in."""
    price_output: float = 0.0
    """Of a million tokens written."""
    price_call: float = 0.0
    """Of a thousand starts of tools."""

    @property
    def priced(self) -> bool:
        """Whether any price is set."""
        return bool(self.price_input or self.price_output or self.price_call)


def rows_of(episodes: Episodes, terms: Terms) -> list[dict[str, Any]]:
    """The report's rows, in a fixed order."""
    return [row_of(key, episodes, terms) for key in sorted_keys(episodes)]


def sorted_keys(episodes: Episodes) -> list[Key]:
    """Which rows there are, in the report's order."""
    return sorted(episodes, key=_order)


def _order(key: Key) -> tuple[Any, ...]:
    def place(order: Sequence[str], name: str) -> tuple[int, str]:
        return (order.index(name) if name in order else len(order), name)

    return (key.source, key.split, key.profile, place(BACKEND_ORDER, key.backend), place(MODE_ORDER, key.mode))


def row_of(key: Key, episodes: Episodes, terms: Terms) -> dict[str, Any]:
    """One row: see `docs/report.md` for every field."""
    own = episodes[key]
    drawn, resamples = child(terms.seed, "bootstrap", key.source, key.split, key.backend, key.profile), terms.resamples
    tasks = sorted({episode.task for episode in own})
    rights = [episode.right for episode in own]
    lates = [_latency_s(episode) for episode in own]
    accuracy = mean(_by_task(own, lambda e: float(e.right)), drawn, resamples)
    row: dict[str, Any] = {
        "task": key.source,
        "split": key.split,
        "backend": key.backend,
        "mode": key.mode,
        "profile": key.profile,
        "time": own[0].time,
        "seeds": sorted({episode.seed for episode in own}),
        "n": len(tasks),
        "accuracy": accuracy.value,
        "accuracy_ci95": _accuracy_ci(own, accuracy),
        "success_by_s": {str(deadline): success_by(rights, lates, deadline) for deadline in DEADLINES_S},
        "success_area": success_area(rights, lates),
        "success_curve": success_curve(rights, lates, 0.25),
        "latency_mean_s": float(np.mean(lates)),
        "latency_p95_s": float(np.quantile(lates, 0.95)) if len(lates) >= MIN_N else None,
        "latency_first_token_mean_s": _mean([seconds(e.first_token_ns) for e in own if e.first_token_ns is not None]),
        "time_s": {part: float(np.mean([seconds(episode.parts_ns[part]) for episode in own])) for part in PARTS},
    }
    row |= _answers(own)
    row |= _against(key, episodes, drawn, terms)
    row |= _waste(own, len(own))
    row["cost_per_task"], row["wasted_cost_per_task"] = _cost(own, terms), _wasted_cost(own, terms)
    if (conversations := summary(own)) is not None:
        row["conversations"] = conversations
    row["by_tag"], row["by_label"] = _grouped(own, lambda e: e.tags), _grouped(own, labels_of)
    row["causes"] = dict(sorted(Counter(episode.cause for episode in own if episode.cause).items()))
    row["outcomes"] = dict(sorted(Counter(episode.outcome for episode in own).items()))
    return row


def _latency_s(episode: EpisodeRecord) -> float:
    return seconds(episode.latency_ns)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _by_task(episodes: Sequence[EpisodeRecord], value: Callable[[EpisodeRecord], float]) -> list[float]:
    """The mean over a task's seeds, in the order of tasks."""
    found: dict[str, list[float]] = {}
    for episode in episodes:
        found.setdefault(episode.task, []).append(value(episode))
    return [float(np.mean(found[task])) for task in sorted(found)]


def _accuracy_ci(own: Sequence[EpisodeRecord], accuracy: Interval) -> list[float] | None:
    """Wilson's where each task ran once: it does not claim certainty from all-right; else the bootstrap's."""
    if len({episode.seed for episode in own}) > 1:
        return _ends(accuracy)
    interval = proportion([episode.right for episode in own]).interval
    return _ends(interval) if interval is not None else None


def _ends(interval: Interval) -> list[float] | None:
    return [interval.low, interval.high] if interval.n >= MIN_N else None


def _answers(own: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """What is beside accuracy, for comparison with others' figures."""
    asked = [episode for episode in own if episode.answer_f1 is not None]
    return {
        "graph_accuracy": float(np.mean([episode.graph_right for episode in own])),
        "answer_exact": _mean([float(episode.answer_right) for episode in asked]),
        "answer_f1": _mean([episode.answer_f1 for episode in asked if episode.answer_f1 is not None]),
    }


def _cost(own: Sequence[EpisodeRecord], terms: Terms) -> float | None:
    """Price of a task's tokens, with a context that is kept (each is taken in once), and of its starts of tools."""
    if not terms.priced:
        return None
    written = [episode.counts.model_tokens for episode in own]
    taken = [max(episode.context_tokens - tokens, episode.prompt_tokens) for episode, tokens in zip(own, written)]
    started = np.mean([episode.counts.started_calls for episode in own])
    return (
        float(np.mean(taken) * terms.price_input + np.mean(written) * terms.price_output) / 1e6
        + float(started) * terms.price_call / 1e3
    )


def _wasted_cost(own: Sequence[EpisodeRecord], terms: Terms) -> float | None:
    """The part of it that was in vain: tokens in spans that were cut or refused, and starts of tools for nothing."""
    if not terms.priced:
        return None
    tokens = np.mean([episode.counts.wasted_tokens for episode in own])
    calls = np.mean([episode.counts.wasted_calls for episode in own])
    return float(tokens * terms.price_output / 1e6 + calls * terms.price_call / 1e3)


def labels_of(episode: EpisodeRecord) -> list[str]:
    """The kinds of disfluency in what was said; ``fluent`` where there is none."""
    return [tag for tag in episode.tags if tag in KINDS] or [FLUENT]


def _grouped(
    own: Sequence[EpisodeRecord], groups: Callable[[EpisodeRecord], Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Episodes, right ones and causes of failure by groups of which a task may be in several."""
    found: dict[str, dict[str, Any]] = {}
    for episode in own:
        for tag in groups(episode):
            entry = found.setdefault(tag, {"n": 0, "right": 0, "causes": Counter()})
            entry["n"] += 1
            entry["right"] += episode.right
            entry["causes"].update([episode.cause] if episode.cause else [])
    return {tag: entry | {"causes": dict(sorted(entry["causes"].items()))} for tag, entry in sorted(found.items())}


def _against(key: Key, episodes: Episodes, seed: int, terms: Terms) -> dict[str, Any]:
    """What a row says in comparison: with each baseline, on tasks (and seeds) that both ran."""
    own = {(e.task, e.seed): e for e in episodes[key]}
    resamples = terms.resamples
    row: dict[str, Any] = {}
    for base in BASELINES:
        others = {(e.task, e.seed): e for e in episodes.get(_in_mode(key, base), ())}
        shared = sorted(own.keys() & others.keys())
        both = [pair for pair in shared if own[pair].right and others[pair].right]
        ours, theirs = ([side[pair] for pair in both] for side in (own, others))
        speedup = _ratio(_by_task(theirs, _latency_s), _by_task(ours, _latency_s), seed, resamples)
        all_of = _ratio(
            _by_task([others[pair] for pair in shared], _latency_s),
            _by_task([own[pair] for pair in shared], _latency_s),
            seed,
            resamples,
        )
        share = _share(ours, theirs, seed, resamples)
        suffix = "" if base == "sequential" else f"_{base}"
        row |= {
            f"n_both_right{suffix}": len({task for task, _ in both}) if others else None,
            f"latency_both_right{suffix}_mean_s": _mean(_by_task(ours, _latency_s)),
            f"speedup_vs_{base}": speedup.value if speedup else None,
            f"speedup_vs_{base}_ci95": _ends(speedup) if speedup else None,
            f"speedup_all_vs_{base}": all_of.value if all_of else None,
            f"share_of_saving{suffix}": share.value if share else None,
            f"share_of_saving{suffix}_ci95": _ends(share) if share else None,
        }
        difference = (
            accuracy_difference(
                _by_task([own[p] for p in shared], lambda e: float(e.right)),
                _by_task([others[p] for p in shared], lambda e: float(e.right)),
                seed,
                resamples,
            )
            if shared and base != key.mode
            else None
        )
        row[f"accuracy_minus_{base}"] = difference.value if difference else None
        row[f"accuracy_minus_{base}_ci95"] = _ends(difference) if difference else None
        row[f"non_inferior_to_{base}"] = (
            non_inferior(difference, terms.margin) if difference and difference.n >= MIN_N else None
        )
    row |= _against_fastest(key, episodes, row, seed, resamples)
    row["floor_mean_s"] = _mean([seconds(e.floor_ns) for e in episodes[key]])
    row["floor_beaten"] = sum(e.right and e.latency_ns < e.floor_ns for e in episodes[key])
    return row


def _against_fastest(key: Key, episodes: Episodes, row: Mapping[str, Any], seed: int, resamples: int) -> dict[str, Any]:
    """What a row gains over the fastest baseline of its group, on the tasks (and seeds) that both got right."""
    base = fastest_baseline(key, episodes)
    empty = {
        "fastest_baseline": base,
        "n_both_right_fastest_baseline": None,
        "speedup_vs_fastest_baseline": None,
        "speedup_vs_fastest_baseline_ci95": None,
    }
    if base is None:
        return empty
    ours, theirs = ({(e.task, e.seed): e for e in episodes[at] if e.right} for at in (key, _in_mode(key, base)))
    both = sorted(ours.keys() & theirs.keys())
    base_s, own_s = (_by_task([side[pair] for pair in both], _latency_s) for side in (theirs, ours))
    gain = _ratio(base_s, own_s, seed, resamples)
    return empty | {
        "n_both_right_fastest_baseline": len({task for task, _ in both}),
        "speedup_vs_fastest_baseline": gain.value if gain else None,
        "speedup_vs_fastest_baseline_ci95": _ends(gain) if gain else None,
    }


def fastest_baseline(key: Key, episodes: Episodes) -> str | None:
    """The mode of `UNHEARING` with the lowest mean latency in a row's group, over what all of them that got anything
    right got right; None where there is no such request. One for all rows of a group: it does not depend on the row's
    mode."""
    right = {
        mode: found
        for mode in UNHEARING
        if (found := {(e.task, e.seed): e for e in episodes.get(_in_mode(key, mode), ()) if e.right})
    }
    shared = sorted(set.intersection(*(set(found) for found in right.values()))) if right else []
    if not shared:
        return None
    means = {
        mode: float(np.mean(_by_task([found[pair] for pair in shared], _latency_s))) for mode, found in right.items()
    }
    return min(means, key=lambda mode: means[mode])


def _in_mode(key: Key, mode: str) -> Key:
    return Key(key.source, key.split, key.backend, mode, key.profile)


def _ratio(numerator: Sequence[float], denominator: Sequence[float], seed: int, resamples: int) -> Interval | None:
    # a latency can be negative where an answer came during the last word; a ratio of such means says nothing
    if not numerator or min(np.mean(numerator), np.mean(denominator)) <= 0:
        return None
    try:
        return ratio_of_means(numerator, denominator, seed, resamples)
    except ValueError:  # too few tasks with something in the denominator
        return None


def _share(
    ours: Sequence[EpisodeRecord], theirs: Sequence[EpisodeRecord], seed: int, resamples: int
) -> Interval | None:
    """Saved time over the time that could be saved, on tasks that both modes get right."""
    if not ours:
        return None
    least = {(e.task, e.seed): seconds(e.floor_ns) for e in ours}
    for e in theirs:
        least[e.task, e.seed] = min(least[e.task, e.seed], seconds(e.floor_ns))
    base, own = _by_task(theirs, _latency_s), _by_task(ours, _latency_s)
    floors = _by_task(ours, lambda e: least[e.task, e.seed])
    return _ratio([b - o for b, o in zip(base, own)], [b - f for b, f in zip(base, floors)], seed, resamples)


def _waste(own: Sequence[EpisodeRecord], n: int) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for episode in own:
        total.update(episode.counts.as_json())
    return {
        "started_calls_per_task": total["started_calls"] / n,
        "early_calls_per_task": total["early_calls"] / n,
        "wasted_calls_per_task": total["wasted_calls"] / n,
        "model_tokens_per_task": total["model_tokens"] / n,
        "wasted_tokens_per_task": total["wasted_tokens"] / n,
        "cuts_per_task": total["cuts"] / n,
        "errors_per_task": total["errors"] / n,
        "held_calls": total["held_calls"],
        "repeated_actions": total["repeated_actions"],
        "effects": total["effects"],
        "wrong_effects_per_100": 100 * total["wrong_effects"] / n,
        "effects_before_last_word_per_100": 100 * total["effects_before_last_word"] / n,
        "wrong_effects_before_last_word_per_100": 100 * total["wrong_effects_before_last_word"] / n,
        "effects_before_commit": total["effects_before_commit"],
        "effects_repeated": total["effects_repeated"],
    }
