"""The domain shopping: the shop answers, refuses and changes, and the door takes every row."""

import pytest

from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import ToolFailure

TOOLS, ROWS = (f"data_gen/corpus/shopping/{name}" for name in ("tools.py", "train.jsonl"))


@pytest.fixture
def shop():
    return tools_of(TOOLS).toolbox("an-account", [])


def test_the_shop_answers(shop):
    found = shop.run("search_products", {"query": "desk fan"})
    assert found.startswith("P-") and found != shop.run("search_products", {"query": "desk fan", "sort": "cheapest"})
    assert "on the way" in shop.run("track_order", {"order": shop.run("find_order", {"item": "the kettle"})})
    assert "being packed" in shop.run("track_order", {"order": shop.run("find_order", {"item": "tent"})})


def test_what_was_said_changes_the_account(shop):
    full = float(shop.run("cart_total", {}).split()[0])
    shop.run("apply_voucher", {"code": "spring20"})
    assert float(shop.run("cart_total", {}).split()[0]) == pytest.approx(full * 0.8, abs=0.01)
    order = shop.run("find_order", {"item": "sofa"})
    shop.run("cancel_order", {"order": order})
    assert shop.run("track_order", {"order": order}) == "sofa: cancelled"
    assert shop.run("checkout", {"payment": "paypal"}) == "ordered"
    assert shop.run("checkout", {"payment": "card"}) == "order changed"


def test_an_empty_cart_is_not_paid(shop):
    for product in ("milk", "bread", "phone case", "candles"):
        shop.run("remove_from_cart", {"product": product})
    with pytest.raises(ToolFailure, match="cart is empty"):
        shop.run("checkout", {"payment": "card"})


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("search_products", {"query": "guns"}, "the shop has no"),
        ("add_to_cart", {"product": "milk", "quantity": 0}, "from 1 to 50"),
        ("add_to_cart", {"product": "hoodie", "options": {"fit": "slim"}}, "size, colour"),
        ("remove_from_cart", {"product": "caviar"}, "there are milk"),
        ("apply_voucher", {"code": "free100"}, "letter by letter"),
        ("find_slot", {"day": "Friday"}, "YYYY-MM-DD"),
        ("book_slot", {"slot": "Friday"}, "find_slot"),
        ("find_order", {"item": "yacht"}, "ordered were"),
        ("track_order", {"order": "kettle"}, "find_order"),
        ("add_to_list", {"list_name": "groceries", "items": []}, "items is empty"),
        ("watch_price", {"product": "drill", "below": 0}, "no price"),
    ],
)
def test_the_shop_refuses_with_a_way_out(shop, name, args, why):
    with pytest.raises(ToolFailure, match=why):
        shop.run(name, args)
    assert not shop.effects


def test_what_has_left_is_returned_and_what_has_not_is_cancelled(shop):
    kettle, tent = (shop.run("find_order", {"item": item}) for item in ("kettle", "tent"))
    with pytest.raises(ToolFailure, match="return_order"):
        shop.run("cancel_order", {"order": kettle})
    with pytest.raises(ToolFailure, match="cancel_order"):
        shop.run("return_order", {"order": tent, "reason": "late"})
    assert shop.run("return_order", {"order": kettle, "reason": "damaged"}) == "label for kettle sent"


def test_every_row_is_taken_by_the_door():
    loaded = load(ROWS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 165 and {task.split for task in loaded.tasks} == {"train"}
