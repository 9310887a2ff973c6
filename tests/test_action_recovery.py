"""An action whose worker dies in the middle, or whose cloud goes away: found again there, never repeated blindly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts import linking, pacing
from accounts.clouds.openstack_acting import OpenStack
from accounts.models import CloudAccount
from console.demo import vcloud
from console.demo.openstack import Site
from servers import sync
from servers.actions import actions, creating
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from tests.acting import asked, served, settle, step
from tests.conftest import People
from tests.factories import AccountFactory
from tests.processes import ROOT

pytestmark = pytest.mark.django_db  # those that need real commits say so


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people) as made:
        yield made


def start(people: People, servers: Any, kind: str, **params: Any) -> ActionBatch:
    return actions.start(servers, kind=kind, params=params, by=people.alice, customer=people.customer)


def server(name: str = "web-0") -> Server:
    found: Server = Server.objects.select_related("customer", "account__endpoint").get(name=name)
    return found


def worker(row: Action) -> subprocess.Popen[bytes]:
    """A process of its own that takes the row up once."""
    there = connection.settings_dict
    url = f"postgres://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{there['NAME']}"
    code = f"import django; django.setup();from servers.actions import tasks; tasks.run('{row.pk}')"
    env = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "console.settings",
           "PUBLIC_URL": settings.PUBLIC_URL}  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env)


def killed_in_the_call(site: Site, row: Action, spared: tuple[str, ...] = ("added", "changed")) -> None:
    """kill -9 at the moment at which the cloud has taken the call on and not yet answered."""
    began, process = threading.Event(), worker(row)

    def strike(what: str, _: Any) -> None:
        if not began.is_set() and what not in spared:
            process.send_signal(signal.SIGKILL)
            process.wait()
            began.set()

    site.cloud.watchers.append(strike)
    assert began.wait(60), "the call was never made"
    site.cloud.watchers.remove(strike)
    row.refresh_from_db()
    assert row.called_at is not None
    assert (row.state, row.task_ref) == ("running", "")


def taken_over(row: Action) -> Action:
    """The dead worker's lease ran out, and another one takes the row up."""
    Action.objects.filter(pk=row.pk, state="running").update(leased_until=timezone.now() - timedelta(seconds=1))
    return step(row)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["stop", "delete"])
def test_a_killed_workers_call_is_found_again_and_not_repeated(people: People, far: Any, kind: str) -> None:
    site, _ = far
    site.cloud.settle = timedelta(hours=1) if kind == "stop" else timedelta(0)
    row = start(people, [server()], kind).actions.get()
    killed_in_the_call(site, row)
    taken_over(row)
    if kind == "stop":
        assert (row.state, row.phase) == ("waiting", "ACTIVE")  # the cloud is at it
        site.cloud.set_status(row.server.external_id, "SHUTOFF")
        step(row)
    assert row.state == "done"
    assert row.outcome.endswith("the cloud shows that it was done.")
    assert len(asked(site)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_killed_workers_order_is_found_by_its_mark_and_not_repeated(people: People, far: Any) -> None:
    site, account = far
    site.cloud.settle = timedelta(hours=1)
    order = {"name": "shop", "image": next(iter(site.cloud.images)), "size": next(iter(site.cloud.flavors))}
    row = creating.create(account, order=order, by=people.alice, customer=people.customer).actions.get()
    killed_in_the_call(site, row, spared=("changed",))
    taken_over(row)
    assert (row.state, row.phase, row.server.name) == ("waiting", "BUILD", "shop")
    site.cloud.set_status(row.server.external_id, "ACTIVE")
    step(row)
    assert row.state == "done"
    assert [one.name for one in site.cloud.instances.values()].count("shop") == 1
    assert sum(method == "POST" and path.endswith("/servers") for method, path in site.requests) == 1


def cut_off(people: People, kind: str, ago: timedelta, **params: Any) -> Action:
    """A row whose worker died after it had written that it would call, without the cloud having heard of it."""
    row: Action = start(people, [server()], kind, **params).actions.get()
    Action.objects.filter(pk=row.pk).update(called_at=timezone.now() - ago)
    return row


def test_a_call_that_the_cloud_never_heard_is_made_again_where_that_is_safe(people: People, far: Any) -> None:
    site, _ = far
    row = cut_off(people, "stop", timedelta(minutes=1))
    settle(Action.objects.filter(pk=row.pk))
    row.refresh_from_db()
    assert (row.state, asked(site)) == ("done", ["POST action"])


def test_a_snapshot_that_the_cloud_shows_was_taken_and_one_that_it_does_not_is_not_taken_again(
    people: People, far: Any
) -> None:
    site, _ = far
    row = cut_off(people, "snapshot", timedelta(minutes=1), name="before")
    step(row)
    assert row.state == "interrupted"
    assert "the cloud shows no snapshot called before" in row.outcome
    assert asked(site) == []
    settle(start(people, [server()], "snapshot", name="before").actions)
    row = cut_off(people, "snapshot", timedelta(minutes=1), name="before")
    step(row)
    assert row.state == "done"
    assert asked(site) == ["POST action"]


def test_a_worker_that_was_killed_after_the_answer_is_followed_by_the_ref(people: People, far: Any) -> None:
    site, _ = far
    site.cloud.settle = timedelta(hours=1)
    row = step(start(people, [server()], "reboot").actions.get())
    Action.objects.filter(pk=row.pk).update(state="running", leased_until=timezone.now() - timedelta(seconds=1))
    site.cloud.set_status(row.server.external_id, "ACTIVE")
    step(row)
    assert (row.state, row.outcome) == ("done", "Rebooted.")
    assert asked(site) == ["POST action"]


def test_a_cloud_that_goes_away_while_it_works_is_waited_for(people: People, far: Any) -> None:
    site, account = far
    site.cloud.settle = timedelta(hours=1)
    row = step(start(people, [server()], "stop").actions.get())
    site.faults.inject("unavailable", path="/", times=None)
    for _ in range(8):
        step(row)
    assert row.state in ("waiting", "queued")
    assert row.outcome.startswith("The cloud asked for fewer calls.")
    site.faults.clear()
    pacing.forget(account.pk)  # some time later
    site.cloud.set_status(row.server.external_id, "SHUTOFF")
    assert step(row).state == "done"
    assert asked(site).count("POST action") == 1


def test_refused_credentials_end_it_with_the_reason(people: People, far: Any) -> None:
    site, account = far
    with transaction.atomic():
        linking.wipe(account, "Wiped.")
    CloudAccount.objects.filter(pk=account.pk).update(credentials_version=1)
    row = step(start(people, [server()], "stop").actions.get())
    assert (row.state, row.called_at) == ("failed", None)
    assert asked(site) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["reboot", "reset"])
