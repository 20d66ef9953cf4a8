"""What the tests of evaluation share: a renderer of the committed tiny tokenizer, and settings without Hydra's
command."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.schema import Config
from midsentence.rendering.renderer import Renderer


@pytest.fixture(scope="session")
def tiny_renderer(tiny_tokenizer) -> Renderer:
    """Tags as tokens, no clock stamps."""
    return Renderer.prepare(copy.deepcopy(tiny_tokenizer))


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Config]:
    """Settings of ``experiment=debug`` with overrides, results under a folder of the test's own."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    from configs.schema import register

    def make(*overrides: str) -> Config:
        register()
        with initialize_config_module("configs", version_base="1.3"):
            made = compose("config", overrides=["experiment=debug", f"out={tmp_path / 'replay'}", *overrides])
        return OmegaConf.to_object(made)

    return make
