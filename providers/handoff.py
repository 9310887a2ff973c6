"""Hand-off: the provider's portal signs its customer on, by a link that works once and for a minute.

The sign-in that comes of it sees that customer only (SECURITY.md §6, take-over), and asks for the second factor that
the person has turned on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.urls import Resolver404, resolve
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from providers import invitations, links
from providers.models import Customer, Membership, SignInLink
from providers.welcoming import Arrival

LIFETIME: Final = timedelta(seconds=60)
LONGEST: Final = 500
# Pages that a portal may lead to, by the names of console/urls.py. None of them does anything by being looked at.
PAGES: Final = frozenset({
    "servers:list", "servers:server", "servers:activity", "accounts:list", "accounts:account",
    "installs:new", "installs:batch", "actions:batch",
})  # fmt: skip


@dataclass(frozen=True)
class Offer:
    """`url` holds the token and is told once; it is over at `expires_at`."""

    url: str
    expires_at: datetime


def offer(customer: Customer, actor: audit.Actor, return_to: str = "") -> Offer:
    """A link that signs this customer's owner on and leads to `return_to` (a path of ours; empty: the servers).

    Wrong (`return_to`) for what is not on the list of pages; Denied for a customer that is closed or has nobody.
    """
    page = _page(return_to)
    with transaction.atomic():
        held: Customer = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        if held.status == Customer.Status.CLOSED:
            raise Denied("This customer is closed. PUT it again to reopen it.", "customer_closed")
        owner = owner_of(held)
        if owner is None:
            raise Denied(
                "Nobody belongs to this customer. POST …/resend-mail invites the contact address.", "nobody_there"
            )
        token = links.issue(owner.user, SignInLink.Purpose.HANDOFF, held, LIFETIME, page)
        audit.note(actor, "customer.handed_off", target=held, customer_id=held.pk, provider_id=held.provider_id,
                   detail={"return_to": page})  # fmt: skip
    return Offer(links.address(SignInLink.Purpose.HANDOFF, token), timezone.now() + LIFETIME)


@dataclass(frozen=True)
class Landing:
    """Who arrives and where. Without an arrival the person was invited and must say yes by a sign-in of their own."""

    arrival: Arrival | None
    to: str


def come(token: str) -> Landing | None:
    """Use the link up. None when it is over.

    Somebody whom this customer's making made belongs to it from now on. Somebody who had a sign-in before was invited:
    no provider accepts in a person's place.
    """
    with transaction.atomic():
        link = links.redeem(token, SignInLink.Purpose.HANDOFF)
        if link is None or link.customer_id is None:
            return None
        membership = Membership.objects.select_for_update().get(customer=link.customer_id, user=link.user_id)
        return land(membership, link.return_to)


def land(membership: Membership, to: str = "") -> Landing:
    """Let this person in by the provider's door, as `come` says; the identity server's door does so too."""
    if membership.accepted_at is None:
        if not membership.founding:
            return Landing(None, f"{settings.PUBLIC_URL}/invitations/")
        invitations.come_in(membership)
    return Landing(Arrival(membership.user, membership.customer_id), to or settings.LOGIN_REDIRECT_URL)


def owner_of(customer: Customer) -> Membership | None:
    """Who came in first; else who was asked first."""
    owners = customer.memberships.filter(role=Membership.Role.OWNER, user__is_active=True).select_related("user")
    inside = owners.filter(accepted_at__isnull=False).order_by("accepted_at").first()
    return inside or owners.order_by("-founding", "created_at").first()


def _page(return_to: str) -> str:
    """The path with its query, when a portal may lead there."""
    if not return_to:
        return ""
    wrong = Wrong({"return_to": ["Write a path of the console's, such as /servers/?q=state:running."]})
    if len(return_to) > LONGEST or not return_to.isprintable() or "\\" in return_to or not return_to.startswith("/"):
        raise wrong
    try:
        parts = urlsplit(return_to)
        known = not parts.scheme and not parts.netloc and resolve(parts.path).view_name in PAGES
    except (Resolver404, ValueError) as fault:
        raise wrong from fault
    if not known:
        raise wrong
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
