"""What is left of closed customers goes when the grace period is over; the audit log alone remembers them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from console.lib import audit
from console.models import User
from providers.models import Customer

GRACE: Final = timedelta(days=30)
AT_ONCE: Final = 20  # customers in one look


def due() -> int:
    """Erase some of those whose grace period is over; returns how many went."""
    since = timezone.now() - GRACE
    over = Customer.objects.filter(status=Customer.Status.CLOSED, closed_at__lt=since).order_by("closed_at")
    return sum(erase(pk) for pk in over.values_list("pk", flat=True)[:AT_ONCE])


def erase(pk: UUID) -> bool:
    """Delete a closed customer with all that is its, and the people who belong nowhere else. False: it was reopened."""
    with transaction.atomic():
        over = Customer.objects.filter(
            pk=pk, status=Customer.Status.CLOSED, closed_at__lt=timezone.now() - GRACE
        ).select_for_update(skip_locked=True)
        customer = over.first()
        if customer is None:
            return False
        people = list(customer.people.values_list("pk", flat=True))
        audit.note(audit.SYSTEM, "customer.erased", target=customer, customer_id=customer.pk,
                   provider_id=customer.provider_id)  # fmt: skip
        customer.delete()
        strangers = User.objects.filter(pk__in=people, memberships__isnull=True, provider_memberships__isnull=True)
        strangers.filter(is_staff=False).delete()
    return True
