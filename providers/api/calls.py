"""Writes each call of the provider API into its log, errors and crashes included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponseBase

from console.lib.audit import request_id
from providers import calls
from providers.models import Provider, ProviderKey

_KEY = "_muster_call"


def told(request: HttpRequest, provider: Provider, key: ProviderKey | None, key_name: str) -> None:
    """Who calls: said by whatever let the caller in. Without it nothing is written (a stranger's call is nobody's)."""
    setattr(request, _KEY, (provider, key, key_name))


class CallLog:
    """Middleware, outside of what shapes errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self.get_response(request)
        if (caller := getattr(request, _KEY, None)) is not None:
            provider, key, key_name = caller
            calls.keep(
                calls.Call(
                    request_id=request_id(),
                    provider=provider,
                    key=key,
                    key_name=key_name,
                    method=request.method or "",
                    path=request.path,
                    status=response.status_code,
                    code=_code(response),
                    seconds=time.perf_counter() - began,
                    address=request.META.get("REMOTE_ADDR", ""),
                )
            )
        return response


def _code(response: Any) -> str:
    if response.status_code < 400:
        return ""
    data = getattr(response, "data", None)
    if data is None:
        try:
            data = orjson.loads(response.content)
        except (orjson.JSONDecodeError, AttributeError):
            return ""
    error = data.get("error") if isinstance(data, dict) else None
    return str(error.get("code", "")) if isinstance(error, dict) else ""
