"""The walk through a vCloud 1.0 account: many documents, read in parallel and within bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from accounts.clouds import vcloud_wire
from accounts.clouds.vcloud import VCloud
from accounts.clouds.vcloud_wire import CONNECTIONS
from console.demo.vcloud import Cloud, Site, serve
from console.lib.faults import SlowDown, Unexpected
from console.lib.outbound import Transport
from tests.clouds.replay import Replay, Reply
from tests.clouds.vcloud_account import V10, listed, old_cell, opened, said, vm


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Cloud.sized(400, generation="1.0", per_vapp=2)) as served:
        yield served


@pytest.fixture(autouse=True)
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell is quick; one on this machine would be read by one thread."""
    monkeypatch.setattr(vcloud_wire, "QUICK", 0.0)


def documents(site: Site) -> list[str]:
    """The vApps that were asked for, in the order in which their calls came."""
    return [path for _, path in site.requests if "/vApp/vapp-" in path]


def test_every_server_comes_once_and_in_the_order_of_the_data_centre(site: Site) -> None:
    driver = opened(site.url, site.cloud.credentials)
    pages = list(driver.servers())
    found = [facts.external_id for page in pages for facts in page]
    assert found == [f"vm-{one.id}" for vapp in site.cloud.vapps.values() for one in vapp.vms]
    assert len(pages) == 4
    assert sorted(documents(site)) == sorted(set(documents(site)))
    assert driver.calls == len(site.requests)


def test_a_quick_cell_is_read_by_one_thread_until_it_is_slow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vcloud_wire, "QUICK", 60.0)
    threads: list[str] = []

    def turn(verb: str) -> None:
        threads.append(threading.current_thread().name)
        if len(threads) == 50:
            monkeypatch.setattr(vcloud_wire, "QUICK", 0.0)

    transport = Transport(["127.0.0.1/32"], allow_http=True, before_call=turn)
    driver = VCloud(url=site.url, credentials=site.cloud.credentials, transport=transport)
    assert [facts.external_id for facts in listed(driver)] == [
        f"vm-{one.id}" for vapp in site.cloud.vapps.values() for one in vapp.vms
    ]
    assert not any(name.startswith("vcloud") for name in threads[:50])
    assert all(name.startswith("vcloud") for name in threads[50:])


def test_several_vapps_are_read_at_a_time_and_never_more_than_the_bound(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"vapp-{number}" for number in range(4 * CONNECTIONS)]
    old_cell(replay, *names)
    for name in names:
        document = vm(replay, root="/api/v1.0", space=V10).replace("vm-a", f"vm-of-{name}")
        replay.say("GET", f"/api/v1.0/vApp/{name}", said(f"<VApp><Children>{document}</Children></VApp>"))
    together, guard, plain = threading.Barrier(CONNECTIONS), threading.Lock(), replay.answer
    connections: set[int] = set()  # the far side serves each in a thread of its own
    under_way, most = 0, 0

    def answer(method: str, path: str) -> Reply:
        nonlocal under_way, most
        if "vapp-" not in path:
            return plain(method, path)
        with guard:
            connections.add(threading.get_ident())
            under_way += 1
            most = max(most, under_way)
        together.wait(10)  # breaks, and the connection with it, unless so many calls are under way
        with guard:
            under_way -= 1
            return plain(method, path)

    monkeypatch.setattr(replay, "answer", answer)
    driver = opened(replay.url)
    assert [facts.external_id for facts in listed(driver)] == [f"vm-of-{name}" for name in names]
    assert (len(connections), most) == (CONNECTIONS, CONNECTIONS)
    assert driver.calls == len(replay.asked)


def test_a_fault_in_one_thread_ends_the_listing_and_no_more_is_asked(site: Site) -> None:
    site.faults.inject("broken", after=20, times=1, path="/vApp/")
    with pytest.raises(Unexpected, match="NullPointer"):
        listed(opened(site.url, site.cloud.credentials))
    assert 20 < len(documents(site)) < 100


def test_each_call_of_each_thread_waits_for_its_turn(site: Site) -> None:
    turns: list[str] = []

    def turn(verb: str) -> None:
        turns.append(threading.current_thread().name)
        if len(turns) > 50:
            raise SlowDown("The cloud's own limit of calls is used up.", 7)

    transport = Transport(["127.0.0.1/32"], allow_http=True, before_call=turn)
    driver = VCloud(url=site.url, credentials=site.cloud.credentials, transport=transport)
    with pytest.raises(SlowDown):
        listed(driver)
    assert len({name for name in turns if name.startswith("vcloud")}) > 1
    assert len(turns) < 50 + 2 * CONNECTIONS
    assert len(site.requests) == driver.calls == 50


def test_a_session_that_runs_out_on_the_way_is_opened_again_once(site: Site) -> None:
    calls = 0

    def turn(verb: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 60:
            site.cloud.sessions.clear()

    transport = Transport(["127.0.0.1/32"], allow_http=True, before_call=turn)
    driver = VCloud(url=site.url, credentials=site.cloud.credentials, transport=transport)
    assert len(listed(driver)) == 400
    assert sum(path.endswith("/login") for _, path in site.requests) == 2


def test_a_listing_that_nobody_reads_to_its_end_asks_for_no_more(site: Site) -> None:
    pages = opened(site.url, site.cloud.credentials).servers()
    next(pages)
    pages.close()  # type: ignore[attr-defined]
    seen = len(documents(site))
    assert seen < 200
    assert not any(thread.name.startswith("vcloud") for thread in threading.enumerate())
