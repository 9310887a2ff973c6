"""Who is meant: the ticked servers, or all that match a query; resolved once, to be shown and frozen."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, QueryDict

from accounts.visit import Visit
from servers import finding
from servers.models import Server
from servers.query import parse
from servers.querysets import ServerQuerySet
from servers.web.overview import reach_of


def picked(given: QueryDict, seen: Visit, most: int) -> tuple[list[Server], int]:
    """By `ids`, or by `q` (with `account`) when `all_matching=1` or no ids are given: the servers by name, at most
    one more than `most`; and how many of the ids are not there. Raises QueryError."""
    ids = given.getlist("ids")
    if given.get("all_matching") != "1" and (ids or "q" not in given):
        return by_ids(",".join(ids), seen, most)
    reach = reach_of(seen, given.get("account", ""))
    condition = finding.where(parse(given.get("q", "")), reach.accounts)
    return list(_complete(reach.servers().filter(condition))[: most + 1]), 0


def by_ids(text: str, seen: Visit, most: int) -> tuple[list[Server], int]:
    """Servers of a list of ids. None within reach is a 404, as if they did not exist."""
    wanted = {pk for pk in map(_uuid, text.split(",")) if pk}
    if not wanted:
        return [], 0
    if len(wanted) > most:
        wanted = set(sorted(wanted)[: most + 1])
    found = list(_complete(reach_of(seen).servers().filter(pk__in=wanted)))
    if not found:
        raise Http404("No such servers.")
    return found, len(wanted) - len(found)


def _complete(servers: ServerQuerySet) -> ServerQuerySet:
    return (
        servers.select_related("customer", "account__endpoint")
        .defer("account__sealed", "account__pending_sealed", "account__endpoint__ca")
        .order_by("name", "pk")
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
