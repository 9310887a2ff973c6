"""Actions on servers: one row each with its outcome, one at a time on a server, and none is repeated blindly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import audit
from console.lib.denials import Wrong
from console.models import AuditEntry
from providers import customers
from servers import sync
from servers.actions import ability, actions
from servers.actions.kinds import KINDS
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from servers.signals import servers_gone
from tests.acting import asked, served, settle, step
from tests.conftest import People
from tests.factories import ServerFactory

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


def test_a_server_is_stopped_and_its_row_shows_it_as_soon_as_the_action_ends(people: People, far: Any) -> None:
    site, _ = far
    batch = start(people, [server()], "stop")
    row = batch.actions.get()
    assert (row.state, row.name, row.called_at) == ("queued", "web-0", None)
    settle(batch.actions)
    row.refresh_from_db()
    assert (row.state, row.outcome, row.percent) == ("done", "Stopped.", 100)
    assert server().state == "stopped"
    assert asked(site) == ["POST action"]
    batch.refresh_from_db()
    assert batch.ended_at is not None
    told = list(AuditEntry.objects.filter(verb__startswith="action.").order_by("pk").values_list("verb", "target_name"))
    assert [verb for verb, _ in told] == ["action.started", "action.done"]
    assert told[1][1] == "web-0"


def test_while_the_cloud_works_the_row_is_parked_and_nobody_holds_it(people: People, far: Any) -> None:
    site, _ = far
    site.cloud.settle = timedelta(hours=1)
    row = step(start(people, [server()], "stop").actions.get())
    assert (row.state, row.leased_until) == ("waiting", None)
    assert row.task_ref
    first = row.due_at
    for _ in range(9):
        row = step(row)
    assert row.state == "waiting"
    assert timedelta(seconds=3) < row.due_at - timezone.now() <= timedelta(seconds=5)
    assert row.due_at > first
    assert asked(site) == ["POST action"]
    site.cloud.settle = timedelta(0)
    site.cloud.set_status(row.server.external_id, "SHUTOFF")
    assert step(row).state == "done"


@pytest.mark.parametrize(
    ("kind", "params", "before", "after"),
    [
        ("start", {}, "SHUTOFF", "running"),
        ("reboot", {}, "ACTIVE", "running"),
        ("reset", {}, "ACTIVE", "running"),
        ("suspend", {}, "ACTIVE", "suspended"),
        ("resume", {}, "SUSPENDED", "running"),
        ("rename", {"name": "web-0"}, "ACTIVE", "running"),
    ],
)
def test_each_kind_is_done_once(people: People, far: Any, kind: str, params: Any, before: str, after: str) -> None:
    site, account = far
    site.cloud.set_status(server().external_id, before)
    sync.now(account)
    chosen = server()
    batch = start(people, [chosen], kind, **params)
    settle(batch.actions)
    row = batch.actions.get()
    assert (row.state, row.outcome) == ("done", f"{KINDS[kind].past}."), row.outcome
    assert server().state == after
    assert len(asked(site)) == 1


def test_a_rename_shows_at_once(people: People, far: Any) -> None:
    chosen = server()
    settle(start(people, [chosen], "rename", name="  front  ").actions)
    chosen.refresh_from_db()
    assert chosen.name == "front"


def test_a_resize_waits_to_be_confirmed_and_other_deeds_say_so(people: People, far: Any) -> None:
    site, _ = far
    chosen = server()
    size = next(iter(reversed(site.cloud.flavors)))
    batch = start(people, [chosen], "resize", size=size)
    settle(batch.actions)
    assert batch.actions.get().state == "done", batch.actions.get().outcome
    chosen = server()
    assert (chosen.state, chosen.raw_state) == ("changing", "VERIFY_RESIZE")
    assert ability.refusal(chosen, KINDS["stop"]) == ability.RESIZED
    batch = start(people, [chosen], "confirm_resize")
    settle(batch.actions)
    assert (batch.actions.get().state, server().state) == ("done", "running")


def test_a_deleted_server_is_gone_at_once_and_the_wings_are_told(people: People, far: Any) -> None:
    site, _ = far
    chosen, told = server(), []

    def hear(ids: list[Any], **_: Any) -> None:
        told.extend(ids)

    servers_gone.connect(hear)
    try:
        settle(start(people, [chosen], "delete").actions)
    finally:
        servers_gone.disconnect(hear)
    chosen.refresh_from_db()
    assert chosen.gone_at is not None
    assert told == [chosen.pk]
    assert not Server.objects.of([people.customer.pk]).filter(pk=chosen.pk).exists()
    assert chosen.external_id not in site.cloud.instances
    assert Action.objects.get().state == "done"


def test_forty_servers_make_forty_rows_each_with_its_outcome(people: People) -> None:
    with served(people, 40) as (site, account):
        some = list(Server.objects.filter(account=account).order_by("name"))
        busy, stopped, missing = some[0], some[1], some[2]
        start(people, [busy], "reboot")
        Server.objects.filter(pk=stopped.pk).update(state="stopped")
        Server.objects.filter(pk=missing.pk).update(missing_since=timezone.now())
        site.cloud.act(some[3].external_id, "lock")
        batch = start(people, some, "stop")
        assert batch.actions.count() == 40
        settle(batch.actions)
        told = {row.server_id: row for row in batch.actions.all()}
    assert told[busy.pk].outcome == (
        "Another action is under way on this server: reboot, asked for by alice@example.com. Wait until it has ended."
    )
    assert told[stopped.pk].outcome == "Start it first."
    assert told[missing.pk].outcome == ability.MISSING
    assert "is locked" in told[some[3].pk].outcome  # the cloud's own words
    assert sorted(row.state for row in told.values()) == ["done"] * 36 + ["failed"] * 4
    assert actions.progress(batch) == {"total": 40, "active": 0, "done": 36, "failed": 4}
    assert len(asked(site)) == 37
    batch.refresh_from_db()
    assert batch.ended_at is not None


def test_of_a_suspended_customer_every_row_fails_with_the_reason(people: People, far: Any) -> None:
    customers.suspend(people.customer, audit.SYSTEM)
    batch = start(people, Server.objects.all(), "stop")
    assert set(batch.actions.values_list("state", "outcome")) == {("failed", ability.SUSPENDED)}
    assert batch.actions.count() == 3
    assert batch.ended_at is not None


def test_a_suspension_stops_what_has_not_ended(people: People, far: Any) -> None:
    batch = start(people, [server()], "stop")
    customers.suspend(people.customer, audit.SYSTEM)
    assert batch.actions.get().state == "canceled"
    batch.refresh_from_db()
    assert batch.ended_at is not None


def test_a_server_that_is_gone_by_now_keeps_its_row_and_its_reason(people: People, far: Any) -> None:
    chosen, other = server(), server("web-1")
    Server.objects.filter(pk=other.pk).delete()
    batch = start(people, [chosen, other], "stop")
    row = batch.actions.get(name="web-1")
    assert (row.state, row.server, row.outcome) == ("failed", None, actions.GONE)


def test_what_the_platform_cannot_do_is_refused_with_its_reason(people: People, far: Any) -> None:
    CloudAccount.objects.update(generation="diablo")
    row = start(people, [server()], "stop").actions.get()
    assert row.state == "failed"
    assert row.outcome == "OpenStack Diablo has no call to start or stop a server. Reboot it, or delete it."


@pytest.mark.parametrize(
    ("generation", "kind", "words"),
    [("modern", "stop", "Resume it first."), ("modern", "resize", "Resume it first."), ("modern", "resume", ""),
     ("modern", "start", "It must be stopped to be started."), ("diablo", "reboot", "Wait until it runs.")],
)  # fmt: skip
def test_a_suspended_server_says_which_way_leads_on(
    people: People, far: Any, generation: str, kind: str, words: str
) -> None:
    CloudAccount.objects.update(generation=generation)
    Server.objects.update(state="suspended", raw_state="SUSPENDED")
    assert ability.refusal(server(), KINDS[kind]) == words


def test_before_anybody_knows_what_a_cloud_can_do_its_driver_says(people: People, far: Any) -> None:
    CloudAccount.objects.update(generation="")
    batch = start(people, [server()], "stop")
    settle(batch.actions)
    assert batch.actions.get().state == "done"


@pytest.mark.parametrize(
    ("kind", "params", "field", "words"),
    [
        ("fly", {}, "kind", "There is no such action."),
        ("rename", {}, "name", "This field is required."),
        ("rename", {"name": "a\nb"}, "name", "Write 1 to 255 characters"),
        ("rename", {"name": "a", "size": "2"}, "size", "Rename takes no such field."),
        ("resize", {}, "size", "Choose a size."),
        ("resize", {"cpus": 0}, "size", "Choose a size."),
        ("resize", {"cpus": "two"}, "cpus", "Write a whole number from 1."),
        ("revert_snapshot", {}, "snapshot_id", "This field is required."),
    ],
)
def test_what_cannot_be_tried_at_all_is_refused_by_field(
    people: People, kind: str, params: Any, field: str, words: str
) -> None:
    with pytest.raises(Wrong) as caught:
        start(people, [ServerFactory(account=people.account)], kind, **params)
    assert words in caught.value.fields[field][0]
    assert not ActionBatch.objects.exists()


def test_too_many_or_none_are_refused(people: People) -> None:
    with pytest.raises(Wrong, match="fields"):
        start(people, [], "stop")
    two = [ServerFactory(account=people.account) for _ in range(2)]
    with pytest.raises(Wrong) as caught:
        start(people, two, "rename", name="same")
    assert caught.value.fields["servers"] == ["Rename is done to one server at a time."]


def test_the_database_holds_one_action_a_server(people: People, far: Any) -> None:
    row = start(people, [server()], "stop").actions.get()
    row.pk = None
    row._state.adding = True
    with pytest.raises(IntegrityError, match="one_active_action"), transaction.atomic():
        row.save()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_ask_at_once_the_second_is_refused_in_words(people: People, far: Any) -> None:
    chosen, gate = server(), threading.Barrier(2)
    made: list[ActionBatch] = []

    def ask(person: Any) -> None:
        gate.wait(10)
        made.append(actions.start([chosen], kind="stop", by=person, customer=people.customer))
        connection.close()

    threads = [threading.Thread(target=ask, args=(person,)) for person in (people.alice, people.bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [batch.actions.get() for batch in made]
    assert sorted(row.state for row in rows) == ["failed", "queued"]
    first, second = sorted(rows, key=lambda row: row.state == "failed")
    words = f"Another action is under way on this server: stop, asked for by {first.batch.by}."
    assert second.outcome.startswith(words)
