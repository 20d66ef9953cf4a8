"""What an episode asks of the model that writes in it, one thing at a time.

Owns the questions: `midsentence.shells.virtual.Episode.steps` yields them, `midsentence.shells.batch.run_batch` answers
them for many episodes at once. Does not know why they are asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from midsentence.models.model import Constraint, Mask


@dataclass(frozen=True, slots=True)
class NeedAppend:
    """The episode's context must take in ids before anything else."""

    ids: tuple[int, ...]
    """What is taken in, in order."""


@dataclass(frozen=True, slots=True)
class NeedToken:
    """The episode needs the model's next token."""

    mask: Mask | None
    """Which tokens the grammar allows; None for any."""


@dataclass(frozen=True, slots=True)
class NeedVerify:
    """The episode foresees ids, and needs to know how many of them the model would write; those it takes in."""

    ids: tuple[int, ...]
    """The tokens that are guessed, in order."""
    constraint: Constraint | None
    """The grammar at the first of them; None without one."""


Need = NeedAppend | NeedToken | NeedVerify
