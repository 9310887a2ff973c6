"""Two machines where there should be one: said in the audit log, to webhooks and to whoever looks at the server."""

from __future__ import annotations

from typing import Any, Final

import structlog
from django.db import transaction
from redis.exceptions import RedisError

from console.lib import audit, notify
from console.lib.valkey import client
from providers import events
from servers.models import Server

log = structlog.get_logger(__name__)

QUIET: Final = 600  # seconds in which the same is not said again of one server
CONFLICT, CLONED = "agent.conflict", "agent.cloned"


def raise_(server: Server, verb: str, words: str, **detail: Any) -> bool:
    """Say `words` of this server, once in a while however often it happens. Whether it was said now."""
    if not _first(server, verb):
        return False
    with transaction.atomic():
        audit.note(
            audit.SYSTEM, verb, target=server, customer_id=server.customer_id,
            provider_id=server.customer.provider_id, detail={"words": words, **detail},
        )  # fmt: skip
        events.fire_for(
            server.customer, verb, account_id=server.account.external_id, server_external_id=server.external_id,
            name=server.name, reason=words,
        )  # fmt: skip
        notify.changed(server.customer_id, f"server-{server.pk}")
    log.warning("agent alarm", server=str(server.pk), verb=verb, **detail)
    return True


def _first(server: Server, verb: str) -> bool:
    try:
        return bool(client().set(f"agents:alarm:{verb}:{server.pk}", 1, nx=True, ex=QUIET))
    except RedisError as fault:
        log.warning("alarm not counted", server=str(server.pk), reason=str(fault))
        return True
