"""New servers: an order becomes rows, one for each server, and a worker is rung. Nothing here touches the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction

from accounts import ready
from accounts.clouds.operations import Capabilities, Operation
from accounts.models import CloudAccount
from console.lib import seal
from console.lib.denials import Denied, Wrong
from console.lib.jobs.rows import ACTIVE
from console.models import User
from providers.models import Customer
from servers.actions import actions, measures
from servers.actions.kinds import CREATE
from servers.actions.models import Action, ActionBatch

MOST: Final = 50  # servers of one order
USER_DATA: Final = 16 * 1024  # bytes
NETWORKS: Final = 20
_COLUMN: Final = "order_sealed"
_TEXTS: Final = ("name", "image", "size", "key_name", "zone", "image_name", "size_name")
_NUMBERS: Final = ("cpus", "memory_mb")


def create(
    account: CloudAccount, *, order: Mapping[str, Any], count: int = 1, by: User, customer: Customer
) -> ActionBatch:
    """Create `count` servers as ordered in this account of `customer`: one batch, and a row for each.

    `order`: `name` and `image` (its id), `size` (its id) or, where the cloud takes them without one (vCloud) or beside
    one that leaves them open (CloudStack), `cpus` and `memory_mb`; also `networks` (ids; none: the cloud's default),
    `key_name`, `user_data` (text), `zone`, and `image_name` and `size_name` to be shown. Several servers
    are called name-1, name-2 …

    Wrong (fields as in `order`, and `count`); Denied (`account_not_ready`) when the account cannot create any.
    """
    wrong: dict[str, list[str]] = {}
    kept = _checked({name: value for name, value in order.items() if value not in (None, "", [], ())}, wrong)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
        wrong["count"] = [f"Order 1 to {MOST} servers at once."]
        count = 1
    user_data = kept.get("user_data", "")
    with transaction.atomic():
        # Under this lock a second press of the same button sees what the first one began.
        rows = CloudAccount.objects.present().filter(pk=account.pk, customer=customer)
        held = rows.select_for_update(of=("self",), no_key=True).select_related("customer", "endpoint").first()
        if held is None:
            raise Wrong({"account": ["This account is no longer there."]})
        if words := ready.refusal(held, Operation.CREATE):
            raise Denied(words, "account_not_ready")
        _fits(kept, ready.table(held), wrong)
        if "name" not in wrong:
            names = _names(held, kept["name"], count, wrong)
        if wrong:
            raise Wrong(wrong)
        shown = kept | ({"user_data": f"{len(user_data.encode()):,} bytes"} if user_data else {})
        batch = ActionBatch.objects.create(customer=customer, by=by, kind=CREATE.name, params=shown)
        made = [_row(batch, held, shown | {"name": name}, user_data) for name in names]
        Action.objects.bulk_create(made)
        actions.announce(batch, made)
    return batch


def params_of(row: Action) -> dict[str, Any]:
    """What was ordered, with the user data opened. SealBroken when that does not open."""
    if not row.order_sealed:
        return dict(row.params)
    ordered: dict[str, Any] = row.params | seal.open_(row.order_sealed, row.place(_COLUMN))
    return ordered


def _row(batch: ActionBatch, account: CloudAccount, params: dict[str, Any], user_data: str) -> Action:
    row = Action(
        batch=batch, customer=batch.customer, account=account, name=params["name"], kind=CREATE.name, params=params
    )
    if user_data:  # people put keys and passwords into it
        row.order_sealed = seal.close({"user_data": user_data}, row.place(_COLUMN))
    return row


def _names(account: CloudAccount, name: str, count: int, wrong: dict[str, list[str]]) -> list[str]:
    names = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
    if len(names[-1]) > 255:
        wrong["name"] = ["The name is too long to be numbered."]
    # Two of one name at once could not be told apart, should a worker be killed in the middle.
    active = Action.objects.filter(account=account, kind=CREATE.name, state__in=ACTIVE, name__in=names)
    if taken := active.order_by("name").values_list("name", flat=True).first():
        wrong["name"] = [f"A server called {taken} is being created in this account at the moment."]
    return names


def _checked(order: dict[str, Any], wrong: dict[str, list[str]]) -> dict[str, Any]:
    """The order as it is kept; what is wrong with its form goes into `wrong`."""
    kept: dict[str, Any] = {}
    for name in CREATE.needs:
        if name not in order:
            wrong[name] = ["Choose an image." if name == "image" else "This field is required."]
    for name, value in order.items():
        if name in _TEXTS:
            if _is_text(value):
                kept[name] = value.strip()
            else:
                wrong[name] = ["Write 1 to 255 characters, without line breaks."]
        elif name in _NUMBERS:
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31:
                kept[name] = value
            else:
                wrong[name] = ["Write a whole number from 1."]
        elif name == "networks":
            if isinstance(value, (list, tuple)) and len(value) <= NETWORKS and all(map(_is_text, value)):
                kept[name] = list(dict.fromkeys(value))
            else:
                wrong[name] = [f"Give the ids of at most {NETWORKS} networks."]
        elif name == "user_data":
            if not isinstance(value, str) or "\0" in value or len(value.encode(errors="replace")) > USER_DATA:
                wrong[name] = ["Give a text of at most 16 KB."]
            else:
                kept[name] = value
        else:
            wrong[name] = ["Create takes no such field."]
    return kept


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= 255 and value.isprintable()


def _fits(order: dict[str, Any], table: Capabilities | None, wrong: dict[str, list[str]]) -> None:
    """What this platform needs and what it does not take. Nothing is said while nobody knows what it is."""
    if table is None:
        return
    # A measure that is wrong in itself was told of already: whether it would do is another question.
    if not wrong.keys() & _NUMBERS and (words := measures.refusal(order, table)):
        wrong.setdefault("size", [words])
    for field, operation in (
        ("networks", Operation.NETWORKS),
        ("key_name", Operation.KEY_PAIRS),
        ("user_data", Operation.ORDER_USER_DATA),
    ):
        if order.get(field) and (words := table[operation].refusal()):
            wrong.setdefault(field, [words])
