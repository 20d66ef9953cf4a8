"""The listener's bound: the lowest response latency of an agent that writes only what it has heard.

Owns the bound that lies between the floor and an agent's latency. The floor is that of a clairvoyant. This bound learns
a word when the recogniser passes it on, and then knows at once what it means and whether the request is complete: it is
an oracle for the extent of values and the number of calls. Only a lucky guess is faster, so better listening can't save
the time between the two bounds. `docs/saving.md` has figures. Reads nothing of an episode except the latencies of the
calls that it made, like the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_gen.gold import canonical, references
from data_gen.grounding.heard import plain
from data_gen.task import GoldCall, Task
from eval.measures.floor import answer_tokens, append_ns, commit_tokens, is_held, least_latencies
from eval.measures.needs import binding
from midsentence.clock import NS_PER_S, Profile
from midsentence.core.events import EndPredicted, UserUpdate
from midsentence.core.modes import Settings
from midsentence.rendering.renderer import Renderer


def listener_ns(
    task: Task,
    updates: Sequence[UserUpdate | EndPredicted],
    settings: Settings,
    profile: Profile,
    renderer: Renderer,
    made: Iterable[tuple[str, Mapping[str, Any]]] = (),
    told: int | None = None,
) -> int:
    """The least latency with which a task can be done right by who has heard what it writes, from the end of the last
    word.

    A read starts no earlier than its last word is in the context and a token more is written; a held call waits for a
    final update that finds its words heard. Where a final update came in mid-sentence, what was whole by then may go.

    Args:
        task: what is asked, with the words that say each value.
        updates: what the recogniser passes on.
        settings: the mode's row; commits are those of final updates.
        profile: the device.
        renderer: counts tokens.
        made: as for `eval.measures.floor.floor`.
        told: tokens of an answer that says what was looked up, so that it waits for it; None for the shortest answer,
            which waits for nothing unless one is accepted by its words.
    """
    said = [event for event in updates if isinstance(event, UserUpdate)]
    token_ns = NS_PER_S // profile.decode_tokens_per_s
    read_ns = {update.at_ns: update.at_ns + append_ns(update, profile, renderer) for update in said}
    known_ns = heard_ns(task, said)
    commit_ns = commit_tokens(task, settings, renderer) * token_ns + settings.commit_grace_ns
    specs, least, edges = task.specs, least_latencies(task, made), binding(task)
    start_ns: dict[int, int] = {}
    end_ns: dict[int, int] = {}
    held: set[int] = set()
    for k, needs in sorted(edges.items()):
        spec = specs[task.gold[k - 1].name]
        whole_ns = max((known_ns[n] for n in _words(task.gold[k - 1])), default=said[0].at_ns)
        if is_held(spec, settings) or needs & held:
            held.add(k)
            whole_ns = min(
                read_ns[update.at_ns] + commit_ns for update in said if update.final and update.at_ns >= whole_ns
            )
        else:
            whole_ns = read_ns[whole_ns] + token_ns
        start_ns[k] = max([whole_ns, *(end_ns[n] for n in needs if n in end_ns)])
        end_ns[k] = start_ns[k] + least[k]
    answer = answer_tokens(task, renderer) if told is None else told
    answer_ns = read_ns[said[-1].at_ns]
    looked_up = _told(task, edges) if told is not None or task.answer else []
    if looked_up:  # of a question that one look-up answers any may be that one
        known = [end_ns[k] + profile.append_ns(1) for k in looked_up]
        answer_ns = max(answer_ns, max(known) if told is not None else min(known))
    done_ns = max([0, *end_ns.values(), *_one_by_one(task, edges, start_ns, least)])
    return max(answer_ns + answer * token_ns, done_ns) - task.speech_end_ns


def heard_ns(task: Task, said: Sequence[UserUpdate]) -> list[int]:
    """When each word was first passed on as what it is; at the end at the latest."""
    found = [said[-1].at_ns] * len(task.words)
    heard: list[str] = []
    known: set[int] = set()
    for update in said:
        del heard[max(0, len(heard) - update.retracts) :]
        heard += update.text.split()
        for n, (word, text) in enumerate(zip(task.words, heard)):
            if n not in known and plain(word.text) == plain(text):
                known.add(n)
                found[n] = update.at_ns
    return found


def _words(gold: GoldCall) -> list[int]:
    """The words without which nobody knows what is asked for: the last of what names the tool, and of each value that
    has to be given."""
    spans = [span for name, span in gold.arg_evidence.items() if gold.args[name].must_be_given]
    return [span.end - 1 for span in (gold.name_evidence, *spans) if span.end > 0]


def _told(task: Task, edges: Mapping[int, Any]) -> list[int]:
    """What is looked up for its own sake: the reads that no other call takes the result of."""
    taken = {k for call in task.gold for k in references(canonical(call))}
    return [k for k in edges if k not in taken and task.specs[task.gold[k - 1].name].access != "write"]


def _one_by_one(
    task: Task, edges: Mapping[int, Any], start_ns: Mapping[int, int], least: Mapping[int, int]
) -> list[int]:
    """For each resource that is written, when its writes are over at the earliest: one at a time, none before it may
    start."""
    over: dict[str, int] = {}
    for k in sorted(edges, key=lambda k: start_ns[k]):
        spec = task.specs[task.gold[k - 1].name]
        for resource in spec.writes if spec.access == "write" else ():
            over[resource] = max(over.get(resource, 0), start_ns[k]) + least[k]
    return list(over.values())
