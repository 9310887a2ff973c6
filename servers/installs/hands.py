"""One row of a batch on a thread of its own: SSH and the cloud's console, and no database."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from django.utils import timezone

from console.lib.jobs.leases import Lease
from servers.installs import ssh
from servers.installs.bootstrap import Payload
from servers.installs.hostkeys import HostKey
from servers.installs.models import Install
from servers.installs.signin import Login
from servers.installs.terms import Brake, Dial, Limits, Outcome, Target
from servers.installs.trouble import Stage, Trouble
from servers.installs.vouching import Voucher

LOOK = 8.0  # seconds for a server to answer when it is only asked who it is: a thousand may be switched off


class Errand(Enum):
    """What is to be done on a server: look who is there, install, or come back for an installer that was left."""

    LOOK = "look"
    INSTALL = "install"
    COLLECT = "collect"


@dataclass(frozen=True)
class Order:
    """What all rows of a batch share. `trust` takes a host key that nobody has seen before, as the person chose."""

    login: Login
    url: str
    agent: bytes = field(repr=False)
    sha256: str
    trust: bool
    limits: Limits


@dataclass
class Job:
    """One row in the hands of this process. What its thread needs is here, so that it needs no database."""

    order: Order = field(repr=False)
    row: Install
    lease: Lease
    target: Target
    token: str = field(repr=False)
    errand: Errand
    dial: Dial
    voucher: Voucher | None
    external_id: str
    brake: Brake = field(default_factory=Brake)
    stages: list[dict[str, Any]] = field(default_factory=list)
    lost: bool = False
    presented: HostKey | None = None
    by_console: bool = False

    @property
    def name(self) -> str:
        """Of its folder on the server: the same for every connection of this row, and nobody there can guess it."""
        return f"muster-{self.row.pk.hex}"

    def enter(self, stage: str, at: str, seconds: float | None) -> None:
        if self.stages:
            self.stages[-1] |= {"seconds": seconds, "ok": True}
        self.stages.append({"stage": stage, "started_at": at, "seconds": None, "ok": None})


Result = Outcome | HostKey | Trouble | Exception
Event = tuple[Job, Stage, str, float] | tuple[Job, Result, float]


def go(job: Job, events: queue.SimpleQueue[Event]) -> None:
    """Do the errand on one server. Reports each stage as it starts, with the seconds of the one before, and what came
    of it."""
    began = time.monotonic()

    def on_stage(stage: Stage) -> None:
        nonlocal began
        now = time.monotonic()
        events.put((job, stage, timezone.now().isoformat(), round(now - began, 2)))
        began = now

    try:
        result: Result = attempt(job, on_stage)
    except Exception as problem:  # noqa: BLE001 - it is carried over, logged, and ends the row with words
        result = problem
    events.put((job, result, round(time.monotonic() - began, 2)))


def attempt(job: Job, on_stage: Callable[[Stage], None]) -> Outcome | HostKey:
    """Do it, and once more when the cloud says that a changed host key is the server's own. Raises Trouble."""
    try:
        return once(job, on_stage, job.target)
    except Trouble as problem:
        if problem.code != "changed_host_key" or not (problem.presented and job.voucher):
            raise
        # A rebuilt server shows its new key on its console, where nobody between us can write.
        if not problem.presented.names & job.voucher.printed(job.external_id):
            raise
        job.presented, job.by_console = problem.presented, True
    known = frozenset({job.presented.fingerprint})
    return once(job, on_stage, Target(job.target.host, job.target.port, known, job.target.key_types))


def once(job: Job, on_stage: Callable[[Stage], None], target: Target) -> Outcome | HostKey:
    order, printed = job.order, frozenset[str]()
    if job.errand is Errand.COLLECT:
        return ssh.collect(target, order.login, job.name, dial=job.dial, limits=order.limits, brake=job.brake)
    if job.voucher and not target.known:
        printed = job.voucher.printed(job.external_id)

    def accept(key: HostKey) -> bool:
        job.presented, job.by_console = key, bool(key.names & printed)
        return job.by_console or order.trust

    if job.errand is Errand.LOOK:
        limits = replace(order.limits, connect=min(LOOK, order.limits.connect), banner=min(LOOK, order.limits.banner))
        return ssh.look(target, dial=job.dial, accept=accept, on_stage=on_stage, limits=limits, brake=job.brake)
    return ssh.install(
        target,
        order.login,
        Payload(order.url, order.agent, order.sha256, job.token),
        dial=job.dial,
        accept=accept,
        on_stage=on_stage,
        limits=order.limits,
        brake=job.brake,
        name=job.name,
        detach=not job.row.attached,
    )
