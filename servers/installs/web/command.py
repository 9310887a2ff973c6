"""The command that a person pastes on a machine: with a join token for one server, or for one server of an account."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.models import CloudAccount
from accounts.visit import visit
from console.lib.denials import Denied
from console.lib.pages import person, signed_in
from servers.agents import enrol
from servers.installs import script
from servers.models import Server


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_server(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET says what it is; POST makes a token for this server, and shows the command once."""
    mine = [customer.pk for customer in visit(request).customers]
    server = get_object_or_404(Server.objects.listed().of(mine).select_related("customer", "account__customer"), pk=pk)
    return _page(request, server, server.name, reverse("servers:server", args=[pk]))


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def of_account(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same for a server of this account that says itself which one it is."""
    mine = [customer.pk for customer in visit(request).customers]
    accounts = CloudAccount.objects.of(mine).defer("sealed", "pending_sealed").select_related("customer")
    account = get_object_or_404(accounts, pk=pk)
    return _page(request, account, account.name, reverse("accounts:account", args=[pk]))


def _page(request: HttpRequest, subject: Server | CloudAccount, name: str, back: str) -> HttpResponse:
    customer = subject.customer
    context: dict[str, Any] = {
        "section": "servers",
        "subject": name,
        "account": isinstance(subject, CloudAccount),
        "back": back,
        "minutes": int(enrol.LIFE.total_seconds() // 60),
        "reason": "" if customer.status == "active" else "This workspace is suspended: nothing can be installed.",
    }
    status = 200
    if request.method == "POST" and not context["reason"]:
        try:
            token = enrol.issue(subject, by=person(request))
            context |= {"commands": script.commands(token), "until": timezone.now() + enrol.LIFE}
        except Denied as denial:
            context["reason"], status = denial.words, 422
    answer = render(request, "installs/command.html", context, status=status)
    answer["Cache-Control"] = "no-store"  # the token is told once
    return answer
