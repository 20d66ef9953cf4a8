"""A session's log on disk, with what tools mark secret taken out of it; and its replay.

Owns the rows of a log (JSON lines: a header, then every event with the commands that came of it), written at the end or
as things happen, and redaction. Does not know how a session ran: it reads its history.

A secret is the value of a parameter in `ToolSpec.secret`, and it shows up in many places: in what the model wrote,
token by token, in the call's arguments, in what the user said, in an error that quotes it, in a result. All text of the
log is searched for it, also across tokens and updates; the ids of tokens that spelt it become 0. A line that names such
a tool and never became a call is blacked out from its bracket on. This can't find a value that a tool or the model
wrote in other words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    Command,
    Event,
    ModelOutput,
    StartTool,
    ToolError,
    ToolResult,
    UserUpdate,
    command_from_json,
    event_from_json,
    to_json,
)
from midsentence.core.lines import AmendLine, CallLine, parse_line
from midsentence.core.outcome import not_json
from midsentence.core.state import State
from midsentence.core.values import Join, as_text, refs
from midsentence.files import write
from midsentence.rendering.renderer import as_data
from midsentence.tools.tool import ToolSpec, bind

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
HIDDEN = "[secret]"
_UPDATES = ("partial_query_update", "final_query_update")

History = Sequence[tuple[Event, tuple[Command, ...]]]


def replay(initial: State, events: Iterable[Event]) -> State:
    """The state that the events lead to: a recorded session's gives its transcript, byte for byte."""
    state = initial
    for event in events:
        state, _ = reducer.step(state, event)
    return state


def write_log(path: str | Path, initial: State, history: History, *, redact: bool = True) -> None:
    """Writes a session's log as JSON lines.

    Args:
        path: of the file; an older one is replaced.
        initial: the state before the first event.
        history: every event with its commands.
        redact: whether to take out what tools mark secret. Without it the log replays to the very same transcript.
    """
    hides = redact and any(spec.secret for spec in initial.tools.values())
    rows = [header(initial, hides), *rows_of(history, initial.tools, redact=redact)]
    write(Path(path), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), errors="replace")


class LogFile:
    """A log that is written as things happen, so that a process that dies leaves all but the row it was writing.

    Where tools mark secrets, nothing but the header is written before the end: what is secret is known only from what
    comes after it, and the words that say it came first. Then such a session's crash leaves no log.

        with LogFile(path, session.initial) as log:
            ...  # log.add for every event and its commands: what a `Session` is given as ``watch``
    """

    def __init__(self, path: str | Path, initial: State, *, redact: bool = True) -> None:
        """Replaces an older file, and keeps it to itself until the end, where the system and the disk have such locks.

        Args:
            path: of the file.
            initial: the state before the first event.
            redact: as in `write_log`.

        Raises:
            ValueError: another session is writing it.
        """
        self._path, self._initial = Path(path), initial
        self._hides = redact and any(spec.secret for spec in initial.tools.values())
        self._held: list[tuple[Event, tuple[Command, ...]]] = []
        self._file = self._path.open("a", encoding="utf-8", errors="replace", newline="\n")
        if self._path.is_file():  # and no device or pipe
            self._keep()
            self._file.truncate(0)
        self._write([header(initial, self._hides)])

    def _keep(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ValueError(
                f"{self._path} is being written by another session; wait until that has ended, or give another folder"
            ) from None
        except OSError:  # a network's disk
            pass

    def add(self, event: Event, commands: tuple[Command, ...]) -> None:
        """Writes one event and what came of it."""
        if self._hides:
            self._held.append((event, commands))
        else:
            self._write(rows_of([(event, commands)], self._initial.tools, redact=False))

    def close(self) -> None:
        """Ends the file; where secrets had to be waited for, writes it. Closing twice is harmless."""
        if self._file.closed:
            return
        self._write(rows_of(self._held, self._initial.tools))
        self._file.close()

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, rows: Iterable[dict[str, Any]]) -> None:
        self._file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self._file.flush()  # to the system: what the process wrote outlives it


def header(initial: State, redacted: bool) -> dict[str, Any]:
    """A log's first row."""
    settings = asdict(initial.settings)
    settings["allowed_egress"] = sorted(settings["allowed_egress"])
    return {
        "type": "log",
        "schema": SCHEMA,
        "session": initial.session,
        "redacted": redacted,
        "settings": settings,
        "tools": sorted(initial.tools),
        "prompt_tokens": initial.context_tokens,
    }


