"""Bank: money moves and is missed where it was, what moves it is a write, and every request is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_gen.tasks.corpus import is_held_out
from data_gen.tasks.jsonl import load
from data_gen.tasks.own_tools import tools_of
from midsentence.tools.tool import Toolbox, ToolFailure
from tests.data_gen.corpus.domains import refuses

FOLDER = Path(__file__).resolve().parents[3] / "data_gen/corpus/bank"
TOOLS, REQUESTS = str(FOLDER / "tools.py"), str(FOLDER / "test.jsonl")


@pytest.fixture
def box() -> Toolbox:
    tools = tools_of(TOOLS)
    assert tools is not None
    return tools.toolbox("a-task", [])


def test_a_payment_leaves_the_account_that_it_is_from(box: Toolbox) -> None:
    dana = box.run("find_payee", {"name": "Dana"})
    assert box.run("make_payment", {"payee": dana, "amount": 46.3, "day": "Friday"}) == "46.30 pounds to Dana"
    assert box.run("get_balance", {}) == 1800.0
    assert (box.state_object.transfers[0]["day"], box.effects[0].args["account"]) == ("2026-09-18", "current")
    box.run("move_money", {"amount": 200, "source": "current", "target": "joint"})
    assert (box.run("get_balance", {}), box.run("get_balance", {"account": "joint"})) == (1600.0, 1162.75)


def test_a_payee_is_added_paid_and_given_a_standing_order(box: Toolbox) -> None:
    new = box.run("add_payee", {"name": "Marek Dudek", "sort_code": "20-45-60", "account_number": "1122 3344"})
    assert box.run("find_payee", {"name": "marek dudek"}) == new
    order = box.run("start_standing_order", {"payee": new, "amount": 30, "every": "month", "first_day": "the first"})
    assert box.run("find_standing_order", {"what": "Marek Dudek"}) == order
    assert (
        box.run("cancel_standing_order", {"order": order}) == "stopped; Marek Dudek gets no more 30.00 pounds a month"
    )


def test_a_charge_is_disputed_once_and_a_card_is_frozen(box: Toolbox) -> None:
    charge = box.run("find_transaction", {"merchant": "ikea", "period": "last_week"})
    box.run("dispute_transaction", {"transaction": charge, "reason": "not_delivered"})
    with pytest.raises(ToolFailure, match="is disputed already"):
        box.run("dispute_transaction", {"transaction": charge, "reason": "unknown"})
    box.run("set_cards", {"cards": ["debit", "credit"], "status": "frozen"})
    assert set(box.state_object.cards.values()) == {"frozen", "active"}
    assert box.run("exchange_rate", {"currency": "euros", "amount": 100}) == "117.00 euros"
    box.run("set_budgets", {"limits": {"fun": 70}})
    assert box.state_object.budgets == {"fun": 70}


def test_what_moves_money_or_promises_to_is_a_write(box: Toolbox) -> None:
    classes = {name: spec.access for name, spec in box.specs.items()}
    assert {classes[name] for name in ("make_payment", "move_money", "start_standing_order", "add_payee")} == {"write"}
    assert classes["confirm_payee"] == "egress"


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("find_transaction", {"merchant": "Tesko"}, 'no transaction with "Tesko"; there is "Tesco"'),
        ("find_transaction", {"merchant": "Netflix", "period": "today"}, "no transaction fits Netflix then"),
        ("dispute_transaction", {"transaction": "T1", "reason": "unknown"}, "get its number from find_transaction"),
        ("find_payee", {"name": "Danna"}, 'did the user mean "Dana"'),
        (
            "confirm_payee",
            {"name": "Dana", "sort_code": "2045", "account_number": "11223344"},
            'sort code "2045" has 4 digits; it needs 6',
        ),
        (
            "add_payee",
            {"name": "Wu", "sort_code": "204560", "account_number": "11"},
            'account number "11" has 2 digits; it needs 8',
        ),
        ("add_payee", {"name": "dana", "sort_code": "204560", "account_number": "11223344"}, "is a payee already"),
        ("make_payment", {"payee": "Dana", "amount": 5}, "look the name up with find_payee"),
        (
            "move_money",
            {"amount": 5000, "source": "current", "target": "savings"},
            "holds 1846.30 pounds, less than 5000.00",
        ),
        ("move_money", {"amount": 50, "source": "joint", "target": "joint"}, "source and target are both joint"),
        ("move_money", {"amount": 0, "source": "joint", "target": "savings"}, "can't be paid"),
        ("find_standing_order", {"what": "ren"}, 'there is "rent"'),
        ("cancel_standing_order", {"order": "S1"}, "get its number from find_standing_order"),
        ("set_cards", {"cards": ["joint"], "status": "frozen"}, "joint is frozen already"),
        ("set_limit", {"kind": "contactless", "amount": 400}, "give 0 to 100"),
        ("exchange_rate", {"currency": "yen", "base": "yen"}, "both are yen"),
        ("set_budgets", {"limits": {"beer": 10}}, 'no category "beer"'),
    ],
)
def test_a_refusal_gives_its_reason_and_changes_nothing(
    box: Toolbox, name: str, args: dict[str, object], why: str
) -> None:
    refuses(box, name, args, why)


def test_every_request_is_taken_and_none_is_for_training() -> None:
    loaded = load(REQUESTS, TOOLS, source="domains")
    assert loaded.rejected == []
    assert len(loaded.tasks) >= 60
    assert {task.split for task in loaded.tasks} == {"test"}
    assert is_held_out("bank")
    assert all(task.reading is not None and 6 <= len(task.words) <= 45 for task in loaded.tasks)
    assert {call.name for task in loaded.tasks for call in task.gold} == {tool.name for tool in loaded.tasks[0].tools}
