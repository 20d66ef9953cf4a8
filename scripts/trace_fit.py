"""Fits what a recogniser's updates look like to traces of one (`scripts.traces`): lags, revisions, mistakes, pauses,
the end.

What a recogniser takes for true changes with every 100 ms; a service may pass that on at once, or hold each word back
until it has stood for a while (`steady`). Either is then cut as `data_gen.speech.timing.updates` cuts (`cut`): the
first that has a word more than what was sent, after a tick, takes the place of what was sent. A word's end is where the
recogniser's own last partial hypothesis has it. Lags are read off; the rate of revisions is that under which the
model's own updates of the same requests are revised as often. Intervals are bootstraps over requests. Owns the
arithmetic; does not know sound.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data_gen.speech.mishearing import mishear
from data_gen.speech.timing import Chunking, speak, updates
from midsentence.clock import ns

ROOT = Path(__file__).parent.parent
OUT = ROOT / "data_gen" / "speech" / "fitted.json"
CHOSEN = ROOT / "configs" / "data" / "speech" / "chosen.yaml"
PERIOD_MS = 480
"""How often a service sends is its own choice, not the recogniser's: that of the other settings."""
RESAMPLES = 1000
HOLDS_MS = {"at_once": 0, "fitted": 100, "steady": 200}
"""The named settings: how long a word must have stood. That of ``fitted`` has nearly the lag that was chosen before."""
PHASES = 4
"""Phases of the tick at which each trace is cut."""
PAUSE_MS = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """A word that the recogniser hears, and where it finds it in the sound."""

    text: str
    start_ms: int
    end_ms: int

    def same_place(self, other: Heard) -> bool:
        """Whether more than half of the shorter lies in the other."""
        common_ms = min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms)
        return 2 * common_ms > min(self.end_ms - self.start_ms, other.end_ms - other.start_ms)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """All that the recogniser hears at a moment."""

    at_ms: int
    words: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """One request as a recogniser heard it, from the first word to the last; times are those of the sound."""

    id: str
    text: str
    speaker: str
    begins_ms: int
    """When speech begins."""
    ends_ms: int
    """When speech ends."""
    partials: tuple[Hypothesis, ...]
    """Each hypothesis that differs from the one before."""
    final: tuple[Heard, ...]
    """After the recogniser was told that the sound is over."""
    cpu_ms: tuple[float, ...]
    """CPU time of each chunk; the last is that of the end."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Trace:
        """A line of the file."""
        partials = tuple(
            Hypothesis(part["at_ms"], tuple(Heard(**word) for word in part["words"])) for part in row["partials"]
        )
        return cls(
            **{
                **row,
                "partials": partials,
                "final": tuple(Heard(**word) for word in row["final"]),
                "cpu_ms": tuple(row["cpu_ms"]),
            }
        )

    @property
    def last(self) -> tuple[Heard, ...]:
        """The words of the last partial hypothesis."""
        return self.partials[-1].words if self.partials else ()

    @property
    def said(self) -> list[str]:
        """The request's words as the recogniser would write them."""
        return re.findall(r"[a-z0-9']+", self.text.lower().replace("’", "'"))


@dataclass(frozen=True, slots=True)
class Change:
    """What one hypothesis changes in what was sent before: a prefix stays, the rest is taken back and said again."""

    at_ms: int
    retracts: int
    adds: tuple[Heard, ...]


def change(at_ms: int, before: Sequence[Heard], now: Sequence[Heard]) -> Change:
    """The change from one hypothesis to the next; words are the same where their texts are."""
    same = next((n for n, (a, b) in enumerate(zip(before, now)) if a.text != b.text), min(len(before), len(now)))
    return Change(at_ms, len(before) - same, tuple(now[same:]))


def changes(partials: Sequence[Hypothesis]) -> list[Change]:
    """Partial hypotheses as updates: each word that is taken back, last heard first, and each that is added."""
    before = Hypothesis(0, ())
    return [change(b.at_ms, a.words, b.words) for a, b in pairwise((before, *partials))]


