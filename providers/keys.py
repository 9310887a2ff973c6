"""Keys of the provider API: `mst_<live|test>_<prefix>_<secret>`. Only a SHA-256 of the whole is kept: shown once."""

from __future__ import annotations

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
from console.lib.denials import Wrong
from providers.models import Provider, ProviderKey

SCOPES = {
    "customers:read": "Read customers",
    "customers:write": "Create, change and close customers",
    "accounts:read": "Read cloud accounts and endpoints",
    "accounts:write": "Push cloud credentials, remove accounts",
    "servers:read": "Read servers",
}
NOTED_EVERY = timedelta(minutes=1)  # how exact `last_used_at` is: a write for each call would cost more than it tells
_LETTERS = string.ascii_lowercase + string.digits


class KeyRefused(Exception):
    """This text opens nothing. `words` says why, `code` is for programs."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


def issue(
    provider: Provider,
    *,
    actor: audit.Actor,
    name: str = "",
    sandbox: bool = False,
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
) -> tuple[ProviderKey, str]:
    """A new key and its text, which is kept nowhere. No scopes: all. Raises Wrong for an unknown one."""
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
            expires_at=expires_at,
        )
        audit.note(actor, "provider_key.issued", target=key, provider_id=provider.pk, detail={"scopes": key.scopes})
    return key, text


def find(text: str) -> ProviderKey:
    """The live key of that text, with its provider, whose status is the caller's to judge. Raises KeyRefused."""
    kind, mode, prefix, _ = (text.split("_", 3) + [""] * 4)[:4]
    key: ProviderKey | None = None
    if kind == "mst" and mode in ("live", "test") and prefix.isascii() and prefix.isalnum():
        key = ProviderKey.objects.select_related("provider").filter(prefix=prefix).first()
    # Compared even when there is no such prefix, so that the time taken does not tell which prefixes exist.
    if not secrets.compare_digest(_digest(text), key.digest if key else "0" * 64) or key is None:
        raise KeyRefused("key_unknown", "This key is not known. Check that it was copied whole.")
    now = timezone.now()
    if key.revoked_at:
        raise KeyRefused("key_revoked", "This key was revoked. Use a newer one, or ask staff for one.")
    if key.expires_at and key.expires_at <= now:
        raise KeyRefused("key_expired", f"This key expired on {key.expires_at:%Y-%m-%d}. Ask staff for a new one.")
    _note_use(key, now)
    return key


def revoke(key: ProviderKey, actor: audit.Actor) -> None:
    """From now on the key opens nothing. Twice is harmless."""
    with transaction.atomic():
        if ProviderKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            audit.note(actor, "provider_key.revoked", target=key, provider_id=key.provider_id)


def allows(key: ProviderKey, scope: str) -> bool:
    return not key.scopes or scope in key.scopes


def _note_use(key: ProviderKey, now: datetime) -> None:
    if key.last_used_at and now - key.last_used_at < NOTED_EVERY:
        return
    stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - NOTED_EVERY)
    ProviderKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
