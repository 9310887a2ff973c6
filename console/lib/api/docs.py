"""The API's pages for people: Swagger UI from our own files, under a content security policy without inline scripts."""

from __future__ import annotations

from typing import Any

from csp.constants import SELF
from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.views import SpectacularSwaggerSplitView


class Docs(SpectacularSwaggerSplitView):
    """Swagger UI writes styles into its page, so that page alone allows them."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response._csp_update = {"style-src": [SELF, "'unsafe-inline'"]}  # type: ignore[attr-defined]  # read by django-csp
        return response
