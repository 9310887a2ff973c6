"""A server's life on every platform, through the deeds and a worker: ordered, stopped, kept as a snapshot, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import clouds
from accounts.clouds.operations import Operation
from accounts.models import CloudAccount
from console.demo import cloudstack, openstack, vcloud
from console.lib.jobs.rows import JobState
from servers import sync
from servers.actions import ability, actions, creating, offers, passwords
from servers.actions.kinds import KINDS
from servers.actions.models import Action
from servers.models import Server
from tests.acting import settle, step
from tests.conftest import People
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

CLOUDS = [
    ("openstack", "diablo"), ("openstack", "essex"), ("openstack", "modern"), ("cloudstack", "3.0.7"),
    ("cloudstack", "4.20.0.0"), ("vcloud", "1.0"), ("vcloud", "1.5"), ("vcloud", "38.1"),
]  # fmt: skip


@dataclass
class Far:
    platform: str
    version: str
    site: Any
    account: CloudAccount

    @property
    def table(self) -> Any:
        return ability.ready.table(self.account)


@pytest.fixture(params=CLOUDS, ids=[f"{platform}-{version}" for platform, version in CLOUDS])
def far(request: pytest.FixtureRequest, people: People) -> Iterator[Far]:
    platform, version = request.param
    with ExitStack() as stack:
        site: Any
        if platform == "openstack":
            site = stack.enter_context(openstack.serve(openstack.Cloud.sized(0, version)))
        elif platform == "cloudstack":
            site = stack.enter_context(cloudstack.serve(cloudstack.Cloud.sized(0, version)))
        else:
            site = stack.enter_context(vcloud.serve(vcloud.Cloud.sized(0, generation=version)))
        account = AccountFactory(
            customer=people.customer, endpoint__platform=platform, endpoint__url=site.url, endpoint__slug=platform,
            endpoint__networks=["127.0.0.1/32"],
        )  # fmt: skip
        account.close_pending(site.cloud.credentials, 1)
        account.save()
        run = sync.now(account)
        assert run.state == JobState.DONE, run.outcome
        account.refresh_from_db()
        yield Far(platform, version, site, account)


def ordered(far: Far) -> dict[str, Any]:
    """The smallest order of what is on offer."""
    image = offers.images(far.account)[0]
    order: dict[str, Any] = {"name": "shop", "image": image.id, "zone": image.zone}
    if far.platform == "vcloud":
        return order | {"cpus": 2, "memory_mb": 2048, "networks": [offers.networks(far.account)[0].id]}
    return order | {"size": next(size.id for size in offers.sizes(far.account) if size.cpus)}


def do(people: People, kind: str, **params: Any) -> Action:
    server = Server.objects.select_related("customer", "account__endpoint").get(gone_at=None)
    batch = actions.start([server], kind=kind, params=params, by=people.alice, customer=people.customer)
    settle(batch.actions)
    row: Action = batch.actions.get()
    return row


def test_a_server_lives_from_order_to_deletion(people: People, far: Far) -> None:
    batch = creating.create(far.account, order=ordered(far), by=people.alice, customer=people.customer)
    settle(batch.actions)
    row = batch.actions.get()
    assert (row.state, row.outcome) == ("done", "Created."), row.outcome
    server = row.server
    assert (server.name, server.state, server.account) == ("shop", "running", far.account)
    if far.platform == "vcloud":
        assert (server.cpus, server.memory_mb) == (2, 2048)
    if far.platform == "openstack":
        assert passwords.reveal(row, by=people.alice)

    row = do(people, "stop")
    if far.table[KINDS["stop"].operation].allowed:
        # vCloud 1.0 cannot ask a guest to shut down and give its resources back, and the outcome says so.
        told = "Its power was cut" if far.table is clouds.tables("vcloud")["1.0"] else "Stopped."
        assert (row.state, row.outcome.split(",")[0]) == ("done", told), row.outcome
        server.refresh_from_db()
        assert server.state == "stopped"
    else:
        assert (row.state, row.outcome) == ("failed", far.table[KINDS["stop"].operation].reason)

    server.refresh_from_db()
    row = do(people, "snapshot", name="before")
    if words := far.table[KINDS["snapshot"].operation].refusal(server.status.value):
        assert (row.state, row.outcome) == ("failed", words)
    else:
        assert (row.state, row.outcome) == ("done", "Took a snapshot."), row.outcome
        server = Server.objects.select_related("account").get(pk=server.pk)
        assert len(offers.snapshots(server)) == 1

    row = do(people, "delete")
    assert (row.state, row.outcome) == ("done", "Deleted."), row.outcome
    server.refresh_from_db()
    assert server.gone_at is not None
    run = sync.now(far.account)
    assert (run.state, run.seen) == (JobState.DONE, 0), run.outcome
    assert not Server.objects.listed().exists()


def test_where_a_cloud_takes_a_size_or_cpus_and_memory_a_server_is_ordered_by_either(people: People, far: Far) -> None:
    if not (far.table[Operation.SIZES].allowed and far.table[Operation.FREE_SIZE].allowed):
        return
    size = next(size for size in offers.sizes(far.account) if size.cpus)
    for told in ({"size": size.id, "name": "sized"}, {"cpus": 3, "memory_mb": 3072, "name": "free"}):
        order = {name: value for name, value in ordered(far).items() if name not in ("cpus", "memory_mb")} | told
        batch = creating.create(far.account, order=order, by=people.alice, customer=people.customer)
        settle(batch.actions)
        row = batch.actions.get()
        assert row.state == "done", row.outcome
        wanted = (size.cpus, size.memory_mb) if "size" in told else (3, 3072)
        assert (row.server.cpus, row.server.memory_mb) == wanted


def test_what_the_cloud_refuses_is_told_in_its_own_words(people: People, far: Far) -> None:
    order = ordered(far) | {"image": "99999999-9999-4999-8999-999999999999"}
    batch = creating.create(far.account, order=order, by=people.alice, customer=people.customer)
    settle(batch.actions)
    row = batch.actions.get()
    assert row.state == "failed"
    assert len(row.outcome) > 20
    assert not Server.objects.exists()


def test_an_order_whose_answer_was_lost_is_found_again(people: People, far: Far) -> None:
    """The worker was killed when the cloud had taken the order and its answer was not kept."""
    order = creating.create(far.account, order=ordered(far), by=people.alice, customer=people.customer)
    row = step(order.actions.get())
    Action.objects.filter(pk=row.pk).update(
        task_ref="",
        state="waiting",
        server=None,
        ended_at=None,
        polls=0,
        password_sealed="",
        called_at=timezone.now() - timedelta(minutes=2),
    )
    Server.objects.all().delete()
    settle(order.actions)
    row.refresh_from_db()
    if far.platform == "vcloud":  # there it is made in steps, and who knew the later ones is gone
        assert row.state == "interrupted", row.outcome
        assert "The server was made and is POWERED_OFF now: look whether all is as ordered" in row.outcome
        assert row.server.name in ("shop", "web")
        return
    assert row.state == "done", row.outcome
    assert row.outcome.startswith("Created. The worker stopped in the middle")
    assert Server.objects.get().name == "shop"
