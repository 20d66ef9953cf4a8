"""Bank: balances, transactions, transfers, standing orders, cards, limits, payees, budgets and exchange rates.

Owns the customer's accounts and what the tools answer and refuse. Whatever moves money, or promises to, is a write.
Days are given as they were said ("Friday", "the first"); the world reads them. Does not know who calls and when.
"""

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from data_gen.grounding.spans import Habits
from midsentence.tools import times
from midsentence.tools.function import Did, LogNormal, Uniform, tool
from midsentence.tools.text import either, fold, quote, similar
from midsentence.tools.tool import ToolFailure

NOW = "2026-09-17 12:20:00"
"""The customer's clock where a request brings none: a Thursday at lunch."""
MOST_AT_ONCE = 10_000
"""What can be paid in one go, in pounds."""
Account = Literal["current", "savings", "joint", "business"]
Card = Literal["debit", "credit", "joint", "virtual"]
Currency = Literal["pounds", "euros", "dollars", "yen", "francs", "kroner", "zloty", "rupees", "lira", "dirhams"]
Period = Literal["today", "yesterday", "this_week", "last_week", "this_month", "last_month", "this_year"]

PAYEES = (
    "Dana",
    "Kofi",
    "Marguerite",
    "Hamish",
    "Oyelaran",
    "Beatriz",
    "Uncle Stan",
    "Priti",
    "Lorcan",
    "Ingrid",
    "Mum",
    "Theo",
    "Yusra",
    "Harlow Lettings",
    "Bright Sparks Nursery",
    "Greenway Council",
    "Tidewater Energy",
    "Maple Dental",
    "Fenwick Garage",
    "Nils",
    "Allotment Society",
    "Quayside Gym",
    "Mrs Pettifer",
    "Dov",
    "Carys",
    "Hector",
    "Aunt Zofia",
    "Bellamy Roofing",
    "Sunil",
    "Wren",
)
MERCHANTS = {
    # name: amount in pounds, days ago, in or out
    "Costa": (4.35, 0, "out"),
    "Tesco": (62.18, 1, "out"),
    "Shell": (48.0, 2, "out"),
    "Amazon": (23.99, 3, "out"),
    "Spotify": (11.99, 4, "out"),
    "Trainline": (37.4, 6, "out"),
    "Ikea": (214.5, 8, "out"),
    "Uber": (13.7, 0, "out"),
    "Netflix": (10.99, 12, "out"),
    "Deliveroo": (27.85, 5, "out"),
    "British Gas": (96.2, 16, "out"),
    "Zara": (55.0, 9, "out"),
    "Booking": (340.0, 22, "out"),
    "Cineworld": (19.0, 10, "out"),
    "Vet": (88.0, 13, "out"),
    "Apple": (2.49, 3, "out"),
    "Parking": (6.5, 1, "out"),
    "Bakery": (7.8, 2, "out"),
    "Pharmacy": (12.15, 7, "out"),
    "Salary": (2640.0, 2, "in"),
    "Tax refund": (318.7, 20, "in"),
    "Ebay": (41.0, 5, "in"),
    "Childcare refund": (120.0, 11, "in"),
    "Insurance": (75.3, 15, "out"),
}
ORDERS = {
    # what for: payee, amount in pounds, how often
    "rent": ("Harlow Lettings", 875.0, "month"),
    "gym": ("Quayside Gym", 32.5, "month"),
    "nursery": ("Bright Sparks Nursery", 140.0, "week"),
    "allotment": ("Allotment Society", 18.0, "quarter"),
    "piano lessons": ("Mrs Pettifer", 30.0, "week"),
    "council tax": ("Greenway Council", 131.0, "month"),
    "electricity": ("Tidewater Energy", 74.0, "month"),
    "pocket money": ("Theo", 10.0, "week"),
    "loan": ("Uncle Stan", 100.0, "month"),
    "cleaner": ("Yusra", 45.0, "week"),
}
CATEGORIES = ("groceries", "eating_out", "transport", "clothes", "fun", "pets", "home")
PER_POUND = {
    "pounds": 1.0,
    "euros": 1.17,
    "dollars": 1.34,
    "yen": 197.2,
    "francs": 1.09,
    "kroner": 13.4,
    "zloty": 4.98,
    "rupees": 117.5,
    "lira": 55.3,
    "dirhams": 4.92,
}
MOST = {"cash": 500, "contactless": 100, "online": 3000, "abroad": 2000}
"""What each of a card's limits can be set to at most, in pounds a day."""
HABITS = Habits(substance={"find_transaction": ("merchant", "period", "direction", "at_least")})


