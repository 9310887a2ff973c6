"""Servers that are deleted while a listing reads page after page: those that stay are listed, and those that are gone
are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts import clouds
from console.demo import cloudstack, vcloud
from console.demo.cloudstack_population import stock
from console.lib.outbound import Transport

PAGE = 10


def listed(platform: str, url: str, credentials: dict[str, str], meanwhile: Callable[[int], None]) -> list[str]:
    """The ids that are listed. `meanwhile` is called with the number of each call, before it is made."""
    calls = 0

    def turn(verb: str) -> None:
        nonlocal calls
        calls += 1
        meanwhile(calls)

    transport = Transport(["127.0.0.1/32"], allow_http=True, before_call=turn)
    driver = clouds.open(platform, url=url, credentials=credentials, transport=transport)
    return [facts.external_id for page in driver.servers() for facts in page]


@pytest.mark.parametrize("generation", ["1.5", "5.1", "38.1"])
def test_a_vcloud_server_that_is_deleted_between_two_pages_hides_no_other(generation: str) -> None:
    cloud = vcloud.Cloud.sized(35, generation)
    cloud.max_page = PAGE
    first = next(iter(cloud.vms))
    with vcloud.serve(cloud) as site:

        def meanwhile(call: int) -> None:
            if first in cloud.vms and sum("type=vm&" in path for _, path in site.requests) == 2:
                cloud.remove(first)

        found = listed("vcloud", site.url, cloud.credentials, meanwhile)
        assert first not in cloud.vms
        assert sorted(found) == sorted(f"vm-{one}" for one in cloud.vms)


@pytest.mark.parametrize("version", ["4.11.2.0", "4.20.0.0"])
def test_a_cloudstack_server_that_is_deleted_between_two_pages_hides_no_other(version: str) -> None:
    cloud = cloudstack.Cloud(version=version, max_page=PAGE)
    stock(cloud)
    for number in range(35):
        cloud.add(f"web-{number}")
    first = next(iter(cloud.machines))
    with cloudstack.serve(cloud) as site:

        def meanwhile(call: int) -> None:
            if first in cloud.machines and any("page=2" in path for _, path in site.requests):
                cloud.remove(first)

        found = listed("cloudstack", site.url, cloud.credentials, meanwhile)
        assert first not in cloud.machines
        assert sorted(found) == sorted(cloud.machines)


@pytest.mark.parametrize("platform", ["vcloud", "cloudstack"])
def test_where_servers_come_and_go_all_the_time_those_that_stay_are_listed(platform: str) -> None:
    if platform == "vcloud":
        cell = vcloud.Cloud.sized(35, "38.1")
        cell.max_page = PAGE
        with vcloud.serve(cell) as site:
            doomed = list(cell.vms)[:20:4]

            def ends(call: int) -> None:
                if call > 5 and doomed:
                    cell.remove(doomed.pop())

            found = listed("vcloud", site.url, cell.credentials, ends)
            assert {f"vm-{one}" for one in cell.vms} <= set(found)
            assert len(found) == len(set(found))
        return
    cloud = cloudstack.Cloud(version="4.20.0.0", max_page=PAGE)
    stock(cloud)
    ids = [cloud.add(f"web-{number}").id for number in range(35)]
    with cloudstack.serve(cloud) as served:
        gone = ids[:20:4]

        def leaves(call: int) -> None:
            if any("page=2" in path for _, path in served.requests) and gone:
                cloud.remove(gone.pop())

        found = listed("cloudstack", served.url, cloud.credentials, leaves)
        assert set(cloud.machines) <= set(found)
        assert len(found) == len(set(found))
