"""The markup: one line a request, with its calls and arguments marked where they are said. `docs/markup.md` has ten examples.

    python -m data_gen.markup requests=FILE.jsonl out=FILE.txt      writes rows as lines

Owns the line: `parse` makes of it the row that `data_gen.tasks.jsonl` reads, `render` makes the line of a row, `rows` reads a file.
Every mistake of form is one sentence; what marks mean is checked where every row is (`data_gen.grounding.spans`). Does not know tools.

    ID | {1,2:text} {1.name:Marco}, no sorry, {1.name:Marcus}, that um {2.message:I'm late} | get_phone_number; send_sms(recipients=[$1])

A mark is ``{head, head…:words}``. ``1`` opens call 1; ``1.name`` says that argument: what it was first, or at last, in its own words,
or ``1.name=value`` where they differ; ``1.name=*`` says gold's value before its last time; ``1.name=null`` takes it back; ``!3`` ends
call 3, which is taken back. Without words a value follows from the tool. Then come the calls, those that are taken back after the gold
ones with ``!`` before their names; accepted values are separated by ``/``, and what is marked in its own words needs none. Then, if
need be, ``now=…; tags=a, b; split=train; answer=…; hear_out``. A mark may stand in another; ``}^`` ends the one around the innermost,
where two overlap. ``\\{``, ``\\}``, ``\\|``, ``\\^`` and ``\\\\`` are those characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from configs.command import command
from configs.schema import Config
from data_gen.dialogue.markup import split_turns, turn_fields, with_turns
from data_gen.files import lines_of, text_of
from data_gen.grounding.spans import find, plain
from data_gen.task import BadTask
from midsentence.ending import UserError
from midsentence.files import path_of, write
from midsentence.terminal import plain as shown

SUFFIXES = (".txt", ".md")
FENCE = "```requests"
"""Opens the lines that are requests in a Markdown file."""
GOLD = object()
"""The value ``*``."""
_HEAD = re.compile(r"\s*(?:(?P<until>!)(?P<back>\d+)|(?P<call>\d+)(?:\.(?P<param>\w+)(?P<given>\s*=)?)?)\s*")
_CALL = re.compile(r"\s*(?P<back>!?)(?P<name>[\w.\-]+)\s*(?P<args>\()?")
_ARG = re.compile(r"\s*(?P<param>\w+)\s*(?P<given>=)?")
_ESCAPED = re.compile(r"\\([{}|^\\>])")
_FIELDS = ("now", "tags", "split", "answer", "hear_out")


class Mark(NamedTuple):
    """One thing that a run of words says."""

    call: int
    param: str | None
    """None for the call itself."""
    start: int
    end: int
    """Half-open indices of words; equal for a value that follows from the tool."""
    given: bool = False
    value: Any = None
    """What it was meant to be, where that was ``given``."""
    until: bool = False


def rows(text: str, suffix: str) -> Iterator[tuple[str, Mapping[str, Any] | BadTask]]:
    """The lines of a file with their names; a Markdown file's in its blocks of requests alone."""
    inside = suffix != ".md"
    for n, line in enumerate(lines_of(text), start=1):
        if suffix == ".md" and line.startswith("```"):
            inside = line.strip() == FENCE
        elif inside and line.strip() and not line.startswith("#"):
            try:
                row = parse(line)
                yield f"line {n} ({row['id']})", row
            except BadTask as error:
                yield f"line {n}", error


# -- from a line --------------------------------------------------------------------------------------------------------