@dataclass
class Money:
    """All that the tools can read and change."""

    now: datetime
    """When the request is made."""
    balances: dict[str, float] = field(
        default_factory=lambda: {"current": 1846.3, "savings": 7420.0, "joint": 962.75, "business": 5310.4}
    )
    """Pounds by account."""
    payees: dict[str, str] = field(default_factory=dict)
    """Names by number."""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Standing orders by code."""
    transfers: list[dict[str, Any]] = field(default_factory=list)
    """Payments that were made, in order."""
    disputes: dict[str, str] = field(default_factory=dict)
    """Reasons by the transaction that is disputed."""
    cards: dict[str, str] = field(
        default_factory=lambda: {"debit": "active", "credit": "active", "joint": "frozen", "virtual": "active"}
    )
    """``active`` or ``frozen`` by card."""
    limits: dict[str, float] = field(default_factory=dict)
    """Pounds by card and kind of limit."""
    budgets: dict[str, float] = field(default_factory=dict)
    """Pounds a month by category."""


def new_state(now: str = NOW) -> Money:
    """The accounts with their payees and standing orders, from this date and time on."""
    state = Money(datetime.fromisoformat(now))
    state.payees = {_code("P", name): name for name in PAYEES}
    state.orders = {
        _code("S", what): {"what": what, "payee": payee, "amount": amount, "every": every}
        for what, (payee, amount, every) in ORDERS.items()
    }
    return state


def _code(letter: str, *parts: Any) -> str:
    return f"{letter}{zlib.crc32('|'.join(map(str, parts)).encode()) % 90000 + 10000}"


def _day(state: Money, day: str) -> str:
    try:
        at = times.day(day, state.now)
    except times.Unclear as failure:
        raise ToolFailure(
            f'day {quote(day)} can\'t be read: {failure}; give it as said, "Friday" or "the first"'
        ) from None
    if at < state.now.date():
        raise ToolFailure(f"{at:%d %B} has passed; give a later day, or none for today")
    return f"{at:%Y-%m-%d}"


def _payee(state: Money, payee: str) -> str:
    if payee not in state.payees:
        raise ToolFailure(f"{quote(payee)} is no payee's number; look the name up with find_payee")
    return state.payees[payee]


def _amount(amount: float) -> float:
    if not 0 < amount <= MOST_AT_ONCE:
        raise ToolFailure(f"{amount} pounds can't be paid; give an amount above 0 and up to {MOST_AT_ONCE}")
    return round(amount, 2)


def _take(state: Money, account: str, amount: float) -> None:
    if state.balances[account] < amount:
        raise ToolFailure(
            f"the {account} account holds {state.balances[account]:.2f} pounds, less than {amount:.2f}; use another account"
        )
    state.balances[account] = round(state.balances[account] - amount, 2)


def _numbers(sort_code: str, account_number: str) -> tuple[str, str]:
    sort, number = re.sub(r"\D", "", sort_code), re.sub(r"\D", "", account_number)
    if len(sort) != 6:
        raise ToolFailure(f"sort code {quote(sort_code)} has {len(sort)} digits; it needs 6")
    if len(number) != 8:
        raise ToolFailure(f"account number {quote(account_number)} has {len(number)} digits; it needs 8")
    return sort, number


@tool(access="read", reads=("money",), latency=Uniform(0.3, 0.7), takes_state=True)
def get_balance(state: Money, account: Account = "current") -> float:
    """Returns what is on an account, in pounds."""
    return state.balances[account]


@tool(access="read", reads=("money",), latency=LogNormal(1.1, 0.35), takes_state=True)
def find_transaction(
    state: Money,
    merchant: str | None = None,
    period: Period | None = None,
    direction: Literal["in", "out"] | None = None,
    at_least: float | None = None,
) -> str:
    """Finds the newest transaction that fits and returns its number.

    Args:
        merchant: Who was paid, or who paid
        direction: Money that came in or went out
        at_least: In pounds
    """
    days = {
        "today": range(1),
        "yesterday": range(1, 2),
        "this_week": range(7),
        "last_week": range(7, 14),
        "this_month": range(state.now.day),
        "last_month": range(state.now.day, state.now.day + 31),
        "this_year": range(365),
        None: range(365),
    }[period]
    names = [name for name in MERCHANTS if merchant is None or fold(name) == fold(merchant).removeprefix("the ")]
    if not names:
        near = similar(merchant or "", MERCHANTS)
        raise ToolFailure(
            f"no transaction with {quote(merchant or '')}; {f'there is {either(near)}' if near else 'ask for the name'}"
        )
    fits = [
        (ago, name)
        for name in names
        for amount, ago, way in [MERCHANTS[name]]
        if ago in days and direction in (None, way) and amount >= (at_least or 0)
    ]
    if not fits:
        raise ToolFailure(
            f"no transaction fits{f' {merchant}' if merchant else ''} then; ask for another period or a smaller amount"
        )
    return _code("T", min(fits)[1])


@tool(access="write", writes=("disputes",), latency=LogNormal(1.7, 0.3), takes_state=True)
def dispute_transaction(
    state: Money,
    transaction: str,
    reason: Literal["unknown", "charged_twice", "wrong_amount", "not_delivered", "cancelled"],
) -> str:
    """Disputes a transaction and returns the case's number.

    Args:
        transaction: Number from find_transaction
    """
    known = {_code("T", name): name for name in MERCHANTS}
    if transaction not in known:
        raise ToolFailure(f"no transaction {quote(transaction)}; get its number from find_transaction")
    if MERCHANTS[known[transaction]][2] == "in":
        raise ToolFailure(f"{known[transaction]} paid the customer; only money that went out can be disputed")
    if transaction in state.disputes:
        raise ToolFailure(f"{transaction} is disputed already, case {_code('D', transaction)}")
    state.disputes[transaction] = reason
    return _code("D", transaction)


@tool(access="read", reads=("payees",), latency=Uniform(0.4, 0.8), takes_state=True)
def find_payee(state: Money, name: str) -> str:
    """Finds somebody who was paid before and returns the payee's number."""
    asked = fold(name).removeprefix("the ").removeprefix("my ")
    found = [code for code, known in state.payees.items() if fold(known) == asked]
    if not found:
        near = similar(name, state.payees.values())
        raise ToolFailure(
            f"no payee {quote(name)}; {f'did the user mean {either(near)}?' if near else 'add one with add_payee'}"
        )
    return found[0]


