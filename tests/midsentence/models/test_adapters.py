"""Adapters that come with the code: found by name, behind a folder of that path, and of this edition."""

import shutil
from pathlib import Path

import pytest

from midsentence.models import load
from midsentence.models.folders import TINY


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "SHIPPED", tmp_path / "shipped")
    shutil.copytree(TINY, tmp_path / "shipped" / "mine")
    return tmp_path / "shipped"


def test_a_name_is_a_shipped_adapter(shipped):
    assert load.adapter_folder("mine") == shipped / "mine"
    assert load.weights_hash("mine") == load.weights_hash(str(shipped / "mine"))
    assert load.load_tokenizer("tiny", "mine").get_vocab() == load.load_tokenizer("tiny").get_vocab()


def test_a_folder_goes_before_a_name(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    assert load.adapter_folder("mine") == Path("mine")


def test_an_unknown_name_says_which_there_are(shipped):
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at yours; train one .* \(adapters that come with the code: mine\)"
    ):
        load.adapter_folder("yours")


@pytest.mark.parametrize("folder", sorted(load.SHIPPED.glob("*/")), ids=lambda folder: folder.name)
def test_what_ships_is_whole_small_and_of_this_edition(folder):
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in folder.iterdir()
    }
    assert load.protocol_of(folder) is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < 25_000_000
