"""What of the wanted calls may be written yet: those that are whole, and those that are written down before they are.

Owns patience: which reads wait until their clause is closed, and which calls are held until the commit anyway. Does not
know which calls there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from data_gen.gold import references
from data_gen.grounding.reading import Wanted, spec_requires
from midsentence.core.reducer import State

Patience = Literal["none", "costly", "all"]
"""Which reads wait until their clause is closed, see `_unclosed`."""


def amends(state: State) -> bool:
    """Whether single arguments may be written: what stands is told apart from what is new by the line, not by the
    call."""
    return state.settings.revise == "amend" and state.settings.calls_per_action is None


def whole_and_drafted(
    wanted: Sequence[Wanted], state: State, final: bool, patience: Patience
) -> tuple[list[Wanted], list[Wanted]]:
    """The calls that are wanted as they are, and those that are not whole but written down all the same.

    See `is_drafted`; what takes the result of a draft is one too.
    """
    undecided = set() if final else _unclosed(wanted, state, patience)
    drafts = amends(state) and not final
    drafted = [want for want in wanted if drafts and is_drafted(want, wanted, state)]
    undecided |= {want.gold for want in drafted}
    # a line can name only what has an ID
    drafted.sort(key=lambda want: want.gold not in operands(wanted))
    whole = []
    for want in wanted:
        if want.complete and want.gold not in undecided:
            if undecided & {k for value in want.args.values() for k in references(value)}:
                undecided.add(want.gold)
                drafted += [want] if drafts and is_held(want, state) else []
            else:
                whole.append(want)
    return whole, drafted


def is_drafted(want: Wanted, wanted: Sequence[Wanted], state: State) -> bool:
    """Whether what is not whole is written down all the same: it is held anyway, or can't run before a required
    argument is given."""
    if want.complete and not want.drafts:
        return False
    if is_held(want, state):
        return bool(want.args or want.drafts or want.pending)
    waits = any(spec_requires(want.spec, name) for name in want.missing)
    return waits and bool(want.args or want.gold in operands(wanted))


def operands(wanted: Sequence[Wanted]) -> set[int]:
    """The calls that are not whole and whose results others take."""
    return {k for want in wanted for value in want.pending.values() for k in references(value)}


def drafted_args(want: Wanted, state: State) -> dict[str, Any]:
    """What a draft says: all that is known, but of what would run at once nothing that is still being said."""
    return {**want.args, **want.pending, **(want.drafts if is_held(want, state) else {})}


def _unclosed(wanted: Sequence[Wanted], state: State, patience: Patience) -> set[int]:
    """The reads that would run at once and of which more may be said: there is an argument that has not been, and
    nothing that was heard since asks for another call. To start one now would be to pay for "the weather", for that "in
    Berlin", and for "today".
    """
    found: set[int] = set()
    for n, want in enumerate(wanted):
        waits = patience == "all" or patience == "costly" and want.spec.costly
        if waits and not is_held(want, state) and any(param.name not in want.args for param in want.spec.params):
            # what takes its result became clear with it, from words that may be older
            users = {want.gold}
            for later in wanted[n + 1 :]:
                if users & {k for value in later.args.values() for k in references(value)}:
                    users.add(later.gold)
            if all(later.gold in users for later in wanted[n + 1 :]):
                found.add(want.gold)
    return found


def is_held(want: Wanted, state: State) -> bool:
    """Whether a call waits for the commit whatever it says, so that it costs nothing to write it before it is whole."""
    free = want.spec.access == "read" or want.spec.name in state.settings.allowed_egress
    return not (free and state.settings.speculates)


def harmless(wanted: Sequence[Wanted], state: State) -> list[Wanted]:
    """Of what is wanted where speech is said to end and words break off ("blue at twenty percent, and"), what may run
    all the same."""
    held: set[int] = set()
    for want in wanted:
        if is_held(want, state) or held & {k for value in want.args.values() for k in references(value)}:
            held.add(want.gold)
    return [want for want in wanted if want.gold not in held]
