"""What lower apps tell: whose account or customer goes, takes its agents along. Root programs do not stay behind."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import CloudAccount, SyncRun
from accounts.signals import account_removed
from console.lib.jobs.signals import ended
from providers.models import Customer
from providers.signals import customer_closing, sandbox_resetting
from servers.agents import challenging, checkin, claiming, enrol, samples
from servers.agents.models import Agent, Challenge, Claim
from servers.models import Server
from servers.signals import servers_gone


@receiver(account_removed)
def take_agents_off_account(account: CloudAccount, **_: Any) -> None:
    checkin.remove_all([account.pk])


@receiver(customer_closing)
def take_agents_off_customer(customer: Customer, **_: Any) -> None:
    checkin.remove_all(list(customer.accounts.values_list("pk", flat=True)))


@receiver(servers_gone)
def take_agents_off_gone_servers(ids: list[UUID], **_: Any) -> None:
    enrol.end(Agent.objects.filter(server__in=ids), Agent.State.LEAVING)


@receiver(pre_delete, sender=Server)
def take_agent_off_server(instance: Server, **_: Any) -> None:
    """A live agent has a server (a constraint holds it), so it leaves before the row goes."""
    enrol.end(Agent.objects.filter(server=instance), Agent.State.LEAVING)
    samples.forget([instance.pk])


@receiver(ended, sender=Challenge)
def look_at_its_claims_again(pk: Any, **_: Any) -> None:
    """Those that answered are settled; the others get another chance, or none for a while."""
    challenging.over(pk)
    server = Challenge.objects.values_list("server__account__endpoint__provider", flat=True).get(pk=pk)
    transaction.on_commit(lambda: claiming.look_soon(server))


@receiver(ended, sender=SyncRun)
def match_claims_with_what_was_read(pk: Any, **_: Any) -> None:
    """Servers may have appeared that machines wait for."""
    provider = SyncRun.objects.values_list("account__endpoint__provider", flat=True).get(pk=pk)
    if Claim.objects.filter(provider=provider, state__in=(Claim.State.WAITING, Claim.State.PENDING)).exists():
        transaction.on_commit(lambda: claiming.look_soon(provider))


@receiver(sandbox_resetting)
def forget_agents(customers: list[UUID], **_: Any) -> dict[str, int]:
    """Those of a sandbox are made up: nobody waits to be told to leave."""
    theirs = Q(server__customer__in=customers) | Q(former_server__customer__in=customers)
    return Agent.objects.filter(theirs).delete()[1]
