"""A live session in the terminal: type words, and watch the agent start before you are done.

Owns the reading of lines and the printing of what happens. Does not decide anything. Each line is an update; one that
ends in ``.``, ``!`` or ``?`` (or is empty) ends the request, and more after that is the next. The tools are those of
`midsentence.tools.assistant`, over a small world of their own, or with ``--tools FILE.py`` the ``@tool`` functions of
that file.

    midsentence serve --adapter smollm2-midsentence --constrained --grounded
    midsentence serve --adapter outputs/train/NAME --mode parallel --tools mine.py
    midsentence serve --page      # in the browser instead: `midsentence.page`
    echo "what is the phone number of Bob Ray?" | midsentence serve --model tiny --dtype float32
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from midsentence.clock import local_now, ns, seconds
from midsentence.core.events import Command, Event, StartTool, ToolError, ToolResult, UserUpdate
from midsentence.core.lines import write_call
from midsentence.core.modes import CHOICES, MODES, Settings, check_egress, settings
from midsentence.core.state import State
from midsentence.core.values import write_value
from midsentence.ending import UserError
from midsentence.files import path_of
from midsentence.models.load import DTYPES, RUNTIMES
from midsentence.rendering.prompt import Style
from midsentence.rendering.renderer import Stamps, Turns
from midsentence.shells.answer_parts import AnswerParts
from midsentence.shells.live import Session, SessionEnded
from midsentence.shells.log import LogFile
from midsentence.shells.session import load, open_session
from midsentence.terminal import plain
from midsentence.tools.assistant import AssistantToolbox
from midsentence.tools.manual import Detail
from midsentence.tools.python_file import load_tools_file
from midsentence.tools.tool import Toolbox
from midsentence.tools.world import File, Note, Person, WorldData

WORLD = WorldData(
    people=(
        Person("Bob Ray", phone="+1 555 0100", email="bob@example.com"),
        Person("Alice Kim", phone="+1 555 0101", email="alice@example.com"),
        Person("Samuel Ortiz", phone="+1 555 0102", email="sam@example.com"),
    ),
    files=(File("/documents/budget.pdf", "The budget for next year. It grows by a tenth."),),
    notes=(Note("Groceries", "milk, eggs"),),
)


def lines_of(event: Event, commands: Iterable[Command]) -> list[str]:
    """What a terminal shows of an event and what came of it, but for the answer."""
    shown = []
    match event:
        case UserUpdate(text=text, final=final):
            shown.append(f"you    {text}{' ⏎' if final else ' …'}")
        case ToolResult(call=call, value=value):
            shown.append(f"tool   {call} = {write_value(value)}")
        case ToolError(call=call, message=message):
            shown.append(f"tool   {call} failed: {message}")
    shown += [
        f"agent  {write_call(item.call, item.name, (), item.args)}" for item in commands if isinstance(item, StartTool)
    ]
    return [f"{seconds(event.at_ns):7.2f} s  {plain(line)}" for line in shown]


class Screen:
    """A terminal: a line for each thing that happens, and the answer on a line of its own while it is written."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """Shows nothing yet.

        Args:
            write: takes text as it is to stand there, ends of lines included.
        """
        self._write, self._answering, self._is_open = write, AnswerParts(), False

    def show(self, event: Event, commands: tuple[Command, ...], state: State) -> None:
        """What came of an event; ``state`` is the core's after it."""
        for line in lines_of(event, commands):
            self._write(("…\n" if self._is_open else "") + line + "\n")
            self._is_open = False
        for part in self._answering.follow(state, commands):
            opening = "" if self._is_open else f"{seconds(event.at_ns):7.2f} s  agent  “"
            if part.withdrawn:
                self._write("— (cut off)\n" if self._is_open else f"{seconds(event.at_ns):7.2f} s  agent  (cut off)\n")
            else:
                self._write(opening + plain(part.text) + ("”\n" if part.last else ""))
            self._is_open = not (part.last or part.withdrawn)


