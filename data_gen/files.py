"""Files that people give, as text: UTF-8, with or without a byte-order mark, in lines that a line feed ends and nothing
else.

Owns that reading. JSON may hold U+2028, U+2029 and U+0085 as they are, so they end no line here (`str.splitlines` would
cut there). Does not know what a file holds.
"""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """A file's text, without the byte-order mark that some editors write at its head.

    Raises:
        ValueError: it is no UTF-8; the text names the file and the fix.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from None


def lines_of(text: str) -> list[str]:
    """The lines of a text, without what ends them; of the ends of lines, `text_of` has made line feeds."""
    return text.removesuffix("\n").split("\n") if text else []