def read_log(path: str | Path) -> tuple[dict[str, Any], list[tuple[Event, tuple[Command, ...]]]]:
    """Header and history of a log. A last row that its writer did not finish is left out, and the header then has
    ``torn``.

    Raises:
        ValueError: no log, one of another schema, or one with a row that can't be read.
    """
    # a line feed alone ends a row: JSON text may hold U+2028 and its like as they are
    lines = Path(path).read_bytes().split(b"\n")
    torn = bool(lines[-1]) and not _is_whole(lines[-1])
    try:
        rows = [json.loads(line) for line in lines[: len(lines) - torn] if line]
    except ValueError as error:
        raise ValueError(f"{path} has a row that is no JSON ({error}); record it again") from None
    if not rows or not isinstance(rows[0], dict) or rows[0].get("type") != "log" or rows[0].get("schema") != SCHEMA:
        found = rows[0].get("schema") if rows and isinstance(rows[0], dict) else "nothing"
        raise ValueError(f"{path} is no session log of schema {SCHEMA} (found {found!r}); record it again")
    history = [
        (event_from_json(row["event"]), tuple(command_from_json(item) for item in row["commands"])) for row in rows[1:]
    ]
    return rows[0] | ({"torn": True} if torn else {}), history


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def rows_of(history: History, tools: Mapping[str, ToolSpec], *, redact: bool = True) -> list[dict[str, Any]]:
    """A log's rows after the header: ``{"event": …, "commands": […]}``."""
    history = [(_writable(event), commands) for event, commands in history]
    if redact and any(spec.secret for spec in tools.values()):
        history = redacted(history, tools)
    return [
        {"event": to_json(event), "commands": [to_json(command) for command in commands]} for event, commands in history
    ]


def _writable(event: Event) -> Event:
    """The event as JSON can hold it: a result that is no JSON value is kept as the error that the core made of it."""
    if isinstance(event, ToolResult) and (why := not_json(event.value)) is not None:
        return ToolError(event.at_ns, event.call, event.version, why, "crashed")
    return event


# -- redaction ---------------------------------------------------------------------------------------------------------


def redacted(history: History, tools: Mapping[str, ToolSpec]) -> list[tuple[Event, tuple[Command, ...]]]:
    """The history without the values that tools mark secret; as many events and tokens as before."""
    secretive = {name: spec for name, spec in tools.items() if spec.secret}
    pattern, lines = _pattern(_secrets(history, secretive)), _named(secretive)
    events = [event for event, _ in history]
    orders = [list(commands) for _, commands in history]
    heard = [(n, event) for n, event in enumerate(events) if isinstance(event, UserUpdate)]
    for (n, update), (text, _) in zip(heard, _across([update.text for _, update in heard], pattern, joint=" ")):
        events[n] = replace(update, text=text)
    for generation in dict.fromkeys(event.generation for event in events if isinstance(event, ModelOutput)):
        mine = [
            (n, event)
            for n, event in enumerate(events)
            if isinstance(event, ModelOutput) and event.generation == generation
        ]
        for (n, output), (text, touched) in zip(
            mine, _across([output.text for _, output in mine], pattern, unfit=lines)
        ):
            events[n] = replace(output, text=text, ids=(0,) * len(output.ids) if touched else output.ids)
    # the user's words once more, as the transcript has them
    appends = [(n, m, item) for n, row in enumerate(orders) for m, item in enumerate(row) if isinstance(item, Append)]
    said = [segment.text for _, _, item in appends for segment in item.segments if segment.kind in _UPDATES]
    texts = iter([text for text, _ in _across(said, pattern, joint=" ")])
    for n, m, item in appends:
        orders[n][m] = Append(
            tuple(replace(one, text=next(texts)) if one.kind in _UPDATES else one for one in item.segments)
        )
    return [
        (_clean(event, pattern, lines), tuple(_clean(command, pattern, lines, secretive) for command in row))
        for event, row in zip(events, orders, strict=True)
    ]


def _secrets(history: History, tools: Mapping[str, ToolSpec]) -> set[str]:
    """Every secret value, as text: of calls that ran, and of lines that the model only wrote."""
    found: set[str] = set()
    texts: dict[int, list[str]] = {}
    results: dict[int, list[Any]] = {}
    for event, commands in history:
        if isinstance(event, ToolResult):
            results.setdefault(event.call, []).append(event.value)
        if isinstance(event, ModelOutput):
            texts.setdefault(event.generation, []).append(event.text)
        for command in commands:
            if isinstance(command, StartTool) and command.name in tools:
                for name in tools[command.name].secret & set(command.args):
                    found.update(_leaves(command.args[name]))
    for parts in texts.values():
        for line in "".join(parts).split("\n"):
            found.update(_written(line, tools, results))
    return {text for text in found if text.strip()}


def _written(line: str, tools: Mapping[str, ToolSpec], results: Mapping[int, list[Any]]) -> Iterator[str]:
    """Secret values of a line, with the results that they name; all of its values if it is a call that could not
    run."""
    item = parse_line(line.partition("</tool_call>")[0].rpartition("<tool_call>")[2])
    match item:
        case CallLine(name=name) if name in tools:
            try:
                args = bind(tools[name], item.positional, item.keyword, partial=True)
                secret = [args[given] for given in tools[name].secret & set(args)]
            except ValueError:
                secret = [*item.positional, *item.keyword.values()]
        case AmendLine(name=name) if any(name in spec.secret for spec in tools.values()):
            secret = [item.value]
        case _:
            return
    yield from _leaves(secret)
    for need in refs(secret):
        yield from _leaves(results.get(need, []))


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case bool() | None:
            return
        case str() | int() | float():
            yield as_text(value)
        case Join(parts):
            for part in parts:
                yield from _leaves(part)
        case list() | tuple():
            for item in value:
                yield from _leaves(item)
        case dict():
            for item in value.values():
                yield from _leaves(item)


