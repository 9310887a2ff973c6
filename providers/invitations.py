"""Invitations: a membership opens nothing until its person, signed in by their own means, accepts it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from console.lib import audit
from console.models import User
from providers.models import Customer, Membership


def pending(user: User) -> QuerySet[Membership]:
    """What waits for this person's answer."""
    rows = Membership.objects.filter(user=user, accepted_at__isnull=True).order_by("created_at")
    return rows.exclude(customer__status=Customer.Status.CLOSED).select_related("customer__provider")


def accept(user: User, pk: UUID) -> Membership | None:
    """From now on the person belongs to the customer. None when there is no such invitation (any more)."""
    with transaction.atomic():
        found = pending(user).filter(pk=pk).select_for_update(of=("self",)).first()
        if found is not None:
            _note(user, "invitation.accepted", found)
            Membership.objects.filter(pk=found.pk).update(accepted_at=Now())
    return found


def decline(user: User, pk: UUID) -> Membership | None:
    """The invitation is gone; the provider is not told. None when there is no such invitation (any more)."""
    with transaction.atomic():
        found = pending(user).filter(pk=pk).select_for_update(of=("self",)).first()
        if found is not None:
            _note(user, "invitation.declined", found)
            found.delete()
    return found


def _note(user: User, verb: str, membership: Membership) -> None:
    customer = membership.customer
    audit.note(audit.Actor.of(user), verb, target=membership, customer_id=customer.pk, provider_id=customer.provider_id)
