"""Every settings file composes, unknown keys are refused, and bad input is one clear line with status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

import configs
from agent.modes import MODES, settings_of
from configs.schema import AgentConfig, Config, register

ROOT = Path(configs.__file__).parent
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiment").glob("*.yaml"))
CHOICES = sorted(
    f"{path.parent.name}={path.stem}" for path in ROOT.glob("*/*.yaml") if path.parent.name not in ("experiment", "accelerate")
)


def composed(*overrides: str) -> Config:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", list(overrides)))


def run(module: str, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *options], capture_output=True, text=True, timeout=120, cwd=cwd)


def test_the_defaults_compose():
    assert composed().data.source == "bfcl"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_says_how_it_is_run(name):
    assert isinstance(composed(f"experiment={name}"), Config)
    first, second = (ROOT / "experiment" / f"{name}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_" and second.startswith("# ")


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_every_group_composes(choice):
    assert isinstance(composed(choice), Config)


def test_an_experiment_names_its_run():
    names = {name: composed(f"experiment={name}").name for name in EXPERIMENTS if name != "none"}
    assert names == {name: name for name in names}


def test_an_unknown_key_is_refused():
    with pytest.raises(ConfigCompositionException):
        composed("agent.interupt=token")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["experiment=nope"], "Could not find 'experiment/nope'"),
        (["data.sauce=bfcl"], "Key 'sauce' not in 'DataConfig'"),
        (["experiment=debug", "data.modes=[speculatve]"], "unknown mode 'speculatve'; use one of sequential, parallel"),
        (["experiment=debug", "data.source=nope"], "unknown task source 'nope'; use one of"),
        (["experiment=debug", "seed=abc"], "could not be converted to Integer"),
    ],
)
def test_bad_input_is_one_line_and_status_2(options, says, tmp_path):
    done = run("data_gen.generate", *options, f"out={tmp_path / 'data'}")
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_papers_commit_rule_knows_no_silences():
    with pytest.raises(ValueError, match="use agent.commit_on=final"):
        settings_of("speculative", AgentConfig(commit="paper", commit_on="silence"))


def test_where_lines_commit_their_own_calls_no_other_line_is_asked_for():
    config = AgentConfig(commit="line")
    assert {mode: settings_of(mode, config).commit for mode in MODES} == {
        mode: "action" if row.runs_lines else "line" for mode, row in MODES.items()
    }
    assert settings_of("parallel", AgentConfig(commit="line", runs_lines=False)).commit == "line"
