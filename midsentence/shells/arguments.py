"""What a session refuses to be given, in one line that says what to give, before anything has happened.

Owns those refusals. Does not know what is done with what passes.
"""

from __future__ import annotations

from typing import Any

from midsentence.core.transcript import MAX_RETRACTS
from midsentence.shells.limits import Limits

MAX_SILENCE_S = 86_400.0


def check_options(seed: Any, name: Any, limits: Any, watch: Any, hush: Any) -> None:
    """Options of `midsentence.shells.live.Session`.

    Raises:
        TypeError: an option of another type.
    """
    if type(seed) is not int:
        raise TypeError(f"seed is {seed!r}; give a whole number")
    if name is not None and (not isinstance(name, str) or not name):
        raise TypeError(f"name is {name!r}; give a text that no other session has, or None for a random one")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits is {limits!r}; give midsentence.Limits(…)")
    if strange := next((each for each in (watch, hush) if each is not None and not callable(each)), None):
        raise TypeError(f"watch and hush are functions, and {strange!r} is none")


def check_update(text: Any, final: Any, retracts: Any, limits: Limits) -> None:
    """Refuses what is no update of a user's words.

    Raises:
        TypeError: ``text`` is no text, or ``final`` no truth value.
        ValueError: it is longer than `Limits.update_chars`, or takes back no such number of words.
    """
    if not isinstance(text, str):
        raise TypeError(f'hear was given {type(text).__name__} for text; give whole words as str, "" for none')
    if len(text) > limits.update_chars:
        raise ValueError(
            f"hear was given {len(text)} characters, and an update holds {limits.update_chars}; give them in parts"
        )
    if type(retracts) is not int or retracts < 0:
        raise ValueError(f"hear was given retracts={retracts!r}; give how many words are taken back, from 0 on")
    if retracts > MAX_RETRACTS:
        raise ValueError(f"hear was given a retracts of more than {MAX_RETRACTS}; give how many words are taken back")
    if type(final) is not bool:
        raise TypeError(f"hear was given final={final!r}; give True or False: it lets calls go")


def check_silence(seconds: Any) -> None:
    """What `midsentence.shells.live.Session.silent` is given.

    Raises:
        ValueError: no length of time.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SILENCE_S:
        raise ValueError(
            f"silent was given no number of seconds from 0 to {MAX_SILENCE_S:g}; give how long nobody has spoken"
        )


def check_spoken(part: Any, heard: Any, limits: Limits) -> None:
    """What `midsentence.shells.live.Session.speaking` is given.

    Raises:
        TypeError: ``heard`` is no text.
        ValueError: no such part, or more text than an update may have.
    """
    if part not in ("begun", "ended", "cut"):
        raise ValueError(f"speaking was given {part!r}; use 'begun', 'ended' or 'cut'")
    if not isinstance(heard, str):
        raise TypeError(f'speaking was given {type(heard).__name__} for heard; give text, "" for none')
    if len(heard) > limits.update_chars:
        raise ValueError(
            f"speaking was given {len(heard)} characters of an answer; it holds {limits.update_chars} at the most"
        )
