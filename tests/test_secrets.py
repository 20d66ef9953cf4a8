"""Neither keys in addresses nor what the environment gave a setting stand in a run's folder."""

from __future__ import annotations

import json

import pytest
import yaml
from omegaconf import OmegaConf

from configs.command import write_manifest
from configs.secrets import as_given
from data_gen import generate
from midsentence.addresses import without_keys
from tests.test_configs import started

SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"http://user:{SECRET}@host:8/v1", "http://host:8/v1"),
        (f"https://{SECRET}@host", "https://host"),
        (f"http://host/v1?api_key={SECRET}&n=1", "http://host/v1?api_key=…&n=1"),
        (f"http://host?n=1&token={SECRET}", "http://host?n=1&token=…"),
        (f"asked http://a:{SECRET}@host/ twice", "asked http://host/ twice"),
        ("http://host/v1", "http://host/v1"),
        ("me@host.com", "me@host.com"),
        ("http://host/a@b?x=1", "http://host/a@b?x=1"),
    ],
)
def test_addresses_are_written_without_keys(text, seen):
    assert without_keys(text) == seen


def test_a_run_leaves_its_settings_unresolved(monkeypatch, tmp_path):
    monkeypatch.setenv("MIDSENTENCE_TEST_KEY", SECRET)
    monkeypatch.setenv("MIDSENTENCE_TEST_SEED", "7")
    seen = []

    def main(config):
        seen.append(config)
        config.max_tokens = 5  # a command may set what it was not given
        write_manifest(
            tmp_path,
            config,
            rows=[{"n": 1}],
            checkpoints={"a": config.model.adapter},
            asked={"train": {"url": config.data.paraphrase.url}},
        )

    started(
        monkeypatch,
        main,
        "data.paraphrase.url='http://host/${oc.env:MIDSENTENCE_TEST_KEY}/v1'",
        "model.adapter='${oc.env:MIDSENTENCE_TEST_KEY}'",
        "seed='${oc.env:MIDSENTENCE_TEST_SEED}'",
        "requests='${name}.jsonl'",
        f"data.files={{corpus: 'http://me:{SECRET}@host/corpus'}}",
    )
    assert (seen[0].seed, seen[0].model.adapter, seen[0].requests) == (7, SECRET, "default.jsonl")
    written = (tmp_path / "config.yaml").read_text() + (tmp_path / "manifest.json").read_text()
    assert SECRET not in written
    settings = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert settings["data"]["paraphrase"]["url"] == "http://host/${oc.env:MIDSENTENCE_TEST_KEY}/v1"
    assert (settings["seed"], settings["requests"], settings["max_tokens"]) == (
        "${oc.env:MIDSENTENCE_TEST_SEED}",
        "${name}.jsonl",
        5,
    )
    assert settings["data"]["files"]["corpus"] == "http://host/corpus"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["asked"]["train"]["url"] == "http://host/${oc.env:MIDSENTENCE_TEST_KEY}/v1"
    assert manifest["checkpoints"] == {"a": "${oc.env:MIDSENTENCE_TEST_KEY}"} and manifest["rows"] == [{"n": 1}]


def test_what_a_command_set_anew_is_written_as_it_is():
    given = OmegaConf.create({"a": "${b}", "b": "x", "c": ["${b}", 1]})
    assert as_given({"a": "x", "b": "x", "c": ["x", 1]}, given) == {"a": "${b}", "b": "x", "c": ["${b}", 1]}
    assert as_given({"a": "new", "b": "x", "c": ["x", 2, 3]}, given) == {"a": "new", "b": "x", "c": ["x", 2, 3]}
    assert as_given({"a": "x"}, None) == {"a": "x"}


def test_a_sweep_and_a_card_leave_no_keys_either(monkeypatch, tmp_path):
    monkeypatch.setenv("MIDSENTENCE_TEST_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    address = f"train.data=['http://me:{SECRET}@host/corpus?token={SECRET}']"
    name = "name='${oc.env:MIDSENTENCE_TEST_KEY}'"
    sizes = "data.sizes={train: 1, validation: 0, test: 0}"
    started(monkeypatch, generate.main, "-m", "experiment=debug", sizes, "seed=1", address, name, "out=made")
    assert (tmp_path / "made" / "0" / "README.md").read_text().count("${oc.env:MIDSENTENCE_TEST_KEY}") == 1
    assert (tmp_path / "outputs" / "multirun" / "multirun.yaml").is_file()
    assert [str(path) for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
