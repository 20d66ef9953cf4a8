"""The record of an episode: what a replay keeps of it, a line of JSON each.

Owns the schema, its version, and the one place that reads and writes it. A record holds its whole log, so it can be
replayed and drawn without the others. The version stands once, in the manifest of the folder that the records are in; a
line with other fields than that version's is refused. Does not know how a record is made (`eval.running.episodes`) and
what figures are made of it.

Times are integer nanoseconds, from the start of the user's first word where nothing else is said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from data_gen.task import Label, Word
from eval.measures.trace import History, history_of
from eval.measures.waste_and_safety import Counts

VERSION = 1
"""Of the schema. Fields that came later, and may be missing in a file, have a default."""


class BadRecord(ValueError):
    """Data that are no record of this version; the text names the field, what it is and what it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What became of the attempts of an episode in the mode ``verified``; see `midsentence.shells.drafts.Drafted`."""

    attempts: int
    """How often what was begun was thrown away."""
    foreseen: int
    """Tokens that were foreseen, and read."""
    right: int
    """Those of them that were written."""
    kept: tuple[tuple[int, int], ...]
    """Starts, as (call, version) in order, for which no tool was run: the same read had been, or was running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRecord:
    """One turn of a conversation, judged by itself; see `eval.measures.conversations`."""

    kind: str
    """One of `data_gen.task.KINDS`."""
    said: bool
    """Whether the user came to say it at all."""
    right: bool
    """Whether all that the turn asks for was done and nothing else."""
    cause: str
    """Why it is not right, in a word or two of `eval.measures.scoring`; empty where it is."""
    why: str
    """The same in detail."""
    answer: str | None
    """The last that went out in it once the user had said it all."""
    start_ns: int
    """The user's first word of it."""
    speech_end_ns: int
    """The end of the user's last word of it."""
    latency_ns: int
    """From ``speech_end_ns``, as are the next two; see `eval.measures.latency`."""
    first_token_ns: int | None
    """To the end of the answer's first token; None without an answer."""
    parts_ns: Mapping[str, int]
    """The latency by `eval.measures.latency.PARTS`; adds up to it."""
    floor_ns: int
    """The least latency that was possible; see `eval.measures.floor`."""
    asks: bool
    """Whether it is to be answered by a question."""
    asked: bool
    """Whether it was."""
    silence_ns: int | None
    """From the user's first word into an answer until the agent was silent; None where the user did not speak into
    one."""
    tokens: int
    """Tokens that the context grew by in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """One finished episode: what it was, how it went, what it measured, and its log.

    Of a conversation, what is judged and measured adds up what its ``turns`` say: it is right if all of them are, and
    its latency and floor are the means of theirs.
    """

    task: str
    """The task's ID."""
    source: str
    """The task's source."""
    split: str
    """The task's split."""
    tags: tuple[str, ...]
    """The task's, kinds of disfluency among them."""
    backend: str
    """Who played the model."""
    mode: str
    """Name of the mode that was played."""
    seed: int
    """Which repetition of the row this is; what the recogniser passes on follows from it."""
    time: str = "virtual"
    """``virtual`` or ``real``."""
    profile: str
    """Name of the device."""
    outcome: str
    """How it ended; see `midsentence.shells.rollout.Rollout`."""
    right: bool
    """Whether calls and answer are right."""
    calls_right: bool
    """Whether the calls did what gold asks for and nothing else."""
    answer_right: bool
    """Whether the answer holds what gold asks for."""
    answer_f1: float | None
    """By HotpotQA's measure; None where the task has no answer of its own."""
    graph_right: bool
    """Whether the calls form the graph that gold's form, whatever their values."""
    cause: str
    """Why it is not right, in a word or two of `eval.measures.scoring`; empty where it is."""
    why: str
    """The same in detail."""
    answer: str | None
    """The last that went out; None where the episode was not answered."""
    speech_end_ns: int
    """The end of the user's last word."""
    final_ns: int | None
    """When the last final update arrived; None where none has."""
    end_ns: int
    """When the last event happened."""
    latency_ns: int
    """From ``speech_end_ns``, as are the next four; see `eval.measures.latency`."""
    first_token_ns: int | None
    """To the end of the answer's first token; None without an answer."""
    parts_ns: Mapping[str, int]
    """The latency by `eval.measures.latency.PARTS`; adds up to it."""
    floor_ns: int
    """The least latency that was possible; see `eval.measures.floor`."""
    listener_ns: int | None = None
    """The least that listening without luck could give; only of right episodes in modes that listen; see
    `eval.measures.listener`."""
    path_ns: Mapping[str, int] | None = None
    """What the end waited for, by `eval.measures.critical.CAUSES`; adds up to the latency, and is there where
    ``listener_ns`` is."""
    counts: Counts
    """Waste and safety."""
    words: tuple[Word, ...]
    """As they were spoken; empty in a record read for its figures alone."""
    prompt_tokens: int
    """Tokens of the prompt."""
    context_tokens: int
    """Tokens of the whole context at the end, the prompt's included."""
    log: Sequence[Sequence[Any]]
    """Every event with the core's commands, as JSON (`eval.measures.trace.log_of`); empty in a record read for its
    figures alone."""
    drafted: Attempts | None = None
    """Only in the mode ``verified``."""
    turns: tuple[TurnRecord, ...] = ()
    """Of a conversation, all its turns."""
    repeated_across_turns: int = 0
    """Of a conversation: effects beyond the first that mean the same, whatever turns they are in."""
    forgets: int = 0
    """Of a conversation: how often its context let something go."""

    @property
    def history(self) -> History:
        """The log's events, each with the commands that came of it.

        Raises:
            ValueError: a row of the log is not an event or a command.
        """
        return history_of(self.log)

    def bare(self) -> EpisodeRecord:
        """Without what only pictures and checks of one episode need: words and log, nearly all of a record's size."""
        return replace(self, words=(), log=())


