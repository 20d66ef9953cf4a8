"""Grammar-constrained decoding of the protocol, aware of the state: what is written is legal before it is judged.

Owns the constraint of one generation: which tokens may come next, and which must. An action is cut into a *head* (the
thought, and what follows it up to the first line break) and its *lines*, and each gets a grammar of its own, made when
it begins from the calls as they then are: known tools with their parameters, IDs that may be issued, revised or
removed, results that may be named, and no line that would ask for what already stands. The core itself keeps count: it
is pure, so a shadow of the session is stepped along with each line. llguidance turns a grammar into masks. Does not
judge: that is the core's, which reads constrained and free text alike.

    grammar = ProtocolGrammar(renderer)         # one for any number of sessions and tools
    Episode(..., grammar=grammar)
"""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from midsentence.core import reducer
from midsentence.core.calls import Call, CallState
from midsentence.core.events import ModelOutput
from midsentence.core.lines import CallLine, parse_line
from midsentence.core.reducer import Phase, State
from midsentence.core.said import words_said
from midsentence.core.state import knows_the_end, nothing_moves, session_spent, turn_spent
from midsentence.grammar.rules import Amendable, Legal, LineRules, head_rules
from midsentence.grammar.said_text import spelled, unsaid
from midsentence.grammar.values import listed
from midsentence.rendering.renderer import Renderer
from midsentence.tools.tool import ToolSpec

_KEPT_GRAMMARS = 512
_Key = tuple[Any, ...]


class ProtocolGrammar:
    """Makes the constraint of each generation; compiled grammars are shared by all sessions."""

    def __init__(
        self,
        renderer: Renderer,
        *,
        max_thought_chars: int = 400,
        max_answer_chars: int = 2000,
        grounded: bool = False,
    ) -> None:
        """Reads the tokenizer (a second for a large vocabulary), so make one and keep it.

        Args:
            renderer: the one that the sessions run with; tags are tokens or text as it has them.
            max_thought_chars: the longest thought.
            max_answer_chars: the longest answer.
            grounded: whether texts in calls are made of words that the user said
                (`midsentence.grammar.said_text.text_of`); what a result holds is given by reference. For tools that
                take things as they were said.
        """
        self.renderer = renderer
        self.max_thought_chars, self.max_answer_chars = max_thought_chars, max_answer_chars
        self.grounded = grounded
        self.tokenizer = LLTokenizer(TokenizerWrapper(_Vocabulary(renderer)), n_vocab=renderer.vocabulary_size)
        self._kept: OrderedDict[_Key, LLMatcher] = OrderedDict()
        self._too_large: set[_Key] = set()

    def begin(self, state: State) -> ProtocolConstraint:
        """The constraint of a generation that starts in ``state``."""
        return ProtocolConstraint(self, state)

    def forget(self) -> None:
        """Lets go of the compiled grammars: copies share what a matcher that gave up has spoilt."""
        self._kept.clear()
        self._too_large.clear()

    def head(self, state: State) -> LLMatcher:
        """From the start of an action to its end, or to the first call line."""
        pause, answer = may_pause(state), knows_the_end(state) and not lacks(state) and not self._unsaid(state)
        calls = self._line(state, first=True) is not None
        key = ("head", pause, answer, calls)
        return self._matcher(
            key,
            lambda: head_rules(
                self.renderer.tag_ids,
                pause=pause,
                answer=answer,
                calls=calls,
                flat=self.renderer.turns == "flat",
                max_thought_chars=self.max_thought_chars,
                max_answer_chars=self.max_answer_chars,
            ),
        )

    def line(self, state: State) -> LLMatcher:
        """One line inside ``<tool_call>``, or its end."""
        first = state.span_lines == 0 and state.parser.lines == 0
        made = self._line(state, first)
        if made is None:
            raise ValueError(
                f"no call line is legal after {state.span_lines} lines; the head must not open <tool_call>"
            )
        if self.grounded and made[0] in self._too_large:
            made = self._line(state, first, False) or made
        try:
            return self._matcher(*made)
        except ValueError:  # a long request and many calls that may change: more spellings than llguidance takes
            if not self.grounded or (plain := self._line(state, first, False)) is None:
                raise
            self._too_large.add(made[0])
            return self._matcher(*plain)

    def _line(self, state: State, first: bool, grounded: bool = True) -> tuple[_Key, Any] | None:
        """Key and maker of a line's grammar, or None where no line at all is legal. Without ``grounded`` texts may be
        anything."""
        limit = state.settings.calls_per_action
        free = [id for id, call in sorted(state.graph.calls.items()) if may_change(state, call)]
        specs = tuple(state.tools.values()) if limit is None or state.span_lines < limit else ()
        if turn_spent(state) or session_spent(state):
            specs = tuple(spec for spec in specs if spec.access != "write")
        ids = (*free, state.graph.highest + 1) if specs else ()
        amends = state.settings.revise == "amend"
        # by the end of the action everything must be whole where that is a commit point
        whole_by_the_end = state.settings.commit == "action" and state.saw_final
        refs = {id: may_name(state, id) for id in ids}
        taken = {(id, spec.name): found for id in ids for spec in specs if (found := taken_args(state, id, spec))}
        amendable = tuple(
            Amendable(id, call.spec, call.args)
            for id in free
            if specs and amends and (call := state.graph[id]).spec in specs
        )
        unsaid = self._unsaid(state)
        commits = waiting(state, unsaid) if state.settings.commit == "line" and knows_the_end(state) else ()
        close = not first and not (whole_by_the_end and lacks(state))
        legal = Legal(ids, tuple(free), amendable, commits, bool(commits) and not lacks(state) and not unsaid, close)
        done = (call for call in state.graph.calls.values() if call.state is CallState.DONE)
        whole = frozenset(call.id for call in done if not isinstance(call.result, dict | list))
        said = words_said(state.transcript) or None if self.grounded and grounded else None
        key = (
            "line",
            said,
            legal.ids,
            legal.removable,
            legal.commits,
            legal.commits_all,
            legal.close,
            amends,
            whole_by_the_end,
            whole,
            tuple(refs.items()),
            tuple(map(_shape, specs)),
            tuple((where, tuple(map(repr, found))) for where, found in taken.items()),
            tuple((call.id, call.spec.name, repr(sorted(call.args.items()))) for call in amendable),
        )
        if key in self._kept:
            return key, None
        may_lack = amends and not whole_by_the_end
        text = LineRules(self.renderer.tag_ids, specs, refs, taken, whole=whole, open=may_lack, said=said).text(legal)
        return None if text is None else (key, lambda: text)

    def _unsaid(self, state: State) -> frozenset[int]:
        """Calls that may change and hold a text with a word that the user has not said, half of one or one that was
        taken back."""
        said = spelled(words_said(state.transcript)) if self.grounded else frozenset()
        return frozenset(
            id
            for id in state.graph.live | {id for id, call in state.graph.calls.items() if call.state is CallState.DONE}
            if said
            and may_change(state, call := state.graph[id])
            and any(unsaid(call.args.get(param.name), said) for param in call.spec.params if not listed(param.schema))
        )

    def _matcher(self, key: _Key, make: Any) -> LLMatcher:
        if key not in self._kept:
            matcher = LLMatcher(self.tokenizer, make(), log_level=0)
            if matcher.is_error():
                raise ValueError(f"llguidance refuses the grammar of {key[:4]}: {matcher.get_error()}")
            self._kept[key] = matcher
            if len(self._kept) > _KEPT_GRAMMARS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key].deep_copy()


