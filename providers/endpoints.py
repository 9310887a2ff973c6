"""Cloud endpoints, as staff register them: an address that customers' credentials may go to, and nothing looser."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import transaction

from console.lib import audit
from console.lib.denials import Wrong
from providers.models import CloudEndpoint, Provider
from providers.platforms import PLATFORMS


def register(
    provider: Provider,
    slug: str,
    *,
    platform: str,
    url: str,
    actor: audit.Actor,
    name: str = "",
    version: str = "",
    region: str = "",
    ca: str = "",
    networks: Sequence[str] = (),
    allow_http: bool = False,
    old_tls: bool = False,
) -> tuple[CloudEndpoint, bool]:
    """Make the endpoint, or bring it up to date; the same again changes nothing. Returns it, and whether it is new.

    Raises Wrong with the fields that are, each with what to write instead.
    """
    told: dict[str, Any] = {
        "platform": platform,
        "url": url,
        "version": version,
        "region": region,
        "ca": ca,
        "networks": list(networks),
        "allow_http": allow_http,
        "old_tls": old_tls,
        "name": name or slug,
    }
    wrong = faults(url=url, allow_http=allow_http, networks=networks, ca=ca)
    if platform not in PLATFORMS:
        wrong["platform"] = [f"Write one of {', '.join(PLATFORMS)}."]
    try:
        validate_slug(slug)
    except ValidationError:
        wrong["slug"] = ["Use letters, digits, hyphens and underscores."]
    if wrong:
        raise Wrong(wrong)
    with transaction.atomic():
        endpoint, made = CloudEndpoint.objects.select_for_update().get_or_create(
            provider=provider, slug=slug, defaults=told
        )
        changed = sorted(field for field, value in told.items() if getattr(endpoint, field) != value)
        for field in changed:
            setattr(endpoint, field, told[field])
        if changed:
            endpoint.save(update_fields=changed)
        if made or changed:
            audit.note(
                actor,
                "endpoint.registered" if made else "endpoint.changed",
                target=endpoint,
                provider_id=provider.pk,
                detail={"url": url, "fields": changed},
            )
    return endpoint, made


def faults(*, url: str, allow_http: bool, networks: Sequence[str], ca: str) -> dict[str, list[str]]:
    """What is wrong with an endpoint's address and what may be trusted there, by field; empty: nothing."""
    wrong: dict[str, list[str]] = {}
    if words := _address(url, allow_http):
        wrong["url"] = [words]
    if odd := [text for text in networks if not _is_network(text)]:
        wrong["networks"] = [f"{', '.join(odd)}: write networks such as 10.20.0.0/16, with the host part zero."]
    if ca and not _is_pem(ca):
        wrong["ca"] = ["Write certificates as PEM: -----BEGIN CERTIFICATE----- and what follows."]
    return wrong


def _address(url: str, allow_http: bool) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "This is not an address. Write it as https://HOST[:PORT]/PATH."
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "Write the whole address, such as https://cloud.example:5000/v3."
    if parts.username or parts.password or parts.query or parts.fragment:
        return "Leave out user, password, query and fragment: credentials are pushed by the provider."
    if parts.scheme == "http" and not allow_http:
        return "Plain HTTP shows credentials to whoever listens. Use https://, or allow it for this endpoint."
    return ""


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _is_pem(text: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False
