"""Sync of vCloud accounts with real PostgreSQL against simulated cells, from sign-in to rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import CloudAccount
from console.demo.vcloud import Cloud, Site, serve
from console.lib.jobs.rows import JobState
from servers import sync
from servers.models import Server
from tests.clouds.vcloud_account import ended, opened
from tests.factories import AccountFactory
from tests.test_sync_scale import scheduled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["1.0", "1.5", "38.1"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(Cloud.sized(25, generation=request.param)) as served:
        yield served


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made: CloudAccount = AccountFactory(
        endpoint__platform="vcloud", endpoint__url=site.url, endpoint__networks=["127.0.0.1/32"]
    )
    made.close_pending(site.cloud.credentials, 1)
    made.save()
    return made


def test_credentials_are_verified_and_every_server_comes_with_its_facts(site: Site, account: CloudAccount) -> None:
    run = sync.now(account)
    assert (run.state, run.seen, run.added) == (JobState.DONE, 25, 25), run.outcome
    account.refresh_from_db()
    assert (account.status, account.credentials_version, account.pending_version) == ("ok", 1, 0)
    for vm_id, vm in site.cloud.vms.items():
        server = Server.objects.get(account=account, external_id=f"vm-{vm_id}")
        assert (server.name, server.raw_state, server.region) == (vm.name, vm.word, "demo-vdc")
        assert (server.cpus, server.memory_mb, server.ips) == (vm.cpus, vm.memory_mb, [vm.nics[0].ip])


def test_a_second_sync_writes_only_what_changed(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    changed, gone, *_ = site.cloud.vms
    site.cloud.set_status(changed, "SUSPENDED", deployed=False)
    site.cloud.remove(gone)
    run = sync.now(account)
    assert (run.seen, run.added, run.changed, run.missing) == (24, 0, 1, 1)
    assert Server.objects.get(external_id=f"vm-{changed}").state == "suspended"
    assert Server.objects.get(external_id=f"vm-{gone}").missing_since is not None


def test_a_second_sync_reads_no_document_of_a_server(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    site.requests.clear()
    run = sync.now(account)
    read = [path for _, path in site.requests if "/vApp/" in path]
    assert (run.seen, len(read)) == (25, 5 if site.cloud.generation == "1.0" else 0)


def test_a_server_that_went_with_its_vapp_is_missed_by_the_schedule_too(site: Site, account: CloudAccount) -> None:
    alone = site.cloud.add("alone in its vApp", status="POWERED_OFF")
    sync.now(account)
    driver = opened(site.url, site.cloud.credentials)
    ended(driver, driver.delete(f"vm-{alone.id}"))
    run = scheduled(account)
    assert (run.mode, run.missing) == ("full", 1)
    assert Server.objects.get(external_id=f"vm-{alone.id}").missing_since is not None


def test_a_fault_in_mid_listing_changes_no_server_and_says_why(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    site.faults.inject("broken", times=None)
    run = sync.now(account)
    account.refresh_from_db()
    assert run.state == JobState.FAILED
    assert account.status == "error"
    assert "java.lang.NullPointerException" in account.status_reason
    assert Server.objects.filter(missing_since=None).count() == 25


def test_a_changed_password_is_a_matter_for_a_person(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    site.cloud.password = "another"
    sync.now(account)
    account.refresh_from_db()
    assert account.status == "bad_credentials"
    assert Server.objects.filter(missing_since=None).count() == 25
