"""Pushed credentials: versions that only grow, verified by really signing in, and the old ones live until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts import linking
from accounts.models import CloudAccount, CredentialPush, SyncRun
from console.demo.openstack import Cloud, Site, serve
from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.lib.jobs.rows import JobState
from console.models import AuditEntry
from providers import customers
from providers.models import CloudEndpoint, Customer
from servers import sync, turns
from servers.models import Server
from tests.factories import CustomerFactory, EndpointFactory
from tests.farclouds import endpoint_at
from tests.loopback import names

pytestmark = pytest.mark.django_db  # those that need real commits say so

ACTOR = audit.Actor("provider", "k", "North Cloud key")
FORM = {"username": "u", "password": "p", "project": "p"}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Cloud.sized(5)) as served:
        yield served


@pytest.fixture
def endpoint(site: Site) -> CloudEndpoint:
    return endpoint_at(site)


@pytest.fixture
def customer(endpoint: CloudEndpoint) -> Customer:
    made: Customer = CustomerFactory(provider=endpoint.provider)
    return made


@pytest.fixture
def push(customer: Customer, endpoint: CloudEndpoint) -> Callable[..., linking.Pushed]:
    def pushed(version: int, credentials: dict[str, str], **more: Any) -> linking.Pushed:
        wanted = {"endpoint": endpoint, "name": "Main", "actor": ACTOR} | more
        return linking.push(customer, "main", version=version, credentials=credentials, **wanted)

    return pushed


Push = Callable[..., linking.Pushed]


def settled() -> CloudAccount:
    """The account after a worker answered what was rung."""
    account = CloudAccount.objects.get()
    sync.now(account)
    account.refresh_from_db()
    return account


def test_a_push_waits_sealed_and_asks_for_a_verification(site: Site, push: Push) -> None:
    pushed = push(3, site.cloud.credentials)
    account = pushed.account
    assert (pushed.created, pushed.changed, account.status) == (True, True, "pending")
    assert account.status_reason == "Version 3 of the credentials is being verified."
    assert (account.sealed, account.credentials_version, account.pending_version) == ("", 0, 3)
    assert site.cloud.credentials["password"] not in account.pending_sealed
    assert account.pending_credentials() == site.cloud.credentials
    run = SyncRun.objects.get()
    assert (run.trigger, run.state) == ("push", "queued")
    assert list(AuditEntry.objects.values_list("verb", "actor_name")) == [("account.linked", "North Cloud key")]


@pytest.mark.django_db(transaction=True)
def test_credentials_that_open_the_account_are_promoted_and_its_servers_listed(site: Site, push: Push) -> None:
    push(3, site.cloud.credentials)
    account = settled()
    assert (account.status, account.status_reason) == ("ok", "")
    assert (account.credentials_version, account.pending_version, account.pending_sealed) == (3, 0, "")
    assert account.credentials() == site.cloud.credentials
    assert account.verified_at is not None
    assert account.version_found == "Keystone v3, Nova v2.1"
    assert account.speaks == "OpenStack Keystone v3, Nova v2.1"
    assert CloudEndpoint.objects.get().version_found == "Keystone v3, Nova v2.1"
    assert Server.objects.count() == 5
    assert SyncRun.objects.get().credentials_version == 3
    assert CredentialPush.objects.get().outcome == "passed"
    assert "account.credentials_verified" in AuditEntry.objects.values_list("verb", flat=True)


def test_an_older_version_is_denied_and_changes_nothing(site: Site, push: Push) -> None:
    push(3, site.cloud.credentials)
    with pytest.raises(Denied, match="Version 2 is older than version 3") as denied:
        push(2, FORM)
    assert denied.value.code == "version_is_older"
    account = settled()
    assert account.credentials_version == 3
    with pytest.raises(Denied, match="older"):
        push(2, FORM)


def test_the_same_push_again_changes_nothing(site: Site, push: Push) -> None:
    push(3, site.cloud.credentials)
    again = push(3, site.cloud.credentials)
    assert (again.created, again.changed) == (False, False)
    settled()
    later = push(3, site.cloud.credentials)
    assert (later.changed, later.account.status) == (False, "ok")
    assert CredentialPush.objects.count() == 1
    assert AuditEntry.objects.filter(verb="account.linked").count() == 1


def test_other_credentials_under_the_same_version_are_denied(site: Site, push: Push) -> None:
    push(3, site.cloud.credentials)
    with pytest.raises(Denied, match="Push these as version 4"):
        push(3, FORM)
    settled()
    with pytest.raises(Denied, match="Push these as version 4"):
        push(3, FORM)


@pytest.mark.django_db(transaction=True)
def test_the_same_push_twenty_times_at_once_is_one(site: Site, push: Push) -> None:
    start = threading.Barrier(20)
    outcomes: list[bool] = []

    def one() -> None:
        start.wait(10)
        outcomes.append(push(1, site.cloud.credentials).created)
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == [False] * 19 + [True]
    assert (CloudAccount.objects.count(), CredentialPush.objects.count(), SyncRun.objects.count()) == (1, 1, 1)


def test_bad_new_credentials_are_refused_and_the_old_ones_stay_live(site: Site, push: Push) -> None:
    push(1, site.cloud.credentials)
    settled()
    pending = push(2, site.cloud.credentials | {"password": "wrong"}).account
    assert pending.status == "pending"
    assert "Version 1 stays in use until it passes" in pending.status_reason
    assert pending.credentials() == site.cloud.credentials
    site.cloud.add("made meanwhile")
    account = settled()
    assert (account.status, account.credentials_version, account.pending_version) == ("bad_credentials", 1, 0)
    assert account.status_reason.startswith("Version 2 of the credentials was refused. Keystone did not accept")
    assert account.status_reason.endswith("Version 1 stays in use.")
    assert Server.objects.count() == 6, "the old credentials went on listing"
    assert CredentialPush.objects.get(version=2).outcome == "refused"
    assert settled().status == "bad_credentials", "the news stays until a newer push passes"
    push(3, site.cloud.credentials)
    account = settled()
    assert (account.status, account.credentials_version) == ("ok", 3)


def test_bad_first_credentials_say_so_and_are_not_tried_for_ever(site: Site, push: Push) -> None:
    push(1, site.cloud.credentials | {"password": "wrong"})
    account = settled()
    assert account.status == "bad_credentials"
    assert account.status_reason.startswith("Keystone did not accept the credentials: ")
    assert account.pending_sealed == account.sealed == ""
    CloudAccount.objects.update(next_sync_at=timezone.now())
    assert turns.due(timezone.now()) == 0
    push(1, site.cloud.credentials)
    assert settled().status == "ok", "a refused version holds nothing, so it may be corrected"


def test_a_cloud_that_is_down_leaves_the_push_pending_until_it_is_back(site: Site, push: Push) -> None:
    site.faults.inject("unavailable", times=None, path="/")
    push(1, site.cloud.credentials)
    account = settled()
    assert (account.status, account.pending_version) == ("unreachable", 1)
    site.faults.clear()
    account = settled()
    assert (account.status, account.credentials_version) == ("ok", 1)


@pytest.mark.django_db(transaction=True)
def test_a_cloud_that_says_no_to_new_credentials_leaves_the_old_ones_working(site: Site, push: Push) -> None:
    push(1, site.cloud.credentials)
    settled()
    site.faults.inject("forbidden", times=1)
    push(2, site.cloud.credentials)
    account = settled()
    assert (account.status, account.credentials_version, account.pending_version) == ("refused", 1, 2)
    assert account.status_reason.startswith("Version 2 of the credentials could not be verified.")
    assert SyncRun.objects.first().state == JobState.DONE
    account = settled()
    assert (account.status, account.credentials_version) == ("ok", 2)


@pytest.mark.django_db(transaction=True)
def test_a_newer_push_during_a_verification_wins(site: Site, push: Push) -> None:
    account = push(1, site.cloud.credentials).account
    site.faults.inject("drip", path="/tokens", pause=0.01)
    ended: list[SyncRun] = []

    def worker() -> None:
        ended.append(sync.now(account))
        connection.close()

    working = threading.Thread(target=worker)
    working.start()
    deadline = time.monotonic() + 10
    while not any("/tokens" in path for _, path in list(site.requests)) and time.monotonic() < deadline:
        working.join(0.01)
    push(2, site.cloud.credentials)
    working.join(30)
    assert (ended[0].state, ended[0].outcome) == ("queued", "Newer credentials came meanwhile.")
    account = settled()
    assert (account.status, account.credentials_version) == ("ok", 2)
    assert list(account.pushes.values_list("version", "outcome")) == [(2, "passed"), (1, "replaced")]


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"username": "u", "password": "p"},
        {"username": "u", "password": "", "project": "p"},
        FORM | {"pasword": "typo"},
        FORM | {"application_credential_id": "a", "application_credential_secret": "b"},
        {"api_key": "a", "secret_key": "b"},
    ],
)
def test_credentials_of_the_wrong_form_name_the_right_one(push: Push, credentials: dict[str, str]) -> None:
    with pytest.raises(Wrong) as wrong:
        push(1, credentials)
    assert "OpenStack takes {password, project, username" in wrong.value.fields["credentials"][0]
    assert not CloudAccount.objects.exists()


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_that_cannot_grow_is_wrong(push: Push, version: int) -> None:
    with pytest.raises(Wrong) as wrong:
        push(version, FORM)
    assert "version" in wrong.value.fields


def test_an_endpoint_of_another_provider_is_wrong(push: Push) -> None:
    with pytest.raises(Wrong) as wrong:
        push(1, FORM, endpoint=EndpointFactory())
    assert "endpoint" in wrong.value.fields


def test_live_credentials_are_never_sent_to_another_endpoint(site: Site, push: Push, endpoint: CloudEndpoint) -> None:
    other = EndpointFactory(provider=endpoint.provider, slug="other")
    push(1, site.cloud.credentials, endpoint=other)
    assert push(2, site.cloud.credentials).account.endpoint_id == endpoint.pk, "none are live yet"
    settled()
    with pytest.raises(Denied, match="another endpoint"):
        push(3, site.cloud.credentials, endpoint=other)


def test_a_catalog_may_lead_to_another_host_only_when_staff_registered_it(
    site: Site, push: Push, endpoint: CloudEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, ["127.0.0.1"])
    nova = f"http://nova.example:{site.compute_url.rsplit(':', 1)[1]}/v2.1"
    site.faults.inject("elsewhere", times=None, location=nova)
    push(1, site.cloud.credentials)
    account = settled()
    assert account.status == "refused"
    assert "sends us on to http://nova.example" in account.status_reason
    EndpointFactory(provider=endpoint.provider, slug="nova", url=nova, enabled=False)
    assert settled().status == "ok"


def test_a_removed_account_is_wiped_and_a_new_push_brings_it_back(site: Site, push: Push) -> None:
    account = push(1, site.cloud.credentials).account
    settled()
    push(2, site.cloud.credentials)
    linking.remove(account, ACTOR)
    linking.remove(account, ACTOR)
    account.refresh_from_db()
    assert (account.sealed, account.pending_sealed) == ("", "")
    assert not SyncRun.objects.active().exists()
    assert AuditEntry.objects.filter(verb="account.removed").count() == 1
    again = push(3, site.cloud.credentials)
    assert (again.created, again.account.pk) == (True, account.pk)
    assert settled().status == "ok"


def test_closing_a_customer_wipes_its_credentials_at_once(site: Site, push: Push, customer: Customer) -> None:
    push(1, site.cloud.credentials)
    settled()
    push(2, site.cloud.credentials)
    customers.close(customer, ACTOR)
    account = CloudAccount.objects.get()
    assert (account.sealed, account.pending_sealed) == ("", "")
    with pytest.raises(Denied, match="closed"):
        push(3, site.cloud.credentials)


def test_a_push_for_a_suspended_customer_waits_until_it_resumes(site: Site, push: Push, customer: Customer) -> None:
    customers.suspend(customer, ACTOR)
    push(1, site.cloud.credentials)
    assert settled().status == "pending"
    assert not site.requests
    customers.resume(customer, ACTOR)
    assert turns.due(timezone.now()) == 1
    assert settled().status == "ok"


def test_stored_credentials_that_do_not_open_are_an_error_that_says_so(site: Site, push: Push) -> None:
    push(1, site.cloud.credentials)
    settled()
    CloudAccount.objects.update(sealed="v1:nobody:AAAA:AAAA")
    account = settled()
    assert account.status == "error"
    assert "do not open" in account.status_reason
    push(2, site.cloud.credentials)
    assert settled().status == "ok"