def parse(line: str) -> dict[str, Any]:
    """The row that a line says.

    Raises:
        BadTask: a mistake of form.
    """
    parts = _sections(line)
    if not 3 <= len(parts) <= 4:
        raise BadTask(f"has {len(parts)} parts; write ID | request | calls, and | now=… if need be; \\| is the character")
    id, said, asked = parts[0].strip(), parts[1].strip(), parts[2]
    if not id:
        raise BadTask("has no id before the first |")
    said, *more = split_turns(said)
    words, marks = _marks(said)
    ends = [len(words)]
    for turn in more[1::2]:
        words, marks = _joined(words, marks, *_marks(turn))
        ends.append(len(words))
    gold, back = _calls(asked) if asked.strip() or not more else ([], [])
    row: dict[str, Any] = {"id": id, "request": " ".join(words), "calls": []}
    for n, (name, given) in enumerate(gold, start=1):
        row["calls"].append({"name": name, "args": _accepted(n, given, marks, words)})
    if marks:
        row["spans"] = _spans(words, marks, gold, back)
    elif back:
        raise BadTask(f"takes back {back[0][0]}, but marks nothing")
    turns = {"turns": turn_fields(ends, more[::2])} if more else {}
    return row | turns | (_extras(parts[3]) if len(parts) == 4 else {})


def _joined(
    words: list[str], marks: list[Mark], more: list[str], others: list[Mark]
) -> tuple[list[str], list[Mark]]:
    """The words and marks of some turns and of one more."""
    n = len(words)
    moved = [mark._replace(start=mark.start + n, end=mark.end + n) if mark.end else mark for mark in others]
    return words + more, marks + moved


def _sections(line: str) -> list[str]:
    """The parts between bars that are neither escaped nor in a JSON text."""
    parts: list[str] = []
    last, n, quoted = 0, 0, False
    while n < len(line):
        if line[n] == "\\":
            n += 1
        elif line[n] == '"' and len(parts) != 1 or line[n] == '"' and quoted:
            quoted = not quoted
        elif line[n] == "|" and not quoted:
            parts.append(line[last: n])
            last = n + 1
        n += 1
    return [*parts, line[last:]]


def _marks(said: str) -> tuple[list[str], list[Mark]]:
    """The words of a marked request, and its marks."""
    text, places = "", []
    open_: list[tuple[int, list[tuple[int, str | None, bool, Any, bool]]]] = []
    n = 0
    while n < len(said):
        if (escaped := _ESCAPED.match(said, n)) is not None:
            text, n = text + escaped[1], escaped.end()
        elif said[n] == "{":
            heads, n = _heads(said, n + 1)
            open_.append((len(text), heads))
        elif said[n] == "}":
            if not open_:
                raise BadTask(f"a mark ends after {text[-20:]!r} that never began; \\}} is the character")
            out = len(said[n + 1:]) - len(said[n + 1:].lstrip("^"))
            if out >= len(open_):
                raise BadTask(f"}}{'^' * out} after {text[-20:]!r} ends a mark {out} further out, but {len(open_)} are open")
            start, heads = open_.pop(-1 - out)
            places += [(start, len(text), head) for head in heads]
            n += 1 + out
        else:
            text, n = text + said[n], n + 1
    if open_:
        raise BadTask(f"the mark before {text[open_[-1][0]:][:20]!r} never ends; write }} behind its words")
    tokens = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    marks = []
    for start, end, (call, param, given, value, until) in places:
        inside = [k for k, (a, b) in enumerate(tokens) if re.search(r"\w", text[max(a, start): min(b, end)]) and a < end and b > start]
        if not inside and (text[start:end].strip() or not given):
            raise BadTask(f"mark {_head(Mark(call, param, 0, 0, until=until))} holds no word: {text[start:end]!r}")
        bounds = (inside[0], inside[-1] + 1) if inside else (0, 0)
        marks.append(Mark(call, param, *bounds, given, value, until))
    return [text[a:b] for a, b in tokens], sorted(marks, key=lambda mark: (mark.end, mark.start))


def _heads(said: str, n: int) -> tuple[list[tuple[int, str | None, bool, Any, bool]], int]:
    """The heads of a mark that begins at a place, and the place of its words."""
    heads = []
    while True:
        found = _HEAD.match(said, n)
        if found is None or found.end() >= len(said):
            shown = said[n - 1: n + 20]
            raise BadTask(f"{shown!r} begins no mark; write {{1:words}}, {{1.name:words}} or {{!1:words}}, and \\{{ for the character")
        n, value = found.end(), None
        if found["given"]:
            value, n = _value(said, n, ",:")
        heads.append((int(found["call"] or found["back"]), found["param"], bool(found["given"]), value, bool(found["until"])))
        if said[n: n + 1] == ":":
            return heads, n + 1
        if said[n: n + 1] != ",":
            raise BadTask(f"{said[n: n + 12]!r} in a mark: after a head comes a comma and another, or a colon and the words")
        n += 1


