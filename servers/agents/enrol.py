"""How a program on a server becomes the server's agent: a join token is given out, and used once (SECURITY.md §1)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import CloudAccount
from console.lib import audit, copying, notify
from console.lib.denials import Denied
from console.models import User
from providers import quotas
from providers.models import Customer
from servers.agents import alarms, matching, waking
from servers.agents.models import Agent, JoinToken
from servers.models import Server

LIFE = timedelta(minutes=60)
KEPT = timedelta(days=7)  # for which a token that is over can be asked about
SILENT = timedelta(minutes=10)  # an agent that was not heard for so long may have been replaced with its disk
BUSY = "A join token of the account was used for this server, which has an agent that was heard within ten minutes."


class HasAgent(Denied):
    """The host says that it is a server whose agent was heard of late."""

    def __init__(self, server: Server) -> None:
        super().__init__("The server that this host says it is has an agent that reports.", "has_agent")
        self.server = server


class UnknownToken(Exception):
    """The join token is unknown, expired or used up: the caller is not told which."""


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
    token = _new_token()
    with transaction.atomic():
        _join(token, subject, by).save(force_insert=True)
        audit.note(_actor(by), "agent.token_issued", target=subject, customer_id=account.customer_id)
    return token


def issue_many(servers: Collection[Server], by: User | audit.Actor | None) -> dict[Any, str]:
    """A join token, as `issue` gives, for each of these servers of one customer, by server id; none for those whose
    account was removed."""
    there = [server for server in servers if server.account.removed_at is None]
    if not there:
        return {}
    room(there[0].account.customer, 1)
    tokens = {server.pk: _new_token() for server in there}
    with transaction.atomic():
        copying.insert(_join(tokens[server.pk], server, by) for server in there)
        audit.note_many(_actor(by), "agent.token_issued", there, provider_id=None)
    return tokens


def _new_token() -> str:
    return "mjt_" + secrets.token_urlsafe(32)


def _actor(by: User | audit.Actor | None) -> audit.Actor:
    return audit.Actor.of(by) if isinstance(by, User) else by or audit.SYSTEM


def _join(token: str, subject: Server | CloudAccount, by: User | audit.Actor | None) -> JoinToken:
    return JoinToken(
        digest=digest(token),
        account=subject.account if isinstance(subject, Server) else subject,
        server=subject if isinstance(subject, Server) else None,
        created_by=by if isinstance(by, User) else None,
        expires_at=timezone.now() + LIFE,
    )


def enrol(token: str, public_key: str, version: str, facts: dict[str, Any]) -> Agent:
    """Make whoever has this key the live agent of the token's server; an older agent of that server is revoked.

    The same token with the same key gives the same agent again, since an answer may be lost on its way; with another
    key it is used up. The caller has proven the key, and cleaned `facts`. UnknownToken as above; Denied when the token
    is an account's and its server cannot be told, or has an agent that was heard within ten minutes (which raises an
    alarm), or when the key is another server's.
    """
    try:
        return _enrol(token, public_key, version, facts)
    except HasAgent as denied:
        alarms.raise_(denied.server, alarms.CONFLICT, BUSY, hostname=facts.get("hostname"))
        raise


def reports(agent: Agent) -> bool:
    """Whether it was heard so lately that no other machine may take its place by itself."""
    return (agent.last_seen_at or agent.enrolled_at) > timezone.now() - SILENT


def _enrol(token: str, public_key: str, version: str, facts: dict[str, Any]) -> Agent:
    with transaction.atomic():
        join = (
            JoinToken.objects.select_for_update(of=("self",))
            .select_related("account__endpoint", "account__customer", "server", "used_by")
            .filter(digest=digest(token), expires_at__gt=Now(), account__removed_at__isnull=True)
            .exclude(account__customer__status=Customer.Status.CLOSED)
            .first()
        )
        if join is None:
            raise UnknownToken
        if join.used_at is not None:
            return _same(join, public_key)
        server = join.server or _recognized(join.account, facts)
        there = Agent.objects.live().filter(server=server).first() if join.server is None else None
        if there is not None and there.public_key != public_key and reports(there):
            raise HasAgent(server)
        told = facts.get("instance_id") or ""
        join.used_by = bind(server, public_key, Agent.Way.TOKEN, version, facts, told)
        join.used_at = timezone.now()
        join.save(update_fields=["used_at", "used_by"])
    return join.used_by


def bind(
    server: Server, public_key: str, way: Agent.Way, version: str, facts: dict[str, Any], instance_id: str = ""
) -> Agent:
    """The one place where a key becomes a server's live agent, inside the caller's transaction.

    Whatever agent the server had is revoked, and a key that stood with an ended agent moves here, so that a machine
    may keep its key through a re-installation. Denied when the key is that of another server's agent.
    """
    Server.objects.select_for_update(no_key=True).get(pk=server.pk)  # one at a time for one server
    held = Agent.objects.select_for_update().filter(public_key=public_key).first()
    if held is not None and held.server_id not in (None, server.pk):
        raise Denied("This key is that of another server's agent. Make a new one.", "key_in_use")
    replaced = end(Agent.objects.filter(server=server), Agent.State.REVOKED)
    if held is not None:
        Agent.objects.filter(pk=held.pk).update(public_key=None)
    agent = Agent.objects.create(
        server=server, public_key=public_key, way=way, version=version, facts=facts, instance_id=instance_id
    )
    detail = {
        "agent": str(agent.pk),
        "way": str(way),
        "version": version,
        "hostname": facts.get("hostname"),
        "replaced": replaced,
    }
    audit.note(audit.SYSTEM, "agent.enrolled", target=server, customer_id=server.customer_id, detail=detail)
    notify.changed(server.customer_id, f"server-{server.pk}")
    return agent


def end(agents: Any, state: Agent.State) -> int:
    """End these agents (an AgentQuerySet): their servers are free for another. How many there were."""
    living = (Agent.State.LIVE, Agent.State.SUSPENDED)
    ids = list(agents.filter(state__in=living).values_list("pk", flat=True))
    ended = Agent.objects.filter(pk__in=ids, state__in=living)
    count = ended.update(state=state, former_server=F("server"), server=None, ended_at=Now())
    waking.drop(ids)
    return count


def tidy() -> int:
    """Delete join tokens that are long over; how many. The audit log keeps who issued them."""
    return JoinToken.objects.filter(expires_at__lt=timezone.now() - KEPT).delete()[0]


def _same(join: JoinToken, public_key: str) -> Agent:
    """The agent that used the token, if the caller is that one."""
    agent = join.used_by
    if agent is None or agent.state != Agent.State.LIVE or agent.public_key != public_key:
        raise UnknownToken
    return agent


def _recognized(account: CloudAccount, facts: dict[str, Any]) -> Server:
    """The one server of the account that has the host's instance id in one of its platform's forms, or one of its
    network addresses of hardware."""
    servers = Server.objects.filter(account=account, missing_since__isnull=True)
    told = facts.get("instance_id") or ""
    ids = matching.forms(told, "").get(account.endpoint.platform, frozenset()) | ({told, told.lower()} - {""})
    found: list[Server] = list(servers.filter(external_id__in=ids | {one.upper() for one in ids})[:2]) if ids else []
    for nic in facts.get("nics", []):
        if not found and nic["mac"]:
            found = list(servers.filter(addresses__contains=[{"mac": nic["mac"].lower()}])[:2])
    if len(found) != 1:
        raise Denied("No server of the account fits this host yet. It is tried again after the next sync.", "no_server")
    return found[0]
