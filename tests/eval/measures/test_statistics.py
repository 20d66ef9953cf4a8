"""Statistics: known values, coverage on simulated tasks, and errors that say what to do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from eval.measures import statistics
from eval.measures.statistics import (
    Interval,
    Proportion,
    accuracy_difference,
    mean,
    mean_difference,
    non_inferior,
    proportion,
    ratio_of_means,
)


def latencies(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Paired skewed latencies in seconds; the true ratio of means is 1.5."""
    random = np.random.default_rng(seed)
    hardness = random.gamma(4, 0.25, n)
    return 3 * hardness * random.gamma(9, 1 / 9, n), 2 * hardness * random.gamma(9, 1 / 9, n)


def test_a_ratio_of_means_is_not_a_mean_of_ratios():
    found = ratio_of_means([1.0] * 9 + [11.0], [1.0] * 10, seed=1)
    assert found.value == 2.0 and found.n == 10
    assert ratio_of_means([3.0] * 10, [2.0] * 10, seed=1) == Interval(1.5, 1.5, 1.5, 10)
    doubled = ratio_of_means([2.0] * 5 + [10.0] * 5, [1.0] * 5 + [5.0] * 5, seed=1)
    assert (doubled.low, doubled.value, doubled.high) == pytest.approx((2, 2, 2)), "pairs are resampled together"


def test_the_interval_of_a_mean_agrees_with_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = mean(values, seed=1)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.03)


def test_pairing_makes_the_interval_narrower():
    slow, fast = latencies(3)
    paired = mean_difference(slow, fast, seed=1)
    shuffled = mean_difference(slow, np.random.default_rng(0).permutation(fast), seed=1)
    assert paired.value == pytest.approx(shuffled.value)
    assert paired.high - paired.low < 0.85 * (shuffled.high - shuffled.low)


@pytest.mark.parametrize(
    ("interval_of", "truth"),
    [
        (lambda x, y, seed: ratio_of_means(x, y, seed, 400), 1.5),
        (lambda x, y, seed: mean_difference(x, y, seed, 400), 1.0),
        (lambda x, y, seed: mean(x, seed, 400), 3.0),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(interval_of, truth):
    covered = [found.low <= truth <= found.high for s in range(300) for found in [interval_of(*latencies(s), s)]]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_accuracy_differences_cover_the_truth_even_where_modes_hardly_disagree():
    covered = []
    for s in range(300):
        random = np.random.default_rng(s)
        theirs = random.random(40) < 0.95
        ours = np.where(random.random(40) < 0.04, ~theirs, theirs)  # truth: 0.04 × (0.05 − 0.95)
        found = accuracy_difference(ours, theirs, s, 400)
        covered.append(found.low <= -0.036 <= found.high)
    assert np.mean(covered) >= 0.94


def test_modes_that_never_disagree_on_few_tasks_are_not_called_equal():
    same = np.ones(10)
    assert mean_difference(same, same, seed=1) == Interval(0.0, 0.0, 0.0, 10)
    found = accuracy_difference(same, same, seed=1)
    assert found.value == 0 and found.low == pytest.approx(-1.96 / 12, abs=1e-3) and found.high == -found.low
    assert not non_inferior(found, 0.05)
    many = np.ones(1000)
    assert non_inferior(accuracy_difference(many, many, seed=1), 0.05)


def test_seeds_of_one_task_do_not_pass_for_tasks():
    random = np.random.default_rng(1)
    task = random.normal(size=(30, 1))
    once, often = mean(task, seed=1), mean(np.repeat(task, 10, axis=1), seed=1)
    assert often.n == 30
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    pooled = mean(np.repeat(task, 10, axis=1).reshape(-1), seed=1)
    assert pooled.high - pooled.low < 0.5 * (once.high - once.low)


def test_a_seed_gives_the_same_interval_and_memory_is_bounded(monkeypatch):
    slow, fast = latencies(1)
    found = ratio_of_means(slow, fast, seed=7, resamples=1000)
    assert ratio_of_means(slow, fast, seed=7, resamples=1000) == found
    assert ratio_of_means(slow, fast, seed=8, resamples=1000) != found
    monkeypatch.setattr(statistics, "_DRAWS_AT_ONCE", 1000)
    assert ratio_of_means(slow, fast, seed=7, resamples=1000) == found


def test_few_tasks_give_a_value_and_no_interval():
    found = mean([1.0, 2.0, 3.0], seed=1)
    assert found == Interval(2.0, -math.inf, math.inf, 3)
    assert found.text() == "2.00 (n = 3)"
    assert json.loads(json.dumps(found.as_json())) == {"value": 2.0, "low": None, "high": None, "n": 3}
    assert not non_inferior(found, 100)
    assert accuracy_difference([1, 1], [0, 1], seed=1) == Interval(0.5, -math.inf, math.inf, 2)
    assert Interval(1.516, 1.4, 1.66, 10).text() == "1.52 [1.40, 1.66]"


# --- proportions ---


def test_wilson_and_exact_bounds_agree_with_published_values():
    # Newcombe (1998), Table I, method 3: 81/263 and 15/148
    for k, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)]:
        found = Proportion(k, n).interval
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert Proportion(0, 300).upper_bound == pytest.approx(1 - 0.05 ** (1 / 300))
    assert Proportion(1, 10).upper_bound == pytest.approx(0.3942, abs=1e-4)
    assert Proportion(0, 20).interval.low == 0 and Proportion(20, 20).interval.high == 1
    assert Proportion(20, 20).upper_bound == Proportion(0, 0).upper_bound == 1


