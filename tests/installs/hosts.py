"""Servers to install on, batches to work, and how they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from console.models import AuditEntry
from servers.agents import reports
from servers.installs import install, ssh, working
from servers.installs.models import Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.sshd import Sshd

QUICK = ssh.Limits(connect=10, banner=3, auth=15, step=60, total=120)
METRICS = reports.metrics({})


def take_off(sshd: Sshd) -> None:
    """The agent that was installed runs on after the test's console is gone: uninstall it."""
    agent = sshd.prefix / "opt/muster-agent/current/muster-agent.pyz"
    if agent.exists():
        environment = {"MUSTER_AGENT_PREFIX": str(sshd.prefix), "PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, str(agent), "uninstall"], env=environment, check=True, capture_output=True)


def at(ip: str, people: People, **more: Any) -> Server:
    addresses = [{"ip": ip, "version": 4, "kind": "fixed", "network": "private", "mac": ""}] if ip else []
    return ServerFactory(account=people.account, addresses=addresses, ips=[ip] if ip else [], **more)


def begin(people: People, host: Sshd, *servers: Server, **more: Any) -> InstallBatch:
    given = {"user": host.user, "private_key": host.private_key, "port": host.port} | more
    return install.start(servers, by=people.alice, customer=people.customer, **given)


def work(batch: InstallBatch) -> None:
    working.work(batch.pk, limits=QUICK)


def row_of(batch: InstallBatch) -> Install:
    return Install.objects.get(batch=batch)


def is_over(batch: InstallBatch) -> bool:
    """It ended, and its credentials went with it."""
    batch.refresh_from_db()
    return batch.ended_at is not None and batch.sealed == "" and batch.sealed_until is None


def verbs() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("actor_name", "verb"))
