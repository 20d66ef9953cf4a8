"""Addresses with their keys removed, so that they can be shown and stored.

Owns `without_keys`. Does not know where a text goes, and what is done with a key.
"""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_KEY = re.compile(r"(?i)([?&][^=&\s]*(?:key|token|secret|password|signature|auth)[^=&\s]*=)[^&#\s]+")


def without_keys(text: str) -> str:
    """The text with addresses in it as anybody may see them: no user, no password, no key among the parameters."""
    return _KEY.sub(r"\1…", _USER.sub("", text)) if "://" in text else text
