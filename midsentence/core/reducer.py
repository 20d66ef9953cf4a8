"""The heart: a pure reducer. ``step(state, event) -> (state, commands)``.

Owns when the model writes, what cuts it, when a call starts, is held, released, revised or cancelled, and when the
answer goes out. It never reads a clock, awaits or draws a random number, and no event in any state makes it raise:
what does not fit is dropped and noted. Does not know tokens' ids beyond keeping them, tools beyond their specs, and
who the model is. Live sessions, data generation and evaluation all run on it.
"""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from midsentence.core.calls import TERMINAL, CallState, Input, label
from midsentence.core.events import (
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
from midsentence.core.execution import (
    advance_calls,
    cancel_all,
    commit,
    end_release,
    let_go,
    on_timer,
    on_tool_error,
    on_tool_result,
    still_open,
)
from midsentence.core.forgetting import FULL_SHARE, LEFT_SHARE, Shown, Turned, shown_less
from midsentence.core.lines import AmendLine, CallLine, CommitLine, Malformed, RemoveLine
from midsentence.core.model_lines import amend, awaited, commit_line, issue, remove, run_line
from midsentence.core.parser import ActionEnded, AnswerOpened, Item, Parser, feed
from midsentence.core.state import Before, Draft, Phase, State, freeze, knows_the_end, nothing_moves, start, thaw
from midsentence.core.transcript import Segment, heard_text, says_a_word, silence_text, update_text
from midsentence.core.transitions import (
    close_tag,
    cut,
    discard_answer,
    interrupt,
    may_cut,
    move,
    note,
    say,
    stop_writing,
    tell,
    tell_void,
)

__all__ = ["Phase", "State", "label", "start", "step"]


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Takes in one event. Pure and total; a finished session ignores everything."""
    if state.phase is Phase.FINISHED:
        return state, (Note("after_finish"),)
    draft = thaw(state)
    # time never runs backwards inside a session, whatever a shell hands in
    draft.now_ns = max(state.now_ns, event.at_ns)
    match event:
        case UserUpdate():
            on_user_update(draft, event)
        case Silence():
            on_silence(draft, event)
        case EndPredicted():
            on_end_predicted(draft)
        case Speaking():
            on_speaking(draft, event)
        case ModelOutput():
            on_model_output(draft, event)
        case ModelEnded():
            on_model_ended(draft, event)
        case Appended():
            on_appended(draft, event)
        case Crowded():
            on_crowded(draft, event)
        case ToolResult():
            on_tool_result(draft, event)
        case ToolError():
            on_tool_error(draft, event)
        case Timer():
            on_timer(draft, event)
        case Close():
            finish(draft, event.why)
    if draft.phase is not Phase.FINISHED:
        advance_calls(draft)
        proceed(draft)
    return freeze(draft), tuple(draft.commands)


# -- the user ----------------------------------------------------------------------------------------------


def on_user_update(draft: Draft, event: UserUpdate) -> None:
    """Words, or the endpoint's word that they were the last: news for the model, and the end of what was released
    before."""
    spoken = bool(event.text.strip() or event.retracts)
    if not spoken and not event.final:
        note(draft, "nothing_said")  # a recogniser that repeats itself: nobody has spoken
        return
    if draft.predicted:
        draft.predicted = False
        if not spoken:
            draft.final_heard = True  # it was the end, and the model has been told so: the attempt stands
            let_go(draft)
            if draft.rests:
                draft.errors_in_row, draft.wake = 0, True
            return
        throw_away(draft)
    if not spoken and (draft.final_heard or draft.answered):
        note(draft, "nothing_said")  # an endpoint's word that comes twice, or after the answer, is no speech
        return
    if draft.answered:
        draft.answered, draft.turn_tokens = False, 0
        draft.turned = (*draft.turned, Turned(len(draft.transcript), draft.graph.highest))
        draft.final_heard = draft.final_in_context = False
        if says_a_word(event.text):
            allow_anew(draft)
    elif draft.final_heard or spoken and (draft.answer is not None or draft.commits.given > draft.commits.over):
        reopen(draft)
    if spoken:
        if draft.speaking:
            say(draft, StopSpeaking())
        end_release(draft)
        draft.spoken, draft.silence_in_context, draft.saw_silence = True, False, False
    draft.final_heard = event.final
    # to an agent that acts on silence, the endpoint's word alone is no news to stop for
    cuts = spoken or not draft.saw_silence
    if draft.settings.whole and not draft.settings.listens:
        keep_back(draft, event)
        if event.final:
            show_whole(draft, cuts)
        elif cuts:
            interrupt(draft, "partial_query_update")
        return
    tell(
        draft,
        "final_query_update" if event.final else "partial_query_update",
        update_text(event.text, event.retracts),
        cuts=cuts,
    )


def keep_back(draft: Draft, event: UserUpdate) -> None:
    """Words that the model will be shown with the rest of what is said."""
    kept = len(draft.unshown)
    draft.unshown_retracts += max(0, event.retracts - kept)
    draft.unshown = (*draft.unshown[: max(0, kept - event.retracts)], *event.text.split())


def show_whole(draft: Draft, cuts: bool) -> None:
    """All that was kept back, and that it is all."""
    if draft.unshown or draft.unshown_retracts:
        tell(draft, "partial_query_update", update_text(" ".join(draft.unshown), draft.unshown_retracts))
    draft.unshown, draft.unshown_retracts = (), 0
    tell(draft, "final_query_update", "", cuts=cuts)


def allow_anew(draft: Draft) -> None:
    """The user, answered, has said something: that confirms, extends and repeats, where the model orders it."""
    draft.turn += 1
    draft.graph = replace(draft.graph, effects=Map())  # a later turn may ask for the same again
    draft.turn_writes = 0
    if draft.asked_more:
        draft.extra_writes, draft.asked_more = draft.extra_writes + draft.settings.max_writes_per_turn, False


def on_silence(draft: Draft, event: Silence) -> None:
    """Nobody speaks, for so long: news like any other, but none to stop for."""
    if draft.answered or not draft.spoken or not draft.settings.listens:
        note(draft, "idle_silence")
        return
    tell(draft, "silence", silence_text(event.silent_ns))


def on_speaking(draft: Draft, event: Speaking) -> None:
    """How far the answer has been spoken. One that was cut short the model must know of: what it said last was not
    heard."""
    if event.part == "begun" and draft.answered:
        draft.speaking = True
    elif event.part != "begun" and draft.speaking:
        draft.speaking = False
        if event.part == "cut":
            tell(draft, "cancel", heard_text(event.heard), wakes=False)
    else:
        note(draft, "not_speaking")


def reopen(draft: Draft) -> None:
    """The end of speech was none."""
    note(draft, "reopened")
    draft.final_in_context = draft.saw_final = False
    draft.answer = None


def on_end_predicted(draft: Draft) -> None:
    """An eager mode takes a predicted end for the end, as far as that can be taken back."""
    spoken = bool(draft.unshown) or any(segment.kind == "partial_query_update" for segment in draft.transcript)
    spoken = spoken or any(pending.segment.kind == "partial_query_update" for pending in draft.inbox)
    if not draft.settings.eager or draft.predicted or draft.final_heard or draft.answered or not spoken:
        note(draft, "prediction_ignored")
        return
    still = draft.phase is not Phase.GENERATING
    draft.predicted = True
    draft.before = Before(
        draft.graph,
        draft.transcript,
        draft.inbox,
        draft.informed,
        draft.errors_in_row,
        draft.turn_tokens,
        draft.unshown,
        draft.unshown_retracts,
        still,
    )
    if draft.settings.whole and not draft.settings.listens:
        show_whole(draft, cuts=True)
    else:
        tell(draft, "final_query_update", "", cuts=True)


def throw_away(draft: Draft) -> None:
    """Speech goes on after a predicted end: what was begun on it stops, and no call stands that it issued or made
    another of, nor one that is computed from such a call. A model that listens has what was said until then in its
    calls, which stand. Another is where it was before: the attempt leaves its context too, where nothing in it is
    anything else's."""
    reopen(draft)
    end_release(draft)
    if draft.rests:
        draft.rests, draft.errors_in_row = False, 0
    if draft.settings.listens or (before := draft.before) is None:
        return
    goes_back = before.still and _is_all_of_the_attempt(draft, before)
    if draft.phase is Phase.GENERATING and goes_back:
        stop_writing(draft)
    elif draft.phase is Phase.GENERATING:
        cut(draft)
    calls, then = draft.graph.calls, before.graph.calls
    made = [id for id, call in calls.items() if id not in then or then[id].text != call.text]
    dead = {id for one in made for id in (one, *draft.graph.below(one))}
    stands = (
        call
        for call in map(calls.__getitem__, sorted(dead))
        if not call.frozen and call.state is not CallState.CANCELLED
    )
    cancel_all(draft, [call.id for call in stands])
    if not goes_back:
        tell_void(draft)
        return
    draft.voided.clear()
    draft.spent = max((draft.graph[id].version for id in made), default=draft.spent)
    draft.outdated = draft.outdated or len(draft.transcript) > len(before.transcript)
    draft.graph, draft.transcript, draft.inbox = before.graph, before.transcript, before.inbox
    draft.informed, draft.errors_in_row, draft.turn_tokens = before.informed, before.errors_in_row, before.turn_tokens
    draft.wake = False
    # what the attempt let go of itself is gone with it: results of the next stand in those places
    draft.shown = replace(draft.shown, results=min(draft.shown.results, len(before.transcript)))
    draft.unshown, draft.unshown_retracts = before.unshown, before.unshown_retracts


def _is_all_of_the_attempt(draft: Draft, before: Before) -> bool:
    """Whether nothing has happened since but what the attempt brought about: no news of calls or answers of before
    it."""
    if any(draft.graph[id] != call for id, call in before.graph.calls.items()):
        return False
    since = [*list(draft.transcript)[len(before.transcript) :], *(pending.segment for pending in draft.inbox)]
    known = {id(segment) for segment in (pending.segment for pending in before.inbox)}
    return not any(segment.kind in ("cancel", "silence") for segment in since if id(segment) not in known)


# -- the model ---------------------------------------------------------------------------------------------


def on_model_output(draft: Draft, event: ModelOutput) -> None:
    """The model has written on; every item of the protocol that this completes is done at once."""
    if draft.phase is not Phase.GENERATING or event.generation != draft.generation:
        note(draft, "stale_output")
        return
    draft.transcript = draft.transcript.append(Segment("model", event.text, draft.now_ns, event.ids))
    draft.span_tokens += len(event.ids)
    draft.context_tokens += len(event.ids)
    draft.turn_tokens += len(event.ids)
    draft.parser, items = feed(draft.parser, event.text)
    for item in items:
        if draft.phase is not Phase.GENERATING or event.generation != draft.generation:
            break
        act(draft, item)
    if draft.phase is Phase.GENERATING and draft.context_tokens > draft.settings.max_context_tokens:
        crowd(draft)
    elif draft.phase is Phase.GENERATING and draft.turn_tokens >= draft.settings.max_generated_tokens:
        finish(draft, "out_of_budget")
    elif draft.phase is Phase.GENERATING and draft.cut_pending and may_cut(draft, None):
        cut(draft)


def act(draft: Draft, item: Item) -> None:
    """Does what an item asks for, or ends the action with what is wrong with it."""
    match item:
        case CallLine():
            error = issue(draft, item)
            if error is None and draft.settings.runs_lines and draft.saw_final:
                run_line(draft, item.id)
        case RemoveLine():
            error = remove(draft, item.id)
        case AmendLine():
            error = amend(draft, item)
        case CommitLine():
            error = commit_line(draft, item)
        case AnswerOpened():
            error = None if knows_the_end(draft) else f"no answer before {awaited(draft)}: <pause> or call a tool"
        case Malformed():
            error = item.why
        case ActionEnded():
            error = end_action(draft, item)
    if error is not None:
        fail_action(draft, error)


def end_action(draft: Draft, action: ActionEnded) -> str | None:
    """The model is done with its action: what that commits may go. Gives what is wrong with ending it so, if
    anything."""
    if action.kind == "pause" and draft.saw_final and is_stuck(draft):
        if not draft.predicted or draft.settings.listens:
            return stuck(draft)
        draft.rests = True  # it would rather hear whether that was the end
    commits = commits_at(draft, action)
    if commits and (why := still_open(draft, draft.graph.live)) is not None:
        return why
    stop_writing(draft)
    draft.errors_in_row = 0
    if commits:
        commit(draft)
    if action.kind == "answer":
        draft.answer, draft.wake = action.text, False
        if any(pending.segment.kind == "tool_error" for pending in draft.inbox):
            discard_answer(draft)  # it was written without knowing of the failure
    elif action.kind == "tool_call" and knows_the_end(draft):
        # a mode that waits is woken by the last result; if nothing runs, nothing else would wake it
        draft.wake = True
    return None


def commits_at(draft: Draft, action: ActionEnded) -> bool:
    """Whether the end of an action is a commit point for all that is there."""
    match draft.settings.commit:
        case "line":
            return action.kind == "answer" and knows_the_end(draft)
        case "action":
            return draft.saw_final or action.kind == "answer" and knows_the_end(draft)
    return draft.final_heard and action.kind != "tool_call"


def is_stuck(draft: Draft) -> bool:
    """Whether nothing will happen any more unless the model does something: a pause is then for ever."""
    return not any(pending.segment.kind != "cancel" for pending in draft.inbox) and nothing_moves(draft)


def stuck(draft: Draft) -> str:
    """What a model is told that would wait for ever."""
    if not draft.graph.live:
        return "nothing is running and the user has finished: call a tool or answer"
    waiting = ", ".join(str(id) for id in sorted(draft.graph.live))
    return f"nothing is running, and a pause commits nothing: COMMIT or REMOVE {waiting}, or answer"


def fail_action(draft: Draft, why: str) -> None:
    """Ends an invalid action, and says why; too many in a row end the session, or what is tried on a predicted end."""
    draft.errors_in_row += 1
    note(draft, "invalid_action")
    close_tag(draft)
    stop_writing(draft)
    gives_up = draft.errors_in_row > draft.settings.max_errors_in_row
    if gives_up and not draft.predicted:
        finish(draft, "invalid_actions")
        return
    draft.rests = gives_up
    tell(draft, "error", why, wakes=not gives_up)


def on_model_ended(draft: Draft, event: ModelEnded) -> None:
    """The model stopped by itself, in the middle of an action."""
    if draft.phase is not Phase.GENERATING or event.generation != draft.generation:
        note(draft, "stale_output")
        return
    fail_action(draft, f"{event.why} before the action was complete: end with </tool_call>, <pause> or </answer>")


def on_appended(draft: Draft, event: Appended) -> None:
    """The model has taken in what was appended."""
    if draft.phase is not Phase.APPENDING:
        note(draft, "stale_append")
        return
    draft.context_tokens = max(0, event.tokens) + (draft.prompt_tokens if draft.renewing else draft.context_tokens)
    draft.phase, draft.renewing = Phase.IDLE, False


# -- the context's limit -----------------------------------------------------------------------------------


def on_crowded(draft: Draft, event: Crowded) -> None:
    """The model's context is full, and may hold less than the settings say."""
    if draft.phase not in (Phase.APPENDING, Phase.GENERATING):
        note(draft, "stale_append")
        return
    if event.most_tokens > 0:
        draft.settings = replace(
            draft.settings, max_context_tokens=min(draft.settings.max_context_tokens, event.most_tokens)
        )
    crowd(draft)


def crowd(draft: Draft) -> None:
    """The context is full: what is being written is cut, and something has to go before anything else is taken in."""
    draft.context_tokens = max(draft.context_tokens, draft.settings.max_context_tokens + 1)
    if to_let_go(draft) is None:
        finish(draft, "context_overflow")
    elif draft.phase is Phase.GENERATING:
        cut(draft)
        draft.wake = True
    if draft.phase is Phase.APPENDING:
        draft.phase = Phase.IDLE


def to_let_go(draft: Draft) -> Shown | None:
    """What the context is to leave out, where it holds too much; None where it does not, or can't leave out more."""
    limit = draft.settings.max_context_tokens
    full = draft.context_tokens > limit
    if not full and not (draft.answered and draft.context_tokens > FULL_SHARE * limit):
        return None
    left = int(LEFT_SHARE * limit) - draft.prompt_tokens
    tokens = draft.context_tokens - draft.prompt_tokens
    return shown_less(draft.transcript, draft.turned, draft.shown, tokens=tokens, most=left, of_this_turn=full)


def make_room(draft: Draft) -> None:
    """Lets the oldest go if the context is full, or nearly so while the user has the word; or ends the session if
    nothing can."""
    if (less := to_let_go(draft)) is not None:
        draft.shown, draft.renewing, draft.phase = less, True, Phase.APPENDING
        say(draft, Forget(less.turns, less.results))
    elif draft.context_tokens > draft.settings.max_context_tokens:
        finish(draft, "context_overflow")


# -- the model goes on -------------------------------------------------------------------------------------


def proceed(draft: Draft) -> None:
    """Says the answer if nothing is left to wait for; with the model at rest, appends what waits, or else has it write
    on."""
    if draft.answer is not None and not draft.graph.live and not draft.predicted:
        say(draft, Emit(draft.answer))
        draft.answer, draft.answered, draft.settled = None, True, draft.graph.highest
    if draft.phase is Phase.IDLE and draft.outdated:
        draft.outdated, draft.renewing, draft.phase = False, True, Phase.APPENDING
        say(draft, Forget(draft.shown.turns, draft.shown.results))
    if draft.phase is Phase.IDLE:
        make_room(draft)
    if draft.phase is not Phase.IDLE:
        return
    if draft.inbox:
        append(draft)
    elif (
        draft.wake
        and draft.answer is None
        and not draft.answered
        and (draft.settings.listens or draft.final_in_context)
    ):
        # a call that is ready but not running waits for one that runs, or for a commit that only the model can give
        if not draft.settings.waits_for_calls or not (draft.grace or any(draft.graph.in_state(CallState.RUNNING))):
            generate(draft)


def append(draft: Draft) -> None:
    """Has the model take in all that waits, as one batch."""
    for pending in draft.inbox:
        segment = pending.segment
        draft.transcript = draft.transcript.append(segment)
        if pending.call:
            draft.graph = draft.graph.put(replace(draft.graph[pending.call], in_context=True))
        draft.informed = draft.informed or segment.kind in ("tool_result", "tool_error")
        if segment.kind in ("silence", "partial_query_update", "final_query_update"):
            # the endpoint's word alone ends no silence
            silent = segment.kind == "silence" or not segment.text
            draft.silence_in_context = silent and (draft.silence_in_context or segment.kind == "silence")
        if segment.kind == "final_query_update":
            draft.final_in_context = draft.final_heard or draft.predicted
    say(draft, Append(tuple(pending.segment for pending in draft.inbox)))
    draft.inbox, draft.phase = (), Phase.APPENDING


def generate(draft: Draft) -> None:
    """Has the model write; what it knows of the user's end is what stands in its context now."""
    draft.generation += 1
    draft.parser, draft.span_tokens, draft.span_lines = Parser(), 0, 0
    draft.wake, draft.saw_final, draft.saw_silence = False, draft.final_in_context, draft.silence_in_context
    draft.rests = False
    draft.phase = Phase.GENERATING
    say(draft, Generate(draft.generation))


def finish(draft: Draft, outcome: str) -> None:
    """Ends the session; a write that has started is left to end by itself."""
    if draft.phase is Phase.GENERATING:
        say(draft, Stop(draft.generation, draft.span_tokens))
    for call in tuple(draft.graph.in_state(*set(CallState) - TERMINAL)):
        if not call.frozen:
            move(draft, call, Input.REMOVE)
    draft.phase, draft.outcome, draft.inbox, draft.answer = Phase.FINISHED, outcome, (), None
    say(draft, Finish(outcome))
