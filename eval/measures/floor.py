"""The floor: the least response latency of any agent that does a task right, a clairvoyant included.

Owns the bound; `docs/floor.md` says why nothing beats it. Reads nothing of an episode except the latencies of the calls
that it
made: latency depends on the arguments, and gold may not list every correct argument.

    floor = max( words to the answer, the held calls, the first call's way from the first word ) − end of speech
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from data_gen.gold import rehearse
from data_gen.task import Task
from eval.measures.needs import binding
from eval.measures.scoring import accepted_args, normal
from midsentence.clock import NS_PER_S, Profile
from midsentence.core.events import EndPredicted, Silence, UserUpdate
from midsentence.core.modes import Settings
from midsentence.core.silence import silences
from midsentence.core.transcript import Segment, silence_text, update_text
from midsentence.rendering.renderer import Renderer
from midsentence.tools.tool import ToolSpec


@dataclass(frozen=True, slots=True)
class Floor:
    """The bound and what it is made of, in nanoseconds from the end of the last word."""

    total_ns: int
    """The bound itself."""
    answer_ns: int
    """The end of speech is taken in, the shortest answer is written."""
    held_ns: int
    """The first end of speech is taken in, the shortest text that commits is written, the held calls run along their
    critical path."""
    reads_ns: int
    """The first update is taken in, a call is written, and the longest chain of calls runs."""


def floor(
    task: Task,
    updates: Sequence[UserUpdate | EndPredicted],
    settings: Settings,
    profile: Profile,
    renderer: Renderer,
    made: Iterable[tuple[str, Mapping[str, Any]]] = (),
    forced: bool = False,
    later: bool = False,
) -> Floor:
    """The least latency with which the task can be done right.

    Args:
        task: what is asked.
        updates: what the recogniser passes on, in order, predicted ends of speech included; the last is a final update.
        settings: any mode's row: the bound is that of the freest mode, with this row's commit rules, grace and egress.
            Where a silence may commit, those that `midsentence.core.silence` tells of the task's words are allowed for.
        profile: the device.
        renderer: counts tokens.
        made: calls that a right episode made; their latencies are allowed for beside those of gold's accepted values.
        forced: whether a grammar may force tokens, which then cost prefill.
        later: whether it is a later turn of a conversation: what has to be looked up for it may have been before it
            began.
    """
    predictions = [event for event in updates if isinstance(event, EndPredicted)]
    heard = [event for event in updates if isinstance(event, UserUpdate)]
    if settings.verified:  # every update is taken for the last one
        predictions += [EndPredicted(update.at_ns) for update in heard]
    final = heard[-1]
    first_final = next(update for update in heard if update.final)
    rate = max(profile.decode_tokens_per_s, profile.prefill_tokens_per_s) if forced else profile.decode_tokens_per_s

    def written_ns(tokens: int) -> int:
        return tokens * NS_PER_S // rate

    def read_ns(end: UserUpdate) -> int:
        return _end_read_ns(end, heard, predictions, profile, renderer)

    told = (
        silences([(word.start_ns, word.end_ns) for word in task.words], heard)
        if settings.commit_on == "silence"
        else []
    )
    silent = [(silence.at_ns, silence.at_ns + append_ns(silence, profile, renderer)) for silence in told]
    # a silence after the last word is as good as the final update, and nothing waits for that one then
    last_word_ns = max((update.at_ns for update in heard if update.text.strip() or update.retracts), default=0)
    answer_ns = written_ns(answer_tokens(task, renderer))
    ends_ns = [
        max(final.at_ns, read_ns(final) + answer_ns),
        *(read + answer_ns for at, read in silent if at >= last_word_ns),
    ]
    answer_ns = min(ends_ns)
    # what commits may do so in mid-sentence, after a false end of speech or any silence; writes then run before the
    # last word
    grace_ns = settings.commit_grace_ns
    points_ns = [first_final.at_ns + grace_ns]
    if settings.commit != "paper":
        written = read_ns(first_final) + written_ns(commit_tokens(task, settings, renderer))
        # a prediction that comes true begins a grace, and what is committed in it shares it
        predicted = _predicted(first_final, heard, predictions) is not None
        points_ns = [max(first_final.at_ns + grace_ns, written + (0 if predicted else grace_ns))]
        points_ns += [
            read + written_ns(commit_tokens(task, settings, renderer, on_silence=True)) + grace_ns for _, read in silent
        ]
    commit_ns = min(points_ns)
    heard_ns = heard[0].at_ns + append_ns(heard[0], profile, renderer)
    issue_ns = heard_ns + written_ns(call_tokens(task, renderer))
    # a question can be answered without any call, by who knows the answer
    held_ns, reads_ns = (0, 0) if task.is_question else paths(task, settings, made)
    reads_ns = 0 if later else reads_ns
    parts = (answer_ns, commit_ns + held_ns if held_ns else answer_ns, issue_ns + reads_ns if reads_ns else answer_ns)
    answer, held, reads = (part - task.speech_end_ns for part in parts)
    return Floor(max(answer, held, reads), answer, held, reads)


def _end_read_ns(
    final: UserUpdate,
    updates: Sequence[UserUpdate],
    predictions: Sequence[EndPredicted],
    profile: Profile,
    renderer: Renderer,
) -> int:
    """When the end of speech can first be in the context: with the final update, or with an earlier prediction that it
    confirms."""
    early = _predicted(final, updates, predictions)
    end = final if early is None else UserUpdate(early.at_ns, "", True)
    return end.at_ns + append_ns(end, profile, renderer)


def _predicted(
    final: UserUpdate, updates: Sequence[UserUpdate], predictions: Sequence[EndPredicted]
) -> EndPredicted | None:
    """The first prediction that a final update confirms, if any."""
    if final.text or final.retracts:
        return None
    said_ns = max((update.at_ns for update in updates if update.at_ns < final.at_ns), default=0)
    return next((event for event in predictions if said_ns <= event.at_ns <= final.at_ns), None)


def append_ns(heard: UserUpdate | Silence, profile: Profile, renderer: Renderer) -> int:
    """The least that taking in an update or a silence costs: it alone, with no switch of roles before it."""
    if isinstance(heard, Silence):
        segment = Segment("silence", silence_text(heard.silent_ns), heard.at_ns)
    else:
        data = update_text(heard.text, heard.retracts)
        segment = Segment("final_query_update" if heard.final else "partial_query_update", data, heard.at_ns)
    return profile.append_ns(len(renderer.environment_ids(segment)))


def paths(task: Task, settings: Settings, made: Iterable[tuple[str, Mapping[str, Any]]] = ()) -> tuple[int, int]:
    """``(held, all)``: the least time from a commit point to the end of all calls that wait for it, and of all calls.

    Calls wait for one another where no argument would do without a result (`eval.measures.needs`), and writes of one
    resource run one by one.
    """
    least = least_latencies(task, made)
    held_until: dict[int, int] = {}
    until: dict[int, int] = {}
    one_by_one: defaultdict[str, int] = defaultdict(int)
    for k, needs in binding(task).items():
        spec = task.specs[task.gold[k - 1].name]
        until[k] = least[k] + max((until[n] for n in needs), default=0)
        waits = is_held(spec, settings) or any(n in held_until for n in needs)
        if waits:
            held_until[k] = least[k] + max((held_until[n] for n in needs if n in held_until), default=0)
        if spec.access == "write":
            for resource in spec.writes:
                one_by_one[resource] += least[k]
    return max([0, *held_until.values(), *one_by_one.values()]), max([0, *until.values()])


def is_held(spec: ToolSpec, settings: Settings) -> bool:
    """Whether a call to this tool can never start before the commit point."""
    return spec.access == "write" or spec.access == "egress" and spec.name not in settings.allowed_egress


def least_latencies(task: Task, made: Iterable[tuple[str, Mapping[str, Any]]] = ()) -> dict[int, int]:
    """Each gold call's least latency over its accepted values and the calls that were made to its tool."""
    toolbox, results = task.toolbox(), rehearse(task)
    of_tool: dict[str, int] = {}
    for name, args in made:
        of_tool[name] = min(of_tool.get(name, 1 << 62), toolbox.latency_ns(name, args))
    least = {}
    for k, gold in enumerate(task.gold, start=1):
        found = [toolbox.latency_ns(gold.name, args) for args in accepted_args(gold, results)]
        least[k] = min([*found, of_tool.get(gold.name, 1 << 62)])
    return least


