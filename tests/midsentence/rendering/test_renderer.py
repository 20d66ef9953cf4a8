"""Rendering: append-only ids, data that stays data, text that comes back token by token."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from midsentence.clock import ns
from midsentence.core.lines import parse_line, write_call
from midsentence.core.protocol import EDITION, ENVIRONMENT_TAGS, TAGS
from midsentence.core.transcript import CLOSERS, Segment
from midsentence.rendering.chat_format import ChatFormat
from midsentence.rendering.renderer import CLOCK_EDGES_NS, Renderer, Rendering, as_data

NAMES = ("qwen", "llama", "smollm2")
FORMS = (
    ("token", "none", "flat"),
    ("token", "none", "chat"),
    ("text", "none", "chat"),
    ("token", "token", "flat"),
    ("token", "text", "flat"),
    ("text", "text", "chat"),
)
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def small_tokenizer(normalizer=None, specials=("<|im_start|>", "<|im_end|>")) -> PreTrainedTokenizerFast:
    """Byte-level, without merges: every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.add_special_tokens(list(specials))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="module")
def real(request):
    """Renderers on the real tokenizers, made once each."""
    made: dict[tuple[str, str, str, str | None], Renderer] = {}

    def get(name: str, tags: str = "token", clock: str = "none", turns: str | None = None) -> Renderer:
        if (name, tags, clock, turns) not in made:
            tokenizer = copy.deepcopy(request.getfixturevalue(f"{name}_tokenizer"))
            made[name, tags, clock, turns] = Renderer.prepare(tokenizer, tags, clock, turns)
        return made[name, tags, clock, turns]

    return get


def transcript(rng: random.Random, renderer: Renderer, length: int = 12) -> list[Segment]:
    """A random well-formed transcript: closers only after the model, nasty data everywhere."""
    environment = [tag[1:-1] for tag in ENVIRONMENT_TAGS if not tag.startswith("</")]
    data = [
        "text Bob",
        "",
        "</think>",
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|eot_id|>",
        "a\u2028b\x85c",
        "naïve 👍🏽",
        "＜think＞",
        "x < y & z",
        "10",
        " ",
        "<pau",
    ]
    actions = [
        "<think>to: Bob</think>",
        '<tool_call>\n1. f("é")\n',
        "</tool_call>",
        "<pause>",
        "<answer>Done 👍🏽.</answer>",
        "ha",
    ]
    segments: list[Segment] = []
    turn = "environment"
    for index in range(length):
        kind = rng.choice(["model", *environment, *(sorted(CLOSERS) if turn == "model" else ())])
        at_ns = index * rng.randrange(ns(2))
        if kind == "model":
            ids = renderer.action_ids(rng.choice(actions))
            ids = ids[: rng.randrange(1, len(ids) + 1)]  # a cut leaves half an action, or half a character
            segments.append(Segment("model", renderer.text(ids), at_ns, ids))
        else:
            segments.append(Segment(kind, rng.choice(data), at_ns))
        if kind not in CLOSERS:
            turn = "model" if kind == "model" else "environment"
    return segments


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("tags", "clock", "turns"), FORMS)
def test_ids_of_every_prefix_are_a_prefix_of_the_ids_of_the_whole(real, name, tags, clock, turns):
    renderer = real(name, tags, clock, turns)
    assert renderer.turns == turns
    prompt = renderer.prompt_ids("You listen.\n<pause> waits.")
    for seed in range(8):
        segments = transcript(random.Random(seed), renderer)
        whole = renderer.ids(prompt, segments)
        rendering, grown = Rendering(renderer), list(prompt)
        for length, segment in enumerate(segments):
            assert grown == renderer.ids(prompt, segments[:length]) == whole[: len(grown)]
            grown += rendering.model(segment.ids) if segment.kind == "model" else rendering.environment([segment])
        assert grown == whole
        decode = renderer.tokenizer.decode(whole, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert renderer.text(whole) == decode


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("tags", "turns"), [("token", "flat"), ("token", "chat"), ("text", "chat")])
def test_data_becomes_no_tag_and_no_added_token(real, name, tags, turns):
    renderer = real(name, tags, turns=turns)
    added = set(renderer.tokenizer.added_tokens_decoder)
    contents = [
        token.content for token in renderer.tokenizer.added_tokens_decoder.values() if "reserved" not in token.content
    ]
    frame = set(renderer.environment_ids(Segment("tool_result", "", 0)))
    rng = random.Random(1)
    for content in [*contents, *TAGS, *(a + b for a, b in zip(TAGS, reversed(TAGS)))]:
        part = content[: rng.randrange(1, len(content) + 1)]
        for data in (content, f"1: {content}x", content.replace("<", "＜"), part, f"\n{content}\r\n"):
            ids = renderer.environment_ids(Segment("tool_result", data, 0))
            assert added.isdisjoint(set(ids) - frame), data
            body = renderer.text(ids).removeprefix("<tool_result>")
            assert turns == "flat" or body.endswith("\n"), data
            assert not set(body[:-1]) & set("\n\r") and not any(tag in body for tag in TAGS), data


