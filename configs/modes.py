"""Builds a mode's row from the settings.

Owns what group ``agent`` changes of a row of `midsentence.core.modes`. Does not know what a row means.
"""

from __future__ import annotations

from configs.schema import AgentConfig
from midsentence.clock import ns
from midsentence.core.modes import MODES, Settings, settings


def settings_of(mode: str, config: AgentConfig) -> Settings:
    """A mode's row with the configured changes.

    Raises:
        ValueError: no such mode or value; or two settings that don't go together.
    """
    if config.commit == "paper" and config.commit_on == "silence":
        raise ValueError(
            "agent.commit=paper knows no silences: the final update is its commit point; use agent.commit_on=final"
        )
    runs_lines = config.runs_lines and mode in MODES and MODES[mode].runs_lines
    # where a line commits its own call, a line that commits calls would only cost tokens
    commit = "action" if config.commit == "line" and runs_lines else config.commit
    return settings(
        mode,
        interrupt=config.interrupt,
        commit=commit,
        commit_on=config.commit_on,
        revise=config.revise,
        revise_cascade=config.revise_cascade,
        eager=mode in MODES and (MODES[mode].eager or config.eager_listening and MODES[mode].listens),
        commit_grace_ns=ns(config.commit_grace_s),
        allowed_egress=frozenset(config.allowed_egress),
        runs_lines=runs_lines,
        whole=mode in MODES and (MODES[mode].whole or config.whole and not MODES[mode].listens),
        max_errors_in_row=config.max_errors_in_row,
        max_context_tokens=config.max_context_tokens,
        max_generated_tokens=config.max_generated_tokens,
        max_result_chars=config.max_result_chars,
        max_writes_per_turn=config.max_writes_per_turn,
        max_writes_per_session=config.max_writes_per_session,
    )
