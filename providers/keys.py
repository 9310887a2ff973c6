"""Keys of the provider API: `mst_<live|test>_<prefix>_<secret>`. Only a SHA-256 of the whole is kept: shown once.

A key is rotated in place: its successor can do the same, both are live until the older one's time is over.
"""

from __future__ import annotations

import ipaddress
import secrets
import string
from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from providers.models import Provider, ProviderKey

SCOPES = {
    "customers:read": "Read customers",
    "customers:write": "Create, change and close customers",
    "handoff:write": "Sign customers on from your portal",
    "accounts:read": "Read cloud accounts and endpoints",
    "accounts:write": "Push cloud credentials, remove accounts",
    "servers:read": "Read servers",
    "mail:read": "Read how mails are worded",
    "mail:write": "Word mails, publish and test them",
    "webhooks:read": "Read webhooks, events and deliveries",
    "webhooks:write": "Add, change and test webhooks, send events again",
}
NOTED_EVERY = timedelta(minutes=1)  # how exact `last_used_at` is: a write for each call would cost more than it tells
OVERLAP = timedelta(days=7)  # in which a key and its successor are both live
LONGEST_OVERLAP = timedelta(days=30)
_LETTERS = string.ascii_lowercase + string.digits


class KeyRefused(Exception):
    """This text opens nothing. `words` says why, `code` is for programs; `key`: it is that one's, whole and right."""

    def __init__(self, code: str, words: str, key: ProviderKey | None = None) -> None:
        super().__init__(words)
        self.code, self.words, self.key = code, words, key


def issue(
    provider: Provider,
    *,
    actor: audit.Actor,
    name: str = "",
    sandbox: bool = False,
    scopes: Collection[str] = (),
    allowed_networks: Collection[str] = (),
    expires_at: datetime | None = None,
    replaces: ProviderKey | None = None,
) -> tuple[ProviderKey, str]:
    """A new key and its text, which is kept nowhere. No scopes: all; no networks (CIDRs or addresses): from anywhere.

    Raises Wrong (`scopes`, `allowed_networks`, `provider`: a sandbox has no keys of its own) for what cannot be.
    """
    if provider.sandbox_of is not None:
        words = f"A sandbox has no keys of its own. Issue a sandbox key of {provider.sandbox_of}."
        raise Wrong({"provider": [words]})
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise Wrong({"scopes": [f"Unknown scope {', '.join(unknown)}. Known: {', '.join(SCOPES)}."]})
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(12))
    text = f"mst_{'test' if sandbox else 'live'}_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ProviderKey.objects.create(
            provider=provider,
            name=name,
            prefix=prefix,
            digest=_digest(text),
            sandbox=sandbox,
            scopes=sorted(set(scopes)),
            allowed_networks=networks(allowed_networks),
            expires_at=expires_at,
            replaces=replaces,
        )
        audit.note(actor, "provider_key.issued", target=key, provider_id=provider.pk, detail={"scopes": key.scopes})
    return key, text


def networks(texts: Collection[str]) -> list[str]:
    """Addresses and CIDRs as they are kept. Raises Wrong (`allowed_networks`) for what is neither."""
    found: list[str] = []
    for text in filter(None, (text.strip() for text in texts)):
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError as fault:
            raise Wrong(
                {"allowed_networks": [f"{text} is no address or network. Write 192.0.2.7 or 192.0.2.0/24."]}
            ) from fault
    return sorted(set(found))


def rotate(key: ProviderKey, actor: audit.Actor, overlap: timedelta = OVERLAP) -> tuple[ProviderKey, str]:
    """A successor that can do the same. The older one stays live for `overlap`, so that programs can change over.

    Denied while an older one of the two is live still, and for a key that is not live.
    """
    overlap = max(timedelta(0), min(overlap, LONGEST_OVERLAP))
    with transaction.atomic():
        held = ProviderKey.objects.select_for_update(of=("self",)).select_related("provider").get(pk=key.pk)
        now = timezone.now()
        if not _live(held, now):
            raise Denied("This key is not live. Issue a new one.", "key_not_live")
        after = ProviderKey.objects.filter(replaces=held).first()
        if after is not None and _live(after, now):
            raise Denied("This key was rotated already. Rotate its successor, or revoke one of the two.", "key_rotated")
        if held.replaces_id and _live(ProviderKey.objects.get(pk=held.replaces_id), now):
            raise Denied("Two keys of this rotation are live. Revoke the older one first.", "key_rotating")
        expires_at = held.expires_at
        if after is not None:  # revoked: another takes its place, for as long as it would have lived
            expires_at = after.expires_at if after.expires_at is None or after.expires_at > now else held.expires_at
            ProviderKey.objects.filter(pk=after.pk).update(replaces=None)
        made = issue(
            held.provider,
            actor=actor,
            name=held.name,
            sandbox=held.sandbox,
            scopes=held.scopes,
            allowed_networks=held.allowed_networks,
            expires_at=expires_at,
            replaces=held,
        )
        until = now + overlap
        if held.expires_at is None or held.expires_at > until:
            ProviderKey.objects.filter(pk=held.pk).update(expires_at=until)
    return made


def find(text: str, address: str = "") -> ProviderKey:
    """The live key of that text, with its provider, whose status is the caller's to judge. Raises KeyRefused.

    `address`: where the call comes from; a key with `allowed_networks` opens nothing from elsewhere.
    """
    kind, mode, prefix, _ = (text.split("_", 3) + [""] * 4)[:4]
    key: ProviderKey | None = None
    if kind == "mst" and mode in ("live", "test") and prefix.isascii() and prefix.isalnum():
        key = ProviderKey.objects.select_related("provider").filter(prefix=prefix).first()
    # Compared even when there is no such prefix, so that the time taken does not tell which prefixes exist.
    if not secrets.compare_digest(_digest(text), key.digest if key else "0" * 64) or key is None:
        raise KeyRefused("key_unknown", "This key is not known. Check that it was copied whole.")
    now = timezone.now()
    if key.revoked_at:
        raise KeyRefused("key_revoked", "This key was revoked. Use a newer one, or ask staff for one.", key)
    if key.expires_at and key.expires_at <= now:
        raise KeyRefused("key_expired", f"This key expired on {key.expires_at:%Y-%m-%d}. Ask staff for a new one.", key)
    if key.allowed_networks and not _within(address, key.allowed_networks):
        raise KeyRefused(
            "address_not_allowed", f"This key may not be used from {address or 'an unknown address'}.", key
        )
    _note_use(key, now)
    return key


def revoke(key: ProviderKey, actor: audit.Actor) -> None:
    """From now on the key opens nothing. Twice is harmless."""
    with transaction.atomic():
        if ProviderKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            audit.note(actor, "provider_key.revoked", target=key, provider_id=key.provider_id)


def allows(key: ProviderKey, scope: str) -> bool:
    return not key.scopes or scope in key.scopes


def _live(key: ProviderKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _within(address: str, allowed: Collection[str]) -> bool:
    try:
        told = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(told, ipaddress.IPv6Address) and told.ipv4_mapped:
        told = told.ipv4_mapped
    return any(told in ipaddress.ip_network(network) for network in allowed)


def _note_use(key: ProviderKey, now: datetime) -> None:
    if key.last_used_at and now - key.last_used_at < NOTED_EVERY:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - NOTED_EVERY)
    ProviderKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
