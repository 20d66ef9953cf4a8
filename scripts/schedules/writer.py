"""What a hostile model writes, and the tools it writes for: a small grammar of actions, lines and spellings."""

from __future__ import annotations

import base64
import random
from typing import Any

from midsentence.core.modes import Settings
from midsentence.tools.tool import Param, ToolSpec

USER_WORDS = ("text", "Bob", "that", "ten", "pay", "100", "café", "no", "wait")
NEVER_SAID = ("zebra", "4471", "omega")
"""What only tools say: an early egress must not carry it."""
SPELLINGS: tuple[tuple[str, ...], ...] = (
    ("100", "1e2", "100.0", "1.0e2"),
    ('"caf\u00e9"', '"cafe\u0301"', '"caf\\u00e9"'),
    ('"Bob"', '["Bob"]', '["\\u0042ob"]'),
    ("7", "7.0"),
)
"""Literals of one meaning each; the third for a parameter that takes a list."""


def _param(name: str, schema: dict[str, Any], required: bool = True, default: Any = None) -> Param:
    return Param(name, schema, required, default=default)


_MANY = {"type": ["array", "string"], "items": {"type": "string"}}
_TIMES = {"type": ["integer", "number", "null"], "default": 1}
_MAYBE = {"type": ["string", "null"]}
TOOLS: dict[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec(
            "look", (_param("what", {"type": "string"}), _param("where", {}, False)), "read", reads=frozenset({"book"})
        ),
        ToolSpec("ask", (_param("who", {}), _param("more", {}, False)), "egress"),
        ToolSpec("mail", (_param("to", _MANY), _param("text", {}, False), _param("note", _MAYBE, False)), "write"),
        ToolSpec("pay", (_param("sum", {}), _param("times", _TIMES, False, 1), _param("note", _MAYBE, False)), "write"),
        ToolSpec("wire", (_param("sum", {}),), "write", confirm=True),
        ToolSpec("file", (_param("what", {}),), "write", reads=frozenset({"book"}), writes=frozenset({"book"})),
    )
}


NO_ACTIONS = (
    "hello",
    "<think>I <answer>",
    "<tool_call></tool_call>",
    "<tool_call>\nrun(1)\n",
    "</answer>",
    "<tool_call>\n1",
)


