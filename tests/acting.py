"""Doing actions in a test: servers of a simulated cloud, and a worker that takes the rows up one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models.functions import Now

from accounts.models import CloudAccount
from console.demo.openstack import Cloud, Site, serve
from console.lib.jobs.kinds import KINDS, work
from console.lib.jobs.leases import Keeper, claim
from console.lib.jobs.rows import ACTIVE
from servers import sync
from servers.actions import tasks as tasks  # it registers the kind
from servers.actions import working
from servers.actions.actions import TASK
from servers.actions.models import Action
from tests.conftest import People
from tests.farclouds import account_at


@contextmanager
def served(people: People, servers: int = 3, **fields: Any) -> Iterator[tuple[Site, CloudAccount]]:
    """A cloud with this many running servers, read into an account of alice's customer."""
    cloud = Cloud.sized(0)
    for number in range(servers):
        cloud.add(f"web-{number}", status="ACTIVE")
    with serve(cloud) as site:
        account = account_at(site, customer=people.customer, endpoint__slug="modern", **fields)
        sync.now(account)
        CloudAccount.objects.filter(pk=account.pk).update(generation="modern")
        account.refresh_from_db()
        yield site, account


def step(row: Action) -> Action:
    """A worker takes this row up once, now."""
    Action.objects.filter(pk=row.pk, state__in=("queued", "waiting")).update(due_at=Now())
    for held, lease in claim(Action.objects.filter(pk=row.pk), 60):
        with Keeper([lease]):
            work(KINDS[TASK], working.perform, held, lease)
    row.refresh_from_db()
    return row


def settle(rows: Any, most: int = 40) -> None:
    """Workers take the rows up until all have ended."""
    for _ in range(most):
        left = list(rows.filter(state__in=ACTIVE))
        if not left:
            return
        for row in left:
            step(row)
    raise AssertionError([(row.name, row.state, row.outcome, row.phase) for row in rows.filter(state__in=ACTIVE)])


def asked(site: Site, what: str = "action") -> list[str]:
    """The calls that change something, as the cloud heard them."""
    return [f"{method} {path.rsplit('/', 1)[-1]}" for method, path in site.requests
            if "/servers/" in path and method != "GET"]  # fmt: skip
