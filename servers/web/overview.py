"""The list of servers, and one row of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.health import trouble
from accounts.models import CloudAccount
from accounts.visit import Visit, visit
from console.lib.pages import signed_in
from console.templatetags.look import figure
from providers.platforms import PLATFORMS
from servers import finding, watching
from servers.facets import Counts, count
from servers.finding import Page, Reach
from servers.presence import word
from servers.query import Query, QueryError, Term, parse
from servers.web import buttons
from servers.web.facets import facets
from servers.web.links import Asked
from servers.web.rows import rows

COLUMNS = [
    ("name", "Name", ""), ("state", "State", ""), ("", "Account", ""), ("", "Addresses", ""), ("", "Size", ""),
    ("", "Agent", ""), ("", "Load", ""), ("", "Memory", ""), ("", "Disk", ""), ("age", "Age", "number"),
]  # fmt: skip
RUNNING = parse("state:running agent:missing")


def reach_of(seen: Visit, account: str = "") -> Reach:
    """What this request may see, or one account of it (a wrong id is nothing)."""
    accounts = [one for one in seen.accounts if not account or str(one.pk) == account]
    return Reach(list(dict.fromkeys(one.customer_id for one in accounts)), accounts)


@signed_in
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """A page of servers. The websocket's hints fetch this same address again, and take the part they need."""
    seen, asked = visit(request), Asked.of(request.GET)
    reach = reach_of(seen, asked.account)
    query, found, counts, wrong = Query(), Page([], None, None), None, ""
    try:
        query = parse(asked.q)
        counts = count(reach, query)
        if counts.total or counts.more:
            found = finding.page(reach, query, asked.sort, asked.cursor, counts.ids)
    except QueryError as refusal:
        wrong = refusal.words
    watching.note(server.pk for server in found.rows)
    chosen = next((one for one in reach.accounts if asked.account), None)
    context = {
        "section": "servers",
        "asked": asked,
        "wrong": wrong,
        "rows": rows(found.rows),
        "counts": counts,
        "facets": [] if wrong else facets(asked, query, counts, reach.accounts),
        "columns": [
            (title, asked.sorting(key) if key else "", asked.order_of(key), css) for key, title, css in COLUMNS
        ],
        "newer": asked.at(found.newer),
        "older": asked.at(found.older),
        "trouble": _trouble(reach.accounts),
        "account": chosen,
        "empty": "" if found.rows or wrong else _empty(seen, reach, asked, query),
        "clear": asked.asking(""),
        "platforms": list(PLATFORMS),
        "bulk_actions": [
            {"label": "Install agent", "icon": "robot", "kind": "primary", "href": reverse("installs:new")},
            *buttons.in_bulk(("start", "stop", "reboot"), "href"),
        ],
        "bulk_more": buttons.in_bulk(("reset", "suspend", "resume", "resize", "snapshot", "", "delete")),
        "new_server": buttons.create(reach.accounts, chosen),
        "install_rest": _install_rest(asked, query, counts),
    }
    return render(request, "servers/list.html", context)


@signed_in
@require_safe
def row(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One row, as the list draws it."""
    servers = (
        reach_of(visit(request)).servers().select_related("agent", "account__endpoint__provider", "account__customer")
    )
    server = get_object_or_404(servers.annotate(presence=word()), pk=pk)
    return render(request, "servers/row.html", {"row": rows([server])[0]})


def _trouble(accounts: list[CloudAccount] | Any) -> dict[str, Any] | None:
    """ "2 of 7 accounts could not be read", "3 servers could not be read", or both, with the reasons."""
    told = trouble(accounts)
    if not told:
        return None
    # Those of which nothing is read come first.
    told.sort(key=lambda one: bool(one[1].unread))
    unread = sum(how.unread for _, how in told)
    whole = sum(not how.unread for _, how in told)
    what = ["this account" if len(accounts) == 1 else f"{whole} of {len(accounts)} accounts"] if whole else []
    what += [f"{unread:,} {'server' if unread == 1 else 'servers'}"] if unread else []
    title = f"{' and '.join(what)} could not be read"
    return {"title": title[0].upper() + title[1:], "accounts": told[:4], "more": max(0, len(told) - 4)}


def _empty(seen: Visit, reach: Reach, asked: Asked, query: Query) -> str:
    """Which empty state it is."""
    if not seen.accounts:
        return "accounts" if seen.customers else "workspaces"
    if query or asked.cursor or not reach.accounts:
        return "search"
    return "servers" if any(account.last_sync_at for account in reach.accounts) else "reading"


def _install_rest(asked: Asked, query: Query, counts: Counts | None) -> dict[str, Any] | None:
    """The form for those without an agent among the servers that are asked for; None where there are none, or too
    many to count. Without a query those that run are meant."""
    if counts is None or counts.facets is None or not counts.facets["agent"]["missing"]:
        return None
    missing = counts.facets["agent"]["missing"]
    among = query.values("agent")
    if among - {"missing"} or any(term.negated for term in query.only("agent").terms):
        return None  # other agents are asked for: "missing" beside them would say another thing
    wanted = Query((*query.without("agent").terms, Term("agent", ("missing",)))) if query else RUNNING
    given = {"q": str(wanted), "account": asked.account, "all_matching": "1"}
    href = f"{reverse('installs:new')}?{urlencode({name: value for name, value in given.items() if value})}"
    label = f"Install on {figure(missing)} without agent" if query else "Install on all without agent"
    return {"label": label, "href": href}
