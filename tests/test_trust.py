"""A folder's own settings are data: reading it runs no Python, asks no service and takes nothing from the
environment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from configs.folder import Untrusted, raw_settings, settings_in
from configs.schema import Config
from data_gen import check, generate, look
from eval.figures import paper
from tests.test_configs import composed


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generate.main(composed("experiment=debug", f"out={folder}", "data.sizes={train: 2, validation: 0, test: 0}"))
    return folder


@pytest.fixture
def forged(made, tmp_path):
    """A copy of the folder whose settings say something else."""

    def make(**changes) -> Path:
        folder = tmp_path / "forged"
        shutil.copytree(made, folder)
        settings = yaml.safe_load((folder / "config.yaml").read_text())
        for name, value in changes.items():
            group, _, key = name.rpartition("__")
            (settings[group] if group else settings)[key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        return folder

    return make


@pytest.fixture
def trap(tmp_path) -> tuple[Path, Path]:
    """A tools file, and the file that appears when it runs."""
    sprung, tools = tmp_path / "sprung", tmp_path / "tools.py"
    tools.write_text(f"open({str(sprung)!r}, 'w').close()\n")
    return tools, sprung


def test_checking_or_looking_at_a_folder_never_runs_the_tools_file_that_it_names(forged, trap):
    tools, sprung = trap
    folder = forged(tools=str(tools), requests=str(tools), task="jsonl")
    says = r"config.yaml names Python, tools=.*tools.py, which reading the folder would run; .* add trust=true"
    with pytest.raises(Untrusted, match=says):
        check.check(folder)
    with pytest.raises(Untrusted, match=says):
        look.episode_of(look.read(folder)[0], folder)
    with pytest.raises(Untrusted, match=says):
        check.main(Config(path=str(folder)))
    assert not sprung.exists()


@pytest.mark.parametrize("written", ["${name}", "${data.source}", "/${out}", "FILE/", "FILE/."])
def test_python_is_seen_however_the_settings_spell_it(forged, trap, written):
    """What counts is what comes out: settings may be put together of others, and a path be spelt in several ways."""
    tools, sprung = trap
    folder = forged(
        tools=written.replace("FILE", str(tools)),
        requests=str(tools),
        task="jsonl",
        name=str(tools),
        out=str(tools)[1:],
        data__source=str(tools),
    )
    for read in (lambda: check.check(folder), lambda: look.episode_of(look.read(folder)[0], folder)):
        with pytest.raises(Untrusted, match=r"names Python, tools=.*tools.py"):
            read()
    assert not sprung.exists()


def test_the_user_may_say_that_a_folder_is_trusted(forged, trap):
    tools, sprung = trap
    with pytest.raises(ValueError, match="has no tools"):
        check.check(forged(tools=str(tools), requests=str(tools), task="jsonl"), trust=True)
    assert sprung.exists()


def test_a_folder_cannot_trust_itself(forged, trap):
    tools, sprung = trap
    with pytest.raises(Untrusted):
        check.check(forged(tools=str(tools), requests=str(tools), task="jsonl", trust=True))
    assert not sprung.exists()


def test_a_setting_that_is_gone_is_read_at_its_default_and_else_refused_by_name(forged):
    folder = forged(agent__duplicate_writes=False)
    assert not hasattr(settings_in(folder).agent, "duplicate_writes")
    shutil.rmtree(folder)
    with pytest.raises(
        ValueError, match="config.yaml has agent.duplicate_writes=True, and there is no such setting any more"
    ):
        settings_in(forged(agent__duplicate_writes=True))


def test_a_folder_names_no_callback_no_endpoint_and_no_environment(forged, monkeypatch):
    monkeypatch.setenv("MIDSENTENCE_TEST_SECRET", "hunter2")
    folder = forged(train__callback={"_target_": "os.system", "command": "true"})
    assert settings_in(folder).train.callback == {}
    assert settings_in(folder, trust=True).train.callback["_target_"] == "os.system"
    shutil.rmtree(folder)
    folder = forged(
        data__paraphrase={"url": "http://example.invalid/v1", "model": "m", "key_env": "MIDSENTENCE_TEST_SECRET"}
    )
    with pytest.raises(Untrusted, match=r"names an endpoint, data.paraphrase.url"):
        settings_in(folder)
    shutil.rmtree(folder)
    folder = forged(requests="hf://datasets/a/b")
    with pytest.raises(
        Untrusted,
        match=r"names a data set of the hub, requests=hf://datasets/a/b, which reading the folder would fetch",
    ):
        settings_in(folder)
    for value in ("${oc.env:MIDSENTENCE_TEST_SECRET}", "a/${${name}.env:MIDSENTENCE_TEST_SECRET}"):
        shutil.rmtree(folder)
        folder = forged(name=value)
        with pytest.raises(Untrusted, match="takes name from outside"):
            settings_in(folder)


def test_a_folder_asks_for_no_data_set_of_the_hub(forged):
    folder = forged(requests="nobody/nothing", task="jsonl", tools="assistant")
    with pytest.raises(
        Untrusted, match="names requests=nobody/nothing, no file or folder here: reading the folder might ask the hub"
    ):
        settings_in(folder)
    assert settings_in(folder, trust=True).requests == "nobody/nothing"


def test_a_report_takes_the_name_of_a_model_as_it_stands(forged, monkeypatch):
    monkeypatch.setenv("MIDSENTENCE_TEST_SECRET", "hunter2")
    folder = forged(model__name="${oc.env:MIDSENTENCE_TEST_SECRET}")
    monkeypatch.setattr(paper, "read_manifest", lambda run: {"rows": [{"backend": "model"}]})
    assert paper.models_of([str(folder)]) == {"model": "${oc.env:MIDSENTENCE_TEST_SECRET}"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [", r"config.yaml is no YAML"),
        (b"\xff\xfe\x00", r"config.yaml is no YAML"),
        (b"", r"holds NoneType, not settings"),
        (b"[" * 3000, r"config.yaml is no YAML"),
        (b"seed: abc", r"holds no settings that this code knows \(Value 'abc'"),
        (b"sauce: 1", r"holds no settings that this code knows"),
        (b"seed: -1", r"seed=-1 is out of range"),
    ],
)
def test_settings_that_are_none_are_named(tmp_path, content, says):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=says) as raised:
        settings_in(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_folder_without_settings_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no config.yaml; make the folder again"):
        raw_settings(tmp_path / "config.yaml")


def test_a_folder_is_checked_as_before(made):
    assert check.check(made).report()["rows"] == 2


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_model_that_is_broken_on_disk_is_named(tmp_path, name):
    from midsentence.models.checkpoint import load_model
    from midsentence.models.folders import resolve

    folder = tmp_path / "model"
    shutil.copytree(resolve("tiny"), folder)
    (folder / name).write_bytes(b"\x00" * 40)
    with pytest.raises(ValueError, match="model holds a file that can't be read .*; make or fetch it again") as raised:
        load_model(str(folder), dtype="float32")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_by_every_loader(tmp_path, value):
    from safetensors.torch import load_file, save_file

    from midsentence.models.checkpoint import load_model
    from midsentence.models.folders import resolve
    from midsentence.models.transformers import TransformersModel

    folder = tmp_path / "model"
    shutil.copytree(resolve("tiny"), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    says = r"model has 1 tensors with values that are no finite number \(model.norm.weight\); train or fetch it again"
    for load in (load_model, TransformersModel.load, lambda name: load_model("tiny", name)):
        with pytest.raises(ValueError, match=says):
            load(str(folder))


def test_an_export_takes_nothing_from_outside_unless_it_is_trusted(tmp_path, monkeypatch):
    from training.export import resolved

    monkeypatch.setenv("MIDSENTENCE_TEST_MODEL", "tiny")
    settings = {"model": {"name": "${oc.env:MIDSENTENCE_TEST_MODEL}"}}
    with pytest.raises(
        Untrusted, match="takes model.name from outside, by .*; if you trust whoever made the folder, add trust=true"
    ):
        resolved(tmp_path / "config.yaml", settings, trust=False)
    assert resolved(tmp_path / "config.yaml", settings, trust=True) == "tiny"


def test_a_model_that_brings_code_is_refused_and_nobody_is_asked(tmp_path, trap):
    from midsentence.models.checkpoint import load_model
    from midsentence.models.folders import resolve

    tools, sprung = trap
    folder = tmp_path / "model"
    shutil.copytree(resolve("tiny"), folder)
    shutil.copy(tools, folder / "theirs.py")
    settings = json.loads((folder / "config.json").read_text()) | {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_model(str(folder), dtype="float32")
    assert not sprung.exists()
