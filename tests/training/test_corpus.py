"""Many files are read side by side, and come to the same."""

from __future__ import annotations

import numpy as np
import pytest

from agent.models.load import load_renderer
from data_gen import generate
from data_gen.trajectory import BadData
from training import corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.training.conftest import compose_settings
    folder = tmp_path_factory.mktemp("data") / "many"
    generate.main(compose_settings(
        "experiment=debug", "data.sizes={train: 12, validation: 0, test: 0}", "data.shard_rows=2", f"out={folder}",
    ))
    return folder


def read(folder, **options):
    return corpus.read_source(folder, load_renderer("tiny", "token", "none"), **{"max_length": 2048, **options})


@pytest.mark.parametrize("too_long", ["drop", "cut"])
def test_files_read_side_by_side_come_to_the_same(folder, monkeypatch, too_long):
    monkeypatch.setattr(corpus.os, "sched_getaffinity", lambda _: {0}, raising=False)
    options = {"max_length": int(np.median([len(example) for example in read(folder).examples])), "too_long": too_long}
    one = read(folder, **options)
    assert one.dropped or one.cut
    monkeypatch.setattr(corpus.os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(corpus, "LEAST_SHARDS", 2)
    begun = []
    pool = corpus.ProcessPoolExecutor
    monkeypatch.setattr(corpus, "ProcessPoolExecutor", lambda *given: begun.append(given[0]) or pool(*given))
    many = read(folder, **options)
    assert begun == [3]
    assert (one.dropped, one.cut, one.empty) == (many.dropped, many.cut, many.empty)
    assert len(one.examples) == len(many.examples) > 0
    for a, b in zip(one.examples, many.examples, strict=True):
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("ids", "labels", "kinds"))
        assert (a.starts, a.prompt_tokens) == (b.starts, b.prompt_tokens)


def test_what_is_wrong_in_one_file_is_said_by_all(folder, monkeypatch):
    monkeypatch.setattr(corpus.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(corpus, "LEAST_SHARDS", 2)
    with pytest.raises(BadData, match="nothing to train on"):
        read(folder, max_length=5)
