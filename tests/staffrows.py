"""A row of the kinds that staff look at and that no deed of the tests makes by the way."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from console.models import User
from providers.models import ActingFor, Customer


def make(customer: Customer, staff: User) -> list[str]:
    """Returns the secrets among them, which no page may show."""
    ActingFor.objects.create(
        customer=customer, staff=staff, reason="Ticket 4711", ends_at=timezone.now() + timedelta(minutes=5)
    )
    return []
