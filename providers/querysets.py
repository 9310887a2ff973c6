"""Scoped reads of the providers' rows: the only doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Prefetch, Q
from django.db.models.functions import Now

if TYPE_CHECKING:
    from console.models import User
    from providers.models import Provider


class ProviderKeyQuerySet(models.QuerySet[Any]):
    def live(self) -> ProviderKeyQuerySet:
        """Neither revoked nor expired, of a provider that staff enabled."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=Now()), revoked_at__isnull=True, provider__status="enabled"
        )


class CustomerQuerySet(models.QuerySet[Any]):
    def known_to(self, provider: Provider) -> CustomerQuerySet:
        """The provider's own customers, closed ones too; those without an id of the provider it cannot name."""
        return self.filter(provider=provider).exclude(external_id="")

    def with_last_mail(self) -> CustomerQuerySet:
        """Each with its last mail in `last_mails`: a list of one, or empty."""
        from providers.models import Mail

        last = Mail.objects.order_by("-queued_at", "-id")[:1]
        return self.prefetch_related(Prefetch("mails", last, to_attr="last_mails"))

    def open_to(self, user: User, door: str | None = None) -> CustomerQuerySet:
        """The customers that `user` belongs to and accepted, closed ones left out.

        `door` is the id of the customer whose provider issued this sign-in (SECURITY.md §6, take-over): then only that
        one, since whoever controls a provider must not reach a person's other hosts.
        """
        rows = self.filter(memberships__user=user, memberships__accepted_at__isnull=False).exclude(status="closed")
        return rows.filter(pk=door) if door else rows
