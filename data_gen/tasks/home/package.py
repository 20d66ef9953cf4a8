"""Home Assistant's intents as they come: the package `home-assistant-intents`, and `hassil`, which reads its templates.

Owns the door to both (what is missing, and the command that brings it), the languages that this source can speak, and a
hash of what was read. The package says Apache-2.0; its sentences are those of github.com/OHF-Voice/intents, where
volunteers wrote them under CC BY 4.0. Does not know what is made of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

PACKAGE = "home-assistant-intents"
PARSER = "hassil"
PIP = "pip install -e '.[home]'"
FOLDER = Path(__file__).parent


class MissingPackage(ValueError):
    """A package that this source reads is not installed; the text has the command that brings it."""


@dataclass(frozen=True, slots=True)
class Language:
    """What the package and this folder have of a language."""

    code: str
    """Its two letters."""
    intents: dict[str, Any]
    """The package's file: intents with their templates, lists, expansion rules."""
    catalogue: dict[str, Any]
    """The package's ``intents.json``: descriptions of intents and slots, the same for all languages."""
    vocabulary: dict[str, Any]
    """This folder's file: the house's areas, devices and what people say of them."""


def languages() -> tuple[str, ...]:
    """The languages for which this folder has a vocabulary."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@lru_cache
def read(code: str) -> Language:
    """What there is of a language.

    Raises:
        ValueError: no such language here; the text lists those there are.
        MissingPackage: a package is not installed.
    """
    if code not in languages():
        raise ValueError(f"data.language is {code!r}; source home speaks {', '.join(languages())}")
    folder = _folder()
    intents, catalogue = (
        json.loads((folder / name).read_text("utf-8")) for name in (f"data/{code}.json", "intents.json")
    )
    return Language(code, intents, catalogue, yaml.safe_load((FOLDER / f"{code}.yaml").read_text("utf-8")))


def content(code: str) -> str:
    """A hash of all that a language's tasks are made from, so that data made of other files are not gone on with."""
    language, parser = read(code), version(PARSER)
    text = json.dumps([language.intents, language.catalogue, language.vocabulary, parser], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def provenance() -> str:
    """Package and version, for rows and cards."""
    return f"{PACKAGE} {version(PACKAGE)}"


def _folder() -> Path:
    for name in (PACKAGE, PARSER, "regex"):
        try:
            version(name)
        except PackageNotFoundError:
            raise MissingPackage(
                f"source home reads the package {name}, which is not installed; get it with: {PIP}"
            ) from None
    spec = find_spec("home_assistant_intents")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent
