"""Who may call the API and whose customers sync: staff enable and suspend providers."""

from __future__ import annotations

from django.db import transaction

from console.lib import audit
from console.lib.denials import Denied
from providers.models import Provider


def enable(provider: Provider, actor: audit.Actor) -> None:
    """Its keys open the API, its customers' accounts sync, those of its sandbox too. Twice is harmless. A sandbox by
    itself is Denied."""
    _turn(provider, Provider.Status.ENABLED, "provider.enabled", actor)


def suspend(provider: Provider, actor: audit.Actor) -> None:
    """Its keys get 403 and nothing of it syncs; people still see what is known of their servers. Its sandbox goes with
    it. Twice is harmless; a sandbox by itself is Denied."""
    _turn(provider, Provider.Status.SUSPENDED, "provider.suspended", actor)


def _turn(provider: Provider, status: Provider.Status, verb: str, actor: audit.Actor) -> None:
    if provider.sandbox_of is not None:
        raise Denied(
            f"A sandbox is enabled as long as its owner is. Enable or suspend {provider.sandbox_of}.", "is_sandbox"
        )
    with transaction.atomic():
        Provider.objects.filter(sandbox_of=provider.pk).update(status=status)
        if Provider.objects.filter(pk=provider.pk).exclude(status=status).update(status=status):
            audit.note(actor, verb, target=provider, provider_id=provider.pk)
    provider.status = status
