"""The form: who, how, and off it goes."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.visit import visit
from console.lib.denials import Denied, Wrong
from console.lib.pages import person, signed_in
from servers.installs import install
from servers.installs.models import InstallBatch
from servers.installs.web.choosing import Chosen, asked_for, by_ids
from servers.installs.web.demo_hint import hint
from servers.installs.web.forms import InstallForm
from servers.query import QueryError

SECRETS = (
    "private_key", "passphrase", "password", "sudo_password",
    "jump_private_key", "jump_passphrase", "jump_password",
)  # fmt: skip


@sensitive_post_parameters(*SECRETS)
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """GET freezes and shows whom it will touch; POST installs on exactly those."""
    seen, demo = visit(request), hint()
    if request.method != "POST":
        try:
            chosen = asked_for(request.GET, seen)
        except QueryError as refusal:
            messages.error(request, refusal.words)
            return HttpResponseRedirect(reverse("servers:list"))
        start: dict[str, Any] = {"user": demo.user, "port": demo.port} if demo else {}
        start |= {"targets": chosen.frozen, "look_first": len(chosen.able) > 1}
        return _form(request, InstallForm(initial=start), chosen, demo)
    chosen = by_ids(request.POST.get("targets", ""), seen)
    form = InstallForm(request.POST, request.FILES)
    if form.is_valid() and chosen.able:
        try:
            batches = _start(chosen, form, request)
        except Wrong as wrong:
            form.take(wrong)
        except Denied as denial:
            form.add_error(None, denial.words)
        else:
            return _on_the_way(request, batches)
    elif not chosen.able:
        form.add_error(None, "There is nothing to install on. Select servers in the list.")
    return _form(request, form, chosen, demo, status=422)


def _start(chosen: Chosen, form: InstallForm, request: HttpRequest) -> list[InstallBatch]:
    """One batch a customer, all or none: a batch and its credentials belong to one customer."""
    given = form.cleaned_data
    by_customer = groupby(sorted(chosen.able, key=lambda one: str(one.customer_id)), key=lambda one: one.customer)
    with transaction.atomic():
        return [
            install.start(
                list(servers), by=person(request), customer=customer, user=given["user"], port=given["port"],
                use_sudo=given["use_sudo"], trust_new_host_keys=given["host_keys"] == "trust",
                look_first=given["look_first"], jump=form.jump(), **form.secrets(),
            )
            for customer, servers in by_customer
        ]  # fmt: skip


def _on_the_way(request: HttpRequest, batches: list[InstallBatch]) -> HttpResponse:
    if len(batches) == 1:
        return HttpResponseRedirect(reverse("installs:batch", args=[batches[0].pk]))
    messages.info(request, f"{len(batches)} installs were started, one for each workspace.")
    return HttpResponseRedirect(reverse("servers:activity"))


def _form(request: HttpRequest, form: InstallForm, chosen: Chosen, demo: Any, status: int = 200) -> HttpResponse:
    too_many = len(chosen.able) > install.MOST
    reason = ""
    if too_many:
        reason = f"Select at most {install.MOST:,} servers at once."
    elif not chosen.able:
        reason = "None of these servers can be installed on." if chosen.unable else "Select servers in the list first."
    context = {
        "section": "servers",
        "form": form,
        "chosen": chosen,
        "demo": demo,
        "reason": reason,
        "too_many": too_many,
        "most": install.MOST,
        "several": len({server.customer_id for server in chosen.able}),
    }
    return render(request, "installs/new.html", context, status=status)
