"""Tokens of the customer API: `mct_<prefix>_<secret>`. Only a SHA-256 of the whole is kept: shown once."""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import User
from providers.keys import NOTED_EVERY, KeyRefused
from providers.models import ApiToken, Customer, Membership

SCOPES: Final = {
    "servers:read": "Read servers",
    "accounts:read": "Read cloud accounts",
    "actions:read": "Read actions",
    "actions:write": "Create, start, stop, change and delete servers",
    "installs:read": "Read installs",
    "installs:write": "Install the agent",
}
LONGEST: Final = timedelta(days=366)
MOST: Final = 50  # live tokens of a person at a customer
_LETTERS = string.ascii_lowercase + string.digits


def issue(
    customer: Customer, *, by: User, name: str, scopes: Collection[str], expires_at: datetime
) -> tuple[ApiToken, str]:
    """A new token and its text, which is kept nowhere.

    Wrong (fields `name`, `scopes`, `expires_at`); Denied when `by` does not belong to the customer, when it is not
    active, or when there are too many already.
    """
    wrong: dict[str, list[str]] = {}
    if not name.strip() or len(name) > 80:
        wrong["name"] = ["Write 1 to 80 characters that say what will use it."]
    if unknown := sorted(set(scopes) - set(SCOPES)):
        wrong["scopes"] = [f"Unknown scope {', '.join(unknown)}. Known: {', '.join(SCOPES)}."]
    elif not scopes:
        wrong["scopes"] = ["Choose at least one thing that it may do."]
    now = timezone.now()
    if not now < expires_at <= now + LONGEST:
        wrong["expires_at"] = [f"A token lives for {LONGEST.days} days at most."]
    if wrong:
        raise Wrong(wrong)
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(12))
    text = f"mct_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        held = Customer.objects.filter(pk=customer.pk, status=Customer.Status.ACTIVE)
        if not held.select_for_update(of=("self",), no_key=True).exists():
            raise Denied("This workspace is suspended: no token can be issued.", "suspended")
        if not Membership.objects.filter(customer=customer, user=by, accepted_at__isnull=False).exists():
            raise Denied("You do not belong to this workspace.", "no_member")
        if live(customer, by).count() >= MOST:
            raise Denied(f"You have {MOST} tokens here already. Revoke some first.", "too_many")
        token = ApiToken.objects.create(
            customer=customer, user=by, name=name.strip(), prefix=prefix, digest=_digest(text),
            scopes=sorted(set(scopes)), expires_at=expires_at,
        )  # fmt: skip
        told = {"name": token.name, "scopes": token.scopes, "expires_at": expires_at.isoformat()}
        audit.note(audit.Actor.of(by), "token.issued", target=token, customer_id=customer.pk, detail=told)
    return token, text


def live(customer: Customer, user: User) -> Any:
    """The tokens of this person that still open something there."""
    return ApiToken.objects.filter(customer=customer, user=user, revoked_at__isnull=True, expires_at__gt=Now())


def find(text: str) -> ApiToken:
    """The live token of that text, with customer and user. KeyRefused, in words, for any other.

    A token opens nothing once its person has left the customer or may not sign in, or the customer is closed.
    """
    kind, prefix, _ = (text.split("_", 2) + [""] * 3)[:3]
    token: ApiToken | None = None
    if kind == "mct" and prefix.isascii() and prefix.isalnum():
        token = ApiToken.objects.select_related("customer", "user").filter(prefix=prefix).first()
    # Compared even when there is no such prefix, so that the time taken does not tell which prefixes exist.
    if not secrets.compare_digest(_digest(text), token.digest if token else "0" * 64) or token is None:
        raise KeyRefused("token_unknown", "This token is not known. Check that it was copied whole.")
    now = timezone.now()
    if token.revoked_at:
        raise KeyRefused("token_revoked", "This token was revoked. Issue a new one on your page.")
    if token.expires_at <= now:
        raise KeyRefused("token_expired", f"This token expired on {token.expires_at:%Y-%m-%d}. Issue a new one.")
    if not token.user.is_active or not Customer.objects.open_to(token.user).filter(pk=token.customer_id).exists():
        raise KeyRefused("token_unknown", "The person who issued this token has no access to the workspace any more.")
    _note_use(token, now)
    return token


def revoke(token: ApiToken, by: audit.Actor) -> None:
    """From now on the token opens nothing. Twice is harmless. `by`: its person, or staff."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            audit.note(by, "token.revoked", target=token, customer_id=token.customer_id,
                       detail={"name": token.name})  # fmt: skip


def allows(token: ApiToken, scope: str) -> bool:
    """A scope to write lets one read what one wrote."""
    return scope in token.scopes or (scope.endswith(":read") and f"{scope[:-5]}:write" in token.scopes)


def _note_use(token: ApiToken, now: datetime) -> None:
    if token.last_used_at and now - token.last_used_at < NOTED_EVERY:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - NOTED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
