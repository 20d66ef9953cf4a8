"""A shop that sells nearly everything: search, cart, orders, returns, delivery and shopping lists.

Owns the customer's account at the shop and what each tool does to it. Does not know who orders. The shop hears what is
looked for in itself anyway, so that is a read; asking other shops for their price is egress; what changes cart, orders
or lists is a write.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from midsentence.tools.function import LogNormal, Uniform, tool
from midsentence.tools.text import fold, quote
from midsentence.tools.tool import ToolFailure

Reason = Literal["too_small", "too_big", "damaged", "wrong_item", "late", "changed_mind"]
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_VOUCHERS = {"welcome10": 10, "spring20": 20, "friends15": 15, "summer25": 25, "sorry5": 5}
_NOT_SOLD = ("gun", "medicine", "cigarette", "live animal", "car", "house")
_SHIPPED = (
    "kettle",
    "lamp",
    "boots",
    "headphones",
    "jumper",
    "backpack",
    "toaster",
    "coat",
    "trainers",
    "vase",
    "dress",
    "shirt",
    "blender",
)
_WAITING = (
    "desk",
    "sofa",
    "tent",
    "mattress",
    "bicycle",
    "curtains",
    "garden chairs",
    "printer",
    "rug",
    "monitor",
    "bookcase",
)


@dataclass(slots=True)
class Account:
    """All that the tools can look at and change."""

    cart: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Quantity and options by product."""
    voucher: str = ""
    """The code that counts; empty for none."""
    slot: str = ""
    """When it is to be delivered; empty for not chosen."""
    ordered: list[dict[str, Any]] = field(default_factory=list)
    """Orders that were placed in this session, in order."""
    orders: dict[str, str] = field(default_factory=dict)
    """Earlier orders: what was bought, by number."""
    cancelled: set[str] = field(default_factory=set)
    """Numbers of orders that were called off."""
    returned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Reason and wish by the number of what goes back."""
    lists: dict[str, list[str]] = field(default_factory=dict)
    """Items by the list's name."""
    watched: dict[str, float] = field(default_factory=dict)
    """Products with the price below which to tell."""


def new_state() -> Account:
    """A customer with a cart of milk, bread and a phone case, orders on their way, and orders that have not left
    yet."""
    return Account(
        cart={
            "milk": {"quantity": 2},
            "bread": {"quantity": 1},
            "phone case": {"quantity": 1},
            "candles": {"quantity": 6},
        },
        orders={_order(item): item for item in (*_SHIPPED, *_WAITING)},
        lists={
            "groceries": ["rice"],
            "birthday": [],
            "camping": ["matches"],
            "baby": [],
            "wish list": [],
            "christmas": [],
            "school": [],
        },
    )


def _order(item: str) -> str:
    return f"O-{_number(item, 900_000) + 100_000}"


def _number(text: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(fold(text).encode()).digest()[:4], "big") % below


def _known(account: Account, order: str) -> str:
    if order not in account.orders:
        raise ToolFailure(f"no order {quote(order)}; get its number with find_order")
    return account.orders[order]


@tool(access="read", latency=Uniform(0.4, 0.9), takes_state=True)
def search_products(
    account: Account,
    query: str,
    max_price: float | None = None,
    sort: Literal["cheapest", "best_rated", "newest"] | None = None,
) -> str:
    """Finds the product in the shop that fits best, and gives its number."""
    wanted = fold(query)
    if not wanted or wanted.removesuffix("s") in _NOT_SOLD:
        raise ToolFailure(f"the shop has no {quote(query)}")
    if max_price is not None and max_price < 1:
        raise ToolFailure(f"max_price: nothing costs less than {max_price:g}")
    return f"P-{_number(f'{wanted}{max_price}{sort}', 900_000) + 100_000}"


@tool(access="read", reads=("cart",), latency=Uniform(0.2, 0.5), takes_state=True)
def cart_total(account: Account) -> str:
    """Says what the cart comes to, in euros."""
    full = sum(3 + _number(name, 40) * line["quantity"] for name, line in account.cart.items())
    return f"{full * (100 - _VOUCHERS.get(account.voucher, 0)) / 100:.2f} euros"


@tool(access="write", writes=("cart",), latency=Uniform(0.3, 0.7), takes_state=True)
def add_to_cart(account: Account, product: str, quantity: int = 1, options: dict[str, str] | None = None) -> str:
    """Puts a product into the cart.

    Args:
        product: Name, or number from search_products
        options: size and colour, where they were said
    """
    if not 1 <= quantity <= 50:
        raise ToolFailure(f"quantity: {quantity} is not from 1 to 50")
    if options is not None and (not options or set(options) - {"size", "colour"}):
        raise ToolFailure(
            f"options: {', '.join(options) or 'nothing'}; give size, colour or both, or leave options out"
        )
    account.cart[fold(product)] = {"quantity": quantity, **(options or {})}
    return "in the cart"


@tool(access="write", writes=("cart",), latency=Uniform(0.3, 0.6), takes_state=True)
def remove_from_cart(account: Account, product: str) -> str:
    """Takes a product out of the cart."""
    if fold(product) not in account.cart:
        raise ToolFailure(f"no {quote(product)} in the cart; there are {', '.join(account.cart) or 'none'}")
    del account.cart[fold(product)]
    return "removed"


