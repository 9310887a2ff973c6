"""The OpenStack driver against the simulated cloud. What all drivers share is in contract/."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import clouds
from accounts.clouds import Driver, ServerFacts, openstack
from console.demo.openstack import Cloud, Site, serve
from console.lib.faults import Refused
from console.lib.outbound import Transport

GENERATIONS = ("essex", "modern")


def opened(site: Site, **kwargs: Any) -> Driver:
    kwargs.setdefault("credentials", site.cloud.credentials)
    kwargs.setdefault("transport", Transport(["127.0.0.1/32"], allow_http=True))
    return clouds.open("openstack", url=site.url, **kwargs)


def listed(driver: Driver) -> list[ServerFacts]:
    return [facts for page in driver.servers() for facts in page]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(openstack, "PAGE", 10)
    return 10


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_lively_account_shows_what_people_ask_for(generation: Any) -> None:
    with serve(Cloud.lively(60, generation=generation)) as site:
        found = {facts.name: facts for facts in listed(opened(site))}
        assert len(found) == 60
        assert {facts.state for facts in found.values()} >= {"running", "stopped", "suspended", "changing", "failed"}
        web = found["web-1"]
        assert (web.size, web.cpus, web.memory_mb, web.disk_gb) == ("m1.medium", 2, 4096, 40)
        assert web.region == "RegionOne"
        assert {address.version for address in web.addresses} == {4, 6}
        one = opened(site).server(web.external_id)
        assert one == web


def test_an_application_credential_opens_a_modern_account() -> None:
    with serve(Cloud.sized(3)) as site:
        driver = opened(site, credentials=site.cloud.application_credentials)
        assert driver.check().version == "Keystone v3, Nova v2.1"
        assert len(listed(driver)) == 3


def test_a_second_look_at_an_unchanged_account_has_the_same_digests() -> None:
    with serve(Cloud.lively(60)) as site:
        first, second = listed(opened(site)), listed(opened(site))
        assert [facts.digest for facts in first] == [facts.digest for facts in second]
        site.cloud.set_status(first[0].external_id, "PAUSED")
        third = {facts.external_id: facts.digest for facts in listed(opened(site))}
        assert [facts.external_id for facts in first if third[facts.external_id] != facts.digest] == [
            first[0].external_id
        ]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_revoked_token_in_the_middle_of_a_listing_is_renewed(generation: Any, small_pages: int) -> None:
    with serve(Cloud.sized(25, generation=generation)) as site:
        found: list[ServerFacts] = []
        for number, page in enumerate(opened(site).servers()):
            found.extend(page)
            if number == 0:
                site.cloud.revoke_tokens()
        assert len({facts.external_id for facts in found}) == 25


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_server_deleted_in_the_middle_of_a_listing_costs_no_other(generation: Any, small_pages: int) -> None:
    with serve(Cloud.sized(25, generation=generation)) as site:
        found: list[ServerFacts] = []
        for number, page in enumerate(opened(site).servers()):
            found.extend(page)
            if number == 0:
                site.cloud.remove(page[-1].external_id)  # the marker of the next page
        assert {facts.external_id for facts in found} >= set(site.cloud.instances)


def test_loopback_needs_an_approval() -> None:
    with serve(Cloud.sized(1)) as site:
        with pytest.raises(Refused, match="this machine"):
            opened(site, transport=Transport(allow_http=True)).check()
        assert not site.requests
