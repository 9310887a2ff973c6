"""Settings that are each right and together wrong. Every message has a hint that says what to write."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

SHORTEST_KEY = 50


def _host() -> str:
    return urlsplit(settings.PUBLIC_URL).hostname or ""


def _only_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@register("muster")
def addresses(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """PUBLIC_URL, the proxy before it, and the names that are answered to."""
    found: list[CheckMessage] = []
    near = _only_this_machine(_host())
    if not settings.SECURE and not near and not settings.DEMO:
        found.append(
            Error(
                f"PUBLIC_URL is {settings.PUBLIC_URL}: passwords and cloud credentials would travel unencrypted.",
                hint="Write PUBLIC_URL=https://…, with a proxy in front that speaks TLS.",
                id="muster.E001",
            )
        )
    if settings.SECURE and not settings.TRUSTED_PROXIES:
        found.append(
            Error(
                "PUBLIC_URL is https, but no proxy is trusted to say so: every page would redirect to itself.",
                hint="Name the proxy that speaks TLS for Muster, such as TRUSTED_PROXIES=127.0.0.1.",
                id="muster.E002",
            )
        )
    if not {_host(), f".{_host().partition('.')[2]}", "*"} & set(settings.ALLOWED_HOSTS):
        found.append(
            Error(
                f"ALLOWED_HOSTS leaves out {_host()}, the host of PUBLIC_URL: nobody would get a page.",
                hint=f"Write ALLOWED_HOSTS={_host()},… or leave it unset.",
                id="muster.E003",
            )
        )
    return found


@register("muster")
def demo(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Demo mode shows every mail and dials loopback addresses: for a trial on one's own machine."""
    if not settings.DEMO:
        return []
    if not _only_this_machine(_host()):
        return [
            Error(
                f"DEMO=1 shows all mail at /_mail/ and trusts loopback, but PUBLIC_URL is {settings.PUBLIC_URL}.",
                hint="Write DEMO=0, or leave PUBLIC_URL unset for a trial on this machine.",
                id="muster.E004",
            )
        ]
    if settings.EMBEDDED is None:
        return [
            Warning(
                "DEMO=1 puts its provider, customer and cloud account into the external database.",
                hint="Write DEMO=0 if that database is meant for real work.",
                id="muster.W001",
            )
        ]
    return []


@register("muster")
def secrets(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """SECRET_KEY signs sessions and links; it must be beyond guessing."""
    key = settings.SECRET_KEY
    if len(key) >= SHORTEST_KEY and len(set(key)) >= 10 and not key.startswith("django-insecure-"):
        return []
    return [
        Error(
            f"SECRET_KEY is too easy to guess: it needs {SHORTEST_KEY} or more random characters.",
            hint="Make one with: head -c 48 /dev/urandom | base64 -w 0",
            id="muster.E005",
        )
    ]


@register("muster")
def mail(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Mail from localhost is thrown away by every other machine."""
    if settings.MAIL_FOLDER is None and "@localhost" in settings.DEFAULT_FROM_EMAIL:
        return [
            Warning(
                f"Mails are sent from {settings.DEFAULT_FROM_EMAIL}, which other mail servers refuse.",
                hint='Write MAIL_FROM="Your Company <no-reply@your-domain.example>".',
                id="muster.W002",
            )
        ]
    return []
