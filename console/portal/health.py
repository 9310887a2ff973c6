"""Is this process alive; and can the whole do its work."""

from __future__ import annotations

import structlog
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from console.lib import pulse

log = structlog.get_logger(__name__)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database, the broker, beat and a worker of each queue answer; else 503 with the reasons.

    Anybody may ask, so the reasons name no host; the log does.
    """
    reasons = [*_database(), *_pulses()]
    return JsonResponse({"status": "unready" if reasons else "ok", "reasons": reasons}, status=503 if reasons else 200)


def _database() -> list[str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as fault:
        log.warning("database does not answer", reason=str(fault))
        return ["The database does not answer."]
    return []


def _pulses() -> list[str]:
    try:
        return pulse.missing()
    except (RedisError, OSError) as fault:
        log.warning("broker does not answer", reason=str(fault))
        return ["The broker does not answer."]
