"""What all tests of the shells are given."""

from __future__ import annotations

import copy

import pytest

from midsentence.rendering.renderer import Renderer


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer) -> Renderer:
    """A renderer of its own for every file, on the tokenizer that comes with the code."""
    return Renderer.prepare(copy.deepcopy(tiny_tokenizer))
