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
from configs.command import command, out_folder
from configs.limits import check
from configs.modes import settings_of
from configs.schema import AgentConfig, Config, EndpointConfig, ProfileConfig, register
from midsentence.core.modes import MODES

ROOT = Path(configs.__file__).parent
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiment").glob("*.yaml"))
CHOICES = sorted(
    f"{path.parent.name}={path.stem}"
    for path in ROOT.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "accelerate")
)


def composed(*overrides: str) -> Config:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", list(overrides)))


def run(module: str, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *options], capture_output=True, text=True, timeout=120, cwd=cwd
    )


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
        (
            ["experiment=debug", "data.disfluency.filers=1"],
            "unknown disfluency rate 'filers'; use times or one of addition",
        ),
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


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("agent.revise_cascade=Rerun", "agent.revise_cascade=Rerun is unknown; use one of rerun, cancel"),
        ("agent.max_context_tokens=0", "agent.max_context_tokens=0 is out of range; use 1 or more"),
        ("data.eagerness=7", "data.eagerness=7.0 is out of range; use 0 to 1"),
        ("data.eagerness=nan", "data.eagerness=nan is no finite number"),
        ("data.period_s=0", "data.period_s=0.0 is out of range; use more than 0"),
        ("data.modes=[]", "data.modes=[] is empty; name at least one"),
        ("data.sizes.test=-1", "data.sizes.test=-1 is out of range; use 0 or more"),
        ("data.sizes.tset=1", "data.sizes.tset is unknown; use train, validation, test"),
        ("data.disfluency.filler=inf", "data.disfluency.filler=inf is no finite number"),
        ("data.endpoints.mine={false_rate: 2}", "data.endpoints.mine.false_rate=2.0 is out of range; use 0 to 1"),
        (
            "clock.profiles.laptop.decode_tokens_per_s=0",
            "clock.profiles.laptop.decode_tokens_per_s=0 is out of range; use 1 or more",
        ),
        ("clock.profiles.mine.decode=1", "Key 'decode' not in 'ProfileConfig'"),
        ("clock.train_prefill_ratio=[0,60]", "clock.train_prefill_ratio=0.0 is out of range; use more than 0"),
        (
            "clock.train_decode_tokens_per_s=[250,15]",
            "clock.train_decode_tokens_per_s=[250, 15] is no range; give two numbers",
        ),
        ("clock.train_decode_tokens_per_s=[15]", "clock.train_decode_tokens_per_s=[15] is no range"),
        ("clock.train_restart_s=[0,1]", "clock.train_restart_s=0.0 is out of range; use more than 0"),
        ("clock.train_prefill_ratio=[1,2,3]", "clock.train_prefill_ratio=[1.0, 2.0, 3.0] is no range"),
        ("data.lag_s=-3", "data.lag_s=-3.0 is out of range; use 0 or more"),
        ("data.lag_spread_s=-1", "data.lag_spread_s=-1.0 is out of range; use 0 or more"),
        ("clock.train_restart_s=[1,1e300]", "clock.train_restart_s=1e+300 is out of range; use 1e+09 or less"),
        ("data.paraphrase.timeout_s=1e30", "data.paraphrase.timeout_s=1e+30 is out of range; use 1e+09 or less"),
        ("data.endpoints.oracle.delay_s=1e10", "data.endpoints.oracle.delay_s=10000000000.0 is out of range"),
        ("seed=4294967296", "seed=4294967296 is out of range"),
        ("data.files={nosuch: x}", "data.files.nosuch is unknown; use hotpotqa, corpus"),
        ("model.turns=rings", "model.turns=rings is unknown; use one of flat, chat"),
        ("train.method=dora", "train.method=dora is unknown; use one of lora, qlora, full"),
        ("train.attention=eager", "train.attention=eager is unknown; use one of auto, flash, blocks"),
        ("train.kernels=x", "train.kernels=x is unknown; use one of auto, liger, fused, torch"),
        ("train.epochs=0", "train.epochs=0.0 is out of range; use more than 0"),
        ("repair.beta=2", "repair.beta=2.0 is out of range; use 0 to 1"),
        ("repair.rows=0", "repair.rows=0 is out of range; use 1 or more"),
        ("eval.seeds=[]", "eval.seeds=[] is empty; name at least one"),
        ("eval.split=dev", "eval.split=dev is unknown; use one of train, validation, test, all"),
        ("time=sidereal", "time=sidereal is unknown; use one of virtual, real"),
        ("+train.anything=1", "train.anything is no setting; train has data, weights"),
        ("+anything=1", "anything is no setting; the settings has name, seed"),
    ],
)
def test_a_value_that_nothing_honours_is_refused(option, says, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        started(monkeypatch, lambda config: pytest.fail("it began"), option)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert says in lines[-1] and len([line for line in lines if not line.startswith("Error executing job")]) == 1


def started(monkeypatch, main, *options: str) -> None:
    """Runs a command in this process."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["command", *options])
    command(main)()


@pytest.mark.parametrize(
    ("options", "gets"),
    [
        (
            ["clock.profiles.mine={decode_tokens_per_s: 20}"],
            lambda config: config.clock.profiles["mine"] == ProfileConfig(20, 400, 0.02),
        ),
        (
            ["clock.profiles.mine.restart_s=1"],
            lambda config: config.clock.profiles["mine"] == ProfileConfig(40, 400, 1.0),
        ),
        (
            ["clock.profiles.laptop={restart_s: 1}"],
            lambda config: config.clock.profiles["laptop"] == ProfileConfig(40, 400, 1.0),
        ),
        (["data.endpoints.mine.delay_s=0.4"], lambda config: config.data.endpoints["mine"] == EndpointConfig(0.4)),
        (["eval.checkpoints={a: x, b: y}"], lambda config: config.eval.checkpoints == {"a": "x", "b": "y"}),
        (["train.callback.tasks=3"], lambda config: config.train.callback == {"tasks": 3}),
        (["data.sizes={test: 3}"], lambda config: config.data.sizes == {"train": 400, "validation": 50, "test": 3}),
        (["experiment=debug", "seed=3"], lambda config: config.name == "debug" and config.seed == 3),
    ],
)
def test_a_key_of_an_open_mapping_needs_no_mark(options, gets, monkeypatch):
    got: list[Config] = []
    started(monkeypatch, got.append, *options)
    assert gets(got[0])


def test_each_job_of_a_sweep_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folders: list[Path] = []
    started(
        monkeypatch,
        lambda config: folders.append(out_folder(config, "train")),
        "--multirun",
        "train.learning_rate=0.1,0.2",
    )
    started(monkeypatch, lambda config: folders.append(out_folder(config, "train")), "train.learning_rate=0.1")
    assert folders == [Path("outputs/train/default/0"), Path("outputs/train/default/1"), Path("outputs/train/default")]
    assert {path.name for path in tmp_path.iterdir()} <= {"outputs"}


@pytest.mark.parametrize("choice", [*CHOICES, *(f"experiment={name}" for name in EXPERIMENTS)])
def test_what_the_files_say_is_within_limits(choice):
    check(composed(choice))


def test_the_papers_commit_rule_knows_no_silences():
    with pytest.raises(ValueError, match="use agent.commit_on=final"):
        settings_of("speculative", AgentConfig(commit="paper", commit_on="silence"))


def test_where_lines_commit_their_own_calls_no_other_line_is_asked_for():
    config = AgentConfig(commit="line")
    assert {mode: settings_of(mode, config).commit for mode in MODES} == {
        mode: "action" if row.runs_lines else "line" for mode, row in MODES.items()
    }
    assert settings_of("parallel", AgentConfig(commit="line", runs_lines=False)).commit == "line"
