"""Grounding: which words reveal which value, what is refused, and that naming looks at no later word."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_gen.gold import canonical, read_args
from data_gen.grounding import arguments
from data_gen.grounding.arguments import Ungrounded, candidates
from data_gen.grounding.mentions import Heard, flag_mentions
from data_gen.grounding.naming import Lexicon, name_evidence, revealed, winners
from data_gen.task import BadTask, Evidence, GoldArg, GoldCall, Reference
from midsentence.tools.tool import Param, ToolSpec

STRING, NUMBER, INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def said(request: str, value: object, schema: dict, name: str = "value") -> str | None:
    """The words that the best candidate for ``value`` points to."""
    words = request.split()
    found = candidates(Heard(words), [value], schema, name)
    return " ".join(words[slice(*found[0].span)]) if found else None


@pytest.mark.parametrize(
    ("request_text", "value", "words"),
    [
        ("fly to San Francisco, please", "san francisco", "San Francisco,"),
        ("songs by 'Maroon 5' now", "Maroon 5", "'Maroon 5'"),
        ("what is the capital of New York State", "NY", "New York"),
        ("I live in Chicago, Illinois", "Chicago, IL", "Chicago, Illinois"),
        ("give it in US dollars", "USD", "US dollars"),
        ("thirty degrees Celsius outside", "celsius", "Celsius"),
        ("a base of 10 m or so", "meters", "m"),
        ("the first is 5cm long", "centimeters", "5cm"),
        ("a room with a view of the city", "city view", "view of the city"),
        ("find pet-friendly places", "pet_friendly", "pet-friendly"),
        ("two tigers in India", "Tiger", "tigers"),
        ("on April 21st, 2023 at night", "2023-04-21", "April 21st, 2023"),
        ("on 21 April 2023 at night", "04/21/2023", "21 April 2023"),
        ("the 10th December 2022 flight", "2022-12-10", "10th December 2022"),
        ("between 2022-01-01 and 2022-02-01", "02/01/2022", "2022-02-01"),
        ("meet at 10 PM sharp", "22:00", "10 PM"),
        ("integrate f(x) = 3x^2 + 1 now", "3x**2 + 1", "3x^2 + 1"),
        ("integrate x squared twice", "x^2", "x squared"),
        ("play in the key of C for me", "C", "C"),
        ("she was condensing it", "condensation", "condensing"),
    ],
)
def test_texts_are_found_where_the_words_say_them(request_text: str, value: str, words: str) -> None:
    assert said(request_text, value, STRING) == words


@pytest.mark.parametrize(
    ("request_text", "value"),
    [
        ("between 2022-01-05 and 2022-02-01", "2022-01-01"),  # never from the parts of two dates
        ("on July 1st", "2023-07-01"),  # the year is not said
        ("the weather in Boston", "Boston, MA"),  # the state is not said
        ("shares of Apple", "AAPL"),
        ("the key of c", "celsius"),
        ("a cup of c and b", "C"),
        ("A dog", "A"),
    ],
)
def test_what_is_not_said_is_not_found(request_text: str, value: str) -> None:
    assert said(request_text, value, STRING) is None


@pytest.mark.parametrize(
    ("request_text", "value", "words"),
    [
        ("an area of 1,500 square feet", 1500, "1,500"),
        ("for $30.45 only", 30.45, "$30.45"),
        ("at a rate of 7% a year", 0.07, "7%"),
        ("at 3.5 percent interest", 0.035, "3.5 percent"),
        ("about 1.267 billion people", 1_267_000_000, "1.267 billion"),
        ("worth $1.2M now", 1_200_000, "$1.2M"),
        ("twenty-one guests", 21, "twenty-one"),
        ("two hundred and five pages", 205, "two hundred and five"),
        ("a dozen eggs", 12, "dozen"),
        ("half a cup", 0.5, "half"),
        ("twice a year", 2, "twice"),
        ("8.854 x 10^-12 F/m", 8.854e-12, "8.854 x 10^-12"),
        ("it was 5x^2 - 7x + 3", -7, "- 7x"),
        ("[6, -3, 2]", -3, "-3,"),
        ("a loss of $1000", -1000, "$1000"),
        ("factorial of 5,10 and 15", 10, "5,10"),
        ("it starts from rest and runs", 0, "from rest"),
        ("the third house has 3 rooms", 3, "3"),  # an ordinal counts for least
        ("2 m/s^2 uphill", 2, "2"),
    ],
)
def test_numbers_are_found_in_digits_and_words(request_text: str, value: float, words: str) -> None:
    assert said(request_text, value, NUMBER) == words


def test_how_often_counts_only_for_a_parameter_that_counts_periods() -> None:
    assert said("compounded monthly", 12, INTEGER, "compounding_freq") == "monthly"
    assert said("compounded monthly", 12, INTEGER, "years") is None


def test_a_whole_number_is_written_as_the_schema_wants_it() -> None:
    found = candidates(Heard("for 5 years".split()), [5.0], INTEGER, "years")
    assert found[0].value == 5 and isinstance(found[0].value, int)


@pytest.mark.parametrize(
    ("request_text", "value", "words"),
    [
        ("and include the player stats", True, "stats"),
        ("do not include stats please", False, "not include stats"),
        ("include stats", False, None),
        ("no stats", True, None),
        ("in this state", True, None),
        ("the weather", True, None),
    ],
)
def test_flags_need_their_own_words_and_mind_a_no(request_text: str, value: bool, words: str | None) -> None:
    heard = Heard(request_text.split())
    found = flag_mentions(heard, value, "include_statistics")
    if words is None:
        assert not found
    else:
        assert words.split()[-1] in " ".join(heard.words[found[0].start : found[0].end])
        assert ("not" in heard.words[found[0].start : found[0].end]) == (not value)


def test_a_list_is_said_by_all_its_items_together() -> None:
    request = "with coefficients [3, -2, 1] (that is 3x^2 - 2x + 1) and [1, 0, -1]"
    assert said(request, [3, -2, 1], {"type": "array", "items": NUMBER}) == "[3, -2, 1]"
    assert said("milk, bread and eggs", ["milk", "eggs"], {"type": "array", "items": STRING}) == "milk, bread and eggs"
    assert said("milk and bread", ["milk", "eggs"], {"type": "array", "items": STRING}) is None


TRIANGLE = ToolSpec(
    "triangle.area", (Param("base", NUMBER), Param("height", NUMBER), Param("unit", STRING, required=False)), "read"
)


def ground(words: list[str], calls: list[tuple[str, dict]], tools: dict[str, ToolSpec]) -> tuple[GoldCall, ...]:
    """Grounds calls as rows have them; each may take the results of those before it."""
    required = {name: {param.name for param in spec.params if param.required} for name, spec in tools.items()}
    asked = [(name, read_args(args, required.get(name, ()), earlier)) for earlier, (name, args) in enumerate(calls)]
    return arguments.ground(words, asked, tools)


def test_arguments_stay_with_the_rest_of_their_call() -> None:
    words = "one with base 5 and height 10 then one with base 5 and height 20".split()
    calls = [("triangle.area", {"base": [5], "height": [h], "unit": ["cm", ""]}) for h in (10, 20)]
    first, second = ground(words, calls, {"triangle.area": TRIANGLE})
    assert first.arg_evidence == {"base": Evidence(3, 4), "height": Evidence(6, 7)}
    assert second.arg_evidence == {"base": Evidence(11, 12), "height": Evidence(14, 15)}
    assert first.name_evidence == Evidence(0, 0)
    assert canonical(first) == {"base": 5, "height": 10}
    assert first.args["unit"] == GoldArg(("cm",), optional=True, left_out=True)


def test_the_way_back_is_not_read_out_of_the_way_there() -> None:
    spec = ToolSpec("route", (Param("origin", STRING), Param("destination", STRING)), "read")
    words = "from Rome to Pisa and then back to Rome from Pisa".split()
    calls = [
        ("route", {"origin": ["Rome"], "destination": ["Pisa"]}),
        ("route", {"origin": ["Pisa"], "destination": ["Rome"]}),
    ]
    second = ground(words, calls, {"route": spec})[1]
    assert second.arg_evidence == {"origin": Evidence(10, 11), "destination": Evidence(8, 9)}


def test_shared_words_may_be_shared() -> None:
    spec = ToolSpec("price", (Param("company", STRING), Param("date", STRING)), "read")
    words = "stock of Apple and Google on May 3rd 2022".split()
    calls = [("price", {"company": [name], "date": ["2022-05-03"]}) for name in ("Apple", "Google")]
    assert [call.arg_evidence["date"] for call in ground(words, calls, {"price": spec})] == [Evidence(6, 9)] * 2


def test_the_value_that_the_words_reveal_comes_first() -> None:
    spec = ToolSpec("price", (Param("company", STRING), Param("place", STRING)), "read")
    calls = [("price", {"company": ["GOOG", "Google"], "place": ["NY", "New York, NY"]})]
    call = ground("price of Google in New York, NY".split(), calls, {"price": spec})[0]
    assert call.args == {"company": GoldArg(("Google", "GOOG")), "place": GoldArg(("New York, NY", "NY"))}


def test_objects_are_grounded_field_by_field() -> None:
    spec = ToolSpec("find", (Param("budget", {"type": "object"}),), "read")
    calls = [("find", {"budget": [{"min": [300000], "max": [400000], "currency": ["", "EUR"]}]})]
    call = ground("a house for $300,000 to $400,000".split(), calls, {"find": spec})[0]
    assert canonical(call) == {"budget": {"min": 300000, "max": 400000}}
    assert {"min": 300000, "max": 400000, "currency": "EUR"} in call.args["budget"].values
    assert call.arg_evidence["budget"] == Evidence(3, 6)


def test_a_result_of_an_earlier_call_needs_no_words() -> None:
    tools = {
        "phone": ToolSpec("phone", (Param("name", STRING),), "read"),
        "text": ToolSpec("text", (Param("to", {"type": "array", "items": STRING}), Param("message", STRING)), "write"),
    }
    calls = [("phone", {"name": ["Bob"]}), ("text", {"to": [["$1"]], "message": ["$1"]})]
    words = "look up the phone of Bob and text it".split()
    text = ground(words, calls, tools)[1]
    assert canonical(text) == {"to": [Reference(1)], "message": Reference(1)} and not text.arg_evidence


def test_a_result_fits_any_type_and_a_price_is_no_result() -> None:
    spec = ToolSpec("pay", (Param("sum", NUMBER), Param("range", STRING), Param("to", {"type": "object"})), "write")
    args = {"sum": ["$1"], "range": ["$20-$30"], "to": [{"account": ["$1"]}]}
    words = "get the total and pay it within $20-$30 to them".split()
    tools = {"pay": spec, "total": ToolSpec("total", (), "read")}
    pay = ground(words, [("total", {}), ("pay", args)], tools)[1]
    assert canonical(pay) == {"sum": Reference(1), "range": "$20-$30", "to": {"account": Reference(1)}}
    assert pay.arg_evidence == {"range": Evidence(7, 8)}
    with pytest.raises(BadTask, match="no accepted value of pay.sum fits its schema"):
        ground(words, [("pay", args)], tools)  # no call came before


def test_what_no_words_reveal_is_refused_by_name() -> None:
    with pytest.raises(Ungrounded, match=r"call 1: no words reveal triangle.area.height \(number\): \[7\]"):
        ground("base 5".split(), [("triangle.area", {"base": [5], "height": [7]})], {"triangle.area": TRIANGLE})
    with pytest.raises(BadTask, match="gold gives no value for the required triangle.area.height"):
        ground("base 5".split(), [("triangle.area", {"base": [5]})], {"triangle.area": TRIANGLE})
    with pytest.raises(BadTask, match="no parameter 'depth'"):
        ground(
            "base 5".split(),
            [("triangle.area", {"base": [5], "height": [5], "depth": [1]})],
            {"triangle.area": TRIANGLE},
        )
    with pytest.raises(BadTask, match="'cube', which is not among the tools: triangle.area"):
        ground("base 5".split(), [("cube", {})], {"triangle.area": TRIANGLE})
    with pytest.raises(BadTask, match="no accepted value of triangle.area.base fits its schema"):
        ground("base x".split(), [("triangle.area", {"base": ["x"], "height": [1]})], {"triangle.area": TRIANGLE})


TOOLS = (
    ToolSpec("restaurant.find_nearby", (Param("cuisine", STRING),), "read", "Find nearby restaurants by cuisine."),
    ToolSpec("hotel.book", (Param("hotel_name", STRING),), "write", "Book a hotel room."),
    ToolSpec("weather.forecast", (Param("city", STRING),), "read", "Get the weather forecast of a city."),
)
VOCABULARY = "a find restaurant and book hotel. then weather forecast, in Rome the city Sushi room nearby; also".split()


def test_the_tool_is_clear_when_its_words_are_heard() -> None:
    words = "First, find a Sushi restaurant nearby. Then book the Ritz hotel".split()
    assert winners(words, Lexicon(TOOLS)) == [None] * 5 + ["restaurant.find_nearby"] * 3 + ["hotel.book"] * 4
    found = ground(
        words,
        [("restaurant.find_nearby", {"cuisine": ["sushi"]}), ("hotel.book", {"hotel_name": ["Ritz"]})],
        {tool.name: tool for tool in TOOLS},
    )
    assert [call.name_evidence for call in found] == [Evidence(4, 5), Evidence(7, 8)]


def test_a_tool_that_is_never_clear_needs_the_whole_request() -> None:
    words = "Something in Rome please".split()
    assert name_evidence(words, Lexicon(TOOLS), "hotel.book", [Evidence(2, 3)]) == Evidence(0, 4)


def test_a_tool_named_in_a_later_sentence_is_clear_at_its_end() -> None:
    words = "I am in Rome today. Is the weather good there? Thanks".split()
    assert name_evidence(words, Lexicon(TOOLS), "weather.forecast", [Evidence(3, 4)]) == Evidence(7, 10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=14),
    st.lists(st.sampled_from(VOCABULARY), max_size=8),
    st.data(),
)
def test_naming_looks_at_no_later_word(words: list[str], more: list[str], data: st.DataObject) -> None:
    lexicon = Lexicon(TOOLS)
    assert winners([*words, *more], lexicon)[: len(words) + 1] == winners(words, lexicon)
    assert winners(words, lexicon)[-1] == revealed(words, TOOLS)
    arg = data.draw(st.integers(0, len(words) - 1))
    name = data.draw(st.sampled_from([tool.name for tool in TOOLS]))
    args = [Evidence(arg, arg + 1)]
    whole = name_evidence([*words, *more], lexicon, name, args)
    # cut after the later of the two: where the sentence is closed there, nothing changes
    cut = max(whole.end, arg + 1)
    kept = [*words, *more][:cut]
    assert name_evidence(kept, lexicon, name, args).end == whole.end