async def talk(session: Session, lines: Iterable[str], patience_s: float = 60.0) -> None:
    """Feeds lines to a session as they come; after the last, waits for the answer that is due."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[str | None] = asyncio.Queue()
    broken: list[Exception] = []

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads on
            try:
                for line in lines:
                    loop.call_soon_threadsafe(typed.put_nowait, line)
            except (OSError, ValueError) as error:  # what is typed ends there, and the session with it
                broken.append(error)
            loop.call_soon_threadsafe(typed.put_nowait, None)

    # a daemon: a terminal that says nothing must not keep the process from ending
    threading.Thread(target=read, name="terminal", daemon=True).start()
    async with session:
        final = True
        try:
            while (line := await typed.get()) is not None:
                final = not line.strip() or line.strip()[-1] in ".!?"
                await session.hear(line.strip(), final=final)
            if not final:
                await session.hear("", final=True)
            if not session.state.answered:
                await session.answer(patience_s)
        except SessionEnded as ended:
            print(f"the session is over: {ended.outcome}", file=sys.stderr)
        except TimeoutError:
            print(f"no answer within {patience_s:g} s", file=sys.stderr)
    if broken:
        raise UserError(f"the standard input can't be read ({broken[0]}); give text in UTF-8")


def toolbox_of(tools: str, now: str) -> Toolbox:
    """The tools that ``--tools`` names: the assistant's where it names none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file has no tools that can run.
    """
    if tools in ("", "assistant"):
        return AssistantToolbox(WORLD, now=now)
    if Path(tools).suffix == ".json":
        raise ValueError(
            f"{tools} describes tools and has no code that runs them; give a .py file with @tool functions"
        )
    return load_tools_file(path_of(tools)).toolbox("", now)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""

    def option(
        name: str, default: Any = None, choices: Sequence[str] | None = None, *, about: str, **more: Any
    ) -> None:
        parser.add_argument(
            name, default=default, choices=choices, help=about + (" (%(default)s)" if default else ""), **more
        )

    option(
        "--model",
        "smollm2",
        about="smollm2, tiny (random, for trying), a folder, or a hub id with its commit, ID@COMMIT",
    )
    option(
        "--adapter",
        about="a checkpoint's folder, or smollm2-midsentence, which comes with the code; none for the model as it is",
    )
    option("--mode", "verified", tuple(MODES), about="how it works while you speak")
    option("--tools", "assistant", about="a file of @tool functions, or assistant", metavar="FILE.py")
    parser.add_argument(
        "--constrained", action="store_true", help="keep what the model writes to the protocol's grammar"
    )
    parser.add_argument(
        "--grounded", action="store_true", help="and, by that grammar, texts in calls to words that you said"
    )
    option("--runtime", RUNTIMES[0], RUNTIMES, about="what runs the weights")
    option(
        "--server",
        "",
        about="where a vLLM server is, with --runtime vllm; none for http://127.0.0.1:8000/v1",
        metavar="URL",
    )
    option("--dtype", DTYPES[0], DTYPES, about="of the weights")
    option("--turns", None, get_args(Turns), about="the form of turns that the checkpoint was trained with")
    option("--stamps", "none", get_args(Stamps), about="the clock stamps that it was trained with")
    option("--prompt", "short", get_args(Style), about="how much of the protocol a checkpoint is told")
    option("--prompt-tools", "short", get_args(Detail), about="how much of each tool a checkpoint is told")
    option("--interrupt", "line", CHOICES["interrupt"], about="what your words cut of what it writes")
    option(
        "--commit-on",
        "final",
        CHOICES["commit_on"],
        about="whether it may commit on a silence, or on the end of a request alone",
    )
    option("--revise", "amend", CHOICES["revise"], about="whether single arguments are set, or calls written anew")
    option(
        "--revise-cascade",
        "rerun",
        CHOICES["revise_cascade"],
        about="what becomes of calls that depend on a revised one",
    )
    option(
        "--commit-grace-s",
        0.0,
        about="how long what is committed waits for more speech, in seconds",
        type=_seconds,
        metavar="S",
    )
    option(
        "--allow-egress",
        [],
        about="an egress tool that may run before you are done; may be repeated",
        action="append",
        metavar="TOOL",
    )
    option(
        "--max-context-tokens",
        4096,
        about="of the context; beyond it the oldest is forgotten",
        type=_tokens,
        metavar="N",
    )
    option("--max-generated-tokens", 1024, about="the most that it writes in a turn", type=_tokens, metavar="N")
    option("--out", "outputs/serve", about="where the log goes", metavar="FOLDER")
    parser.add_argument(
        "--page",
        action="store_true",
        help=(
            "serve a page to this machine's browser instead, to type or speak in and watch; with smollm2 and no adapter: the shipped "
            "adapter, constrained and grounded"
        ),
    )
    option("--port", 8765, about="of the page; 0 for any that is free", type=_port, metavar="N")


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is out of range; use 0 to 3600")
    return found


def _tokens(text: str) -> int:
    found = int(text)
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text} is out of range; use 1 or more")
    return found


def _port(text: str) -> int:
    found = int(text)
    if not 0 <= found <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is out of range; use 0 to 65535")
    return found


_port.__name__ = _tokens.__name__ = "whole number"
_seconds.__name__ = "number"  # as argparse says them: "invalid number value: 'x'"


def row_of(asked: argparse.Namespace, mode: str | None = None) -> Settings:
    """The row of the mode that was asked for, or of another, with what else was asked for."""
    return settings(
        mode or asked.mode,
        interrupt=asked.interrupt,
        commit_on=asked.commit_on,
        revise=asked.revise,
        revise_cascade=asked.revise_cascade,
        commit_grace_ns=ns(asked.commit_grace_s),
        allowed_egress=frozenset(asked.allow_egress),
        max_context_tokens=asked.max_context_tokens,
        max_generated_tokens=asked.max_generated_tokens,
    )


def main(asked: argparse.Namespace) -> None:
    """Runs one session on the standard input, and leaves its log behind; or serves the page."""
    if asked.page:
        from midsentence.page import server

        return server.main(asked, lambda mode: row_of(asked, mode), toolbox_of)
    if sys.stdin is None:
        raise UserError("the standard input is closed; type into a terminal, or give a pipe or a file")
    now = local_now()
    toolbox = toolbox_of(asked.tools, now)  # refused before any weights load
    check_egress(asked.allow_egress, toolbox.specs.values(), "--allow-egress")
    folder = path_of(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen(lambda text: print(text, end="", flush=True))
    bare = asked.adapter is None

    def watch(event: Event, commands: tuple[Command, ...]) -> None:
        log.add(event, commands)
        screen.show(event, commands, session.state)

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of weights being loaded
    with load(
        asked.model,
        asked.adapter,
        constrained=asked.constrained,
        grounded=asked.grounded,
        runtime=asked.runtime,
        dtype=asked.dtype,
        turns=asked.turns,
        stamps=asked.stamps,
        server=asked.server,
    ) as model:
        session = open_session(
            model,
            toolbox,
            row_of(asked),
            now=now,
            style="full" if bare else asked.prompt,
            detail="full" if bare else asked.prompt_tools,
            watch=watch,
        )
        print("Type what you want, line by line; end it with . or ? — Ctrl-D ends the session.", file=sys.stderr)
        with LogFile(folder / "log.jsonl", session.initial) as log, suppress(KeyboardInterrupt):
            asyncio.run(talk(session, sys.stdin))  # Ctrl-C has closed the session by then
    print(f"log: {folder / 'log.jsonl'}")