def test_proportions_as_a_report_prints_them():
    assert Proportion(262, 300).text == "87.3% [83.1, 90.6]"
    assert Proportion(0, 300).text == "0/300 (at most 0.99%)"
    assert Proportion(3, 7).text == "3/7" and Proportion(3, 7).interval is None
    assert proportion([True, False, 1, 0, 0]) == Proportion(2, 5)
    assert proportion([]) == Proportion(0, 0)


# --- non-inferiority ---


def test_non_inferior_asks_the_whole_interval():
    assert non_inferior(Interval(0.0, -0.01, 0.01, 300), margin=0.02)
    assert not non_inferior(Interval(0.0, -0.03, 0.03, 300), margin=0.02)
    assert not non_inferior(Interval(0.0, -0.02, 0.02, 300), margin=0.02), (
        "the margin itself is not less than the margin"
    )
    assert non_inferior(Interval(-1.0, -2.0, 0.1, 300), margin=0.2, higher_is_better=False)
    assert not non_inferior(Interval(-1.0, -2.0, 0.3, 300), margin=0.2, higher_is_better=False)


# --- errors ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([], seed=1), r"values is empty, shape \(0,\)"),
        (lambda: mean(np.ones((2, 2, 2)), seed=1), r"values has shape \(2, 2, 2\); give \(tasks,\)"),
        (lambda: mean([1.0, math.inf], seed=1), r"values\[1\] is inf; leave out tasks without a finite value"),
        (lambda: mean_difference([1.0], [math.nan], seed=1), r"theirs\[0\] is nan"),
        (lambda: mean_difference([1.0, 2.0], [1.0], seed=1), "ours has 2 tasks and theirs has 1; pair the same tasks"),
        (lambda: ratio_of_means([1.0], [0.0], seed=1), "the denominator's mean is 0.0; a ratio needs one above 0"),
        (lambda: ratio_of_means(np.ones(10), np.eye(10)[0], seed=1), r"not above 0 in \d+ of 10000 resamples"),
        (lambda: accuracy_difference([2.0], [1.0], seed=1), r"ours has outcomes in \[2.0, 2.0\]"),
        (lambda: proportion([1, 0.5]), "0.5 is no outcome of a proportion"),
        (lambda: Proportion(3, 2), "3 of 2 is no proportion"),
        (lambda: non_inferior(Interval(0, 0, 0, 10), margin=-1), "margin is -1"),
        (lambda: mean([1.0] * 10, seed=1, resamples=0), "resamples is 0"),
    ],
)
def test_what_cannot_be_computed_says_why(call, message):
    with pytest.raises(ValueError, match=message):
        call()
