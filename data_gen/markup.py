"""The markup: one line a request, with its calls and arguments marked where they are said. `docs/markup.md` has ten
examples.

    python -m data_gen.markup requests=FILE.jsonl out=FILE.txt      writes rows as lines

Owns the files: `rows` reads one, and the command writes one. The line is `data_gen.marking.reading` and
`data_gen.marking.writing`. Every mistake of form is one sentence; what marks mean is checked where every row is
(`data_gen.grounding.spans`). Does not know tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from configs.command import command
from configs.schema import Config
from data_gen.files import lines_of, text_of
from data_gen.marking.reading import parse
from data_gen.marking.writing import render
from data_gen.task import BadTask
from midsentence.ending import UserError
from midsentence.files import path_of, write
from midsentence.terminal import plain as shown

SUFFIXES = (".txt", ".md")
FENCE = "```requests"
"""Opens the lines that are requests in a Markdown file."""


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


def main(config: Config) -> None:
    """Writes the rows of a file as lines; what no line can say is named and left out."""
    path, out = path_of(config.requests), path_of(config.out)
    if not path.is_file() or path.suffix in SUFFIXES or out.suffix not in SUFFIXES:
        raise UserError(
            f"give requests=FILE.jsonl and out=FILE.txt; requests is {config.requests!r}, out is {config.out!r}"
        )
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