_ADDED_UP = (
    "right",
    "calls_right",
    "answer_right",
    "cause",
    "why",
    "speech_end_ns",
    "latency_ns",
    "parts_ns",
    "first_token_ns",
    "floor_ns",
    "counts",
    "turns",
    "repeated_across_turns",
    "words",
    "forgets",
)
"""What stands last in a line of a conversation, in this order: what its turns add up to."""


def to_json(record: EpisodeRecord) -> dict[str, Any]:
    """A record as plain data, in the order of its line."""
    row = {each.name: getattr(record, each.name) for each in fields(record)}
    row |= {
        "tags": list(record.tags),
        "counts": record.counts.as_json(),
        "words": [[word.text, word.start_ns, word.end_ns, word.label] for word in record.words],
    }
    if record.time == "virtual":
        del row["time"]
    if record.drafted is None:
        del row["drafted"]
    else:
        row["drafted"] = _plain(record.drafted) | {"kept": [list(start) for start in record.drafted.kept]}
    if record.turns:
        del row["listener_ns"], row["path_ns"]
        row["turns"] = [_plain(turn) for turn in record.turns]
        last = {name: row.pop(name) for name in _ADDED_UP}
        return row | last
    del row["turns"], row["repeated_across_turns"], row["forgets"]
    return row


def to_line(record: EpisodeRecord) -> str:
    """A record as a line of a file."""
    return json.dumps(to_json(record), ensure_ascii=False, separators=(",", ":")) + "\n"


def _plain(part: Attempts | TurnRecord) -> dict[str, Any]:
    return {each.name: getattr(part, each.name) for each in fields(part)}


def from_line(line: str | bytes) -> EpisodeRecord:
    """The record that `to_line` wrote.

    Raises:
        ValueError: the line is no JSON.
        BadRecord: it is no record of this version.
    """
    return from_json(json.loads(line))


def from_json(row: Any) -> EpisodeRecord:
    """The record that `to_json` made.

    Raises:
        BadRecord: it is no record of this version.
    """
    record: EpisodeRecord = _made(EpisodeRecord, row, "")
    return record


def _made(kind: Any, row: Any, where: str) -> Any:
    """An object of plain data as the dataclass that it is of."""
    if not isinstance(row, dict):
        raise BadRecord(f"{where or 'it'} is {_named(row)}; expected an object")
    hints, needed = _fields(kind)
    if strange := sorted(map(str, row.keys() - hints.keys())):
        raise BadRecord(f"{where}{'.' if where else ''}{strange[0]} is no field of version {VERSION}")
    if missing := [name for name in needed if name not in row]:
        raise BadRecord(f"{where}{'.' if where else ''}{missing[0]} is missing")
    return kind(
        **{name: _taken(hints[name], value, f"{where}{'.' if where else ''}{name}") for name, value in row.items()}
    )


@cache
def _fields(kind: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The types of a dataclass's fields, and the fields that must be given."""
    return get_type_hints(kind), tuple(each.name for each in fields(kind) if each.default is MISSING)


_WORD = [str, int, int, str]


def _taken(hint: Any, value: Any, where: str) -> Any:
    """A value of plain data as its field has it."""
    origin, of = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):  # one type or nothing
        return None if value is None else _taken(next(each for each in of if each is not NoneType), value, where)
    if hint is Word and isinstance(value, list) and len(value) == 4:
        if [type(part) for part in value] == _WORD and value[3] in get_args(
            Label
        ):  # nearly all of a record's values are in these
            return Word(*value)
        return _made(Word, dict(zip(("text", "start_ns", "end_ns", "label"), value)), where)
    if hasattr(hint, "__dataclass_fields__"):
        return _made(hint, value, where)
    if origin is Literal and value in of:
        return value
    if origin is tuple and isinstance(value, list) and (of[-1] is Ellipsis or len(of) == len(value)):
        each = of[:1] * len(value) if of[-1] is Ellipsis else of
        return tuple(_taken(one, item, f"{where}[{n}]") for n, (one, item) in enumerate(zip(each, value)))
    if origin is Mapping and isinstance(value, dict):
        return {name: _taken(of[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is Sequence and isinstance(value, list):
        bad = next(
            (n for n, item in enumerate(value) if not isinstance(item, list)), None
        )  # a log, whose rows `history_of` reads
        if bad is None:
            return value
        where, value = f"{where}[{bad}]", value[bad]
    if type(value) is hint or hint is float and type(value) is int:
        return value
    raise BadRecord(f"{where} is {_named(value)}; expected {_expected(hint)}")


def _expected(hint: Any) -> str:
    origin, of = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(of)}"
    if origin is tuple and of[-1] is not Ellipsis:
        return f"{len(of)} values"
    return "an object" if origin is Mapping else "a list" if origin in (tuple, Sequence) else hint.__name__


def _named(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
