"""When a silent agent is silent for a reason: its server does not run, or something is being done to it."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from console.lib.jobs.rows import ACTIVE
from servers.actions.models import Action
from servers.agents.querysets import heard_since
from servers.models import Server


def for_a_reason(server: str = "") -> Q:
    """As a condition on servers, or on rows that name theirs by the field `server`: the cloud says that it does not
    run, or an action of ours works on it or has only just ended. An agent that is silent otherwise is offline."""
    path = f"{server}__" if server else ""
    done = Action.objects.filter(server=OuterRef(server or "pk"))
    worked_on = done.filter(Q(state__in=ACTIVE) | Q(ended_at__gt=heard_since()))
    return ~Q(**{f"{path}state": Server.State.RUNNING}) | Q(Exists(worked_on))
