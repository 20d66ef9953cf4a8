"""What is left out of a run's folder: values of the environment, and keys in addresses.

Owns `as_given`, which writes settings as they were given, before interpolation, and `without_secrets`. Does not know
what a setting is for. A reader of a run's folder learns where a value came from, not the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from midsentence.addresses import without_keys

_LEAST = 6
"""Shorter values of the environment are left out where they stand alone: inside other text they may be anything."""


def as_given(settings: Any, given: DictConfig | None) -> Any:
    """Plain settings with what stood in their place where they were resolved, and no key in an address.

    Args:
        settings: plain values of the settings that a run used.
        given: the settings as they were composed, unresolved; None where no command composed any.
    """
    raw, done = _both(given)
    return _cleaned(_unresolved(settings, raw, done), ())


def without_secrets(value: Any, given: DictConfig | None) -> Any:
    """Other plain values of a run, with nothing in them that the environment gave its settings, and no key in an
    address."""
    return _cleaned(value, [pair for pair in _pairs(*_both(given)) if pair[1]])


def _both(given: DictConfig | None) -> tuple[Any, Any]:
    return (
        (None, None)
        if given is None
        else (OmegaConf.to_container(given, resolve=False), OmegaConf.to_container(given, resolve=True))
    )


def _unresolved(value: Any, raw: Any, done: Any) -> Any:
    if isinstance(raw, str) and "${" in raw:
        return raw if str(value) == str(done) else value  # a command may have set it anew
    if isinstance(value, dict) and isinstance(raw, dict):
        return {key: _unresolved(each, raw.get(key), done.get(key)) for key, each in value.items()}
    if isinstance(value, list) and isinstance(raw, list) and len(value) == len(raw):
        return [_unresolved(*each) for each in zip(value, raw, done)]
    return value


def _pairs(raw: Any, done: Any) -> Iterator[tuple[str, str]]:
    """What was written of each resolved value, and the value."""
    if isinstance(raw, str) and re.search(r"\$\{.*:", raw):
        yield raw, str(done)
    elif isinstance(raw, dict):
        for key, each in raw.items():
            yield from _pairs(each, done[key])
    elif isinstance(raw, list):
        for pair in zip(raw, done):
            yield from _pairs(*pair)


def _cleaned(value: Any, pairs: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(each, pairs) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each, pairs) for each in value]
    if not isinstance(value, str):
        return value
    for raw, done in pairs:
        value = raw if value == done else value.replace(done, raw) if len(done) >= _LEAST else value
    return without_keys(value)
