"""Is this process alive; and can the whole do its work."""

from __future__ import annotations

from datetime import datetime

from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

PULSES = ("beat", "default", "ssh")
STALE_AFTER = 30.0  # seconds; beat pulses every 5


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database, the broker, beat and a worker of each queue answer; else 503 with the reasons."""
    reasons = [*_database(), *_pulses()]
    return JsonResponse({"status": "unready" if reasons else "ok", "reasons": reasons}, status=503 if reasons else 200)


def beat_of(name: str, at: datetime | None = None) -> None:
    """Note that `name` (beat, or a queue's worker) was alive at `at`."""
    cache.set(f"pulse:{name}", (at or timezone.now()).timestamp(), timeout=600)


def _database() -> list[str]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as fault:
        return [f"The database does not answer: {str(fault).splitlines()[0]}"]
    return []


def _pulses() -> list[str]:
    try:
        seen = cache.get_many([f"pulse:{name}" for name in PULSES])
    except (RedisError, OSError) as fault:
        return [f"The broker does not answer: {fault}"]
    now = timezone.now().timestamp()
    words = {"beat": "beat", "default": "a worker of the queue 'default'", "ssh": "a worker of the queue 'ssh'"}
    return [
        f"No sign of life from {words[name]}" + (f" for {now - seen[f'pulse:{name}']:.0f} s." if f"pulse:{name}" in seen else " yet.")
        for name in PULSES
        if now - seen.get(f"pulse:{name}", 0) > STALE_AFTER
    ]