HARMLESS = [
    "AT&T",
    "a < b",
    "if a<b && c>d",
    "&lt;b&gt;",
    "<b>",
    "I <3 you",
    "<thinking>",
    "< think >",
    "</s>",
    "<think",
    "＜強＞",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("tags", "turns"), [("token", "flat"), ("token", "chat"), ("text", "chat")])
def test_what_only_looks_like_markup_reads_as_it_was_said(real, name, tags, turns):
    renderer = real(name, tags, turns=turns)
    for text in HARMLESS:
        shown = renderer.text(renderer.environment_ids(Segment("partial_query_update", text, 0)))
        assert shown.strip() == f"<partial_query_update> {text}"
        line = renderer.action_ids(write_call(1, "send", (text,)))
        assert renderer.text(line) == f'1. send("{text}")' and parse_line(renderer.text(line)).positional == (text,)


def test_what_would_read_as_a_tag_is_broken_where_it_begins():
    assert as_data("say <think> & </TOOL_CALL> <b>") == "say &lt;think> & &lt;/TOOL_CALL> <b>"
    assert (
        as_data("＜ｐａｕｓｅ＞ <th\u200bink> <\u0338answer>") == "&lt;ｐａｕｓｅ＞ &lt;th\u200bink> &lt;\u0338answer>"
    )
    assert as_data("a\n<pau\nse>") == "a <pau se>"


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_in_an_argument_comes_back_and_is_no_token(real, tag):
    for renderer in (real("smollm2"), real("smollm2", "text")):
        ids = renderer.action_ids(write_call(1, "send", (f"a {tag} <b>",)))
        assert set(renderer.tag_ids.values()).isdisjoint(ids)
        assert parse_line(renderer.text(ids)).positional == (f"a {tag} <b>",)


def test_the_text_of_a_transcript_in_flat_turns(real):
    for name in NAMES:
        renderer = real(name)
        act = renderer.action_ids('<think>to: Bob</think><tool_call>\n1. get("Bob")\n')
        segments = [
            Segment("partial_query_update", "text Bob & <b>", ns(1)),
            Segment("model", "", ns(2), act),
            Segment("tool_call_interrupted", "", ns(2)),
            Segment("tool_result", '1: "ok"', ns(3)),
            Segment("final_query_update", "", ns(3)),
            Segment("model", "", ns(4), renderer.action_ids("<pause>")),
        ]
        spans = renderer.spans(renderer.prompt_ids("Help."), segments)
        assert [(span.kind, span.segment, renderer.text(span.ids)) for span in spans[1:]] == [
            ("partial_query_update", 0, "<partial_query_update> text Bob & <b>"),
            ("model", 1, '<think>to: Bob</think><tool_call>1. get("Bob")\n'),
            ("tool_call_interrupted", 2, "</tool_call_interrupted>"),
            ("tool_result", 3, '<tool_result>1: "ok"'),
            ("final_query_update", 4, "<final_query_update>"),
            ("model", 5, "<pause>"),
        ]


def test_flat_turns_need_tags_that_are_tokens():
    with pytest.raises(ValueError, match="turns='flat' needs tags that are tokens.*use 'chat'"):
        Renderer(small_tokenizer(), "text", turns="flat")
    with pytest.raises(ValueError, match="turns is 'long'"):
        Renderer(small_tokenizer(), "text", turns="long")


def test_the_model_may_be_quoted_but_only_tags_become_tokens(real):
    renderer = real("qwen")
    ids = renderer.action_ids("<think>said <|im_end|></think><pause>")
    shown = [renderer.text([index]) for index in ids]
    assert (shown[0], shown[-2:]) == ("<think>", ["</think>", "<pause>"])
    assert renderer.tokenizer.convert_tokens_to_ids("<|im_end|>") not in ids
    assert "".join(shown) == "<think>said <|im_end|></think><pause>"


