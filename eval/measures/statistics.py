"""Confidence intervals for figures over tasks.

Owns the arithmetic of uncertainty: paired bootstrap over tasks, intervals for proportions, non-inferiority. Does not
know what is measured; it takes arrays with one row a task. Where an outcome was drawn with several seeds, an array is
``(n, seeds)``; a task's seeds are averaged and tasks are resampled, so that ten seeds of one task don't pass for ten
tasks.

| function | symbol | unit | better |
|---|---|---|---|
| `mean` | x̄ | that of the values | says its caller |
| `mean_difference` | x̄ − ȳ | that of the values | says its caller |
| `accuracy_difference` | p − q | share of tasks | higher: ours above theirs |
| `ratio_of_means` | x̄ / ȳ | none | speedup (baseline over ours): higher; cost (ours over baseline): lower |
| `proportion` | k / n | share of cases | says its caller |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

MIN_N = 10
"""Fewest tasks from which an interval or a percentage is given; below, the figure stands alone, as value or as k/n."""

LEVEL = 0.95
"""Coverage of every interval here."""

_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its two-sided 95% interval."""

    value: float
    """The estimate from the tasks as they are."""
    low: float
    """Lower end; ``-inf`` where fewer than `MIN_N` tasks say nothing."""
    high: float
    """Upper end; ``inf`` likewise."""
    n: int
    """Tasks it was computed from."""

    def text(self, digits: int = 2) -> str:
        """``1.52 [1.40, 1.66]``; from fewer than `MIN_N` tasks ``1.52 (n = 7)``."""
        if self.n < MIN_N:
            return f"{self.value:.{digits}f} (n = {self.n})"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def as_json(self) -> dict[str, float | int | None]:
        """Its fields; an end that is not known is None, for JSON has no infinity."""
        ends = {name: end if math.isfinite(end) else None for name, end in (("low", self.low), ("high", self.high))}
        return {"value": self.value, **ends, "n": self.n}


@dataclass(frozen=True, slots=True)
class Proportion:
    """k of n cases."""

    k: int
    """Cases that are counted."""
    n: int
    """All cases."""

    def __post_init__(self) -> None:
        if not 0 <= self.k <= self.n:
            raise ValueError(f"{self.k} of {self.n} is no proportion; k must lie between 0 and n")

    @property
    def interval(self) -> Interval | None:
        """The share with its Wilson score interval (Wilson, 1927); None for fewer than `MIN_N` cases."""
        if self.n < MIN_N:
            return None
        p, n = self.k / self.n, self.n
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        # at k = 0 and k = n the ends are exactly 0 and 1; rounding must not say otherwise
        low = 0.0 if self.k == 0 else centre - half
        high = 1.0 if self.k == n else centre + half
        return Interval(p, low, high, n)

    @property
    def upper_bound(self) -> float:
        """Exact one-sided 95% upper bound (Clopper and Pearson, 1934); for k = 0 nearly 3/n. 1 where n is 0."""
        if self.k == self.n:
            return 1.0
        low, high = self.k / self.n, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            if _binomial_cdf(self.k, self.n, middle) > 1 - LEVEL:
                low = middle
            else:
                high = middle
        return high

    @property
    def text(self) -> str:
        """``87.3% [84.1, 90.0]``; ``2/300 (at most 2.1%)`` where k is under `MIN_N`; ``3/7`` where n is."""
        interval = self.interval
        if interval is None:
            return f"{self.k}/{self.n}"
        if self.k < MIN_N:
            return f"{self.k}/{self.n} (at most {100 * self.upper_bound:.2g}%)"
        return f"{100 * interval.value:.1f}% [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def proportion(outcomes: ArrayLike) -> Proportion:
    """Counts outcomes that are 0 or 1 (or booleans).

    Raises:
        ValueError: an outcome is neither 0 nor 1.
    """
    values = np.asarray(outcomes, dtype=float).reshape(-1)
    strange = values[(values != 0) & (values != 1)]
    if len(strange):
        raise ValueError(f"{strange[0]} is no outcome of a proportion; give 0 or 1, or use mean")
    return Proportion(int(values.sum()), len(values))


def mean(values: ArrayLike, seed: int, resamples: int = 10_000) -> Interval:
    """Mean over tasks, with a percentile bootstrap interval.

    Args:
        values: one row a task: ``(n,)`` or ``(n, seeds)``, in any unit, which the result keeps.
        seed: of the resampling; the same seed gives the same interval.
        resamples: bootstrap resamples of the tasks.

    Raises:
        ValueError: no tasks, or a value that is not finite (a failure has no latency: leave it out, and say so).
    """
    return _bootstrap((_per_task("values", values),), lambda means: means[0], seed, resamples)


def mean_difference(ours: ArrayLike, theirs: ArrayLike, seed: int, resamples: int = 10_000) -> Interval:
    """Mean of ours − theirs over paired tasks, with a percentile bootstrap interval; above 0 where ours are larger.

    Where every pair differs alike, the interval has no width: resampling can't show what never happened. For outcomes
    use `accuracy_difference`, which knows better.

    Args:
        ours: one row a task: ``(n,)`` or ``(n, seeds)``.
        theirs: the same tasks in the same order, in the same unit.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks.

    Raises:
        ValueError: as in `mean`, or the two have different numbers of tasks.
    """
    x, y = _paired("ours", ours, "theirs", theirs)
    return _bootstrap((x - y,), lambda means: means[0], seed, resamples)


