"""Who may call the API and whose customers sync: staff enable and suspend providers."""

from __future__ import annotations

from django.db import transaction

from console.lib import audit
from providers.models import Provider


def enable(provider: Provider, actor: audit.Actor) -> None:
    """Its keys open the API, its customers' accounts sync. Twice is harmless."""
    _turn(provider, Provider.Status.ENABLED, "provider.enabled", actor)


def suspend(provider: Provider, actor: audit.Actor) -> None:
    """Its keys get 403 and nothing of it syncs; people still see what is known of their servers. Twice is harmless."""
    _turn(provider, Provider.Status.SUSPENDED, "provider.suspended", actor)


def _turn(provider: Provider, status: Provider.Status, verb: str, actor: audit.Actor) -> None:
    with transaction.atomic():
        if Provider.objects.filter(pk=provider.pk).exclude(status=status).update(status=status):
            audit.note(actor, verb, target=provider, provider_id=provider.pk)
    provider.status = status
