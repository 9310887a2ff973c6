"""Calls of machines and agents, counted by the address that they come from before anything of them is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from console.lib.api.errors import refuse
from servers.agents import claiming

View = Callable[[HttpRequest], JsonResponse]


def counted(kind: str) -> Callable[[View], View]:
    """429 for an address that sends too much of this kind."""

    def guard(view: View) -> View:
        @csrf_exempt  # no cookie speaks for a machine
        @wraps(view)
        def guarded(request: HttpRequest) -> JsonResponse:
            try:
                claiming.count(_neighbourhood(request), kind)
            except claiming.TooMany:
                reply = refuse(
                    429, f"too_many_{kind}", f"Too many {kind} come from this address. Try again in a minute."
                )
                reply["Retry-After"] = "60"
                return reply
            return view(request)

        return guarded

    return guard


def source(request: HttpRequest) -> str:
    """Where it came from: IPv4 is written as such, also where it came by a socket of both kinds."""
    try:
        found = ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0])
    except ValueError:
        return "::"  # it came by a Unix socket, from a proxy that is not trusted with addresses
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _neighbourhood(request: HttpRequest) -> str:
    """What one sender can have all of: an IPv4 address, or a /64."""
    found = ip_address(source(request))
    return str(ip_network((int(found), 64), strict=False)) if isinstance(found, IPv6Address) else str(found)
