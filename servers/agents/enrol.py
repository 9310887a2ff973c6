"""How a program on a server becomes the server's agent: a join token is given out, and used once (SECURITY.md §1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import CloudAccount
from console.lib import audit, notify
from console.lib.denials import Denied
from console.models import User
from providers import quotas
from providers.models import Customer
from servers.agents.models import Agent, JoinToken
from servers.models import Server

LIFE = timedelta(minutes=60)


class UnknownToken(Exception):
    """The join token is unknown, expired or used up: the caller is not told which."""


@dataclass(frozen=True)
class Enrolled:
    """The agent, and the secret that is told it once."""

    agent: Agent
    secret: str = field(repr=False)


def digest(secret: str) -> str:
    """What is kept of a token, and found again by: its SHA-256 in hex. Tokens are 256 random bits, so no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def room(customer: Customer, more: int) -> None:
    """Denied when the customer's provider may not have so many agents more."""
    provider = customer.provider
    if provider is not None and provider.max_agents is not None:
        theirs = Agent.objects.filter(server__customer__provider=provider, state=Agent.State.LIVE)
        quotas.require(provider, "agents", theirs.count(), more)


def issue(subject: Server | CloudAccount, by: User | audit.Actor | None) -> str:
    """A join token for this server, or for one server of this account that says itself which it is.

    Good once, for 60 minutes. Denied when the account was removed.
    """
    account = subject.account if isinstance(subject, Server) else subject
    if account.removed_at is not None:
        raise Denied("This account was removed. Add it again before installing agents.", "account_removed")
    room(account.customer, 1)
    token = "mjt_" + secrets.token_urlsafe(32)
    actor = audit.Actor.of(by) if isinstance(by, User) else by or audit.SYSTEM
    with transaction.atomic():
        JoinToken.objects.create(
            digest=digest(token),
            account=account,
            server=subject if isinstance(subject, Server) else None,
            created_by=by if isinstance(by, User) else None,
            expires_at=timezone.now() + LIFE,
        )
        audit.note(actor, "agent.token_issued", target=subject, customer_id=account.customer_id)
    return token


def enrol(token: str, attempt: str, version: str, facts: dict[str, Any]) -> Enrolled:
    """Make the caller the live agent of the token's server; an older agent of that server is revoked.

    The same token with the same attempt gives the same agent again, since an answer may be lost on its way; with
    another attempt it is used up. `facts` are cleaned already. UnknownToken as above; Denied when the token is an
    account's and its server cannot be told, or has an agent that reports.
    """
    secret = derive(token, attempt)
    with transaction.atomic():
        join = (
            JoinToken.objects.select_for_update(of=("self",))
            .select_related("account", "account__customer", "server", "used_by")
            .filter(digest=digest(token), expires_at__gt=Now(), account__removed_at__isnull=True)
            .exclude(account__customer__status=Customer.Status.CLOSED)
            .first()
        )
        if join is None:
            raise UnknownToken
        if join.used_at is not None:
            return Enrolled(_same(join, secret), secret)
        server = join.server or _recognized(join.account, facts)
        Server.objects.select_for_update(no_key=True).get(pk=server.pk)  # one at a time for one server
        if join.server is None and Agent.objects.reporting().filter(server=server).exists():
            raise Denied("The server that this host says it is has an agent that reports.", "has_agent")
        replaced = end(Agent.objects.filter(server=server), Agent.State.REVOKED)
        agent = Agent.objects.create(server=server, digest=digest(secret), version=version, facts=facts)
        join.used_at, join.used_by = timezone.now(), agent
        join.save(update_fields=["used_at", "used_by"])
        detail = {"agent": str(agent.pk), "version": version, "hostname": facts.get("hostname"), "replaced": replaced}
        audit.note(audit.SYSTEM, "agent.enrolled", target=server, customer_id=server.customer_id, detail=detail)
        notify.changed(server.customer_id, f"server-{server.pk}")
    return Enrolled(agent, secret)


def derive(token: str, attempt: str) -> str:
    """The agent's secret: only who holds both the join token and the attempt can come to it, and always the same."""
    mac = hmac.digest(token.encode(), attempt.encode(), "sha256")
    return "mja_" + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def end(agents: Any, state: Agent.State) -> int:
    """End these agents (an AgentQuerySet): their servers are free for another. How many there were."""
    live = agents.live()
    return int(live.update(state=state, former_server=F("server"), server=None, ended_at=Now()))


def _same(join: JoinToken, secret: str) -> Agent:
    """The agent that used the token, if the caller is that one."""
    agent = join.used_by
    if agent is None or agent.state != Agent.State.LIVE or not hmac.compare_digest(agent.digest, digest(secret)):
        raise UnknownToken
    return agent


def _recognized(account: CloudAccount, facts: dict[str, Any]) -> Server:
    """The one server of the account that has the host's instance id, or one of its network addresses of hardware."""
    servers = Server.objects.filter(account=account, missing_since__isnull=True)
    told = facts.get("instance_id")
    found: list[Server] = list(servers.filter(external_id__in={told, told.lower()})[:2]) if told else []
    for nic in facts.get("nics", []):
        if not found and nic["mac"]:
            found = list(servers.filter(addresses__contains=[{"mac": nic["mac"].lower()}])[:2])
    if len(found) != 1:
        raise Denied("No server of the account fits this host yet. It is tried again after the next sync.", "no_server")
    return found[0]
