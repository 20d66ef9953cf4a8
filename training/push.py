"""Uploads a folder to the Hugging Face hub: ``python -m training.push path=outputs/train/NAME hub=ORG/NAME``.

Owns what goes there of a folder of trajectories, of a trained checkpoint and of an exported model, each with its card;
nothing else of a folder does. The key is ``HF_TOKEN`` of the environment and no other, and a new repository is private
unless ``private=false`` is said. Does not know how any of them was made.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from configs.command import command
from configs.folder import SETTINGS, raw_settings
from configs.schema import Config
from data_gen.trajectory import MANIFEST, read_manifest
from midsentence.ending import UserError
from midsentence.files import marker
from midsentence.models.checkpoint import BASE
from midsentence.models.folders import hub_id
from midsentence.models.load import PROTOCOL
from training.card import adapter_card, data_card

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ADAPTER = "adapter_config.json"
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "*.gguf")
_TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "*.jinja")
_TOLD = (SETTINGS, MANIFEST, BASE, PROTOCOL, f"training-{SETTINGS}", f"training-{MANIFEST}")
TOKEN = "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What goes to the hub."""

    kind: Literal["dataset", "model"]
    """Which kind of repository it goes into."""
    files: Mapping[str, Path | bytes]
    """By name in the repository: a file, or what is in it."""


def main(config: Config) -> None:
    """Sends, and says where it is."""
    folder = Path(config.path)
    if not _NAME.fullmatch(config.hub):
        raise UserError(f"hub={config.hub or 'nothing'} is no name of a repository; give hub=OWNER/NAME")
    if not (token := os.environ.get(TOKEN)):
        raise UserError(
            f"{TOKEN} is not set; give a key that may write, from https://huggingface.co/settings/tokens, in the environment"
        )
    parcel = pack(folder, config.path, config.hub)
    url = send(parcel, config.hub, token, private=config.private)
    print(f"{len(parcel.files)} files: {', '.join(sorted(parcel.files))}")
    print(f"{parcel.kind}: {url}")


def pack(folder: Path, given: str, name: str) -> Parcel:
    """What of a folder goes to the hub under a name.

    Raises:
        UserError: the folder is of none of the three kinds.
        BadData: it is one of trajectories, and not whole.
    """
    manifest = marker(folder / MANIFEST)
    if "shards" in manifest:
        manifest = read_manifest(folder)
        shards = {shard: folder / shard for shards in manifest["shards"].values() for shard in shards}
        card = data_card(raw_settings(folder / SETTINGS), manifest, name)
        return Parcel("dataset", shards | _present(folder, _TOLD) | {"README.md": card.encode()})
    if (folder / f"training-{MANIFEST}").is_file():  # an export, whose card is there
        model = _present(folder, (*_WEIGHTS, *_TOKENIZER, *_TOLD))
        return Parcel("model", model | {"README.md": _renamed_card(folder, name)})
    if not manifest or not (folder / SETTINGS).is_file() or not any(folder.glob("*.safetensors")):
        raise UserError(
            f"path={given or 'nothing'} holds no trajectories, no finished checkpoint and no exported model; give the folder of "
            "data_gen.generate, training.sft or training.export"
        )
    settings = raw_settings(folder / SETTINGS)
    files: dict[str, Path | bytes] = _present(folder, (*_WEIGHTS, *_TOKENIZER, *_TOLD))
    if (folder / _ADAPTER).is_file():
        files[_ADAPTER] = _adapter_config(folder, settings)
    return Parcel("model", files | {"README.md": adapter_card(settings, manifest, name).encode()})


def _present(folder: Path, patterns: tuple[str, ...]) -> dict[str, Path | bytes]:
    return {path.name: path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()}


def _renamed_card(folder: Path, name: str) -> bytes:
    """An export's card, which loads it by its folder's name, with the name on the hub in its place."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return re.sub(rf'(?<=[="]){re.escape(folder.name)}(?=["\s])', name, text).encode()


def _adapter_config(folder: Path, settings: Mapping[str, Any]) -> bytes:
    """An adapter's configuration, which names a folder of this machine, with the base model's name on the hub in its
    place."""
    base = hub_id(settings["model"]["name"]) or settings["model"]["name"]
    return json.dumps(
        json.loads((folder / _ADAPTER).read_text("utf-8")) | {"base_model_name_or_path": base}, indent=2
    ).encode()


def send(parcel: Parcel, name: str, token: str, *, private: bool, api: Callable[..., Any] | None = None) -> str:
    """Makes the repository if it is not there, and commits all files at once; gives its address.

    Args:
        parcel: what goes there.
        name: of the repository, with its owner.
        token: the key.
        private: whether a new repository is seen by its owner alone.
        api: makes the hub's client of a ``token``; `huggingface_hub.HfApi` by default.

    Raises:
        UserError: the hub refuses, or can't be reached; says why.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    client = (api or HfApi)(token=token)
    operations = [CommitOperationAdd(path, content) for path, content in sorted(parcel.files.items())]
    try:
        url = client.create_repo(name, repo_type=parcel.kind, private=private, exist_ok=True)
        client.create_commit(name, operations, commit_message="Upload with midsentence", repo_type=parcel.kind)
    except Exception as error:  # the hub's client raises its own, the HTTP library's and the system's
        said = " ".join(str(error).split()).replace(token, "…")
        raise UserError(
            f"the hub did not take {name} ({type(error).__name__}: {said}); see that the key may write there"
        ) from None
    return str(url)


if __name__ == "__main__":
    command(main)()
