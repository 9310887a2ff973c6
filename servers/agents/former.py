"""Agents of 0.1: a bearer token in place of a key, and a heartbeat that is written in the request."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from django.db import transaction

from servers.agents import checkin, enrol
from servers.agents.enrol import UnknownToken, digest
from servers.agents.models import Agent, JoinToken


def join(token: str, attempt: str, version: str, facts: dict[str, Any]) -> tuple[Agent, str]:
    """The agent of the token's server and its secret; the same again for the same attempt. As `enrol.enrol`."""
    mac = hmac.digest(token.encode(), attempt.encode(), "sha256")
    secret = "mja_" + base64.urlsafe_b64encode(mac).decode().rstrip("=")
    with transaction.atomic():
        used = JoinToken.objects.select_related("used_by").filter(digest=digest(token), used_at__isnull=False).first()
        if used is not None:
            agent = used.used_by
            if agent is None or agent.state != Agent.State.LIVE or agent.digest != digest(secret):
                raise UnknownToken
            return agent, secret
        agent = enrol.enrol(token, digest(secret)[:43], version, facts)
        Agent.objects.filter(pk=agent.pk).update(digest=digest(secret))
    return agent, secret


def beat(secret: str, version: str, metrics: dict[str, Any], facts: dict[str, Any] | None) -> None:
    """A heartbeat. As `checkin.beat`."""
    agent = Agent.objects.filter(digest=digest(secret)).only("pk").first()
    if agent is None:
        raise checkin.UnknownAgent
    checkin.beat(agent.pk, version, metrics, facts)
