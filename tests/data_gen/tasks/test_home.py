"""Home Assistant's intents as a source: what is read, what every sampled request must hold to in each language, and
each refusal."""

from __future__ import annotations

import random
from importlib.metadata import PackageNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("hassil", reason="pip install -e '.[home]'")
pytest.importorskip("home_assistant_intents", reason="pip install -e '.[home]'")

from configs.schema import Config, DataConfig, EndpointConfig, ModelConfig
from data_gen import check, generate
from data_gen.card import _LICENCES
from data_gen.checks.tally import COUNTERS
from data_gen.gold import canonical
from data_gen.grounding.heard import hangs
from data_gen.grounding.reading import reading_of
from data_gen.grounding.spans import plain
from data_gen.sources import inputs, load
from data_gen.speech.words import cut, joined, plain_text, word_spans
from data_gen.task import GoldArg
from data_gen.tasks import home
from data_gen.tasks.home import package
from data_gen.tasks.home.grammar import Grammar
from data_gen.tasks.twins import known_by, twin
from midsentence.tools.tool import ToolFailure, bind, mismatch

LANGUAGES = ("en", "fi", "zh-CN")
ENGLISH_ONLY = {"on"}
"""Words of the readings' English lists that are words of another language too; what closes a value there has lists of
its own."""


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def found(language) -> dict[str, list]:
    """Requests of a language by split."""
    return {
        split: list(home.tasks(split, 0, count, language))
        for split, count in (("train", 60), ("validation", 10), ("test", 30))
    }


@pytest.fixture(scope="module")
def every(found) -> list:
    return [task for split in found.values() for task in split]


def grammar(language: str) -> Grammar:
    return home._language(language).grammar


def wanted(task, heard: int) -> list[tuple]:
    said = reading_of(task).wanted(task.said(heard), False)
    return [(want.spec.name, dict(want.args), want.complete) for want in said]


# words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("把客厅的灯调到50%", "把 客 厅 的 灯 调 到 50%"),
        ("打开台灯，然后播放Hey Jude", "打 开 台 灯， 然 后 播 放 Hey Jude"),
        ("42秒的倒计时", "42 秒 的 倒 计 时"),
    ],
)
def test_where_no_spaces_are_written_a_character_is_a_word(text, words):
    assert cut(text, spaces=False) == tuple(words.split())
    assert joined(words.split(), spaces=False) == text
    assert [text[start:end] for start, end in word_spans(text, spaces=False)] == words.split()


@settings(deadline=None)
@given(st.text(alphabet="把灯开的电か 5%aB，。,.-'", max_size=30), st.booleans())
def test_what_was_cut_is_put_together_again(text, spaces):
    said = plain_text(text, spaces)
    words = cut(said, spaces)
    assert joined(words, spaces) == said and all(word and not any(map(str.isspace, word)) for word in words)
    # a word ends where it ends, whatever is said after it
    assert all(cut(joined(words[:n], spaces), spaces) == words[:n] for n in range(len(words)))


# every request


def test_a_request_is_what_was_said_and_no_other_is_like_it(found, every, language):
    spaces = home._language(language).vocabulary["spaces"]
    for task in every:
        assert joined(task.said(), spaces) == task.meta["said"] and task.source == "home"
        assert task.tags == (f"language:{language}", f"commands:{len(task.gold)}")
    assert len({task.request for task in found["test"]}) == 30
    assert {len(task.gold) for task in every} == {1, 2, 3} and len(
        {call.name for task in every for call in task.gold}
    ) > 20


def test_gold_plays_in_its_house(every):
    for task in every:
        world, specs = task.toolbox(), task.specs
        for call in task.gold:
            args = bind(specs[call.name], (), canonical(call))
            assert all(mismatch(args[p.name], p.schema) is None for p in specs[call.name].params if p.name in args)
            assert world.run(call.name, args) is not None and 1e8 < world.latency_ns(call.name, args) < 2e9
        assert len(world.effects) == sum(specs[call.name].access == "write" for call in task.gold)


