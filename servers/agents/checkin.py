"""What a check-in may have to write at once: the first one, facts, the end of a silence. And how agents are removed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, notify
from console.models import User
from servers.agents import enrol, reports, silence
from servers.agents.models import Agent
from servers.agents.signals import first_heartbeat

SAMPLES = 30  # kept for the sparkline
HINTS = timedelta(seconds=4)  # a server that reports more often than this is not hinted each time


class UnknownAgent(Exception):
    """No agent of ours, or one that was revoked: it has to stop."""


class Removed(Exception):
    """The agent was removed here: it has to uninstall itself."""


class ProveAgain(Exception):
    """Two machines use this identity, or another instance than it was given to: whoever calls has to prove itself."""


def refuse(state: str) -> None:
    """Raise what an agent in this state is told; nothing for a live one."""
    match state:
        case Agent.State.LIVE:
            return
        case Agent.State.LEAVING:
            raise Removed
        case Agent.State.SUSPENDED:
            raise ProveAgain
    raise UnknownAgent


def beat(agent_id: UUID, version: str, sample: dict[str, Any] | None, facts: dict[str, Any] | None) -> None:
    """Write down now that the agent is there, and how its host is (both cleaned already).

    The first one makes the server managed, and completes an install. UnknownAgent, Removed or ProveAgain when it may
    not. Ordinary check-ins take the lean way (lean/), which comes here for what must not wait.
    """
    agent = (
        Agent.objects.filter(pk=agent_id)
        .select_related("server")
        .only("state", "first_seen_at", "last_seen_at", "recent_load", "silence_told_at", "server__customer_id")
        .first()
    )
    refuse(agent.state if agent else "")
    if agent is None or agent.server is None:
        raise UnknownAgent
    fields: dict[str, Any] = {"version": version, "last_seen_at": Now()}
    if facts is not None:
        fields["facts"] = facts
    if sample is not None:
        fields |= reports.columns(sample)
        if sample["load1"] is not None:
            fields["recent_load"] = [*agent.recent_load, sample["load1"]][-SAMPLES:]
    rows = Agent.objects.live().filter(pk=agent.pk)
    if not (agent.first_seen_at is None and _first(rows, fields)) and not rows.update(**fields):
        refuse(Agent.objects.values_list("state", flat=True).get(pk=agent.pk))
    if agent.silence_told_at is not None:
        silence.broken(agent)
    if agent.last_seen_at is None or timezone.now() - agent.last_seen_at > HINTS:
        notify.changed(agent.server.customer_id, f"server-{agent.server_id}")


def _first(rows: QuerySet[Agent], fields: dict[str, Any]) -> bool:
    """The first heartbeat, told to the other wings once. False when another one was faster."""
    with transaction.atomic():
        if not rows.filter(first_seen_at__isnull=True).update(first_seen_at=Now(), **fields):
            return False
        agent = rows.select_related("server__account", "server__customer").get()
        first_heartbeat.send(sender=Agent, agent=agent)
        silence.tell("server.managed", [agent])
    return True


def remove(agent: Agent, by: User | audit.Actor) -> None:
    """The agent leaves its server: it uninstalls itself when it is heard next, however long that takes."""
    actor = audit.Actor.of(by) if isinstance(by, User) else by
    with transaction.atomic():
        server = agent.server
        if server is None or not enrol.end(Agent.objects.filter(pk=agent.pk), Agent.State.LEAVING):
            return
        detail = {"agent": str(agent.pk)}
        audit.note(actor, "agent.removed", target=server, customer_id=server.customer_id, detail=detail)
        notify.changed(server.customer_id, f"server-{server.pk}")


def leave(agent_id: UUID) -> None:
    """A person on the machine takes the agent off: it ends here too, as if it had never been installed."""
    with transaction.atomic():
        rows = Agent.objects.filter(pk=agent_id)
        agent = rows.select_related("server").first()
        server = agent.server if agent else None
        if server is None or not enrol.end(rows, Agent.State.REVOKED):
            return
        detail = {"agent": str(agent_id)}
        audit.note(audit.SYSTEM, "agent.left", target=server, customer_id=server.customer_id, detail=detail)
        notify.changed(server.customer_id, f"server-{server.pk}")


def remove_all(account_ids: list[UUID]) -> int:
    """The agents of every server of these accounts leave; how many."""
    with transaction.atomic():
        return enrol.end(Agent.objects.filter(server__account__in=account_ids), Agent.State.LEAVING)
