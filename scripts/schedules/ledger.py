"""What the judge remembers of each call that the model wrote: lines, starts, answers, and what the context was
shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from midsentence.core.values import Join, Ref, as_text
from midsentence.tools.tool import ToolSpec

Status = Literal["waiting", "running", "done", "failed", "unknown"]


@dataclass(slots=True)
class Told:
    """One call. Moments are numbers of steps; 0 is never."""

    id: int
    spec: ToolSpec
    args: Mapping[str, Any]
    line_at: int
    """When its last line that says something new was written."""
    context_at_line: bool
    """Whether a result or an error was in the context then."""
    needs: frozenset[int] = frozenset()
    commit_at: int = 0
    """When the last commit was that covers it; whether that still lets it go is a question of what came after."""
    near: tuple[str, int] = ("", 0)
    """The last thing that looks like a commit of it and is none: the rule that was broken if it went for its sake, and
    when."""
    again_at: int = 0
    """When a line last made another call of it."""
    changed_at: float = 0
    """When it last became another thing to those who use it: a line, another run, an answer after it was given up."""
    trouble_at: int = 0
    """When it failed, was lost, or was skipped for what it needs."""
    status: Status = "waiting"
    removed: bool = False
    perhaps_gone: bool = False
    """A cascade that cancels may have removed it: no rule waits for it."""
    skipped_at_line: bool = False
    """Whether something that it needs had failed or was lost when its last line was written: it was skipped then, and no
    rule waits for it, though what it needs may have answered late since."""
    version: int = 0
    """The version that was started last."""
    before: int = 0
    """Versions of its number that were another call's, of an attempt that has left the context: known when it is first
    shown."""
    value: Any = None
    valid: bool = False
    """Whether the last start is of the call as it stands."""
    started_at: int = 0
    must_stop: bool = False
    """Whether it runs for nothing, and nobody has said stop."""
    shown: bool = False
    """Whether the context holds its result, with no ``<cancel>`` after it."""
    error_shown: bool = False
    must_cancel: bool = False
    """Whether the context holds a result of it that is void, and no ``<cancel>`` has said so."""

    @property
    def missing(self) -> list[str]:
        """The required parameters that it lacks: with any it is open."""
        return [param.name for param in self.spec.params if param.required and param.name not in self.args]

    @property
    def frozen(self) -> bool:
        """Whether it is an effect that has begun, or may have."""
        return self.spec.access == "write" and self.status in ("running", "done", "unknown")

    @property
    def settled(self) -> bool:
        """Whether it is a write that only a line of its own makes another: it has begun, or has said no."""
        return self.frozen or self.spec.access == "write" and self.status == "failed"


class Ledger(dict[int, Told]):
    """The calls by ID."""

    def __init__(self) -> None:
        super().__init__()
        self._namers: dict[int, set[int]] = {}  # all that have ever named a call

    def name(self, call: Told, needs: frozenset[int]) -> None:
        """The call is computed from these now."""
        call.needs = needs
        for need in needs:
            self._namers.setdefault(need, set()).add(call.id)

    def forget(self, ids: Iterable[int]) -> None:
        """These calls have never been: their numbers are free."""
        gone = set(ids)
        for id in gone & self.keys():
            del self[id]
        for namers in self._namers.values():
            namers -= gone

    def chain(self, call: Told) -> list[Told]:
        """The call and all that it is computed from."""
        found, front = {call.id: call}, [call]
        while front:
            for need in front.pop().needs:
                if need in self and need not in found:
                    found[need] = self[need]
                    front.append(self[need])
        return list(found.values())

    def below(self, call: Told) -> list[Told]:
        """All that is computed from the call, itself left out."""
        if call.id not in self._namers:
            return []
        found, front = {call.id}, [call.id]
        while front:
            id = front.pop()
            for namer in self._namers.get(id, ()):
                if namer not in found and id in self[namer].needs and not self[namer].removed:
                    found.add(namer)
                    front.append(namer)
        return [self[id] for id in sorted(found - {call.id})]

    def open(self, calls: Iterable[Told]) -> list[Told]:
        """Those of the calls that wait for a required argument, and for nothing else that has gone wrong."""
        return [
            one
            for one in calls
            if one.missing and one.status == "waiting" and not (one.perhaps_gone or self.is_skipped(one))
        ]

    def precedes(self, one: Told, other: Told) -> bool:
        """Whether a call surely goes before another: by ID, itself and all that it is computed from."""
        return one.id < other.id and all(need.id < other.id for need in self.chain(one))

    def is_skipped(self, call: Told) -> bool:
        """Whether something that it needs has failed, is lost or is gone."""
        return any(
            one.removed
            or one.perhaps_gone
            or one.status in ("failed", "unknown")
            or one.status == "waiting"
            and one.error_shown
            for one in self.chain(call)[1:]
        )

    def standing(self) -> Iterator[Told]:
        """The calls that have not been removed."""
        return (call for call in self.values() if not call.removed)


class NoPart(LookupError):
    """A result lacks a part that is named; holds what is there instead."""


def lacks_part(call: Told, ledger: Ledger) -> bool:
    """Whether the call names a part of a result that the result has not."""
    try:
        resolved(dict(call.args), ledger)
    except NoPart:
        return True
    except LookupError:
        return False
    return False


def resolved(value: Any, ledger: Ledger) -> Any:
    """A value with the current results in place of its references.

    Raises:
        NoPart: a result does not have the part that is named.
        LookupError: a result is not there.
    """
    match value:
        case Ref(call, path):
            if call not in ledger or ledger[call].status != "done" or not ledger[call].valid or ledger[call].removed:
                raise LookupError(call)
            found = ledger[call].value
            for step in path:
                if not isinstance(found, dict if isinstance(step, str) else list):
                    raise NoPart(found)
                try:
                    found = found[step]
                except LookupError:
                    raise NoPart(found) from None
            return found
        case Join(parts):
            return "".join(as_text(resolved(part, ledger)) for part in parts)
        case list():
            return [resolved(item, ledger) for item in value]
        case dict():
            return {name: resolved(item, ledger) for name, item in value.items()}
    return value
