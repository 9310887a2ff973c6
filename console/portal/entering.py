"""Sign-in at a provider: /enter/NORTH/ leads to its identity server, and that one back to /enter/NORTH/back/."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from console.lib.faults import Fault
from console.portal import oidc
from console.portal.refusal import refusal
from providers import identity
from providers.models import IdentityServer, Provider

log = structlog.get_logger(__name__)


@require_safe
def enter(request: HttpRequest, slug: str) -> HttpResponse:
    """Off to the identity server."""
    return _by(request, slug, oidc.begin)


@require_safe
def came_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Back from it, with a code or without. The code works once, so this page is kept in no cache."""
    response = _by(request, slug, oidc.end)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response


def _by(request: HttpRequest, slug: str, step: Callable[[HttpRequest, IdentityServer], HttpResponse]) -> HttpResponse:
    provider = get_object_or_404(Provider, slug=slug)
    server = identity.door_of(provider)
    if server is None:
        words = f"{provider} does not sign its customers in here at present. Use your password, or ask {provider}."
        return refusal(request, provider, words)
    try:
        return step(request, server)
    except Fault as fault:
        log.warning("identity_server_unwell", provider=provider.slug, issuer=server.issuer, words=fault.words)
        words = f"The sign-in of {provider} does not answer as it should just now. Try again in a few minutes."
        return refusal(request, provider, words, 502)
