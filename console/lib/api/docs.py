"""The API's pages for people: Swagger UI from our own files, under a content security policy without inline scripts."""

from __future__ import annotations

from typing import Any

from csp.constants import SELF
from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response


class Docs(SpectacularSwaggerSplitView):
    """With the samples of each operation. Swagger UI writes styles into its page, so that page alone allows them."""

    template_name_js = "api_docs.js"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response._csp_update = {"style-src": [SELF, "'unsafe-inline'"]}  # type: ignore[attr-defined]  # read by django-csp
        return response

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        if response.data and "settings" in response.data:  # of the script: what is named last counts
            response.data["settings"] = f"{{...{response.data['settings']}, plugins: [WithSamples]}}"
        return response
