"""The renderer that tests of other people's packages share."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from midsentence.rendering.renderer import Renderer


@pytest.fixture(scope="session")
def renderer(tiny_tokenizer: Any) -> Renderer:
    return Renderer.prepare(copy.deepcopy(tiny_tokenizer))
