"""The confirm page: exactly whom it will touch, what will happen, and off it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts import ready
from accounts.clouds.operations import Operation, Size, Snapshot
from accounts.visit import visit
from console.lib.denials import Denied, Wrong
from console.lib.faults import Fault, Refused
from console.lib.pages import person, signed_in
from console.templatetags.look import megabytes
from servers.actions import ability, actions, measures, offers
from servers.actions.kinds import KINDS, Kind
from servers.actions.models import ActionBatch
from servers.actions.web.forms import ActionForm
from servers.models import Server
from servers.query import QueryError
from servers.web import picking


@dataclass(frozen=True)
class Chosen:
    """`able` can be asked of their clouds; `unable` cannot, each with its reason. `gone` are no longer there."""

    able: Sequence[Server]
    unable: Sequence[tuple[Server, str]]
    gone: int = 0

    @property
    def frozen(self) -> str:
        """The ids of the able ones, as the form carries them."""
        return ",".join(str(server.pk) for server in self.able)


@dataclass(frozen=True)
class Offer:
    """What the page needs to know of the cloud: the sizes to choose from, and whether CPUs and memory can be said
    instead (`free`); or the snapshot that it is about. Or the `fault` why that is not known, under its `title`."""

    sizes: Sequence[Size] = ()
    free: bool = False
    has: str = ""
    snapshot: Snapshot | None = None
    fault: str = ""
    title: str = "The sizes on offer are not known"


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """GET freezes and shows whom it will touch; POST does it to exactly those."""
    seen = visit(request)
    given = request.POST if request.method == "POST" else request.GET
    does = KINDS.get(given.get("kind", ""))
    if does is None:
        if not seen.customers or not given.get("kind"):
            return HttpResponseRedirect(reverse("servers:list"))
        raise Http404("No such action.")
    if request.method != "POST":
        try:
            chosen = _sorted_out(does, *picking.picked(request.GET, seen, actions.MOST))
        except QueryError as refusal:
            messages.error(request, refusal.words)
            return HttpResponseRedirect(reverse("servers:list"))
        snapshot_id = request.GET.get("snapshot_id", "")
        first = {"targets": chosen.frozen, "kind": does.name, "snapshot_id": snapshot_id}
        if does.name == "rename" and chosen.able:
            first["name"] = chosen.able[0].name
        offer = _offer(does, chosen, snapshot_id)
        form = ActionForm(initial=first, does=does, sizes=offer.sizes, free=offer.free, has=offer.has)
        return _form(request, does, form, chosen, offer)
    chosen = _sorted_out(does, *picking.by_ids(request.POST.get("targets", ""), seen, actions.MOST))
    offer = _offer(does, chosen, request.POST.get("snapshot_id", ""))
    form = ActionForm(request.POST, does=does, sizes=offer.sizes, free=offer.free, has=offer.has)
    everyone = [*chosen.able, *(server for server, _ in chosen.unable)]  # frozen: one that cannot be by now says why
    if form.is_valid() and everyone and not offer.fault:
        try:
            return _on_the_way(request, _start(does, everyone, _params(form, offer), request))
        except Wrong as wrong:
            form.take(wrong)
        except Denied as denial:
            form.add_error(None, denial.words)
    elif not everyone:
        form.add_error(None, "There is nothing to do it to. Select servers in the list.")
    return _form(request, does, form, chosen, offer, status=422)


def _sorted_out(does: Kind, servers: list[Server], gone: int = 0) -> Chosen:
    said = ability.refusals(servers, does)
    return Chosen(
        [server for server in servers if server.pk not in said],
        [(server, said[server.pk]) for server in servers if server.pk in said],
        gone,
    )


def _offer(does: Kind, chosen: Chosen, snapshot_id: str) -> Offer:
    """What a resize can choose from, or which snapshot it is about; or why there is nothing."""
    if "snapshot_id" in does.needs and snapshot_id and len(chosen.able) == 1:
        return _snapshot(chosen.able[0], snapshot_id)
    if does.name != "resize" or not chosen.able:
        return Offer()
    accounts = {server.account_id: server.account for server in chosen.able}
    tables = [ready.table(account) for account in accounts.values()]
    free, has = all(map(measures.free, tables)), _has(chosen.able)
    listed = any(table is None or table[Operation.SIZES].allowed for table in tables)
    if free and (not listed or len(accounts) > 1):
        return Offer(free=True, has=has)
    if len(accounts) > 1:
        return Offer(
            fault="These servers are in several accounts, whose sizes differ. Resize those of one account at a time."
        )
    try:
        return Offer(offers.sizes(next(iter(accounts.values()))), free=free, has=has)
    except Fault as fault:
        if free and isinstance(fault, Refused):  # it need not be allowed to list them in order to do without
            return Offer(free=True, has=f"{Offer.title}. {fault.words} {has}".strip())
        return Offer(fault=fault.words)


def _snapshot(server: Server, snapshot_id: str) -> Offer:
    """The snapshot as its cloud tells it now, so that nobody reverts to one, or deletes one, that is not named."""
    title = "The snapshot is not known"
    try:
        found = next((one for one in offers.snapshots(server) if one.id == snapshot_id), None)
    except Fault as fault:
        return Offer(fault=fault.words, title=title)
    if found is None:
        return Offer(fault="Its cloud has no such snapshot of this server. Choose among those it has.", title=title)
    return Offer(snapshot=found)


def _has(servers: Sequence[Server]) -> str:
    """ "It has 2 CPUs and 4 GB now.", where it is one server that says so."""
    one = servers[0]
    if len(servers) > 1 or not one.cpus or not one.memory_mb:
        return ""
    return f"It has {one.cpus} CPU{'s' * (one.cpus > 1)} and {megabytes(one.memory_mb)} now."


def _params(form: ActionForm, offer: Offer) -> dict[str, Any]:
    """What the form says, and how the cloud calls the snapshot that it names by id."""
    name = offer.snapshot.name.strip()[:255] if offer.snapshot else ""
    return form.params() | ({"snapshot_name": name} if name and name.isprintable() else {})


def _start(does: Kind, servers: list[Server], params: dict[str, Any], request: HttpRequest) -> list[ActionBatch]:
    """One batch a customer, all or none."""
    by_customer = groupby(sorted(servers, key=lambda one: str(one.customer_id)), key=lambda one: one.customer)
    with transaction.atomic():
        return [
            actions.start(list(some), kind=does.name, params=params, by=person(request), customer=customer)
            for customer, some in by_customer
        ]


def _on_the_way(request: HttpRequest, batches: list[ActionBatch]) -> HttpResponse:
    if len(batches) == 1:
        return HttpResponseRedirect(reverse("actions:batch", args=[batches[0].pk]))
    messages.info(request, f"{len(batches)} actions were started, one for each workspace.")
    return HttpResponseRedirect(reverse("servers:activity"))


def _form(
    request: HttpRequest, does: Kind, form: ActionForm, chosen: Chosen, offer: Offer, status: int = 200
) -> HttpResponse:
    most = 1 if does.single else actions.MOST
    too_many = len(chosen.able) > most
    reason = ""
    if offer.fault:
        reason = f"{offer.title}."
    elif too_many:
        reason = (
            f"{does.label} is done to one server at a time."
            if does.single
            else (f"Select at most {actions.MOST:,} servers at once.")
        )
    elif not chosen.able:
        reason = "It cannot be done to any of these servers." if chosen.unable else "Select servers in the list first."
    one = len(chosen.able) == 1
    context = {
        "section": "servers",
        "does": does,
        "form": form,
        "chosen": chosen,
        "offer": offer,
        "fault": offer.fault,
        "reason": reason,
        "too_many": too_many,
        "heading": does.label if one or does.single else f"{does.label} {len(chosen.able):,} servers".replace(",", " "),
        "several": len({server.customer_id for server in chosen.able}),
        "button": "danger" if does.danger else "primary",
        "back": reverse("servers:server", args=[chosen.able[0].pk]) if one else reverse("servers:list"),
    }
    return render(request, "actions/new.html", context, status=status)
