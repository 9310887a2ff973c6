"""POST claims and claims/proof: what machines without an identity send. Who asks learns nothing of what is known."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.http import JsonResponse

from console.lib import signing
from console.lib.denials import Wrong
from servers.agents import claiming, matching, reports
from servers.agents.api.calls import Call, call
from servers.agents.api.counting import counted, source
from servers.agents.program import protocol


@counted("claims")
@call
def claim(call: Call) -> JsonResponse:
    body = call.body
    told = claiming.Told(
        public_key=call.key("public_key"),
        provider=_channel(body.get("channel")),
        platform=_text(body, "platform")[:12],
        instance_id=_text(body, "instance_id"),
        dmi_uuid=_text(body, "dmi_uuid"),
        macs=[mac for one in _texts(body, "macs", protocol.MAX_NICS) if (mac := matching.card(one))],
        ips=[ip for one in _texts(body, "addresses", protocol.MAX_NICS * protocol.MAX_ADDRESSES) if (ip := _ip(one))],
        hostname=_text(body, "hostname"),
        version=reports.version(body.get("version")),
        address=source(call.request),
    )
    return JsonResponse({"retry": claiming.claim(told)}, status=202)


@counted("proofs")
@call
def proof(call: Call) -> JsonResponse:
    body = call.body
    key, said = call.key("public_key"), body.get("proof")
    if said is not None and (not isinstance(said, str) or len(said) > protocol.MAX_SECRET):
        raise Wrong({"proof": ["This is an Ed25519 signature, as base64url."]})
    version = reports.version(body.get("version"))
    found = claiming.prove(key, _text(body, "instance_id"), said, version, source(call.request))
    if isinstance(found, int):
        return JsonResponse({"retry": found}, status=202)
    return JsonResponse({"agent_id": str(found.pk), "keys": signing.public_keys()})


def _channel(value: Any) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as fault:
        raise Wrong({"channel": ["This is the id of a provider's channel, as its image has it."]}) from fault


def _text(body: dict[str, Any], name: str) -> str:
    return reports.text(body.get(name), name)


def _texts(body: dict[str, Any], name: str, most: int) -> list[str]:
    given = body.get(name) or []
    if not isinstance(given, list) or len(given) > most or not all(isinstance(one, str) for one in given):
        raise Wrong({name: [f"This is a list of at most {most} texts."]})
    return given


def _ip(text: str) -> str:
    """An address as servers have it; empty for whatever is none. `10.0.0.5/24` is one too."""
    try:
        return str(ip_address(text.partition("/")[0].partition("%")[0]))
    except ValueError:
        return ""
