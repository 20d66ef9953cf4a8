"""What the tests of domains' worlds share."""

from __future__ import annotations

from typing import Any

import pytest

from midsentence.tools.tool import ToolFailure


def refuses(box: Any, name: str, args: dict[str, object], why: str) -> None:
    """Makes sure that a call is refused for this reason, and that the world stays as it was."""
    before = repr(box.state_object)
    with pytest.raises(ToolFailure) as failure:
        box.run(name, args)
    assert why in str(failure.value)
    assert repr(box.state_object) == before
