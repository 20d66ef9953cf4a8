"""Which ids the loss counts: exact lists, for the tokenizers of three models and the tiny one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from data_gen.trajectory import BadData, Piece, Trajectory
from midsentence.core.transcript import Segment
from midsentence.rendering.renderer import Renderer
from tests.data_gen.made import trajectory
from training.tokens import IGNORED, KINDS, make_example

THREE_LINES = [
    ("partial_query_update", "text Bob", True),
    ("model", "<think>to: Bob</think><pause>", True),
    ("final_query_update", "hello", True),
    ("model", '<tool_call>\n1. send_sms("Bob", "hello")\n</tool_call>', True),
    ("tool_result", '1: "sent"', True),
    ("model", "<answer>Done.</answer>", True),
]


def renderer_of(tokenizer: Any, stamps: str = "none", turns: str = "flat") -> Renderer:
    return Renderer.prepare(copy.deepcopy(tokenizer), "token", stamps, turns)


def flat(text: str) -> str:
    """What the model wrote, as flat turns have it."""
    return text.replace("<tool_call>\n", "<tool_call>")


def row(renderer: Renderer, lines: list[tuple[str, str, bool]], tokenizer: str | None = None) -> Trajectory:
    """A trajectory, as far as labels need it."""
    segments = tuple(
        Piece(
            Segment(kind, text, n * 10**9, tuple(renderer.action_ids(text)) if kind == "model" else ()),
            kind == "model" and supervised,
        )
        for n, (kind, text, supervised) in enumerate(lines)
    )
    return trajectory(
        id="t/0",
        tokenizer=tokenizer or renderer.fingerprint,
        prompt_ids=tuple(renderer.prompt_ids("Tools:")),
        segments=segments,
    )


def test_a_share_of_the_bare_pauses_can_be_left_out_and_nothing_else(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    lines = [
        (kind, text, True) for n in range(40) for kind, text in (("partial_query_update", "so"), ("model", "<pause>"))
    ]
    lines += [("model", "<think>to: Bob</think><pause>", True)]
    whole, none = (make_example(row(renderer, lines), renderer, idle_pauses=share) for share in (1.0, 0.0))
    thought = [*renderer.action_ids("<think>to: Bob</think><pause>")]
    assert supervised(whole) == [*renderer.action_ids("<pause>")] * 40 + thought
    assert supervised(none) == thought
    half = supervised(make_example(row(renderer, lines), renderer, idle_pauses=0.5))
    assert 10 < len(half) - len(thought) < 30
    assert half == supervised(make_example(row(renderer, lines), renderer, idle_pauses=0.5))


def supervised(example: Any) -> list[int]:
    return example.labels[example.labels != IGNORED].tolist()


EXPECTED = {
    "qwen": [
        151665,
        983,
        25,
        14261,
        151666,
        151667,  # <think>, to, :, Bob, </think>, <pause>
        151657,
        16,
        13,
        3624,
        58567,
        445,
        32388,
        497,
        330,
        14990,
        1138,
        151658,  # Qwen's own <tool_call> … </tool_call>
        151668,
        17453,
        13,
        151669,  # <answer>, Done, ., </answer>
    ],
    "llama": [
        128256,
        998,
        25,
        14596,
        128257,
        128260,
        128258,
        16,
        13,
        3708,
        59667,
        446,
        33488,
        498,
        330,
        15339,
        1158,
        128259,
        128261,
        17911,
        13,
        128262,
    ],
    "smollm2": [
        49152,
        1141,
        42,
        8363,
        49153,
        49156,
        49154,
        33,
        30,
        5091,
        79,
        99,
        686,
        1470,
        6777,
        1002,
        476,
        28120,
        1715,
        198,
        49155,
        49157,
        41462,
        30,
        49158,
    ],
    "tiny": [
        1467,
        282,
        28,
        738,
        1468,
        1471,
        1469,
        19,
        16,
        380,
        65,
        537,
        399,
        748,
        292,
        283,
        261,
        776,
        81,
        337,
        201,
        1470,
        1472,
        622,
        16,
        1473,
    ],
}


@pytest.mark.parametrize("name", ["qwen", "llama", "smollm2", "tiny"])
def test_the_supervised_ids_are_what_the_model_wrote(name, request):
    renderer = renderer_of(request.getfixturevalue(f"{name}_tokenizer"))
    example = make_example(row(renderer, THREE_LINES), renderer)
    assert supervised(example) == EXPECTED[name]
    assert renderer.text(supervised(example)) == flat("".join(text for kind, text, _ in THREE_LINES if kind == "model"))


@pytest.mark.parametrize("name", ["qwen", "llama", "smollm2", "tiny"])
@pytest.mark.parametrize(("stamps", "turns"), [("none", "flat"), ("text", "flat"), ("token", "flat"), ("none", "chat")])
def test_the_ids_are_those_of_the_renderer_whatever_the_clock_and_the_turns(name, stamps, turns, request):
    renderer = renderer_of(request.getfixturevalue(f"{name}_tokenizer"), stamps, turns)
    made = row(renderer, THREE_LINES)
    example = make_example(made, renderer)
    assert example.ids.tolist() == renderer.ids(made.prompt_ids, [piece.segment for piece in made.segments])
    assert tuple(example.ids[: example.prompt_tokens].tolist()) == made.prompt_ids
    counted = example.labels != IGNORED
    assert (example.labels[counted] == example.ids[counted]).all()
    texts = "".join(text for kind, text, _ in THREE_LINES if kind == "model")
    assert renderer.text(supervised(example)) == (
        texts if turns == "chat" else flat(texts)
    )  # no stamp and no header among them


def test_each_segment_begins_where_its_tag_stands(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    example = make_example(row(renderer, THREE_LINES), renderer)
    first = [renderer.text([example.ids[start]]) for start in example.starts]
    assert first == [
        "<partial_query_update>",
        "<think>",
        "<final_query_update>",
        "<tool_call>",
        "<tool_result>",
        "<answer>",
    ]


CUT = [
    ("final_query_update", "text Bob", True),
    ("model", "<think>to: Bob</think><tool_call>\n1. send", True),
    ("tool_call_interrupted", "", True),
    ("final_query_update", "no, Ann", True),
    ("model", "<pause>", True),
]


def test_a_cut_span_counts_up_to_the_cut_and_its_closer_never(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    example = make_example(row(renderer, CUT), renderer)
    assert renderer.text(supervised(example)) == "<think>to: Bob</think><tool_call>1. send<pause>"
    assert renderer.tag_ids["</tool_call_interrupted>"] in example.ids


def test_a_cut_span_can_be_left_out_but_not_what_stands_before_it(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    example = make_example(row(renderer, CUT), renderer, cut_spans=False)
    assert renderer.text(supervised(example)) == "<think>to: Bob</think><pause>"


def test_an_injected_error_does_not_count_and_its_repair_does(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    lines = [
        THREE_LINES[2],
        ("model", "<tool_call>\n1. wrong()\n</tool_call>", False),
        ("error", "no tool wrong", True),
        THREE_LINES[3],
    ]
    example = make_example(row(renderer, lines), renderer)
    assert renderer.text(supervised(example)) == flat(THREE_LINES[3][1])


@pytest.mark.parametrize("turns", ["flat", "chat"])
def test_the_kind_of_each_token(tiny_tokenizer, turns):
    renderer = renderer_of(tiny_tokenizer, turns=turns)
    lines = [
        THREE_LINES[2],
        ("model", "<think>t</think><tool_call>\n1. f()\n2. g()\n</tool_call>", True),
        ("tool_result", "1: 1", True),
        ("model", '<tool_call>\n2. h()\nREMOVE 1\n3. k()\n2. text += "a"\nCOMMIT 2\n</tool_call>', True),
        ("tool_result", "2: 1", True),
        ("model", "<pause>", True),
        ("tool_result", "3: 1", True),
        ("model", "<answer>2. not a call</answer>", True),
    ]
    example = make_example(row(renderer, lines), renderer)
    spelled = {kind: "" for kind in KINDS}
    for index, kind in zip(example.ids.tolist(), example.kinds.tolist(), strict=True):
        if kind >= 0:
            spelled[KINDS[kind]] += renderer.text([index])
    calls = "<tool_call>\n1. f()\n2. g()\n</tool_call><tool_call>\n3. k()\nCOMMIT 2\n</tool_call>"
    assert spelled == {
        "thought": "<think>t</think>",
        "call": calls if turns == "chat" else flat(calls),
        "revision": '2. h()\nREMOVE 1\n2. text += "a"\n',
        "pause": "<pause>",
        "answer": "<answer>2. not a call</answer>",
    }


def test_another_tokenizer_is_refused_by_name(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    expected = (
        f"made with tokenizer 0123456789abcdef, .*is {renderer.fingerprint}; generate the data again with model=tiny"
    )
    with pytest.raises(BadData, match=expected):
        make_example(row(renderer, THREE_LINES, tokenizer="0123456789abcdef"), renderer, model="tiny")


def test_nothing_is_supervised_where_the_model_wrote_nothing(tiny_tokenizer):
    renderer = renderer_of(tiny_tokenizer)
    example = make_example(row(renderer, [THREE_LINES[0], THREE_LINES[2]]), renderer)
    assert example.supervised_tokens == 0
    assert np.array_equal(example.kinds, np.full(len(example), -1))
