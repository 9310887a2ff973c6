"""The agent API but for its hot path (lean/): enrolment and sessions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings

from console.lib import signing
from console.lib.denials import Wrong
from servers.agents import enrol as enrolment
from servers.agents import reports, sessions
from servers.agents.api.calls import Call, call
from servers.agents.api.counting import counted
from servers.agents.program import protocol


@counted("enrolments")
@call
def enrol(call: Call) -> dict[str, Any]:
    body = call.body
    token = _secret(body.get("token"), "token")
    facts, version = reports.facts(body.get("facts") or {}), reports.version(body.get("version"))
    agent = enrolment.enrol(token, call.key("public_key"), version, facts)
    return {"agent_id": str(agent.pk), "keys": signing.public_keys()}


@counted("sessions")
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


def _secret(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 8 <= len(value) <= protocol.MAX_SECRET:
        raise Wrong({name: [f"This is text of 8 to {protocol.MAX_SECRET} characters."]})
    return value
