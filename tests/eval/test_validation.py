"""Validation in a run of the tiny model: what is logged, which weights are left, and that training is not disturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from configs.schema import Config
from data_gen import generate
from eval import replay, validation
from eval.measures.rows import Terms, rows_of
from eval.running.results import read_runs
from eval.validation import ValidationReplay
from midsentence.ending import UserError
from midsentence.models.checkpoint import load_model
from training import sft
from training.watch import Watch

ROOT = Path(__file__).parent.parent.parent
SHORT = (
    "train.max_length=512",
    "train.batch_rows=2",
    "train.micro_batch_rows=1",
    "train.max_steps=4",
    "train.epochs=8",
    "agent.max_generated_tokens=12",
    "eval.modes=[sequential,speculative]",
)
NAMES = ("success_by_2s", "accuracy", "latency_mean_s", "repeated_actions", "effects_before_commit")
VALIDATED = ("train=validated", "train.callback.tasks=2", "train.validate_every_steps=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twelve trajectories for the tiny model."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from configs.schema import register

    register()
    folder = tmp_path_factory.mktemp("data") / "debug"
    with initialize_config_module("configs", version_base="1.3"):
        made = compose(
            "config", ["experiment=debug", "data.sizes={train: 12, validation: 2, test: 2}", f"out={folder}"]
        )
    generate.main(OmegaConf.to_object(made))
    return folder


@pytest.fixture
def settings(configured, data, tmp_path) -> Callable[..., Config]:
    """Settings of a short run into a folder of that name."""

    def make(name: str, *overrides: str) -> Config:
        config = configured(*SHORT, f"train.data=[{data}]", *overrides)
        config.out = str(tmp_path / name)
        return config

    return make


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / validation.LOG).read_text().splitlines()]


def trained(folder: Path) -> list[dict[str, float]]:
    """Training's own log, without speed."""
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("_per_s")} for line in found]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scored(monkeypatch: pytest.MonkeyPatch, by_step: dict[int, float]) -> None:
    """Makes the score of a step what the test says; 0 for others."""
    monkeypatch.setattr(validation, "score", lambda found: (by_step.get(found[0]["step"], 0.0), 0.0))