@tool(access="write", writes=("cart",), latency=Uniform(0.3, 0.6), takes_state=True)
def apply_voucher(account: Account, code: str) -> str:
    """Applies a voucher code to the cart."""
    if fold(code).replace(" ", "") not in _VOUCHERS:
        raise ToolFailure(f"no voucher {quote(code)}; ask for the code again, letter by letter")
    account.voucher = fold(code).replace(" ", "")
    return f"{_VOUCHERS[account.voucher]} percent off"


@tool(access="read", reads=("slots",), latency=Uniform(0.4, 0.9), takes_state=True)
def find_slot(account: Account, day: str, part: Literal["morning", "afternoon", "evening"] | None = None) -> str:
    """Finds a free delivery slot on a day.

    Args:
        day: YYYY-MM-DD
    """
    if not _DAY.fullmatch(day):
        raise ToolFailure(f"day: {quote(day)} can't be read; give YYYY-MM-DD")
    return f"S-{day}-{part or 'morning'}"


@tool(access="write", reads=("slots",), writes=("slots",), latency=Uniform(0.4, 0.8), takes_state=True)
def book_slot(account: Account, slot: str, instructions: str | None = None) -> str:
    """Books a delivery slot that find_slot found.

    Args:
        instructions: What the driver must know
    """
    if not slot.startswith("S-"):
        raise ToolFailure(f"no slot {quote(slot)}; find one with find_slot")
    account.slot = slot
    return "booked"


@tool(access="write", reads=("cart",), writes=("cart", "orders"), latency=LogNormal(1.2, 0.25), takes_state=True)
def checkout(
    account: Account,
    payment: Literal["card", "paypal", "invoice", "gift_card"],
    address: Literal["home", "work"] = "home",
) -> str:
    """Orders and pays what is in the cart; just after it, changes how and where."""
    if not account.cart and not account.ordered:
        raise ToolFailure("the cart is empty; put something into it first")
    if not account.cart:
        account.ordered[-1] |= {"payment": payment, "address": address}
        return "order changed"
    account.ordered.append({"lines": dict(account.cart), "payment": payment, "address": address})
    account.cart.clear()
    return "ordered"


@tool(access="read", reads=("orders",), latency=Uniform(0.3, 0.6), takes_state=True)
def find_order(account: Account, item: str) -> str:
    """Finds the number of the order that an item is in."""
    found = [order for order, what in account.orders.items() if what in fold(item)]
    if not found:
        raise ToolFailure(f"no order of {quote(item)}; ordered were {', '.join(sorted(account.orders.values()))}")
    return found[0]


@tool(access="read", reads=("orders",), latency=Uniform(0.3, 0.8), takes_state=True)
def track_order(account: Account, order: str) -> str:
    """Says where an order is."""
    item = _known(account, order)
    if order in account.cancelled:
        return f"{item}: cancelled"
    return f"{item}: on the way, {1 + _number(item, 4)} days" if item in _SHIPPED else f"{item}: being packed"


@tool(access="write", reads=("orders",), writes=("orders",), latency=Uniform(0.5, 1.1), takes_state=True)
def cancel_order(account: Account, order: str) -> str:
    """Cancels an order that has not left yet."""
    item = _known(account, order)
    if item in _SHIPPED:
        raise ToolFailure(f"the {item} has left already; send it back with return_order when it is there")
    account.cancelled.add(order)
    return "cancelled"


@tool(access="write", reads=("orders",), writes=("orders",), latency=Uniform(0.6, 1.2), takes_state=True)
def return_order(
    account: Account, order: str, reason: Reason, wish: Literal["refund", "exchange", "credit"] = "refund"
) -> str:
    """Sends an order back."""
    item = _known(account, order)
    if item not in _SHIPPED:
        raise ToolFailure(f"the {item} has not left yet; cancel it with cancel_order")
    account.returned[order] = {"reason": reason, "wish": wish}
    return f"label for {item} sent"


@tool(access="write", writes=("lists",), latency=Uniform(0.2, 0.5), takes_state=True)
def add_to_list(account: Account, list_name: str, items: list[str]) -> str:
    """Adds items to a shopping list."""
    if not items or not all(item.strip() for item in items):
        raise ToolFailure("items is empty; ask what to add")
    account.lists.setdefault(fold(list_name).removesuffix(" list"), []).extend(items)
    return f"{len(items)} added"


@tool(access="egress", latency=LogNormal(1.4, 0.3), takes_state=True)
def compare_prices(account: Account, product: str) -> str:
    """Asks other shops what a product costs there."""
    if not product.strip():
        raise ToolFailure("product is empty; ask which one")
    return f"from {10 + _number(product, 400)} euros elsewhere"


@tool(access="write", latency=Uniform(0.3, 0.6), takes_state=True)
def watch_price(account: Account, product: str, below: float) -> str:
    """Tells the customer when a product costs less than a price."""
    if below <= 0:
        raise ToolFailure(f"below: {below:g} is no price; give euros")
    account.watched[fold(product)] = below
    return "watching"