def _pattern(secrets: Iterable[str]) -> re.Pattern[str]:
    """Finds secrets in every spelling that a log has: as they are, in JSON, escaped for the transcript."""
    spellings: set[str] = set()
    for secret in secrets:
        for text in (secret, secret.strip()):
            for ascii_only in (False, True):
                spellings.add(json.dumps(text, ensure_ascii=ascii_only)[1:-1])
            spellings |= {text, as_data(text)}
    choices = []
    for text in sorted(spellings, key=lambda text: (-len(text), text)):
        # blanks match any blanks: words may have come in two updates
        body = r"\s+".join(re.escape(part) for part in text.split())
        # a short one is hidden where it stands by itself only: else a PIN of 1 would black out every figure
        choices.append(body if len(text) >= 4 else rf"(?<!\w){body}(?!\w)")
    return re.compile("|".join(choices) if choices else r"(?!)", re.IGNORECASE)


def _named(tools: Mapping[str, ToolSpec]) -> re.Pattern[str]:
    """A call of such a tool in free text, from its bracket to the end of the line, or what a secret parameter is set
    to."""
    names = "|".join(re.escape(name) for name in sorted(tools, key=len, reverse=True))
    params = "|".join(re.escape(name) for name in sorted({name for spec in tools.values() for name in spec.secret}))
    return re.compile(rf"(?<![\w.])(?:(?:{names})\s*\(|(?:{params})\s*\+?=)(?P<args>[^\n]*)")


def _across(
    texts: Sequence[str], pattern: re.Pattern[str], *, joint: str = "", unfit: re.Pattern[str] | None = None
) -> list[tuple[str, bool]]:
    """Hides secrets in texts that belong together: each keeps what is not part of one. Gives (text, whether it had a
    part)."""
    whole = joint.join(texts)
    spans = [match.span() for match in pattern.finditer(whole)]
    if unfit is not None:
        spans += [match.span("args") for match in unfit.finditer(whole) if not _fits(whole, match)]
    spans = _joined(spans)
    out, at = [], 0
    for text in texts:
        stop = at + len(text)
        # a token without text holds the first bytes of a character
        mine = [(a, b) for a, b in spans if (a <= at <= b if at == stop else at < b and stop > a)]
        kept, begin = "", at
        for a, b in mine:
            # the mark stands where the secret begins
            kept += whole[begin : max(a, begin)] + (HIDDEN if at <= a < stop else "")
            begin = min(b, stop)
        out.append((kept + whole[begin:stop], bool(mine)))
        at = stop + len(joint)
    return out


def _fits(whole: str, match: re.Match[str]) -> bool:
    """Whether a call or an amendment in the model's text is a complete line that parses: then its values are known."""
    begin = (
        max(whole.rfind("\n", 0, match.start()), whole.rfind("<tool_call>", 0, match.start()) + len("<tool_call>") - 1)
        + 1
    )
    line = whole[begin : match.end()].partition("</tool_call>")[0]
    return isinstance(parse_line(line), CallLine | AmendLine)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Overlapping and touching spans as one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _clean(
    item: Any, pattern: re.Pattern[str], lines: re.Pattern[str], tools: Mapping[str, ToolSpec] | None = None
) -> Any:
    """An event or a command without secrets in its own texts. What `_across` has been through stays as it is."""
    if isinstance(item, ModelOutput | UserUpdate):
        return item
    if isinstance(item, Append):
        return Append(
            tuple(
                # an error quotes the line that it refuses
                replace(
                    segment,
                    text=_hide(lines.sub(_blank, segment.text) if segment.kind == "error" else segment.text, pattern),
                )
                for segment in item.segments
            )
        )
    if isinstance(item, StartTool) and tools is not None:
        secret = tools[item.name].secret if item.name in tools else frozenset()
        args = {name: HIDDEN if name in secret else _hide(value, pattern) for name, value in item.args.items()}
        # the key holds a digest of the arguments, and a short secret can be guessed from it
        key = item.key if args == item.args else f"{item.key.rpartition(':')[0]}:{HIDDEN}"
        return replace(item, args=args, key=key)
    changes = {}
    for name in ("value", "message", "text", "why", "heard"):
        if hasattr(item, name):
            changes[name] = _hide(getattr(item, name), pattern)
    return replace(item, **changes) if changes else item


def _blank(match: re.Match[str]) -> str:
    return match[0][: match.start("args") - match.start()] + HIDDEN


def _hide(value: Any, pattern: re.Pattern[str]) -> Any:
    match value:
        case str():
            return pattern.sub(HIDDEN, value)
        case bool() | None:
            return value
        case int() | float():
            return HIDDEN if pattern.fullmatch(as_text(value)) else value
        case list() | tuple():
            return [_hide(item, pattern) for item in value]
        case Mapping():
            return {_hide(key, pattern): _hide(item, pattern) for key, item in value.items()}
    return value
