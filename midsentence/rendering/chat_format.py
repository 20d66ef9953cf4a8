"""A model's own chat format, read out of its tokenizer's template: what stands before, between and after the turns.

Owns the four strings that mark roles. They come from rendering one conversation of sentinels and splitting it at them,
so any template works that writes its turns one after the other. Does not know the protocol, and token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jinja2 import TemplateError

TEMPLATE_DATE = date(2024, 7, 26)
"""What a template that asks for today's date is told (Llama 3.2's own default): the same ids every day."""

_SENTINELS = ("qzsystemqz", "qzuserqz", "qzmodelqz", "qzagainqz")


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The strings around the turns; their special tokens are the only ones that mark roles."""

    start: str
    """Before the system text."""
    system_to_environment: str
    """From the system text to the environment's first turn."""
    environment_to_model: str
    """Ends the environment's (user) turn and opens the model's (assistant)."""
    model_to_environment: str
    """Ends the model's turn and opens the environment's."""

    @classmethod
    def of(cls, tokenizer: Any) -> ChatFormat:
        """The chat format of a Hugging Face tokenizer. A template without a system role gets the text in the first
        turn.

        Raises:
            ValueError: the tokenizer has no chat template, or one in which turns can't be separated.
        """
        name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(f"tokenizer {name!r} has no chat template; use an instruct model's or set one")
        system, user, model, again = _SENTINELS
        turns = [_message("user", user), _message("assistant", model), _message("user", again)]
        try:
            with_system = _render(tokenizer, [_message("system", system), *turns])
        except TemplateError:  # how templates refuse a system role
            with_system = ""
        parts = _split(with_system, _SENTINELS)
        if parts is None:
            parts = _split(_render(tokenizer, turns), _SENTINELS[1:])
            if parts is None:
                raise ValueError(
                    f"tokenizer {name!r}: its chat template does not write the turns in order; set another"
                )
            parts = [parts[0], "\n\n", *parts[1:]]
        return cls(*parts)


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _render(tokenizer: Any, messages: Sequence[dict[str, str]]) -> str:
    # date_string is Llama 3's variable, strftime_now the function that other templates call
    text: str = tokenizer.apply_chat_template(
        list(messages),
        tokenize=False,
        date_string=TEMPLATE_DATE.strftime("%d %b %Y"),
        strftime_now=TEMPLATE_DATE.strftime,
    )
    return text


def _split(text: str, sentinels: Sequence[str]) -> list[str] | None:
    """The text before each sentinel, from the one before it; None if they are not there once each and in order."""
    parts = []
    for sentinel in sentinels:
        before, found, text = text.partition(sentinel)
        if not found or sentinel in text:
            return None
        parts.append(before)
    return parts
