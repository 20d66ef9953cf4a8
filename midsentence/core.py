"""The heart: a pure reducer. ``step(state, event) -> (state, commands)``.

Owns when the model writes, what cuts it, when a call starts, is held, released, revised or cancelled, and when the
answer goes out. It never reads a clock, awaits or draws a random number, and no event in any state makes it raise:
what does not fit is dropped and noted. Refuses to know tokens' ids beyond keeping them, tools beyond their specs, and
who the model is. Live sessions, data generation and evaluation all run on it.
"""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from midsentence.calls import TERMINAL, CallState, Input
from midsentence.events import (
    Append,
    Appended,
    Close,
    Command,
    Crowded,
    Emit,
    EndPredicted,
    Event,
    Finish,
    Forget,
    Generate,
    ModelEnded,
    ModelOutput,
    Note,
    Silence,
    Speaking,
    Stop,
    StopSpeaking,
    Timer,
    ToolError,
    ToolResult,
    UserUpdate,
)
from midsentence.forgetting import FULL_SHARE, LEFT_SHARE, Shown, Turned, shown_less
from midsentence.gate import label
from midsentence.orders import Orders
from midsentence.protocol import ActionEnded, AmendLine, AnswerOpened, CallLine, CommitLine, Item, Malformed, Parser, RemoveLine, feed
from midsentence.state import Phase, State, knows_the_end, nothing_moves, start
from midsentence.transcript import Segment, heard_text, says_a_word, silence_text, update_text

