"""Single-use links that let a person in, or let one set a first password. Only a SHA-256 of the token is kept."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.core import signing
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.models import User
from providers.models import Customer, Membership, ProviderMember, SignInLink

Purpose = SignInLink.Purpose
# A hand-off's is short, and its caller's to say (handoff.py).
LIFETIMES = {Purpose.SET_PASSWORD: timedelta(days=3), Purpose.SIGN_IN: timedelta(hours=1)}
_JOIN = "provider.member"  # salt of the links by which members say yes
_JOINABLE = timedelta(days=7)
_ACCEPT = "customer.invitation"  # and of those that a customer's mail brings
_ACCEPTABLE = timedelta(days=30)
_PATHS = {Purpose.SET_PASSWORD: "welcome", Purpose.SIGN_IN: "in", Purpose.HANDOFF: "handoff"}


def issue(
    user: User,
    purpose: SignInLink.Purpose,
    customer: Customer | None = None,
    lifetime: timedelta | None = None,
    return_to: str = "",
    *,
    told: bool = False,
) -> str:
    """A new token; `address` makes it a link. With a customer, the sign-in will see that customer only.

    `told`: it goes to a provider's program, so that who comes by it need not be the person.
    """
    token = secrets.token_urlsafe(32)
    SignInLink.objects.create(
        digest=_digest(token),
        purpose=purpose,
        user=user,
        customer=customer,
        expires_at=timezone.now() + (lifetime or LIFETIMES[purpose]),
        return_to=return_to,
        told=told,
    )
    return token


def address(purpose: SignInLink.Purpose, token: str) -> str:
    return f"{settings.PUBLIC_URL}/{_PATHS[purpose]}/{token}/"


def first_password(user: User, customer: Customer) -> tuple[str, datetime] | None:
    """A fresh link to a first password, and until when; None for who has a sign-in of their own.

    Only for somebody whom this very customer made: whoever reads a provider's mail, or its replies, must not get at a
    person's other hosts (SECURITY.md §6, take-over).
    """
    if not may_set_first(user, customer):
        return None
    lifetime = LIFETIMES[Purpose.SET_PASSWORD]
    token = issue(user, Purpose.SET_PASSWORD, customer, lifetime)
    return address(Purpose.SET_PASSWORD, token), timezone.now() + lifetime


def may_set_first(user: User, customer: Customer) -> bool:
    """Whether this customer's link may set the person's first password: what `first_password` says."""
    founded = Membership.objects.filter(customer=customer, user=user, founding=True).exists()
    return founded and user.is_active and not user.has_own_password and not user.is_staff


def told_password(user: User, customer: Customer) -> str:
    """A link to a first password for a provider's program, which passes it on. It looks and answers the same whether
    the person was known before: then it sets nothing (`welcoming.first_password`)."""
    token = issue(user, Purpose.SET_PASSWORD, customer, told=True)
    return address(Purpose.SET_PASSWORD, token)


def first_member_password(member: ProviderMember) -> tuple[str, datetime] | None:
    """As `first_password`, for a person whose row the invitation to work at a provider made."""
    user = member.user
    if not member.founding or member.accepted_at or user.has_usable_password() or user.is_staff:
        return None
    lifetime = LIFETIMES[Purpose.SET_PASSWORD]
    return address(Purpose.SET_PASSWORD, issue(user, Purpose.SET_PASSWORD, None, lifetime)), timezone.now() + lifetime


def join(member: ProviderMember) -> tuple[str, datetime]:
    """Where the person says yes, and until when. It opens nothing without a sign-in of the person's own."""
    token = signing.dumps(str(member.pk), salt=_JOIN)
    return f"{settings.PUBLIC_URL}/provider/~join/{token}/", timezone.now() + _JOINABLE


def joined(token: str) -> str:
    """The id of the membership that this token is for; empty when it is over or none of ours."""
    return _loaded(token, _JOIN, _JOINABLE)


def accept(membership: Membership) -> tuple[str, datetime]:
    """Where a person says yes to a customer's invitation, and until when. Only the mail has it: that it is there shows
    that the mailbox is the person's, whoever made their sign-in. It opens nothing without that sign-in."""
    token = signing.dumps(str(membership.pk), salt=_ACCEPT)
    return f"{settings.PUBLIC_URL}/invitations/join/{token}/", timezone.now() + _ACCEPTABLE


def accepted(token: str) -> str:
    """The id of the membership that this token is for; empty when it is over or none of ours."""
    return _loaded(token, _ACCEPT, _ACCEPTABLE)


def _loaded(token: str, salt: str, lifetime: timedelta) -> str:
    try:
        return str(signing.loads(token, salt=salt, max_age=lifetime))
    except signing.BadSignature:
        return ""


def peek(token: str, purpose: SignInLink.Purpose) -> SignInLink | None:
    """The link if it would open now. Looking does not use it up: mail scanners fetch every link of a mail."""
    return _live().filter(digest=_digest(token), purpose=purpose).select_related("user", "customer__provider").first()


def redeem(token: str, purpose: SignInLink.Purpose) -> SignInLink | None:
    """Use the link up. Of many that try at once, one gets it; None for the others, and for what is over or unknown."""
    link = peek(token, purpose)
    # Conditions on this table alone: PostgreSQL checks them again after it waited for a rival, joined ones it does not.
    unused = SignInLink.objects.filter(pk=link.pk, used_at__isnull=True, expires_at__gt=Now()) if link else None
    return link if unused is not None and unused.update(used_at=Now()) else None


def find(token: str, purpose: SignInLink.Purpose) -> SignInLink | None:
    """The link, over or not: to say what became of it."""
    rows = SignInLink.objects.filter(digest=_digest(token), purpose=purpose)
    return rows.select_related("user", "customer__provider").first()


def _live() -> QuerySet[SignInLink]:
    return (
        SignInLink.objects.filter(used_at__isnull=True, expires_at__gt=Now())
        .filter(Q(user__is_active=True) | Q(told=True))
        .exclude(customer__status=Customer.Status.CLOSED)
    )


def _digest(token: str) -> str:
    return sha256(token.encode(errors="surrogatepass")).hexdigest()
