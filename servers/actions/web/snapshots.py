"""The snapshots of one server, as its cloud tells them now."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import ready
from accounts.clouds.operations import Operation, Snapshot
from accounts.visit import visit
from console.lib.faults import Fault
from console.lib.pages import signed_in
from servers.actions import ability, offers
from servers.actions.kinds import KINDS
from servers.web.overview import reach_of


@signed_in
@require_safe
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Each with what can be done to it. Asked of the cloud at this moment."""
    servers = reach_of(visit(request)).servers().select_related("customer", "account__endpoint")
    server = get_object_or_404(servers.defer("account__sealed", "account__pending_sealed"), pk=pk)
    fault = ""
    found: tuple[Snapshot, ...] = ()
    table = ready.table(server.account)
    if table and (words := table[Operation.SNAPSHOTS].refusal()):
        fault = words
    else:
        try:
            found = offers.snapshots(server)
        except Fault as problem:
            fault = problem.words
    busy = ability.under_way([server]).get(server.pk)
    new = reverse("actions:new")
    context = {
        "section": "servers",
        "server": server,
        "fault": fault,
        "snapshots": found,
        "take_href": f"{new}?kind=snapshot&ids={pk}",
        "no_take": ability.refusal(server, KINDS["snapshot"], busy),
        "revert_href": f"{new}?kind=revert_snapshot&ids={pk}&snapshot_id=",
        "no_revert": ability.refusal(server, KINDS["revert_snapshot"], busy),
        "delete_href": f"{new}?kind=delete_snapshot&ids={pk}&snapshot_id=",
        "no_delete": ability.refusal(server, KINDS["delete_snapshot"], busy),
    }
    return render(request, "actions/snapshots.html", context)
