"""The chips above the list: each is a link that puts a value into the query or takes it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.health import health
from accounts.models import CloudAccount
from servers.facets import Counts
from servers.finding import named
from servers.models import Server
from servers.presence import Presence
from servers.query import Query
from servers.web.links import Asked

MOST_ACCOUNTS = 6


@dataclass(frozen=True)
class Chip:
    label: str
    tone: str
    href: str
    active: bool
    figure: int | None


@dataclass(frozen=True)
class Facet:
    name: str
    chips: list[Chip]


def facets(asked: Asked, query: Query, counts: Counts | None, accounts: Sequence[CloudAccount]) -> list[Facet]:
    """State, agent and account. A value that nothing has is left out, unless it was asked for."""
    made = [
        Facet("State", _chips(asked, query, counts, "state", [(s.value, s.label, s.tone) for s in Server.State])),
        Facet("Agent", _chips(asked, query, counts, "agent", [(p.value, p.said, p.tone) for p in Presence])),
    ]
    if len(accounts) > 1 and not asked.account:
        made.append(Facet("Account", _accounts(asked, query, counts, accounts)))
    return [facet for facet in made if len(facet.chips) > 1 or any(chip.active for chip in facet.chips)]


def _chips(
    asked: Asked, query: Query, counts: Counts | None, key: str, values: Sequence[tuple[str, str, str]]
) -> list[Chip]:
    figures = counts.facets[key] if counts and counts.facets is not None else None
    chosen = query.values(key)
    return [
        Chip(label, tone, asked.asking(str(query.toggled(key, value))), value in chosen,
             None if figures is None else figures[value])
        for value, label, tone in values
        if value in chosen or figures is None or figures[value]
    ]  # fmt: skip


def _accounts(asked: Asked, query: Query, counts: Counts | None, accounts: Sequence[CloudAccount]) -> list[Chip]:
    """By name where the name is one account's alone, else by id; the fullest ones when there are many."""
    figures = counts.facets["account"] if counts and counts.facets is not None else None
    chosen = query.values("account")
    chips = []
    for account in accounts:
        alone = [other.pk for other in accounts if other.name.lower() == account.name.lower()] == [account.pk]
        value = account.name if alone else str(account.pk)
        written = next((given for given in chosen if [a.pk for a in named(given, accounts)] == [account.pk]), None)
        count = None if figures is None else figures[str(account.pk)]
        href = asked.asking(str(query.toggled("account", written or value)))
        chips.append(Chip(account.name, health(account).tone, href, written is not None, count))
    chips.sort(key=lambda chip: (not chip.active, -(chip.figure or 0)))
    return chips[:MOST_ACCOUNTS]
