"""How a provider looks in its customers' console and mails: drafts, one of which is live, previewed before that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from providers import colours, logos
from providers.colours import Shades
from providers.models import Brand, Provider

KEPT: Final = 300  # seconds for which a look is believed; publishing drops it at once


@dataclass(frozen=True)
class Look:
    """What pages and mails need. `shades` None: Muster's own accent. Paths are ours; `logo` may be empty."""

    name: str
    shades: Shades | None
    style: str
    logo: str
    support_url: str
    support_email: str


def live(provider: Provider | None) -> Look | None:
    """The published look; a provider that published none looks by its name alone. None for no provider."""
    return None if provider is None else live_of([provider.pk]).get(provider.pk)


def live_of(providers: list[UUID]) -> dict[UUID, Look]:
    """The looks of these providers, from the cache where it has them."""
    keys = {_key(pk): pk for pk in providers}
    found: dict[UUID, Look] = {keys[key]: look for key, look in cache.get_many(list(keys)).items()}
    for provider in Provider.objects.filter(pk__in=set(providers) - found.keys()) if len(found) < len(keys) else ():
        published = provider.brands.filter(published_at__isnull=False)
        brand = published.defer("logo").order_by("-published_at").first()
        found[provider.pk] = look_of(brand) if brand else plain(provider)
        cache.set(_key(provider.pk), found[provider.pk], KEPT)
    return found


def plain(provider: Provider) -> Look:
    """The look of a provider that has no brand."""
    return Look(provider.name, None, "", "", provider.support_url, "")


def look_of(brand: Brand) -> Look:
    """The look of this revision, live or not: what a preview shows."""
    shades = colours.shades(brand.accent) if brand.accent else None
    logo = Brand.objects.filter(pk=brand.pk).exclude(logo=b"").exists()
    return Look(
        name=brand.name,
        shades=shades,
        style=f"/brand/{brand.pk}/style.css" if shades else "",
        logo=f"/brand/{brand.pk}/logo.png" if logo else "",
        support_url=brand.support_url,
        support_email=brand.support_email,
    )


def save(provider: Provider, fields: Mapping[str, Any], actor: audit.Actor, *, logo: bytes | None = None) -> Brand:
    """A new revision, not live yet. `fields`: name, accent (#rrggbb or empty), support_url, support_email.

    `logo`: a picture; empty bytes: none any more; None: that of the revision before. Wrong, field by field.
    """
    values = _checked(fields)
    drawn = logos.normal(logo) if logo else logo
    with transaction.atomic():
        held = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
        before = held.brands.order_by("-revision").first()
        if drawn is None:
            drawn = bytes(before.logo) if before else b""
        newest = held.brands.aggregate(most=Max("revision"))["most"] or 0
        brand = Brand.objects.create(provider=held, revision=newest + 1, logo=drawn, by=actor.name[:254], **values)
        audit.note(actor, "brand.saved", target=brand, provider_id=held.pk)
    return brand


def publish(brand: Brand, actor: audit.Actor) -> None:
    """From now on customers see this revision; an older one may be published again. Twice is harmless."""
    with transaction.atomic():
        Provider.objects.select_for_update(no_key=True).get(pk=brand.provider_id)
        newest = Brand.objects.filter(provider=brand.provider_id, published_at__isnull=False)
        current = newest.order_by("-published_at").values_list("pk", flat=True).first()
        if current != brand.pk:
            Brand.objects.filter(pk=brand.pk).update(published_at=timezone.now())
            audit.note(actor, "brand.published", target=brand, provider_id=brand.provider_id)
    cache.delete(_key(brand.provider_id))


def withdraw(provider: Provider, actor: audit.Actor) -> None:
    """No brand any more: its name alone. Denied when none is live."""
    with transaction.atomic():
        if not provider.brands.filter(published_at__isnull=False).update(published_at=None):
            raise Denied("No brand is published.", "brand_missing")
        audit.note(actor, "brand.withdrawn", target=provider, provider_id=provider.pk)
    cache.delete(_key(provider.pk))


def style(brand: Brand) -> str:
    """The stylesheet of a revision: the accent by day and by night, and the text upon it."""
    if not brand.accent:
        return ""
    made = colours.shades(brand.accent)
    return (
        f":root {{ --accent: light-dark({made.light}, {made.dark}); "
        f"--on-accent: light-dark({made.on_light}, {made.on_dark}); }}\n"
    )


def _checked(fields: Mapping[str, Any]) -> dict[str, str]:
    given = {name: str(fields.get(name) or "").strip() for name in ("name", "accent", "support_url", "support_email")}
    wrong: dict[str, list[str]] = {}
    if not 0 < len(given["name"]) <= 120 or not given["name"].isprintable():
        wrong["name"] = ["Write the name that your customers know you by, 120 characters at most."]
    if given["accent"]:
        given["accent"] = colours.parsed(given["accent"]) or ""
        if not given["accent"]:
            wrong["accent"] = ["Write a colour as #rrggbb, such as #0a7f5a."]
    if given["support_url"] and not _is_web(given["support_url"]):
        wrong["support_url"] = ["Write an address that starts with https://."]
    if given["support_email"]:
        try:
            validate_email(given["support_email"])
        except ValidationError:
            wrong["support_email"] = ["Write an e-mail address, such as help@cloud.example."]
    if wrong:
        raise Wrong(wrong)
    return given


def _is_web(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain_text = text.isascii() and text.isprintable() and not set(text) & set(" \"'<>\\")
    return parts.scheme in ("https", "http") and bool(parts.hostname) and plain_text and len(text) <= 200


def _key(provider: UUID) -> str:
    return f"brand:{provider}"
