"""Staff act for a customer: for a while, with a reason that the customer reads, and under their own name.

The session stays the member of staff's: no account is taken over, and how the customer's people sign in is closed to it
(console/portal/acting.py). Each audit entry carries both identities and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import OnBehalf, User
from providers.models import ActingFor, Customer

ACTING: Final = "acting"  # session key: the id of the ActingFor that this session works under
LONGEST: Final = 60  # minutes
SHORTEST_REASON: Final = 10  # characters
RIGHT: Final = "providers.add_actingfor"


def begin(customer: Customer, staff: User, reason: str, minutes: int, actor: audit.Actor) -> ActingFor:
    """From now on, for `minutes` (1 to 60), `staff` may act for this customer; what they did for another one ends.

    Wrong (`reason`, `minutes`) in words; Denied for who has no right to, and for a closed customer.
    """
    reason, wrong = " ".join(reason.split()), {}
    if not SHORTEST_REASON <= len(reason) <= 500:
        wrong["reason"] = ["Say why in 10 to 500 characters: the customer reads it."]
    if not 1 <= minutes <= LONGEST:
        wrong["minutes"] = [f"Write 1 to {LONGEST} minutes."]
    if wrong:
        raise Wrong(wrong)
    if not _may(staff):
        raise Denied("Only staff with the right to act for customers can do this.", "not_allowed")
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=staff.pk)  # of two at once the later one stands alone
        held = Customer.objects.get(pk=customer.pk)
        if held.status == Customer.Status.CLOSED:
            raise Denied("This customer is closed: there is nothing to act on.", "customer_closed")
        for standing in _live().filter(staff=staff):
            end(standing, actor)
        until = timezone.now() + timedelta(minutes=minutes)
        row = ActingFor.objects.create(customer=held, staff=staff, reason=reason, ends_at=until)
        _note(actor, "customer.acting_begun", row, {"until": until.isoformat(timespec="seconds")})
    return row


def end(row: ActingFor, actor: audit.Actor) -> None:
    """Over, before its time. Twice is harmless."""
    with transaction.atomic():
        if _live().filter(pk=row.pk).update(ended_at=Now()):
            _note(actor, "customer.acting_ended", row)


def current(user: Any, session: Mapping[str, Any]) -> ActingFor | None:
    """What this session works under now; None when it is nobody's but its own, or the time is over."""
    key = session.get(ACTING)
    if not key or not isinstance(user, User) and not getattr(user, "is_authenticated", False):
        return None
    row = _live().filter(pk=key, staff=user.pk).select_related("customer", "staff").first()
    return row if row is not None and _may(row.staff) else None


def named(row: ActingFor) -> OnBehalf:
    """For `User.acts_for`, by which `audit.Actor.of` writes both names."""
    return OnBehalf(str(row.customer)[:254], row.reason)


def _live() -> QuerySet[ActingFor]:
    rows = ActingFor.objects.filter(ended_at__isnull=True, ends_at__gt=Now())
    return rows.exclude(customer__status=Customer.Status.CLOSED)


def _may(staff: User) -> bool:
    return staff.is_active and staff.is_staff and staff.has_perm(RIGHT)


def _note(actor: audit.Actor, verb: str, row: ActingFor, detail: dict[str, Any] | None = None) -> None:
    customer = row.customer
    both = audit.Actor(actor.kind, actor.id, actor.name, *named(row))
    audit.note(both, verb, target=customer, customer_id=customer.pk, provider_id=customer.provider_id, detail=detail)
