"""A model that makes every mistake there is for a while, and then lets the expert go on from what it left behind.

It never lets a wrong write take effect, for nobody could take that back: once the end of speech is in the context, an
action of its that finds a write alive ends with an error, and so is no commit point.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from data_gen.gold import issued
from data_gen.task import Task
from midsentence.core.calls import CallState
from midsentence.core.lines import write_call
from midsentence.core.reducer import State
from midsentence.core.values import Ref
from midsentence.models.planned import Planner
from midsentence.tools.tool import ToolSpec

MUSING = "well let me think about what this could possibly mean and whether there is anything at all that I should do about it now"
NONSENSE = (
    "fly_to_the_moon()",
    "99. fly_to_the_moon(1)",
    "77. {tool}()",
    "{next}. {tool}(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)",
    "{next}. {tool}(nobody=1)",
    "{next}. {tool}(",
    "REMOVE 41",
    "{next}. {tool}($40)",
    "<answer>Done.</answer>",
)


@dataclass
class Erratic:
    """Plays the model: at random for some actions, then as the expert."""

    task: Task
    expert: Planner
    draw: random.Random
    actions: int
    handed_over: int = 0
    """The generation from which on the expert plays; 0 while it does not."""
    written: list[str] = field(default_factory=list)

    def plan(self, state: State) -> str:
        if not self.actions or state.errors_in_row >= 2:
            self.handed_over = self.handed_over or state.generation
        if self.handed_over:
            return self.expert.plan(state)
        self.actions -= 1
        self.written.append(self.mistake(state))
        return self.written[-1]

    def mistake(self, state: State) -> str:
        """Some action: valid or not, long enough to be cut or not."""
        draw = self.draw
        thought = f"<think>{MUSING}</think>" if draw.random() < 0.4 else ""
        if not state.final_in_context and draw.random() < 0.2:
            return thought + draw.choice(("<pause>", "<answer>Done.</answer>", "what?", "<tool_call>\n</tool_call>"))
        lines, next_id = [], state.graph.highest + 1
        limit = state.settings.calls_per_action
        for _ in range(draw.randint(1, 4 if limit is None else limit)):
            line, new = self.line(state, next_id)
            lines.append(line)
            next_id += new
        writes = any(call.spec.access == "write" for call in state.graph.calls.values()) or any(
            f". {spec.name}(" in line for spec in self.task.tools if spec.access == "write" for line in lines
        )
        if draw.random() < 0.25 or state.final_in_context and writes:
            tool = draw.choice(self.task.tools).name
            lines.append(draw.choice(NONSENSE).format(next=next_id, tool=tool))
        return thought + "\n".join(["<tool_call>", *lines, "</tool_call>"])

    def line(self, state: State, next_id: int) -> tuple[str, bool]:
        """A line that may be legal, and whether it takes a new ID."""
        draw, there = self.draw, [call for _, call in sorted(state.graph.calls.items())]
        kind = draw.choice(("new", "new", "new", "revise", "again", "twice", "remove")) if there else "new"
        if kind == "remove":
            return f"REMOVE {draw.choice(there).id}", False
        if kind in ("again", "twice"):
            call = draw.choice(there)
            return write_call(
                call.id if kind == "again" else next_id, call.spec.name, (), dict(call.args)
            ), kind == "twice"
        if kind == "revise":
            call = draw.choice(there)
            return self.call(call.id, call.spec if draw.random() < 0.8 else draw.choice(self.task.tools), state), False
        wanted = [self.task.specs[gold.name] for gold in self.task.gold]
        return self.call(
            next_id, draw.choice(wanted if wanted and draw.random() < 0.7 else self.task.tools), state
        ), True

    def call(self, id: int, spec: ToolSpec, state: State) -> str:
        """A call with some arguments: gold's own, others of the right type, or references to whatever there is."""
        draw = self.draw
        standing = [
            call.id for call in state.graph.calls.values() if call.id < id and call.state is not CallState.CANCELLED
        ]
        gold = [call for call in self.task.gold if call.name == spec.name]
        like = draw.choice(gold) if gold and draw.random() < 0.7 else None
        args = {}
        for param in spec.params:
            if like is not None and param.name in like.args and draw.random() < 0.8:
                value = draw.choice(like.args[param.name].accepted)
                ids = {k: draw.choice(standing) for k in range(1, len(self.task.gold) + 1)} if standing else {}
                if value != "" or param.required:
                    args[param.name] = issued(value, ids)
            elif param.required or draw.random() < 0.2:
                args[param.name] = self.value(param.schema, standing)
        return write_call(id, spec.name, (), args)

    def value(self, schema: dict, standing: Sequence[int]):
        """A value of the type, mostly."""
        draw = self.draw
        if "enum" in schema and draw.random() < 0.8:
            return draw.choice(schema["enum"])
        if standing and draw.random() < 0.3:
            return Ref(draw.choice(standing))
        kinds = schema.get("type", "string")
        match kinds if isinstance(kinds, str) else draw.choice(kinds):
            case "integer" | "number":
                return draw.randint(0, 60)
            case "boolean":
                return draw.random() < 0.5
            case "array":
                return [self.value(schema.get("items", {}), standing) for _ in range(draw.randint(1, 2))]
            case "object":
                return {name: self.value(part, ()) for name, part in schema.get("properties", {}).items()}
            case "null":
                return None
        return draw.choice(self.task.words).text
