"""Every reply carries the id under which its log lines can be found."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from console.lib.audit import request_id


class RequestIdMiddleware:
    """Puts the request id that django-structlog bound into `X-Request-ID`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        bound = request_id()
        response = self.get_response(request)
        if bound:
            response["X-Request-ID"] = bound
        return response
