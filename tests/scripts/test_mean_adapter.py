"""The mean of adapters, and what has none."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from midsentence.ending import UserError
from scripts.mean_adapter import main, mean_adapter


@pytest.fixture
def adapter(tmp_path):
    def make(name: str, value: float, width: int = 3, rank: int = 8, stamps: str = "none"):
        folder = tmp_path / name
        folder.mkdir()
        save_file(
            {"a": torch.full((2, width), value), "b": torch.full((4,), -value)}, folder / "adapter_model.safetensors"
        )
        (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": 16}))
        (folder / "protocol.json").write_text(json.dumps({"stamps": stamps}))
        return folder

    return make


def test_the_mean_is_of_every_tensor_and_in_half_precision(adapter, tmp_path, capsys):
    first, second = adapter("first", 1.0), adapter("second", 2.0)
    assert main([str(first), str(second), "--out", str(tmp_path / "mean")]) == 0
    assert capsys.readouterr().out == f"adapter: {tmp_path / 'mean'}\n"
    mean = load_file(tmp_path / "mean" / "adapter_model.safetensors")
    assert {name: (str(tensor.dtype), tensor.unique().tolist()) for name, tensor in mean.items()} == {
        "a": ("torch.bfloat16", [1.5]),
        "b": ("torch.bfloat16", [-1.5]),
    }
    assert json.loads((tmp_path / "mean" / "protocol.json").read_text()) == {"stamps": "none"}


def test_one_alone_is_rounded_also_in_its_place(adapter):
    only = adapter("only", 0.3)
    mean_adapter([only], only)
    assert load_file(only / "adapter_model.safetensors")["a"].unique().tolist() == [torch.tensor(0.3).bfloat16().item()]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"width": 4}, "differ in a;"),
        ({"rank": 16}, "differ in adapter_config"),
        ({"stamps": "text"}, "in protocol.json"),
    ],
)
def test_adapters_of_different_form_have_no_mean(adapter, tmp_path, other, said):
    with pytest.raises(UserError, match=said):
        mean_adapter([adapter("first", 1.0), adapter("second", 2.0, **other)], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_folder_without_weights_is_no_adapter(adapter, tmp_path):
    with pytest.raises(UserError, match=r"nowhere is no adapter: it has no adapter_model.safetensors"):
        mean_adapter([adapter("first", 1.0), tmp_path / "nowhere"], tmp_path / "mean")
