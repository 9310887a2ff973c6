"""What a person does about an install that was started: confirm host keys, try again, cancel, forget a host key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console.lib.denials import Denied, Wrong
from console.lib.jobs.rows import ACTIVE
from console.lib.pages import person, signed_in
from servers.installs import install, trusting
from servers.installs.models import Install, InstallBatch
from servers.installs.web.asking import SECRETS
from servers.installs.web.demo_hint import hint
from servers.installs.web.forms import WayIn
from servers.installs.web.progress import FAILED, batch_of, host_of

SHOWN = 200


def _back(batch: InstallBatch | UUID) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("installs:batch", args=[getattr(batch, "pk", batch)]))


@signed_in
@require_POST
def confirm_host_keys(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Trust exactly the fingerprints that the page showed."""
    batch = batch_of(request, pk)
    try:
        trusting.confirm(batch, by=person(request), fingerprints=request.POST.getlist("fingerprints"))
    except Denied as denial:
        messages.error(request, denial.words)
    return _back(batch)


@signed_in
@require_POST
def go_on(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The look is over: install on those that can be reached."""
    batch = batch_of(request, pk)
    try:
        install.go_on(batch, by=person(request))
    except Denied as denial:
        messages.error(request, denial.words)
    return _back(batch)


@sensitive_post_parameters(*SECRETS)
@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The failed ones again, in a new batch. The credentials of the old one are gone, so they are asked for."""
    batch = batch_of(request, pk)
    form = WayIn(request.POST or None, request.FILES or None, initial={"method": batch.method})
    if request.method == "POST" and form.is_valid():
        try:
            own = {f"jump_{name}": value for name, value in form.jump_secrets().items()}
            return _back(install.retry_failed(batch, by=person(request), **form.secrets(), **own))
        except Wrong as wrong:
            form.take(wrong)
        except Denied as denial:
            form.add_error(None, denial.words)
    context = {
        "section": "activity",
        "batch": batch,
        "form": form,
        "demo": hint(),
        "installs": _listed(batch, FAILED)[:SHOWN],
        "count": batch.installs.filter(state__in=FAILED).count(),
    }
    return render(request, "installs/retry.html", context, status=422 if form.is_bound else 200)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET lists what would stop, POST stops it."""
    batch = batch_of(request, pk)
    if request.method == "POST":
        stopped = install.cancel(batch, by=person(request))
        messages.info(request, f"{stopped} stopped." if stopped else "Everything had ended already.")
        return _back(batch)
    context: dict[str, Any] = {
        "section": "activity",
        "heading": "Cancel this install",
        "sentence": "What has not ended stops at once. What is installed already stays.",
        "targets": [{"name": row.server.name, "detail": row.address, "tone": row.status.tone, "label": row.status.label}
                    for row in _listed(batch, ACTIVE)],
        "action_label": "Cancel install",
        "danger": True,
        "back": reverse("installs:batch", args=[pk]),
    }  # fmt: skip
    return render(request, "confirm.html", context)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def forget_host_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """For a server that was rebuilt: the key on record goes, and the next install shows the new one."""
    row = host_of(request, pk)
    if request.method == "POST":
        trusting.forget(row.server, by=person(request))
        messages.success(request, f"The host key of {row.server} is forgotten. Retry, and the new one is shown to you.")
        return _back(row.batch_id)
    context = {
        "section": "activity",
        "heading": "Forget the host key",
        "sentence": "Do this only when you know why the key changed, such as after a rebuild. Otherwise somebody may "
                    f"be posing as this server. It showed {row.fingerprint}.",
        "targets": [{"name": row.server.name, "detail": row.address}],
        "action_label": "Forget host key",
        "danger": True,
        "back": reverse("installs:batch", args=[row.batch_id]),
    }  # fmt: skip
    return render(request, "confirm.html", context)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def forget_jump_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """For a jump host that was rebuilt: its key on record goes, and the next install shows the new one."""
    batch = batch_of(request, pk)
    if request.method == "POST":
        trusting.forget_jump(batch, by=person(request))
        messages.success(request, f"The host key of {batch.jump_host} is forgotten. Retry, and the new one is shown.")
        return _back(batch)
    if not batch.jump_host:
        raise Http404("This install goes through no jump host.")
    context = {
        "section": "activity",
        "heading": "Forget the jump host's key",
        "sentence": "Do this only when you know why the key changed, such as after a rebuild. Otherwise somebody may "
                    "be posing as your jump host.",
        "targets": [{"name": batch.jump_host, "detail": ", ".join(trusting.known_of_jump(batch))}],
        "action_label": "Forget host key",
        "danger": True,
        "back": reverse("installs:batch", args=[batch.pk]),
    }  # fmt: skip
    return render(request, "confirm.html", context)


def _listed(batch: InstallBatch, states: Any) -> list[Install]:
    return list(batch.installs.filter(state__in=states).select_related("server").order_by("server__name", "pk"))
