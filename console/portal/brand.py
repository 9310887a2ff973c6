"""The files of a provider's brand. An address names one revision, which never changes, so browsers keep it."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from providers import branding
from providers.models import Brand

_FOREVER = "public, max-age=31536000, immutable"


@require_safe
def style(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The accent as a stylesheet of our own: our policy takes no other."""
    brand = get_object_or_404(Brand.objects.defer("logo"), pk=pk)
    return HttpResponse(branding.style(brand), "text/css; charset=utf-8", headers={"Cache-Control": _FOREVER})


@require_safe
def logo(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The logo: pixels that we encoded ourselves."""
    brand = get_object_or_404(Brand, pk=pk)
    if not brand.logo:
        raise Http404("There is no logo.")
    return HttpResponse(bytes(brand.logo), "image/png", headers={"Cache-Control": _FOREVER})