# -- fewest tokens
# -------------------------------------------------------------------------------------------------------


def answer_tokens(task: Task, renderer: Renderer) -> int:
    """Fewest tokens of an action that answers: the tags, and one of the accepted answers or any one token."""
    return _answer_tokens(min((_fewest_folded(renderer, words) for words in task.answer), default=1), renderer)


def _answer_tokens(text: int, renderer: Renderer) -> int:
    tags = fewest_tokens(renderer, "<answer>") + fewest_tokens(renderer, "</answer>")
    # where tags are plain text, one token can end the one, hold the answer and begin the other
    return tags + text if _single(renderer, "<answer>") and _single(renderer, "</answer>") else max(1, tags + text - 2)


def commit_tokens(task: Task, settings: Settings, renderer: Renderer, on_silence: bool = False) -> int:
    """Fewest tokens up to what commits: any answer, for it may be taken back, and what else does by the commit rule."""
    answer = _answer_tokens(0, renderer)
    if settings.commit == "line":
        return min(answer, _line_tokens(fewest_tokens(renderer, "COMMIT"), renderer))
    if on_silence:  # the end of no other action commits then, nor does a call line
        return answer
    return min(answer, fewest_tokens(renderer, "<pause>"), call_tokens(task, renderer))


def call_tokens(task: Task, renderer: Renderer) -> int:
    """Fewest tokens up to the end of the first call line: its tag and the name of its tool."""
    return _line_tokens(min((fewest_tokens(renderer, call.name) for call in task.gold), default=0), renderer)


