"""The provider API's calls about webhooks: who is told what, and how telling them went."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.filters import narrowed, parameters
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from providers import events, webhooks
from providers.api import told
from providers.api.base import ProviderView
from providers.models import Delivery, Webhook

SCOPES = {"GET": "webhooks:read"} | dict.fromkeys(("POST", "PATCH", "DELETE"), "webhooks:write")
OFF = OpenApiResponse(Error, "The webhook is off.")


class ByAge(Pages):
    fields = ("created_at", "id")


class NewestFirst(Pages):
    fields = ("-at", "-id")


class LatestFirst(Pages):
    fields = ("-queued_at", "-id")


class WebhookView(ProviderView):
    scopes: ClassVar = SCOPES
    in_path: ClassVar = {"webhook_id": told.WEBHOOK_ID, "delivery_id": told.DELIVERY_ID}

    def webhook(self, pk: UUID) -> Webhook:
        found: Webhook | None = self.provider.webhooks.filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no webhook with this id. GET webhooks lists those you have.", "webhook_unknown")
        return found

    def deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.filter(webhook__provider=self.provider).select_related("event", "webhook")

    def delivery(self, pk: UUID) -> Delivery:
        found: Delivery | None = self.deliveries().filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no delivery with this id. They are kept for 30 days.", "delivery_unknown")
        return found

    def made(self, webhook: Webhook, secret: str, status: int) -> Response:
        """The one reply that holds the secret; nobody on the way may keep it."""
        data = told.WebhookMadeOut(webhook, context={"secret": secret}).data
        return Response(data, status=status, headers={"Cache-Control": "no-store"})


class Webhooks(WebhookView):
    keeps_answers = False  # the secret is told once
    pagination_class = ByAge

    @extend_schema(
        operation_id="webhooks_list", tags=["Webhooks"], responses=told.WebhookOut(many=True), examples=[told.TOLD]
    )
    def get(self, request: Request) -> Response:
        """Your webhooks, the oldest first."""
        return self.pages(request, self.provider.webhooks.all(), told.WebhookOut, ByAge)

    @extend_schema(
        operation_id="webhooks_add",
        tags=["Webhooks"],
        request=told.WebhookIn,
        examples=[told.ASKED, told.MADE],
        responses={
            201: told.WebhookMadeOut,
            200: told.WebhookMadeOut,
            409: OpenApiResponse(Error, "You have as many webhooks as a provider may have."),
        },
    )
    def post(self, request: Request) -> Response:
        """201: made, with its secret, which no later reply shows. 200: this address has a webhook, whose events are
        those you sent now.

        Events come as POST, signed as standardwebhooks.com says: `webhook-id`, `webhook-timestamp` and
        `webhook-signature`, and a body of `type`, `timestamp` and `data`. Answer 2xx within 10 seconds; anything else
        is tried again for 24 hours. The same event may come twice and events may overtake each other.
        """
        given = self.given(told.WebhookIn)
        webhook, secret = webhooks.add(self.provider, given["url"], given.get("events", []), self.actor)
        return self.made(webhook, secret, 201 if secret else 200)


class OneWebhook(WebhookView):
    @extend_schema(operation_id="webhooks_read", tags=["Webhooks"], responses=told.WebhookOut, examples=[told.TOLD])
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """One webhook and how it is."""
        return Response(told.WebhookOut(self.webhook(webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_change",
        tags=["Webhooks"],
        request=told.WebhookChangeIn,
        responses=told.WebhookOut,
        examples=[told.CHANGED, told.TOLD],
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Another address, other events, on or off. What you leave out stays."""
        changed = webhooks.change(self.webhook(webhook_id), self.actor, **self.given(told.WebhookChangeIn))
        return Response(told.WebhookOut(changed).data)

    @extend_schema(operation_id="webhooks_remove", tags=["Webhooks"], responses={204: None})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        """It is told nothing more; what waited for it is dropped."""
        webhooks.remove(self.webhook(webhook_id), self.actor)
        return Response(status=204)


class Rotate(WebhookView):
    keeps_answers = False  # as above

    @extend_schema(
        operation_id="webhooks_rotate",
        tags=["Webhooks"],
        request=told.RotateIn,
        examples=[told.ROTATED, told.MADE],
        responses={200: told.WebhookMadeOut, 409: OpenApiResponse(Error, "Two secrets are live already.")},
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """A new secret, shown this once. The one before signs too for a while: both are in `webhook-signature`."""
        overlap = timedelta(hours=self.given(told.RotateIn)["overlap_hours"])
        webhook, secret = webhooks.rotate_secret(self.webhook(webhook_id), self.actor, overlap)
        return self.made(webhook, secret, 200)


class Test(WebhookView):
    @extend_schema(
        operation_id="webhooks_test",
        tags=["Webhooks"],
        request=None,
        responses={202: told.DeliveryOut, 409: OFF},
        examples=[told.SENT],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Send it a `ping`, whatever it listens to. The delivery says how it went."""
        sent = webhooks.ping(self.webhook(webhook_id), self.actor)
        return Response(told.DeliveryOut(self.delivery(sent.pk)).data, status=202)


class Deliveries(WebhookView):
    pagination_class = LatestFirst

    @extend_schema(
        operation_id="deliveries_list",
        tags=["Webhooks"],
        responses=told.DeliveryOut(many=True),
        parameters=parameters(told.DeliveryFilters),
        examples=[told.SENT],
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """What was sent to it in the last 30 days, the newest first."""
        rows = self.deliveries().filter(webhook=self.webhook(webhook_id))
        return self.pages(request, narrowed(request, rows, told.DeliveryFilters), told.DeliveryOut, LatestFirst)


class OneDelivery(WebhookView):
    @extend_schema(
        operation_id="deliveries_read", tags=["Webhooks"], responses=told.OneDeliveryOut, examples=[told.DELIVERED]
    )
    def get(self, request: Request, delivery_id: UUID) -> Response:
        """One delivery: what is sent, and how the last tries went."""
        return Response(told.OneDeliveryOut(self.delivery(delivery_id)).data)


class Redeliver(WebhookView):
    @extend_schema(
        operation_id="deliveries_redeliver",
        tags=["Webhooks"],
        request=None,
        responses={202: told.DeliveryOut, 409: OFF},
        examples=[told.SENT],
    )
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """Send it again, as a new delivery with the same `webhook-id`. One that waits is tried at once instead."""
        sent = webhooks.redeliver(self.delivery(delivery_id), self.actor)
        return Response(told.DeliveryOut(self.delivery(sent.pk)).data, status=202)


class Events(WebhookView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="events_list",
        tags=["Webhooks"],
        responses=told.EventOut(many=True),
        parameters=parameters(told.EventFilters),
        examples=[told.HAPPENED],
    )
    def get(self, request: Request) -> Response:
        """What your webhooks were told in the last 30 days, the newest first. What nobody listened to is not kept."""
        rows = narrowed(request, self.provider.events.all(), told.EventFilters)
        return self.pages(request, rows, told.EventOut, NewestFirst)


class EventTypes(WebhookView):
    @extend_schema(
        operation_id="event_types_list", tags=["Webhooks"], responses=told.EventTypesOut, examples=[told.KNOWN]
    )
    def get(self, request: Request) -> Response:
        """Every type of event, with a sentence."""
        known: list[dict[str, Any]] = [{"type": type, "description": words} for type, words in events.TYPES.items()]
        return Response(told.EventTypesOut({"results": known}).data)
