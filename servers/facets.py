"""How many match, and how many would with another state, agent or account: one bounded read for all of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection

from servers import presence
from servers.finding import Reach, named, where
from servers.query import FACETS, Query, Term
from servers.querysets import ServerQuerySet

COUNTED = 10_000  # more than this are not counted
FACETED = 5_000  # above this the facets have no figures
HELD = 500  # ids of one group that a search hands on

Group = tuple[str, str, UUID]  # state, presence, account


@dataclass(frozen=True)
class Counts:
    """`total` match, or more than that. `facets`: key → value → servers, None where there are too many to be cheap.

    `ids`: those that a search found, when they are few; whoever shows them need not search again.
    """

    total: int
    more: bool
    facets: dict[str, Counter[str]] | None
    ids: list[UUID] | None = None


def count(reach: Reach, query: Query) -> Counts:
    """Count with bounds. Account ids are the values of the facet `account`."""
    rest = reach.servers().filter(where(query.without(*FACETS), reach.accounts))
    groups = _groups(rest, HELD if query.without(*FACETS) else 0)
    if sum(servers for servers, _ in groups.values()) > FACETED:
        matching = reach.servers().filter(where(query, reach.accounts))
        total = matching.order_by()[: COUNTED + 1].count()
        return Counts(min(total, COUNTED), total > COUNTED, None)
    held = {key: _Held(query.only(key).terms, reach) for key in FACETS}
    facets: dict[str, Counter[str]] = {key: Counter() for key in FACETS}
    total, ids = 0, list[UUID]()
    for group, (servers, some) in groups.items():
        value = dict(zip(("state", "agent", "account"), map(str, group), strict=True))
        missed = [key for key in FACETS if not held[key](value[key])]
        if not missed:
            total += servers
            ids += some
        for key in FACETS:
            if not missed or missed == [key]:
                facets[key][value[key]] += servers
    return Counts(total, False, facets, ids if len(ids) == total else None)


class _Held:
    """Whether a value of a facet meets the terms about it."""

    def __init__(self, terms: tuple[Term, ...], reach: Reach) -> None:
        self.terms = [
            (term.negated, {wanted for value in term.values for wanted in _meant(term, value, reach)}) for term in terms
        ]

    def __call__(self, value: str) -> bool:
        return all((value in wanted) != negated for negated, wanted in self.terms)


def _meant(term: Term, value: str, reach: Reach) -> list[str]:
    return [str(account.pk) for account in named(value, reach.accounts)] if term.key == "account" else [value]


def _groups(rows: ServerQuerySet, held: int) -> dict[Group, tuple[int, list[UUID]]]:
    """Servers by state, presence and account, among at most FACETED + 1 of them: how many, and some of their ids."""
    bounded = rows.annotate(presence=presence.word()).order_by().values("state", "presence", "account_id", "id")
    try:
        inner, values = bounded[: FACETED + 1].query.sql_with_params()
    except EmptyResultSet:  # the ORM knows already that nothing can match
        return {}
    # The ORM cannot group a bounded read; the inner text is its own, with its values as parameters.
    what = f"state, presence, account_id, count(*), (array_agg(id))[1:{held}]"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {what} FROM ({inner}) AS bounded GROUP BY 1, 2, 3", values)  # noqa: S608
        return {(state, word, account): (servers, ids) for state, word, account, servers, ids in cursor.fetchall()}
