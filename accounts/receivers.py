"""What happens to accounts when something happens to their customer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.dispatch import receiver

from accounts import imports, linking
from accounts.models import CloudAccount, Import, SyncRun
from console.lib.jobs import leases
from console.lib.jobs.signals import ended
from providers.models import Customer, Provider
from providers.signals import customer_closing, customer_resumed, customer_suspended, sandbox_resetting


@receiver(customer_closing, sender=Customer)
def wipe_credentials(customer: Customer, **_: Any) -> None:
    """A closed customer's credentials are gone at once, whatever the grace period of the rest."""
    for account in customer.accounts.all():
        linking.wipe(account, "The customer was closed.")


@receiver(customer_suspended, sender=Customer)
def stop_syncs(customer: Customer, **_: Any) -> None:
    leases.cancel(SyncRun.objects.filter(account__customer=customer), "The customer was suspended.")


@receiver(customer_resumed, sender=Customer)
def sync_soon(customer: Customer, **_: Any) -> None:
    CloudAccount.objects.present().filter(customer=customer).update(next_sync_at=Now())


@receiver(ended, sender=Import)
def forget_what_was_sent(pk: UUID, **_: Any) -> None:
    """Also of a canceled or failed import: credentials of its waiting lines must not stay."""
    imports.wipe(pk)


@receiver(sandbox_resetting)
def forget_imports(provider: Provider, **_: Any) -> dict[str, int]:
    return Import.objects.filter(provider=provider).delete()[1]
