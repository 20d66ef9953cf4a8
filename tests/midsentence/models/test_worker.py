"""The thread over a model: how far it runs ahead, and that a context whose model fails fails alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from midsentence.models.worker import ModelWorker


@dataclass(eq=False)
class _Stream:
    length: int = 10
    seed: int = 0


class Lagging:
    """Counts how far it was let run ahead."""

    end_ids = frozenset()

    def __init__(self) -> None:
        self.decoded, self.steps = 0, threading.Semaphore(0)

    def open(self, prompt_ids, seed=0):
        return _Stream(seed=seed)

    def append(self, batch): ...

    def decode(self, streams, masks=None):
        self.decoded += 1
        self.steps.release()
        return [7] * len(streams)

    def crop(self, stream, length): ...

    def close(self, stream): ...


@pytest.mark.parametrize(("keep", "length"), [(0, 10), (1, 13), (3, 15)])
def test_a_stop_that_keeps_nothing_takes_the_header_back(keep, length):
    cropped = []

    class Stub(Lagging):
        def append(self, batch):
            for stream, ids in batch:
                stream.length += len(ids)

        def open(self, prompt_ids, seed=0):
            return _Stream()

        def decode(self, streams, masks=None):
            for stream in streams:
                stream.length += 1
            return super().decode(streams, masks)

        def crop(self, stream, length):
            cropped.append(length)
            stream.length = length

    model = Stub()
    with ModelWorker(model) as worker:
        context, got = worker.open([1]).result(5), []
        context.write((5, 6), None, got.append)
        for _ in range(4):
            assert model.steps.acquire(timeout=5)
            context.append(()).result(5)
            context.took()
        context.stop(keep)
        context.append(()).result(5)
        assert (cropped, context.stream.length) == ([length], length)


def test_one_context_that_fails_in_a_shared_step_fails_alone():
    batches = []

    class Stub(Lagging):
        def __init__(self) -> None:
            super().__init__()
            self.gate = threading.Event()

        def open(self, prompt_ids, seed=0):
            if seed == 9:
                assert self.gate.wait(5)
            return _Stream(seed=seed)

        def decode(self, streams, masks=None):
            batches.append([stream.seed for stream in streams])
            if any(stream.seed == 1 for stream in streams):
                raise ValueError("bad numbers")
            return super().decode(streams, masks)

    model, good, bad = Stub(), [], []
    with ModelWorker(model) as worker:
        one, two = worker.open([1], 1).result(5), worker.open([1], 2).result(5)
        worker.open([1], 9)  # holds the thread, so that both begin at once
        one.write((), None, bad.append)
        two.write((), None, good.append)
        model.gate.set()
        assert model.steps.acquire(timeout=5)
        two.append(()).result(5)
        assert batches[:3] == [[1, 2], [1], [2]]
        assert [str(error) for error in bad] == ["bad numbers"] and good[0] == 7


@pytest.mark.parametrize(("contexts", "lead"), [(1, 1), (2, 3)])
def test_the_model_runs_only_a_few_tokens_ahead_and_alone_not_at_all(contexts, lead):
    model, got = Lagging(), []
    with ModelWorker(model, lead_tokens=3) as worker:
        opened = [worker.open([1]).result(5) for _ in range(contexts)]
        for context in opened:
            context.write((), None, got.append)
        for context in opened:
            context.append([1]).result(5)
        while len(got) < lead * contexts:
            assert model.steps.acquire(timeout=5)
        opened[0].append([1]).result(5)  # the thread has gone round since
        assert got == [7] * lead * contexts
        opened[0].took()
        while len(got) < lead * contexts + 1:
            assert model.steps.acquire(timeout=5)
        opened[0].append([1]).result(5)
        assert len(got) == lead * contexts + 1
        for context in opened:
            context.stop(0)
            context.close()


@pytest.mark.parametrize("half", [False, True], ids=["nothing_done", "half_done"])
def test_one_context_that_fails_in_a_shared_append_fails_alone(half):
    """The others are taken in by themselves, unless the pass that broke has changed them already."""
    gate = threading.Event()

    class Stub(Lagging):
        def open(self, prompt_ids, seed=0):
            if seed == 9:
                assert gate.wait(5)
            return super().open(prompt_ids, seed)

        def append(self, batch):
            if half and len(batch) > 1:
                batch[1][0].length += 1
            if any(stream.seed == 1 for stream, _ in batch):
                raise OSError("append failed")
            for stream, ids in batch:
                stream.length += len(ids)

    with ModelWorker(Stub()) as worker:
        bad, *good = [worker.open([1], seed).result(5) for seed in (1, 2, 3)]
        worker.open([1], 9)  # holds the thread, so that all are asked for at once
        done = [context.append([5, 6]) for context in (bad, *good)]
        gate.set()
        errors = [future.exception(5) for future in done]
        assert [type(error) for error in errors] == [OSError, OSError if half else type(None), type(None)]
        assert [context.stream.length for context in good] == [11 if half else 12, 12]
