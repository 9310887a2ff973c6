"""The OpenStack driver against simulated clouds of every generation: what contract/ does not ask of all drivers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from accounts import clouds
from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.openstack_capabilities import CAPABILITIES
from accounts.clouds.operations import Operation, Order, Phase, Progress, Task
from console.demo.openstack import Cloud, Site, serve
from console.demo.population import stock
from console.lib.faults import Refused, SlowDown
from console.lib.outbound import Transport

GENERATIONS = tuple(CAPABILITIES)
SETTLE = timedelta(seconds=30)


class Clock:
    """The simulated cloud's time; it moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, span: timedelta = SETTLE) -> None:
        self.now += span


class Ground:
    """A served cloud, its clock, and drivers of it as other processes would open them."""

    def __init__(self, site: Site, clock: Clock, generation: str) -> None:
        self.site, self.clock, self.generation = site, clock, generation

    def driver(self) -> ActingDriver:
        legacy = self.generation == "diablo-1.0"
        opened = clouds.open(
            "openstack",
            url=f"{self.site.compute_url}/v1.0" if legacy else self.site.url,
            credentials=self.site.cloud.credentials,
            transport=Transport(["127.0.0.1/32"], allow_http=True),
        )
        return cast(ActingDriver, opened)

    def finished(self, task: Task) -> Progress:
        """The task's end: it runs until the cloud's time has passed, and any process can see both."""
        assert self.driver().task(Task(task.ref)).phase is Phase.RUNNING
        self.clock.pass_by()
        progress = self.driver().task(Task(task.ref))
        assert progress.phase is Phase.DONE, progress.words
        return progress

    def state(self, external_id: str) -> State:
        found = self.driver().server(external_id)
        assert found is not None
        return found.state


@contextmanager
def serving(generation: str, servers: int = 3) -> Iterator[Ground]:
    clock = Clock()
    kind = generation.removesuffix("-1.0")
    cloud = Cloud(generation=kind, clock=clock, settle=SETTLE)  # type: ignore[arg-type]
    stock(cloud)
    for number in range(servers):
        cloud.add(f"web-{number}", status="ACTIVE")
    with serve(cloud) as site:
        yield Ground(site, clock, generation)


def where(operation: Operation) -> pytest.MarkDecorator:
    """The generations that can do it; each no is held to its reason in a test of its own."""
    able = [generation for generation, table in CAPABILITIES.items() if table[operation].allowed]
    return pytest.mark.parametrize("ground", able, indirect=True)


@pytest.fixture(params=GENERATIONS)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with serving(request.param) as served:
        yield served


def known(ground: Ground, operation: Operation) -> bool:
    return CAPABILITIES[ground.generation][operation].allowed


def first(ground: Ground) -> str:
    return next(facts.external_id for page in ground.driver().servers() for facts in page)


def test_the_generation_that_a_check_tells_is_the_one_that_is_served(ground: Ground) -> None:
    assert ground.driver().check().generation == ground.generation


def test_a_server_is_created_followed_to_its_end_and_found(ground: Ground) -> None:
    driver = ground.driver()
    size, image = driver.sizes()[0], driver.images()[0]
    task = driver.create(Order("fresh", image=image.id, size=size.id, metadata={"owner": "alice"}))
    assert task.password
    assert task.password not in task.ref
    assert ground.finished(task).server_id == task.server_id
    found = ground.driver().server(task.server_id)
    assert found is not None
    assert (found.name, found.size, found.state, found.image) == ("fresh", size.name, State.RUNNING, image.name)
    assert driver.metadata(task.server_id)["owner"] == "alice"


@where(Operation.SNAPSHOT)
def test_a_snapshot_is_made_listed_reverted_to_and_deleted(ground: Ground) -> None:
    server = first(ground)
    task = ground.driver().snapshot(server, "before the upgrade")
    ground.finished(task)
    driver = ground.driver()
    [made] = driver.snapshots(server)
    assert made.name == "before the upgrade"
    ground.clock.pass_by()
    ground.finished(driver.revert_snapshot(server, made.id))
    found = driver.server(server)
    assert found is not None
    assert found.image == "before the upgrade"
    driver.delete_snapshot(server, made.id)
    assert driver.snapshots(server) == ()


@where(Operation.SNAPSHOT)
def test_a_snapshot_of_another_server_is_out_of_reach(ground: Ground) -> None:
    mine, other, *_ = (facts.external_id for page in ground.driver().servers() for facts in page)
    ground.finished(ground.driver().snapshot(other, "theirs"))
    [made] = ground.driver().snapshots(other)
    assert ground.driver().snapshots(mine) == ()
    with pytest.raises(Refused, match="no such snapshot"):
        ground.driver().delete_snapshot(mine, made.id)
    assert len(ground.driver().snapshots(other)) == 1


def test_a_server_is_deleted_and_the_changes_say_so(ground: Ground) -> None:
    server = first(ground)
    since = ground.clock.now
    ground.clock.pass_by(timedelta(minutes=1))
    ground.finished(ground.driver().delete(server))
    assert ground.driver().server(server) is None
    ground.driver().rename(first(ground), "touched")
    changed, gone = ground.driver().changes(since + timedelta(seconds=30))
    assert gone == {server}
    assert [facts.name for facts in changed] == ["touched"]
    assert ground.driver().task(ground.driver().delete(server)).phase is Phase.DONE


def test_what_can_be_chosen_is_listed(ground: Ground) -> None:
    driver = ground.driver()
    assert all(size.id and size.name and size.memory_mb for size in driver.sizes())
    assert all(image.id and image.name for image in driver.images())
    if known(ground, Operation.KEY_PAIRS):
        assert len(driver.key_pairs()) == len(ground.site.cloud.keypairs)
    if known(ground, Operation.NETWORKS):
        assert driver.networks()
    assert bool(driver.rates()) is (ground.generation != "modern")


@pytest.mark.parametrize("generation", ["diablo-1.0", "diablo", "essex"])
def test_the_clouds_own_rate_limit_is_slow_down_as_403_and_as_413(generation: str) -> None:
    with serving(generation) as ground:
        ground.site.cloud.rate_limited = True
        driver, server = ground.driver(), first(ground)
        ground.clock.pass_by()
        with pytest.raises(SlowDown) as caught:
            for _ in range(30):
                driver.rename(server, "again")
        assert (caught.value.retry_after is None) is generation.startswith("diablo")


def test_a_v1_0_listing_in_which_servers_come_and_go_misses_none_that_stayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.clouds.openstack.PAGE", 10)
    with serving("diablo-1.0", 25) as ground:
        found: set[str] = set()
        for number, page in enumerate(ground.driver().servers()):
            found |= {facts.external_id for facts in page}
            if number == 0:
                stayed = {str(one.number) for one in ground.site.cloud.instances.values()}
                gone = [one for one in ground.site.cloud.instances.values() if str(one.number) in found][:3]
                for instance in gone:
                    ground.site.cloud.remove(instance.id)
                ground.site.cloud.add("meanwhile", status="ACTIVE")
        assert found >= stayed


def test_a_legacy_sign_in_opens_v1_1_with_a_project_that_needs_quoting() -> None:
    with serve(Cloud(generation="diablo", project="My Proj")) as site:
        site.cloud.add("web-1", status="ACTIVE")
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        driver = clouds.open("openstack", url=site.compute_url, credentials=site.cloud.credentials, transport=transport)
        assert driver.check().version == "X-Auth, Nova v1.1"
        assert [facts.name for page in driver.servers() for facts in page] == ["web-1"]
