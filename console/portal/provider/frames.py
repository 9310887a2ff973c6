"""What previews show inside a frame: documents without a script; drafts are kept for a few minutes."""

from __future__ import annotations

import secrets
from typing import Any, Final

from csp.constants import NONE, SELF
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.clickjacking import xframe_options_sameorigin

from console.portal.provider.scope import Seat, page
from providers.models import Provider

KEPT: Final = 900  # seconds


def keep(provider: Provider, html: str) -> str:
    """The name under which this provider's pages show the document for a while."""
    name = secrets.token_hex(16)
    cache.set(_key(provider, name), html, KEPT)
    return name


@xframe_options_sameorigin
@page()
def letter(request: HttpRequest, seat: Seat, name: str) -> HttpResponse:
    """A letter's HTML: nothing in it runs, loads from elsewhere, or leads anywhere."""
    html = cache.get(_key(seat.provider, name))
    if html is None:
        raise Http404("This preview is over. Reload the page.")
    return drawn(HttpResponse(html))


def drawn(response: HttpResponse) -> HttpResponse:
    """A letter for a frame of ours."""
    response._csp_replace = {  # type: ignore[attr-defined]  # what django-csp's decorator sets
        "default-src": [NONE],
        "style-src": ["'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "frame-ancestors": [SELF],
        "sandbox": ["allow-same-origin"],
    }
    return response


def framed(response: Any) -> Any:
    """A page of ours, shown in a frame of ours."""
    response._csp_replace = {"frame-ancestors": [SELF], "script-src": [NONE], "sandbox": ["allow-same-origin"]}
    return response


def framing(response: Any) -> Any:
    """A page of ours that holds such frames."""
    response._csp_update = {"frame-src": [SELF]}
    return response


def _key(provider: Provider, name: str) -> str:
    return f"provider-frame:{provider.pk}:{name}"
