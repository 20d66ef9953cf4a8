"""A live session in the terminal: type words, and watch the agent start before you are done.

Owns the reading of lines and the printing of what happens. Refuses to decide anything. Each line is an update; one that
ends in ``.``, ``!`` or ``?`` (or is empty) ends the request, and more after that is the next. The tools are those of
`midsentence.tools.assistant`, over a small world of their own, or with ``tools=FILE.py`` the ``@tool`` functions of that file.

    python -m midsentence.serve model.adapter=outputs/sft/NAME        # eval.modes=[parallel] for another mode, the last counts
    echo "what is the phone number of Bob Ray?" | python -m midsentence.serve model=tiny
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from configs.command import UserError, command, out_folder
from configs.files import path_of
from configs.schema import Config
from configs.terminal import plain
from midsentence import record
from midsentence.answer_parts import AnswerParts
from midsentence.clock import local_now, seconds
from midsentence.events import Command, Event, StartTool, ToolError, ToolResult, UserUpdate
from midsentence.modes import settings_of
from midsentence.protocol import write_call, write_value
from midsentence.runtime import Session, SessionEnded
from midsentence.session import load, open_session
from midsentence.state import State
from midsentence.tools.assistant import AssistantToolbox
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
    shown += [f"agent  {write_call(item.call, item.name, (), item.args)}" for item in commands if isinstance(item, StartTool)]
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
    loop, typed = asyncio.get_running_loop(), asyncio.Queue()
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
    """The tools that ``tools=`` names: the assistant's where it names none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file has no tools that can run.
    """
    if tools in ("", "assistant"):
        return AssistantToolbox(WORLD, now=now)
    if Path(tools).suffix == ".json":
        raise ValueError(f"tools={tools} describes tools and has no code that runs them; give a .py file with @tool functions")
    return load_tools_file(path_of(tools)).toolbox("", now)


def main(config: Config) -> None:
    """Runs one session on the standard input, and leaves its log behind."""
    if sys.stdin is None:
        raise UserError("the standard input is closed; type into a terminal, or give a pipe or a file")
    bare = config.model.adapter is None
    row = settings_of(config.eval.modes[-1] if config.eval.modes else "speculative", config.agent)
    options = {"dtype": config.model.dtype, "stamps": config.clock.stamps, "constrained": config.eval.constrained}
    options |= {"grounded": config.eval.grounded}
    options |= {"runtime": config.eval.runtime, "turns": config.model.turns}
    now = local_now()
    toolbox = toolbox_of(config.tools, now)  # refused before any weights load
    folder = out_folder(config, "serve")
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen(lambda text: print(text, end="", flush=True))
    from transformers.utils.logging import disable_progress_bar
    disable_progress_bar()  # of weights being loaded
    with load(config.model.name, config.model.adapter, **options) as model:
        session = open_session(
            model, toolbox, row, style="full" if bare else config.agent.prompt, now=now,
            detail="full" if bare else config.agent.prompt_tools,
            watch=lambda event, commands: (log.add(event, commands), screen.show(event, commands, session.state)),
        )
        print("Type what you want, line by line; end it with . or ? — Ctrl-D ends the session.", file=sys.stderr)
        with record.LogFile(folder / "log.jsonl", session.initial) as log, suppress(KeyboardInterrupt):
            asyncio.run(talk(session, sys.stdin))  # Ctrl-C has closed the session by then
    print(f"log: {folder / 'log.jsonl'}")


if __name__ == "__main__":
    command(main)()
