"""A tiny checkpoint plays, the expert takes over: a folder that training takes as one more, whatever the number of
processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from configs.schema import Config
from data_gen import check
from data_gen.trajectory import Trajectory, read_manifest, read_rows
from midsentence.ending import UserError
from midsentence.models.load import load_renderer
from tests.training.conftest import compose_settings
from training import repair, sft
from training.tokens import IGNORED, make_example


@pytest.fixture(scope="module")
def checkpoint(debug_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model after a few steps: it writes nonsense within the grammar."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    few = (
        "train.max_length=512",
        "train.batch_rows=2",
        "train.micro_batch_rows=1",
        "train.max_steps=3",
        "train.epochs=8",
    )
    sft.main(compose_settings("experiment=debug", f"train.data=[{debug_data}]", f"out={folder}", *few))
    return folder


@pytest.fixture
def repaired(checkpoint: Path, tmp_path: Path) -> Callable[..., Config]:
    """Settings of a small round."""

    def make(name: str = "round", *overrides: str) -> Config:
        few = ("repair.rollouts=12", "repair.shard_rollouts=6", "repair.batch=4", "repair.most_mistakes=2")
        return compose_settings(
            "experiment=debug", f"model.adapter={checkpoint}", f"out={tmp_path / name}", *few, *overrides
        )

    return make


def rows(config: Config) -> list[Trajectory]:
    return list(read_rows(Path(config.out), "train"))


def test_a_round_from_the_model_to_training(repaired, checkpoint, debug_data, tmp_path, capsys):
    config = repaired()
    repair.main(config)
    made, renderer = rows(config), load_renderer("tiny", "token", "none")
    assert made and len({row.id for row in made}) == len(made)
    assert {row.outcome for row in made} == {"answered"}
    wrote = counted = 0
    for row in made:
        example = make_example(row, renderer)
        own = [s for s in row.segments if s.segment.kind == "model"]
        expected = [index for s in own if s.supervised for index in s.segment.ids]
        assert example.labels[example.labels != IGNORED].tolist() == expected
        assert own[-1].supervised  # the expert's answer
        wrote += sum(not s.supervised for s in own)
        counted += len(expected)
    assert wrote and counted  # the model's own actions stay in the context
    manifest = read_manifest(Path(config.out))
    assert manifest["repaired"] == str(checkpoint) and manifest["counts"]["rows"] == len(made)
    report = json.loads((Path(config.out) / "repair.json").read_text())
    everything = report["modes"]["all"]
    assert report["rollouts"] == everything["rollouts"] == 12 and report["expert_failed"] == 0
    assert everything["agreed"] + sum(everything["kinds"].values()) == everything["states"] > 0
    assert "| agreed |" in capsys.readouterr().out
    again = compose_settings(
        "experiment=debug",
        f"train.data=[{debug_data},{config.out}]",
        "train.weights=[2,1]",
        f"model.adapter={checkpoint}",
        f"out={tmp_path / 'again'}",
        "train.max_length=1024",
        "train.batch_rows=2",
        "train.micro_batch_rows=1",
        "train.max_steps=2",
    )
    sft.main(again)
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["data"][config.out]["rows"] == len(made)


def test_shards_batches_and_processes_change_nothing(repaired):
    few, one, two = (
        repaired("few"),
        repaired("one", "repair.shard_rollouts=12", "repair.batch=1"),
        repaired("two", "repair.workers=2"),
    )
    for config in (few, one, two):
        repair.main(config)
    assert rows(few) == rows(one) == rows(two)
    for name in ("repair.json", "repair.md"):
        assert len({(Path(config.out) / name).read_text() for config in (few, one, two)}) == 1


def test_a_killed_round_goes_on_and_another_is_refused(repaired):
    config = repaired()
    repair.main(config)
    before = {path.name: path.read_bytes() for path in Path(config.out).glob("*.parquet")}
    (Path(config.out) / max(before)).unlink()
    (Path(config.out) / "manifest.json").unlink()
    repair.main(config)
    assert {path.name: path.read_bytes() for path in Path(config.out).glob("*.parquet")} == before
    with pytest.raises(UserError, match="another model or other settings"):
        repair.main(repaired("round", "repair.round=2"))


def test_another_round_plays_other_tasks(repaired):
    first, second = repaired("first"), repaired("second", "repair.round=2")
    for config in (first, second):
        repair.main(config)
    assert [(row.id, row.seed) for row in rows(first)] != [(row.id, row.seed) for row in rows(second)]


def test_the_share_of_agreeing_actions_that_count(repaired):
    counted = []
    for share in (0.0, 1.0):
        config = repaired(f"share-{share}", f"repair.agreeing={share}", "repair.beta=0.0", "repair.rollouts=24")
        repair.main(config)
        found = rows(config)
        counted.append(sum(s.supervised for row in found for s in row.segments))
    assert counted[1] > counted[0] > 0


def test_a_repaired_folder_is_checked_for_what_can_hold(repaired):
    config = repaired()
    repair.main(config)
    report = check.check(Path(config.out)).report()
    assert report["rows"] == len(rows(config)) and report["prefix_broken"] == 0
    # what the model did by itself is no fault of the expert's
    assert {
        name: report[name] for name in ("peeked", "knew_number", "knew_extent", "knew_misheard", "knew_end")
    } == dict.fromkeys(("peeked", "knew_number", "knew_extent", "knew_misheard", "knew_end"), 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["model.adapter=null"], "model.adapter is empty: name the checkpoint"),
        (["data.modes=[speculatve]"], "unknown mode 'speculatve'"),
        (["data.modes=[verified]"], "repair eager_end and speculative"),
        (["model.turns=chat"], "was trained with turns=flat, and turns=chat is asked of it"),
    ],
)
def test_what_can_not_be_played_is_refused_first(repaired, options, says):
    with pytest.raises(UserError if "adapter" in says or "repair" in says else ValueError, match=says):
        repair.main(repaired("refused", *options))


def test_ids_of_rows_are_those_that_the_renderer_makes(repaired):
    config = repaired()
    repair.main(config)
    renderer = load_renderer("tiny", "token", "none")
    for row in rows(config):
        example = make_example(row, renderer)
        assert len(example) == row.tokens and example.ids.dtype == np.int32


class Failing:
    """A grammar that fails at its second token, or at once."""

    def __init__(self, at: int) -> None:
        self.at = at

    def begin(self, state):
        if not self.at:
            raise ValueError("llguidance refuses the grammar")
        return self

    def allowed(self):
        return np.ones(3, bool)

    def push(self, token: int) -> None:
        self.at -= 1
        if not self.at:
            raise ValueError("llguidance refuses the grammar")

    def forced(self):
        return (1,)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_action_whose_grammar_fails_goes_on_without_it(at, capsys):
    constraint = repair.Lenient(Failing(at)).begin(None)
    for n in range(3):
        held = n < at
        assert (constraint.allowed() is not None) is held and bool(constraint.forced()) is held
        constraint.push(0)
    assert capsys.readouterr().err == "an action goes on without its grammar: llguidance refuses the grammar\n"
