"""How much a provider may have at this console: customers, servers, agents. Staff set it; no number is no limit."""

from __future__ import annotations

from typing import Final, Literal

from console.lib.denials import Denied
from providers.models import Customer, Provider

What = Literal["customers", "servers", "agents"]
_LIMITS: Final[dict[What, str]] = {"customers": "max_customers", "servers": "max_servers", "agents": "max_agents"}


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
