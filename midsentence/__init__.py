"""Real-time agents that call tools while their user is still speaking.

Owns the public names: what is listed here stays, or is announced; anything else is the library's own. Each is imported
when it is first used, so that ``import midsentence`` takes no time and brings neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    # a session: a model, tools, a mode; words in, an answer out
    "midsentence.shells.session": ("load", "load_backend", "open_session"),
    "midsentence.shells.live": ("Session", "SessionEnded"),
    "midsentence.shells.limits": ("Limits",),
    "midsentence.shells.tool_run": ("idempotency_key",),
    "midsentence.shells.answer_parts": ("AnswerPart",),
    "midsentence.core.modes": ("MODES", "Settings", "settings"),
    "midsentence.models.live": ("LiveModel",),
    "midsentence.models.worker": ("ModelWorker",),
    "midsentence.rendering.renderer": ("Renderer",),
    "midsentence.assets": ("MissingAsset",),
    "midsentence.models.folders": ("ModelNotFound",),
    # tools
    "midsentence.tools.function": ("Did", "Effect", "FunctionToolbox", "Tool", "tool"),
    "midsentence.tools.tool": ("AsyncToolbox", "Param", "Toolbox", "ToolFailure", "ToolSpec"),
    "midsentence.tools.foreign": ("RemoteToolbox",),
    "midsentence.tools.search": ("Corpus", "SearchToolbox"),
    "midsentence.tools.python_file": ("load_tools_file",),
    "midsentence.tools.latency": ("Constant", "LogNormal", "Uniform"),
    # the pure core: a state and an event give a state and commands
    "midsentence.core.reducer": ("step",),
    "midsentence.core.state": ("State", "start"),
    "midsentence.core.calls": ("CallState",),
    "midsentence.clock": ("Profile",),
    # what happens to it, and what it asks for
    "midsentence.core.events": (
        "Append",
        "Appended",
        "CancelTool",
        "Close",
        "Command",
        "Crowded",
        "Emit",
        "EndPredicted",
        "Event",
        "Finish",
        "Forget",
        "Generate",
        "ModelEnded",
        "ModelOutput",
        "Moved",
        "Note",
        "SetTimer",
        "Silence",
        "Speaking",
        "StartTool",
        "Stop",
        "StopSpeaking",
        "Timer",
        "ToolError",
        "ToolResult",
        "Unmoved",
        "UserUpdate",
        "from_json",
        "to_json",
    ),
    # logs
    "midsentence.shells.log": ("LogFile", "read_log", "replay", "write_log"),
}
"""Modules, and what is public of each."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:  # the same once more, for type checkers and editors; a test holds the two against each other
    # isort: off
    from midsentence.shells.session import load as load, load_backend as load_backend, open_session as open_session
    from midsentence.shells.limits import Limits as Limits
    from midsentence.shells.live import Session as Session, SessionEnded as SessionEnded
    from midsentence.shells.tool_run import idempotency_key as idempotency_key
    from midsentence.shells.answer_parts import AnswerPart as AnswerPart
    from midsentence.core.modes import MODES as MODES, Settings as Settings, settings as settings
    from midsentence.models.live import LiveModel as LiveModel
    from midsentence.models.worker import ModelWorker as ModelWorker
    from midsentence.rendering.renderer import Renderer as Renderer
    from midsentence.assets import MissingAsset as MissingAsset
    from midsentence.models.folders import ModelNotFound as ModelNotFound
    from midsentence.tools.function import (
        Did as Did,
        Effect as Effect,
        FunctionToolbox as FunctionToolbox,
        Tool as Tool,
        tool as tool,
    )
    from midsentence.tools.tool import AsyncToolbox as AsyncToolbox, Param as Param, Toolbox as Toolbox
    from midsentence.tools.tool import ToolFailure as ToolFailure, ToolSpec as ToolSpec
    from midsentence.tools.foreign import RemoteToolbox as RemoteToolbox
    from midsentence.tools.search import Corpus as Corpus, SearchToolbox as SearchToolbox
    from midsentence.tools.python_file import load_tools_file as load_tools_file
    from midsentence.tools.latency import Constant as Constant, LogNormal as LogNormal, Uniform as Uniform
    from midsentence.core.reducer import step as step
    from midsentence.core.state import State as State, start as start
    from midsentence.core.calls import CallState as CallState
    from midsentence.clock import Profile as Profile
    from midsentence.core.events import (
        Append as Append,
        Appended as Appended,
        CancelTool as CancelTool,
        Close as Close,
        Command as Command,
        Crowded as Crowded,
        Emit as Emit,
        EndPredicted as EndPredicted,
        Event as Event,
        Finish as Finish,
        Forget as Forget,
        Generate as Generate,
        ModelEnded as ModelEnded,
        ModelOutput as ModelOutput,
        Moved as Moved,
        Note as Note,
        SetTimer as SetTimer,
        Silence as Silence,
        Speaking as Speaking,
        StartTool as StartTool,
        Stop as Stop,
        StopSpeaking as StopSpeaking,
        Timer as Timer,
        ToolError as ToolError,
        ToolResult as ToolResult,
        Unmoved as Unmoved,
        UserUpdate as UserUpdate,
        from_json as from_json,
        to_json as to_json,
    )
    from midsentence.shells.log import (
        LogFile as LogFile,
        read_log as read_log,
        replay as replay,
        write_log as write_log,
    )
