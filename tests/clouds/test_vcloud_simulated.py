"""The vCloud driver against simulated cells of every generation, which know nothing of it (console/demo/vcloud*.py)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from accounts.clouds import State, vcloud_tasks
from accounts.clouds.operations import Operation, Order, Phase, Size, Task, Untold
from accounts.clouds.vcloud import VCloud
from accounts.clouds.vcloud_wire import CLOSING
from console.demo.vcloud import Cloud, Site, serve
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable
from tests.clouds.vcloud_account import ended, listed, opened

GENERATIONS = ("1.0", "1.5", "5.1", "9.0", "32.0", "36.0", "38.1", "46.0")
FEW = ("1.0", "1.5", "5.1", "38.1")


@pytest.fixture(params=FEW)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(Cloud.sized(12, generation=request.param)) as served:
        yield served


def account(site: Site) -> VCloud:
    return opened(site.url, site.cloud.credentials)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_is_signed_in_to_and_listed_whole(generation: str) -> None:
    with serve(Cloud.sized(20, generation=generation)) as site:
        driver = account(site)
        checked = driver.check()
        assert checked.version == f"vCloud API {generation}"
        named = {"1.0": "1.0", "1.5": "1.5", "5.1": "5.1", "9.0": "5.1", "32.0": "vcd"}
        assert checked.generation == named.get(generation, "33")
        found = {facts.external_id: facts for facts in listed(driver)}
        assert set(found) == {f"vm-{vm_id}" for vm_id in site.cloud.vms}
        for vm_id, vm in site.cloud.vms.items():
            facts = found[f"vm-{vm_id}"]
            assert (facts.name, facts.raw_state, facts.cpus) == (vm.name, vm.word, vm.cpus)
            assert facts.memory_mb == vm.memory_mb
            assert [address.ip for address in facts.addresses] == [nic.ip for nic in vm.nics]
            assert facts.region == "demo-vdc"
        assert driver.calls == len(site.requests)


@pytest.mark.parametrize("generation", ["1.0", "1.5", "38.1"])
@pytest.mark.parametrize("servers", [0, 1, 128, 129, 384])
def test_every_number_of_servers_is_listed_each_once(generation: str, servers: int) -> None:
    with serve(Cloud.sized(servers, generation=generation, per_vapp=16)) as site:
        found = [facts.external_id for facts in listed(account(site))]
        assert len(found) == len(set(found)) == servers


def test_pages_that_an_administrator_made_smaller_are_all_read() -> None:
    cloud = Cloud.sized(60, generation="38.1")
    cloud.max_page = 25
    with serve(cloud) as site:
        assert len(listed(account(site))) == 60
        assert sum("type=vm" in path for _, path in site.requests) == 3


@pytest.mark.parametrize("generation", ["37.0", "39.0"])
def test_an_api_token_opens_the_same_account(generation: str) -> None:
    with serve(Cloud.sized(3, generation=generation)) as site:
        assert len(listed(opened(site.url, site.cloud.token_credentials))) == 3
        with pytest.raises(BadCredentials):
            opened(site.url, site.cloud.token_credentials | {"api_token": "wrong"}).check()


def test_a_wrong_password_is_bad_credentials(site: Site) -> None:
    with pytest.raises(BadCredentials):
        opened(site.url, site.cloud.credentials | {"password": "wrong"}).check()


@pytest.mark.parametrize("status", [401, 403])
def test_a_session_of_thirty_idle_minutes_is_opened_again_unseen(site: Site, status: int) -> None:
    now = [datetime(2026, 11, 22, 12, tzinfo=UTC)]
    site.cloud.clock = lambda: now[0]
    site.cloud.idle_status = status
    driver = account(site)
    before = listed(driver)
    now[0] += timedelta(minutes=31)
    assert listed(driver) == before


def test_a_server_by_id_is_the_same_as_in_the_listing(site: Site) -> None:
    driver = account(site)
    for facts in listed(driver):
        assert driver.server(facts.external_id) == facts
    assert driver.server("vm-0") is None


def test_a_cookie_only_cell_is_spoken_to() -> None:
    cloud = Cloud.sized(2, generation="1.0")
    cloud.cookie_only = True
    with serve(cloud) as site:
        assert len(listed(account(site))) == 2


# --- a life


def test_a_server_lives_from_order_to_delete(site: Site) -> None:
    driver = account(site)
    old = site.cloud.generation == "1.0"
    image, network = driver.images()[0], driver.networks()[1]
    order = Order(
        "new & <bold>",
        image.id,
        cpus=3,
        memory_mb=2048,
        networks=(network.id,),
        metadata={} if old else {"team": "a&b"},
        user_data=b"" if old else b"#!/bin/sh\necho '<hi>'\n",
    )
    made = ended(driver, driver.create(order))
    assert made.phase is Phase.DONE, made.words
    server = made.server_id
    facts = driver.server(server)
    assert facts is not None
    assert (facts.name, facts.state, facts.cpus, facts.memory_mb) == ("new & <bold>", State.RUNNING, 3, 2048)
    assert [address.network for address in facts.addresses] == [network.name]
    if not old:
        assert driver.metadata(server) == {"team": "a&b"}
        assert driver.user_data(server) == order.user_data.strip()
    for deed, raw in (
        (driver.reboot, "POWERED_ON"),
        (driver.reset, "POWERED_ON"),
        (driver.suspend, "PARTIALLY_SUSPENDED"),
        (driver.resume, "POWERED_ON"),
        (driver.stop, "POWERED_OFF"),
        (driver.stop, "POWERED_OFF"),
        (driver.start, "POWERED_ON"),
        (driver.start, "POWERED_ON"),
        (driver.stop, "POWERED_OFF"),
    ):
        progress = ended(driver, deed(server))
        assert progress.phase is Phase.DONE, progress.words
        facts = driver.server(server)
        assert facts is not None
        assert facts.raw_state == raw
    resized = driver.resize(server, Size("", "", cpus=2, memory_mb=4096))
    assert ended(account(site), Task(resized.ref, server)).phase is Phase.DONE  # another process reads on
    facts = driver.server(server)
    assert facts is not None
    assert (facts.cpus, facts.memory_mb) == (2, 4096)
    assert ended(driver, driver.rename(server, "renamed")).phase is Phase.DONE
    driver.set_user_data(server, b"echo second")
    assert driver.user_data(server) == b"echo second"
    assert ended(driver, driver.start(server)).phase is Phase.DONE
    console = driver.console_url(server)
    assert console.url.startswith({"mks": "mks://", "webmks": "wss://"}[console.kind])
    assert ended(driver, driver.delete(server)).phase is Phase.DONE
    assert driver.server(server) is None
    assert ended(driver, driver.delete(server)).phase is Phase.DONE
    assert all(vapp.vms for vapp in site.cloud.vapps.values())  # its empty vApp went with it


def test_one_server_of_a_vapp_is_deleted_and_the_others_stay(site: Site) -> None:
    driver = account(site)
    doomed, *others = [facts.external_id for facts in listed(driver)]
    assert ended(driver, driver.delete(doomed)).phase is Phase.DONE
    assert {facts.external_id for facts in listed(driver)} == set(others)


@pytest.mark.parametrize("generation", ["5.1", "38.1"])
def test_a_snapshot_is_made_gone_back_to_and_removed(generation: str) -> None:
    with serve(Cloud.sized(2, generation=generation)) as site:
        driver = account(site)
        server = listed(driver)[0].external_id
        assert driver.snapshots(server) == ()
        with pytest.raises(Refused, match="no such snapshot"):
            driver.revert_snapshot(server, "current")
        assert ended(driver, driver.snapshot(server, "before")).phase is Phase.DONE
        [kept] = driver.snapshots(server)
        assert kept.current
        assert kept.created_at is not None
        assert ended(driver, driver.revert_snapshot(server, kept.id)).phase is Phase.DONE
        assert ended(driver, driver.delete_snapshot(server, kept.id)).phase is Phase.DONE
        assert driver.snapshots(server) == ()


@pytest.mark.parametrize("generation", ["1.5", "5.1", "38.1"])
def test_metadata_is_merged_and_deleted_by_key(generation: str) -> None:
    with serve(Cloud.sized(2, generation=generation)) as site:
        driver = account(site)
        server = listed(driver)[0].external_id
        driver.set_metadata(server, {"a": "1", "b": "<2>"})
        driver.set_metadata(server, {"a": None})
        assert driver.metadata(server) == {"b": "<2>"}


@pytest.mark.parametrize("generation", ["1.5", "38.1"])
def test_changes_are_those_that_tasks_touched_and_what_they_deleted(generation: str) -> None:
    with serve(Cloud.sized(10, generation=generation)) as site:
        driver = account(site)
        running = [facts.external_id for facts in listed(driver) if facts.state is State.RUNNING]
        since = datetime.now(UTC) - timedelta(minutes=2)
        assert driver.changes(since) == ((), frozenset())
        ended(driver, driver.stop(running[0]))
        ended(driver, driver.delete(running[1]))
        changed, gone = driver.changes(since)
        assert running[0] in {facts.external_id for facts in changed}
        assert len(changed) < 10
        assert gone == {running[1]}


def test_many_changes_are_left_to_a_whole_listing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    if site.cloud.generation == "1.0":
        with pytest.raises(Refused, match="read as a whole"):
            account(site).changes(datetime.now(UTC))
        return
    monkeypatch.setattr("accounts.clouds.vcloud_listing.MOST_CHANGED", 0)
    driver = account(site)
    ended(driver, driver.rename(listed(driver)[0].external_id, "other"))
    with pytest.raises(Untold):
        driver.changes(datetime.now(UTC) - timedelta(minutes=2))


def test_a_task_that_fails_says_why_in_the_cells_words(site: Site) -> None:
    driver = account(site)
    server = next(facts.external_id for facts in listed(driver) if facts.state is State.RUNNING)
    site.cloud.doomed.append(("", "INTERNAL_SERVER_ERROR", "The host ran out of memory."))
    progress = ended(driver, driver.stop(server))
    assert (progress.phase, progress.words) == (Phase.FAILED, "The host ran out of memory.")


def test_a_busy_server_asks_for_patience(site: Site) -> None:
    site.cloud.settle = timedelta(hours=1)
    driver = account(site)
    server = next(facts.external_id for facts in listed(driver) if facts.state is State.RUNNING)
    task = driver.stop(server)
    assert driver.task(task).phase is Phase.RUNNING
    facts = driver.server(server)
    assert facts is not None
    assert facts.state is State.CHANGING
    with pytest.raises(SlowDown):
        driver.reset(server)


def test_steps_that_never_end_are_given_up_with_words(site: Site) -> None:
    now = [0.0]
    driver = account(site)
    driver._tasks._clock = lambda: now[0]
    task = driver.create(Order("slow", driver.images()[0].id))
    site.cloud.settle = timedelta(days=1)  # the steps after the first
    now[0] = vcloud_tasks.LONGEST + 1
    progress = ended(driver, task)
    assert progress.phase is Phase.FAILED
    assert "two hours" in progress.words


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order("n", "vappTemplate-0"), "does not know this image"),
        (Order("n", "", networks=("0",)), "no network 0"),
        (Order("n", "", key_name="k"), "no key pairs in vCloud"),
        (Order("n", "", zone="mars"), "no virtual data centre named mars"),
    ],
)
def test_an_order_that_cannot_be_met_is_refused_and_makes_nothing(site: Site, order: Order, words: str) -> None:
    driver = account(site)
    image = order.image or driver.images()[0].id
    with pytest.raises(Refused, match=words):
        driver.create(Order(order.name, image, networks=order.networks, key_name=order.key_name, zone=order.zone))
    assert len(site.cloud.vms) == 12


# --- mishaps


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("over_limit", SlowDown),
        ("too_many", SlowDown),
        ("unavailable", SlowDown),
        ("broken", Unexpected),
        ("truncated", (Unexpected, Unreachable)),
        ("hang_up", Unreachable),
        ("rubbish", Unexpected),
        ("entities", Unexpected),
        ("redirect", Refused),
        ("bomb", Unexpected),
        ("huge", Unexpected),
        ("html", Fault),
    ],
)
def test_each_mishap_in_mid_listing_is_a_fault_and_never_a_shorter_list(
    site: Site, kind: str, fault: type[Exception] | tuple[type[Exception], ...]
) -> None:
    driver = account(site)
    site.faults.inject(kind, after=1 if site.cloud.generation == "1.0" else 0, times=None)
    with pytest.raises(fault):
        listed(driver)
    site.faults.clear()
    assert len(listed(driver)) == 12


@pytest.mark.parametrize("kind", ["unauthorized", "drip"])
def test_a_mishap_that_passes_costs_nothing(site: Site, kind: str) -> None:
    site.faults.inject(kind, times=1, pause=0.0)
    assert len(listed(account(site))) == 12


@pytest.mark.parametrize("generation", ["1.5", "5.1", "38.1"])
def test_an_empty_page_is_not_taken_for_an_empty_account(generation: str) -> None:
    with serve(Cloud.sized(12, generation=generation)) as site:  # 1.0 counts nothing: it has vApps, full or empty
        site.faults.inject("empty", times=None)
        with pytest.raises(Unexpected, match="not complete"):
            listed(account(site))


def test_a_catalog_that_points_elsewhere_gets_no_password(site: Site) -> None:
    site.faults.inject("elsewhere", location="http://192.0.2.1/api")
    driver = account(site)
    if site.cloud.generation == "38.1":
        driver.check()  # nothing of what the versions say is needed there
    else:
        with pytest.raises(Refused, match=r"192\.0\.2\.1"):
            driver.check()


def test_what_the_table_refuses_makes_no_call(site: Site) -> None:
    driver = account(site)
    driver.check()
    calls = driver.calls
    for operation, call in {
        Operation.KEY_PAIRS: driver.key_pairs,
        Operation.CONSOLE_TEXT: lambda: driver.console_text("vm-1"),
        Operation.CONFIRM_RESIZE: lambda: driver.confirm_resize("vm-1"),
    }.items():
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.words == driver.capabilities()[operation].reason
    assert driver.calls == calls


@pytest.mark.parametrize("generation", ["1.0", "1.5", "5.1", "32.0", "38.1"])
def test_a_closed_driver_leaves_no_session_and_one_that_never_called_makes_no_call(generation: str) -> None:
    with serve(Cloud.sized(1, generation=generation)) as site:
        driver = account(site)
        driver.close()
        assert driver.calls == 0
        driver.check()
        assert len(site.cloud.sessions) == 1
        driver.close()
        assert not site.cloud.sessions
        calls = driver.calls
        driver.close()
        assert driver.calls == calls


def test_a_closed_driver_waits_for_no_turn_and_not_long_for_an_answer() -> None:
    with serve(Cloud.sized(1, generation="38.1")) as site:
        driver = account(site)
        driver.check()
        driver._wire._transport.before_call = pytest.fail
        site.faults.inject("hang_up", path="session", method="DELETE", times=None)
        driver.close()
        assert driver._wire._transport.deadline == CLOSING


def test_sizes_are_the_sizing_policies_and_a_server_can_be_given_a_measure_of_its_own() -> None:
    with serve(Cloud.sized(2, generation="38.1")) as site:
        driver = account(site)
        default, small, large = driver.sizes()
        assert [(size.name, size.cpus, size.memory_mb) for size in (default, small, large)] == [
            ("System Default", None, None),
            ("Small", 2, 4096),
            ("Large", 4, 8192),
        ]
        vm = next(iter(site.cloud.vms.values()))
        server = f"vm-{vm.id}"
        assert ended(driver, driver.stop(server)).phase is Phase.DONE
        assert ended(driver, driver.resize(server, large)).phase is Phase.DONE
        assert (vm.policy, vm.cpus, vm.memory_mb) == (large.id, 4, 8192)
        assert ended(driver, driver.resize(server, Size(default.id, "", cpus=3, memory_mb=1024))).phase is Phase.DONE
        assert (vm.policy, vm.cpus, vm.memory_mb) == (default.id, 3, 1024)
        assert ended(driver, driver.resize(server, Size("", "", cpus=5, memory_mb=2048))).phase is Phase.DONE
        assert (vm.policy, vm.cpus, vm.memory_mb) == (default.id, 5, 2048)
