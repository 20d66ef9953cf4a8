"""Other wordings from an OpenAI-compatible endpoint: optional, cached, recorded, never required.

Owns the question, the check of the answer, and the file in which every answer is kept: each wording is asked about
once, so the same file gives the same data again, without the endpoint. An answer that can't be used is kept in the file
too, and the wording stays as it is; so is that the endpoint refused one wording. That it could not be reached is no
answer: it ends the run, within `TRIES` times ``timeout_s`` seconds, and the wording is asked about again the next time.
Only wordings are sent, never values. Does not know how requests are composed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from configs.schema import ParaphraseConfig
from data_gen.files import lines_of, text_of
from data_gen.tasks.assistant.templates import Part, Template, every_line, parts_of
from midsentence.addresses import without_keys
from midsentence.ending import UserError

PROMPT = (
    "Reword this spoken request to an assistant so that it means the same. Keep every placeholder in braces exactly as it "
    "is, each exactly once, as a word of its own. Answer with the request alone, on one line: no quotes, no explanation."
)
TRIES = 3
"""Attempts at one wording while the endpoint is busy or can't be reached."""
_ABOUT_THE_WORDING = (400, 413, 422)
"""Statuses by which an endpoint refuses what it was asked, not who asks, where or when."""

_MOST_BYTES = 1 << 20
"""Of a reply; the rest is not read."""


class NoAnswer(UserError):
    """The endpoint gave no answer; the text says why."""


class Refused(ValueError):
    """The endpoint does not answer to this wording; the text says why."""


class Unusable(ValueError):
    """The answer can't be a wording; the text says why."""


