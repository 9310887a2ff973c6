"""A server that hangs while it is made can be deleted: its own order gives way, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection

from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib.jobs.leases import Lost, claim
from console.lib.jobs.rows import ACTIVE
from servers.actions import actions, creating
from servers.actions.models import Action
from servers.models import Server
from tests.acting import served, settle, step
from tests.conftest import People

pytestmark = pytest.mark.django_db


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people, 1) as made:
        yield made


def hanging(people: People, far: tuple[Site, CloudAccount]) -> Action:
    """An order whose server its cloud made and does not finish."""
    site, account = far
    site.cloud.settle = timedelta(hours=1)
    order = {"name": "shop", "image": next(iter(site.cloud.images)), "size": next(iter(site.cloud.flavors))}
    row = creating.create(account, order=order, by=people.alice, customer=people.customer).actions.get()
    row = step(row)
    assert (row.state, row.server.name) == ("waiting", "shop")
    return row


def delete(people: People, server: Server, kind: str = "delete") -> Action:
    row: Action = actions.start([server], kind=kind, by=people.bob, customer=people.customer).actions.get()
    return row


def test_delete_gives_up_the_making_of_it_and_others_wait(people: People, far: tuple[Site, CloudAccount]) -> None:
    site, _ = far
    order = hanging(people, far)
    for kind in ("stop", "reboot", "rename", "snapshot"):
        params = {"name": "other"} if kind in ("rename", "snapshot") else {}
        batch = actions.start([order.server], kind=kind, params=params, by=people.bob, customer=people.customer)
        assert batch.actions.get().outcome.startswith("Another action is under way on this server: create")
    row = delete(people, order.server)
    assert row.state == "queued"
    order.refresh_from_db()
    order.batch.refresh_from_db()
    assert (order.state, order.outcome) == ("canceled", "Given up: deleted.")
    assert order.batch.ended_at is not None
    site.cloud.settle = timedelta(0)
    settle(Action.objects.filter(pk=row.pk))
    row.refresh_from_db()
    assert (row.state, row.outcome) == ("done", "Deleted.")
    assert "shop" not in {one.name for one in site.cloud.instances.values() if one.status != "DELETED"}
    assert Server.objects.get(pk=order.server_id).gone_at is not None


def test_another_action_than_the_making_of_it_does_not_give_way(people: People, far: tuple[Site, CloudAccount]) -> None:
    server = Server.objects.get()
    stop = delete(people, server, "stop")
    assert delete(people, server).outcome.startswith("Another action is under way on this server: stop")
    stop.refresh_from_db()
    assert stop.state == "queued"


def test_the_worker_that_makes_it_finds_out_and_writes_nothing_more(
    people: People, far: tuple[Site, CloudAccount]
) -> None:
    order = hanging(people, far)
    Action.objects.filter(pk=order.pk).update(due_at="2026-01-02T03:04:05Z")
    [(_, lease)] = claim(Action.objects.filter(pk=order.pk), 60)
    row = delete(people, order.server)
    assert row.state == "queued"
    with pytest.raises(Lost):
        lease.write(phase="BUILD")
    order.refresh_from_db()
    assert (order.state, order.outcome) == ("canceled", "Given up: deleted.")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_delete_at_once_while_a_worker_looks_exactly_one_has_it(
    people: People, far: tuple[Site, CloudAccount]
) -> None:
    order = hanging(people, far)
    server, together, faults = order.server, Barrier(5), list[BaseException]()

    def alone(deed: object) -> None:
        try:
            together.wait(30)
            deed()  # type: ignore[operator]
        except BaseException as fault:  # noqa: BLE001  # the test tells of it
            faults.append(fault)
        finally:
            connection.close()

    threads = [Thread(target=alone, args=(lambda: delete(people, server),)) for _ in range(4)]
    threads.append(Thread(target=alone, args=(lambda: step(order),)))
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert faults == []
    active = Action.objects.filter(server=server, state__in=ACTIVE)
    assert [row.kind for row in active] == ["delete"]
    refused = Action.objects.filter(server=server, kind="delete", state="failed")
    assert refused.count() == 3
    assert all("Another action is under way on this server: delete" in row.outcome for row in refused)
    order.refresh_from_db()
    assert (order.state, order.outcome) == ("canceled", "Given up: deleted.")
