"""The agent API: plain lean views, since thousands of agents call them every half minute."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from console.lib.api.errors import refuse
from console.lib.denials import Denied, Wrong
from servers.agents import checkin, reports
from servers.agents import enrol as enrolment
from servers.agents.program import protocol

Deed = Callable[[HttpRequest, dict[str, Any]], dict[str, Any]]


def call(deed: Deed) -> Callable[[HttpRequest], JsonResponse]:
    """A POST with a small JSON object in and out; every refusal in the one error shape."""

    @csrf_exempt  # no cookie speaks for an agent
    def view(request: HttpRequest) -> JsonResponse:
        if request.method != "POST":
            reply = refuse(405, "method_not_allowed", "This address answers POST only.")
            reply["Allow"] = "POST"
            return reply
        if not request.META.get("CONTENT_LENGTH", "0").isdecimal():
            return refuse(400, "bad_request", "The Content-Length header is not a number.")
        data = request.read(protocol.MAX_BODY + 1)
        if len(data) > protocol.MAX_BODY:
            return refuse(413, "too_large", f"A body here has at most {protocol.MAX_BODY} bytes.")
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            return refuse(400, "bad_request", "The body is not JSON.")
        if not isinstance(body, dict):
            return refuse(400, "bad_request", "The body is not a JSON object.")
        try:
            return JsonResponse(deed(request, body))
        except Wrong as wrong:
            return refuse(400, wrong.code, wrong.words, wrong.fields)
        except Denied as denied:
            return refuse(409, denied.code, denied.words)
        except enrolment.UnknownToken:
            return refuse(401, protocol.UNKNOWN_TOKEN, "This join token is used, expired or unknown. Make a new one.")
        except checkin.UnknownAgent:
            return refuse(401, protocol.UNKNOWN_AGENT, "No agent with this token reports here any more. Install again.")
        except checkin.Removed:
            return refuse(410, protocol.REMOVED, "This agent was removed from its server. It uninstalls itself.")
        except _NoToken:
            return refuse(401, "unauthenticated", "Send the agent's token in the header: Authorization: Bearer TOKEN.")

    return view


class _NoToken(Exception):
    """Nothing at all came in the header: a proxy may have taken it, so this does not tell an agent to stop."""


@call
def enrol(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    token = _secret(body.get("token"), "token")
    attempt = _secret(body.get("attempt"), "attempt") if body.get("attempt") is not None else secrets.token_hex(32)
    facts = reports.facts(body.get("facts") or {})
    made = enrolment.enrol(token, attempt, reports.version(body.get("version")), facts)
    return {"agent_id": str(made.agent.pk), "agent_token": made.secret, "interval": settings.AGENT_INTERVAL}


@call
def heartbeat(request: HttpRequest, body: dict[str, Any]) -> dict[str, Any]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _NoToken
    facts = reports.facts(body["facts"]) if body.get("facts") is not None else None
    checkin.beat(token.strip(), reports.version(body.get("version")), reports.metrics(body.get("metrics") or {}), facts)
    return {"interval": settings.AGENT_INTERVAL}


def _secret(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 8 <= len(value) <= protocol.MAX_SECRET:
        raise Wrong({name: [f"This is text of 8 to {protocol.MAX_SECRET} characters."]})
    return value