@dataclass(slots=True)
class Paraphraser:
    """Asks for wordings, or finds them in its file."""

    config: ParaphraseConfig
    """Whom to ask, and how."""
    counts: Counter[str] = field(default_factory=Counter)
    """``reworded`` and ``kept``."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why wordings were kept."""
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = Path(self.config.cache)
        for n, line in enumerate(lines_of(text_of(path)) if path.exists() else (), start=1):
            try:
                entry = json.loads(line)
                if "answer" in entry or "refused" in entry:
                    self._known[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                # a run that was killed while it wrote leaves a part of a line; the wording is asked about again
                self.reasons[f"{path}:{n} is no entry"] += 1

    def all(self, templates: Iterable[Template]) -> Mapping[str, Template]:
        """The templates that have another wording, by their id."""
        taken = set(every_line())
        found: dict[str, Template] = {}
        for template in templates:
            entry = self._entry(template)
            why = entry.get("refused")
            if why is None:
                try:
                    made = reworded(template, entry["answer"])
                    if plain(made) in taken:
                        raise Unusable("it is another template's wording")
                    taken.add(plain(made))
                    found[template.id] = made
                except Unusable as error:
                    why = str(error)
            self.counts["reworded" if why is None else "kept"] += 1
            if why is not None:
                self.reasons[why] += 1
        return found

    def record(self) -> dict[str, Any]:
        """What the manifest says of it; the key is no part of it."""
        return {
            "url": without_keys(self.config.url),
            "model": self.config.model,
            "prompt": PROMPT,
            "cache": self.config.cache,
            "reworded": self.counts["reworded"],
            "kept": self.counts["kept"],
            "reasons": dict(sorted(self.reasons.items())),
        }

    def _entry(self, template: Template) -> dict[str, Any]:
        text = plain(template)
        key = hashlib.sha256("\n".join([self.config.model, PROMPT, text]).encode()).hexdigest()[:24]
        if key not in self._known:
            entry: dict[str, Any] = {"key": key, "model": self.config.model, "wording": text}
            try:
                entry["answer"] = self._ask(text)
            except Refused as error:
                entry["refused"] = str(error)
            self._known[key] = entry
            path = Path(self.config.cache)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return self._known[key]

    def _ask(self, text: str) -> str:
        body = {
            "model": self.config.model,
            "temperature": 0,
            "max_tokens": 200,
            "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": text}],
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_env):
            headers["Authorization"] = f"Bearer {key}"
        url, user = _address(self.config.url)
        headers = user | headers
        why = ""
        for _ in range(TRIES):
            try:
                request = urllib.request.Request(url, json.dumps(body).encode(), headers)
                with urllib.request.build_opener(_NoRedirects).open(request, timeout=self.config.timeout_s) as reply:
                    return _content(reply.read(_MOST_BYTES))
            except urllib.error.HTTPError as error:
                why = f"HTTP {error.code}" + (
                    ", a redirect; give the address that it leads to" if 300 <= error.code < 400 else ""
                )
                error.close()
                if error.code in _ABOUT_THE_WORDING:
                    raise Refused(f"the endpoint: {why}; delete this line of the cache to ask again") from None
                if error.code < 500 and error.code != 429:
                    break  # asking again the same way helps nobody
            except TimeoutError:
                why = f"no answer within {self.config.timeout_s:g} s"
            except (OSError, ValueError) as error:
                timed_out = isinstance(getattr(error, "reason", None), TimeoutError)
                why = (
                    f"no answer within {self.config.timeout_s:g} s"
                    if timed_out
                    else f"can't be reached ({type(error).__name__})"
                )
        known = f"{len(self._known)} answers are in {self.config.cache}, and the same command goes on from there"
        raise NoAnswer(
            f"data.paraphrase.url={without_keys(self.config.url)}: {why}; mend that, or leave it empty ({known})"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another host must not get the key, nor the wording."""

    def redirect_request(self, *_: Any) -> None:
        """Follows none: the redirect is an error like others."""


def _address(base: str) -> tuple[str, dict[str, str]]:
    """Where completions are asked for, and a header with the user that the base names, whom an address can't carry.

    Raises:
        UserError: it is not a web address.
    """
    try:
        parts = urlsplit(base)
        fine = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and (parts.port or 1)
            and base.isascii()
            and not re.search(r"\s", base)
        )
    except ValueError:  # of urlsplit, and of a port
        fine = False
    if not fine:
        raise UserError(
            f"data.paraphrase.url={without_keys(base.rpartition('@')[2])} is no address; give one like http://localhost:8000/v1"
        )
    path = parts.path.rstrip("/") + "/chat/completions"
    user, _, host = parts.netloc.rpartition("@")
    header = {"Authorization": f"Basic {base64.b64encode(unquote(user).encode()).decode()}"} if user else {}
    return urlunsplit(parts._replace(netloc=host, path=path)), header


def _content(reply: bytes) -> str:
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        text = None
    if not isinstance(text, str):
        raise NoAnswer("data.paraphrase.url: its reply is no chat completion in JSON; give its base, ending in /v1")
    return text


def plain(template: Template) -> str:
    """A template as a line of text, without marks."""
    return " ".join(f"{{{part.slot}}}{part.text}" if part.slot else part.text for part in template.parts)


def reworded(template: Template, text: str) -> Template:
    """The template in another wording, its marks where its tool is clear in the new words.

    A mark stands after the word that bore it before; where that word is gone, one mark stands after the last word,
    so that nothing is understood too early.

    Raises:
        Unusable: a slot is missing, doubled or new, or the line can't be a template.
    """
    line = " ".join(text.split())
    if not line or any(mark in line for mark in '^~/"\n'):
        raise Unusable('it is empty, or holds one of ^ ~ / "')
    parts = parts_of(line)
    if any(not part.slot and set(part.text) & set("{}") for part in parts):
        raise Unusable("a placeholder is no word of its own")
    had, has = Counter(template.slots), Counter(part.slot for part in parts if part.slot)
    for slot in sorted(had.keys() | has.keys()):
        if had[slot] != has[slot]:
            raise Unusable(f"slot {{{slot}}} occurs {has[slot]} times, not {had[slot]}")
    words = [part.text for part in parts]
    marked = [part for part in template.parts if part.mark]
    places = [words.index(part.text) if words.count(part.text) == 1 and part.text else -1 for part in marked]
    if len(marked) == 1 and places[0] < 0:
        places = [max((n for n, part in enumerate(parts) if not part.slot), default=-1)]
    if not places or min(places) < 0 or places != sorted(set(places)):
        raise Unusable("the words that make its tools clear are gone, or in another order")
    for place, part in zip(places, marked):
        parts[place] = Part(parts[place].text, mark=part.mark)
    return Template(f"{template.intent}: {line}", template.intent, tuple(parts), template.indirect)
