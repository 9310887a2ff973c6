"""Drivers that stay signed in between two tasks of one process, and what ends them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from django.db import connection

from accounts import calling, keeping, pacing
from accounts.keeping import Keep
from accounts.models import CloudAccount
from console.demo import cloudstack, vcloud
from console.demo.openstack import Cloud, Site, serve
from console.lib.audit import SYSTEM
from console.lib.faults import BadCredentials, Refused, SlowDown, Unexpected
from providers import customers
from servers import refreshing, sync
from servers.models import Server
from tests.factories import AccountFactory
from tests.farclouds import account_at

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Cloud.sized(5)) as served:
        yield served


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made = account_at(site)
    sync.now(made)
    site.requests.clear()
    return made


def again(account: CloudAccount) -> CloudAccount:
    """The row as it is now, as whoever calls a cloud reads it."""
    return CloudAccount.objects.select_related("customer", "endpoint").get(pk=account.pk)


def look(account: CloudAccount) -> int:
    """Refresh one server; 1 when the cloud answered."""
    return refreshing.refresh(account.pk, [Server.objects.filter(account=account).first().pk])


def sign_ins(site: Site) -> int:
    return sum(method == "POST" and path.endswith("/tokens") for method, path in site.requests)


def connections(site: Site) -> int:
    """Open ones from this process to the cloud."""
    ports = set(site.listening)
    found = psutil.Process().net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port in ports and one.status == "ESTABLISHED" for one in found)


def push(account: CloudAccount, credentials: dict[str, str], version: int) -> None:
    row = CloudAccount.objects.get(pk=account.pk)
    row.close_pending(credentials, version)
    row.promote_pending()
    row.save()


def test_two_refreshes_in_one_process_sign_in_once(site: Site, account: CloudAccount) -> None:
    assert look(account) == 1
    first = len(site.requests)
    assert look(account) == 1
    assert sign_ins(site) == 1
    assert len(site.requests) - first < first, "the second one asks for less"


def test_a_token_that_ran_out_is_got_again_without_a_word(site: Site, account: CloudAccount) -> None:
    look(account)
    site.cloud.revoke_tokens()
    assert look(account) == 1
    assert sign_ins(site) == 2


def test_revoked_credentials_are_told_and_what_was_kept_is_dropped(site: Site, account: CloudAccount) -> None:
    look(account)
    user = site.cloud.users[site.cloud.username]
    before, user.password = user.password, "another"
    site.cloud.revoke_tokens()
    site.requests.clear()
    with pytest.raises(BadCredentials), calling.calling(again(account), 1.0) as driver:
        driver.server("any")
    user.password = before
    site.requests.clear()
    assert look(account) == 1
    assert sign_ins(site) == 1, "a new driver, not the refused one"


def test_rubbish_ends_what_was_kept_and_a_refusal_does_not(site: Site, account: CloudAccount) -> None:
    for kind, fault, signs_in_anew in (("forbidden", Refused, 0), ("rubbish", Unexpected, 1)):
        look(account)
        site.faults.inject(kind, path="/servers/", times=1)
        with pytest.raises(fault), calling.calling(again(account), 1.0) as driver:
            driver.server("any")
        site.requests.clear()
        assert look(account) == 1
        assert sign_ins(site) == signs_in_anew, kind


def test_newly_pushed_credentials_mean_a_new_sign_in(site: Site, account: CloudAccount) -> None:
    look(account)
    push(account, dict(site.cloud.credentials), 2)
    look(account)
    assert sign_ins(site) == 2
    look(account)
    assert sign_ins(site) == 2


@pytest.mark.parametrize(
    "changed", [{"networks": ["127.0.0.0/8", "10.0.0.0/8"]}, {"version": "3"}, {"ca": ""}, {"region": "RegionOne"}]
)
def test_an_endpoint_that_staff_changed_means_a_new_sign_in(
    site: Site, account: CloudAccount, changed: dict[str, Any]
) -> None:
    look(account)
    for name, value in changed.items():
        setattr(account.endpoint, name, value)
    account.endpoint.save()
    assert look(account) == 1
    assert sign_ins(site) == (1 if changed == {"ca": ""} else 2), "an empty one was empty before"


def test_a_suspended_customer_s_driver_is_neither_used_nor_kept(site: Site, account: CloudAccount) -> None:
    look(account)
    customers.suspend(account.customer, SYSTEM)
    site.requests.clear()
    assert look(account) == 0
    assert not site.requests
    with keeping.driver(again(account)) as driver:  # whoever has a reason to ask all the same signs in anew
        driver.check()
    assert sign_ins(site) == 1
    customers.resume(account.customer, SYSTEM)
    look(account)
    assert sign_ins(site) == 2


def test_wiped_credentials_are_gone_from_memory_at_the_next_use(site: Site, account: CloudAccount) -> None:
    keep = Keep()
    with keep.driver(again(account)) as driver:
        driver.check()
    assert len(keep) == 1
    customers.close(account.customer, SYSTEM)
    site.requests.clear()
    with pytest.raises(BadCredentials), keep.driver(again(account)):
        pass
    assert len(keep) == 0
    assert not site.requests


def test_each_use_is_paced_by_its_own_hook_and_by_no_other(site: Site, account: CloudAccount) -> None:
    keep, heard = Keep(), []
    with keep.driver(again(account), lambda verb: heard.append(("first", verb))) as driver:
        driver.server("any")
    first = len(heard)
    with keep.driver(again(account), lambda verb: heard.append(("second", verb))) as driver:
        driver.server("any")
    assert {who for who, _ in heard[:first]} == {"first"}
    assert {who for who, _ in heard[first:]} == {"second"}


def test_a_cloud_that_asked_for_fewer_calls_is_heeded_by_a_kept_driver_too(site: Site, account: CloudAccount) -> None:
    look(account)
    pacing.heed(account.pk, SlowDown("Slow down.", 30.0))
    site.requests.clear()
    with pytest.raises(SlowDown), calling.calling(again(account), 0.5) as driver:
        driver.server("any")
    assert not site.requests
    pacing.forget(account.pk)
    look(account)
    assert sign_ins(site) == 0


def test_two_at_once_have_a_driver_each(site: Site, account: CloudAccount) -> None:
    keep = Keep()
    with keep.driver(again(account)) as one, keep.driver(again(account)) as other:
        assert one is not other
    assert len(keep) == 1


@pytest.mark.django_db(transaction=True)
def test_threads_never_share_one(site: Site, account: CloudAccount) -> None:
    keep, row = Keep(), again(account)
    using: set[int] = set()
    shared: list[int] = []
    together = threading.Barrier(4)

    def use() -> None:
        try:
            together.wait(10)
            for _ in range(25):
                with keep.driver(row) as driver:
                    if id(driver) in using:
                        shared.append(id(driver))
                    using.add(id(driver))
                    driver.capabilities()  # lets the others run
                    using.discard(id(driver))
        finally:
            connection.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not shared
    assert sign_ins(site) <= 4 * 25
    assert len(keep) == 1


def test_it_is_not_kept_beyond_its_age_nor_are_more_than_so_many(site: Site, account: CloudAccount) -> None:
    now = [0.0]
    keep = Keep(most=1, age=600.0, clock=lambda: now[0])
    with keep.driver(again(account)) as first:
        pass
    now[0] = 599.0
    with keep.driver(again(account)) as second:
        pass
    assert second is first
    now[0] = 600.0
    with keep.driver(again(account)) as third:
        pass
    assert third is not first
    other = account_at(site, customer=account.customer, endpoint=account.endpoint)
    with keep.driver(again(other)):
        pass
    assert len(keep) == 1
    with keep.driver(again(account)) as fourth:
        pass
    assert fourth is not third


def test_a_bug_in_the_middle_of_a_use_ends_what_was_kept(site: Site, account: CloudAccount) -> None:
    keep = Keep()
    with pytest.raises(ZeroDivisionError), keep.driver(again(account)):
        _ = 1 / 0
    assert len(keep) == 0


def test_nothing_secret_stands_in_what_a_driver_is_known_by(account: CloudAccount) -> None:
    row = again(account)
    stamp = repr(keeping._stamp(row, keeping.opening.transport(row.endpoint)))
    assert row.sealed not in stamp
    assert not any(value in stamp for value in row.credentials().values() if len(value) > 4)


def test_between_two_uses_no_connection_stays_open(site: Site) -> None:
    keep, account = Keep(), account_at(site)
    with keep.driver(again(account)) as driver:
        driver.check()
        assert connections(site) > 0
    assert connections(site) == 0
    with keep.driver(again(account)) as driver:
        assert driver.server("any") is None


@pytest.mark.parametrize("generation", ["1.0", "1.5", "38.1"])
def test_what_is_dropped_is_signed_out_of_its_cell(generation: str) -> None:
    with vcloud.serve(vcloud.Cloud.sized(3, generation=generation)) as cell:
        account = AccountFactory(endpoint__platform="vcloud", endpoint__url=cell.url)
        push(account, cell.cloud.credentials, 1)
        now = [0.0]
        keep = Keep(age=600.0, clock=lambda: now[0])

        def use() -> None:
            with keep.driver(again(account)) as driver:
                driver.check()

        use()
        [first] = cell.cloud.sessions
        now[0] = 600.0
        use()
        [second] = cell.cloud.sessions
        assert second != first
        push(account, cell.cloud.credentials, 2)
        use()
        [third] = cell.cloud.sessions
        assert third != second
        keep.forget(account.pk)
        way = {"path": "logout"} if generation == "1.0" else {"path": "session", "method": "DELETE"}
        cell.faults.inject("hang_up", **way)
        use()  # a sign-out that goes wrong is nobody's trouble
        assert third in cell.cloud.sessions
        assert len(cell.cloud.sessions) == 2


@pytest.mark.parametrize("generation", ["1.0", "1.5", "38.1"])
def test_a_sync_leaves_no_session_at_the_cell_whether_it_ends_well_or_not(generation: str) -> None:
    with vcloud.serve(vcloud.Cloud.sized(3, generation=generation)) as cell:
        account = AccountFactory(endpoint__platform="vcloud", endpoint__url=cell.url)
        account.close_pending(cell.cloud.credentials, 1)
        account.save()
        assert sync.now(account).state == "done"
        assert not cell.cloud.sessions
        cell.faults.inject("rubbish", times=50)
        assert sync.now(again(account)).state == "failed"
        assert not cell.cloud.sessions


@pytest.mark.parametrize("generation", ["1.0", "1.5", "38.1"])
def test_a_vcloud_cell_opens_one_session_for_many_looks(generation: str) -> None:
    with vcloud.serve(vcloud.Cloud.sized(3, generation=generation)) as cell:
        account = AccountFactory(endpoint__platform="vcloud", endpoint__url=cell.url)
        push(account, cell.cloud.credentials, 1)
        vm = f"vm-{next(iter(cell.cloud.vms))}"
        for _ in range(4):
            with calling.calling(again(account), 5.0) as driver:
                assert driver.server(vm) is not None
        assert len(cell.cloud.sessions) == 1
        cell.cloud.revoke_tokens()  # as after half an hour of silence
        with calling.calling(again(account), 5.0) as driver:
            assert driver.server(vm) is not None
        assert len(cell.cloud.sessions) == 1


def test_cloudstack_is_asked_once_what_it_can_do() -> None:
    with cloudstack.serve(cloudstack.Cloud.sized(3)) as far:
        account = AccountFactory(endpoint__platform="cloudstack", endpoint__url=far.url)
        push(account, far.cloud.credentials, 1)
        for _ in range(4):
            with calling.calling(again(account), 5.0) as driver:
                driver.capabilities()
        assert sum("listCapabilities" in path for _, path in far.requests) == 1
