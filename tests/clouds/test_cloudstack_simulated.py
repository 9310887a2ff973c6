"""The CloudStack driver against the simulated cloud of every generation, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from accounts.clouds import State
from accounts.clouds.cloudstack import CloudStack
from accounts.clouds.cloudstack_capabilities import CAPABILITIES, NEWEST, generation
from accounts.clouds.operations import Operation, Order, Phase, Progress, Task
from console.demo.cloudstack import Cloud, Site, serve
from console.lib.faults import Refused
from tests.clouds.cloudstack_account import listing, opened

RELEASES = {"3.0.7": "3.x", "4.0.2": "4.0", "4.3.0": "4.2", "4.11.2.0": "4.4", "4.17.0.1": "4.17", "4.20.0.0": "4.18"}


@contextmanager
def serving(version: str, machines: int = 0) -> Iterator[tuple[Site, CloudStack]]:
    with serve(Cloud.sized(machines, version)) as site:
        yield site, opened(site.url, credentials=site.cloud.credentials)


def ended(driver: CloudStack, task: Task) -> Progress:
    """How a task ends when another process reads on with its `ref` alone."""
    return driver.task(Task(task.ref))


def running(driver: CloudStack) -> str:
    return next(facts.external_id for facts in listing(driver) if facts.state is State.RUNNING)


@pytest.fixture(params=RELEASES)
def either(request: pytest.FixtureRequest) -> Iterator[tuple[Site, CloudStack]]:
    with serving(request.param, 25) as served:
        yield served


def test_the_generation_is_found_in_what_the_cloud_says_of_itself(either: tuple[Site, CloudStack]) -> None:
    site, driver = either
    checked = driver.check()
    assert checked.generation == RELEASES[site.cloud.version]
    assert checked.version == f"CloudStack {site.cloud.version}"
    assert driver.capabilities() is CAPABILITIES[checked.generation]


@pytest.mark.parametrize("many", [0, 1, 500, 501, 1001])
@pytest.mark.parametrize("version", ["3.0.7", "4.20.0.0"])
def test_every_server_is_listed_once(version: str, many: int) -> None:
    with serving(version, many) as (site, driver):
        found = listing(driver)
        gone = {one.id for one in site.cloud.machines.values() if one.state in ("Destroyed", "Expunging")}
        assert sorted(facts.external_id for facts in found) == sorted(set(site.cloud.machines) - gone)
        assert all(facts.size and facts.image and facts.region and facts.memory_mb for facts in found)


def test_what_no_generation_can_is_refused_without_a_single_call() -> None:
    with serving("4.20.0.0") as (_, driver):
        with pytest.raises(Refused, match="CloudStack has no suspend"):
            driver.suspend("vm")
        with pytest.raises(Refused, match="no text of the console"):
            driver.console_text("vm")
        assert driver.calls == 0


def test_a_newer_generation_can_all_that_an_older_one_could() -> None:
    tables = list(CAPABILITIES.values())
    for older, newer in zip(tables, tables[1:], strict=False):
        assert set(newer) == set(older) == set(Operation)
        assert {key for key, can in older.items() if can.allowed} <= {key for key, can in newer.items() if can.allowed}
    assert all(can.reason.endswith(".") for table in tables for can in table.values() if not can.allowed)


@pytest.mark.parametrize(
    ("version", "name"),
    [("2.2.14", "3.x"), ("3.0.2.20120506223416", "3.x"), ("4.0.0", "4.0"), ("4.1.1", "4.0"), ("4.2.1-SNAPSHOT", "4.2"),
     ("4.9.3.1", "4.4"), ("4.18.0.0", "4.18"), ("4.22.0.0", "4.18"), ("5.1", "4.18"), ("20.1", NEWEST), ("x", NEWEST)],
)  # fmt: skip
def test_an_unknown_newer_release_is_spoken_to_as_the_newest(version: str, name: str) -> None:
    assert generation(version) == name


def test_a_server_lives_from_order_to_deletion(either: tuple[Site, CloudStack]) -> None:
    _, driver = either
    image, size = driver.images()[0], next(size for size in driver.sizes() if size.cpus)
    order = Order("web~1 [a]", image.id, size.id, zone=image.zone, user_data=b"#!/bin/sh\n" * 900, metadata={"a": "~"})
    task = driver.create(order)
    assert ended(driver, task).phase is Phase.DONE
    made = driver.server(task.server_id)
    assert made is not None
    assert (made.name, made.state, made.region, made.size) == ("web~1 [a]", State.RUNNING, image.zone, size.name)
    can = driver.capabilities()
    if can[Operation.METADATA].allowed:
        assert driver.metadata(made.external_id) == {"a": "~"}
        driver.set_metadata(made.external_id, {"a": "2", "b": "3"})
        driver.set_metadata(made.external_id, {"b": None, "c": "x y"})
        assert driver.metadata(made.external_id) == {"a": "2", "c": "x y"}
    driver.set_user_data(made.external_id, b"new \x00 data")
    if can[Operation.USER_DATA].allowed:
        assert driver.user_data(made.external_id) == b"new \x00 data"
    if can[Operation.CONSOLE_URL].allowed:
        assert driver.console_url(made.external_id).url.startswith("http")

    def now() -> State:
        found = driver.server(task.server_id)
        assert found is not None
        return found.state

    assert ended(driver, driver.reboot(made.external_id)).phase is Phase.DONE
    if can[Operation.RESET].allowed:
        assert ended(driver, driver.reset(made.external_id)).phase is Phase.DONE
    assert ended(driver, driver.stop(made.external_id)).phase is Phase.DONE
    assert now() is State.STOPPED
    other = next(one for one in driver.sizes() if one.cpus and one.id != size.id)
    assert ended(driver, driver.resize(made.external_id, other)).phase is Phase.DONE
    assert ended(driver, driver.rename(made.external_id, "shop")).phase is Phase.DONE
    changed = driver.server(made.external_id)
    assert changed is not None
    assert (changed.name, changed.size, changed.memory_mb) == ("shop", other.name, other.memory_mb)
    assert ended(driver, driver.start(made.external_id)).phase is Phase.DONE
    assert now() is State.RUNNING
    assert ended(driver, driver.delete(made.external_id)).phase is Phase.DONE
    assert driver.server(made.external_id) is None
    assert made.external_id not in {facts.external_id for facts in listing(driver)}
    assert ended(driver, driver.delete(made.external_id)).phase is Phase.DONE  # it is gone already


def test_snapshots_are_made_listed_put_back_and_deleted(either: tuple[Site, CloudStack]) -> None:
    _, driver = either
    server = running(driver)
    before = {one.id for one in driver.snapshots(server)}
    assert ended(driver, driver.snapshot(server, "before")).phase is Phase.DONE
    (made,) = [one for one in driver.snapshots(server) if one.id not in before]
    assert made.created_at is not None
    if driver.capabilities()[Operation.REVERT_SNAPSHOT].allowed:
        assert made.name == "before"
        assert ended(driver, driver.revert_snapshot(server, made.id)).phase is Phase.DONE
    assert ended(driver, driver.delete_snapshot(server, made.id)).phase is Phase.DONE
    assert {one.id for one in driver.snapshots(server)} == before


def test_a_job_is_looked_at_once_a_call_and_never_waited_for() -> None:
    with serving("4.20.0.0", 25) as (site, driver):
        site.cloud.settle = timedelta(hours=1)
        task = driver.stop(running(driver))
        assert json.loads(task.ref)["command"] == "stopVirtualMachine"
        before = driver.calls
        assert driver.task(task).phase is Phase.RUNNING
        assert driver.calls == before + 1


def test_changes_are_those_of_servers_with_events_and_name_what_was_deleted() -> None:
    with serving("4.20.0.0", 40) as (site, driver):
        since = site.cloud.clock()
        alive = [facts.external_id for facts in listing(driver) if facts.state is State.RUNNING]
        driver.task(driver.stop(alive[0]))
        driver.task(driver.delete(alive[1]))
        changed, gone = driver.changes(since)
        assert [(facts.external_id, facts.state) for facts in changed] == [(alive[0], State.STOPPED)]
        assert gone == {alive[1]}


def test_a_zone_narrows_the_account_and_one_that_there_is_not_is_named() -> None:
    with serving("4.20.0.0", 30) as (site, driver):
        everything = listing(driver)
        zone = everything[0].region
        narrowed = opened(site.url, credentials=site.cloud.credentials, region=zone)
        assert listing(narrowed) == [facts for facts in everything if facts.region == zone]
        with pytest.raises(Refused, match=f"no zone 'Mars'.*{zone}"):
            listing(opened(site.url, credentials=site.cloud.credentials, region="Mars"))


def test_the_clouds_own_limit_is_told() -> None:
    with serving("4.20.0.0") as (site, _):
        site.cloud.rate = (25, 1.0)
        (rate,) = opened(site.url, credentials=site.cloud.credentials).rates()
        assert (rate.calls, rate.seconds, rate.verb) == (25, 1.0, "")


def test_a_cloud_that_demands_post_and_timestamps_gets_them() -> None:
    with serving("4.20.0.0", 25) as (site, driver):
        site.cloud.enforce_post = True
        assert ended(driver, driver.stop(running(driver))).phase is Phase.DONE


@pytest.mark.parametrize("version", ["3.0.7", "4.11.2.0", "4.20.0.0"])
def test_a_console_address_holds_nothing_of_the_account(version: str) -> None:
    with serve(Cloud.sized(4, version=version)) as site:
        running, off = list(site.cloud.machines)[0], list(site.cloud.machines)[3]
        driver = opened(site.url, credentials=site.cloud.credentials)
        address = driver.console_url(running).url
        assert "token=" in address
        for own in (site.cloud.api_key, site.cloud.secret_key, "signature"):
            assert own not in address
        with pytest.raises(Refused, match=r"console"):
            driver.console_url(off)
