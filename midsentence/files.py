"""Atomic writes of files that mark or carry a result: complete or absent, even if the disk fills, the process dies or
the power fails.

Owns `whole`, which writes every such file, and how they are read: `marker` treats a torn file as missing, `digest` and
`intact` compare files with what a manifest says of them, and `shaped` checks that plain data has the fields that its
readers need. Does not know what is in them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, to write to; what was written gets its own name when the block ends well, and
    is on the disk then.

    A block that fails leaves what was at ``path`` as it was, and nothing beside it. Of a link, what it leads to is
    written.

    Raises:
        ValueError: ``path`` is a device or a pipe, which a file would replace.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is no file but a device or a pipe; give the path of a file")
    half = path.with_name(f"{path.name}.tmp")
    with _alone(half):
        try:
            yield half
            _synced(half)
            half.rename(path)
        except (Exception, KeyboardInterrupt):
            half.unlink(missing_ok=True)
            raise
    _synced(path.parent)


@contextlib.contextmanager
def _alone(half: Path) -> Iterator[None]:
    """Waits until nobody else writes under a temporary name: of what two write there at once, one would give the
    other's half its name.

    Where the system or the disk has no such locks, it does not wait.
    """
    while fcntl is not None:
        handle = os.open(half, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with contextlib.suppress(OSError):  # a network's disk
                fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(
                FileNotFoundError
            ):  # renamed by whom we waited for: what we have is the result now
                if os.path.samestat(os.fstat(handle), half.stat()):
                    break
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    try:
        yield
    finally:
        if fcntl is not None:
            os.close(handle)


def write(path: Path, text: str, errors: str = "strict") -> None:
    """Writes a text file as `whole` does."""
    with whole(path) as half:
        half.write_text(text, encoding="utf-8", errors=errors)


def _synced(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk; some file systems know no such thing for
    folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def marker(path: Path) -> dict[str, Any]:
    """What a JSON file that marks something says; empty where there is none, or a torn one, which counts as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def digest(path: Path) -> str:
    """The sha256 of a file; one that did not change since is not read again."""
    found = path.stat()
    return _digest(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=65536)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def intact(path: Path, said: Mapping[str, Any] | None) -> bool:
    """Whether a file is there and is the one of which a manifest says ``{"sha256": …}``; of one that says nothing,
    whether it is there."""
    return path.is_file() and (not said or "sha256" not in said or digest(path) == said["sha256"])


def path_of(text: str | Path) -> Path:
    """A path as users write it, with ``~`` for a home.

    Raises:
        ValueError: nobody has that home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text}: there is no such home; give the whole path") from None


def shaped(value: Any, shape: Any) -> bool:
    """Whether plain data has a shape.

    Args:
        value: from JSON or YAML.
        shape: a type or several; ``[shape]`` for a list of such, ``{str: shape}`` for a mapping to such, or
            ``{"name": shape, "name?": shape}`` for a mapping that has these, or may have them. Null is as good as what
            may be left out.
    """
    match shape:
        case [each]:
            return isinstance(value, list) and all(shaped(one, each) for one in value)
        case {**named} if str not in named:
            return isinstance(value, dict) and all(_has(value, f"{name}", each) for name, each in named.items())
        case {**every}:
            return isinstance(value, dict) and all(
                isinstance(key, str) and shaped(one, every[str]) for key, one in value.items()
            )
    return isinstance(value, shape) and (not isinstance(value, bool) or shape is bool)


def _has(value: dict[str, Any], name: str, shape: Any) -> bool:
    found = value.get(name.removesuffix("?"))
    return name.endswith("?") if found is None else shaped(found, shape)
