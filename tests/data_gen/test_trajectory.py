"""The row of a trajectory: what is written comes back as it was, and other columns are refused by name."""

from __future__ import annotations

from dataclasses import fields, replace

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from data_gen.task import Word
from data_gen.trajectory import FEATURES, BadData, Piece, Trajectory, from_row, read_shard, to_row, write_shard
from midsentence.core.transcript import Segment
from tests.data_gen.made import trajectory

MADE = trajectory(
    id="b/1",
    words=(Word("Bob", 0, 5, "reparandum"), Word("Ann", 5, 9, "repair")),
    tags=("repair",),
    prompt_ids=(1, 2),
    tokens=5,
    segments=(
        Piece(Segment("partial_query_update", "Bob", 5), False),
        Piece(Segment("model", "<pause>", 9, (3, 4)), True),
    ),
    model_tokens=2,
    log='[{"type": "UserUpdate", "at_ns": 5, "text": "Bob", "final": false, "retracts": 0}]',
)


def test_the_columns_are_the_fields_of_a_trajectory_in_their_order():
    assert list(FEATURES) == list(to_row(MADE)) == [each.name for each in fields(Trajectory)]


def test_a_trajectory_comes_back_from_its_row_and_from_its_file(tmp_path):
    made = [MADE, trajectory()]
    assert [from_row(to_row(one)) for one in made] == made
    write_shard(tmp_path / "a.parquet", made)
    assert read_shard(tmp_path / "a.parquet") == made
    assert [(event.at_ns, event.text) for event in MADE.events] == [(5, "Bob")]


@pytest.mark.parametrize("log", ['[{"type": "Emit", "text": "Done."}]', '[{"type": "Nonsense"}]', "{", "[3]"])
def test_a_log_that_is_none_of_ours_is_refused(log):
    with pytest.raises(ValueError):
        _ = replace(MADE, log=log).events


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns("seed"), "has column seed as none, in schema version 1 it is int64"),
        (
            lambda table: table.append_column("luck", pa.array([1])),
            "has column luck as int64, in schema version 1 it is none",
        ),
        (
            lambda table: table.set_column(0, "id", pa.array([1])),
            "has column id as int64, in schema version 1 it is string",
        ),
    ],
)
def test_other_columns_than_the_versions_are_refused(tmp_path, change, said):
    path = tmp_path / "a.parquet"
    parquet.write_table(change(pa.Table.from_pylist([to_row(MADE)], schema=FEATURES.arrow_schema)), path)
    with pytest.raises(BadData) as error:
        read_shard(path)
    assert str(error.value) == f"{path} {said}; delete it and run data_gen.generate again"