def _value(text: str, n: int, ends: str) -> tuple[Any, int]:
    """A value and the place behind it: JSON, in which ``$1`` needs no quotes, or plain text up to one of ``ends``."""
    while text[n: n + 1] == " ":
        n += 1
    if text[n: n + 1] == "*":
        value, n = GOLD, n + 1
    elif text[n: n + 1] in ('"', "[", "{"):
        stop = _json_end(text, n)
        try:
            value = json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|(\$\d+)', lambda found: found[1] or f'"{found[2]}"', text[n:stop]))
        except json.JSONDecodeError as error:
            raise BadTask(f"{text[n:stop]!r} is no JSON: {error}") from None
        n = stop
    else:
        stop = min((at for end in ends if (at := text.find(end, n)) >= 0), default=len(text))
        value, n = text[n:stop].strip(), stop
        if not value:
            raise BadTask(f"a value is missing before {text[n: n + 12]!r}; an empty text is \"\"")
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            pass
    while text[n: n + 1] == " ":
        n += 1
    return value, n


def _json_end(text: str, n: int) -> int:
    """Where the JSON text that begins at a place ends."""
    depth, quoted, start = 0, False, n
    while n < len(text):
        if quoted:
            n += text[n] == "\\"
            quoted = text[n: n + 1] != '"' or text[n - 1: n] == "\\"
        else:
            quoted = text[n] == '"'
            depth += (text[n] in "[{") - (text[n] in "]}")
        n += 1
        if depth <= 0 and not quoted:
            return n
    raise BadTask(f"{text[start: start + 20]!r} never ends; close its quotes and brackets")


def _calls(text: str) -> tuple[list[tuple[str, dict[str, list[Any]]]], list[tuple[str, dict[str, list[Any]]]]]:
    """The gold calls with the accepted values that are written out, and the calls that are taken back."""
    gold: list[tuple[str, dict[str, list[Any]]]] = []
    back: list[tuple[str, dict[str, list[Any]]]] = []
    n = 0
    while True:
        found = _CALL.match(text, n)
        if found is None:
            raise BadTask(f"{text[n: n + 20].strip()!r} is no call; write name(argument=value), and ; between calls")
        n = found.end()
        args: dict[str, list[Any]] = {}
        if found["args"]:
            args, n = _args(text, n, found["name"])
        if not found["back"] and back:
            raise BadTask(f"gold call {found['name']} comes after !{back[0][0]}; put calls that are taken back last")
        (back if found["back"] else gold).append((found["name"], args))
        rest = text[n:].lstrip()
        if not rest:
            break
        if rest[0] != ";":
            raise BadTask(f"{rest[:20]!r} after call {found['name']}; write ; between calls")
        n = len(text) - len(rest) + 1
    if not gold:
        raise BadTask("asks for no call; write at least one gold call")
    return gold, back


def _args(text: str, n: int, name: str) -> tuple[dict[str, list[Any]], int]:
    args: dict[str, list[Any]] = {}
    while True:
        if text[n:].lstrip()[:1] == ")":
            return args, text.index(")", n) + 1
        found = _ARG.match(text, n)
        if found is None:
            raise BadTask(f"{text[n: n + 20].strip()!r} in the arguments of {name}; write argument=value, and ) at the end")
        if found["param"] in args:
            raise BadTask(f"{name}: {found['param']} is given twice; several accepted values are separated by /")
        n, values = found.end(), []
        if found["given"]:
            while True:
                value, n = _value(text, n, "/,)")
                values.append(value)
                if text[n: n + 1] != "/":
                    break
                n += 1
        args[found["param"]] = values
        rest = text[n:].lstrip()
        if rest[:1] not in (",", ")"):
            raise BadTask(f"{rest[:20]!r} in the arguments of {name}; write , or ) after {found['param']}")
        n = len(text) - len(rest) + (rest[0] == ",")