def test_the_words_of_a_mark_hold_its_value(every, language):
    known, forms = grammar(language), home._language(language).vocabulary.get("forms", {})
    for task in every:
        for call in task.gold:
            for slot, span in call.arg_evidence.items():
                value, words = call.args[slot].values[0], task.said(span.end)[span.start :]
                text = joined([plain(word) for word in words], home._language(language).vocabulary["spaces"])
                if slot in ("name", "item", "message", "search_query", "floor"):
                    assert plain(value) in text or value in text, (task.request, slot, value, text)
                elif slot == "area":
                    assert any(form in text for form in forms.get(value, [value])), (task.request, value, text)
                elif isinstance(value, int) and any(map(str.isdigit, text)) and "/" not in text:
                    assert str(abs(value)) in text, (task.request, slot, value, text)
                else:  # "half", "warm white", "curtains", and what the beginning makes clear
                    assert value is not None and len(words) <= 8
    assert known.templates


def test_home_assistant_takes_a_sentence_for_its_gold_call(every, language):
    for task in every:
        if len(task.gold) == 1:
            (call,) = task.gold
            args = {slot: arg.values[0] for slot, arg in call.args.items()}
            assert grammar(language).calls(task.meta["said"]) == {(call.name, tuple(sorted(args.items())))}


def test_a_prefix_means_the_same_whatever_follows(every):
    seen, shared = {}, 0
    for task in every:
        for heard in range(1, len(task.words)):
            # a comma at the end tells that a command is over, and is not sent
            said = " ".join(plain(word) for word in task.said(heard))
            before, other = seen.setdefault(said, (wanted(task, heard), task.request))
            shared += other != task.request
            assert before == wanted(task, heard), f"{said!r} in {task.request!r} and in {other!r}"
    assert shared > 40


def test_the_reading_never_looks_behind_the_prefix(every):
    draw = random.Random(0)
    for n, task in enumerate(every):
        known = {spec.name for spec in task.tools}
        other = next((other for other in every[n + 1 :] if {call.name for call in other.gold} <= known), task)
        if len(task.words) < 2:
            continue
        point = draw.randrange(1, len(task.words))
        double = twin(task, other, point)
        for heard in range(point + 1):
            assert wanted(task, heard) == wanted(double, heard) == wanted(known_by(task, heard), heard)


def test_all_is_wanted_in_the_end_and_half_of_it_before(every):
    early = 0
    for task in every:
        final = reading_of(task).wanted(task.said(), True)
        assert sorted((want.spec.name, str(dict(want.args))) for want in final) == sorted(
            (call.name, str({p.name: canonical(call)[p.name] for p in spec.params if p.name in canonical(call)}))
            for call in task.gold
            for spec in task.tools
            if spec.name == call.name
        )
        early += bool(wanted(task, len(task.words) - 1))
    assert early > len(every) / 2  # most tools are clear before the last word


def test_no_word_is_taken_for_an_english_one(every, language):
    if language != "en":
        assert {plain(word) for task in every for word in task.said() if hangs(word)} <= ENGLISH_ONLY


# splits and seeds


def test_no_training_template_could_have_said_a_test_sentence(found, language):
    known, by = grammar(language), {split: grammar(language).of(split) for split in home.BEFORE}
    texts = {split: {(t.intent, t.text) for some in by[split].values() for t in some} for split in by}
    assert (
        not texts["train"] & texts["test"]
        and not texts["train"] & texts["validation"]
        and not texts["validation"] & texts["test"]
    )
    wordings = {split: {text for task in found[split] for text in task.meta["templates"]} for split in found}
    assert not wordings["train"] & wordings["test"] and not wordings["validation"] & wordings["test"]
    for task in found["test"]:
        if len(task.gold) == 1:
            patterns = (known._single(template) for template in by["train"].get(task.gold[0].name, ()))
            same = [pattern for pattern in patterns if pattern.fullmatch(task.meta["said"])]
            assert not same or dict(task.gold[0].args).get("domain"), task.request


