"""A trained checkpoint as a model's folder:
``python -m training.export path=outputs/train/debug out=outputs/export/debug``.

Owns the merge of an adapter, and a folder that transformers and vLLM load as it is: safetensors, tokenizer, chat
template, a card that says what it was trained on. ``path`` is a training run, or the name of an adapter that comes with
the code, merged into the model of group model and in its dtype. With ``gguf=true`` it also writes a file for llama.cpp,
in 8 bits with ``gguf_q8=true``. Does not know how well the model does; the card quotes what the training run measured.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from transformers.utils.logging import disable_progress_bar

from configs.command import claim, command, out_folder
from configs.folder import SETTINGS, Untrusted, raw_settings
from configs.schema import Config
from midsentence.ending import UserError
from midsentence.files import marker, shaped
from midsentence.models.checkpoint import load_model
from midsentence.models.ends import text_ends
from midsentence.models.load import PROTOCOL, SHIPPED
from training.card import export_card
from training.gguf_file import write_gguf

_SETTINGS = {
    "name": str,
    "model": {"name": str, "tags": str, "dtype": str, "turns?": str},
    "clock": {"stamps": str},
    "train": {"method": str, "learning_rate": (int, float)},
}
_COUNT = {"rows": int, "dropped": int, "cut": int}
_MANIFEST = {"git?": {"commit?": str}, "metrics?": {"loss?": (int, float)}, "data?": {str: _COUNT}}
"""What a run's files have, as far as they are read."""


def main(config: Config) -> None:
    """Merges, writes, and says where."""
    source = Path(config.path)
    shipped = not source.exists() and (SHIPPED / config.path / PROTOCOL).is_file() if config.path else False
    settings, manifest = ({}, {}) if shipped else run_of(source, config.path)
    folder = Path(config.out) if config.out else out_folder(config, "export").with_name(source.name)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something already; give another out=, or delete it")
    half = folder.with_name(folder.name + ".partial")
    claim(half)
    for left in half.iterdir():  # of an export that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    try:
        if shipped:
            merge_shipped(config, SHIPPED / config.path, half)
        else:
            merge(config, source, settings, manifest, half)
        if folder.exists():
            folder.rmdir()
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    print(f"model: {folder}")


def merge(config: Config, source: Path, settings: dict[str, Any], manifest: dict[str, Any], half: Path) -> None:
    """Writes the merged model, its tokenizer and its card into an empty folder."""
    _write(config, source, resolved(source / SETTINGS, settings, config.trust), settings["model"]["dtype"], half)
    (half / "README.md").write_text(export_card(settings, manifest, half.name.removesuffix(".partial")), "utf-8")
    for name in ("config.yaml", "manifest.json"):
        shutil.copy(source / name, half / f"training-{name}")


def merge_shipped(config: Config, source: Path, half: Path) -> None:
    """The same of an adapter that comes with the code, whose own card tells how it was trained."""
    _write(config, source, config.model.name, config.model.dtype, half)
    shutil.copy(source / "README.md", half / "README.md")


def _write(config: Config, source: Path, base: str, dtype: str, half: Path) -> None:
    disable_progress_bar()
    model, tokenizer = load_model(base, str(source), dtype)
    model.generation_config.eos_token_id = text_ends(model.generation_config.eos_token_id, tokenizer)
    model.save_pretrained(half)
    tokenizer.save_pretrained(half)
    shutil.copy(source / PROTOCOL, half / PROTOCOL)
    if config.gguf:
        write_gguf(model, tokenizer, half / f"{source.name}.gguf", source.name, config.gguf_q8)


def run_of(source: Path, given: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the manifest of a training run.

    Raises:
        UserError: the folder is not a training run.
    """
    if not given:
        raise UserError("path= names no checkpoint; give the folder of a training run: path=outputs/train/NAME")
    for name in ("config.yaml", "manifest.json"):
        if not (source / name).exists():
            raise UserError(f"{source} has no {name}: it is no finished run of training.sft; give another path=")
    settings, manifest = raw_settings(source / SETTINGS), marker(source / "manifest.json")
    for name, found, shape in ((SETTINGS, settings, _SETTINGS), ("manifest.json", manifest, _MANIFEST)):
        if not found or not shaped(found, shape):
            raise UserError(f"{source / name} is not what training.sft writes; train again, or give another path=")
    return settings, manifest


def resolved(path: Path, settings: dict[str, Any], trust: bool) -> str:
    """The base model's name; one that was taken from the environment is taken from there again, if the user says so.

    Raises:
        Untrusted: the user does not.
    """
    name = str(settings["model"]["name"])
    if "${" not in name:
        return name
    if not trust:
        raise Untrusted(
            f"{path} takes model.name from outside, by {name}; if you trust whoever made the folder, add trust=true"
        )
    return str(OmegaConf.select(OmegaConf.create(settings), "model.name"))


if __name__ == "__main__":
    command(main)()
