"""Webhooks and their deliveries: try one, turn one on again, send an event once more."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from console.lib.staff import TONES, ReadOnlyAdmin, action, display, toned, who
from providers import webhooks
from providers.models import Delivery, Webhook


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "provider", "state", "failing_since", "created_at")
    list_filter = ("provider", "enabled")
    list_select_related = ("provider",)
    search_fields = ("url", "provider__name")
    hidden = ("url",)  # its query may hold a key of the receiver's
    actions_detail = ("ping", "turn_on", "turn_off")

    @display(description="State", label=TONES)
    def state(self, webhook: Webhook) -> tuple[str, str]:
        if not webhook.enabled:
            return "stopped", "Turned off by us" if webhook.disabled_at else "Off"
        return ("attention", "Failing") if webhook.failing_since else ("running", "On")

    @action(description="Send a test", icon="send")
    def ping(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(webhook: Webhook) -> str:
            webhooks.ping(webhook, who(request))
            return "A test is on its way; the deliveries say how it went."

        sentence = "An event of type ping goes to this webhook alone."
        return self.deed(request, object_id, title="Send a test", sentence=sentence, do=do)

    @action(description="Turn on", icon="toggle_on")
    def turn_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(webhook: Webhook) -> str:
            webhooks.change(webhook, who(request), enabled=True)
            return f"{webhook} is told again what happens."

        sentence = "It starts afresh, with what still waits."
        return self.deed(request, object_id, title="Turn on", sentence=sentence, do=do)

    @action(description="Turn off", icon="toggle_off")
    def turn_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(webhook: Webhook) -> str:
            webhooks.change(webhook, who(request), enabled=False)
            return f"{webhook} is told nothing more."

        sentence = "The provider's programs hear nothing of what happens until it is on again."
        return self.deed(request, object_id, title="Turn off", sentence=sentence, do=do, danger=True)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("event_type", "webhook", "progress", "outcome", "attempts", "queued_at")
    list_filter = ("state", "webhook__provider")
    list_select_related = ("webhook", "event")
    search_fields = ("webhook__url", "event__type", "=event__id")
    hidden = ("worker", "leased_until")
    actions_detail = ("send_again",)

    @display(description="Event", ordering="event__type")
    def event_type(self, delivery: Delivery) -> str:
        return delivery.event.type

    @display(description="State", label=TONES, ordering="state")
    def progress(self, delivery: Delivery) -> tuple[str, str]:
        return toned(delivery.status)

    @action(description="Send again", icon="replay")
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(delivery: Delivery) -> str:
            webhooks.redeliver(delivery, who(request))
            return "The event is on its way again."

        sentence = "The same event with the same id, as a new delivery."
        return self.deed(request, object_id, title="Send again", sentence=sentence, do=do)
