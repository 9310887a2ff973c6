"""What is said of webhooks, events and deliveries, what may be asked of them, and examples of both."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers

from console.lib.api.filters import choice
from console.lib.api.strict import In
from console.lib.jobs.rows import ACTIVE, JobState
from providers import delivering, events, posting
from providers.models import Delivery, Event, Webhook

STATES = [("pending", "It waits, or is tried again"), ("delivered", "It arrived"), ("failed", "It did not")]
TYPES = [(type, words) for type, words in events.TYPES.items()]


class WebhookIn(In):
    url = serializers.CharField(max_length=500, help_text="An HTTPS address that the internet can reach.")
    events = serializers.ListField(
        child=serializers.CharField(max_length=40),
        max_length=len(events.TYPES),
        required=False,
        help_text="Types, as GET event-types lists them. Empty or left out: all, those that come later too.",
    )


class WebhookChangeIn(In):
    url = serializers.CharField(max_length=500, required=False)
    events = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=len(events.TYPES), required=False
    )
    enabled = serializers.BooleanField(required=False, help_text="false: nothing is kept for it or sent there.")


class RotateIn(In):
    overlap_hours = serializers.IntegerField(
        min_value=0, max_value=24, default=24, help_text="How long the secret before signs too. 0: not at all."
    )


class WebhookOut(serializers.ModelSerializer[Webhook]):
    class Meta:
        model = Webhook
        fields = ("id", "url", "events", "enabled", "failing_since", "disabled_at", "previous_until", "created_at")
        extra_kwargs = {
            "failing_since": {"help_text": "Nothing has arrived since then; null: the last try went well."},
            "disabled_at": {"help_text": "We turned it off then, since it failed for too long; null: we did not."},
            "previous_until": {"help_text": "Until then the secret before signs too."},
        }


class WebhookMadeOut(WebhookOut):
    secret = serializers.SerializerMethodField(
        help_text="`whsec_…`, shown this once. null: the webhook was there before."
    )

    class Meta(WebhookOut.Meta):
        fields = (*WebhookOut.Meta.fields, "secret")  # type: ignore[assignment]

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_secret(self, webhook: Webhook) -> str | None:
        return self.context.get("secret") or None


class EventOut(serializers.ModelSerializer[Event]):
    type = serializers.ChoiceField(choices=TYPES)

    class Meta:
        model = Event
        fields = ("id", "type", "data", "at")
        extra_kwargs = {"id": {"help_text": "The `webhook-id` header of its deliveries."}}


class EventTypeOut(serializers.Serializer[Any]):
    type = serializers.CharField()
    description = serializers.CharField()


class EventTypesOut(serializers.Serializer[Any]):
    results = EventTypeOut(many=True)


class TryOut(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="null: no reply came.")
    seconds = serializers.FloatField()
    words = serializers.CharField(help_text="How it went.")


class RequestOut(serializers.Serializer[Any]):
    url = serializers.CharField(help_text="Of the last try; before the first one: where it will go.")
    headers = serializers.DictField(
        child=serializers.CharField(), help_text="Those of the last try. `webhook-signature` is not kept."
    )
    body = serializers.CharField(help_text="Exactly what is sent and signed.")


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    webhook_id = serializers.UUIDField()
    event_id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=TYPES, source="event.type")
    state = serializers.SerializerMethodField()
    reason = serializers.CharField(source="outcome", help_text="How the last try went.")
    next_try_at = serializers.SerializerMethodField(help_text="Not before then; null: it is over.")

    class Meta:
        model = Delivery
        fields = (
            "id", "webhook_id", "event_id", "type", "state", "reason", "attempts",
            "queued_at", "next_try_at", "ended_at",
        )  # fmt: skip

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, delivery: Delivery) -> str:
        if delivery.state in ACTIVE:
            return "pending"
        return "delivered" if delivery.state == JobState.DONE else "failed"

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_try_at(self, delivery: Delivery) -> Any:
        if delivery.state not in ACTIVE:
            return None
        rests = delivery.webhook.rests_until
        return serializers.DateTimeField().to_representation(max(delivery.due_at, rests or delivery.due_at))


class OneDeliveryOut(DeliveryOut):
    tries = TryOut(many=True, help_text="The last ten.")
    request = serializers.SerializerMethodField()

    class Meta(DeliveryOut.Meta):
        fields = (*DeliveryOut.Meta.fields, "tries", "request")  # type: ignore[assignment]

    @extend_schema_field(RequestOut)
    def get_request(self, delivery: Delivery) -> dict[str, Any]:
        headers = posting.headers(str(delivery.event_id), 0)
        headers.pop("webhook-timestamp")
        if delivery.tries and (sent := delivery.tries[-1].get("sent")):
            headers["webhook-timestamp"] = str(sent)
        url = (delivery.tries and delivery.tries[-1].get("url")) or delivery.webhook.url
        return {"url": url, "headers": headers, "body": delivering.body(delivery.event).decode()}


class DeliveryFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    state = choice(STATES, method="of_state", help_text="Only those in this state.")
    type = choice(TYPES, field_name="event__type", help_text="Only those of this event type.")

    class Meta:
        model = Delivery
        fields = ()

    def of_state(self, rows: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        if value == "pending":
            return rows.filter(state__in=ACTIVE)
        return rows.filter(state=JobState.DONE) if value == "delivered" else rows.exclude(state__in=(*ACTIVE, "done"))


class EventFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    type = choice(TYPES, help_text="Only those of this type.")

    class Meta:
        model = Event
        fields = ()


WEBHOOK_ID, DELIVERY_ID = "0b0d1b7e-0f9a-4b53-9d3b-5f7c0d7f4a11", "5a8f7f0e-6f0a-4b8a-8b1c-2f6f1c1f0a22"
_WEBHOOK = {
    "id": WEBHOOK_ID,
    "url": "https://billing.example.com/muster",
    "events": ["account.verified", "account.failed"],
    "enabled": True,
    "failing_since": None,
    "disabled_at": None,
    "previous_until": None,
    "created_at": "2025-01-07T09:30:00Z",
}
_DELIVERY = {
    "id": DELIVERY_ID,
    "webhook_id": _WEBHOOK["id"],
    "event_id": "9d0f5f7e-1c2b-4d3e-8f4a-5b6c7d8e9f00",
    "type": "account.verified",
    "state": "delivered",
    "reason": "The endpoint answered 204 No Content.",
    "attempts": 1,
    "queued_at": "2025-01-07T09:31:00Z",
    "next_try_at": None,
    "ended_at": "2025-01-07T09:31:01Z",
    "tries": [
        {
            "at": "2025-01-07T09:31:01Z",
            "status": 204,
            "seconds": 0.112,
            "words": "The endpoint answered 204 No Content.",
        }
    ],
    "request": {
        "url": _WEBHOOK["url"],
        "headers": {
            "content-type": "application/json",
            "user-agent": "Muster-Webhooks/1",
            "webhook-id": "9d0f5f7e-1c2b-4d3e-8f4a-5b6c7d8e9f00",
            "webhook-timestamp": "1736242260",
        },
        "body": '{"type":"account.verified","timestamp":"2025-01-07T09:31:00Z",'
        '"data":{"external_id":"c-1001","account_id":"main","name":"Main","version":1}}',
    },
}
ASKED = OpenApiExample("A webhook", {"url": _WEBHOOK["url"], "events": _WEBHOOK["events"]}, request_only=True)
CHANGED = OpenApiExample("Turn it on again", {"enabled": True}, request_only=True)
ROTATED = OpenApiExample("With a day to change over", {"overlap_hours": 24}, request_only=True)
TOLD = OpenApiExample("A webhook", _WEBHOOK, response_only=True, status_codes=["200"])
MADE = OpenApiExample(
    "A webhook with its secret",
    {**_WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    response_only=True,
    status_codes=["200", "201"],
)
DELIVERED = OpenApiExample("A delivery", _DELIVERY, response_only=True, status_codes=["200"])
SENT = OpenApiExample(
    "A delivery",
    {name: value for name, value in _DELIVERY.items() if name not in ("tries", "request")},
    response_only=True,
    status_codes=["200", "202"],
)
HAPPENED = OpenApiExample(
    "A verified account",
    {
        "id": _DELIVERY["event_id"],
        "type": "account.verified",
        "data": {"external_id": "c-1001", "account_id": "main", "name": "Main", "version": 1},
        "at": "2025-01-07T09:31:00Z",
    },
    response_only=True,
)
KNOWN = OpenApiExample(
    "Two of them",
    {"results": [{"type": name, "description": words} for name, words in TYPES[:2]]},
    response_only=True,
)
