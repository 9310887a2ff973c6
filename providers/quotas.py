"""How much a provider may have at this console: customers, servers, agents. Staff set it; no number is no limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from django.db import transaction

from console.lib import audit
from console.lib.denials import Denied, Wrong
from providers.models import Customer, Provider

What = Literal["customers", "servers", "agents"]
_LIMITS: Final[dict[What, str]] = {"customers": "max_customers", "servers": "max_servers", "agents": "max_agents"}

FIELDS: Final = (*_LIMITS.values(), "calls_per_minute")
LARGEST: Final = 2_147_483_647  # of PostgreSQL's integer


def put(provider: Provider, limits: Mapping[str, int | None], actor: audit.Actor) -> list[str]:
    """Set these of FIELDS (None: no limit; calls have one always). Returns which changed.

    What is above a lowered limit stays. Wrong, field by field.
    """
    wrong: dict[str, list[str]] = {}
    for name, most in limits.items():
        least = 1 if name == "calls_per_minute" else 0
        if name not in FIELDS or (most is None and least) or (most is not None and not least <= most <= LARGEST):
            wrong[name] = [f"Write a whole number from {least}."]
    if wrong:
        raise Wrong(wrong)
    with transaction.atomic():
        held = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
        before = {name: getattr(held, name) for name in limits}
        changed = sorted(name for name, most in limits.items() if before[name] != most)
        if changed:
            Provider.objects.filter(pk=held.pk).update(**{name: limits[name] for name in changed})
            detail = {name: [before[name], limits[name]] for name in changed}
            audit.note(actor, "provider.limits_set", target=held, provider_id=held.pk, detail=detail)
    return changed


def limit(provider: Provider, what: What) -> int | None:
    """The most that this provider may have; None: no limit."""
    most: int | None = getattr(provider, _LIMITS[what])
    return most


def require(provider: Provider, what: What, used: int, more: int = 1) -> None:
    """Denied, in words for the provider's developer, when `more` on top of `used` are too many."""
    most = limit(provider, what)
    if most is not None and used + more > most:
        raise Denied(
            f"{provider} may have {most} {what} at this console and has {used}. Ask its staff for more.",
            "quota_used_up",
        )


def customers(provider: Provider) -> int:
    """How many customers count: closed ones do not."""
    return int(provider.customers.exclude(status=Customer.Status.CLOSED).count())


def require_customer(provider: Provider) -> None:
    """Room for one more customer, whose row stands already. Under a lock, so that of two at once one is told."""
    if provider.max_customers is None:
        return
    held = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
    require(held, "customers", customers(held) - 1)
