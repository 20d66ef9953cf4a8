"""Loads tokenizers and running models by a model's name.

Owns the loading of a tokenizer from a model's folder, or from a checkpoint that brings its own, which runtime loads
the weights, and that a checkpoint speaks the protocol that is asked of it. Does not know how either is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from midsentence.core.protocol import EDITION
from midsentence.files import marker, shaped, write
from midsentence.models.folders import hub_id, resolve
from midsentence.rendering.renderer import Renderer, Stamps, Tags, Turns

RUNTIMES = ("transformers", "llamacpp", "vllm")
DTYPES = ("bfloat16", "float16", "float32")
PROTOCOL = "protocol.json"
"""Beside a checkpoint's weights: the edition of the protocol and the form of it that it was trained in."""
_FIRST_EDITION = ("base.json", "training-manifest.json")
"""What checkpoints and exports of the first edition have in the place of `PROTOCOL`."""
SHIPPED = Path(__file__).parent / "adapters"
"""Adapters that come with the code, a folder each, by name."""

_BROKEN = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
)
"""What libraries raise where a file has not what they take for granted."""


def adapter_folder(adapter: str) -> Path:
    """Where a checkpoint is: the folder of that path, or else the shipped adapter of that name.

    Raises:
        FileNotFoundError: neither is there.
    """
    for folder in (Path(adapter), SHIPPED / adapter):
        if folder.is_dir():
            return folder
    fetched = f"; if it is on the hub: hf download {adapter} --local-dir FOLDER" if hub_id(adapter) else ""
    names = ", ".join(sorted(path.name for path in SHIPPED.glob("*/"))) or "none"
    raise FileNotFoundError(
        f"no checkpoint at {adapter}; train one with: python -m training.sft out={adapter} "
        f"(adapters that come with the code: {names}){fetched}"
    )


def note_protocol(folder: Path, renderer: Renderer) -> None:
    """Leaves `PROTOCOL` in a checkpoint's folder."""
    form = {"edition": EDITION, "tags": renderer.tags, "turns": renderer.turns, "stamps": renderer.clock}
    write(folder / PROTOCOL, json.dumps(form) + "\n")


def protocol_of(folder: Path) -> dict[str, Any] | None:
    """What a checkpoint was trained in; None for a model that was not trained here, or a checkpoint in the middle of
    its training.

    Raises:
        ValueError: it was trained in another edition.
    """
    if (folder / PROTOCOL).is_file():
        form = marker(folder / PROTOCOL)
        if not shaped(form, {"edition": int, "tags?": str, "turns?": str, "stamps?": str}):
            raise ValueError(
                f"{folder / PROTOCOL} is not what training.sft writes; copy it from the run again, or train again"
            )
    elif any((folder / name).is_file() for name in _FIRST_EDITION):
        form = {"edition": 1}
    else:
        return None
    if form["edition"] != EDITION:
        raise ValueError(
            f"{folder} was trained in edition {form['edition']} of the protocol, and this code speaks edition {EDITION}; generate "
            "the data again (data_gen.generate) and train on it (training.sft), or use the release that it was trained with"
        )
    return form


@contextmanager
def reading(place: Path | str) -> Iterator[None]:
    """Names the folder in what libraries raise of a broken file in it, in kinds of their own or as if the fault was
    theirs.

    Raises:
        ValueError: weights or a tokenizer can't be read.
    """
    try:
        yield
    except Exception as error:
        bare = (
            type(error) is Exception or type(error).__name__ == "SafetensorError"
        )  # as tokenizers and safetensors raise it
        if not bare and not isinstance(error, _BROKEN) or type(error).__name__ == "OutOfMemoryError":
            raise
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{place} holds a file that can't be read ({why}); make or fetch it again") from error


def finite(model: Any, place: Path | str) -> Any:
    """The model, whose weights are numbers.

    Raises:
        ValueError: some are not: training has diverged, or a file was damaged.
    """
    import torch

    with torch.no_grad():
        odd = [
            name
            for name, weight in model.named_parameters()
            if weight.is_floating_point() and not torch.isfinite(weight).all()
        ]
    if odd:
        raise ValueError(
            f"{place} has {len(odd)} tensors with values that are no finite number ({odd[0]}); train or fetch it again"
        )
    return model


