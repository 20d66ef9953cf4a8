"""The settings that a folder of data or of a run was made with, read as data.

Owns `settings_in`, the one door for a folder's ``config.yaml``: whoever made the folder wrote that file, so without the
user's word it can neither name Python that reading would run, nor a service that reading would ask, nor take anything
from the environment. Does not know what a folder holds beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.limits import check
from configs.schema import GONE, Config
from midsentence.files import path_of

SETTINGS = "config.yaml"
_RESOLVER = re.compile(r"\$\{.*:", re.DOTALL)
"""``${oc.env:NAME}`` and its kind; ``${model.name}`` names another setting, and is none."""
_SAY = "if you trust whoever made the folder, add trust=true"


class Untrusted(ValueError):
    """Settings of a folder that need the user's word; the text names the setting, its value and how to give it."""


def settings_in(folder: Path, *, trust: bool = False) -> Config:
    """The settings that a folder was made with.

    Args:
        folder: made by one of the commands.
        trust: whether the user said ``trust=true``: then the settings may name Python, a service and the environment.
            Without it ``train.callback``, which no reader uses, is empty.

    Raises:
        Untrusted: the settings name one of these.
        ValueError: there are no settings, or none that this code knows.
    """
    path = folder / SETTINGS
    raw = raw_settings(path)
    if not trust:
        _refuse_outside(path, raw)
        if isinstance(raw.get("train"), dict):
            raw["train"].pop("callback", None)
    _drop_gone(path, raw)
    try:
        settings: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(raw)))
        check(settings)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} holds no settings that this code knows ({' '.join(str(error).split())}); make the folder again"
        ) from None
    if not trust:
        _refuse(path, settings)
    made: Config = settings
    made.trust = trust
    return made


def raw_settings(path: Path) -> dict[str, Any]:
    """A file of settings as plain values, nothing in it resolved.

    Raises:
        ValueError: it is not there, or no YAML mapping.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} has no {path.name}; make the folder again") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML ({' '.join(str(error).split())[:200]}); make the folder again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, not settings; make the folder again")
    return found


def _drop_gone(path: Path, raw: dict[str, Any]) -> None:
    """Takes out what is no setting any more, where it says what holds now; refuses it by name where it does not."""
    if not isinstance(agent := raw.get("agent"), dict):
        return
    for name, holds in GONE.items():
        if (value := agent.pop(name, holds)) != holds:
            raise ValueError(
                f"{path} has agent.{name}={value}, and there is no such setting any more; make the folder again"
            )


def _refuse_outside(path: Path, raw: dict[str, Any]) -> None:
    for name, value in _leaves(raw):
        if isinstance(value, str) and _RESOLVER.search(value):
            raise Untrusted(f"{path} takes {name} from outside, by {value}; {_SAY}")


def _refuse(path: Path, settings: Config) -> None:
    """Looks at what came out: what stands in the file may be put together of other settings."""
    tools = settings.tools
    if tools not in ("", "assistant") and path_of(tools).suffix.casefold() != ".json":
        raise Untrusted(f"{path} names Python, tools={tools}, which reading the folder would run; {_SAY}")
    if settings.requests.startswith(("hf://", "https://")):
        raise Untrusted(
            f"{path} names a data set of the hub, requests={settings.requests}, which reading the folder would fetch; {_SAY}"
        )
    if (
        settings.requests
        and "jsonl" in (settings.task, settings.data.source)
        and not path_of(settings.requests).exists()
    ):
        raise Untrusted(
            f"{path} names requests={settings.requests}, no file or folder here: reading the folder might ask the hub; {_SAY}"
        )
    if settings.data.paraphrase.url:
        raise Untrusted(f"{path} names an endpoint, data.paraphrase.url, which reading the folder would ask; {_SAY}")


def _leaves(value: Any, path: str = "") -> Any:
    """Every value in plain settings with its path; keys are values too, for they are resolved like them."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield path or "a key", key
            yield from _leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, path)
    else:
        yield path, value
