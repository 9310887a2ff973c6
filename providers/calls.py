"""The log of the provider API, for 30 days, found by request id: every call that came with a key of ours, refused ones
too (revoked, expired, from elsewhere). A call with a text that is no key is nobody's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from django.db import DatabaseError
from django.utils import timezone

from providers.models import ApiCall, Provider, ProviderKey

log = structlog.get_logger(__name__)

KEPT: Final = timedelta(days=30)
SLICE: Final = 5000  # rows that are dropped at once
PATIENCE: Final = 60.0  # seconds of dropping, after which a worker lets others go first; beat comes again


@dataclass(frozen=True)
class Call:
    """A call as it ended. `code` is that of its error; `path` comes without the query."""

    request_id: str
    provider: Provider
    key: ProviderKey | None
    key_name: str
    method: str
    path: str
    status: int
    code: str
    seconds: float
    address: str


def keep(call: Call) -> None:
    """Write the call down. A database that is away costs the line, never the reply."""
    try:
        ApiCall.objects.create(
            request_id=call.request_id[:64],
            provider=call.provider,
            key=call.key,
            key_name=call.key_name[:40],
            method=call.method[:8],
            path=call.path[:500].replace("\0", ""),
            status=call.status,
            code=call.code[:60],
            milliseconds=round(call.seconds * 1000),
            address=call.address or None,
        )
    except DatabaseError as fault:
        log.warning("API call not kept", request_id=call.request_id, reason=str(fault))


def forget(seconds: float = PATIENCE) -> int:
    """Drop what is older than 30 days, slice by slice until none is left or `seconds` are over; how many went."""
    before, until, gone = timezone.now() - KEPT, time.monotonic() + seconds, 0
    while True:
        old = list(ApiCall.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:SLICE])
        gone += ApiCall.objects.filter(pk__in=old).delete()[0]
        if len(old) < SLICE or time.monotonic() >= until:
            return gone
