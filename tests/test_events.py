"""What happens to accounts, servers and agents is told to the provider's webhooks, once, by the provider's own ids."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone

from accounts import linking
from accounts.models import CloudAccount, CredentialPush
from console.demo.openstack import Cloud, Site, serve
from console.lib import audit
from providers import webhooks
from providers.models import Customer, Event
from servers import sync
from servers.actions.models import Action, ActionBatch
from servers.agents import checkin, enrol, reports, silence
from servers.agents.models import Agent
from servers.models import Server
from tests.conftest import People
from tests.factories import CustomerFactory, ServerFactory
from tests.farclouds import account_at, endpoint_at
from tests.machine import SAMPLE as METRICS

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(minutes=5)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Cloud.sized(5)) as served:
        yield served


@pytest.fixture
def customer(site: Site) -> Customer:
    """Of a provider that listens to everything."""
    made: Customer = CustomerFactory(provider=endpoint_at(site, slug="nova").provider, external_id="c-1")
    webhooks.add(made.provider, "http://127.0.0.1:9/", [], audit.SYSTEM)
    return made


def told(*types: str) -> list[dict]:
    """The data of those events, in their order, and then they are forgotten."""
    rows = Event.objects.filter(type__in=types) if types else Event.objects.all()
    found = [{"type": row.type, **row.data} for row in rows.order_by("at")]
    Event.objects.all().delete()
    return found


def push(customer: Customer, site: Site, version: int, **changed: str) -> None:
    linking.push(customer, "main", endpoint=customer.provider.endpoints.get(), name="Main", version=version,
                 credentials=site.cloud.credentials | changed, actor=audit.SYSTEM)  # fmt: skip
    sync.now(CloudAccount.objects.get())


@pytest.mark.django_db(transaction=True)
def test_a_push_tells_whether_the_cloud_took_it(site: Site, customer: Customer) -> None:
    named = {"external_id": "c-1", "account_id": "main", "name": "Main"}
    push(customer, site, 1, password="wrong")
    [failed] = told()
    assert "did not accept the credentials" in failed.pop("reason")
    assert failed == {"type": "account.failed", "version": 1, "status": "bad_credentials", **named}
    push(customer, site, 2)
    assert told("account.verified", "account.failed") == [{"type": "account.verified", "version": 2, **named}]
    linking.remove(CloudAccount.objects.get(), audit.SYSTEM)
    linking.remove(CloudAccount.objects.get(), audit.SYSTEM)
    assert told() == [{"type": "account.removed", **named}]
    assert site.cloud.credentials["password"] not in str(list(Event.objects.values()))


@pytest.mark.django_db(transaction=True)
def test_credentials_that_the_cloud_takes_back_are_told_once_and_so_is_their_return(
    site: Site, customer: Customer
) -> None:
    push(customer, site, 1)
    told()
    user = site.cloud.users[site.cloud.username]
    right, account = user.password, CloudAccount.objects.get()
    user.password = "changed at the cloud"  # noqa: S105
    site.cloud.revoke_tokens()
    for _ in range(2):
        sync.now(account)
    [failed] = told()
    assert (failed["type"], failed["version"], failed["status"]) == ("account.failed", 1, "bad_credentials")
    user.password = right
    for _ in range(2):
        sync.now(account)
    assert [one["type"] for one in told()] == ["account.verified"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("fault", "status"), [("forbidden", "refused"), ("rubbish", "error")])
def test_a_push_that_the_cloud_says_no_to_is_told_once_and_passes_later(
    site: Site, customer: Customer, fault: str, status: str
) -> None:
    site.faults.inject(fault, times=None, path="/")
    push(customer, site, 1)
    sync.now(CloudAccount.objects.get())
    [failed] = told()
    assert (failed["type"], failed["version"], failed["status"]) == ("account.failed", 1, status)
    outcome = CredentialPush.objects.get()
    assert (outcome.outcome, outcome.reason) == ("failed", failed["reason"]) and failed["reason"]
    assert CloudAccount.objects.get().status == status
    site.faults.clear()
    sync.now(CloudAccount.objects.get())
    assert "account.verified" in [one["type"] for one in told()]
    assert (CredentialPush.objects.get().outcome, CredentialPush.objects.get().reason) == ("passed", "")


@pytest.mark.django_db(transaction=True)
def test_each_server_is_discovered_once_and_lost_when_it_is_really_gone(site: Site, customer: Customer) -> None:
    account = account_at(site, customer=customer, endpoint=customer.provider.endpoints.get(), external_id="main")
    for _ in range(2):
        sync.now(account)
    found = told("server.discovered")
    assert sorted(one["server_external_id"] for one in found) == sorted(site.cloud.instances)
    assert {(one["external_id"], one["account_id"]) for one in found} == {("c-1", "main")}
    gone = next(iter(site.cloud.instances.values()))
    site.cloud.remove(gone.id)
    sync.now(account)
    assert told() == [], "missing once is not lost"
    Server.objects.filter(external_id=gone.id).update(missing_since=timezone.now() - timedelta(hours=1))
    sync.now(account)
    [lost] = told()
    assert (lost["type"], lost["server_external_id"], lost["name"]) == ("server.lost", gone.id, gone.name)
    site.cloud.instances[gone.id] = gone
    gone.status = "ACTIVE"
    site.cloud._order.clear()
    CloudAccount.objects.update(changes_from=None)  # a whole listing
    sync.now(account)
    assert [(one["type"], one["server_external_id"]) for one in told()] == [("server.discovered", gone.id)]


@pytest.fixture
def agent(people: People) -> Agent:
    """A live agent on a running server of a provider that listens."""
    webhooks.add(people.customer.provider, "http://127.0.0.1:9/", [], audit.SYSTEM)
    Customer.objects.filter(pk=people.customer.pk).update(external_id="c-1")
    server = ServerFactory(account=people.account, external_id="srv", name="web")
    made: Agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", reports.facts({}))
    for _ in range(2):
        checkin.beat(made.pk, "0.1.0", reports.metrics(METRICS), None)
    made.refresh_from_db()
    return made


def silent(agent: Agent) -> None:
    """It was last heard some minutes ago, and nothing else changed since."""
    Agent.objects.update(last_seen_at=timezone.now() - LONG_AGO)
    Server.objects.update(changed_at=timezone.now() - timedelta(hours=1))
    CloudAccount.objects.update(last_sync_at=timezone.now())


def test_the_first_heartbeat_makes_a_server_managed(agent: Agent) -> None:
    [managed] = told()
    assert (managed["type"], managed["external_id"], managed["server_external_id"], managed["name"]) == (
        "server.managed", "c-1", "srv", "web",
    )  # fmt: skip


def test_a_silence_is_told_once_and_so_is_its_end(agent: Agent) -> None:
    told()
    assert silence.find() == 0, "it reports"
    for _ in range(2):
        silent(agent)
        assert (silence.find(), silence.find()) == (1, 0)
        for _ in range(2):
            checkin.beat(agent.pk, "0.1.0", reports.metrics(METRICS), None)
    assert [one["type"] for one in told()] == ["agent.offline", "agent.online"] * 2


@pytest.mark.parametrize("state", ["stopped", "suspended", "changing", "failed"])
def test_a_server_that_does_not_run_may_be_silent(agent: Agent, state: str) -> None:
    silent(agent)
    Server.objects.update(state=state)
    assert silence.find() == 0
    Server.objects.update(state="running")
    assert silence.find() == 1


def test_a_server_that_just_came_up_or_is_worked_on_gets_its_time(agent: Agent, people: People) -> None:
    silent(agent)
    Server.objects.update(changed_at=timezone.now())
    assert silence.find() == 0
    silent(agent)
    batch = ActionBatch.objects.create(customer=people.customer, kind="reboot", by=people.alice)
    action = Action.objects.create(
        batch=batch, customer=people.customer, account=people.account, server=agent.server, name="web", kind="reboot"
    )
    assert silence.find() == 0
    Action.objects.update(state="done", ended_at=timezone.now())
    assert silence.find() == 0, "it boots"
    Action.objects.filter(pk=action.pk).update(ended_at=timezone.now() - LONG_AGO)
    assert silence.find() == 1


def test_what_was_not_read_since_the_silence_began_may_have_been_stopped(agent: Agent) -> None:
    silent(agent)
    CloudAccount.objects.update(last_sync_at=timezone.now() - timedelta(hours=1))
    assert silence.find() == 0
    Agent.objects.update(last_seen_at=F("last_seen_at") - silence.LONG)
    assert silence.find() == 1


def test_of_a_suspended_customer_nothing_is_told(agent: Agent) -> None:
    silent(agent)
    Customer.objects.update(status="suspended")
    assert silence.find() == 0


@pytest.mark.django_db(transaction=True)
def test_two_looks_at_once_tell_of_a_silence_once(agent: Agent) -> None:
    silent(agent)
    found: list[int] = []

    def look() -> None:
        try:
            found.append(silence.find())
        finally:
            connections.close_all()

    looks = [threading.Thread(target=look) for _ in range(4)]
    for one in looks:
        one.start()
    for one in looks:
        one.join()
    assert sorted(found) == [0, 0, 0, 1]
    assert len(told("agent.offline")) == 1