def cut(partials: Sequence[Hypothesis], period_ms: int, phase_ms: float) -> list[Change]:
    """The updates of a service that sends as `data_gen.speech.timing` does; the last is all that came after, and may be
    empty."""
    sent: tuple[Heard, ...] = ()
    found: list[Change] = []
    ticks = 0
    for partial in partials:
        passed = int((partial.at_ms - phase_ms) // period_ms) + 1
        if passed > ticks and len(partial.words) > len(sent):
            found.append(change(partial.at_ms, sent, partial.words))
            sent, ticks = partial.words, passed
    if partials:
        found.append(change(partials[-1].at_ms, sent, partials[-1].words))
    return found


def right(heard: Sequence[str], said: Sequence[str]) -> tuple[list[bool], int]:
    """Which words of ``heard`` are those of ``said`` in a shortest edit, and how many edits that takes."""
    cost = np.zeros((len(heard) + 1, len(said) + 1), dtype=int)
    cost[:, 0], cost[0, :] = range(len(heard) + 1), range(len(said) + 1)
    for i, word in enumerate(heard, 1):
        for j, other in enumerate(said, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (word != other), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    found, i, j = [False] * len(heard), len(heard), len(said)
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + (heard[i - 1] != said[j - 1]):
            i, j = i - 1, j - 1
            found[i] = heard[i] == said[j]
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return found, int(cost[-1, -1])


def lags(trace: Trace) -> list[tuple[int, int, bool]]:
    """Of each word of the last partial: ms from its end to its first appearance in its place, to when it and all before
    it last changed, and whether it is right."""
    true, _ = right([word.text for word in trace.last], trace.said)
    found = []
    for n, (word, is_right) in enumerate(zip(trace.last, true)):
        first_ms = next(
            part.at_ms for part in trace.partials if any(w.text == word.text and w.same_place(word) for w in part.words)
        )
        begun = [w.text for w in trace.last[: n + 1]]
        settled_ms = trace.partials[-1].at_ms
        for part in reversed(trace.partials):
            if [w.text for w in part.words[: n + 1]] != begun:
                break
            settled_ms = part.at_ms
        found.append((first_ms - word.end_ms, settled_ms - word.end_ms, is_right))
    return found


def steady(partials: Sequence[Hypothesis], hold_ms: int, step_ms: int = 100) -> list[Hypothesis]:
    """What a service passes on that holds each word back until it, and all before it, have stood for so long.

    Its last is that of the recogniser, ``hold_ms`` later. The recogniser speaks every ``step_ms``.
    """
    found: list[Hypothesis] = []
    for at_ms in range(step_ms, (partials[-1].at_ms if partials else 0) + hold_ms + 1, step_ms):
        begun = [part for part in partials if part.at_ms <= at_ms - hold_ms][-1:]
        lately = begun + [part for part in partials if at_ms - hold_ms < part.at_ms <= at_ms]
        if not begun:
            continue
        now = lately[-1].words
        keep = min(len(part.words) - change(at_ms, part.words, now).retracts for part in lately)
        if [word.text for word in now[:keep]] != [word.text for word in (found[-1].words if found else ())]:
            found.append(Hypothesis(at_ms, now[:keep]))
    return found


def counts(request: Sequence[tuple[int, int]]) -> tuple[int, int, int, int, int]:
    """What `moments` needs of a request's updates, given as (words taken back, words added); the last one ends it.

    Returns:
        Partial updates; those that the next takes something back of; how many words that takes back, in all; how often
        it reaches back beyond that update; new words of the partial updates.
    """
    depths = [(after[0], before[1]) for before, after in pairwise(request) if after[0]]
    return (
        len(request) - 1,
        len(depths),
        sum(depth for depth, _ in depths),
        sum(depth > added for depth, added in depths),
        sum(adds - back for back, adds in request[:-1]),
    )


MOMENTS = {"revised": (1, 0), "depth": (2, 1), "beyond": (3, 1), "words_a_partial": (4, 0)}
"""Share of partial updates that the next takes something back of; words that it takes back, where it does; how often
that is more than the update brought; new words of a partial update. As columns of `counts`, one over another."""


def moments(found: Sequence[Sequence[int]]) -> dict[str, float]:
    """What revisions look like over all `counts`."""
    total = np.sum(found, axis=0)
    return {name: float(total[a] / max(1, total[b])) for name, (a, b) in MOMENTS.items()}


def counts_of(trace: Trace) -> np.ndarray:
    """A trace's `counts` at all phases of the tick. Shape (5,)."""
    phases = [PERIOD_MS * k / PHASES for k in range(PHASES)]
    return np.sum(
        [counts([(one.retracts, len(one.adds)) for one in cut(trace.partials, PERIOD_MS, phase)]) for phase in phases],
        axis=0,
    )


def model_moments(texts: Sequence[str], chunking: Chunking, seeds: int = 8) -> dict[str, float]:
    """The same of the model's updates of requests, said by the default voice; nothing is predicted."""
    spoken = [(speak(text.split(), seed), seed) for text in texts for seed in range(seeds)]
    return moments(
        [
            counts([(u.retracts, u.words[1] - u.words[0]) for u in updates(words, seed, chunking)])
            for words, seed in spoken
        ]
    )


def fit_rate(texts: Sequence[str], revised: float, chunking: Chunking) -> float:
    """The revision rate, in hundredths, under which the model revises as many updates; not every word gives room for a
    mistake."""
    low, high = 0, 100
    while low < high:
        middle = (low + high) // 2
        if model_moments(texts, replace(chunking, revision_rate=middle / 100))["revised"] < revised:
            low = middle + 1
        else:
            high = middle
    return low / 100


def interval(figure: Callable[[list[int]], float], requests: int, digits: int = 3) -> list[float]:
    """A figure of requests, given by their indices, with its 95% interval by resampling them."""
    draw = random.Random(0)
    found = sorted(figure(draw.choices(range(requests), k=requests)) for _ in range(RESAMPLES))
    ends = figure(list(range(requests))), found[round(0.025 * RESAMPLES)], found[round(0.975 * RESAMPLES) - 1]
    return [round(float(value), digits) for value in ends]


def ratio(rows: Sequence[Sequence[float]], above: int, below: int, digits: int = 3) -> list[float]:
    """The sum of one column of the requests' rows over that of another, with its interval; 0 where that is nothing."""
    table = np.asarray(rows, dtype=float)

    def figure(chosen: list[int]) -> float:
        total = table[chosen].sum(axis=0)
        return total[above] / total[below] if total[below] else 0.0

    return interval(figure, len(table), digits)


def mean(parts: Sequence[Sequence[float]], digits: int = 0) -> list[float]:
    """The mean of all that requests gave, with its interval."""
    return ratio([(sum(part), len(part)) for part in parts], 0, 1, digits)


def held(traces: Sequence[Trace], hold_ms: int) -> dict[str, Any]:
    """Figures of a service that holds words back for so long: lags of the words that are right, in ms, and
    revisions."""
    streams = [replace(trace, partials=tuple(steady(trace.partials, hold_ms))) for trace in traces]
    first = [np.array([lag for lag, _, is_right in lags(trace) if is_right], dtype=float) for trace in streams]
    found = [counts_of(trace) for trace in streams]

    def percentile(q: int) -> list[float]:
        return interval(lambda chosen: np.percentile(np.concatenate([first[k] for k in chosen]), q), len(first), 0)

    every = [
        one
        for trace in streams
        for k in range(PHASES)
        for one in cut(trace.partials, PERIOD_MS, PERIOD_MS * k / PHASES)
    ]
    depths = Counter(one.retracts for one in every if one.retracts)
    return {
        "right_words": sum(map(len, first)),
        "updates": int(sum(row[0] for row in found)) // PHASES,
        **{f"lag_p{q}_ms": percentile(q) for q in (10, 50, 90)},
        "lag_mean_ms": mean(first),
        **{name: ratio(found, a, b) for name, (a, b) in MOMENTS.items()},
        "depths": {str(n): round(depths[n] / depths.total(), 3) for n in sorted(depths)},
    }


def mistakes(traces: Sequence[Trace]) -> dict[str, Any]:
    """What stood in the place of words that are right in the end, when the hypotheses took it back."""
    kinds: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for trace in traces:
        true = [word for word, ok in zip(trace.last, right([word.text for word in trace.last], trace.said)[0]) if ok]
        seen = {
            (word.text, place)
            for part in trace.partials
            for word in part.words
            for place in true
            if word.same_place(place)
        }
        for text, place in seen:
            if text != place.text:
                kinds[kind_of(text, place.text)] += 1
                pairs[place.text, text] += 1
    common = [
        [said, heard, n] for (said, heard), n in sorted(pairs.items(), key=lambda item: (-item[1], item[0])) if n > 2
    ]
    return {"kinds": dict(sorted(kinds.items())), "common": common}


def kind_of(heard: str, said: str) -> str:
    """How a mistake is like the word: its ``beginning``, a ``double`` of the model's list, one that ``begins_alike``,
    or ``other``."""
    if said.startswith(heard):
        return "beginning"
    if len(said) < 4 and mishear(said) == heard:
        return "double"
    return "begins_alike" if said[:2] == heard[:2] else "other"


def pauses(traces: Sequence[Trace]) -> dict[str, Any]:
    """Words with a pause behind them: their lags, and how many change after speech has gone on."""
    before, elsewhere, changed = [], [], []
    for trace in traces:
        found = [(b.start_ms - a.end_ms, *lag[:2]) for (a, b), lag in zip(pairwise(trace.last), lags(trace))]
        before.append([first for gap, first, _ in found if gap >= PAUSE_MS])
        elsewhere.append([first for gap, first, _ in found if gap < PAUSE_MS])
        changed.append([float(settled > gap) for gap, _, settled in found if gap >= PAUSE_MS])
    return {
        "pauses": sum(map(len, before)),
        "lag_mean_ms": mean(before),
        "lag_mean_elsewhere_ms": mean(elsewhere),
        "changed_after": mean(changed, 3),
    }


def errors(traces: Sequence[Trace]) -> dict[str, Any]:
    """Word error rates, and what the recogniser's second pass makes of its last partial hypothesis."""
    rows = []
    for trace in traces:
        last, final = ([word.text for word in words] for words in (trace.last, trace.final))
        changed = right(last, final)[1]
        rows.append((len(trace.said), right(last, trace.said)[1], right(final, trace.said)[1], changed, changed > 0, 1))
    return {
        "requests": len(traces),
        "words": sum(row[0] for row in rows),
        "wrong_in_last_partial": ratio(rows, 1, 0),
        "wrong_in_final": ratio(rows, 2, 0),
        "words_changed_by_end": ratio(rows, 3, 0),
        "requests_changed_by_end": ratio(rows, 4, 5),
    }


def revised(traces: Sequence[Trace]) -> dict[str, Any]:
    """Word error rate, and share of revised updates where words are held back as in ``fitted``."""
    streams = [replace(trace, partials=tuple(steady(trace.partials, HOLDS_MS["fitted"]))) for trace in traces]
    wrong = errors(traces)["wrong_in_last_partial"]
    return {
        "requests": len(traces),
        "wrong_in_last_partial": wrong,
        "revised": ratio([counts_of(trace) for trace in streams], 1, 0),
    }


def fit_all(traces: Sequence[Trace]) -> dict[str, Any]:
    """All figures, and the named settings that follow from those of Piper's voice."""
    traces = [trace for trace in traces if trace.partials and trace.said]
    piper, espeak = ([trace for trace in traces if trace.speaker.startswith(name)] for name in ("joe", "espeak"))
    piper.sort(key=lambda trace: right([word.text for word in trace.last], trace.said)[1] / len(trace.said))
    streams = {name: held(piper, hold_ms) for name, hold_ms in HOLDS_MS.items()}
    texts = [trace.text for trace in piper]
    settings = {name: settings_of(found, texts) for name, found in streams.items()}
    modelled = {
        name: {key: round(value, 3) for key, value in model_moments(texts, chunking_of(values)).items()}
        for name, values in {"chosen": yaml.safe_load(CHOSEN.read_text("utf-8")), **settings}.items()
    }
    chunks = [ms for trace in traces for ms in trace.cpu_ms[:-1]]
    groups = {"fewer_errors": piper[: len(piper) // 2], "more_errors": piper[len(piper) // 2 :], "espeak": espeak}
    return {
        "made_by": "python -m scripts.traces fit write=yes",
        "hold_ms": HOLDS_MS,
        "settings": settings,
        "modelled": modelled,
        "held": streams,
        "errors": {name: errors(found) for name, found in (("piper", piper), ("espeak", espeak)) if found},
        "revised_by": {name: revised(found) for name, found in groups.items() if found},
        "pauses": pauses(piper),
        "mistakes": mistakes(piper),
        "last_word_ends_after_sound_ms": mean([[trace.last[-1].end_ms - trace.ends_ms] for trace in piper]),
        "cpu_ms_a_chunk": {
            "median": round(float(np.median(chunks)), 1),
            "p95": round(float(np.percentile(chunks, 95)), 1),
        },
    }


def settings_of(found: dict[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Settings of group data that have the figures of `held`, to hundredths."""
    least_ms = max(0, found["lag_p10_ms"][0])
    lag_ms, spread_ms = (10 * round(value / 10) for value in (least_ms, found["lag_mean_ms"][0] - least_ms))
    settings = {
        "period_s": PERIOD_MS / 1000,
        "lag_s": lag_ms / 1000,
        "lag_spread_s": spread_ms / 1000,
        "revision_rate": 0.0,
        "revision_words": 3,
        "closing_marks": False,
    }
    return settings | {"revision_rate": fit_rate(texts, found["revised"][0], chunking_of(settings))}


def chunking_of(settings: Mapping[str, Any]) -> Chunking:
    """The recogniser of some settings of group data, with the default endpoint's delay; no end is predicted, and none
    is false."""
    return Chunking(
        ns(settings["period_s"]),
        ns(settings["lag_s"]),
        ns(0.6),
        revision_rate=settings["revision_rate"],
        revision_words=settings["revision_words"],
        closing_marks=settings["closing_marks"],
        lag_spread_ns=ns(settings["lag_spread_s"]),
    )
