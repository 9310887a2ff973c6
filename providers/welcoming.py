"""A new person's first steps: the first password, and a new link when the mailed one is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import Q
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


@dataclass(frozen=True)
class Told:
    """A link that was told to a program did what it may, which is not shown: nobody is signed in by it."""

    customer: Customer


def for_first(token: str) -> SignInLink | None:
    """The link while it can be used, to show its form. One that was told shows it for everybody alike."""
    link = links.peek(token, links.Purpose.SET_PASSWORD)
    if link is None:
        return None
    over = link.user.has_usable_password() and _founded(link) if link.told else link.user.has_own_password
    return None if over else link


def whom(link: SignInLink) -> User:
    """As whom a page may name the person: by a link that was told, only by what the provider wrote itself."""
    if not link.told or link.customer is None:
        return link.user
    told = link.customer
    return User(email=told.email, first_name=told.first_name, last_name=told.last_name)


def first_password(token: str, password: str) -> Arrival | Told | None:
    """Use up the link, set the password, accept the membership that the link came with.

    By a link that was told to a provider's program: Told, whether it set anything or not; what it set opens that
    customer alone (`User.password_door`), since whoever has the reply may have written it.

    None when the link is over, or the person has a password of their own already. Raises Django's ValidationError for
    a weak password; the link stays good then. Somebody who belongs to other customers too sees only this one: whoever
    can read a provider's mail must not reach a person's other hosts (SECURITY.md §6).
    """
    with transaction.atomic():
        link = links.redeem(token, links.Purpose.SET_PASSWORD)
        if link is None:
            return None
        user = User.objects.select_for_update().get(pk=link.user_id)
        validate_password(password, whom(link))
        fresh = not (user.has_usable_password() if link.told else user.has_own_password)
        if link.told and link.customer and not (fresh and links.may_set_first(user, link.customer)):
            User().set_password(password)  # takes as long, so that the time does not tell either
            return Told(link.customer)
        if not fresh:
            return None
        user.set_password(password)
        user.password_door = link.customer_id if link.told else None
        user.save(update_fields=["password", "password_door"])
        over = SignInLink.objects.filter(user=user, purpose=links.Purpose.SET_PASSWORD, used_at__isnull=True)
        # The mailed link stays good beside what was set by a told one: who has it may set another, and own it. Another
        # provider's told link sets nothing anyway, and must not tell that something happened here.
        ours = Q(customer=link.customer_id, told=True)
        over.filter(ours if link.told else ours | Q(told=False)).update(expires_at=Now())
        audit.note(audit.Actor.of(user), "person.password_set", target=user, customer_id=link.customer_id)
        if link.customer_id is None:
            members.come_in(user)
        if link.customer_id:
            for waiting in invitations.pending(user).filter(customer=link.customer_id):
                invitations.come_in(waiting)
    if link.told and link.customer:
        return Told(link.customer)
    elsewhere = Membership.objects.filter(user=user, accepted_at__isnull=False).exclude(customer=link.customer_id)
    return Arrival(user, link.customer_id if elsewhere.exists() else None)


def proven(user: User) -> None:
    """The person set a password by their own mail, which nobody told to anybody: it is their own sign-in."""
    user.password_door = None
    User.objects.filter(pk=user.pk).update(password_door=None)


def by_link(token: str) -> Arrival | None:
    """Use up a sign-in link. None when it is over."""
    link = links.redeem(token, links.Purpose.SIGN_IN)
    return Arrival(link.user, link.customer_id) if link else None


def send_again(token: str) -> None:
    """A new mail in place of the one whose link is too old. Once a minute; silence for anything that does not fit."""
    old = links.find(token, links.Purpose.SET_PASSWORD)
    if old is not None and old.customer is None:
        members.send_again(old.user)
    if old is None or old.customer is None or old.user.has_own_password or not old.user.is_active:
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


def _founded(link: SignInLink) -> bool:
    return Membership.objects.filter(customer=link.customer_id, user=link.user_id, founding=True).exists()
