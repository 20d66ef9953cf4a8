"""Pairs of effects that are the same, and pairs that are not: what everybody who compares effects makes of them.

``python -m scripts.bench equal`` prints a row a pair with the verdict of each comparer, and how many verdicts are
wrong:

    guard    the core refuses the second as it is written
    start    the core refuses the second when what it is computed from is there
    reissue  the core takes the second under the first one's ID for no change
    key      both have one idempotency key
    count    evaluation counts the second as a repetition
"""

from __future__ import annotations

from typing import Any

from eval.measures.trace import Run, Trace
from eval.measures.waste_and_safety import counts
from midsentence.core import reducer
from midsentence.core.calls import call_text, effect_key
from midsentence.core.events import Append, Appended, Event, ModelOutput, Note, StartTool, ToolResult, UserUpdate
from midsentence.core.lines import CallLine, parse_line
from midsentence.core.modes import settings
from midsentence.tools.tool import Param, ToolSpec, bind

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_TEXTS = {"type": ["array", "string"], "items": _TEXT}
SPECS = {
    spec.name: spec
    for spec in (
        ToolSpec(
            "pay",
            (
                Param("to", {}),
                Param("amount", {"type": ["number", "boolean", "string"]}, False, "", 1),
                Param("note", {}, False),
            ),
        ),
        ToolSpec(
            "mail",
            (
                Param("to", _TEXTS),
                Param("text", _TEXT),
                Param("cc", _TEXTS, False),
            ),
        ),
        ToolSpec(
            "save",
            (
                Param(
                    "what",
                    {
                        "type": "object",
                        "properties": {"name": _TEXT, "size": {"type": ["number", "null"], "default": 10}},
                    },
                ),
            ),
        ),
        ToolSpec(
            "call",
            (Param("number", _TEXT),),
            canonical=lambda args: {
                name: "".join(c for c in str(value) if c.isdigit()) for name, value in args.items()
            },
        ),
        ToolSpec("get", (Param("n", _NUMBER),), "read"),
    )
}

SAME = (
    ('pay("a")', 'pay("a", 1)'),
    ('pay("a")', 'pay("a", 1.0)'),
    ('pay("a")', 'pay("a", 1.0, null)'),
    ('pay("a")', 'pay("a", note=null)'),
    ('pay("a", 100)', 'pay("a", 1e2)'),
    ('pay("a", 0)', 'pay("a", -0.0)'),
    ('pay("a", 2, "x y")', 'pay("a", 2, " x  y ")'),
    ('pay("Zo\u00eb")', 'pay("Zoe\u0308")'),
    ('pay(amount=3, to="a")', 'pay("a", 3)'),
    ('mail(["a"], "x")', 'mail("a", "x")'),
    ('mail(["a"], "x", "b")', 'mail(["a"], "x", ["b"])'),
    ('save({"name": "a"})', 'save({"size": 10.0, "name": "a"})'),
    ('save({"name": "a", "size": null})', 'save({"name": "a"})'),
    ('call("555-01 23")', 'call("5550123")'),
    ('pay({"Zo\u00eb": 1})', 'pay({"Zoe\u0308": 1})'),
    ('pay({"b": 1, "a": 2})', 'pay({"a": 2, "b": 1})'),
    ('mail(["a ", "b"], "x")', 'mail(["a", "b"], "x")'),
)
OTHER = (
    ('pay("a", 1)', 'pay("a", true)'),
    ('pay("a", 0)', 'pay("a", false)'),
    ('pay("a", 1)', 'pay("a", "1")'),
    ('pay("a", 1)', 'pay("a", 1.001)'),
    ('pay("a")', 'pay("A")'),
    ('pay("a")', 'pay(["a"])'),
    ('pay("ab")', 'pay("a b")'),
    ('pay("a", 1, "")', 'pay("a", 1)'),
    ('pay("a", 1, [])', 'pay("a", 1)'),
    ('pay("e")', 'pay("\u00e9")'),
    ('mail(["a", "b"], "x")', 'mail(["b", "a"], "x")'),
    ('mail(["a"], "x")', 'mail(["a", "a"], "x")'),
    ('mail(["a, b"], "x")', 'mail(["a", "b"], "x")'),
    ('save({"name": "a"})', 'save({"name": "a", "size": 0})'),
    ('pay({"a": null})', "pay({})"),
    ('call("5550123")', 'call("5550124")'),
    ('pay("a", 9007199254740993)', 'pay("a", 9007199254740992)'),
    ('pay("a", 1, "null")', 'pay("a")'),
)


