"""What holds under any order of events: the core never raises, forgets nothing, and lets no effect out early."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from midsentence.clock import ns
from midsentence.core import reducer
from midsentence.core.calls import TERMINAL, CallState
from midsentence.core.events import (
    Append,
    Appended,
    Close,
    Crowded,
    Emit,
    EndPredicted,
    Event,
    Generate,
    ModelEnded,
    ModelOutput,
    Note,
    Silence,
    StartTool,
    Stop,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
    from_json,
    to_json,
)
from midsentence.core.modes import MODES
from midsentence.core.modes import settings as settings_of
from midsentence.core.reducer import Phase
from midsentence.shells.log import replay
from midsentence.testing import TOOLS

SPECS = {spec.name: spec for spec in TOOLS}
IDS, VERSIONS = st.integers(0, 5), st.integers(0, 3)
RESULTS = st.sampled_from(
    ["ok", "Bob", "", None, 4711, {"n": [1]}, ["a", {"b": None}], {1, 2}, {1: 2, "a": 3}, float("nan"), "\ud800"]
)
ARGUMENTS = st.sampled_from(['"a"', '"Bob"', "$1", "$2", "[$1]", '"x" + $2', "4711", "null", '{"k": $1}'])
LINES = st.one_of(
    st.builds("{}. {}({})".format, st.integers(0, 4), st.sampled_from([*SPECS, "nosuch"]), ARGUMENTS),
    st.builds("REMOVE {}".format, st.integers(0, 4)),
    st.sampled_from(["", "1. send($0)", "1. look(", "1. note(what=$1)", '2. send("a", $1)', "1. look()", "2. note()"]),
    st.builds(
        "{}. {} {} {}".format,
        st.integers(0, 4),
        st.sampled_from(["what", "to", "text", "who"]),
        st.sampled_from(["=", "+="]),
        ARGUMENTS,
    ),
    st.sampled_from(["COMMIT", "COMMIT 1", "COMMIT 2, 3"]),
)
CALLS = st.lists(LINES, min_size=1, max_size=3).map(lambda lines: "<tool_call>\n" + "\n".join(lines) + "\n</tool_call>")
ACTIONS = CALLS | st.sampled_from(
    ["<pause>", "<answer>done</answer>", "<think>to: Bob</think><pause>", "<tool_call></tool_call>"]
)
GARBAGE = st.sampled_from(
    ["<think>", "a", "</think>", "<tool_result>", "\n", '"', "<answer>", "", "<tool_call>1. look(", "\ud800"]
)


class Session(RuleBasedStateMachine):
    """Any event at any time; likely ones more often."""

    @initialize(
        mode=st.sampled_from(sorted(MODES)),
        interrupt=st.sampled_from(["token", "line", "action"]),
        grace=st.sampled_from([0, ns(1)]),
        commit=st.sampled_from(["line", "action", "paper"]),
        on=st.sampled_from(["final", "silence"]),
        revise=st.sampled_from(["amend", "reissue"]),
        cascade=st.sampled_from(["rerun", "cancel"]),
        errors=st.sampled_from([1, 9]),
        egress=st.sampled_from([frozenset(), frozenset({"ask"})]),
        budget=st.sampled_from([20, 5000]),
        eager=st.booleans(),
        limit=st.sampled_from([16, 40, 8192]),
    )
    def begin(self, mode, interrupt, grace, commit, on, revise, cascade, errors, egress, budget, eager, limit) -> None:
        self.settings = settings_of(
            mode,
            interrupt=interrupt,
            commit=commit,
            commit_on=on,
            revise=revise,
            commit_grace_ns=grace,
            revise_cascade=cascade,
            max_errors_in_row=errors,
            allowed_egress=egress,
            max_generated_tokens=budget,
            eager=MODES[mode].eager or MODES[mode].listens and eager,
            max_context_tokens=limit,
        )
        self.state = reducer.start(self.settings, SPECS)
        self.log: list[Event] = []
        self.now_ns = 0
        self.informed = False
        """Whether the generation under way began with a final update as the last thing heard."""
        self.changed: dict[tuple[int, int], int] = {}
        """Place in the log at which a call got its version: revised, tried again, or read again."""
        self.spoke, self.committed = 0, -1
        """Place in the log of the last update, and of the last commit point by DESIGN's rule."""

    def happen(self, event: Event) -> None:
        before, seen = self.state, repr(self.state)
        self.state, commands = reducer.step(before, event)
        again, same = reducer.step(before, event)
        assert repr(before) == seen, "a step changed the state that it was given"
        assert (repr(again), repr(same)) == (repr(self.state), repr(commands)), "the same step gave something else"
        # an attempt on a predicted end leaves the transcript, if speech goes on; nothing else ever does
        thrown = isinstance(event, UserUpdate) and before.predicted and before.before is not None
        kept = list(before.before.transcript if thrown else before.transcript)
        assert list(self.state.transcript)[: len(kept)] == kept
        self.log.append(event)
        self.judge(event, commands, before)

    def judge(self, event: Event, commands: tuple[Any, ...], before: reducer.State) -> None:
        notes = {command.what for command in commands if isinstance(command, Note)}
        if isinstance(event, UserUpdate) and (
            event.text or event.retracts or not before.answered and not before.final_heard
        ):
            self.spoke = len(self.log)
        wrote = isinstance(event, ModelOutput) and any(isinstance(command, Stop) for command in commands)
        if self.settings.commit != "action" or self.settings.commit_on != "final":
            self.committed = len(self.log) if self.state.commits.given > before.commits.given else self.committed
        elif (
            wrote and self.informed and not notes & {"cut", "invalid_action"} and self.state.phase is not Phase.FINISHED
        ):
            self.committed = len(self.log)
        for id, call in self.state.graph.calls.items():
            self.changed.setdefault((id, call.version), len(self.log))
        for command in commands:
            match command:
                case Append(segments):
                    for segment in segments:
                        if segment.kind == "tool_result":
                            label = segment.text.split(":")[0]
                            call = self.state.graph[int(label.split("v")[0])]
                            assert (reducer.label(call), call.state) == (label, CallState.DONE), (
                                "a stale result was shown"
                            )
                case Generate():
                    heard = [s.kind for s in self.state.transcript if s.kind.endswith("query_update")]
                    waiting = [p for p in self.state.inbox if p.segment.kind.endswith("query_update")]
                    self.informed = bool(heard) and heard[-1] == "final_query_update" and not waiting
                case StartTool(id, version, name) if SPECS[name].access == "write" and self.settings.commit != "paper":
                    assert self.committed > self.spoke, "an effect before its commit point"
                    assert not self.state.predicted, "an effect on a predicted end of speech"
                    assert self.committed >= self.changed.get((id, version), 0), (
                        "an effect of a version that nobody committed"
                    )
                case StartTool(name="ask") if not self.settings.allowed_egress and self.settings.commit == "action":
                    assert self.committed > self.spoke, "an egress before its commit point"
                case Emit():
                    assert not before.graph.live or not self.state.graph.live
                    assert not self.state.graph.live, "an answer went out while calls were live"
                    assert not self.state.predicted, "an answer went out on a predicted end of speech"

    @rule(
        text=st.sampled_from(["text Bob", "", "no", "<think>", "\ud800"]),
        final=st.booleans(),
        retracts=st.sampled_from([0, 2]),
    )
    def user(self, text, final, retracts) -> None:
        self.happen(UserUpdate(self.now_ns, text, final, retracts))

    @rule()
    def predict(self) -> None:
        self.happen(EndPredicted(self.now_ns))

    @rule(silent_s=st.sampled_from([0.3, 2.4]))
    def silence(self, silent_s) -> None:
        self.happen(Silence(self.now_ns, ns(silent_s)))

    @precondition(lambda self: self.state.phase is Phase.APPENDING)
    @rule(tokens=st.integers(-1, 9))
    def append(self, tokens) -> None:
        self.happen(Appended(self.now_ns, tokens))

    @precondition(lambda self: self.state.phase is Phase.GENERATING and self.state.span_tokens == 0)
    @rule(text=ACTIONS)
    def act(self, text) -> None:
        self.happen(ModelOutput(self.now_ns, self.state.generation, text, (1, 2, 3)))

    @precondition(lambda self: self.state.phase is Phase.GENERATING)
    @rule(text=GARBAGE | ACTIONS, at=st.integers(0, 30))
    def write(self, text, at) -> None:
        self.happen(ModelOutput(self.now_ns, self.state.generation, text[:at], (1,)))

    @precondition(lambda self: any(self.state.graph.in_state(CallState.RUNNING)))
    @rule(value=RESULTS, data=st.data())
    def answer_call(self, value, data) -> None:
        call = data.draw(st.sampled_from(list(self.state.graph.in_state(CallState.RUNNING))))
        self.happen(ToolResult(self.now_ns, call.id, call.version, value))

    @precondition(lambda self: any(self.state.graph.in_state(CallState.RUNNING)))
    @rule(kind=st.sampled_from(["failed", "timeout", "crashed"]), data=st.data())
    def fail_call(self, kind, data) -> None:
        call = data.draw(st.sampled_from(list(self.state.graph.in_state(CallState.RUNNING))))
        self.happen(ToolError(self.now_ns, call.id, call.version, "no", kind))

    @rule(
        event=st.one_of(
            st.builds(ToolResult, st.just(0), IDS, VERSIONS, RESULTS),
            st.builds(
                ToolError, st.just(0), IDS, VERSIONS, st.just("no"), st.sampled_from(["failed", "timeout", "crashed"])
            ),
            st.builds(Crowded, st.just(0), st.sampled_from([0, 30])),
            st.builds(Timer, st.just(0), st.integers(0, 4)),
            st.builds(Appended, st.just(0), st.integers(0, 4)),
            st.builds(ModelEnded, st.just(0), st.integers(0, 9)),
            st.builds(ModelOutput, st.just(0), st.integers(0, 9), GARBAGE, st.just((1,))),
        )
    )
    def stray(self, event) -> None:
        self.happen(event)

    @rule(later_s=st.sampled_from([0.0, 0.1, 1.0]))
    def time_passes(self, later_s) -> None:
        self.now_ns += ns(later_s)

    @precondition(lambda self: len(self.log) > 15)
    @rule()
    def close(self) -> None:
        self.happen(Close(self.now_ns))

    @invariant()
    def the_graph_is_sound(self) -> None:
        graph = getattr(self, "state", None) and self.state.graph
        if not graph:
            return
        assert graph.live == {id for id, call in graph.calls.items() if call.state not in TERMINAL}
        order = graph.sequence()
        assert set(order) <= set(graph.calls) and len(set(order)) == len(order)
        assert {id for id, call in graph.calls.items() if call.state is not CallState.CANCELLED} <= set(order), "a ring"
        assert graph.highest == max(graph.calls, default=0)
        for call in graph.calls.values():
            assert all(need in graph for need in call.needs)
            if call.state in (CallState.READY, CallState.RUNNING, CallState.HELD):
                assert all(graph[need].state is CallState.DONE for need in call.needs), (
                    f"call {call.id} has no operands"
                )

    @invariant()
    def nobody_writes_while_context_is_taken_in(self) -> None:
        if getattr(self, "state", None) is not None and self.state.phase is Phase.IDLE:
            assert not self.state.inbox, "something waits that could be appended now"

    def teardown(self) -> None:
        if not getattr(self, "log", None):
            return
        fresh = reducer.start(self.settings, SPECS)
        assert repr(replay(fresh, self.log)) == repr(self.state)
        try:
            rows = [json.loads(json.dumps(to_json(event))) for event in self.log]
        except TypeError:  # an answer that is no JSON: the log of such a tool can't be kept as it is
            return
        read = replay(fresh, (from_json(row) for row in rows))
        assert [(s.kind, s.text) for s in read.transcript] == [(s.kind, s.text) for s in self.state.transcript]


TestSession = Session.TestCase
TestSession.settings = settings(
    max_examples=50,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
