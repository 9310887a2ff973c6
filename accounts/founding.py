"""Accounts of many new customers at once: the same rows that `linking.push` makes for one, in a few statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import CloudAccount, CredentialPush
from console.lib import audit, copying
from providers.models import CloudEndpoint, Customer, Provider


@dataclass(frozen=True)
class New:
    """An account to link. `credentials` passed `linking.check`."""

    customer: Customer
    external_id: str
    endpoint: CloudEndpoint
    name: str
    version: int
    credentials: Mapping[str, str]


def accounts(provider: Provider, wanted: Sequence[New], actor: audit.Actor) -> None:
    """Link these, of customers that were made in this very transaction. Each is verified when its turn comes."""
    now, made = timezone.now(), []
    for one in wanted:
        account = CloudAccount(
            customer=one.customer,
            external_id=one.external_id,
            endpoint=one.endpoint,
            name=one.name,
            status_at=now,
            status_reason=f"Version {one.version} of the credentials is being verified.",
        )
        account.close_pending(dict(one.credentials), one.version)
        made.append(account)
    copying.insert(made)
    copying.insert(
        CredentialPush(account=account, version=account.pending_version, actor_name=actor.name[:254])
        for account in made
    )
    audit.note_many(actor, "account.linked", made, provider_id=provider.pk)