def _accepted(call: int, given: Mapping[str, list[Any]], marks: Sequence[Mark], words: Sequence[str]) -> dict[str, list[Any]]:
    """The accepted values of a gold call: those that are written out, and of the others what their last mark says."""
    accepted = {param: list(values) for param, values in given.items()}
    last = {mark.param: mark for mark in marks if mark.call == call and mark.param is not None and mark.end}
    for param, mark in last.items():
        if not accepted.get(param) and not (mark.given and mark.value is None):
            if mark.value is GOLD:
                raise BadTask(f"mark {_head(mark)} is the last of its argument, so * says nothing; write the value")
            accepted[param] = [mark.value if mark.given else _own(words, mark)]
    if silent := [param for param, values in accepted.items() if not values]:
        raise BadTask(f"call {call}: {silent[0]} has no value and no mark {{{call}.{silent[0]}:words}}")
    return accepted


def _spans(
    words: Sequence[str], marks: Sequence[Mark], gold: Sequence[tuple[str, Any]], back: Sequence[tuple[str, dict[str, list[Any]]]]
) -> list[dict[str, Any]]:
    """The marks as the field ``spans``."""
    count = len(gold) + len(back)
    if strange := [mark for mark in marks if not 1 <= mark.call <= count]:
        raise BadTask(f"mark {_head(strange[0])}: there are {count} calls")
    entries: list[dict[str, Any]] = [{} for _ in gold] + [{"name": name} for name, _ in back]
    for entry, (_, given) in zip(entries[len(gold):], back):
        entry["args"] = {param: {"value": values[0]} for param, values in given.items() if values}
    last = {(mark.call, mark.param): mark for mark in marks if mark.end}
    for mark in marks:
        entry, where = entries[mark.call - 1], f"mark {_head(mark)}"
        if mark.until or mark.param is None:
            key = "until" if mark.until else "tool"
            if key in entry:
                raise BadTask(f"{where} is there twice; a call has one")
            if mark.until and mark.call <= len(gold):
                raise BadTask(f"{where}: call {mark.call} is gold's; write ! before its name, after the gold calls, if it is taken back")
            entry[key] = _quote(words, mark)
            continue
        own = mark.call > len(gold) or mark != last.get((mark.call, mark.param))
        said: Any = _quote(words, mark) if mark.end else None
        if mark.given and mark.value is not GOLD:
            said = {"words": said, "value": mark.value} if mark.end else {"value": mark.value}
        elif own and mark.value is not GOLD:
            said = {"words": said, "value": _own(words, mark)}
        args = entry.setdefault("args", {})
        args[mark.param] = said if mark.param not in args else [*_listed(args[mark.param]), said]
    for n, entry in enumerate(entries, start=1):
        for key in ("tool", *(("until",) if n > len(gold) else ())):
            if key not in entry:
                head = n if key == "tool" else f"!{n}"
                raise BadTask(f"call {n} has no mark {{{head}:words}} that says {'it' if key == 'tool' else 'until when'}")
    return entries


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _own(words: Sequence[str], mark: Mark) -> str:
    """A mark's own words as a value."""
    text = " ".join(words[mark.start: mark.end])
    return re.sub(r"^[^\w$]+|[^\w)]+$", "", text) or text


def _quote(words: Sequence[str], mark: Mark) -> str:
    """A mark's words as a quotation, with its number where they are said several times."""
    said = [plain(word) for word in words]
    wanted = said[mark.start: mark.end]
    places = [n for n in range(len(said) - len(wanted) + 1) if said[n: n + len(wanted)] == wanted]
    text = _own(words, mark)
    return f"{text}#{places.index(mark.start) + 1}" if len(places) > 1 else text