def load_tokenizer(name: str, adapter: str | None = None) -> Any:
    """The tokenizer of a model, or of a checkpoint trained from it.

    Raises:
        FileNotFoundError: the checkpoint has no tokenizer, so its tokens can't be known.
        ValueError: it was trained in another edition of the protocol.
    """
    from transformers import AutoTokenizer

    if adapter is None:
        place = Path(resolve(name))
        protocol_of(place)
        if place.is_dir() and not any(place.glob("tokenizer*")) and not any(place.glob("vocab*")):
            raise ValueError(
                f"{place} has no tokenizer, so it is no model's folder; give one that has config.json and tokenizer.json"
            )
        with reading(place):
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    folder = adapter_folder(adapter)
    if not (folder / "tokenizer.json").exists():
        raise FileNotFoundError(
            f"checkpoint {adapter} has no tokenizer.json: it was not saved by training.sft; copy its tokenizer there"
        )
    protocol_of(folder)
    with reading(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def load_renderer(
    name: str, tags: Tags, stamps: Stamps, adapter: str | None = None, turns: Turns | None = None
) -> Renderer:
    """The renderer of a model or checkpoint; tags and stamps that its tokenizer lacks are added to it.

    Raises:
        ValueError: the checkpoint was trained with other tags, turns or stamps, or in another edition.
    """
    renderer = Renderer.prepare(load_tokenizer(name, adapter), tags, stamps, turns)
    if adapter is not None and (form := protocol_of(adapter_folder(adapter))) is not None:
        for name, value in {"tags": renderer.tags, "turns": renderer.turns, "stamps": renderer.clock}.items():
            if (trained := form[name]) != value:
                raise ValueError(
                    f"{adapter} was trained with {name}={trained}, and {name}={value} is asked of it; set the former"
                )
    return renderer


def load_runtime(
    name: str, adapter: str | None = None, dtype: str = "bfloat16", runtime: str = "transformers", **options: Any
) -> Any:
    """A model that serves streams, on the accelerator if there is one.

    Args:
        name: a folder, a hub id, ``smollm2`` or ``tiny``.
        adapter: folder of a checkpoint, or the name of a shipped one.
        dtype: of weights and cache; for llama.cpp of the cache alone, float32 or else float16.
        runtime: ``transformers``; ``llamacpp``, which takes the GGUF file in the folder, with the weights as that has
            them; or ``vllm``, a server that has them, of which the folder here gives the tokenizer alone.
        options: of every backend's constructor: temperature, max_tokens, eager; for vLLM ``server``, its address, and
            ``served``, the name that it has there, where that is not the folder's.

    Raises:
        FileNotFoundError: no such checkpoint, or it lacks what the runtime needs.
        ValueError: no such runtime, or the server has another model.
    """
    if runtime == "llamacpp":
        from midsentence.models.llamacpp import LlamaCppModel, gguf_in

        tokenizer = load_tokenizer(name, adapter)
        folder = resolve(name) if adapter is None else adapter_folder(adapter)
        return LlamaCppModel(gguf_in(folder), tokenizer=tokenizer, float32=dtype == "float32", **options)
    if runtime == "vllm":
        from midsentence.models.vllm import VllmModel

        tokenizer = load_tokenizer(name, adapter)
        served = options.pop("served", "")
        return VllmModel(
            names=[served or adapter or name],
            tokenizer=tokenizer,
            end_ids=_named_ends(name, adapter, tokenizer),
            **options,
        )
    if runtime != "transformers":
        raise ValueError(f"runtime {runtime!r} is unknown; use {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}")
    import torch

    from midsentence.models.checkpoint import load_model
    from midsentence.models.transformers import TransformersModel

    model, tokenizer = load_model(name, adapter, dtype)
    return TransformersModel(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer=tokenizer, **options)


def _named_ends(name: str, adapter: str | None, tokenizer: Any) -> int | list[int] | None:
    """The tokens at which a text ends, as transformers reads them: of a folder with all weights its own, of an adapter
    the base model's."""
    folder = adapter_folder(adapter) if adapter is not None else Path(resolve(name))
    if not (folder / "config.json").is_file():
        folder = Path(resolve(name))
    for file in ("generation_config.json", "config.json"):
        named: int | list[int] | None = marker(folder / file).get("eos_token_id")
        if named is not None:
            return named
    return getattr(tokenizer, "eos_token_id", None)


def weights_hash(adapter: str | None) -> str:
    """Names a checkpoint by its content, so that results of one are never taken for those of another.

    Raises:
        FileNotFoundError: no weights there.
    """
    if adapter is None:
        return ""
    folder = adapter_folder(adapter)
    files = sorted(folder.glob("*.safetensors"))
    files += sorted(folder.glob("*.gguf")) if files else []
    if not files:
        raise FileNotFoundError(
            f"no weights (*.safetensors) in {adapter}; train a checkpoint with: python -m training.sft out={adapter}"
        )
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
