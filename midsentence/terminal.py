"""Makes untrusted text safe for a terminal: data can't move the cursor, set a title or hide a line.

Owns `plain`. Does not know where text comes from.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Everything that steers a terminal or turns the direction of text, and halves of characters; not tab and newline."""


def plain(text: str) -> str:
    """The text with every control character written out, as in ``\\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