@tool(access="egress", latency=LogNormal(1.9, 0.4))
def confirm_payee(name: str, sort_code: str, account_number: str) -> str:
    """Asks another bank whether an account is in that name.

    Args:
        sort_code: Six digits
        account_number: Eight digits
    """
    sort, number = _numbers(sort_code, account_number)
    match = zlib.crc32(f"{fold(name)}{sort}{number}".encode()) % 4
    return f"{name}: {'a close match, ask for the full name' if match == 3 else 'the name matches'}"


@tool(access="write", writes=("payees",), latency=LogNormal(1.2, 0.3), takes_state=True)
def add_payee(state: Money, name: str, sort_code: str, account_number: str) -> Did:
    """Adds somebody to pay and returns the payee's number.

    Args:
        sort_code: Six digits
        account_number: Eight digits
    """
    sort, number = _numbers(sort_code, account_number)
    if fold(name) in map(fold, state.payees.values()):
        raise ToolFailure(f"{name} is a payee already; use find_payee")
    code = _code("P", fold(name), sort, number)
    state.payees[code] = name
    return Did(code, {"name": fold(name), "sort_code": sort, "account_number": number})


@tool(access="write", reads=("payees",), writes=("money",), latency=LogNormal(1.6, 0.3), takes_state=True)
def make_payment(
    state: Money,
    payee: str,
    amount: float,
    account: Account = "current",
    reference: str | None = None,
    day: str | None = None,
) -> Did:
    """Pays somebody; today and from the current account if nothing is said.

    Args:
        payee: Number from find_payee or add_payee
        amount: In pounds
        reference: What it is for
        day: As said, Friday
    """
    to, pounds, at = _payee(state, payee), _amount(amount), _day(state, day or "today")
    _take(state, account, pounds)
    did: dict[str, Any] = {
        "payee": to,
        "amount": pounds,
        "account": account,
        "reference": fold(reference or ""),
        "day": at,
    }
    state.transfers.append(did)
    return Did(f"{pounds:.2f} pounds to {to}", did)


@tool(access="write", writes=("money",), latency=Uniform(0.8, 1.4), takes_state=True)
def move_money(state: Money, amount: float, source: Account, target: Account) -> Did:
    """Moves money between the customer's own accounts.

    Args:
        amount: In pounds
    """
    pounds = _amount(amount)
    if source == target:
        raise ToolFailure(f"source and target are both {source}; name two accounts")
    _take(state, source, pounds)
    state.balances[target] = round(state.balances[target] + pounds, 2)
    return Did(
        f"moved; {source} has {state.balances[source]:.2f} left", {"amount": pounds, "source": source, "target": target}
    )


