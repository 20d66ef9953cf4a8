"""Trajectories on disk: the same bytes from the same settings, resumed or not; half-written data is never read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import load_dataset

from configs.modes import settings_of
from data_gen import generate
from data_gen.expert.player import Expert
from data_gen.task import BadTask, Evidence, GoldCall, Task, Word
from data_gen.tasks import debug
from data_gen.trajectory import BadData, read_manifest, read_rows
from midsentence.core import reducer
from midsentence.core.protocol import EDITION
from midsentence.models.load import load_renderer
from midsentence.tools.tool import ToolSpec
from tests.test_configs import composed


def config(folder: Path, *more: str):
    return composed(
        "experiment=debug", f"out={folder}", "data.sizes={train: 6, validation: 0, test: 3}", "data.shard_rows=2", *more
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate.main(config(folder))
    return folder


def test_shards_are_named_as_datasets_finds_splits(made):
    assert list(content(made)) == [
        "test-00000-of-00002.parquet",
        "test-00001-of-00002.parquet",
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
    ]


def test_datasets_alone_loads_it(made, tmp_path):
    loaded = load_dataset(str(made), cache_dir=str(tmp_path))
    assert {split: rows.num_rows for split, rows in loaded.items()} == {"train": 6, "test": 3}
    assert loaded["train"][0]["segments"][0]["kind"] == "partial_query_update"


def test_a_lost_shard_is_made_again_to_the_same_bytes_and_no_other_is_touched(made, tmp_path):
    generate.main(config(tmp_path))
    assert content(tmp_path) == content(made)
    lost = tmp_path / "train-00001-of-00003.parquet"
    kept = tmp_path / "train-00000-of-00003.parquet"
    before = kept.stat().st_mtime_ns
    lost.unlink()
    (tmp_path / "train-00001-of-00003.tmp").write_bytes(b"half")
    generate.main(config(tmp_path))
    assert content(tmp_path) == content(made)
    assert kept.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("*.tmp"))


def test_the_number_of_workers_changes_no_byte(made, tmp_path):
    generate.main(config(tmp_path, "data.workers=2"))
    assert content(tmp_path) == content(made)


def test_another_seed_gives_other_bytes(made, tmp_path):
    generate.main(config(tmp_path, "seed=1"))
    assert content(tmp_path) != content(made)


def test_data_made_with_other_settings_is_left_as_it_is(made):
    before = content(made)
    with pytest.raises(ValueError, match="holds data made with other settings; give another out="):
        generate.main(config(made, "seed=5"))
    assert content(made) == before


def test_an_episode_that_fails_is_left_out_named_and_counted(tmp_path, monkeypatch, capsys):
    """What the parser refused was supervised like everything else."""
    settings, plan = config(tmp_path), Expert.plan
    pool = generate._tasks(settings, "train")
    spoilt = {n for n in range(6) if pool[n % len(pool)].id == pool[0].id}

    def wrong(self, state):
        return "<tool_call>\n1. no such line\n</tool_call>" if self.task.id == pool[0].id else plan(self, state)

    monkeypatch.setattr(Expert, "plan", wrong)
    generate.main(settings)
    rows = list(read_rows(tmp_path, "train"))
    assert [row.id for row in rows] == [f"{pool[n % len(pool)].id}/{n}" for n in range(6) if n not in spoilt]
    assert read_manifest(tmp_path)["dropped"] == {"train": len(spoilt)}
    said = capsys.readouterr()
    assert f"left out {pool[0].id}/0 (" in said.err and "the expert's episode ended in invalid_actions" in said.err
    assert f"left out, for the expert's episode did not end in an answer: {len(spoilt)} of 6 in train" in said.out


def test_data_of_failures_alone_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(Expert, "plan", lambda self, state: "nonsense")
    with pytest.raises(ValueError, match="none of the 9 episodes ended in an answer: there is nothing to learn"):
        generate.main(config(tmp_path))
    assert not (tmp_path / "manifest.json").exists()


def test_a_row_replays_through_the_core_to_its_own_ids(made):
    renderer = load_renderer("tiny", "token", "none")
    settings = composed("experiment=debug").agent
    for row in read_rows(made, "train"):
        state = reducer.start(settings_of(row.mode, settings), debug.World.specs, row.task, len(row.prompt_ids))
        for event in row.events:
            state, _ = reducer.step(state, event)
        ids = renderer.ids(row.prompt_ids, state.transcript)
        assert ids == renderer.ids(row.prompt_ids, [piece.segment for piece in row.segments])
        assert len(ids) == row.tokens
        assert row.outcome == "answered"


def test_only_what_the_model_wrote_is_supervised(made):
    for row in read_rows(made, "train"):
        for piece in row.segments:
            assert piece.supervised == (piece.segment.kind == "model")


def test_a_folder_that_is_not_there_is_named_with_the_fix(tmp_path):
    with pytest.raises(
        BadData, match=r"no folder of trajectories at .*; make one with: python -m data_gen.generate out="
    ):
        read_manifest(tmp_path / "none")


def test_an_empty_or_half_written_folder_is_refused(tmp_path):
    with pytest.raises(BadData, match="is empty or half-written; run data_gen.generate again, it resumes"):
        read_manifest(tmp_path)


def test_another_schema_version_is_refused(made, tmp_path):
    manifest = json.loads((made / "manifest.json").read_text()) | {"schema_version": 99}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadData, match="has schema version 99, this code reads 1; generate the data again"):
        read_manifest(tmp_path)


def test_another_edition_of_the_protocol_is_refused(made, tmp_path):
    manifest = json.loads((made / "manifest.json").read_text())
    assert (manifest["edition"], manifest["tags"], manifest["turns"]) == (EDITION, "token", "flat")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"edition": EDITION - 1}))
    with pytest.raises(
        BadData,
        match=f"edition {EDITION - 1} of the protocol, and this code speaks edition {EDITION}; generate the data",
    ):
        read_manifest(tmp_path)


def test_a_missing_shard_is_named(made, tmp_path):
    (tmp_path / "manifest.json").write_text((made / "manifest.json").read_text())
    with pytest.raises(BadData, match="misses 5 of its shards, the first test-00000-of-00002.parquet"):
        read_manifest(tmp_path)


def test_a_split_that_is_not_there_is_named(made):
    with pytest.raises(BadData, match="has no rows in split 'validation'; it has test, train"):
        next(read_rows(made, "validation"))


def test_a_request_without_words_is_refused():
    with pytest.raises(BadTask, match="task t: the request has no words"):
        Task("t", "debug", "train", (), (), (), lambda: debug.World("t"))


def test_a_gold_call_to_an_unknown_tool_is_refused():
    gold = (GoldCall("fly", {}, Evidence(0, 0), {}),)
    with pytest.raises(BadTask, match="task t: gold call 1 is to 'fly'; its tools are look"):
        Task("t", "debug", "train", (Word("go", 0, 1),), (ToolSpec("look"),), gold, lambda: debug.World("t"))


@pytest.mark.parametrize(("train", "held"), [([40, 45], [35, 50]), ([15, 250], [1, 1000])])
def test_a_range_of_devices_that_is_held_out_is_refused(train, held):
    """It drew for ever."""
    from configs.schema import ClockConfig
    from data_gen.episodes import sample_profile

    with pytest.raises(
        ValueError, match="lies in clock.held_out_decode_tokens_per_s=.*; widen the first or narrow the second"
    ):
        sample_profile(ClockConfig(train_decode_tokens_per_s=train, held_out_decode_tokens_per_s=held), 0)


def test_the_recipe_of_a_folder_made_before_a_setting_went_is_still_its_recipe():
    """`configs.schema.GONE` counts on: without it every folder made so far would be another's."""
    assert generate.recipe(composed("experiment=debug", "data.eagerness=0")) == "3620e4b90767f4b6"
