"""What the model's lines ask for: new calls, revisions, amendments, retries, removals, and what is wrong with them.

Owns the judgement of a line that parsed. Every refusal says what is wrong and what is allowed. Refuses to know when a
call runs.
"""

from __future__ import annotations

from midsentence.calls import Call, CallState, Input
from midsentence.events import Note
from midsentence.gate import NOT_TWICE, Gate
from midsentence.protocol import AmendLine, CallLine, Join, Ref, joined, refs, write_value
from midsentence.tools.tool import bind, mismatch, signature


class Orders(Gate):
    """The part of a step that concerns call lines."""

    def issue(self, line: CallLine) -> str | None:
        """A call line: a new call, a revision, a retry or a no-op. Gives what is wrong with it, if anything."""
        self.span_lines += 1
        if (limit := self.settings.calls_per_action) is not None and self.span_lines > limit:
            return f"at most {limit} call{'s' if limit > 1 else ''} in one action"
        spec = self.tools.get(line.name)
        if spec is None:
            return f"unknown tool {line.name!r}; there are: {', '.join(self.tools)}"
        try:
            args = bind(spec, line.positional, line.keyword, partial=self.settings.revise == "amend")
        except ValueError as error:
            return str(error)
        call = Call(line.id, spec, args)
        if (why := self.unfit(call)) is not None:
            return why
        if line.id in self.graph:
            return self.reissue(self.graph[line.id], call)
        if line.id != self.graph.highest + 1:
            return f"call ID {line.id} is out of order: the next new ID is {self.graph.highest + 1}"
        if (twin := self.repeated_write(call)) is not None:
            return f"call {line.id} repeats call {twin}: {NOT_TWICE}"
        self.graph = self.graph.put(call)
        if self.settings.commit == "paper" and self.final_heard:
            self.commit()
        return None

    def amend(self, line: AmendLine) -> str | None:
        """Sets one argument of a call that stands, or adds to a text: a revision of which only the difference is written."""
        self.span_lines += 1
        if (limit := self.settings.calls_per_action) is not None and self.span_lines > limit:
            return f"at most {limit} call{'s' if limit > 1 else ''} in one action"
        if line.id not in self.graph:
            return f"there is no call {line.id} to change; the next new ID is {self.graph.highest + 1}"
        old = self.graph[line.id]
        if line.name not in {param.name for param in old.spec.params}:
            return f"{old.spec.name} has no parameter {line.name!r}: {signature(old.spec)}"
        value = line.value
        if line.append and old.args.get(line.name) is not None:
            had = old.args[line.name]
            if not isinstance(had, str | Ref | Join):
                return f"+= adds to a text, but {line.name} of call {line.id} is {write_value(had)}: set it with ="
            value = joined((had, value))
        given = {**old.args, line.name: value}
        new = Call(old.id, old.spec, {param.name: given[param.name] for param in old.spec.params if param.name in given})
        return self.unfit(new) or self.reissue(old, new)

    def unfit(self, call: Call) -> str | None:
        """What is wrong with a call's arguments and with what it names, if anything."""
        for param in call.spec.params:
            value = call.args.get(param.name)
            if param.name in call.args and not any(refs(value)) and (why := mismatch(value, param.schema)):
                return f"{call.spec.name}: {param.name} {why}: {signature(call.spec)}"
        # a ring of calls would wait for itself: a call may name whatever is there and is not made from it
        below = {call.id, *self.graph.below(call.id)}
        for need in sorted(call.needs):
            if need in below or need not in self.graph or self.graph[need].state is CallState.CANCELLED:
                known = [id for id in sorted(self.graph.calls) if id not in below and self.graph[id].state is not CallState.CANCELLED]
                legal = ", ".join(f"${id}" for id in known[-8:])
                return f"call {call.id} names ${need}; it can name {legal or 'no call yet'}"
        return None

    def repeated_write(self, call: Call) -> int | None:
        if call.spec.access != "write" or call.missing or self.may_repeat(call.spec):
            return None
        text = call.text
        if text in self.graph.effects:
            return self.graph.effects[text]
        live = (self.graph[id] for id in sorted(self.graph.live) if id != call.id)
        return next((other.id for other in live if other.spec is call.spec and other.text == text), None)

    def reissue(self, old: Call, new: Call) -> str | None:
        if old.state is CallState.CANCELLED:
            return f"call {old.id} was removed; the next new ID is {self.graph.highest + 1}"
        if old.text == new.text:
            if old.state is CallState.SKIPPED or old.state is CallState.FAILED and old.spec.access != "write":
                if (twin := self.repeated_write(new)) is not None:
                    return f"call {new.id} repeats call {twin}: {NOT_TWICE}"
                self.say(Note("retry", old.id))
                self.rewind(old, new)
            else:
                self.say(Note("identical_reissue", old.id))
            return None
        if (effect := self.graph.effect_below(old.id)) is not None:
            return f"call {effect} already took effect: call {old.id} can't be revised"
        if (twin := self.repeated_write(new)) is not None:
            return f"call {new.id} repeats call {twin}: {NOT_TWICE}"
        self.say(Note("revise", old.id))
        below = self.graph.below(old.id)
        voided = self.rewind(old, new, cascade=self.settings.revise_cascade == "rerun")
        if self.settings.revise_cascade == "cancel":
            voided += self.cancel_all(below)
        self.tell_void(voided)
        return None

    def remove(self, id: int) -> str | None:
        if id not in self.graph:
            return f"there is no call {id} to remove"
        call = self.graph[id]
        if call.state is CallState.CANCELLED:
            self.say(Note("identical_reissue", id))
            return None
        if (effect := self.graph.effect_below(id)) is not None:
            return f"call {effect} already took effect: call {id} can't be removed"
        self.say(Note("remove", id))
        below = self.graph.below(id)
        voided = [id] if self.void(call) else []
        self.move(call, Input.REMOVE)
        self.tell_void(voided + self.cancel_all(below))
        return None

    def cancel_all(self, ids: tuple[int, ...]) -> list[int]:
        """Cancels calls; gives all of them, so that the model learns which IDs are dead."""
        for id in ids:
            self.void(self.graph[id])
            self.move(self.graph[id], Input.REMOVE)
        return list(ids)
