"""How a provider is at this console, in numbers and words: what wants attention first. Few, bounded reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Count, Q, Sum
from django.urls import reverse
from django.utils import timezone

from accounts.models import CloudAccount
from providers import quotas
from providers.models import ApiCall, Customer, Mail, Provider, Webhook
from servers import quiet
from servers.agents.models import Agent

LATELY: Final = timedelta(days=7)
CALLS: Final = 1000  # of the API that are looked at
WELL: Final = ("ok", "pending")


@dataclass(frozen=True)
class Tile:
    """A number, what it counts, and a note that may be empty."""

    figure: int
    label: str
    note: str
    href: str


@dataclass(frozen=True)
class Trouble:
    """Something that wants somebody."""

    tone: str
    title: str
    detail: str
    label: str
    href: str


@dataclass
class Standing:
    """What the overview shows."""

    tiles: list[Tile]
    troubles: list[Trouble]
    accounts: list[tuple[str, str, int]]  # tone, label, how many
    refused_calls: list[ApiCall]
    looked_at: int


def of(provider: Provider) -> Standing:
    """Everything at once."""
    customers = dict(provider.customers.values_list("status").order_by().annotate(Count("pk")))
    accounts, servers = _accounts(provider)
    agents = Agent.objects.live().filter(server__customer__provider=provider)
    offline = agents.offline().exclude(quiet.for_a_reason("server"))
    heard = agents.aggregate(all=Count("pk"), quiet=Count("pk", filter=Q(pk__in=offline.values("pk"))))
    mails = _mails(provider)
    hooks = list(provider.webhooks.all())
    calls = list(ApiCall.objects.filter(provider=provider).order_by("-pk").values_list("status", flat=True)[:CALLS])
    refused = [status for status in calls if status >= 400]
    at = _Addresses(provider)
    tiles = [
        Tile(customers.get("active", 0), "Active customers", _limit(provider, "customers", customers), at("customers")),
        Tile(servers, "Servers", _limit(provider, "servers"), ""),
        Tile(heard["all"], "Agents", f"{heard['quiet']} offline" if heard["quiet"] else _limit(provider, "agents"), ""),
        Tile(len(hooks), "Webhooks", _off(hooks), at("webhooks")),
    ]
    return Standing(
        tiles,
        _troubles(provider, at, accounts, mails, hooks, calls),
        [(CloudAccount.Status(status).tone, CloudAccount.Status(status).label, n) for status, n in accounts.items()],
        list(provider.calls.filter(status__gte=400).order_by("-pk")[:5]) if refused else [],
        len(calls),
    )


class _Addresses:
    def __init__(self, provider: Provider) -> None:
        self.slug = provider.slug

    def __call__(self, name: str, query: str = "") -> str:
        return reverse(f"provider:{name}", args=[self.slug]) + query


def _accounts(provider: Provider) -> tuple[dict[str, int], int]:
    rows = CloudAccount.objects.present().filter(customer__provider=provider)
    open_ones = rows.exclude(customer__status=Customer.Status.CLOSED).order_by("status").values_list("status")
    found = list(open_ones.annotate(Count("pk"), Sum("server_count")))
    return {status: count for status, count, _ in found}, sum(servers or 0 for *_, servers in found)


def _mails(provider: Provider) -> dict[str, int]:
    rows = Mail.objects.filter(customer__provider=provider, queued_at__gt=timezone.now() - LATELY)
    bounced, failed = Q(bounced_at__isnull=False), Q(state__in=("failed", "expired", "interrupted"))
    return rows.aggregate(bounced=Count("pk", filter=bounced), failed=Count("pk", filter=failed & ~bounced))


def _limit(provider: Provider, what: quotas.What, counts: dict[str, int] | None = None) -> str:
    most = quotas.limit(provider, what)
    suspended = f"{counts['suspended']} suspended" if counts and counts.get("suspended") else ""
    return ", ".join(filter(None, (suspended, f"at most {most:,}" if most is not None else "")))


def _off(hooks: list[Webhook]) -> str:
    off = sum(not hook.enabled for hook in hooks)
    return f"{off} off" if off else ""


def _troubles(
    provider: Provider,
    at: _Addresses,
    accounts: dict[str, int],
    mails: dict[str, int],
    hooks: list[Webhook],
    calls: list[int],
) -> list[Trouble]:
    found: list[Trouble] = []

    def add(number: int, tone: str, one: str, many: str, detail: str, label: str, href: str) -> None:
        if number:
            found.append(Trouble(tone, f"{number:,} {one if number == 1 else many}", detail, label, href))

    if provider.status != Provider.Status.ENABLED:
        status = Provider.Status(provider.status)
        words = "Its keys get 403 and nothing is read until Muster's staff enable it."
        found.append(Trouble(status.tone, f"{provider} is {status.label.lower()}", words, "", ""))
    refused = accounts.get("bad_credentials", 0)
    add(refused, "failed", "account's credentials are refused", "accounts' credentials are refused",
        "Push new credentials: until then their servers stay as last read.", "See the customers",
        at("customers", "?with=refused"))  # fmt: skip
    other = sum(number for status, number in accounts.items() if status not in WELL) - refused
    add(other, "attention", "account cannot be read", "accounts cannot be read",
        "Muster tries again by itself. Look whether the cloud answers.", "See the customers",
        at("customers", "?with=trouble"))  # fmt: skip
    disabled = sum(hook.disabled_at is not None and not hook.enabled for hook in hooks)
    add(disabled, "failed", "webhook was turned off", "webhooks were turned off",
        "They failed for too long and are told nothing.", "See the webhooks", at("webhooks"))  # fmt: skip
    failing = sum(hook.failing_since is not None and hook.enabled for hook in hooks)
    add(failing, "attention", "webhook fails", "webhooks fail",
        "Deliveries are tried again for 24 hours.", "See the webhooks", at("webhooks"))  # fmt: skip
    add(mails["bounced"], "failed", "mail bounced in 7 days", "mails bounced in 7 days",
        "Their people do not know that their servers wait. Check the addresses.", "See the customers",
        at("customers", "?with=mail"))  # fmt: skip
    add(mails["failed"], "failed", "mail failed in 7 days", "mails failed in 7 days",
        "The mail server's words stand beside each.", "See the customers", at("customers", "?with=mail"))  # fmt: skip
    ours = sum(status >= 500 for status in calls)
    add(ours, "attention", "recent API call failed at our side", "recent API calls failed at our side",
        f"Of the last {len(calls):,}. Quote a request id to Muster's staff.", "See the log",
        at("calls", "?status=5xx"))  # fmt: skip
    return found
