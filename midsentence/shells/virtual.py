"""The core on the virtual clock: exact, repeatable, the same on any machine.

Owns the loop of an episode: the next event of its agenda or of what is being written, and the core's commands. Data
generation runs it with the expert, evaluation with the expert or a model (`midsentence.shells.batch`). Does not know
where requests come from and how an episode is scored.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from midsentence.clock import Profile, ns
from midsentence.core import reducer
from midsentence.core.events import (
    Append,
    Appended,
    CancelTool,
    Command,
    Emit,
    EndPredicted,
    Event,
    Forget,
    Generate,
    SetTimer,
    Silence,
    StartTool,
    Stop,
    StopSpeaking,
    Timer,
    UserUpdate,
)
from midsentence.core.forgetting import shown
from midsentence.core.modes import Settings
from midsentence.core.reducer import Phase
from midsentence.models.model import Grammar, Model, Stream
from midsentence.models.planned import Planner
from midsentence.rendering.renderer import Renderer
from midsentence.shells.agenda import Agenda
from midsentence.shells.drafts import Drafts
from midsentence.shells.needs import Need
from midsentence.shells.rollout import Rollout
from midsentence.shells.spoken import Conversation, User
from midsentence.shells.virtual_context import EpisodeContext
from midsentence.shells.virtual_tools import VirtualTools
from midsentence.shells.virtual_writing import Writer
from midsentence.tools.tool import Toolbox

Steps = Generator[Need, int | None, Rollout]
"""An episode that runs: yields what it needs of a model, is sent the token, returns the rollout."""


class Episode:
    """One session on the virtual clock."""

    def __init__(
        self,
        *,
        settings: Settings,
        profile: Profile,
        toolbox: Toolbox,
        updates: Iterable[UserUpdate | EndPredicted | Silence],
        renderer: Renderer,
        prompt_ids: Sequence[int],
        planner: Planner | None = None,
        grammar: Grammar | None = None,
        forces: bool = True,
        session: str = "episode",
        limit_ns: int = ns(120),
        user: User | None = None,
    ) -> None:
        """Nothing has happened yet.

        Args:
            settings: a mode's row.
            profile: the device's rates.
            toolbox: the episode's tools.
            updates: what the recogniser passes on.
            renderer: of the model's tokenizer.
            prompt_ids: what the context begins with.
            planner: plays the model, or leaves it some actions.
            grammar: constrains what the model writes.
            forces: whether what the grammar leaves no choice of is taken in at the prefill rate, or written like the
                rest.
            session: prefix of idempotency keys.
            limit_ns: the episode ends there.
            user: hears the answers, and speaks again.
        """
        self.planner, self.grammar, self.limit_ns = planner, grammar, limit_ns
        self.state = reducer.start(settings, toolbox.specs, session, len(prompt_ids))
        self.history: list[tuple[Event, tuple[Command, ...]]] = []
        self.context = EpisodeContext(renderer, prompt_ids)
        self._profile = profile
        self._drafts = Drafts() if settings.verified else None
        self.agenda = Agenda(settings.commit_on == "silence")
        self._writer = Writer(profile, self.context, self._drafts, forces)
        self._tools = VirtualTools(toolbox, self.agenda, settings.verified)
        self._conversation = Conversation(user, self.agenda)
        heard = tuple(updates)
        self.updates = tuple(update for update in heard if not isinstance(update, Silence))
        self.agenda.hear(heard)

    def attach(self, model: Model, seed: int) -> Stream:
        """Opens its context in a model, which drives it from now on."""
        return self.context.attach(model, seed)

    def run(self) -> Rollout:
        """Runs to the end with the planner in the model's place.

        Raises:
            ValueError: the episode has no planner, or one that leaves an action to a model; `run_batch` drives it with
                one.
        """
        if self.planner is None:
            raise ValueError("this episode has no planner; run it with batch.run_batch and a model")
        steps = self.steps()
        try:
            while True:
                next(steps)
                raise ValueError(
                    "this episode's planner leaves an action to a model; run it with batch.run_batch and one"
                )
        except StopIteration as stop:
            rollout: Rollout = stop.value
            return rollout

    def steps(self) -> Steps:
        """The episode as a coroutine: yields what it needs of a model, is sent the token, returns the rollout."""
        outcome = "stalled"
        while self.state.phase is not Phase.FINISHED:
            due_ns = self.agenda.due_ns
            until_ns = self.limit_ns if due_ns is None else min(due_ns, self.limit_ns)
            if self._writer.writes and (told := (yield from self._writer.write(until_ns))) is not None:
                self._feed(told)
                continue
            if due_ns is None and not self._writer.writes or self._is_over():
                break
            if due_ns is None or due_ns > self.limit_ns:
                outcome = "too_long"
                break
            if (event := self.agenda.take()) is not None:
                self._feed(event)
        return self._rollout("answered" if self.state.answered else outcome)

    def _is_over(self) -> bool:
        """Whether the user has been answered, and nothing is left to happen."""
        return self.state.answered and not self.agenda.updates and not self.state.graph.live

    def _rollout(self, outcome: str) -> Rollout:
        end_ns = self.history[-1][0].at_ns if self.history else 0
        drafted = self._drafts.drafted(self._tools.kept) if self._drafts is not None else None
        return Rollout(
            self.state,
            self.context.prompt_ids,
            tuple(self.history),
            self.state.outcome or outcome,
            end_ns,
            tuple(self._conversation.starts_ns),
            drafted,
            self.updates,
        )

    def _feed(self, event: Event) -> None:
        had_answered = self.state.answered
        self.state, commands = reducer.step(self.state, event)
        self.history.append((event, commands))
        for command in commands:
            self._obey(command, event.at_ns)
        if self._drafts is not None and self.state.answered and not had_answered:
            self._drafts.forget()
            self._tools.forget()
        if self._drafts is not None and isinstance(event, UserUpdate) and not event.final:
            self._feed(EndPredicted(event.at_ns))

    def _obey(self, command: Command, now_ns: int) -> None:
        match command:
            case Append(segments):
                self._take_in(*self.context.append(segments), now_ns)
            case Forget():
                self._take_in(
                    *self.context.renew(shown(self.state.transcript, self.state.turned, self.state.shown)), now_ns
                )
                if self._drafts is not None:
                    self._drafts.again()
            case Generate(generation):
                self._generate(generation, now_ns)
            case Stop(keep=keep):
                self._writer.stop(keep)
            case StartTool():
                self._tools.start(command, now_ns)
            case CancelTool(call, version):
                self._tools.cancel(call, version)
            case SetTimer(at_ns, timer):
                self.agenda.add(Timer(at_ns, timer))
            case Emit(text):
                self._conversation.speak(text, now_ns)
            case StopSpeaking():
                self._conversation.cut(now_ns)

    def _take_in(self, tokens: int, to_read: int, now_ns: int) -> None:
        """The context has grown, or is another; the core hears of it when the device has read what is new."""
        self.agenda.add(Appended(now_ns + self._profile.append_ns(to_read), tokens))

    def _generate(self, generation: int, now_ns: int) -> None:
        plan = self.planner.plan(self.state) if self.planner is not None else None
        if plan is None:
            constraint = self.grammar.begin(self.state) if self.grammar is not None else None
            self._writer.begin(generation, now_ns, constraint)
            return
        state, limits = self.state, self.state.settings
        budgets = (
            limits.max_generated_tokens - state.turn_tokens,
            limits.max_context_tokens - state.context_tokens + 1,
        )
        ids = list(self.context.renderer.action_ids(plan) if isinstance(plan, str) else plan)
        self._writer.begin_plan(generation, now_ns, ids, budgets)
