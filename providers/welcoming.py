"""A new person's first steps: the first password, and a new link when the mailed one is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.jobs.rows import ACTIVE
from console.models import User
from providers import invitations, links, mail, members
from providers.models import Customer, Mail, Membership, SignInLink

AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Arrival:
    """Who came in. `door`: the one customer that this sign-in may see; None: all of the person's."""

    user: User
    door: UUID | None


def first_password(token: str, password: str) -> Arrival | None:
    """Use up the link, set the password, accept the membership that the link came with.

    None when the link is over, or the person has a password already. Raises Django's ValidationError for a weak
    password; the link stays good then. Somebody who belongs to other customers too sees only this one: whoever can
    read a provider's mail must not reach a person's other hosts (SECURITY.md §6).
    """
    with transaction.atomic():
        link = links.redeem(token, links.Purpose.SET_PASSWORD)
        if link is None:
            return None
        user = User.objects.select_for_update().get(pk=link.user_id)
        if user.has_usable_password():
            return None
        validate_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        SignInLink.objects.filter(user=user, purpose=links.Purpose.SET_PASSWORD, used_at__isnull=True).update(
            expires_at=Now()
        )
        audit.note(audit.Actor.of(user), "person.password_set", target=user, customer_id=link.customer_id)
        if link.customer_id is None:
            members.come_in(user)
        if link.customer_id:
            for waiting in invitations.pending(user).filter(customer=link.customer_id):
                invitations.accept(user, waiting.pk)
    elsewhere = Membership.objects.filter(user=user, accepted_at__isnull=False).exclude(customer=link.customer_id)
    return Arrival(user, link.customer_id if elsewhere.exists() else None)


def by_link(token: str) -> Arrival | None:
    """Use up a sign-in link. None when it is over."""
    link = links.redeem(token, links.Purpose.SIGN_IN)
    return Arrival(link.user, link.customer_id) if link else None


def send_again(token: str) -> None:
    """A new mail in place of the one whose link is too old. Once a minute; silence for anything that does not fit."""
    old = links.find(token, links.Purpose.SET_PASSWORD)
    if old is not None and old.customer is None:
        members.send_again(old.user)
    if old is None or old.customer is None or old.user.has_usable_password() or not old.user.is_active:
        return
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=old.customer_id)
        membership = customer.memberships.filter(user=old.user).select_related("user").first()
        if membership is None or customer.status == Customer.Status.CLOSED:
            return
        recent = Mail.objects.filter(customer=customer, user=old.user)
        since = timezone.now() - AGAIN_AFTER
        if not recent.filter(state__in=ACTIVE).exists() and not recent.filter(queued_at__gt=since).exists():
            mail.queue(customer, membership)