class Writer:
    """A model that knows the grammar and little else."""

    def __init__(self, draw: random.Random, settings: Settings) -> None:
        self.draw, self.settings = draw, settings
        self.tools: dict[int, str] = {}  # the tool that each ID was last written with
        self.open: dict[int, str] = {}  # IDs written with an argument missing, and which
        self.written: list[tuple[str, list[str]]] = []  # tool and literals of writes before, to be spelled again

    def action(self, next_id: int, may_answer: bool) -> str:
        """The text of one whole action."""
        draw = self.draw
        thought = draw.choice(("", "", "<think>to: Bob</think>", "<think></think>"))
        roll = draw.random()
        if roll < 0.12:
            return thought + "<pause>"
        if roll < (0.3 if may_answer else 0.14):
            return thought + "<answer>done</answer>"
        if roll < 0.34:
            return draw.choice((*NO_ACTIONS, thought))
        lines = []
        for _ in range(draw.choice((1, 1, 2, 3, 4))):
            line, next_id = self.line(next_id)
            lines.append(line)
        # the tag stands on a line of its own: whose the error is that answers a line and an end stays plain
        return thought + "<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"

    def line(self, next_id: int) -> tuple[str, int]:
        """One call line, and the next new ID after it."""
        draw, known = self.draw, next_id - 1
        roll = draw.random()
        if roll < 0.07 and known:
            return f"REMOVE {draw.randint(1, known)}", next_id
        if roll < 0.11:
            bad = (
                '{}. nosuch("a")',
                "{}. look()",
                "9{}. ask(1)",
                "{}. look(1)",
                "1. ask($99)",
                "??",
                "REMOVE 99",
                "{0}. look($1, ${0})",
            )
            return draw.choice(bad).format(next_id), next_id
        if roll < (0.25 if self.settings.commit == "line" else 0.12):
            return self._commit(known), next_id
        if roll < 0.37 and known:
            return self._amendment(known), next_id
        id = draw.randint(1, known) if roll < 0.5 and known else next_id
        if roll > 0.85 and self.written:
            name, values = draw.choice(self.written)
            values = [self._again(value) for value in values]
        else:
            name = draw.choice(
                ("look", "look", "look", "ask", "ask", "mail", "mail", "pay", "pay", "file", "file", "wire")
            )
            values = self._values(name, id)
        self.tools[id] = name
        self.open.pop(id, None)
        if self.settings.revise == "amend" and draw.random() < 0.15:
            self.open[id] = TOOLS[name].params[0].name
            rest = [f"{param.name}={value}" for param, value in zip(TOOLS[name].params[1:], values[1:])]
            return f"{id}. {name}({', '.join(rest)})", next_id + (id == next_id)
        if name in ("mail", "pay", "file", "wire") and not any("$" in value for value in values):
            self.written.append((name, values))
        return f"{id}. {name}({', '.join(self._padded(name, values))})", next_id + (id == next_id)

    def _commit(self, known: int) -> str:
        draw = self.draw
        ids = draw.choices(range(1, known + 2), k=draw.choice((1, 1, 2))) if known and draw.random() < 0.6 else []
        return f"COMMIT {', '.join(map(str, ids))}".rstrip()

    def _amendment(self, known: int) -> str:
        draw = self.draw
        if self.open and draw.random() < 0.7:
            id = draw.choice(list(self.open))
            name = self.open.pop(id)
            return f"{id}. {name} = {self._values(self.tools[id], id)[0]}"
        id = draw.randint(1, known)
        params = TOOLS[self.tools.get(id, "look")].params
        if draw.random() < 0.4:
            return f"{id}. {draw.choice(params).name} += {draw.choice((chr(34) + ' Bob' + chr(34), self._text(), '$1', chr(34) * 2))}"
        n = draw.randrange(len(params)) if draw.random() < 0.9 else 0
        value = self._values(self.tools.get(id, "look"), id)[-1]
        return f"{id}. {params[n].name if draw.random() < 0.95 else 'nosuch'} = {value}"

    def _values(self, name: str, id: int) -> list[str]:
        draw = self.draw
        operand = f"${draw.randint(max(1, id - 4), id - 1)}" if id > 1 and draw.random() < 0.45 else None
        if self.tools and id < max(self.tools) and draw.random() < 0.3:
            operand = f"${draw.randint(id, max(self.tools))}"  # a later call, or a ring
        if operand and draw.random() < 0.1:
            operand += draw.choice((".email", ".id", "[0]", "[0].id", ".nosuch"))
        if operand and draw.random() < 0.2:
            operand = f'"to " + {operand}'
        match name:
            case "look":
                return [self._text(), *([operand] if operand else [])]
            case "ask":
                return [operand or self._leak() if draw.random() < 0.4 else self._text()]
            case "mail":
                return [draw.choice(SPELLINGS[2]), *([operand] if operand else [])]
            case "pay" | "wire":
                return [operand or draw.choice(SPELLINGS[0] + SPELLINGS[3])]
        return [operand or draw.choice((self._text(), *SPELLINGS[1]))]

    def _text(self) -> str:
        return self.draw.choice(('"Bob"', '"ten"', '"text Bob"', '"café"', '"BOB"'))

    def _leak(self) -> str:
        word = self.draw.choice(NEVER_SAID)
        coded = base64.b64encode(word.encode()).decode()
        texts = (word, word[:3], word.upper(), coded, f"Bob {word}")
        return self.draw.choice((*(f'"{text}"' for text in texts), f'["{word[:2]}", "{word[2:]}"]', "4471"))

    def _again(self, value: str) -> str:
        return self.draw.choice(next((row for row in SPELLINGS if value in row), (value,)))

    def _padded(self, name: str, values: list[str]) -> list[str]:
        # what may be left out, said in so many ways
        if name == "pay" and self.draw.random() < 0.4:
            return values + self.draw.choice((["1"], ["1.0"], ["null"], ["note=null"], ["times=1"], ["1", "null"]))
        if name == "mail" and self.draw.random() < 0.25:
            return values + self.draw.choice((["note=null"], ["null", "null"] if len(values) == 1 else ["null"]))
        return values