def _extras(text: str) -> dict[str, Any]:
    """The fields behind the calls."""
    found: dict[str, Any] = {}
    n = 0
    while text[n:].strip():
        name = _ARG.match(text, n)
        if name is None or name["param"] not in _FIELDS or name["param"] in found:
            raise BadTask(f"{text[n: n + 20].strip()!r} is no field, or is there twice; use {', '.join(_FIELDS)}, with ; between them")
        n = name.end()
        value: Any = True
        if bool(name["given"]) == (name["param"] == "hear_out"):
            raise BadTask(f"write {'hear_out without a value' if name['given'] else name['param'] + '=…'}")
        if name["param"] == "answer":
            value, n = _value(text, n, ";")
        elif name["given"]:
            stop = text.find(";", n) if ";" in text[n:] else len(text)
            value, n = text[n:stop].strip(), stop
        found[name["param"]] = [tag.strip() for tag in value.split(",")] if name["param"] == "tags" else value
        rest = text[n:].lstrip()
        if rest and rest[0] != ";":
            raise BadTask(f"{rest[:20]!r} after {name['param']}; write ; between fields")
        n = len(text) - len(rest) + 1
    return found


# -- to a line ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Placed:
    """Marks of the same words."""

    start: int
    end: int
    heads: list[str]


def render(row: Mapping[str, Any]) -> str:
    """The line of a row.

    Raises:
        BadTask: the row has a field that no line has.
    """
    if strange := set(row) - {"id", "request", "calls", "spans", "turns", *_FIELDS}:
        raise BadTask(f"{row['id']}: field {min(strange)!r} has no place in a line")
    words, gold = row["request"].split(), [dict(call["args"]) for call in row["calls"]]
    marks = _marks_of(words, row.get("spans", ()), len(gold))
    calls = []
    for n, (call, args) in enumerate(zip(row["calls"], gold), start=1):
        implied = _implied(n, marks, words)
        shown = [f"{param}={'/'.join(map(_written, values))}" for param, values in args.items() if [implied.get(param)] != values]
        calls.append(f"{call['name']}({', '.join(shown)})" if shown else call["name"])
    for entry in row.get("spans", ())[len(gold):]:
        follows = {param: given for param, given in entry.get("args", {}).items() if isinstance(given, Mapping) and "words" not in given}
        shown = [f"{param}={_written(given['value'])}" for param, given in follows.items()]
        calls.append(f"!{entry['name']}({', '.join(shown)})" if shown else f"!{entry['name']}")
    said = _marked(words, [mark for mark in marks if mark.end or mark.call <= len(gold)], len(gold))
    parts = [str(row["id"]), with_turns(said, row["turns"]) if row.get("turns") else " ".join(said), "; ".join(calls)]
    extras = [name if name == "hear_out" else f"{name}={_extra(name, row[name])}" for name in _FIELDS if row.get(name)]
    return " | ".join([*parts, *(["; ".join(extras)] if extras else [])])


def _extra(name: str, value: Any) -> str:
    if name == "tags":
        return ", ".join(_listed(value))
    return json.dumps(value, ensure_ascii=False) if name == "answer" else str(value)


def _marks_of(words: Sequence[str], spans: Sequence[Mapping[str, Any]], gold: int) -> list[Mark]:
    """The marks that a row's spans are, as `_marks` would read them."""
    marks = []
    for n, entry in enumerate(spans, start=1):
        marks.append(Mark(n, None, *find(words, entry["tool"])))
        if "until" in entry:
            marks.append(Mark(n, None, *find(words, entry["until"]), until=True))
        for param, given in entry.get("args", {}).items():
            for one in _listed(given):
                form = one if isinstance(one, Mapping) else {"words": one}
                bounds = find(words, form["words"]) if "words" in form else (0, 0)
                marks.append(Mark(n, param, *bounds, "value" in form, form.get("value")))
    return sorted(marks, key=lambda mark: (mark.end, mark.start))


def _implied(call: int, marks: Sequence[Mark], words: Sequence[str]) -> dict[str, Any]:
    """What the last mark of each argument says by itself."""
    last = {mark.param: mark for mark in marks if mark.call == call and mark.param is not None and mark.end}
    return {param: mark.value if mark.given else _own(words, mark) for param, mark in last.items()}