def _line_tokens(words: int, renderer: Renderer) -> int:
    """Fewest tokens up to the end of the first line, if ``words`` of it take so many."""
    tag = fewest_tokens(renderer, "<tool_call>")
    return tag + words if _single(renderer, "<tool_call>") else max(1, tag + words - 1)


def _single(renderer: Renderer, tag: str) -> bool:
    return tag in renderer.tag_ids


def fewest_tokens(renderer: Renderer, text: str) -> int:
    """A lower bound of the tokens that any spelling of ``text`` takes, those included that no tokenizer would choose.

    The first token may begin before the text and the last may end after it.
    """
    if text in renderer.tag_ids:
        return 1
    return _fewest(_vocabulary(renderer), text.encode())


def _fewest_folded(renderer: Renderer, answer: str) -> int:
    """The same for an answer, which is compared without case, punctuation and articles."""
    text = re.sub(r"\W", "", normal(answer))
    # outside ASCII a token may be part of a character, which folding would lose
    return _fewest(_folded_vocabulary(renderer), text.encode()) if text.isascii() and text else 1


@lru_cache(maxsize=4)
def _folded_vocabulary(renderer: Renderer) -> tuple[frozenset[bytes], frozenset[bytes], frozenset[bytes], int]:
    whole = _vocabulary(renderer)[0]
    return _parts(
        frozenset(re.sub(r"\W", "", token.decode(errors="ignore").lower()).encode() for token in whole) - {b""}
    )


@lru_cache(maxsize=4)
def _vocabulary(renderer: Renderer) -> tuple[frozenset[bytes], frozenset[bytes], frozenset[bytes], int]:
    """Whole tokens, their endings, their beginnings, and the length of the longest."""
    tokens = {renderer.token_bytes(index) for index in range(renderer.vocabulary_size)} - {b""}
    return _parts(frozenset(tokens))


def _parts(tokens: frozenset[bytes]) -> tuple[frozenset[bytes], frozenset[bytes], frozenset[bytes], int]:
    endings = frozenset(token[n:] for token in tokens for n in range(len(token)))
    beginnings = frozenset(token[:n] for token in tokens for n in range(1, len(token) + 1))
    return tokens, endings, beginnings, max(map(len, tokens))


@lru_cache(maxsize=4096)
def _fewest(vocabulary: tuple[frozenset[bytes], frozenset[bytes], frozenset[bytes], int], text: bytes) -> int:
    tokens, endings, beginnings, longest = vocabulary
    size = len(text)
    if not size:
        return 0
    if text in endings or text in beginnings:
        return 1
    # best[n]: fewest tokens that spell text[:n]; the first may bring something before it
    best = [0] + [size + 1] * size
    for end in range(1, size + 1):
        if text[:end] in endings:
            best[end] = 1
        for start in range(max(1, end - longest), end):
            if text[start:end] in tokens:
                best[end] = min(best[end], best[start] + 1)
    # the last may bring something after it
    tails = (best[start] + 1 for start in range(1, size) if text[start:] in beginnings)
    return min(best[size], *tails, size + 1) if size > 1 else best[size]