def test_a_seed_gives_the_same_requests_and_another_gives_others(language):
    first, again, other = (home.tasks("train", seed, 6, language) for seed in (4, 4, 5))
    assert [(t.words, t.gold) for t in first] == [(t.words, t.gold) for t in again]
    assert [t.request for t in first] != [t.request for t in other]
    # longer lists begin alike
    assert [t.request for t in home.tasks("train", 4, 9, language)][:6] == [t.request for t in first]


# tools


def test_tools_have_names_descriptions_and_types_of_the_package(language):
    made = {name: tool.spec for name, tool in home._language(language).tools.items()}
    light, state = made["HassLightSet"], made["HassGetState"]
    assert light.access == "write" and state.access == "read" and light.conflicts_with(state)
    assert light.description == "Sets the brightness or color of a light"
    schemas = {param.name: param.schema for param in light.params}
    assert schemas["brightness"] == {"type": "integer"} and "red" in schemas["color"]["enum"]
    assert schemas["area"]["enum"] == list(home._language(language).vocabulary["areas"])
    assert not any(param.required for param in light.params)
    assert next(param for param in made["HassSetVolume"].params if param.name == "volume_level").required
    assert {spec.access for spec in made.values()} == {"read", "write"} and len(made) > 25


def test_each_prompt_lists_what_is_needed_among_others(every):
    assert all(
        len(task.tools) == home.LISTED and {c.name for c in task.gold} <= {s.name for s in task.tools} for task in every
    )
    assert len({tuple(spec.name for spec in task.tools) for task in every}) > 90


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("HassTurnOn", {}, "what? give a name"),
        ("HassTurnOn", {"name": "moon lamp"}, 'no device "moon lamp"; there are spotlights'),
        ("HassTurnOff", {"domain": "fan", "area": "garage"}, "no fan in garage; name another place"),
        ("HassTurnOff", {"name": "desk lamp", "area": "kitchen"}, "no desk lamp in kitchen"),
        ("HassGetState", {"domain": "cover", "device_class": "gate", "area": "attic"}, "no gate in attic"),
        ("HassLightSet", {"area": "kitchen"}, "nothing to set; give"),
        ("HassLightSet", {"area": "kitchen", "brightness": 140}, "brightness: 140 is not from 0 to 100"),
        ("HassClimateSetTemperature", {"temperature": 60}, "temperature: 60 is not from 5 to 35"),
        ("HassSetVolumeRelative", {"volume_step": 300}, "300 is neither up nor down"),
        ("HassStartTimer", {"hours": 90}, "324000 seconds can't be timed"),
        ("HassIncreaseTimer", {"start_minutes": 7}, "by how much?"),
        ("HassCancelTimer", {"name": "soup"}, "no such timer; there are a timer of 420 s"),
        ("HassListAddItem", {"item": "nails", "name": "gifts"}, 'no list "gifts"; there are chores, packing, repairs'),
        ("HassShoppingListCompleteItem", {"item": "nails"}, '"nails" is not on the list; it has nothing'),
        ("HassBroadcast", {"message": " "}, "message is empty"),
        ("HassMediaSearchAndPlay", {"search_query": ""}, "search_query is empty"),
    ],
)
def test_a_house_refuses_in_words_that_help(name, args, says):
    from data_gen.tasks.home.tools import toolbox

    chosen = home._language("en")
    world = toolbox(list(chosen.tools.values()), chosen.vocabulary, "t", ())
    with pytest.raises(ToolFailure) as told:
        world.run(name, args)
    assert says in str(told.value) and not world.effects


