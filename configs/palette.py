"""The colours of every figure, page and notebook: a mode, a part of what the model writes and a state of a call look
the same everywhere.

Owns the colour values. Does not know what is drawn. Each mode has its own hue; neighbouring hues also differ in
lightness, so that colour-blind readers can distinguish them.
"""

from __future__ import annotations

from collections.abc import Mapping

INK, SOFT, LINE = "#22262e", "#6b7280", "#d6d9de"
WORD, UPDATE, SLIP = "#aab1bd", "#9aa1ac", "#e2a5a9"
PARTS: Mapping[str, str] = {
    "think": "#b9c6e4",
    "tool_call": "#4568b2",
    "pause": "#d9dce2",
    "answer": "#3f9b6e",
    "other": "#e3b7b7",
}
LEARNED, LEARNED_INK = "#cfe8d8", "#12351f"
"""What the loss counts, as ground and as text on it."""
RUNNING, HELD, VOID, CUT = "#e08a3c", "#f3d9b8", "#ead9c9", "#c8323c"
MODE_COLOURS: Mapping[str, str] = {
    "sequential": SOFT,
    "parallel": "#8a6fd0",
    "async_tools": "#3a9fb5",
    "eager_end": "#9c1f63",
    "async_io": PARTS["answer"],
    "speculative": RUNNING,
    "verified": "#2f6fb0",
}
"""In the order in which modes are listed."""
