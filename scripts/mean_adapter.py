"""An adapter in half precision, or the mean of several: ``python -m scripts.mean_adapter --out FOLDER ADAPTER …``.

The mean of adapters of one line of runs is often better than each of them (Wortsman and others 2022, "Model soups") and
costs nothing at inference. Owns the arithmetic and what adapters must have in common. Does not know which mean is
better: choose on validation.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from midsentence.ending import UserError, program

WEIGHTS = "adapter_model.safetensors"
ALIKE = {"adapter_config.json": ("r", "lora_alpha", "use_rslora"), "protocol.json": None, "base.json": None}
"""Files that say the same in adapters that can be averaged; of some only these keys."""


def mean_adapter(adapters: Sequence[Path], out: Path) -> None:
    """Writes the mean of the adapters' tensors in bfloat16, with the first one's other files.

    Raises:
        UserError: one is no adapter, or is of another shape or protocol than the first.
    """
    import torch
    from safetensors.torch import load_file, save_file

    for adapter in adapters:
        if not (adapter / WEIGHTS).is_file():
            raise UserError(f"{adapter} is no adapter: it has no {WEIGHTS}")
        for name, keys in ALIKE.items():
            if _said(adapter / name, keys) != _said(adapters[0] / name, keys):
                raise UserError(f"{adapter} and {adapters[0]} differ in {name}; only adapters of one form have a mean")
    found = [load_file(adapter / WEIGHTS) for adapter in adapters]
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in found]
    for adapter, shape in zip(adapters, shapes, strict=True):
        if shape != shapes[0]:
            other = next(name for name in {*shape, *shapes[0]} if shape.get(name) != shapes[0].get(name))
            raise UserError(f"{adapter} and {adapters[0]} differ in {other}; only adapters of one form have a mean")
    out.mkdir(parents=True, exist_ok=True)
    for path in adapters[0].iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.resolve().parent != out.resolve():
            shutil.copy(path, out / path.name)
    mean = {name: sum(tensors[name].float() for tensors in found) / len(found) for name in found[0]}
    half = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in mean.items()}
    save_file(half, out / WEIGHTS, metadata={"format": "pt"})


def _said(path: Path, keys: Sequence[str] | None) -> object:
    """What a file says, or some of it; None where it is not there."""
    if not path.is_file():
        return None
    said = json.loads(path.read_text("utf-8"))
    return said if keys is None else {key: said.get(key) for key in keys}


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="mean_adapter")
    parser.add_argument("adapters", type=Path, nargs="+", help="folders; one alone is only rounded")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    mean_adapter(given.adapters, given.out)
    print(f"adapter: {given.out}")
    return 0


if __name__ == "__main__":
    program(main)
