"""The order of training: every example once an epoch, whole batches, budgets, mixing, and the same again from the
seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import packing
from training.packing import pack, schedule


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60), window=st.integers(1, 80))
def test_packing_keeps_each_example_whole_and_once(lengths, window):
    rows = pack(range(len(lengths)), lengths, 50, window)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 50 for row in rows)


def test_packing_fills_rows():
    assert pack([0, 1, 2, 3], [30, 25, 20, 25], 50) == [(0, 2), (1, 3)]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    batch=st.integers(1, 5),
    epochs=st.sampled_from([0.5, 1.0, 2.0]),
    packing=st.booleans(),
    seed=st.integers(0, 5),
)
def test_a_schedule_is_whole_batches_from_its_seed_alone(sizes, batch, epochs, packing, seed):
    lengths = [10 + n % 7 for n in range(sum(sizes))]
    plans = [
        schedule(lengths, sizes, seed=seed, batch_rows=batch, max_length=40, packing=packing, epochs=epochs)
        for _ in range(2)
    ]
    assert plans[0] == plans[1]
    assert len(plans[0].rows) == plans[0].steps * batch >= batch
    assert plans[0].tokens == sum(lengths[index] for row in plans[0].rows for index in row)


def test_an_epoch_has_every_example_once_and_the_next_another_order():
    plan = schedule([5] * 12, [12], seed=1, batch_rows=4, max_length=5, epochs=2)
    first, second = plan.rows[:12], plan.rows[12:]
    assert sorted(first) == sorted(second) == [(n,) for n in range(12)]
    assert first != second


def test_steps_and_tokens_end_a_run():
    lengths = [10] * 20
    assert schedule(lengths, [20], seed=0, batch_rows=2, max_length=10, max_steps=3).steps == 3
    budget = schedule(lengths, [20], seed=0, batch_rows=2, max_length=10, max_tokens=99)
    assert (budget.steps, budget.tokens) == (4, 80)
    assert schedule(lengths, [20], seed=0, batch_rows=2, max_length=10, max_tokens=1).steps == 1
    shared = schedule(
        lengths,
        [20],
        seed=0,
        batch_rows=4,
        max_length=10,
        max_tokens=99,
        micro_batch_rows=2,
        cost=lambda rows: 10 + 2 * (sum(map(len, rows)) - 1),
    )
    assert (shared.steps, shared.tokens) == (4, 4 * 2 * 12)  # the cost is that of micro-batches, not of examples
    whole = schedule(lengths, [20], seed=0, batch_rows=2, max_length=10)
    assert whole.rows[:8] == budget.rows  # the budget shortens the run and changes nothing else


@pytest.mark.parametrize(("weights", "share"), [([], 10), ([1, 1], 20), ([3, 1], 30)])
def test_sources_are_mixed_by_weight(weights, share):
    plan = schedule([1] * 40, [10, 30], seed=0, batch_rows=1, max_length=1, weights=weights)
    counts = Counter(row[0] < 10 for row in plan.rows)
    assert counts[True] == share
    assert counts[False] == 40 - share


def test_no_epoch_is_packed_that_a_run_of_so_many_steps_does_not_reach(monkeypatch):
    lengths, packed = [10 + n % 7 for n in range(40)], []
    monkeypatch.setattr(packing, "pack", lambda *given: packed.append(1) or pack(*given))
    whole = schedule(lengths, [40], seed=3, batch_rows=2, max_length=40, epochs=50)
    assert len(packed) == 50
    for steps in (1, 10, 17):
        packed.clear()
        plan = schedule(lengths, [40], seed=3, batch_rows=2, max_length=40, epochs=50, max_steps=steps)
        assert plan.rows == whole.rows[: 2 * steps]
        assert len(packed) <= 3
    assert schedule(lengths, [40], seed=3, batch_rows=2, max_length=40, max_steps=99).steps < 99  # an epoch has no more