def kept_by_step(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Keeps the weights that each replay is of, under its number."""
    plain = ValidationReplay.replay

    def kept(self: ValidationReplay, checkpoint: Path) -> list[dict[str, Any]]:
        shutil.copytree(checkpoint, place / str(self._validated), dirs_exist_ok=True)
        return plain(self, checkpoint)

    monkeypatch.setattr(ValidationReplay, "replay", kept)


def weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a replay: figures that differ wherever one weight does, for what does not depend on how they are
    made."""

    def replay(self: ValidationReplay, checkpoint: Path) -> list[dict[str, Any]]:
        figure = sum(tensor.double().abs().sum().item() for tensor in weights(checkpoint).values())
        return [{"mode": mode, "profile": self.profile} | dict.fromkeys(NAMES, figure) for mode in self.modes]

    monkeypatch.setattr(ValidationReplay, "replay", replay)


def test_a_line_a_mode_says_what_the_report_would(settings, tmp_path, capsys):
    config = settings("run", *VALIDATED)
    sft.main(config)
    found = lines(tmp_path / "run")
    assert [(line["step"], line["mode"]) for line in found] == [
        (s, m) for s in (2, 4) for m in ("sequential", "speculative")
    ]
    assert all(sum(line["causes"].values()) == round(line["n"] * (1 - line["accuracy"])) for line in found)
    again = settings(
        "replay", "eval.backends=[model]", "eval.split=validation", "eval.tasks=2", f"model.adapter={config.out}"
    )
    replay.main(again)
    rows = {row["mode"]: row for row in rows_of(read_runs([again.out]), Terms(resamples=10))}
    for line in found[2:]:  # a tie goes to the later step, so the folder holds step 4
        row = rows[line["mode"]]
        assert line == {
            "step": 4,
            "mode": line["mode"],
            "profile": "laptop",
            "n": 2,
            "accuracy": row["accuracy"],
            "success_by_2s": row["success_by_s"]["2"],
            "latency_mean_s": pytest.approx(row["latency_mean_s"], abs=1e-5),
            "repeated_actions": row["repeated_actions"],
            "effects_before_commit": 0,
            "causes": row["causes"],
        }
    assert (
        "validation at step 2 (best so far): sequential 0.00 by 2 s, 0.00 right; speculative" in capsys.readouterr().out
    )


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_is_the_same_bit_by_bit_with_and_without(settings, tmp_path, method):
    for name, more in (("with", VALIDATED), ("without", ())):
        sft.main(settings(name, f"train.method={method}", *more))
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert trained(tmp_path / "with") == trained(tmp_path / "without")
    assert len(trained(tmp_path / "with")) == 4
    assert "best" not in json.loads((tmp_path / "without" / "manifest.json").read_text())
    left = {path.name for path in (tmp_path / "with").iterdir()} - {
        path.name for path in (tmp_path / "without").iterdir()
    }
    assert left == {validation.LOG}


def test_what_a_replay_draws_is_not_missed(settings, monkeypatch):
    plain, states = ValidationReplay._validate, []

    def drawn(self: ValidationReplay, checkpoint: Path) -> list[dict[str, Any]]:
        torch.rand(3), random.random(), np.random.rand()
        return [{"mode": mode} | dict.fromkeys(NAMES, 0.0) for mode in self.modes]

    def state() -> tuple[Any, ...]:
        return (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
            np.random.get_state()[2],
        )

    def watched(self: ValidationReplay, *args: Any) -> None:
        before = state()
        plain(self, *args)
        states.append((before, state()))

    monkeypatch.setattr(ValidationReplay, "replay", drawn)
    monkeypatch.setattr(ValidationReplay, "_validate", watched)
    sft.main(settings("run", *VALIDATED))
    assert len(states) == 2
    assert all(before == after for before, after in states)


@pytest.mark.parametrize(("method", "dtype"), [("lora", "float32"), ("full", "bfloat16")])
def test_the_run_leaves_the_weights_of_the_best_step(settings, tmp_path, method, dtype, monkeypatch):
    weighed(monkeypatch)
    scored(monkeypatch, {2: 0.5, 4: 0.25})
    kept_by_step(monkeypatch, tmp_path / "kept")
    config = settings("run", *VALIDATED, f"train.method={method}", f"model.dtype={dtype}")
    sft.main(config)
    folder = tmp_path / "run"
    # what is validated and used has the model's precision; full training keeps its weights in float32
    best, last = (
        {name: tensor.to(getattr(torch, dtype)) for name, tensor in weights(tmp_path / "kept" / step).items()}
        for step in "24"
    )
    assert not same(best, last)
    assert same(weights(folder), best)
    assert same(weights(folder / sft.LAST), last)
    chosen = json.loads((folder / "manifest.json").read_text())["best"]
    assert (chosen["step"], chosen["success_by_2s"], chosen["accuracy"]) == (2, 0.5, 0.0)
    assert not [path for path in folder.iterdir() if path.name.startswith(("best", "checkpoints"))]
    if method == "full":
        assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
    for place in (folder, folder / sft.LAST):
        model, tokenizer = load_model("tiny", str(place), "float32")
        assert model.get_input_embeddings().num_embeddings >= len(tokenizer)
    before = (folder / "manifest.json").read_bytes()
    sft.main(config)  # finished
    assert (folder / "manifest.json").read_bytes() == before


def test_the_score_is_success_by_2_s_then_accuracy_over_modes():
    def step(*figures: tuple[float, float]) -> list[dict[str, float]]:
        return [{"success_by_2s": by, "accuracy": right} for by, right in figures]

    assert validation.score(step((0.5, 0.5), (0.25, 1.0))) == (0.375, 0.75)
    assert validation.score(step((0.5, 0.5))) > validation.score(step((0.4, 1.0)))
    assert validation.score(step((0.5, 0.6))) > validation.score(step((0.5, 0.5)))
    thirds = [(1 / 3, 0.0), (2 / 3, 0.0), (1.0, 0.0)]
    assert validation.score(step(*thirds)) == validation.score(
        step(*thirds[::-1])
    )  # a tie is a tie in any order of sums


class Killed(Exception):
    pass


@pytest.mark.parametrize("best", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_run_ends_as_an_undisturbed_one(settings, tmp_path, monkeypatch, best):
    weighed(monkeypatch)
    scored(monkeypatch, {best: 1.0})
    every = (*VALIDATED, "train.validate_every_steps=1", "train.checkpoint_every_steps=2", "eval.modes=[parallel]")
    sft.main(settings("whole", *every))
    plain = Watch.on_step_end

    def dies(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 4:
            raise Killed
        plain(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Watch, "on_step_end", dies)
        sft.main(settings("broken", *every))
    folder = tmp_path / "broken"
    assert [line["step"] for line in lines(folder)] == [1, 2, 3]  # the checkpoint is of step 2
    assert json.loads((folder / "best" / "best.json").read_text())["step"] == best
    load_model("tiny", str(folder / "best"), "float32")
    with (folder / validation.LOG).open("a") as file:
        file.write('{"step": 4, "mo')  # the kill cut a line short
    if best == 3:  # killed after the old best was gone and before the new one had its name
        (folder / "best").rename(folder / "best.partial")
    sft.main(settings("broken", *every))
    assert (folder / validation.LOG).read_bytes() == (tmp_path / "whole" / validation.LOG).read_bytes()
    assert [line["step"] for line in lines(folder)] == [1, 2, 3, 4]
    assert same(weights(folder), weights(tmp_path / "whole"))
    assert same(weights(folder / sft.LAST), weights(tmp_path / "whole" / sft.LAST))
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text())["best"] for name in ("whole", "broken")]
    assert manifests[0] == manifests[1] and manifests[0]["step"] == best


def test_figures_go_where_the_trainers_own_go(settings, monkeypatch):
    weighed(monkeypatch)
    seen, plain = [], Watch.on_log

    def on_log(self: Any, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        seen.extend((state.global_step, name) for name in logs if name.startswith("eval_"))
        plain(self, args, state, control, logs, **kwargs)

    monkeypatch.setattr(Watch, "on_log", on_log)
    sft.main(settings("run", *VALIDATED, "eval.modes=[parallel]"))
    assert seen == [(step, f"eval_parallel_{name}") for step in (2, 4) for name in NAMES]


def test_without_steps_only_the_end_is_validated(settings, tmp_path, monkeypatch):
    weighed(monkeypatch)
    sft.main(settings("run", *VALIDATED, "train.validate_every_steps=0", "eval.modes=[parallel]"))
    assert [line["step"] for line in lines(tmp_path / "run")] == [4]


def test_only_validation_tasks_are_used(settings, tmp_path):
    made = ValidationReplay(settings("run"), tmp_path, 1, tasks=4)
    assert len(made.tasks) == 4
    assert {task.split for task in made.tasks} == {"validation"}
    assert made.modes == ["sequential", "speculative"] and made.profile == "laptop"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.callback.tasks=0", "tasks=0; use 0 or more, and 1 or more"),
        ("train.validate_every_steps=-1", "validate_every_steps=-1"),
        ("+train.callback.modes=[speculatve]", "unknown mode 'speculatve'"),
        ("+train.callback.profile=abacus", "abacus"),
        ("+train.callback.task=3", "unexpected keyword argument 'task'; correct the options beside _target_"),
        ("data.source=nope", "unknown task source 'nope'"),
    ],
)
def test_options_that_name_nothing_are_refused_before_training(settings, tmp_path, change, message):
    with pytest.raises((UserError, ValueError), match=message):
        sft.main(settings("run", *VALIDATED, change))
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_another_choice_of_weights_is_another_run(settings):
    keys = [sft.recipe(settings("run", *more)) for more in ((), VALIDATED, (*VALIDATED, "train.callback.tasks=3"))]
    assert len(set(keys)) == 3
    assert sft.recipe(settings("run", "train.validate_every_steps=7")) == keys[0]  # nothing validates


@pytest.mark.slow
def test_of_two_processes_one_replays(settings, data, tmp_path):
    sft.main(settings("one", *VALIDATED))
    launch = [
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "configs/accelerate/ddp.yaml",
        "--cpu",
        "--num_processes",
        "2",
    ]
    launch += [
        "--main_process_port",
        "0",
        "-m",
        "training.sft",
        "experiment=debug",
        f"train.data=[{data}]",
        f"out={tmp_path / 'two'}",
    ]
    command = [sys.executable, *launch, *SHORT, *VALIDATED]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [(line["step"], line["mode"]) for line in lines(tmp_path / "two")] == [
        (line["step"], line["mode"]) for line in lines(tmp_path / "one")
    ]
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["best"]["step"] == 4
    for name, tensor in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
