"""Webhooks: addresses of a provider's that are told what happens, signed as Standard Webhooks are.

What happens is fired by `fire` (providers.events); workers deliver it (providers.delivering).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, seal
from console.lib.denials import Denied, Wrong
from console.lib.faults import Unexpected
from console.lib.jobs.rows import ACTIVE
from console.lib.outbound import Transport
from providers import events, posting
from providers.events import TYPES, fire, fire_for, fire_many
from providers.models import Delivery, Provider, Webhook

__all__ = [
    "TYPES",
    "add",
    "change",
    "fire",
    "fire_for",
    "fire_many",
    "live_secrets",
    "ping",
    "redeliver",
    "remove",
    "rotate_secret",
    "transport",
]

MOST: Final = 20  # of one provider
OVERLAP: Final = timedelta(hours=24)  # in which a secret and its successor both sign
LONGEST: Final = 500  # characters of an address
_HEALTHY: Final = {"failures": 0, "failing_since": None, "rests_until": None, "warned_at": None}


def add(provider: Provider, url: str, events: Collection[str], actor: audit.Actor) -> tuple[Webhook, str]:
    """A new webhook and its secret (`whsec_…`), which is shown this once. No events: all of them.

    The same address again makes no second one: its events are brought up to date, and the secret is "".
    Wrong (`url`, `events`) for what cannot be: an address that is not HTTPS, or leads where we do not go. Denied when
    the provider has MOST already.
    """
    _check_url(provider, url)
    text = _made()
    with transaction.atomic():
        Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)  # or two calls at once make two
        if standing := provider.webhooks.filter(url=url).first():
            return change(standing, actor, events=events), ""
        if provider.webhooks.count() >= MOST:
            raise Denied(f"A provider has {MOST} webhooks at most. Remove one that is not needed.", "too_many_webhooks")
        webhook = Webhook(provider=provider, url=url, events=_known(events))
        webhook.sealed = seal.close({"secret": text}, webhook.place("sealed"))
        webhook.save()
        _note(actor, "webhook.added", webhook, {"events": webhook.events})
    webhook.refresh_from_db()
    return webhook, text


def change(
    webhook: Webhook,
    actor: audit.Actor,
    *,
    url: str | None = None,
    events: Collection[str] | None = None,
    enabled: bool | None = None,
) -> Webhook:
    """Another address, other events, on or off; None leaves as it is. Turned on, or at another address, it starts
    afresh, with what still waits. Wrong as in `add`, and for the address of another webhook of the provider."""
    if url is not None and url != webhook.url:
        _check_url(webhook.provider, url)
    wanted: dict[str, Any] = {"url": url, "enabled": enabled}
    if events is not None:
        wanted["events"] = _known(events)
    with transaction.atomic():
        if url is not None and url != webhook.url:
            Provider.objects.select_for_update(no_key=True).get(pk=webhook.provider_id)  # as in `add`
            if Webhook.objects.filter(provider=webhook.provider_id, url=url).exclude(pk=webhook.pk).exists():
                raise Wrong({"url": ["Another webhook has this address. Change that one, or remove it first."]})
        held = _held(webhook)
        changed = {name: value for name, value in wanted.items() if value not in (None, getattr(held, name))}
        if not changed:
            return held
        fresh = _HEALTHY | {"disabled_at": None} if "url" in changed or changed.get("enabled") else {}
        Webhook.objects.filter(pk=held.pk).update(**changed, **fresh)
        held.refresh_from_db()
        _note(actor, "webhook.changed", held, {"fields": sorted(changed)})
        _look(held)
    return held


def remove(webhook: Webhook, actor: audit.Actor) -> None:
    """It is told nothing more, and its deliveries go. Twice is harmless."""
    with transaction.atomic():
        # The full lock: whoever fires holds "key share", so no delivery is added to what is being deleted.
        held = Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
        if held is not None:
            _note(actor, "webhook.removed", held)
            held.delete()


def rotate_secret(webhook: Webhook, actor: audit.Actor, overlap: timedelta = OVERLAP) -> tuple[Webhook, str]:
    """A new secret, shown this once. The one before signs too for `overlap`, so that receivers can change over.

    Denied while two are live, unless `overlap` is nothing: then only the new one is, at once.
    """
    text, overlap = _made(), max(timedelta(0), min(overlap, OVERLAP))
    with transaction.atomic():
        held = _held(webhook)
        now = timezone.now()
        if overlap and held.previous_until and held.previous_until > now:
            raise Denied(
                f"Two secrets are live until {held.previous_until:%Y-%m-%d %H:%M} UTC. "
                "Rotate after that, or without overlap.",
                "secret_rotating",
            )
        before = seal.open_(held.sealed, held.place("sealed"))
        held.previous_sealed = seal.close(before, held.place("previous_sealed")) if overlap else ""
        held.previous_until = now + overlap if overlap else None
        held.sealed = seal.close({"secret": text}, held.place("sealed"))
        held.save(update_fields=["sealed", "previous_sealed", "previous_until"])
        _note(actor, "webhook.secret_rotated", held, {"overlap_hours": overlap.total_seconds() / 3600})
    return held, text


def live_secrets(webhook: Webhook) -> list[str]:
    """The secrets that sign now, the newest first. SealBroken when one does not open."""
    texts = [seal.open_(webhook.sealed, webhook.place("sealed"))["secret"]]
    if webhook.previous_sealed and webhook.previous_until and webhook.previous_until > timezone.now():
        texts.append(seal.open_(webhook.previous_sealed, webhook.place("previous_sealed"))["secret"])
    return texts


def ping(webhook: Webhook, actor: audit.Actor) -> Delivery:
    """Send a test event to this webhook alone. Denied when it is off."""
    with transaction.atomic():
        held = _on(webhook)
        words = {"message": "This is a test.", "webhook_id": str(held.pk)}
        events.write(held.provider_id, events.PING, [words], [held.pk])
        _note(actor, "webhook.tested", held)
        sent: Delivery = held.deliveries.filter(event__type=events.PING).order_by("-queued_at", "-id")[0]
        _hurry(held, sent)
    return sent


def redeliver(delivery: Delivery, actor: audit.Actor) -> Delivery:
    """Send it again: a new delivery of the same event, with the same `webhook-id`. One that still waits is tried at
    once instead. Denied when the webhook is off."""
    with transaction.atomic():
        held = _on(delivery.webhook)
        same: Delivery = Delivery.objects.select_related("event").get(pk=delivery.pk)
        if same.state not in ACTIVE:
            same = Delivery.objects.create(
                webhook=held, event=same.event, expires_at=timezone.now() + events.LIVES, due_at=timezone.now()
            )
        _hurry(held, same)
        _note(actor, "webhook.redelivered", held, {"event": str(same.event_id)})
    same.refresh_from_db()
    return same


def transport(provider: Provider) -> Transport:
    """What webhooks of this provider may reach: the public internet by HTTPS, and networks that staff approved
    (a sandbox's: what its owner's may).

    In demo mode this machine too, by plain HTTP. Unexpected when an approved network cannot be read.
    """
    return Transport(
        [*(provider.sandbox_of or provider).webhook_networks, *settings.DEMO_NETWORKS],
        allow_http=bool(settings.DEMO_NETWORKS),
        deadline=posting.TOTAL,
        bodies=False,
    )


def _made() -> str:
    return posting.PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _known(types: Collection[str]) -> list[str]:
    if unknown := sorted(set(types) - set(TYPES)):
        raise Wrong({"events": [f"Unknown event {', '.join(unknown)}. Known: {', '.join(TYPES)}."]})
    return sorted(set(types))


def _check_url(provider: Provider, url: str) -> None:
    try:
        parts, guard = urlsplit(url), transport(provider)
        schemes = ("https", "http") if guard.allow_http else ("https",)
        if not (url.isascii() and url.isprintable() and " " not in url and len(url) <= LONGEST):
            words = f"Write an address of {LONGEST} plain characters at most."
        elif parts.scheme not in schemes or not parts.hostname:
            words = "Write an address that starts with https://."
        elif parts.username is not None or parts.password is not None or parts.fragment:
            words = "Leave user, password and #fragment out of the address. The signature says that a call is ours."
        else:
            words = guard.objection(url)
    except (ValueError, Unexpected):
        words = "This is no address. Write one that starts with https://."
    if words:
        raise Wrong({"url": [words]})


def _held(webhook: Webhook) -> Webhook:
    # "No key" lets whoever fires go on meanwhile.
    held: Webhook = (
        Webhook.objects.select_for_update(of=("self",), no_key=True).select_related("provider").get(pk=webhook.pk)
    )
    return held


def _on(webhook: Webhook) -> Webhook:
    held = _held(webhook)
    if not held.enabled:
        raise Denied("This webhook is off. Turn it on first.", "webhook_off")
    return held


def _hurry(webhook: Webhook, delivery: Delivery) -> None:
    """A person waits: a rest of the endpoint's does not count, and this delivery is the next one."""
    Webhook.objects.filter(pk=webhook.pk, rests_until__gt=Now()).update(rests_until=Now())
    Delivery.objects.filter(pk=delivery.pk, state__in=("queued", "waiting")).update(due_at=webhook.created_at)
    _look(webhook)


def _look(webhook: Webhook) -> None:
    pk: UUID = webhook.pk
    transaction.on_commit(lambda: events.knock([pk]))


def _note(actor: audit.Actor, verb: str, webhook: Webhook, detail: dict[str, Any] | None = None) -> None:
    audit.note(actor, verb, target=webhook, provider_id=webhook.provider_id, detail=detail)
