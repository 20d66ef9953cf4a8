"""The class of a tool that another package's decorators describe: read, egress or write, a write unless somebody says
otherwise.

@tool_class("read")
async def get_weather(params: FunctionCallParams, city: str): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from midsentence.tools.tool import Access

T = TypeVar("T")

_LABEL = "midsentence_class"


def tool_class(access: Access, *, reads: Iterable[str] = (), writes: Iterable[str] = ()) -> Callable[[T], T]:
    """Decorator, above or below the other package's own.

    Args:
        access: see `midsentence.tools.tool.Access`.
        reads: resources that a call reads.
        writes: resources that a call changes.
    """
    if access not in ("read", "egress", "write"):
        raise ValueError(f"tool_class was given {access!r}; use 'read', 'egress' or 'write'")
    label = {"access": access, "reads": tuple(reads), "writes": tuple(writes)}

    def mark(tool: T) -> T:
        setattr(tool, _LABEL, label)
        return tool

    return mark


def label_of(tool: Any, name: str, given: Mapping[str, Access]) -> dict[str, Any]:
    """What `midsentence.tools.foreign.tool_specs` is told of a tool's class: by name as ``given``, else as its
    decorator says."""
    label = getattr(tool, _LABEL, None) or {"access": "write"}
    return label | ({"access": given[name]} if name in given else {})
