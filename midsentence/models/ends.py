"""Tokens that end a text: those that an exported model's folder names, and which of them end a turn here.

Engines that know nothing of the protocol must stop by themselves when an action is over, so an exported folder names
the tags that end one beside what its base model stops at (`training.export`). To the core those tags are part of the
action, so backends take them out again. Does not know engines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from midsentence.core.protocol import ENDS


def action_ends(tokenizer: Any) -> dict[str, int]:
    """Ids of the tags that end an action, those that the tokenizer has as tokens; none for no tokenizer."""
    added = {token.content: index for index, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    return {tag: added[tag] for tag in ENDS if tag in added}


def text_ends(own: int | Iterable[int] | None, tokenizer: Any) -> list[int] | None:
    """What an engine must stop at: the tags that end an action, and what the base model stops at."""
    return [*dict.fromkeys([*action_ends(tokenizer).values(), *_listed(own)])] or None


def turn_ends(named: int | Iterable[int] | None, tokenizer: Any) -> frozenset[int]:
    """What of the ids that a model's folder names ends a turn here."""
    return frozenset(_listed(named)) - frozenset(action_ends(tokenizer).values())


def _listed(ids: int | Iterable[int] | None) -> list[int]:
    return [ids] if isinstance(ids, int) else list(ids or ())
