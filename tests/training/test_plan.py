"""What a run will need, right against the published architectures and against what a run then does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from configs.command import UserError
from training import sft
from training.plan import main, plan


@pytest.mark.parametrize(
    ("experiment", "parameters"), [("qwen25_3b", 3_085_938_688), ("llama32_3b", 3_212_749_824)]
)
def test_the_papers_models_have_their_published_size(experiment, parameters, composed):
    made = plan(composed(f"experiment={experiment}", "launcher=zero3", "gpus=4"))
    assert made.parameters == parameters
    assert made.tokens is None  # their data is not there, and that is no error


def test_a_plan_says_what_the_run_then_does(settings):
    config = settings()
    made = plan(config)
    sft.main(config)
    manifest = json.loads((Path(config.out) / "manifest.json").read_text())
    assert (made.steps, made.tokens) == (manifest["steps"], manifest["tokens"])
    assert made.trainable_parameters == manifest["trainable_parameters"]
    assert made.new_tokens == 16


def test_sharding_saves_memory_and_the_chunked_loss_saves_logits(settings):
    one, four = plan(settings("train.method=full")), plan(settings("train.method=full", "launcher=zero3", "gpus=4"))
    assert four.memory_gib["all"] <= one.memory_gib["all"]
    wide = [plan(settings("train.max_length=4096", f"train.loss={loss}")).memory_gib["logits"] for loss in ("chunked", "full")]
    assert wide[0] < wide[1]


def test_the_plan_as_json(settings, capsys):
    main(settings("json=true"))
    assert json.loads(capsys.readouterr().out)["parameters"] == 167_936


@pytest.mark.parametrize(("change", "message"), [("launcher=slurm", "launcher=slurm is unknown"), ("gpus=2", "with launcher=single")])
def test_a_plan_for_no_machine_is_refused(settings, change, message):
    with pytest.raises(UserError, match=message):
        plan(settings(change))


def test_a_plan_is_plain_data(settings):
    assert json.dumps(dataclasses.asdict(plan(settings())))
