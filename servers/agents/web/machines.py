"""Machines that claim to be servers of somebody's, and could not prove it: a person compares the code and decides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.visit import Visit, visit
from console.lib.denials import Denied
from console.lib.pages import person, signed_in
from servers.agents import admitting
from servers.agents.models import Claim
from servers.models import Server

SHOWN = 100
OFFERED = 500  # servers to choose from, the newest first


class _Choice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.address or 'no address'})"


class Which(forms.Form):
    """Which server a machine is, where it did not say so."""

    def __init__(self, servers: QuerySet[Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest = list(servers.order_by("-first_seen_at", "pk").values_list("pk", flat=True)[:OFFERED])
        self.fields["server"] = _Choice(
            servers.filter(pk__in=newest).order_by("-first_seen_at", "pk"),
            label="Server",
            empty_label="Choose one",
            help_text="Only servers without an agent, the newest first.",
            error_messages={
                "invalid_choice": "This server is not in the list any more.",
                "required": "Choose the server.",
            },
        )


@signed_in
@require_safe
def pending(request: HttpRequest) -> HttpResponse:
    """Those that wait, the one of a code where one is asked for, and whether machines may come in by their network
    alone."""
    seen = visit(request)
    code = _code(request.GET.get("code", ""))
    asked = _theirs(seen).filter(code__startswith=code) if code else _theirs(seen)
    claims = list(asked.select_related("server", "provider").order_by("-last_at")[: SHOWN + 1])
    mine = set(seen.with_accounts)
    context = {
        "section": "accounts",
        "claims": [_shown(claim, mine) for claim in claims[:SHOWN]],
        "more": len(claims) > SHOWN,
        "code": code,
        "customers": [one for one in seen.customers if one.pk in mine],
        "several": len(mine) > 1,
    }
    return render(request, "agents/machines.html", context)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def approve(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET shows what will be let in as what, POST lets it in."""
    seen = visit(request)
    claim = _one(seen, pk)
    server = _server(seen, claim)
    form = None if server else Which(_free(seen, claim), request.POST if request.method == "POST" else None)
    chosen = form.cleaned_data["server"] if form is not None and form.is_valid() else server
    if request.method == "POST" and chosen is not None:
        try:
            admitting.approve(claim, chosen, by=person(request))
        except Denied as denial:
            messages.error(request, denial.words)
            return HttpResponseRedirect(reverse("agents:machines"))
        messages.success(request, f"{claim.code} is let in as {chosen}. It reports within a few minutes.")
        return HttpResponseRedirect(reverse("servers:server", args=[chosen.pk]))
    context = {
        "section": "accounts",
        "heading": f"Let {claim.code} in",
        "sentence": "Do this only when the machine itself shows this code, on its console or when you sign in to it: "
                    "whoever is let in is trusted to speak for the server.",
        "targets": [{"name": claim.hostname or claim.code, "detail": f"from {claim.address}"},
                    *([{"name": server.name, "detail": server.address, "tone": server.status.tone,
                        "label": server.status.label}] if server else [])],
        "form": form,
        "action_label": "Let it in",
        "back": reverse("agents:machines"),
    }  # fmt: skip
    return render(request, "confirm.html", context, status=422 if form is not None and form.is_bound else 200)


@signed_in
@require_POST
def refuse(request: HttpRequest, pk: UUID) -> HttpResponse:
    """It is not shown again for a week."""
    seen = visit(request)
    claim = _one(seen, pk)
    try:
        admitting.refuse(claim, seen.with_accounts, by=person(request))
    except Denied as denial:
        messages.error(request, denial.words)
    else:
        messages.info(request, f"{claim.code} is refused.")
    return HttpResponseRedirect(reverse("agents:machines"))


@signed_in
@require_POST
def by_network(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Machines of this workspace may come in by address, card and age alone, or may not any more."""
    customer = next((one for one in visit(request).customers if one.pk == pk), None)
    if customer is None:
        raise Http404("No such workspace.")
    admitting.allow_network(customer, request.POST.get("allow") == "1", by=person(request))
    return HttpResponseRedirect(reverse("agents:machines"))


def _code(text: str) -> str:
    """A code, or the beginning of one, as it is kept, however a person wrote it down: `abcd 2345` is `ABCD-2345`."""
    letters = "".join(one for one in text.upper() if one.isalnum())[:8]
    return f"{letters[:4]}-{letters[4:]}" if len(letters) > 4 else letters


def _theirs(seen: Visit) -> QuerySet[Claim]:
    return Claim.objects.filter(state=Claim.State.PENDING, customers__overlap=seen.with_accounts or [UUID(int=0)])


def _one(seen: Visit, pk: UUID) -> Claim:
    found: Claim = get_object_or_404(_theirs(seen).select_related("server"), pk=pk)
    return found


def _server(seen: Visit, claim: Claim) -> Server | None:
    """The server that the claim fits, if it is one of theirs."""
    if claim.server_id is None:
        return None
    return _servers(seen).filter(pk=claim.server_id).first()


def _servers(seen: Visit) -> QuerySet[Any]:
    joined = Server.objects.of(seen.with_accounts).select_related("account__endpoint", "account__customer", "customer")
    return joined.defer("account__endpoint__ca")


def _free(seen: Visit, claim: Claim) -> QuerySet[Any]:
    """Servers that it may be: of the claim's provider, of customers who see it, without an agent."""
    return _servers(seen).filter(
        customer__in=claim.customers, account__endpoint__provider=claim.provider_id, agent__isnull=True
    )


def _shown(claim: Claim, mine: set[UUID]) -> dict[str, Any]:
    server = claim.server if claim.server is not None and claim.server.customer_id in mine else None
    told = [
        ("Instance", claim.instance_id),
        ("Cards", ", ".join(claim.macs[:4])),
        ("Addresses", ", ".join(claim.ips[:4])),
        ("Came from", claim.address),
        ("Agent", claim.version),
    ]
    return {"claim": claim, "server": server, "told": [(name, value) for name, value in told if value]}
