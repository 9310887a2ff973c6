"""Regions of a Nova that numbers its servers, each from 1: two servers of one number are never taken for one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Untold
from console.lib.faults import Refused, Unexpected
from tests.clouds.openstack_account import EMPTY, listed, opened, said
from tests.clouds.replay import Replay, Reply
from tests.clouds.test_openstack_legacy import CREDENTIALS, DEMO, ROOT

SINCE = datetime(2011, 1, 1, tzinfo=UTC)
BOTH = r"regions 'north' and 'south'.*Register an endpoint for each region"


def shown(number: int | str, name: str) -> dict[str, Any]:
    return {"id": number, "name": name, "status": "ACTIVE"}


def one(number: int | str, name: str) -> Reply:
    return said(200, {"server": shown(number, name)})


def two_regions(
    replay: Replay, *, second: str = "/south", region: str | None = None, **servers: list[dict[str, Any]]
) -> ActingDriver:
    """A driver at a Keystone whose catalog has two regions of Nova v1.1, with these servers in each."""
    places = {"north": "/north", "south": second}
    endpoints = [{"publicURL": f"{replay.url}{path}{DEMO}", "region": name} for name, path in places.items()]
    access = {
        "token": {"expires": "2030-02-05T00:00:00", "id": "t", "tenant": {"id": "demoproj", "name": "demoproj"}},
        "serviceCatalog": [{"type": "compute", "name": "nova", "endpoints": endpoints}],
        "user": {"id": "demo", "name": "demo", "roles": []},
    }
    replay.say("GET", "/", said(200, {"version": {"id": "v2.0", "status": "ALPHA"}}))
    replay.say("POST", "/v2.0/tokens", said(200, {"access": access}))
    for name, path in places.items():
        replay.say("GET", path, said(200, ROOT))
        listing = f"{path}{DEMO}/servers/detail?limit=1000"
        there = servers.get(name, [])
        replay.say("GET", listing, said(200, {"servers": there}))
        if there:
            replay.say("GET", f"{listing}&marker={there[-1]['id']}", EMPTY)
    return cast(ActingDriver, opened(replay, region=region, credentials=CREDENTIALS))


def test_servers_with_numbers_in_two_regions_are_refused_with_both_named_and_none_is_dropped(replay: Replay) -> None:
    driver = two_regions(replay, north=[shown(1, "web")], south=[shown(1, "db")])
    with pytest.raises(Refused, match=BOTH):
        listed(driver)


def test_numbers_that_differ_today_are_refused_too_since_the_next_server_may_make_them_equal(replay: Replay) -> None:
    driver = two_regions(replay, north=[shown(1, "web")], south=[shown(2, "db")])
    with pytest.raises(Refused, match=BOTH):
        listed(driver)


def test_an_endpoint_for_one_region_lists_that_one(replay: Replay) -> None:
    driver = two_regions(replay, region="south", north=[shown(1, "web")], south=[shown(1, "db")])
    assert [(facts.external_id, facts.name, facts.region) for facts in listed(driver)] == [("1", "db", "south")]


def test_regions_of_which_one_has_servers_are_listed(replay: Replay) -> None:
    driver = two_regions(replay, south=[shown(1, "db")])
    assert [(facts.name, facts.region) for facts in listed(driver)] == [("db", "south")]


def test_one_api_under_two_names_is_listed_once(replay: Replay) -> None:
    driver = two_regions(replay, second="/north", north=[shown(1, "web")], south=[shown(1, "web")])
    assert [facts.name for facts in listed(driver)] == ["web"]


def test_regions_with_ids_that_are_unique_stay_one_account(replay: Replay) -> None:
    driver = two_regions(replay, north=[shown("a-1", "web")], south=[shown("b-1", "db")])
    assert [facts.name for facts in listed(driver)] == ["web", "db"]


def test_changes_of_numbered_servers_are_left_to_a_whole_listing_where_there_are_two_regions(replay: Replay) -> None:
    driver = two_regions(replay, south=[shown(1, "db")])
    with pytest.raises(Untold):
        driver.changes(SINCE)


def test_nothing_is_done_to_a_server_whose_number_another_region_has_too(replay: Replay) -> None:
    driver = two_regions(replay)
    for region in ("north", "south"):
        replay.say("GET", f"/{region}{DEMO}/servers/1", one(1, region))
    for deed in (driver.reboot, driver.delete, driver.server):
        with pytest.raises(Refused, match=BOTH):
            deed("1")
    assert {asked[0] for asked in replay.asked if "/servers/1" in asked[1]} == {"GET"}


def test_a_server_whose_number_one_region_has_is_acted_on_there(replay: Replay) -> None:
    driver = two_regions(replay)
    replay.say("GET", f"/south{DEMO}/servers/1", one(1, "db"))
    replay.say("POST", f"/south{DEMO}/servers/1/action", Reply(202, b""))
    driver.reboot("1")
    assert [asked[1] for asked in replay.asked if asked[0] == "POST"][-1] == f"/south{DEMO}/servers/1/action"
    found = driver.server("1")
    assert found is not None and (found.name, found.region) == ("db", "south")
    assert driver.server("2") is None


def test_nothing_is_done_while_a_region_cannot_say_whether_it_has_that_number(replay: Replay) -> None:
    driver = two_regions(replay)
    replay.say("GET", f"/north{DEMO}/servers/1", Reply(500, b"{}"))
    replay.say("GET", f"/south{DEMO}/servers/1", one(1, "db"))
    with pytest.raises(Unexpected):
        driver.delete("1")
    assert not [asked for asked in replay.asked if asked[0] == "DELETE"]