def _placed(words: Sequence[str], marks: Sequence[Mark], gold: int) -> tuple[list[_Placed], dict[int, str]]:
    """Marks by their words, outer ones first, and what follows from tools by the number of words before it."""
    last = {(mark.call, mark.param): mark for mark in marks if mark.end}
    tools = {mark.call: mark for mark in marks if mark.param is None and not mark.until}
    placed: dict[tuple[int, int], _Placed] = {}
    behind: dict[int, str] = {}
    for mark in marks:
        own = mark.call > gold or mark != last.get((mark.call, mark.param))
        if mark.param is None:
            head = _head(mark)
        elif not mark.end:  # it follows from the tool
            behind[tools[mark.call].end] = behind.get(tools[mark.call].end, "") + f"{{{_head(mark)}={_written(mark.value)}:}}"
            continue
        elif mark.given:
            head = _head(mark) if mark.value == _own(words, mark) and own else f"{_head(mark)}={_written(mark.value)}"
        else:
            head = f"{_head(mark)}=*" if own else _head(mark)
        placed.setdefault((mark.start, mark.end), _Placed(mark.start, mark.end, [])).heads.append(head)
    return sorted(placed.values(), key=lambda each: (each.start, -each.end)), behind


def _marked(words: Sequence[str], marks: Sequence[Mark], gold: int) -> list[str]:
    """The words of a request with their marks, braces inside the punctuation around words."""
    order, behind = _placed(words, marks, gold)
    said: list[str] = []
    open_: list[_Placed] = []
    for n, word in enumerate(words):
        left, right = (found[0] if re.search(r"\w", word) and found else "" for found in (
            re.match(r"^[^\w$]*", word), re.search(r"[^\w)]*$", word)))
        begun = [each for each in order if each.start == n]
        opens = "".join(f"{{{','.join(each.heads)}:" for each in begun)
        open_ += begun
        shuts = ""
        while over := [depth for depth, each in enumerate(reversed(open_)) if each.end == n + 1]:
            shuts += "}" + "^" * over[0]
            open_.pop(-1 - over[0])
        core = word[len(left): len(word) - len(right)]
        said.append(f"{_escaped(left)}{opens}{_escaped(core)}{shuts}{behind.get(n + 1, '')}{_escaped(right)}")
    return said


def _escaped(text: str) -> str:
    return re.sub(r"[{}|^\\]|>(?=>)", lambda found: f"\\{found[0]}", text)


def _head(mark: Mark) -> str:
    return f"!{mark.call}" if mark.until else str(mark.call) if mark.param is None else f"{mark.call}.{mark.param}"


def _written(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"\$\d+", value):
        return value
    return json.dumps(value, ensure_ascii=False).replace("|", "\\u007c")


def main(config: Config) -> None:
    """Writes the rows of a file as lines; what no line can say is named and left out."""
    path, out = path_of(config.requests), path_of(config.out)
    if not path.is_file() or path.suffix in SUFFIXES or out.suffix not in SUFFIXES:
        raise UserError(f"give requests=FILE.jsonl and out=FILE.txt; requests is {config.requests!r}, out is {config.out!r}")
    lines, left = [], 0
    for n, text in enumerate(lines_of(text_of(path)), start=1):
        try:
            lines.append(line := render(json.loads(text)))
            if render(parse(line)) != line:
                raise BadTask(f"is read back as another line than {line}")
        except (ValueError, KeyError, TypeError) as error:
            left += 1
            print(shown(f"line {n}: {error}"))
    if left and not lines:
        raise UserError(f"{config.requests} has no row that a line can say, of {left}; see above")
    content = "\n".join(lines) + "\n"
    write(out, f"{FENCE}\n{content}```\n" if out.suffix == ".md" else content)
    print(f"{len(lines)} lines, {left} left out: {out}")


if __name__ == "__main__":
    command(main)()
