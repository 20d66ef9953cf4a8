"""Conversations as chat rows: ``python -m scripts.chat_rows COUNT FILE`` writes the first training conversations of
source ``dialogue``.

Owns nothing but the form: ``messages`` and ``tools`` as the OpenAI SDK and TRL write them, calls in rounds as a chat
model makes them (what is known together, then what takes their results), with the tools' answers. What reading such
rows loses can be measured with it, for the conversations themselves are known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_gen.expert.replies import question
from data_gen.gold import canonical, gold_args, references, rehearse
from data_gen.task import Task
from data_gen.tasks.assistant.dialogue import compose
from midsentence.core.values import as_text
from midsentence.ending import UserError, program
from midsentence.tools.tool import ToolSpec


def json_schema(spec: ToolSpec) -> dict[str, Any]:
    """The tool in the function-calling format of the OpenAI and Hugging Face chat interfaces."""
    properties = {
        p.name: dict(p.schema) | ({"description": p.description} if p.description else {}) for p in spec.params
    }
    required = [param.name for param in spec.params if param.required]
    return {
        "type": "function",
        "function": {
            "name": spec.name,
            "description": spec.description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


def row_of(task: Task) -> dict[str, Any]:
    """A conversation as a chat row."""
    tools = [json_schema(spec) | {"access": spec.access} for spec in task.tools]
    messages: list[dict[str, Any]] = [{"role": "system", "content": f"You are a helpful assistant. It is {task.now}."}]
    results = rehearse(task)
    said = asked = 0
    for turn in task.turns:
        messages.append({"role": "user", "content": " ".join(task.said()[said : turn.words])})
        messages += _rounds(task, range(asked + 1, turn.calls + 1), results)
        answer = turn.says or (question(turn.asks)[0] if turn.asks else turn.answer[0] if turn.answer else "Done.")
        messages.append({"role": "assistant", "content": answer})
        said, asked = turn.words, turn.calls
    return {"id": task.id, "messages": messages, "tools": tools}


def _rounds(task: Task, numbers: range, results: dict[int, Any]) -> Iterator[dict[str, Any]]:
    """The messages of a turn's calls: those that need nothing more, their results, and so on."""
    left = list(numbers)
    while left:
        ready = [k for k in left if not set(references(canonical(task.gold[k - 1]))) & set(left)]
        calls = [(k, task.gold[k - 1].name, gold_args(task.gold[k - 1], results)) for k in ready]
        yield {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": f"call_{k}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
                for k, name, args in calls
            ],
        }
        for k in ready:
            yield {"role": "tool", "tool_call_id": f"call_{k}", "content": as_text(results[k])}
        left = [k for k in left if k not in ready]


def main(arguments: list[str]) -> None:
    """Writes the rows."""
    if len(arguments) != 2 or not arguments[0].isdecimal():
        raise UserError(f"{' '.join(arguments) or 'nothing'} was given; give COUNT, a number, and FILE")
    count, path = int(arguments[0]), Path(arguments[1])
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            file.write(json.dumps(row_of(compose("train", n)), ensure_ascii=False) + "\n")
    print(f"{count} rows: {path}")


if __name__ == "__main__":
    program(main, __doc__)
