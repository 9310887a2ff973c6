"""One page of servers: what a query finds, in order, by keyset; never a deep OFFSET, never a count of everything."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import CharField, Func, Q, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Contains

from accounts.models import CloudAccount
from servers import presence
from servers.models import Server
from servers.query import Query, QueryError, Term, may_be_address, whole_address
from servers.querysets import ServerQuerySet

PAGE = 50
SORTS: dict[str, tuple[str, ...]] = {"name": ("name", "id"), "state": ("state", "name", "id"), "age": ("born", "id")}
BORN = Coalesce("cloud_created_at", "first_seen_at")  # as the index server_by_age has it


@dataclass(frozen=True)
class Reach:
    """Whose servers somebody may see: ids of customers, and their accounts that are present."""

    customers: Sequence[UUID]
    accounts: Sequence[CloudAccount]

    def servers(self, gone: bool = False) -> ServerQuerySet:
        """Every server within reach, with those that are `gone` or without; the door of the pages about servers."""
        servers: ServerQuerySet = Server.objects.all() if gone else Server.objects.listed()
        return servers.filter(customer_id__in=self.customers, account_id__in=[account.pk for account in self.accounts])


@dataclass(frozen=True)
class Page:
    rows: list[Server]
    newer: str | None  # cursors
    older: str | None


def where(query: Query, accounts: Sequence[CloudAccount]) -> Q:
    """The query as a condition on servers. Raises QueryError for an account that is not within reach."""
    condition = Q()
    for term in query.terms:
        found = Q(pk__in=[])
        for value in term.values:
            found |= _holds(term, value, accounts)
        condition &= ~found if term.negated else found
    return condition


def _holds(term: Term, value: str, accounts: Sequence[CloudAccount]) -> Q:
    match term.key:
        case "":
            found = (
                Q(name__icontains=value) | Q(external_id=value) | Q(size__icontains=value) | Q(image__icontains=value)
            )
            return found | _address(value) if may_be_address(value) else found
        case "state":
            return Q(state=value)
        case "agent":
            return presence.matching(value)
        case "account":
            return Q(account_id__in=[account.pk for account in named(value, accounts)])
        case "platform":
            return Q(account_id__in=[account.pk for account in accounts if account.endpoint.platform == value])
        case "ip":
            return _address(value)
        case "id":
            return Q(external_id=value) | (Q(pk=value) if _is_uuid(value) else Q(pk__in=[]))
        case "listed":
            return Q(missing_since__isnull=value == "yes")
        case _:
            return Q(**{f"{term.key}__icontains": value})


def _address(start: str) -> Q:
    """A whole address by the index; the start of one by looking through the text of all."""
    if whole := whole_address(start):
        return Q(ips__overlap=sorted({start, start.lower(), whole}))
    joined = Func(
        Value(" "), Func("ips", Value(" "), function="array_to_string"), function="concat", output_field=CharField()
    )
    return Q(Contains(joined, f" {start.lower()}"))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def named(value: str, accounts: Sequence[CloudAccount]) -> list[CloudAccount]:
    """The accounts that somebody means: by id, by their whole name, or by a part of it."""
    wanted = value.lower()
    for same in (
        lambda a: wanted == str(a.pk) or value == a.external_id,
        lambda a: wanted == a.name.lower(),
        lambda a: wanted in a.name.lower(),
    ):
        if found := [account for account in accounts if same(account)]:
            return found
    have = ", ".join(account.name for account in accounts[:6]) + (" …" if len(accounts) > 6 else "")
    raise QueryError(f'No account is called "{value}". ' + (f"There are: {have}." if have else "There are none yet."))


def page(reach: Reach, query: Query, sort: str = "name", cursor: str = "", ids: Sequence[UUID] | None = None) -> Page:
    """A page of what matches. `sort` is a key of SORTS, with "-" before it for the other way round.

    `ids`: all that match, when that is known already (servers.facets); then nothing is searched again.
    """
    columns, descending = SORTS[sort.removeprefix("-")], sort.startswith("-")
    backwards, start = _read(cursor, columns)
    down = descending != backwards
    rows = _rows(where(query, reach.accounts) if ids is None else Q(pk__in=ids), reach).annotate(born=BORN)
    if start:
        rows = rows.filter(_beyond(columns, start, down))
    order = [("-" if down else "") + column for column in columns]
    found = list(_ordered(rows, reach, order, PAGE + 1))
    more, found = len(found) > PAGE, found[:PAGE]
    if backwards:
        found.reverse()
    if not found:
        return Page([], None, None)
    accounts = {account.pk: account for account in reach.accounts}
    for row in found:
        row.account = accounts[row.account_id]  # known already: no join
    earlier, later = (more, True) if backwards else (bool(start), more)
    return Page(
        found,
        _write(found[0], columns, True) if earlier else None,
        _write(found[-1], columns, False) if later else None,
    )


def _rows(condition: Q, reach: Reach) -> ServerQuerySet:
    return Server.objects.listed().filter(condition, account_id__in=[account.pk for account in reach.accounts])


def _ordered(rows: ServerQuerySet, reach: Reach, order: list[str], size: int) -> Any:
    """The first rows in order. With several customers each one's index gives its own first rows, which are merged."""
    whole = rows.select_related("agent").defer("agent__facts", "agent__metrics").annotate(presence=presence.word())
    if len(reach.customers) == 1:
        return whole.filter(customer_id=reach.customers[0]).order_by(*order)[:size]
    columns = [column.removeprefix("-") for column in order]
    parts = [
        rows.filter(customer_id=customer).order_by(*order).values_list(*columns)[:size] for customer in reach.customers
    ]
    if not parts:
        return []
    keys = parts[0].union(*parts[1:], all=True).order_by(*order)[:size]
    return whole.filter(pk__in=[key[-1] for key in keys]).order_by(*order)


def _beyond(columns: tuple[str, ...], start: list[Any], down: bool) -> Q:
    """Rows after `start`. The bound on the first column alone lets the index start there."""
    side = "lt" if down else "gt"
    beyond, equal = Q(), Q()
    for column, value in zip(columns, start, strict=True):
        beyond |= equal & Q(**{f"{column}__{side}": value})
        equal &= Q(**{column: value})
    return Q(**{f"{columns[0]}__{side}e": start[0]}) & beyond


def _write(row: Server, columns: tuple[str, ...], backwards: bool) -> str:
    values = [getattr(row, column) for column in columns]
    text = json.dumps([backwards, *(v.isoformat() if isinstance(v, datetime) else str(v) for v in values)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str, columns: tuple[str, ...]) -> tuple[bool, list[Any]]:
    """Direction and key of a cursor; one that is not ours, or of another order, means the first page."""
    try:
        backwards, *values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(values) != len(columns) or not all(isinstance(value, str) and "\0" not in value for value in values):
            return False, []
        start: list[Any] = [*values[:-1], UUID(values[-1])]
        if columns[0] == "born":
            start[0] = datetime.fromisoformat(start[0]).astimezone(UTC)
        return backwards is True, start
    except (ValueError, TypeError, OverflowError, binascii.Error):
        return False, []