@tool(access="write", reads=("payees",), writes=("orders",), latency=LogNormal(1.4, 0.3), takes_state=True)
def start_standing_order(
    state: Money,
    payee: str,
    amount: float,
    every: Literal["week", "month", "quarter", "year"],
    first_day: str | None = None,
    account: Account = "current",
) -> Did:
    """Starts a standing order and returns its number; from today and from the current account if nothing is said.

    Args:
        payee: Number from find_payee or add_payee
        amount: In pounds
        first_day: As said, the first
    """
    to, pounds, at = _payee(state, payee), _amount(amount), _day(state, first_day or "today")
    code = _code("S", to, pounds, every, at)
    if code in state.orders:
        raise ToolFailure(f"{to} gets {pounds:.2f} pounds every {every} already, {code}")
    state.orders[code] = {"what": to, "payee": to, "amount": pounds, "every": every}
    return Did(code, {"payee": to, "amount": pounds, "every": every, "first_day": at, "account": account})


@tool(access="read", reads=("orders",), latency=Uniform(0.5, 1.0), takes_state=True)
def find_standing_order(state: Money, what: str) -> str:
    """Finds a standing order and returns its number.

    Args:
        what: What or whom it pays, rent
    """
    asked = fold(what).removeprefix("the ").removeprefix("my ")
    found = [code for code, one in state.orders.items() if asked in (fold(one["what"]), fold(one["payee"]))]
    if not found:
        near = similar(what, [one["what"] for one in state.orders.values()])
        raise ToolFailure(
            f"no standing order for {quote(what)}; {f'there is {either(near)}' if near else 'ask whom it pays'}"
        )
    return found[0]


@tool(access="write", writes=("orders",), latency=Uniform(0.7, 1.2), takes_state=True)
def cancel_standing_order(state: Money, order: str) -> str:
    """Stops a standing order.

    Args:
        order: Number from find_standing_order
    """
    if order not in state.orders:
        raise ToolFailure(f"no standing order {quote(order)}; get its number from find_standing_order")
    gone = state.orders.pop(order)
    return f"stopped; {gone['payee']} gets no more {gone['amount']:.2f} pounds a {gone['every']}"


@tool(access="write", writes=("cards",), latency=Uniform(0.4, 0.8), takes_state=True)
def set_cards(state: Money, cards: list[Card], status: Literal["frozen", "active"]) -> Did:
    """Freezes cards or makes them active again."""
    if not cards:
        raise ToolFailure(f"cards is empty; name one of {either(state.cards)}")
    if all(state.cards[card] == status for card in cards):
        raise ToolFailure(f"{' and '.join(sorted(set(cards)))} is {status} already")
    state.cards |= dict.fromkeys(cards, status)
    return Did(status, {"cards": sorted(set(cards)), "status": status})


@tool(access="write", writes=("cards",), latency=LogNormal(0.9, 0.3), takes_state=True)
def set_limit(
    state: Money, kind: Literal["cash", "contactless", "online", "abroad"], amount: int, card: Card = "debit"
) -> Did:
    """Sets how much a card can spend a day.

    Args:
        kind: Cash is from machines
        amount: In pounds
    """
    if not 0 <= amount <= MOST[kind]:
        raise ToolFailure(f"{amount} pounds is no {kind} limit; give 0 to {MOST[kind]}")
    state.limits[f"{card} {kind}"] = amount
    return Did("set", {"kind": kind, "amount": amount, "card": card})


@tool(access="read", latency=LogNormal(0.7, 0.4))
def exchange_rate(currency: Currency, amount: float = 1, base: Currency = "pounds") -> str:
    """Says what an amount of money is in another currency.

    Args:
        currency: Into which
        amount: Of the base currency
        base: From which
    """
    if amount <= 0:
        raise ToolFailure(f"{amount} {base} can't be converted; give an amount above 0")
    if currency == base:
        raise ToolFailure(f"both are {base}; name two currencies")
    return f"{amount * PER_POUND[currency] / PER_POUND[base]:.2f} {currency}"


@tool(access="write", writes=("budgets",), latency=Uniform(0.5, 0.9), takes_state=True)
def set_budgets(state: Money, limits: dict[str, int]) -> Did:
    """Sets what may be spent a month, in pounds: fields groceries, eating_out, transport, clothes, fun, pets, home."""
    if unknown := set(limits) - set(CATEGORIES):
        raise ToolFailure(f"no category {quote(min(unknown))}; use {either(CATEGORIES)}")
    if not limits or min(limits.values()) < 0:
        raise ToolFailure("limits needs an amount of 0 pounds or more for each category that changes")
    state.budgets |= limits
    return Did("set", {"limits": limits})
