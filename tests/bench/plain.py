"""The baseline of bench_checkin: a Django view, without any middleware, that does all of a check-in in the request.

`python -m uvicorn tests.bench.plain:application`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"

import django
from django.conf import settings

django.setup()
settings.MIDDLEWARE = []
settings.ROOT_URLCONF = "tests.bench.plain"

import orjson  # noqa: E402  # the settings come first
from django.core.asgi import get_asgi_application  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models.functions import Now  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from servers.agents import reports  # noqa: E402
from servers.agents.models import Agent  # noqa: E402
from servers.agents.program import protocol  # noqa: E402

PATH = "/plain"
_INSERT = """
INSERT INTO agents_sample (server_id, at, load1, load5, load15, cpu_percent, memory_used_bytes, memory_total_bytes,
    swap_used_bytes, swap_total_bytes, uptime_seconds, disks, nics)
VALUES (%s, to_timestamp(%s), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, '[]') ON CONFLICT DO NOTHING
"""
_NUMBERS = (
    "load1", "load5", "load15", "cpu_percent", "memory_used_bytes", "memory_total_bytes", "swap_used_bytes",
    "swap_total_bytes", "uptime_seconds",
)  # fmt: skip
_keys: dict[str, bytes] = {}  # a cache, as the lean way has one


def view(request: HttpRequest) -> HttpResponse:
    session, number = request.headers["Muster-Session"], request.headers["Muster-Sequence"]
    moment, data = request.headers["Muster-Time"], request.body
    agent = Agent.objects.only("server_id", "session_key", "recent_load").get(session=session, state="live")
    key = _keys.get(session) or _keys.setdefault(session, agent.opened_session_key(agent.session_key))
    text = protocol.signed_text("POST", PATH, hashlib.sha256(data).hexdigest(), session, number, moment)
    fits = hmac.compare_digest(hmac.digest(key, text, "sha256").hex(), request.headers["Muster-Signature"])
    if not fits or abs(time.time() - int(moment)) > protocol.CLOCK:
        return HttpResponse(status=401)
    [told] = orjson.loads(data)["samples"]
    sample = reports.metrics(told)
    with transaction.atomic(), connection.cursor() as cursor:
        fields = reports.columns(sample) | {
            "last_seen_at": Now(), "sequence": int(number), "recent_load": [*agent.recent_load, sample["load1"]][-30:],
        }  # fmt: skip
        if not Agent.objects.filter(pk=agent.pk, sequence__lt=int(number)).update(**fields):
            return HttpResponse(status=409)
        disks = orjson.dumps(sample["disks"]).decode()
        cursor.execute(_INSERT, [agent.server_id, told["at"], *(sample[name] for name in _NUMBERS), disks])
    return HttpResponse(b'{"work":[]}', content_type="application/json")


urlpatterns = [path(PATH[1:], view), path("healthz", lambda request: HttpResponse())]
application = get_asgi_application()
