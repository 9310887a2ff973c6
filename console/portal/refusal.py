"""The page that says why nobody came in by a provider's own sign-in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from providers import branding, identity
from providers.models import Provider


def refusal(request: HttpRequest, provider: Provider, words: str, status: int = 403) -> HttpResponse:
    """In the provider's brand, with a way to start again where there is one."""
    context = {
        "provider": provider,
        "words": words,
        "again": identity.door_of(provider),
        "look": branding.live(provider),
    }
    response = render(request, "welcome/refused.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response