def bound(text: str) -> tuple[ToolSpec, dict[str, Any]]:
    """A call's tool and its arguments by name."""
    line = parse_line(f"1. {text}")
    assert isinstance(line, CallLine), text
    return SPECS[line.name], bind(SPECS[line.name], line.positional, line.keyword)


def session(*lines: str, results: tuple[Any, ...] = ()) -> list[Any]:
    """The commands of a session that heard all, wrote the lines in one action, and got ``results`` for calls 1, 2, …"""
    written = "<tool_call>\n" + "".join(f"{line}\n" for line in lines) + "</tool_call>"
    events: list[Event] = [UserUpdate(0, "do it", True), Appended(0, 1), ModelOutput(0, 1, written, (1,))]
    events += [ToolResult(0, call, 1, value) for call, value in enumerate(results, start=1)]
    state, commands = reducer.start(settings("speculative", commit="action"), SPECS), []
    for event in events:
        state, more = reducer.step(state, event)
        commands += more
    return commands


def verdicts(one: str, other: str) -> dict[str, bool]:
    """Whether each comparer takes two calls for the same."""
    spec, args = bound(one)
    spec_2, args_2 = bound(other)
    reads = tuple(args_2.values())
    named = ", ".join(f"{name}=${n}" for n, name in enumerate(args_2, start=1))
    late = session(
        *(f"{n}. get({n})" for n in range(1, len(reads) + 1)),
        f"{len(reads) + 1}. {one}",
        f"{len(reads) + 2}. {spec_2.name}({named})",
        results=reads,
    )
    runs = tuple(
        Run(n, 1, s.name, a, 0, 1, "done") for n, (s, a) in enumerate(((spec, args), (spec_2, args_2)), start=1)
    )
    return {
        "guard": "error call 2 repeats call 1" in _seen(session(f"1. {one}", f"2. {other}")),
        "start": sum(isinstance(c, StartTool) and SPECS[c.name].access == "write" for c in late) == 1,
        "reissue": "note identical_reissue" in _seen(session(f"1. {one}", f"1. {other}")),
        "key": effect_key("s", 1, call_text(spec, args)) == effect_key("s", 1, call_text(spec_2, args_2)),
        "count": counts(Trace((), (), (), runs, (), (), (), 1), SPECS, ()).effects_repeated == 1,
    }


def _seen(commands: list[Any]) -> str:
    """What was noted and what the model was told, as text."""
    notes = [f"note {command.what}" for command in commands if isinstance(command, Note)]
    return "\n".join(
        [
            *notes,
            *(f"{s.kind} {s.text}" for command in commands if isinstance(command, Append) for s in command.segments),
        ]
    )


def main(arguments: list[str]) -> int:
    """See the module; the exit status is 1 if any verdict is wrong."""
    wrong = rows = 0
    for expected, pairs in ((True, SAME), (False, OTHER)):
        for one, other in pairs:
            found = verdicts(one, other)
            bad = [name for name, same in found.items() if same is not expected]
            wrong, rows = wrong + len(bad), rows + len(found)
            shown = " ".join(f"{name}={'same' if same else 'other'}" for name, same in found.items())
            print(f"{'same ' if expected else 'other'}  {one:38} {other:38} {shown}{'  WRONG' if bad else ''}")
    print(f"{len(SAME)} pairs of equal and {len(OTHER)} of different effects, {rows} verdicts, {wrong} wrong")
    return int(wrong > 0)
