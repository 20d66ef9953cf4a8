"""The system prompt: what the protocol is, which tools there are, what this session's settings allow.

Owns the words of the prompt. What changes least comes first, so that sessions share as long a prefix as possible. The
prompt depends only on a row of settings and the tools' specs, so that training, evaluation and deployment show a model
the same text. Does not know token ids and the chat format.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from midsentence.clock import parse_now
from midsentence.core.modes import Settings
from midsentence.rendering.renderer import as_data
from midsentence.tools.manual import Detail, manual
from midsentence.tools.tool import ToolSpec

Style = Literal["short", "full"]
"""``short`` for models trained on the protocol, ``full`` explains it to those that are not."""

_FULL = """\
A user's request reaches you while it is being spoken, as <partial_query_update> lines and a last <final_query_update>.
Each time, think briefly and then take exactly one action, in this form and with nothing around it:
<think>what changed</think><tool_call>
1. first_tool("text", 5)
2. second_tool($1, unit="km")
</tool_call>
or <think>...</think><pause> when there is nothing to do yet,
or <think>...</think><answer>one sentence to the user</answer> when all is done.
Calls are numbered 1, 2, 3 over the whole conversation. $1 stands for the result of call 1. To change call 2, write it
again under its number; to withdraw it, write REMOVE 2. Results come as <tool_result>. Arguments are JSON values.
"""


def system_prompt(
    settings: Settings,
    tools: Iterable[ToolSpec],
    now: str | None = None,
    style: Style = "short",
    detail: Detail = "short",
) -> str:
    """The system text of a session. Texts that others wrote (names, descriptions) are data.

    Args:
        settings: what the session allows.
        tools: that it has.
        now: the user's date and time, ``YYYY-MM-DD HH:MM:SS``.
        style: how much of the protocol is explained.
        detail: how much is said of each tool.

    Raises:
        ValueError: ``now`` is no date and time, or ``style`` is unknown.
    """
    if style not in get_args(Style):
        raise ValueError(f"style is {style!r}; use {' or '.join(get_args(Style))}")
    lines = [(_FULL + explained(settings)).rstrip()] if style == "full" else ["Help the user by calling tools."]
    lines += ["Tools:", *map(as_data, manual(tools, detail)), rules(settings)]
    if now is not None:
        lines.append(f"Now: {as_data(str(parse_now(now)))}")
    return "\n".join(lines)


def explained(settings: Settings) -> str:
    """What else an untrained model has to be told, of lines and tags that only some settings have."""
    said = []
    if settings.revise == "amend":
        said.append(
            '2. name = value changes one argument of call 2, 2. name += " more" adds to a text; so may come what a call lacks.'
        )
    if settings.commit == "line":
        said.append("What changes the world waits until you write COMMIT 2 (or COMMIT, for all) as a line, or answer.")
    if settings.commit_on == "silence":
        said.append(
            "<silence> says for how many seconds nobody has spoken: if the request is whole you may commit and answer then."
        )
    return "\n".join(said)


def rules(settings: Settings) -> str:
    """What the settings ask of the model, in a line."""
    return " ".join(
        (
            "Start while the user speaks." if settings.listens else "The user has finished when you start.",
            "One call a turn." if settings.calls_per_action == 1 else "Many calls a turn.",
            "You see results before you go on."
            if settings.waits_for_calls
            else "You may answer before results are in.",
        )
    )
