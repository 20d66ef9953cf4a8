"""A trained checkpoint as a model's folder: ``python -m training.export path=outputs/train/debug out=outputs/export/debug``.

Owns the merge of an adapter, and a folder that transformers and vLLM load as it is: safetensors, tokenizer, chat
template, a card that says what it was trained on. With ``gguf=true`` a file for llama.cpp beside it, in 8 bits with
``gguf_q8=true``. Refuses to know how well the model does; the card quotes what the training run measured.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from agent.models.checkpoint import load_model
from agent.models.ends import text_ends
from agent.models.load import PROTOCOL
from configs.command import UserError, command, out_folder
from configs.folder import SETTINGS, raw_settings
from configs.schema import Config
from training.card import export_card
from training.gguf_file import write_gguf


def main(config: Config) -> None:
    """Merges, writes, and says where."""
    source = Path(config.path)
    settings, manifest = run_of(source, config.path)
    folder = Path(config.out) if config.out else out_folder(config, "export").with_name(source.name)
    if (folder / "config.json").exists():
        raise UserError(f"{folder} holds a model already; give another out=, or delete it")
    half = folder.with_name(folder.name + ".partial")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    disable_progress_bar()
    model, tokenizer = load_model(settings["model"]["name"], str(source), settings["model"]["dtype"])
    model.generation_config.eos_token_id = text_ends(model.generation_config.eos_token_id, tokenizer)
    model.save_pretrained(half)
    tokenizer.save_pretrained(half)
    (half / "README.md").write_text(export_card(settings, manifest, folder.name))
    shutil.copy(source / PROTOCOL, half / PROTOCOL)
    for name in ("config.yaml", "manifest.json"):
        shutil.copy(source / name, half / f"training-{name}")
    if config.gguf:
        write_gguf(model, tokenizer, half / f"{source.name}.gguf", source.name, config.gguf_q8)
    if folder.exists():
        folder.rmdir()  # empty, or this says so
    half.rename(folder)
    print(f"model: {folder}")


def run_of(source: Path, given: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the manifest of a training run.

    Raises:
        UserError: the folder is none.
    """
    if not given:
        raise UserError("path= names no checkpoint; give the folder of a training run: path=outputs/train/NAME")
    for name in ("config.yaml", "manifest.json"):
        if not (source / name).exists():
            raise UserError(f"{source} has no {name}: it is no finished run of training.sft; give another path=")
    return raw_settings(source / SETTINGS), json.loads((source / "manifest.json").read_text())


if __name__ == "__main__":
    command(main)()