def test_a_reboot_that_its_cloud_tells_of_is_followed_and_not_called_interrupted(
    people: People, far: Any, kind: str
) -> None:
    site, _ = far
    row = start(people, [server()], kind).actions.get()
    killed_in_the_call(site, row)
    taken_over(row)
    settle(Action.objects.filter(pk=row.pk))
    row.refresh_from_db()
    assert row.state == "done"
    assert asked(site) == ["POST action"]


def test_a_reboot_that_its_cloud_tells_nothing_of_ends_as_interrupted_and_is_not_repeated(
    people: People, far: Any
) -> None:
    site, _ = far
    row = cut_off(people, "reboot", timedelta(minutes=1))
    step(row)
    assert row.state == "interrupted"
    assert "It was not asked again, since that could do it twice. The server is ACTIVE now" in row.outcome
    assert asked(site) == []


def test_the_one_before_is_not_taken_for_the_one_that_was_cut_off(
    people: People, far: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = start(people, [server()], "reboot").actions.get()
    settle(Action.objects.filter(pk=before.pk))
    before.refresh_from_db()
    since: list[datetime] = []
    monkeypatch.setattr(OpenStack, "recent_task", lambda *asked: since.append(asked[-1]))
    step(cut_off(people, "reboot", timedelta(0)))
    assert since == [before.ended_at]


def test_an_older_snapshot_of_the_same_name_is_not_the_one_that_was_asked_for(people: People, far: Any) -> None:
    site, _ = far
    settle(start(people, [server()], "snapshot", name="before").actions)
    for pk, image in list(site.cloud.images.items()):
        site.cloud.images[pk] = replace(image, created="2026-01-02T03:04:05Z")
    row = cut_off(people, "snapshot", timedelta(minutes=1), name="before")
    assert step(row).state == "interrupted"
    assert asked(site) == ["POST action"]


def test_vclouds_nameless_snapshot_is_known_by_its_date(people: People) -> None:
    cloud = vcloud.Cloud.sized(1, generation="38.1")
    with vcloud.serve(cloud) as site:
        account = AccountFactory(
            customer=people.customer, endpoint__platform="vcloud", endpoint__url=site.url, endpoint__slug="vcloud",
            endpoint__networks=["127.0.0.1/32"],
        )  # fmt: skip
        account.close_pending(site.cloud.credentials, 1)
        account.save()
        assert sync.now(account).state == "done"
        [one] = Server.objects.filter(account=account).select_related("customer", "account__endpoint")
        settle(start(people, [one], "snapshot", name="before").actions)
        row = start(people, [one], "snapshot", name="another name").actions.get()
        Action.objects.filter(pk=row.pk).update(called_at=timezone.now() - timedelta(seconds=30))
        step(row)
        assert row.state == "done", row.outcome
        row = start(people, [one], "snapshot", name="later").actions.get()
        Action.objects.filter(pk=row.pk).update(called_at=timezone.now() + timedelta(hours=1))
        assert step(row).state == "waiting"  # the one that is there is older