def test_a_house_does_what_it_is_told():
    from data_gen.tasks.home.tools import toolbox

    chosen = home._language("en")
    world = toolbox(
        list(chosen.tools.values()), chosen.vocabulary, "t", [("HassPauseTimer", {"name": GoldArg(("tea",))})]
    )
    assert world.run("HassTurnOn", {"domain": "light"}) == {"done": ["floor lamp"]}  # where the user is
    assert world.run("HassGetState", {"name": "Floor Lamp"}) == {"floor lamp": "on"}
    assert world.run("HassTurnOff", {"domain": "light", "floor": "top floor"})["done"][0] == "bedside lamp"
    assert world.run("HassGetState", {"domain": "light", "floor": "top floor", "state": "on"}) == {
        "matching": [],
        "of": 5,
    }
    assert world.run("HassTurnOn", {"name": "front door"}) and world.run("HassGetState", {"name": "front door"}) == {
        "front door": "locked"
    }
    assert world.run("HassPauseTimer", {"name": "tea"}) == "paused"
    before = world.run("HassTimerStatus", {"name": "tea"})["left_s"]
    assert world.run("HassIncreaseTimer", {"name": "tea", "minutes": 2}) == {"left_s": before + 120}
    assert world.run("HassListAddItem", {"item": "nails", "name": "repairs"}) == "added"
    assert world.run("HassListRemoveItem", {"item": "Nails", "name": "repairs"}) == "taken off"
    assert world.run("HassCancelAllTimers", {}) == {"cancelled": 2}
    assert world.run("HassVacuumCleanArea", {"area": "garage"}) == {"done": ["rosie"]}
    assert set(world.run("HassClimateGetTemperature", {"area": "attic"})) == {"celsius", "area"}


# doors


def test_a_language_without_a_vocabulary_is_one_line():
    config = Config(data=DataConfig(source="home", language="ja"))
    with pytest.raises(ValueError, match="data.language is 'ja'; source home speaks en, fi, zh-CN"):
        load(config, "train")


@pytest.mark.parametrize("missing", ["home-assistant-intents", "hassil", "regex"])
def test_a_missing_package_is_one_line_with_the_command(monkeypatch, missing):
    def version(name: str) -> str:
        if name == missing:
            raise PackageNotFoundError(name)
        return "1"

    package.read.cache_clear()
    monkeypatch.setattr(package, "version", version)
    says = rf"source home reads the package {missing}, which is not installed; get it with: pip install -e '\.\[home\]'"
    with pytest.raises(home.MissingPackage, match=says):
        package.read("en")


def test_templates_that_are_not_used_are_named_with_their_reason():
    reasons = dict(home.rejected("en"))
    assert reasons["HassNevermind: nevermind"] == "its intent asks for nothing"
    assert any("{timer_command}, which takes any text" in why for why in reasons.values())
    assert any("means the whole house" in why for why in reasons.values())


def test_an_intent_that_is_new_in_the_package_is_refused(monkeypatch):
    from data_gen.tasks.home import tools

    monkeypatch.delitem(tools._WRITES, "HassLightSet")
    with pytest.raises(
        ValueError, match="the package's intent HassLightSet is new here; say in data_gen/tasks/home/tools.py"
    ):
        tools.tools(grammar("en"))


def test_what_was_read_is_recorded(language):
    config = Config(data=DataConfig(source="home", language=language))
    assert inputs(config) == {"home": home.content(language)} and "CC BY 4.0" in _LICENCES["home"]
    english, recipe = Config(data=DataConfig(source="home")), generate.recipe(config)
    assert (recipe == generate.recipe(english)) == (language == "en")
    assert home.tasks("train", 0, 1, language)[0].meta["package"].startswith("home-assistant-intents 20")


def test_rows_check_out(language):
    endpoint = {"flux": EndpointConfig(delay_s=0.6, false_rate=0.456, predict_delay_s=0.3, predict_false_rate=0.232)}
    data = DataConfig(
        source="home",
        language=language,
        sizes={"train": 6, "validation": 2, "test": 3},
        endpoint="flux",
        endpoints=endpoint,
        revision_rate=0.1,
        revision_words=3,
        closing_marks=False,
        modes=["speculative", "async_io", "eager_end"],
    )
    config = Config(data=data, model=ModelConfig(name="tiny"))
    pools = {split: generate._tasks(config, split) for split in data.sizes}
    rows = [
        generate.make_row(config, pools[split][n], split, n)
        for split, count in data.sizes.items()
        for n in range(count)
    ]
    report = check.check_rows(config, rows).report()
    assert (
        report["rows"] == 11
        and report["split_overlap"] == 0
        and {name: report[name] for name in COUNTERS if report[name]} == {}
    )
