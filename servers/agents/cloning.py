"""One identity, two machines: noticed where it shows, and each has to prove anew who it is (SECURITY.md §1, level 3).

A copied disk brings the agent's key along. The copy in another instance says so itself, or shows another instance id
when it begins a session; a copy that hides goes on with a session that the other one has ended, or runs into it.
"""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from servers.agents import alarms, waking
from servers.agents.models import Agent

OTHER: Final = "The identity of this server's agent was used by another instance, which has to prove who it is."
TWICE: Final = "Two machines use the identity of this server's agent. Both are stopped until they prove who they are."


def other_instance(agent: Agent, instance_id: str) -> None:
    """The agent's key was used by an instance that it was not given to. That caller alone is refused; the agent lives.

    Whoever calls has verified the signature. Once in a while it is told, however often it happens.
    """
    server = agent.server
    if server is None:
        return
    Agent.objects.filter(pk=agent.pk).update(cloned_at=Now())
    alarms.raise_(
        server, alarms.CLONED, OTHER, agent=str(agent.pk), instance_id=agent.instance_id, other=instance_id[:128]
    )


def twice(agent: Agent) -> bool:
    """A session of this agent was used beside the one that replaced it: nobody can tell which machine is the right one.

    The agent is suspended in every web process; with a proof through the cloud it, or its successor, lives again.
    Whether that was news.
    """
    with transaction.atomic():
        stopped = Agent.objects.live().filter(pk=agent.pk).update(state=Agent.State.SUSPENDED, cloned_at=Now())
        if not stopped:
            return False
        waking.drop([agent.pk])
        found = Agent.objects.select_related("server__account", "server__customer").get(pk=agent.pk)
        if found.server is not None:
            alarms.raise_(found.server, alarms.CLONED, TWICE, agent=str(agent.pk), instance_id=agent.instance_id)
    return True
