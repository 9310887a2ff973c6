"""POST claims and claims/proof: what machines without an identity send. Who asks learns nothing of what is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from uuid import UUID

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from console.lib import signing
from console.lib.api.errors import refuse
from console.lib.denials import Wrong
from servers.agents import claiming, matching, reports
from servers.agents.api.calls import Call, call
from servers.agents.program import protocol

View = Callable[[HttpRequest], JsonResponse]


def counted(view: View) -> View:
    """429 for an address that sends too much, before anything is read."""

    @csrf_exempt  # no cookie speaks for a machine
    @wraps(view)
    def guarded(request: HttpRequest) -> JsonResponse:
        try:
            claiming.count(_neighbourhood(request))
        except claiming.TooMany:
            reply = refuse(429, "too_many_claims", "Too many claims come from this address. Try again in a minute.")
            reply["Retry-After"] = "60"
            return reply
        return view(request)

    return guarded


@counted
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
        address=_source(call.request),
    )
    return JsonResponse({"retry": claiming.claim(told)}, status=202)


@call
def proof(call: Call) -> JsonResponse:
    body = call.body
    key, said = call.key("public_key"), body.get("proof")
    if said is not None and (not isinstance(said, str) or len(said) > protocol.MAX_SECRET):
        raise Wrong({"proof": ["This is an Ed25519 signature, as base64url."]})
    version = reports.version(body.get("version"))
    found = claiming.prove(key, _text(body, "instance_id"), said, version, _source(call.request))
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


def _source(request: HttpRequest) -> str:
    """Where it came from: IPv4 is written as such, also where it came by a socket of both kinds."""
    try:
        found = ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:
        return "::"  # it came by a Unix socket, from a proxy that is not trusted with addresses
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _neighbourhood(request: HttpRequest) -> str:
    """What one sender can have all of: an IPv4 address, or a /64."""
    found = ip_address(_source(request))
    return str(ip_network((int(found), 64), strict=False)) if isinstance(found, IPv6Address) else str(found)
