"""A folder of debug trajectories, and settings that train the tiny model on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from configs.schema import Config, register
from data_gen import generate


def compose_settings(*overrides: str) -> Config:
    """The settings of a command line."""
    register()
    with initialize_config_module("configs", version_base="1.3"):
        return OmegaConf.to_object(compose("config", overrides=list(overrides)))


@pytest.fixture(scope="session")
def debug_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve trajectories for the tiny model."""
    folder = tmp_path_factory.mktemp("data") / "debug"
    generate.main(
        compose_settings("experiment=debug", "data.sizes={train: 12, validation: 2, test: 2}", f"out={folder}")
    )
    return folder


@pytest.fixture
def composed() -> Callable[..., Config]:
    """Settings from overrides, as on a command line."""
    return compose_settings


@pytest.fixture
def settings(debug_data: Path, tmp_path: Path) -> Callable[..., Config]:
    """Settings of a short run, with changes."""

    def make(*overrides: str) -> Config:
        few = (
            "train.max_length=512",
            "train.batch_rows=2",
            "train.micro_batch_rows=1",
            "train.max_steps=5",
            "train.epochs=8",
        )
        return compose_settings(
            "experiment=debug", f"train.data=[{debug_data}]", f"out={tmp_path / 'run'}", *few, *overrides
        )

    return make
