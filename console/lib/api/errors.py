"""One error shape in every API: `{"error": {"code", "message", "fields"?, "request_id"}}` (PROMISES.md).

`refuse` makes such a reply, `handle` is REST framework's exception handler, `OneShape` catches what never reached a
view of ours (unknown address, crash, wrong host) under /api/ and /agent/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from console.lib.api.constraints import words_of
from console.lib.audit import request_id
from console.lib.denials import Denied, Wrong
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unreachable

Fields = Mapping[str, Any]
PREFIXES = ("/api/", "/agent/")

_PLAIN: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is malformed. Check its address, headers and body."),
    401: ("unauthenticated", "Send a key in the header: Authorization: Bearer KEY."),
    403: ("forbidden", "This key may not do that."),
    404: ("not_found", "Nothing is at this address. Check the path and the ids in it."),
    405: ("method_not_allowed", "This address does not answer that method."),
    406: ("not_acceptable", "Replies are JSON only: send Accept: application/json, or leave the header out."),
    413: ("too_large", "The body is too large."),
    415: ("unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."),
    429: ("slow_down", "Too many calls. Wait and try again."),
    500: ("broken", "Something broke on our side. Staff can find it by the request id."),
    503: ("unavailable", "This is not available at the moment. Try again."),
}


def body(code: str, message: str, fields: Fields | None = None) -> dict[str, Any]:
    """The error as JSON; `fields` maps a field's name to what is wrong about it."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = dict(fields)
    return {"error": {**error, "request_id": request_id()}}


def refuse(status: int, code: str, message: str, fields: Fields | None = None) -> JsonResponse:
    """An error reply for views outside REST framework (agents)."""
    return JsonResponse(body(code, message, fields), status=status)


def handle(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """REST framework's handler. None for what nobody foresaw: Django logs it, and `OneShape` words it."""
    headers: dict[str, str] = {}
    match exc:
        case Wrong():
            return _reply(400, exc.code, exc.words, exc.fields)
        case Denied():
            return _reply(409, exc.code, exc.words)
        case Fault():
            return _fault(exc)
        case Http404():
            exc = exceptions.NotFound(str(exc) or None)
        case PermissionDenied():
            exc = exceptions.PermissionDenied(str(exc) or None)
        case ValidationError():
            return _invalid(exc)
        case IntegrityError():
            words = words_of(exc)
            return _reply(409, "conflict", words) if words else None
    if not isinstance(exc, exceptions.APIException):
        return None
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    return _reply(exc.status_code, *_worded(exc, context), headers=headers)


def _reply(
    status: int, code: str, message: str, fields: Fields | None = None, headers: dict[str, str] | None = None
) -> Response:
    return Response(body(code, message, fields), status=status, headers=headers)


def _worded(exc: exceptions.APIException, context: Mapping[str, Any]) -> tuple[str, str, Fields | None]:
    """Code, sentence and fields of one of REST framework's own exceptions, in our words where theirs say little."""
    code, plain = _PLAIN.get(exc.status_code, (str(exc.default_code), str(exc.detail)))
    match exc:
        case exceptions.ValidationError():
            return _fields_of(exc.detail)
        case exceptions.ParseError():
            return "malformed", f"The body could not be read: {_sentence(exc.detail)}", None
        case exceptions.MethodNotAllowed():
            view = context.get("view")
            allowed = ", ".join(name for name in getattr(view, "allowed_methods", ()) if name != "OPTIONS")
            return code, f"This address answers {allowed or 'other methods'}, not {_method(context)}.", None
        case exceptions.NotAuthenticated() | exceptions.NotAcceptable() | exceptions.UnsupportedMediaType():
            return code, plain, None
    given = exc.get_codes()
    said = str(exc.detail) if not isinstance(exc.detail, dict | list) else plain
    if isinstance(given, str) and given not in (exc.default_code, code):
        return given, said, None
    return code, plain if said == str(exc.default_detail) else said, None


def _fields_of(detail: Any) -> tuple[str, str, Fields | None]:
    if isinstance(detail, dict):
        own = {name: said for name, said in detail.items() if name != "non_field_errors"}
        said = detail.get("non_field_errors")
        message = " ".join(str(words) for words in said) if said else "Some fields are wrong."
        return "invalid", message, own or None
    return "invalid", " ".join(str(words) for words in detail), None


def _invalid(exc: ValidationError) -> Response:
    """What a model's own checks said."""
    fields = dict(exc.message_dict) if hasattr(exc, "error_dict") else {}
    whole = fields.pop("__all__", None) or ([] if fields else exc.messages)
    return _reply(400, "invalid", " ".join(whole) or "Some fields are wrong.", fields)


def _fault(fault: Fault) -> Response:
    match fault:
        case SlowDown():
            wait = {"Retry-After": str(max(1, round(fault.retry_after or 30)))}
            return _reply(503, "slow_down", fault.words, headers=wait)
        case Unreachable():
            return _reply(503, "unreachable", fault.words)
        case BadCredentials():
            return _reply(422, "bad_credentials", fault.words)
        case Refused():
            return _reply(422, "refused", fault.words)
    return _reply(502, "unexpected", fault.words)


def _method(context: Mapping[str, Any]) -> str:
    request = context.get("request")
    return str(getattr(request, "method", "that"))


def _sentence(detail: Any) -> str:
    text = str(detail).removeprefix("JSON parse error - ").rstrip(".")
    return f"{text}."


class OneShape:
    """Middleware: an error reply under /api/ or /agent/ that is not JSON yet gets the shape, whoever made it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400 or not request.path.startswith(PREFIXES):
            return response
        if response.headers.get("Content-Type", "").startswith("application/json"):
            return response
        status = response.status_code
        code, message = _PLAIN.get(status, ("error", f"{HTTPStatus(status).phrase}."))
        shaped: HttpResponse = refuse(status, code, message)
        for header in ("Allow", "WWW-Authenticate", "Retry-After"):
            if header in response.headers:
                shaped[header] = response.headers[header]
        return shaped