def test_the_text_of_a_transcript_in_qwens_own_format(real):
    renderer = real("qwen", turns="chat")
    act = renderer.action_ids('<think>to: Bob</think><tool_call>\n1. get("Bob")\n')
    segments = [
        Segment("partial_query_update", "text Bob & <b>", ns(1)),
        Segment("model", "", ns(2), act),
        Segment("tool_call_interrupted", "", ns(2)),
        Segment("tool_result", '1: "ok"', ns(3)),
        Segment("final_query_update", "", ns(3)),
        Segment("model", "", ns(4), renderer.action_ids("<pause>")),
    ]
    spans = renderer.spans(renderer.prompt_ids("Help."), segments)
    assert [(span.kind, span.segment, renderer.text(span.ids)) for span in spans] == [
        ("prompt", None, "<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\n"),
        ("partial_query_update", 0, "<partial_query_update> text Bob & <b>\n"),
        ("role", None, "<|im_end|>\n<|im_start|>assistant\n"),
        ("model", 1, '<think>to: Bob</think><tool_call>\n1. get("Bob")\n'),
        ("tool_call_interrupted", 2, "</tool_call_interrupted>"),
        ("role", None, "<|im_end|>\n<|im_start|>user\n"),
        ("tool_result", 3, '<tool_result> 1: "ok"\n'),
        ("final_query_update", 4, "<final_query_update>\n"),
        ("role", None, "<|im_end|>\n<|im_start|>assistant\n"),
        ("model", 5, "<pause>"),
    ]


def test_qwens_own_tool_call_tokens_are_reused(real):
    assert real("qwen").tag_ids["<tool_call>"] == real("qwen", "text").tag_ids["<tool_call>"] == 151657
    assert set(real("qwen", "text").tag_ids) == {"<tool_call>", "</tool_call>"}
    assert real("smollm2", "text").tag_ids == {}


def test_llamas_template_says_the_same_date_every_day(real):
    assert "Today Date: 26 Jul 2024" in real("llama").format.start


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=60))
def test_the_decoder_gives_the_whole_text_in_pieces(real, name, text):
    renderer = real(name)
    ids = (*renderer.action_ids(f" {text}"), *renderer.action_ids("<pause>"))
    decoder = renderer.decoder()
    pieces = [decoder.push(index) for index in ids]
    assert "".join(pieces) == renderer.text(ids)
    assert pieces[-1] == "<pause>"
    assert decoder.flush() == ""


def test_a_character_cut_in_half_waits_and_then_is_replaced(real):
    renderer = real("qwen")
    ids = renderer.action_ids("🜁")
    decoder = renderer.decoder()
    assert "".join(decoder.push(index) for index in ids[:-1]) == ""
    assert decoder.flush() == "\ufffd"


def test_clock_stamps():
    segments = [Segment("partial_query_update", "a", ns(0.5)), Segment("tool_result", "1: 2", ns(3.24))]
    text = Renderer.prepare(small_tokenizer(), "token", "text", "chat")
    assert text.text(text.ids((), segments)) == "<partial_query_update> @0.5 a\n<tool_result> @3.2 1: 2\n"
    flat = Renderer.prepare(small_tokenizer(), "token", "text")
    assert flat.text(flat.ids((), segments)) == "<partial_query_update> @0.5 a<tool_result> @3.2 1: 2"
    token = Renderer.prepare(small_tokenizer(), "token", "token", "chat")
    assert token.text(token.ids((), segments)) == "<partial_query_update><clock_28> a\n<tool_result><clock_42> 1: 2\n"
    late = [replace(segments[0], at_ns=ns(1000)), replace(segments[1], at_ns=ns(1000))]
    assert token.text(token.ids((), late)) == "<partial_query_update><clock_63> a\n<tool_result><clock_0> 1: 2\n"
    assert list(CLOCK_EDGES_NS) == sorted(set(CLOCK_EDGES_NS))


def test_a_turn_that_the_model_ended_itself_is_not_ended_twice():
    renderer = Renderer.prepare(small_tokenizer(), turns="chat")
    end = renderer.tokenizer.convert_tokens_to_ids("<|im_end|>")
    rendering = Rendering(renderer)
    rendering.model((*renderer.action_ids("<pause>"), end))
    assert renderer.text(rendering.environment([Segment("error", "no", 0)])) == "\n<|im_start|>user\n<error> no\n"


def test_a_header_that_no_token_follows_is_not_written():
    renderer = Renderer.prepare(small_tokenizer(), turns="chat")
    rendering = Rendering(renderer)
    assert renderer.text(rendering.header()) == "<|im_end|>\n<|im_start|>assistant\n"
    assert rendering.model(()) == ()
    assert renderer.text(rendering.copy().environment([Segment("error", "no", 0)])) == "<error> no\n"
    rendering.model(renderer.action_ids("<pause>"))
    assert rendering.header() == ()


def test_a_closer_needs_a_turn_of_the_model():
    with pytest.raises(ValueError, match="no turn of the model open"):
        Rendering(Renderer.prepare(small_tokenizer())).environment([Segment("think_interrupted", "", 0)])


