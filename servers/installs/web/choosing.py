"""Who is meant: the ticked servers, or all that match a query; resolved once, shown, and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, QueryDict

from accounts.visit import Visit
from servers import finding
from servers.installs import install
from servers.models import Server
from servers.query import parse
from servers.querysets import ServerQuerySet
from servers.web.overview import reach_of

REFUSED = "This workspace is suspended: nothing can be installed."


@dataclass(frozen=True)
class Chosen:
    """`able` can be tried; `unable` cannot, each with its reason. `gone` were ticked, and are no longer there."""

    able: Sequence[Server]
    unable: Sequence[tuple[Server, str]]
    gone: int = 0

    @property
    def frozen(self) -> str:
        """The ids of the able ones, as the form carries them."""
        return ",".join(str(server.pk) for server in self.able)


def asked_for(given: QueryDict, seen: Visit) -> Chosen:
    """By `ids`, or by `q` (with `account`) when `all_matching=1` or no ids are given. Raises QueryError."""
    ids = given.getlist("ids")
    if given.get("all_matching") != "1" and (ids or "q" not in given):
        return by_ids(",".join(ids), seen)
    reach = reach_of(seen, given.get("account", ""))
    condition = finding.where(parse(given.get("q", "")), reach.accounts)
    return _sorted_out(list(_complete(reach.servers().filter(condition))[: install.MOST + 1]))


def by_ids(text: str, seen: Visit) -> Chosen:
    """Servers of a list of ids. None within reach is a 404, as if they did not exist."""
    wanted = {pk for pk in map(_uuid, text.split(",")) if pk}
    if not wanted:
        return Chosen([], [])
    if len(wanted) > install.MOST:
        wanted = set(sorted(wanted)[: install.MOST + 1])
    found = list(_complete(reach_of(seen).servers().filter(pk__in=wanted)))
    if not found:
        raise Http404("No such servers.")
    return _sorted_out(found, gone=len(wanted) - len(found))


def _complete(servers: ServerQuerySet) -> ServerQuerySet:
    return (
        servers.select_related("customer", "account")
        .defer("account__sealed", "account__pending_sealed")
        .order_by("name", "pk")
    )


def _sorted_out(servers: list[Server], gone: int = 0) -> Chosen:
    said = {pk: f"{cause} {fix}".strip() for pk, (cause, fix) in install.refusals(servers).items()}
    said |= {server.pk: REFUSED for server in servers if server.customer.status != "active"}
    return Chosen(
        [server for server in servers if server.pk not in said],
        [(server, said[server.pk]) for server in servers if server.pk in said],
        gone,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
