"""Many files are read side by side, and come to the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_gen import generate
from data_gen.trajectory import BadData
from midsentence.models.load import load_renderer
from training import corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.training.conftest import compose_settings

    folder = tmp_path_factory.mktemp("data") / "many"
    generate.main(
        compose_settings(
            "experiment=debug",
            "data.sizes={train: 12, validation: 0, test: 0}",
            "data.shard_rows=2",
            f"out={folder}",
        )
    )
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
    monkeypatch.setattr(
        corpus, "ProcessPoolExecutor", lambda *given, **named: begun.append(given[0]) or pool(*given, **named)
    )
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


def test_rows_of_episodes_without_an_answer_are_left_out_and_counted(folder, monkeypatch):
    """An expert that fell into errors is nobody's example."""
    monkeypatch.setattr(corpus.os, "sched_getaffinity", lambda _: {0}, raising=False)
    shard = corpus.read_shard
    monkeypatch.setattr(
        corpus,
        "read_shard",
        lambda path: [replace(row, outcome="invalid_actions") if n == 0 else row for n, row in enumerate(shard(path))],
    )
    source = read(folder)
    assert (source.failed, len(source.examples)) == (6, 6)
    assert "6 rows" in corpus.describe([source]) and "6 of episodes without an answer, dropped" in corpus.describe(
        [source]
    )
    monkeypatch.setattr(corpus, "read_shard", lambda path: [replace(row, outcome="stalled") for row in shard(path)])
    with pytest.raises(BadData, match="nothing to train on in split 'train': .* 12 are of episodes without an answer"):
        read(folder)