@pytest.mark.parametrize(
    "normalizer",
    [
        normalizers.NFKC(),
        normalizers.NFKD(),
        normalizers.Replace("‹", "<"),
        normalizers.Replace("x", "<"),
        normalizers.NFC(),
    ],
)
def test_a_normaliser_makes_no_brackets_of_data(normalizer):
    renderer = Renderer.prepare(small_tokenizer(normalizer))
    for data in ("＜think＞", "﹤think﹥", "≮ ≯", "‹think›", "<\u0338", "&lt;", "a‹/think>"):
        ids = renderer.environment_ids(Segment("tool_result", data, 0))
        said = renderer.text(ids).removeprefix("<tool_result>")
        assert not any(tag in said.casefold() for tag in TAGS), data
        assert ids[1:] and all(index < 256 for index in ids[1:]), data


def test_a_vocabulary_whose_special_tokens_are_ordinary_entries():
    alphabet = [chr(code) for code in range(33, 127)] + ["Ġ", "Ċ"]
    merges = [("[", "I"), ("[I", "N"), ("[IN", "S"), ("[INS", "T"), ("[INST", "]")]
    vocabulary = {token: index for index, token in enumerate([*alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["[INST]"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = "{% for m in messages %}[INST]{{ m.role }}:{{ m.content }};{% endfor %}"
    renderer = Renderer.prepare(tokenizer)
    assert vocabulary["[INST]"] in renderer.prompt_ids("")
    ids = renderer.action_ids("say[INST]")
    assert vocabulary["[INST]"] not in ids
    assert renderer.text(ids) == "say[INST]"


@given(
    text=st.text(max_size=40)
    | st.lists(st.sampled_from([*TAGS, "<", "a", "\n", "＜", "\u0338"]), max_size=5).map("".join)
)
@settings(max_examples=100, deadline=None)
def test_data_is_one_line_without_a_tag_and_otherwise_as_it_was(text):
    said = as_data(text)
    assert not any(tag in said for tag in TAGS)
    assert said.splitlines() in ([], [said])
    if text.isprintable() and "<" not in text and "＜" not in text:
        assert said == text


def test_half_a_surrogate_pair_is_replaced():
    renderer = Renderer.prepare(small_tokenizer())
    assert renderer.text(renderer.environment_ids(Segment("tool_result", "a\ud83d", 0))) == "<tool_result> a\ufffd"


def test_the_fingerprint_names_everything_that_ids_depend_on(monkeypatch):
    base = Renderer.prepare(small_tokenizer())
    assert base.fingerprint == Renderer.prepare(small_tokenizer()).fingerprint
    template = small_tokenizer()
    template.chat_template = CHATML.replace("\n", "\\n\\n")
    others = [
        Renderer(small_tokenizer(), "text"),
        Renderer.prepare(small_tokenizer(), turns="chat"),
        Renderer.prepare(small_tokenizer(), "token", "text"),
        Renderer.prepare(small_tokenizer(), "token", "token"),
        Renderer.prepare(small_tokenizer(normalizers.Lowercase())),
        Renderer.prepare(small_tokenizer(specials=("<|im_start|>", "<|im_end|>", "<|x|>"))),
        Renderer.prepare(template),
    ]
    monkeypatch.setattr("midsentence.rendering.renderer.EDITION", EDITION + 1)
    others.append(Renderer.prepare(small_tokenizer()))
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 9


def test_what_a_saved_tokenizer_renders_is_the_same(tmp_path, real):
    renderer = real("smollm2", "token", "token")
    renderer.tokenizer.save_pretrained(tmp_path)
    again = Renderer(type(renderer.tokenizer).from_pretrained(tmp_path), "token", "token")
    assert again.fingerprint == renderer.fingerprint
    assert again.vocabulary_size == renderer.vocabulary_size == len(renderer.tokenizer)


def test_a_template_without_a_system_role():
    tokenizer = small_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    )
    shape = ChatFormat.of(tokenizer)
    assert (shape.start, shape.system_to_environment) == ("<|im_start|>user\n", "\n\n")


def test_bad_tokenizers_and_settings_are_named():
    tokenizer = small_tokenizer()
    with pytest.raises(ValueError, match=r"lacks 17 tokens.*Renderer\.prepare"):
        Renderer(tokenizer, "token")
    with pytest.raises(ValueError, match="tags is 'tokens'"):
        Renderer(tokenizer, "tokens")
    tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(ValueError, match="does not write the turns in order"):
        Renderer(tokenizer, "text")
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="has no chat template"):
        Renderer(tokenizer, "text")
    with pytest.raises(TypeError, match="no fast"):
        Renderer(object(), "text")
