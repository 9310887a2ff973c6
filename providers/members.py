"""Who works at a provider and may use its own pages: invite, say yes, change the role, remove.

A membership opens nothing until its person says yes by the link that was mailed: whoever made a sign-in under
somebody's address before must not get in by it. A provider never loses its last administrator.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower, Now
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.lib.jobs import leases
from console.lib.jobs.rows import ACTIVE
from console.models import User
from providers import links, mail
from providers.models import Mail, Provider, ProviderMember, SignInLink

Role = ProviderMember.Role
MOST: Final = 200  # of one provider
AGAIN_AFTER: Final = timedelta(minutes=1)
KEPT: Final = 300  # seconds for which the switcher's names are believed; deeds drop them at once


def of(user: User) -> QuerySet[ProviderMember]:
    """Where this person works, with the providers, by their names. What is not accepted yet is left out."""
    rows = ProviderMember.objects.filter(user=user, accepted_at__isnull=False, user__is_active=True)
    return rows.select_related("provider").order_by("provider__name", "pk")


def places(user: User) -> list[tuple[str, str]]:
    """(slug, name) of the providers of `of`, from the cache: for links only, which open nothing by themselves."""
    found: list[tuple[str, str]] | None = cache.get(_key(user))
    if found is None:
        found = [(one.provider.slug, one.provider.name) for one in of(user)]
        cache.set(_key(user), found, KEPT)
    return found


def add(provider: Provider, email: str, role: str, actor: audit.Actor) -> ProviderMember:
    """Invite the person of that address by mail. Who has no sign-in yet gets one with the first password.

    Whether there was one, the caller does not learn. Wrong (`email`, `role`); Denied for who belongs there already.
    """
    email = _checked(email, role)
    if provider.sandbox_of is not None:
        owner = provider.sandbox_of
        raise Denied(f"Who works at {owner} is in its sandbox too. Invite the person to {owner}.", "member_of_owner")
    with transaction.atomic():
        held = _held(provider)
        user, made = _person(email)
        if held.members.filter(user=user).exists():
            raise Denied(f"{email} belongs to {held} already.", "member_already")
        if held.members.count() >= MOST:
            raise Denied(f"A provider has {MOST} members at most. Remove somebody first.", "too_many_members")
        member = ProviderMember.objects.create(provider=held, user=user, role=role, founding=made)
        _note(actor, "provider_member.invited", member, role=role)
        mail.invite(member)
    member.refresh_from_db()
    return member


def invite_again(member: ProviderMember, actor: audit.Actor) -> None:
    """The mail once more, with a fresh link; one that waits is not doubled. Denied for who said yes already."""
    with transaction.atomic():
        _held(member.provider)
        held = ProviderMember.objects.select_related("user", "provider").get(pk=member.pk)
        if held.accepted_at:
            raise Denied(f"{held.user} has said yes already.", "member_accepted")
        if not _mails(held).filter(state__in=ACTIVE).exists():
            _note(actor, "provider_member.invited_again", held)
            mail.invite(held)


def send_again(user: User) -> None:
    """The mail whose link is too old once more, at the person's own wish. Once a minute; else silence."""
    since = timezone.now() - AGAIN_AFTER
    waiting = ProviderMember.objects.filter(user=user, user__is_active=True, founding=True, accepted_at=None)
    for member in waiting.select_related("provider", "user"):
        with transaction.atomic():
            _held(member.provider)
            if not _mails(member).filter(queued_at__gt=since).exists():
                mail.invite(member)


def accept(user: User, token: str) -> ProviderMember | None:
    """The person says yes. None when the link is over, or somebody else's. Twice is harmless."""
    found = invited(user, token)
    if found is not None:
        _accept(found)
    return found


def invited(user: User, token: str) -> ProviderMember | None:
    """What the link invites this person to; None as in `accept`."""
    pk = links.joined(token)
    rows = ProviderMember.objects.filter(pk=pk, user=user) if pk else ProviderMember.objects.none()
    return rows.select_related("provider", "user").first()


def come_in(user: User) -> None:
    """The person set the first password by the mail of an invitation: that is a yes."""
    for member in ProviderMember.objects.filter(user=user, founding=True).select_related("provider"):
        _accept(member)


def change_role(member: ProviderMember, role: str, actor: audit.Actor) -> ProviderMember:
    """Wrong (`role`); Denied for the last administrator. The same again changes nothing."""
    if role not in Role.values:
        raise Wrong({"role": [f"Write one of {', '.join(Role.values)}."]})
    with transaction.atomic():
        _held(member.provider)
        held = ProviderMember.objects.select_related("user", "provider").get(pk=member.pk)
        if held.role != role:
            _keep_one(held)
            held.role = role
            held.save(update_fields=["role"])
            _note(actor, "provider_member.role_changed", held, role=role)
    return held


def remove(member: ProviderMember, actor: audit.Actor) -> None:
    """The pages are closed to the person, and an unused invitation with its links. Denied for the last administrator.
    Twice is harmless."""
    with transaction.atomic():
        _held(member.provider)
        held = ProviderMember.objects.select_related("user", "provider").filter(pk=member.pk).first()
        if held is None:
            return
        _keep_one(held)
        _note(actor, "provider_member.removed", held)
        leases.cancel(_mails(held), "The invitation was taken back.")
        if held.founding and not held.accepted_at:
            mailed = SignInLink.objects.filter(user=held.user, customer=None, used_at=None)
            mailed.filter(purpose=links.Purpose.SET_PASSWORD).update(expires_at=Now())
        held.delete()
    cache.delete(_key(held.user))


def _accept(member: ProviderMember) -> None:
    with transaction.atomic():
        if ProviderMember.objects.filter(pk=member.pk, accepted_at=None).update(accepted_at=Now()):
            _note(audit.Actor.of(member.user), "provider_member.accepted", member)
    cache.delete(_key(member.user))


def _keep_one(member: ProviderMember) -> None:
    """Somebody who came in must be left to issue keys and to invite others."""
    if member.role != Role.ADMIN or not member.accepted_at:
        return
    others = member.provider.members.filter(role=Role.ADMIN, accepted_at__isnull=False, user__is_active=True)
    if not others.exclude(pk=member.pk).exists():
        raise Denied(
            f"{member.user} is the last administrator of {member.provider}. Make somebody else one first.", "last_admin"
        )


def _held(provider: Provider) -> Provider:
    held: Provider = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
    return held


def _person(email: str) -> tuple[User, bool]:
    known = User.objects.alias(address=Lower("email")).filter(address=email)
    if user := known.first():
        return user, False
    try:
        with transaction.atomic():
            return User.objects.create_user(email), True
    except IntegrityError:  # somebody else made the same person a moment ago
        return known.get(), False


def _checked(email: str, role: str) -> str:
    wrong: dict[str, list[str]] = {}
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        wrong["email"] = ["Write an e-mail address, such as ada@cloud.example."]
    if len(email) > 254:
        wrong["email"] = ["Use 254 characters at most."]
    if role not in Role.values:
        wrong["role"] = [f"Write one of {', '.join(Role.values)}."]
    if wrong:
        raise Wrong(wrong)
    return email


def _mails(member: ProviderMember) -> QuerySet[Mail]:
    return Mail.objects.filter(kind=Mail.Kind.MEMBER, user=member.user, provider=member.provider)


def _note(actor: audit.Actor, verb: str, member: ProviderMember, **detail: str) -> None:
    audit.note(actor, verb, target=member, provider_id=member.provider_id, detail=dict(detail))


def _key(user: User) -> str:
    return f"provider-places:{user.pk}"
