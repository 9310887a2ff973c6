"""`Idempotency-Key` of the provider API's POSTs: a repeat is answered as the first call was, and does nothing again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from providers import replays
from providers.models import Provider

HEADER = "Idempotency-Key"
Handler = Callable[..., Response]


class KeyReused(APIException):
    status_code = 422
    default_detail = "This Idempotency-Key came with another call or body before. Use a new key for a new call."
    default_code = "idempotency_key_reused"


class KeyBusy(APIException):
    status_code = 409
    default_detail = "A call with this Idempotency-Key is under way. Send it again in a moment."
    default_code = "idempotency_key_in_progress"
    wait = 1


class KeyUnwanted(APIException):
    """The answer could be told again only if its secret was kept."""

    status_code = 400


UNWANTED = (
    "This call's answer holds a secret, which is told once and kept nowhere, so it cannot be told again. Leave the "
    "Idempotency-Key out."
)


def answered(provider: Provider, request: Request, handler: Handler, *, kept: bool) -> Handler:
    """`handler`, which acts once for each `Idempotency-Key`; as it is for a call without one.

    `kept`: whether its answers may be kept. A call of one that holds a secret refuses the header.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return handler
    if not kept:
        raise KeyUnwanted(UNWANTED, "idempotency_key_unwanted")
    if not (0 < len(key) <= 255 and key.isprintable()):
        raise ValidationError({HEADER: ["Use 1 to 255 printable characters."]})

    def once(request: Request, *args: Any, **kwargs: Any) -> Response:
        def act() -> replays.Answer:
            reply = handler(request, *args, **kwargs)
            return reply.status_code, orjson.loads(JSONRenderer().render(reply.data) or b"null")

        try:
            status, answer = replays.once(provider, key, call(request), act)
        except replays.Mismatch as mismatch:
            raise KeyReused from mismatch
        except replays.InProgress as busy:
            raise KeyBusy from busy
        return Response(answer, status=status)

    return once


def call(request: Request) -> bytes:
    """What makes two calls the same: address, query and body, in which the order of names does not count."""
    return f"{request.method} {request.get_full_path()}\0".encode() + canonical(request.data)


def canonical(data: Any) -> bytes:
    return data if isinstance(data, bytes) else json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
