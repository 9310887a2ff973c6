"""Invitations: a membership opens nothing until its person accepts it, by the link that was mailed and a sign-in of
their own.

Both are needed. A sign-in may be one that another provider made under somebody's address, and a mail may be read by
somebody who is not that person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.jobs.rows import ACTIVE
from console.models import User
from providers import links, mail
from providers.models import Customer, Mail, Membership

AGAIN_AFTER: Final = timedelta(minutes=1)


def pending(user: User) -> QuerySet[Membership]:
    """What waits for this person's answer."""
    rows = Membership.objects.filter(user=user, accepted_at__isnull=True).order_by("created_at")
    return rows.exclude(customer__status=Customer.Status.CLOSED).select_related("customer__provider")


def invited(user: User, token: str) -> Membership | None:
    """What the mailed link invites this person to, accepted or not. None: it is over, or somebody else's."""
    pk = links.accepted(token)
    rows = Membership.objects.filter(pk=pk, user=user) if pk else Membership.objects.none()
    return rows.exclude(customer__status=Customer.Status.CLOSED).select_related("customer__provider").first()


def accept(user: User, token: str) -> Membership | None:
    """From now on the person belongs to the customer. None as in `invited`. Twice is harmless."""
    found = invited(user, token)
    if found is not None:
        come_in(found)
    return found


def come_in(membership: Membership) -> None:
    """Write that the person belongs to the customer, for who has proved it: by the link of an invitation, or as the
    person whom this very customer made. Twice is harmless."""
    with transaction.atomic():
        if Membership.objects.filter(pk=membership.pk, accepted_at=None).update(accepted_at=Now()):
            _note(membership.user, "invitation.accepted", membership)


def send_again(user: User, pk: UUID) -> Membership | None:
    """The mail once more, to the person's own address, with a fresh link; once a minute. None as in `decline`."""
    with transaction.atomic():
        found = pending(user).filter(pk=pk).select_for_update(of=("self",)).first()
        if found is not None:
            mails, since = Mail.objects.filter(customer=found.customer, user=user), timezone.now() - AGAIN_AFTER
            if not mails.filter(state__in=ACTIVE).exists() and not mails.filter(queued_at__gt=since).exists():
                mail.queue(found.customer, found)
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
