"""One delivery of a webhook: what is sent, how each try went; send it again."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from console.portal.provider.scope import Seat, done, page, show
from providers import delivering, posting, webhooks
from providers.models import Delivery


@page()
def one(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Request and tries."""
    delivery = _delivery(seat, pk)
    headers = posting.headers(str(delivery.event_id), 0)
    headers.pop("webhook-timestamp")
    if delivery.tries and (sent := delivery.tries[-1].get("sent")):
        headers["webhook-timestamp"] = str(sent)
    body = orjson.dumps(orjson.loads(delivering.body(delivery.event)), option=orjson.OPT_INDENT_2).decode()
    tries = [_try(told) for told in reversed(delivery.tries)]
    return show(request, seat, "provider/delivery.html", "webhooks", delivery=delivery, hook=delivery.webhook,
                headers=sorted(headers.items()), body=body, tries=tries)  # fmt: skip


@page("POST")
def redeliver(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """The same event, with the same webhook-id, once more."""
    delivery = _delivery(seat, pk)
    back = reverse("provider:webhook", args=[seat.slug, delivery.webhook_id])
    words = "It is on its way once more. How it went stands among the deliveries in a moment."
    return done(request, back, words, lambda: webhooks.redeliver(delivery, seat.actor))


def _try(told: dict[str, Any]) -> dict[str, Any]:
    good = told.get("status") is not None and 200 <= told["status"] < 300
    return {**told, "at": datetime.fromisoformat(told["at"]), "tone": "running" if good else "failed"}


def _delivery(seat: Seat, pk: UUID) -> Delivery:
    rows = Delivery.objects.filter(webhook__provider=seat.provider, pk=pk).select_related("event", "webhook__provider")
    found: Delivery | None = rows.first()
    if found is None:
        raise Http404("No such delivery.")
    return found
