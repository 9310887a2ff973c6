"""The agent API but for its hot path (lean/): enrolment and sessions."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import JsonResponse

from console.lib import signing
from console.lib.api.errors import refuse
from console.lib.denials import Wrong
from servers.agents import former, reports, sessions
from servers.agents import enrol as enrolment
from servers.agents.api.calls import Call, call
from servers.agents.program import protocol


@call
def enrol(call: Call) -> dict[str, Any]:
    body = call.body
    token = _secret(body.get("token"), "token")
    facts, version = reports.facts(body.get("facts") or {}), reports.version(body.get("version"))
    if "public_key" not in body:
        attempt = _secret(body.get("attempt"), "attempt") if body.get("attempt") is not None else secrets.token_hex(32)
        agent, secret = former.join(token, attempt, version, facts)
        return {"agent_id": str(agent.pk), "agent_token": secret, "interval": settings.AGENT_INTERVAL}
    agent = enrolment.enrol(token, call.key("public_key"), version, facts)
    return {"agent_id": str(agent.pk), "keys": signing.public_keys()}


@call
def session(call: Call) -> dict[str, Any]:
    body = call.body
    try:
        agent_id = UUID(str(body.get("agent_id")))
    except ValueError as fault:
        raise Wrong({"agent_id": ["This is the id of an agent."]}) from fault
    epoch = body.get("epoch")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 0 < epoch < sessions.MOST:
        raise Wrong({"epoch": ["This is a whole number above 0."]})
    instance_id = reports.text(body.get("instance_id"), "instance_id")
    version = reports.version(body.get("version"))
    made = sessions.open(agent_id, epoch, version, instance_id, call.text, call.signature)
    return {
        "session": str(made.session),
        "key": signing.encode(made.key),
        "time": made.time,
        "interval": settings.AGENT_INTERVAL,
    }


@call
def heartbeat(call: Call) -> dict[str, Any] | JsonResponse:
    body = call.body
    scheme, _, token = call.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        # A proxy may have taken it, so this does not tell an agent to stop.
        return refuse(401, "unauthenticated", "Send the agent's token in the header: Authorization: Bearer TOKEN.")
    facts = reports.facts(body["facts"]) if body.get("facts") is not None else None
    former.beat(token.strip(), reports.version(body.get("version")), reports.metrics(body.get("metrics") or {}), facts)
    return {"interval": settings.AGENT_INTERVAL}


def _secret(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 8 <= len(value) <= protocol.MAX_SECRET:
        raise Wrong({name: [f"This is text of 8 to {protocol.MAX_SECRET} characters."]})
    return value
