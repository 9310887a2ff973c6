"""A new server: in which account, then what that account's cloud offers at this moment, then off it goes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts import ready
from accounts.clouds.operations import Operation
from accounts.models import CloudAccount
from accounts.visit import Visit, visit
from console.lib.denials import Denied, Wrong
from console.lib.pages import person, signed_in
from servers.actions import creating
from servers.actions.web import choices
from servers.actions.web.orderform import OrderForm, like
from servers.models import Server
from servers.web.overview import reach_of

IN_SIGHT = 7  # accounts that are seen without scrolling


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """GET `?account=ID` (`&like=SERVER`) shows the form; `&ask=1` asks the cloud, which may take a while. POST orders;
    with `redraw` it shows the same form again for another zone."""
    seen = visit(request)
    given = request.POST if request.method == "POST" else request.GET
    model = _model(seen, given.get("like", ""))
    refusals = {account.pk: ready.refusal(account, Operation.CREATE) for account in seen.accounts}
    account = _account(seen, given.get("account", ""), model, refusals)
    ordered = account is not None and not refusals[account.pk]
    if account is None or not ordered:
        return _page(request, refusals, account, model)
    if request.method != "POST":
        if not given.get("ask"):
            return _page(request, refusals, account, model)
        found = choices.of(account)
        first = like(model, found) if model else {}
        return _page(request, refusals, account, model, found, OrderForm(initial=first, choices=found))
    found = choices.of(account)
    if given.get("redraw"):
        return _page(request, refusals, account, model, found, OrderForm(initial=_kept(given), choices=found))
    form = OrderForm(given, choices=found)
    if not found.fault and form.is_valid():
        try:
            batch = creating.create(
                account,
                order=form.order(),
                count=form.cleaned_data["count"],
                by=person(request),
                customer=account.customer,
            )
            return HttpResponseRedirect(reverse("actions:batch", args=[batch.pk]))
        except Wrong as wrong:
            form.take(wrong)
        except Denied as denial:
            form.add_error(None, denial.words)
    return _page(request, refusals, account, model, found, form, status=422)


def _model(seen: Visit, text: str) -> Server | None:
    """The server that the new one shall be like; one that is not within reach is a 404."""
    if not text:
        return None
    try:
        pk = UUID(text)
    except ValueError as error:
        raise Http404("No such server.") from error
    found: Server = get_object_or_404(reach_of(seen).servers(gone=True), pk=pk)
    return found


def _account(seen: Visit, text: str, model: Server | None, refusals: dict[Any, str]) -> CloudAccount | None:
    """The one that was chosen; or the model's; or the only one that there is, or that can."""
    if not text and model:
        return seen.account(model.account_id)
    if not text:
        able = [account for account in seen.accounts if not refusals[account.pk]]
        return able[0] if len(able) == 1 else seen.accounts[0] if len(seen.accounts) == 1 else None
    try:
        return seen.account(UUID(text))
    except ValueError as error:
        raise Http404("No such account.") from error


def _in_sight(accounts: list[CloudAccount], chosen: CloudAccount | None) -> list[CloudAccount]:
    """A longer list scrolls, so the chosen one comes first there."""
    if chosen is None or len(accounts) <= IN_SIGHT:
        return accounts
    return sorted(accounts, key=lambda one: one.pk != chosen.pk)


def _kept(given: QueryDict) -> dict[str, Any]:
    """What was filled in so far."""
    return {name: given.getlist(name) if name == "networks" else given.get(name) for name in given}


def _page(
    request: HttpRequest,
    refusals: dict[Any, str],
    account: CloudAccount | None,
    model: Server | None,
    found: choices.Choices | None = None,
    form: OrderForm | None = None,
    status: int = 200,
) -> HttpResponse:
    seen = visit(request)
    asked = {"account": str(account.pk) if account else "", "like": str(model.pk) if model else ""}
    here = reverse("actions:create")
    several = len(seen.with_accounts) > 1
    context = {
        "section": "servers",
        "accounts": [{"account": one, "reason": refusals[one.pk], "owner": one.customer if several else None}
                     for one in _in_sight(seen.accounts, account)],
        "account": account,
        "refusal": refusals[account.pk] if account else "",
        "model": model,
        "choices": found,
        "form": form,
        "here": here,
        "asking": f"{here}?{urlencode({name: value for name, value in asked.items() if value} | {'ask': '1'})}",
        "stranger": not seen.customers,
    }  # fmt: skip
    return render(request, "actions/create.html", context, status=status)