def accuracy_difference(ours: ArrayLike, theirs: ArrayLike, seed: int, resamples: int = 10_000) -> Interval:
    """Difference in the share of tasks that succeed, ours − theirs, over paired tasks.

    The paired bootstrap interval, widened where need be to that of Agresti and Min (2005) for matched pairs, which
    adds half a pair to each cell of the table. So two modes that never disagree on ten tasks are not called equal.

    Args:
        ours: outcomes in [0, 1], one row a task: ``(n,)`` or ``(n, seeds)``.
        theirs: the same tasks in the same order.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks.

    Raises:
        ValueError: as in `mean_difference`, or an outcome outside [0, 1].
    """
    x, y = _paired("ours", ours, "theirs", theirs)
    for name, values in (("ours", x), ("theirs", y)):
        if values.min() < 0 or values.max() > 1:
            raise ValueError(f"{name} has outcomes in [{values.min()}, {values.max()}]; an outcome lies in [0, 1]")
    found = mean_difference(x, y, seed, resamples)
    if found.n < MIN_N:
        return found
    d, n = x - y, len(x) + 2
    centre = d.sum() / n
    half = _Z * math.sqrt((d**2).sum() + 1 - d.sum() ** 2 / n) / n
    low, high = min(found.low, centre - half), max(found.high, centre + half)
    return Interval(found.value, max(-1.0, float(low)), min(1.0, float(high)), found.n)


def ratio_of_means(numerator: ArrayLike, denominator: ArrayLike, seed: int, resamples: int = 10_000) -> Interval:
    """Mean over mean of paired tasks, with a percentile bootstrap interval. A speedup is baseline latency over ours.

    A ratio of means, not a mean of ratios: it is the ratio of the time that all tasks take. `share_of_saving` is of
    this form too (Σ saved over Σ that could be saved).

    Args:
        numerator: one row a task: ``(n,)`` or ``(n, seeds)``.
        denominator: the same tasks in the same order, in the same unit.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks.

    Raises:
        ValueError: as in `mean_difference`, or the denominator's mean is not above 0, in the tasks or in a resample.
    """
    pair = _paired("numerator", numerator, "denominator", denominator)
    if pair[1].mean() <= 0:
        raise ValueError(f"the denominator's mean is {pair[1].mean()}; a ratio needs one above 0")
    return _bootstrap(pair, _ratio, seed, resamples)


def non_inferior(difference: Interval, margin: float, higher_is_better: bool = True) -> bool:
    """Whether ours are shown to be worse by less than ``margin``: the whole interval says so, not its middle.

    Args:
        difference: ours − theirs, from `accuracy_difference` or `mean_difference`.
        margin: the loss that would be accepted, fixed beforehand, in the difference's unit; not negative.
        higher_is_better: False for latency and cost.

    Raises:
        ValueError: the margin is negative or no number.
    """
    if not margin >= 0:
        raise ValueError(f"margin is {margin}; give the loss that would be accepted, 0 or more")
    return difference.low > -margin if higher_is_better else difference.high < margin


def _per_task(name: str, values: ArrayLike) -> np.ndarray:
    """One finite value a task, seeds averaged: ``(n,)`` or ``(n, seeds)`` to ``(n,)`` float."""
    array = np.asarray(values, dtype=float)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {array.shape}; give (tasks,) or (tasks, seeds)")
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}; there is no figure over no tasks")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row = int(bad[0][0])
        raise ValueError(f"{name}[{row}] is {array[row]}; leave out tasks without a finite value, and report how many")
    return array if array.ndim == 1 else array.mean(axis=1)


def _paired(name: str, values: ArrayLike, other_name: str, other: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays over the same tasks."""
    x, y = _per_task(name, values), _per_task(other_name, other)
    if len(x) != len(y):
        raise ValueError(
            f"{name} has {len(x)} tasks and {other_name} has {len(y)}; pair the same tasks in the same order"
        )
    return x, y


def _ratio(means: tuple[np.ndarray, ...]) -> np.ndarray:
    bad = int(np.sum(means[1] <= 0))
    if bad:
        raise ValueError(
            f"the denominator's mean is not above 0 in {bad} of {np.size(means[1])} resamples; too few tasks have a "
            "positive one for a ratio: report the two means instead"
        )
    ratio: np.ndarray = means[0] / means[1]
    return ratio


def _bootstrap(
    columns: tuple[np.ndarray, ...],
    statistic: Callable[[tuple[np.ndarray, ...]], np.ndarray],
    seed: int,
    resamples: int,
) -> Interval:
    """Percentile interval of a function of column means, rows resampled together (Efron and Tibshirani, 1993)."""
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; give at least 1, 10,000 for a report")
    n = len(columns[0])
    value = float(statistic(tuple(column.mean() for column in columns)))
    if n < MIN_N:
        return Interval(value, -math.inf, math.inf, n)
    random = np.random.default_rng(seed)
    drawn = []
    step = max(1, _DRAWS_AT_ONCE // n)  # bounds memory; the draws are the same whatever the step
    for start in range(0, resamples, step):
        rows = random.integers(n, size=(min(step, resamples - start), n))
        drawn.append(tuple(column[rows].mean(axis=1) for column in columns))
    found = statistic(tuple(np.concatenate(parts) for parts in zip(*drawn)))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high), n)


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X ≤ k) of a binomial, for 0 < p < 1, by logarithms."""
    log_p, log_q = math.log(p), math.log1p(-p)
    choose = math.lgamma(n + 1)
    return math.fsum(
        math.exp(choose - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        for i in range(k + 1)
    )