class ProtocolConstraint:
    """One generation under way."""

    def __init__(self, grammar: ProtocolGrammar, state: State) -> None:
        self._grammar, self._state = grammar, state
        self._decoder = grammar.renderer.decoder()
        self._text = ""
        self._matcher = grammar.head(state)
        self._mask: np.ndarray | None = None
        self._free = False

    def allowed(self) -> np.ndarray | None:
        """(V,) bool: True where the token may come next; None where llguidance gave up, and anything may."""
        if self._mask is None and not self._free:
            size = self._grammar.tokenizer.vocab_size
            bits = allocate_token_bitmask(1, size)
            fill_next_token_bitmask(self._matcher, bits)
            self._mask = np.unpackbits(bits.view(np.uint8), bitorder="little")[:size].astype(bool)
            if self._matcher.is_error():  # a limit of its lexer; the core judges what is written, as it always does
                warnings.warn(
                    f"llguidance gave up, the action goes on unconstrained: {self._matcher.get_error()[:300]}",
                    stacklevel=2,
                )
                self._grammar.forget()
                self._free, self._mask = True, None
        return self._mask

    def push(self, token: int) -> None:
        """A token was written.

        Raises:
            ValueError: the grammar does not allow it here.
        """
        self._mask = None
        if self._free:
            return
        if not self._matcher.consume_token(token):
            raise ValueError(
                f"token {token} ({self._grammar.renderer.text([token])!r}) is not allowed after {self._text!r}"
            )
        self._text += self._decoder.push(token)
        if self._matcher.is_accepting():
            self._next()

    def forced(self) -> Sequence[int]:
        """Tokens that must come next, with no choice left, as the tokenizer would write them."""
        if self._free or self._state.phase is not Phase.GENERATING:
            return ()
        if tokens := self._matcher.compute_ff_tokens():
            return tuple(tokens)
        if (allowed := self.allowed()) is None:
            return ()
        only = np.flatnonzero(allowed)
        return (int(only[0]),) if len(only) == 1 else ()

    def _next(self) -> None:
        """The head or a line is complete: the core says what became of the calls."""
        written = ModelOutput(self._state.now_ns, self._state.generation, self._text, ())
        self._state, _ = reducer.step(self._state, written)
        self._text = ""
        if self._state.phase is Phase.GENERATING:
            self._matcher = self._grammar.line(self._state)