__all__ = ["Phase", "State", "label", "start", "step"]


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Takes in one event. Pure and total; a finished session ignores everything."""
    if state.phase is Phase.FINISHED:
        return state, (Note("after_finish"),)
    draft = _Step(state, event.at_ns)
    match event:
        case UserUpdate():
            draft.hear(event)
        case Silence():
            draft.hear_nothing(event)
        case EndPredicted():
            draft.end_predicted()
        case Speaking():
            draft.spoke(event)
        case ModelOutput():
            draft.read(event)
        case ModelEnded():
            draft.model_ended(event)
        case Appended():
            draft.appended(event.tokens)
        case Crowded():
            draft.crowded(event.most_tokens)
        case ToolResult():
            draft.tool_result(event)
        case ToolError():
            draft.tool_error(event)
        case Timer():
            draft.timer_ran_out(event.timer)
        case Close():
            draft.finish(event.why)
    return draft.freeze()


class _Step(Orders):
    """One step: what each event does, and when the model writes."""

    def freeze(self) -> tuple[State, tuple[Command, ...]]:
        if self.phase is not Phase.FINISHED:
            self.advance_calls()
            self.proceed()
        return self.frozen(), tuple(self.commands)

    # -- the user ----------------------------------------------------------------------------------------------

    def hear(self, event: UserUpdate) -> None:
        spoken = bool(event.text.strip() or event.retracts)
        if not spoken and not event.final:
            self.say(Note("nothing_said"))  # a recogniser that repeats itself: nobody has spoken
            return
        if self.predicted:
            self.predicted = False
            if not spoken:
                self.final_heard = True  # it was the end, and the model has been told so: the attempt stands
                self.let_go()
                return
            self.throw_away()
        if not spoken and (self.final_heard or self.answered):
            self.say(Note("nothing_said"))  # an endpoint's word that comes twice, or after the answer, is no speech
            return
        if self.answered:
            self.answered, self.turn_tokens = False, 0
            self.turned = (*self.turned, Turned(len(self.transcript), self.graph.highest))
            self.final_heard = self.final_in_context = False
            if says_a_word(event.text):
                self.allow_anew()
        elif self.final_heard or spoken and (self.answer is not None or self.commits.given > self.commits.over):
            self.reopen()
        if spoken:
            if self.speaking:
                self.say(StopSpeaking())
            self.end_release()
            self.spoken, self.silence_in_context, self.saw_silence = True, False, False
        self.final_heard = event.final
        data = update_text(event.text, event.retracts)
        # to an agent that acts on silence, the endpoint's word alone is no news to stop for
        self.tell("final_query_update" if event.final else "partial_query_update", data, cuts=spoken or not self.saw_silence)

    def allow_anew(self) -> None:
        """The user, answered, has said something: that confirms, extends and repeats, where the model orders it."""
        self.turn += 1
        self.graph = replace(self.graph, effects=Map())  # a later turn may ask for the same again
        self.turn_writes = 0
        if self.asked_more:
            self.extra_writes, self.asked_more = self.extra_writes + self.settings.max_writes_per_turn, False

    def hear_nothing(self, event: Silence) -> None:
        """Nobody speaks, for so long: news like any other, but none to stop for."""
        if self.answered or not self.spoken or not self.settings.listens:
            self.say(Note("idle_silence"))
            return
        self.tell("silence", silence_text(event.silent_ns))

    def spoke(self, event: Speaking) -> None:
        """How far the answer has been spoken. One that was cut short the model must know of: what it said last was not heard."""
        if event.part == "begun" and self.answered:
            self.speaking = True
        elif event.part != "begun" and self.speaking:
            self.speaking = False
            if event.part == "cut":
                self.tell("cancel", heard_text(event.heard), wakes=False)
        else:
            self.say(Note("not_speaking"))

    def reopen(self) -> None:
        """The end of speech was none."""
        self.say(Note("reopened"))
        self.final_in_context = self.saw_final = False
        self.answer = None

    def end_predicted(self) -> None:
        """An eager mode takes a predicted end for the end, as far as that can be taken back."""
        spoken = any(segment.kind == "partial_query_update" for segment in self.transcript)
        spoken = spoken or any(pending.segment.kind == "partial_query_update" for pending in self.inbox)
        if not self.settings.eager or self.predicted or self.final_heard or self.answered or not spoken:
            self.say(Note("prediction_ignored"))
            return
        self.predicted, self.before = True, self.graph.calls
        self.tell("final_query_update", "", cuts=True)

    def throw_away(self) -> None:
        """Speech goes on after a predicted end: what was begun on it stops, and no call stands that it issued or made another of,
        nor one that is computed from such a call. A model that listens has what was said until then in its calls, which stand."""
        self.reopen()
        self.end_release()
        if self.settings.listens:
            return
        if self.phase is Phase.GENERATING:
            self.cut()
        calls, before = self.graph.calls, self.before
        made = [id for id, call in calls.items() if id not in before or before[id].text != call.text]
        dead = {id for one in made for id in (one, *self.graph.below(one))}
        stands = (call for call in map(calls.__getitem__, sorted(dead)) if not call.frozen and call.state is not CallState.CANCELLED)
        self.tell_void(self.cancel_all(tuple(call.id for call in stands)))

    # -- the model ---------------------------------------------------------------------------------------------

    def read(self, event: ModelOutput) -> None:
        if self.phase is not Phase.GENERATING or event.generation != self.generation:
            self.say(Note("stale_output"))
            return
        self.transcript = self.transcript.append(Segment("model", event.text, self.now_ns, event.ids))
        self.span_tokens += len(event.ids)
        self.context_tokens += len(event.ids)
        self.turn_tokens += len(event.ids)
        self.parser, items = feed(self.parser, event.text)
        for item in items:
            if self.phase is not Phase.GENERATING or event.generation != self.generation:
                break
            self.act(item)
        if self.phase is Phase.GENERATING and self.context_tokens > self.settings.max_context_tokens:
            self.crowded(0)
        elif self.phase is Phase.GENERATING and self.turn_tokens >= self.settings.max_generated_tokens:
            self.finish("out_of_budget")
        elif self.phase is Phase.GENERATING and self.cut_pending and self.may_cut(""):
            self.cut()

    def act(self, item: Item) -> None:
        match item:
            case CallLine():
                error = self.issue(item)
                if error is None and self.settings.runs_lines and self.saw_final:
                    self.run_line(item.id)
            case RemoveLine():
                error = self.remove(item.id)
            case AmendLine():
                error = self.amend(item)
            case CommitLine():
                error = self.commit_line(item)
            case AnswerOpened():
                error = None if knows_the_end(self) else f"no answer before {self.awaited()}: <pause> or call a tool"
            case Malformed():
                error = item.why
            case ActionEnded():
                error = self.end_action(item)
        if error is not None:
            self.fail_action(error)

    def run_line(self, id: int) -> None:
        """Nothing can revise the line any more: it commits the call and what that needs."""
        ids = self.graph.above([id])
        if self.settings.commit == "action" and not self.settings.commit_grace_ns and self.still_open(ids) is None:
            self.commit(ids)

    def awaited(self) -> str:
        """What a commit has to wait for."""
        return "the final update" if self.settings.commit_on == "final" else "a silence or the final update"

    def commit_line(self, line: CommitLine) -> str | None:
        """``COMMIT``: what it names and what that needs may go, while other lines are still to be written."""
        if self.settings.commit != "line":
            return "COMMIT is not known here: calls go when the user has finished and your action ends"
        if not knows_the_end(self):
            return f"no COMMIT before {self.awaited()}: <pause> or go on"
        for id in line.ids:
            if id not in self.graph or self.graph[id].state is CallState.CANCELLED:
                waiting = ", ".join(str(id) for id in sorted(self.graph.live))
                return f"there is no call {id} to commit; {f'there are {waiting}' if waiting else 'none waits'}"
        ids = self.graph.above(line.ids) if line.ids else self.graph.live
        if (why := self.still_open(ids)) is None:
            self.commit(ids)
        return why

    def end_action(self, action: ActionEnded) -> str | None:
        if action.kind == "pause" and self.saw_final and self.is_stuck():
            return self.stuck()
        commits = self.commits_at(action)
        if commits and (why := self.still_open(self.graph.live)) is not None:
            return why
        self.stop_writing()
        self.errors_in_row = 0
        if commits:
            self.commit()
        if action.kind == "answer":
            self.answer, self.wake = action.text, False
            if any(pending.segment.kind == "tool_error" for pending in self.inbox):
                self.discard_answer()  # it was written without knowing of the failure
        elif action.kind == "tool_call" and knows_the_end(self):
            # a mode that waits is woken by the last result; if nothing runs, nothing else would wake it
            self.wake = True
        return None

    def commits_at(self, action: ActionEnded) -> bool:
        """Whether the end of an action is a commit point for all that is there."""
        match self.settings.commit:
            case "line":
                return action.kind == "answer" and knows_the_end(self)
            case "action":
                return self.saw_final or action.kind == "answer" and knows_the_end(self)
        return self.final_heard and action.kind != "tool_call"

    def is_stuck(self) -> bool:
        """Whether nothing will happen any more unless the model does something: a pause is then for ever."""
        return not any(pending.segment.kind != "cancel" for pending in self.inbox) and nothing_moves(self)

    def stuck(self) -> str:
        if not self.graph.live:
            return "nothing is running and the user has finished: call a tool or answer"
        waiting = ", ".join(str(id) for id in sorted(self.graph.live))
        return f"nothing is running, and a pause commits nothing: COMMIT or REMOVE {waiting}, or answer"

    def fail_action(self, why: str) -> None:
        self.errors_in_row += 1
        self.say(Note("invalid_action"))
        self.close_tag()
        self.stop_writing()
        if self.errors_in_row > self.settings.max_errors_in_row:
            self.finish("invalid_actions")
            return
        self.tell("error", why)

    def model_ended(self, event: ModelEnded) -> None:
        if self.phase is not Phase.GENERATING or event.generation != self.generation:
            self.say(Note("stale_output"))
            return
        self.fail_action(f"{event.why} before the action was complete: end with </tool_call>, <pause> or </answer>")

    def appended(self, tokens: int) -> None:
        if self.phase is not Phase.APPENDING:
            self.say(Note("stale_append"))
            return
        self.context_tokens = max(0, tokens) + (self.prompt_tokens if self.renewing else self.context_tokens)
        self.phase, self.renewing = Phase.IDLE, False

    # -- the context's limit -----------------------------------------------------------------------------------

    def crowded(self, most_tokens: int) -> None:
        """The context is full: what is being written is cut, and something has to go before anything else is taken in."""
        if self.phase not in (Phase.APPENDING, Phase.GENERATING):
            self.say(Note("stale_append"))
            return
        if most_tokens > 0:
            self.settings = replace(self.settings, max_context_tokens=min(self.settings.max_context_tokens, most_tokens))
        self.context_tokens = max(self.context_tokens, self.settings.max_context_tokens + 1)
        if self.shown_less() is None:
            self.finish("context_overflow")
        elif self.phase is Phase.GENERATING:
            self.cut()
            self.wake = True
        self.phase = Phase.IDLE if self.phase is Phase.APPENDING else self.phase

    def shown_less(self) -> Shown | None:
        """What the context is to leave out, where it holds too much; None where it does not, or can't leave out more."""
        limit = self.settings.max_context_tokens
        full = self.context_tokens > limit
        if not full and not (self.answered and self.context_tokens > FULL_SHARE * limit):
            return None
        left = int(LEFT_SHARE * limit) - self.prompt_tokens
        tokens = self.context_tokens - self.prompt_tokens
        return shown_less(self.transcript, self.turned, self.shown, tokens=tokens, most=left, of_this_turn=full)

    def make_room(self) -> None:
        """Lets the oldest go if the context is full, or nearly so while the user has the word; or ends the session if nothing can."""
        if (less := self.shown_less()) is not None:
            self.shown, self.renewing, self.phase = less, True, Phase.APPENDING
            self.say(Forget(less.turns, less.results))
        elif self.context_tokens > self.settings.max_context_tokens:
            self.finish("context_overflow")

    def proceed(self) -> None:
        """With the model at rest: append what waits, or say the answer, or write on."""
        if self.answer is not None and not self.graph.live and not self.predicted:
            self.say(Emit(self.answer))
            self.answer, self.answered, self.settled = None, True, self.graph.highest
        if self.phase is Phase.IDLE:
            self.make_room()
        if self.phase is not Phase.IDLE:
            return
        if self.inbox:
            for pending in self.inbox:
                self.transcript = self.transcript.append(pending.segment)
                if pending.call:
                    self.graph = self.graph.put(replace(self.graph[pending.call], in_context=True))
                self.informed = self.informed or pending.segment.kind in ("tool_result", "tool_error")
                if pending.segment.kind in ("silence", "partial_query_update", "final_query_update"):
                    # the endpoint's word alone ends no silence
                    silent = pending.segment.kind == "silence" or not pending.segment.text
                    self.silence_in_context = silent and (self.silence_in_context or pending.segment.kind == "silence")
                if pending.segment.kind == "final_query_update":
                    self.final_in_context = self.final_heard or self.predicted
            self.say(Append(tuple(pending.segment for pending in self.inbox)))
            self.inbox, self.phase = (), Phase.APPENDING
        elif self.wake and self.answer is None and not self.answered and (self.settings.listens or self.final_in_context):
            # a call that is ready but not running waits for one that runs, or for a commit that only the model can give
            if self.settings.waits_for_calls and (self.grace or any(self.graph.in_state(CallState.RUNNING))):
                return
            self.generation += 1
            self.parser, self.span_tokens, self.span_lines = Parser(), 0, 0
            self.wake, self.saw_final, self.saw_silence = False, self.final_in_context, self.silence_in_context
            self.phase = Phase.GENERATING
            self.say(Generate(self.generation))

    def finish(self, outcome: str) -> None:
        if self.phase is Phase.GENERATING:
            self.say(Stop(self.generation, self.span_tokens))
        for call in tuple(self.graph.in_state(*set(CallState) - TERMINAL)):
            if not call.frozen:
                self.move(call, Input.REMOVE)
        self.phase, self.outcome, self.inbox, self.answer = Phase.FINISHED, outcome, (), None
        self.say(Finish(outcome))
