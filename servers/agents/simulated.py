"""A made-up agent on a server of a sandbox: it enrols and reports once, by the same deeds as a real one."""

from __future__ import annotations

import secrets
from typing import Final

from django.utils import timezone

from console.lib import audit, signing
from console.lib.denials import Denied
from servers.agents import checkin, enrol, reports
from servers.models import Server

VERSION: Final = "sandbox"
_GIB: Final = 2**30


def appear(server: Server, actor: audit.Actor) -> None:
    """The server is managed from now on; nothing reports again, so it is offline some minutes later.

    Again: another agent takes the first one's place. Denied outside a sandbox, and when it may have no more agents.
    """
    provider = server.customer.provider
    if provider is None or provider.sandbox_of_id is None:
        raise Denied("This server is a real one. Install the agent there.", "not_a_sandbox")
    token = enrol.issue(server, actor)
    memory = (server.memory_mb or 2048) * 2**20
    facts = reports.facts(
        {
            "os": {"id": "debian", "name": "Debian GNU/Linux", "version": "13"},
            "hostname": server.name,
            "arch": "x86_64",
            "cpus": server.cpus or 1,
            "memory_bytes": memory,
            "booted_at": int(timezone.now().timestamp()) - 86_400,
            "vendor": "Muster sandbox",
        }
    )
    metrics = reports.metrics(
        {
            "load1": 0.42,
            "load5": 0.35,
            "load15": 0.30,
            "cpu_percent": 12.5,
            "memory_used_bytes": memory // 3,
            "memory_total_bytes": memory,
            "uptime_seconds": 86_400,
            "disks": [{"mount": "/", "used_bytes": 7 * _GIB, "total_bytes": 20 * _GIB}],
        }
    )
    agent = enrol.enrol(token, signing.encode(secrets.token_bytes(32)), VERSION, facts)
    checkin.beat(agent.pk, VERSION, metrics, None)