def may_pause(state: State) -> bool:
    """Whether anything will happen that a pause could wait for, and no call lacks anything where the pause commits."""
    commits = {"action": state.saw_final, "paper": state.final_heard, "line": False}[state.settings.commit]
    if commits and lacks(state):
        return False
    return not state.saw_final or not nothing_moves(state)


def lacks(state: State) -> bool:
    """Whether a call is open: it lacks an argument that it needs."""
    return any(state.graph[id].missing for id in state.graph.live)


def may_name(state: State, id: int) -> tuple[int, ...]:
    """IDs whose results a line under ``id`` may name: all that stand and are not made from it."""
    below = {id, *(state.graph.below(id) if id in state.graph else ())}
    return tuple(
        other
        for other, call in sorted(state.graph.calls.items())
        if call.state is not CallState.CANCELLED and other not in below
    )


def waiting(state: State, but: frozenset[int] = frozenset()) -> tuple[int, ...]:
    """IDs of the calls that a commit may name, and would let go: live, not let go before, and whole as is all that they
    need.

    Those of ``but`` count as not whole.
    """
    live = [state.graph[id] for id in sorted(state.graph.live)]
    lacking = {
        below for id in {*but, *(call.id for call in live if call.missing)} for below in (id, *state.graph.below(id))
    }
    held = (call for call in live if call.state is not CallState.RUNNING and not state.commits.covers(call))
    return tuple(call.id for call in held if call.id not in lacking)


def may_change(state: State, call: Call) -> bool:
    """Whether a call can be revised or removed, now and until the line is written out.

    A write that was let go may start while the line is being written, so it and what it depends on count as frozen.
    """
    if call.state is CallState.CANCELLED:
        return False
    around = (state.graph[id] for id in (call.id, *state.graph.below(call.id)))
    return not any(
        other.frozen or other.spec.access == "write" and other.id in state.graph.live and state.commits.covers(other)
        for other in around
    )


def taken_args(state: State, id: int, spec: ToolSpec) -> list[Mapping[str, Any]]:
    """Arguments that a line of this ID and tool can't have: the call as it stands, and equal effects."""
    found: dict[str, Mapping[str, Any]] = {}
    old = state.graph[id] if id in state.graph else None
    again = old is not None and (
        old.state is CallState.SKIPPED or old.state is CallState.FAILED and spec.access != "write"
    )
    if old is not None and old.spec.name == spec.name and not again:
        found[old.text] = old.args
    if spec.access == "write" and not spec.repeatable:
        for other in (state.graph[live] for live in sorted(state.graph.live)):
            if other.id != id and other.spec.name == spec.name:
                found[other.text] = other.args
        for text, by in state.graph.effects.items():
            if state.graph[by].spec.name == spec.name and text not in found:
                # effects are kept as text, in normal form, their references resolved
                written = parse_line(f"1. {text}")
                if isinstance(written, CallLine):
                    found[text] = written.keyword
    return [found[text] for text in sorted(found)]


def _shape(spec: ToolSpec) -> _Key:
    """What the grammar depends on."""
    params = ((param.name, param.required, json.dumps(dict(param.schema), sort_keys=True)) for param in spec.params)
    return spec.name, *params


class _Vocabulary:
    """The renderer's tokens as llguidance wants them. Every added token counts as special: text can't hold one."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        tokenizer = renderer.tokenizer
        self.eos_token_id, self.bos_token_id = tokenizer.eos_token_id, tokenizer.bos_token_id
        self.tokens = [renderer.token_bytes(index) for index in range(renderer.vocabulary_size)]
        self.special_token_ids = sorted(tokenizer.added_tokens_decoder)

    def __call__(self, text: bytes) -> list[int]:
        return list(self._renderer.action_ids(text.decode()))
