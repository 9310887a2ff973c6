"""Customers as their provider keeps them: put, suspend, resume, close, and the mail that lets a person in.

Every deed locks the customer's row first, so that the same call twenty times at once is one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Lower, Now

from console.lib import audit
from console.lib.denials import Denied
from console.lib.jobs import leases
from console.lib.jobs.rows import ACTIVE
from console.models import User
from providers import events, mail, quotas, sandbox
from providers.models import Customer, Mail, Membership, Provider, SignInLink
from providers.signals import customer_closing, customer_resumed, customer_suspended

FIELDS = ("email", "first_name", "last_name", "organization", "locale")


@dataclass(frozen=True)
class Outcome:
    """`created`: this call made the customer, or reopened a closed one."""

    customer: Customer
    created: bool


def put(provider: Provider, external_id: str, fields: Mapping[str, Any], actor: audit.Actor) -> Outcome:
    """Make the customer, reopen it, or bring its contact data up to date; the same again changes nothing.

    `fields`: email, first_name, last_name, organization, locale?, send_mail? (default yes). A made or reopened one gets
    one mail row. An address that somebody signs in with already makes an invitation, and the outcome looks the same:
    the provider learns nothing. Changing the contact address never changes anybody's sign-in. Denied when the provider
    may have no more customers.
    """
    wanted = {name: fields[name] for name in FIELDS if name in fields}
    with transaction.atomic():
        customer, made = Customer.objects.select_for_update().get_or_create(
            provider=provider, external_id=external_id, defaults=wanted
        )
        reopened = not made and customer.status == Customer.Status.CLOSED
        changed = [name for name, value in wanted.items() if getattr(customer, name) != value]
        for name in changed:
            setattr(customer, name, wanted[name])
        if reopened:
            customer.status, customer.closed_at = Customer.Status.ACTIVE, None
        if changed or reopened:
            customer.save(update_fields=[*changed, "status", "closed_at"])
        if made or reopened:
            quotas.require_customer(provider)
            verb = "customer.created" if made else "customer.reopened"
            _note(actor, verb, customer)
            events.fire_for(customer, verb)
            membership = _admit(customer)
            if fields.get("send_mail", True):
                mail.queue(customer, membership)
        elif changed:
            _note(actor, "customer.updated", customer, {"fields": changed})
            events.fire_for(customer, "customer.updated", fields=changed)
    if made or reopened:
        customer.refresh_from_db()
        customer.provider = provider
    return Outcome(customer, made or reopened)


def suspend(customer: Customer, actor: audit.Actor) -> Customer:
    """Sign-in is read-only, nothing syncs or works until `resume`. Twice is harmless; a closed one is Denied."""
    with transaction.atomic():
        held = _open(customer)
        if held.status != Customer.Status.SUSPENDED:
            _turn(held, Customer.Status.SUSPENDED)
            customer_suspended.send(sender=Customer, customer=held)
            _note(actor, "customer.suspended", held)
            events.fire_for(held, "customer.suspended")
    return held


def resume(customer: Customer, actor: audit.Actor) -> Customer:
    """Undo `suspend`. Twice is harmless; a closed one is Denied."""
    with transaction.atomic():
        held = _open(customer)
        if held.status != Customer.Status.ACTIVE:
            _turn(held, Customer.Status.ACTIVE)
            customer_resumed.send(sender=Customer, customer=held)
            _note(actor, "customer.resumed", held)
            events.fire_for(held, "customer.resumed")
    return held


def close(customer: Customer, actor: audit.Actor) -> Customer:
    """The end: nobody gets in, credentials are wiped at once (by receivers), what is kept waits for the grace period.

    `put` with the same id reopens it. Twice is harmless.
    """
    with transaction.atomic():
        held: Customer = Customer.objects.select_for_update().get(pk=customer.pk)
        if held.status != Customer.Status.CLOSED:
            Customer.objects.filter(pk=held.pk).update(status=Customer.Status.CLOSED, closed_at=Now())
            customer_closing.send(sender=Customer, customer=held)
            leases.cancel(Mail.objects.filter(customer=held), "The customer was closed before it was sent.")
            SignInLink.objects.filter(customer=held, used_at__isnull=True).update(expires_at=Now())
            _note(actor, "customer.closed", held)
            events.fire_for(held, "customer.closed")
        held.refresh_from_db()
    return held


def resend_mail(customer: Customer, actor: audit.Actor) -> Mail:
    """Send the welcome (or invitation) again, with a fresh link. One that still waits to be sent is not doubled.

    While nobody has come in, it goes to the present contact address, and whoever was invited at another is invited no
    more (the address was mistyped); afterwards to the owner who came in. A closed customer is Denied.
    """
    with transaction.atomic():
        held = _open(customer)
        waiting: Mail | None = Mail.objects.filter(customer=held, state__in=ACTIVE, to__iexact=held.email).first()
        if waiting is not None:
            return waiting
        inside = held.memberships.filter(accepted_at__isnull=False, role=Membership.Role.OWNER).order_by("accepted_at")
        membership = inside.select_related("user").first() or _admit(held, instead=True)
        _note(actor, "customer.mail_resent", held)
        return mail.queue(held, membership)


def _open(customer: Customer) -> Customer:
    held: Customer = Customer.objects.select_for_update().get(pk=customer.pk)
    if held.status == Customer.Status.CLOSED:
        raise Denied("This customer is closed. PUT it again to reopen it.", "customer_closed")
    return held


def _turn(customer: Customer, status: Customer.Status) -> None:
    customer.status = status
    customer.save(update_fields=["status"])


def _admit(customer: Customer, *, instead: bool = False) -> Membership:
    """The membership of the person behind the contact address; an invitation unless that person came in before.

    `instead`: other invitations that nobody accepted end, with their links.
    """
    if instead:
        address = sandbox.sign_in_address(customer.provider, customer.email)
        stale = customer.memberships.filter(accepted_at__isnull=True).exclude(user__email__iexact=address)
        people = list(stale.values_list("user_id", flat=True))
        SignInLink.objects.filter(customer=customer, user__in=people, used_at__isnull=True).update(expires_at=Now())
        leases.cancel(Mail.objects.filter(customer=customer, user__in=people), "The contact address was changed.")
        stale.delete()
    user, made = _person(customer)
    if made:  # nobody else knows this person yet
        return Membership.objects.create(customer=customer, user=user, founding=True)
    membership, _ = Membership.objects.get_or_create(customer=customer, user=user)
    return membership


def _person(customer: Customer) -> tuple[User, bool]:
    email = sandbox.sign_in_address(customer.provider, customer.email)
    known = User.objects.alias(address=Lower("email")).filter(address=email.lower())
    if user := known.first():
        return user, False
    try:
        with transaction.atomic():
            return User.objects.create_user(email, first_name=customer.first_name, last_name=customer.last_name), True
    except IntegrityError:  # another provider made the same person a moment ago
        return known.get(), False


def _note(actor: audit.Actor, verb: str, customer: Customer, detail: dict[str, Any] | None = None) -> None:
    audit.note(actor, verb, target=customer, customer_id=customer.pk, provider_id=customer.provider_id, detail=detail)
