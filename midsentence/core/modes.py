"""The seven modes: each a frozen row of settings of the one core.

Owns the settings and their values. Nothing anywhere branches on a mode's name; a mode is only its row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from midsentence.tools.tool import ToolSpec

CHOICES: dict[str, tuple[str, ...]] = {
    "interrupt": ("token", "line", "action"),
    "commit": ("line", "action", "paper"),
    "commit_on": ("final", "silence"),
    "revise": ("amend", "reissue"),
    "revise_cascade": ("rerun", "cancel"),
}
"""What the settings of `Settings` that are words may be."""
_LEAST: dict[str, int] = {
    "calls_per_action": 1,
    "commit_grace_ns": 0,
    "max_writes_per_turn": 0,
    "max_writes_per_session": 0,
    "max_errors_in_row": 1,
    "max_context_tokens": 1,
    "max_result_chars": 1,
    "max_generated_tokens": 1,
}
"""What its settings that are whole numbers are at least."""
_SWITCHES = ("listens", "speculates", "waits_for_calls", "runs_lines", "eager", "whole", "verified", "results_cut")


@dataclass(frozen=True, slots=True)
class Settings:
    """How the core behaves; the first six fields are what tells the modes apart."""

    listens: bool = True
    """Whether the model generates before the final update. Incoming speech is prefilled as it arrives either way."""
    calls_per_action: int | None = None
    """Most call lines in one action; None for any number."""
    speculates: bool = True
    """Whether reads start before the commit point."""
    waits_for_calls: bool = False
    """Whether generation waits for running calls."""
    runs_lines: bool = False
    """Whether a call is let go as soon as its line is complete, in a generation that began with the end of speech in
    its
    context: where the model does not listen, nothing revises a line any more. With a commit grace, or the paper's
    commit rule, the whole action counts as ever."""
    eager: bool = False
    """Whether a predicted end of speech is taken for the end. What is committed on it, and an answer, wait for the real
    end; if speech goes on instead, the answer is withdrawn, and a mode that does not listen throws away its calls too.
    Where the model listens they stand, as what it has understood so far."""
    whole: bool = False
    """Whether the model is shown what was said in one piece, once the user has, as far as can be told, finished, and
    nothing before; where it does not listen. What the recogniser took back in between it never sees."""
    verified: bool = False
    """Whether the shell takes every update for the last, and so predicts an end of speech with each; what was written
    in an earlier attempt is read, as far as it stands, and its reads are not run again (`midsentence.shells.drafts`).
    The core takes no notice."""
    results_cut: bool = True
    """Whether results cut an action of lines (at the end of a line), or wait until it has ended."""
    interrupt: Literal["token", "line", "action"] = "line"
    """What new information cuts: ``token`` everything at once (the paper's); ``line`` lets a call line that has begun
    finish; ``action`` lets an action that has begun finish. A thought is cut at once in all three."""
    commit: Literal["line", "action", "paper"] = "line"
    """When held calls are released: ``line`` by a COMMIT line, for the calls that it names and what they need, or by an
    answer; ``action`` at the end of an uncut, error-free action generated with the final update in its context;
    ``paper``, the paper's rule, once the final update was heard and a new highest ID or a pause comes."""
    commit_on: Literal["final", "silence"] = "final"
    """From when on there may be a commit or an answer: with the final update in the context, as in the paper, or
    already with a ``<silence>`` after the last word in it. With ``silence``, the shells tell how long nobody has
    spoken."""
    revise: Literal["amend", "reissue"] = "amend"
    """``amend``: a call may be issued with required arguments missing, to be given by ``2. message = "…"``;
    ``reissue``: a call is written whole. The core takes amendments either way; what a planner writes is the
    setting's."""
    revise_cascade: Literal["rerun", "cancel"] = "rerun"
    """What happens to calls that depend on a revised one: they run again, or (the paper's) are cancelled."""
    commit_grace_ns: int = 0
    """How long released calls wait for speech that reopens the turn."""
    allowed_egress: frozenset[str] = frozenset()
    """Egress tools that the user lets run before the commit point."""
    max_writes_per_turn: int = 12
    """Writes that may start in one turn; the rest are refused until the next."""
    max_writes_per_session: int = 32
    """Writes that may start in one session; the rest are refused until the user, asked, has spoken again: each such
    turn allows ``max_writes_per_turn`` more."""
    max_errors_in_row: int = 3
    """Invalid actions in a row after which the episode ends as failed."""
    max_context_tokens: int = 4096
    """Context length at which the episode ends."""
    max_result_chars: int = 4000
    """How much of a tool's result or error the model is shown; ``$n`` carries all of it."""
    max_generated_tokens: int = 1024
    """Tokens the model may write in one turn."""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} is {value!r}; use {', '.join(known[:-1])} or {known[-1]}")
        for name in _SWITCHES:
            if type(value := getattr(self, name)) is not bool:
                raise ValueError(f"{name} is {value!r}; use True or False")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if (type(value) is not int or value < least) and not (value is None and name == "calls_per_action"):
                raise ValueError(f"{name} is {value!r}; use a whole number from {least} on")
        names = self.allowed_egress
        if not isinstance(names, frozenset) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"allowed_egress is {names!r}; use a frozenset of tools' names")


MODES: dict[str, Settings] = {
    "sequential": Settings(listens=False, calls_per_action=1, waits_for_calls=True, runs_lines=True, commit="action"),
    "parallel": Settings(listens=False, waits_for_calls=True, runs_lines=True, commit="action"),
    "async_tools": Settings(listens=False, runs_lines=True, commit="action"),
    "eager_end": Settings(listens=False, runs_lines=True, eager=True, commit="action"),
    "async_io": Settings(speculates=False),
    "speculative": Settings(),
    "verified": Settings(
        listens=False,
        runs_lines=True,
        eager=True,
        whole=True,
        verified=True,
        results_cut=False,
        commit="action",
    ),
}
"""``sequential`` is ReAct (the paper's baseline), ``parallel`` LLMCompiler's setting (the strong baseline),
``async_tools`` AsyncLM's, ``eager_end`` is that begun on a predicted end of speech, as production systems do (the
baseline to
beat: it has all that ``speculative`` has but the listening, answers written while tools run included), ``async_io``
listens and plans with every tool held, ``speculative`` is all of it. ``verified`` is ``eager_end`` with an end
predicted at every update."""


def settings(mode: str, **changes: Any) -> Settings:
    """The row of ``mode``, with changes.

    Raises:
        ValueError: no such mode; the text lists those there are.
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; use one of {', '.join(MODES)}")
    return replace(MODES[mode], **changes)


def check_egress(allowed: Iterable[str], tools: Iterable[ToolSpec], setting: str = "allowed_egress") -> None:
    """Refuses names that allow nothing: of no tool, or of one that asks nobody outside.

    Args:
        allowed: names of tools.
        tools: all that there are; not looked at where nothing is allowed, and no further than to the last name.
        setting: what the names stand in, for the text.

    Raises:
        ValueError: names the first, and the tools that could be allowed.
    """
    if not (missing := set(allowed)):
        return
    known = set()
    for spec in tools:
        if spec.access == "egress":
            known.add(spec.name)
            missing.discard(spec.name)
            if not missing:
                return
    fix = f"use some of {', '.join(sorted(known))}" if known else "there is none: leave it out"
    raise ValueError(f"{setting} names {min(missing)!r}, which is no egress tool here; {fix}")
