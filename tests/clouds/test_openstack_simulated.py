"""The OpenStack driver against the simulated cloud: counts around the page, and all that goes wrong on a wire."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import clouds
from accounts.clouds import Driver, ServerFacts, openstack
from console.demo.openstack import Cloud, Site, serve
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable
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
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30])
def test_every_count_around_the_page_is_listed_whole(generation: Any, count: int, small_pages: int) -> None:
    with serve(Cloud.sized(count, generation=generation)) as site:
        driver = opened(site)
        found = listed(driver)
        assert sorted(facts.external_id for facts in found) == sorted(site.cloud.instances)
        assert driver.calls == len(site.requests)
        assert all(facts.cpus and facts.memory_mb and facts.size and facts.created_at for facts in found)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_cloud_whose_pages_are_smaller_than_ours_is_listed_whole(generation: Any) -> None:
    with serve(Cloud.sized(25, generation=generation)) as site:
        site.cloud.max_limit = 7
        assert len(listed(opened(site))) == 25


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
def test_a_wrong_password_is_bad_credentials(generation: Any) -> None:
    with serve(Cloud.sized(1, generation=generation)) as site:
        wrong = site.cloud.credentials | {"password": "wrong"}
        with pytest.raises(BadCredentials, match="Keystone did not accept the credentials: "):
            opened(site, credentials=wrong).check()


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


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("unauthorized", BadCredentials),
        ("forbidden", Refused),
        ("over_limit", SlowDown),
        ("too_many", SlowDown),
        ("unavailable", SlowDown),
        ("broken", Unexpected),
        ("truncated", Unreachable),
        ("hang_up", Unreachable),
        ("rubbish", Unexpected),
        ("wrong_shape", Unexpected),
        ("html", Unexpected),
        ("redirect", Refused),
        ("huge", Unexpected),
        ("bomb", Unexpected),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_whatever_goes_wrong_in_a_listing_is_the_right_fault(
    kind: str, fault: type[Fault], after: int, small_pages: int
) -> None:
    with serve(Cloud.sized(25)) as site:
        site.faults.inject(kind, after=after, times=None, retry_after=7, size=9 * 2**20)
        with pytest.raises(fault) as caught:
            listed(opened(site))
        assert caught.value.__class__ is fault
        assert caught.value.words[0].isupper() or caught.value.words.startswith("http")
        if fault is SlowDown:
            assert caught.value.retry_after == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["unauthorized", "unavailable", "rubbish", "wrong_shape", "html", "redirect", "bomb"])
def test_whatever_goes_wrong_at_the_sign_in_is_a_fault(kind: str) -> None:
    with serve(Cloud.sized(1)) as site:
        site.faults.inject(kind, path="/tokens", times=None, size=9 * 2**20)
        with pytest.raises(Fault):
            opened(site).check()


@pytest.mark.parametrize("kind", ["drip", "hang"])
def test_a_cloud_that_holds_the_line_is_cut_at_the_deadline(kind: str) -> None:
    with serve(Cloud.sized(25)) as site:
        site.faults.inject(kind, times=None, pause=0.3 if kind == "drip" else 20)
        with pytest.raises(Unreachable, match="longer than"):
            listed(opened(site, transport=Transport(["127.0.0.1/32"], allow_http=True, deadline=0.7)))


def test_a_catalog_that_points_elsewhere_gets_no_token() -> None:
    with serve(Cloud.sized(1)) as site:
        site.faults.inject("elsewhere", times=None)
        with pytest.raises(Refused, match=r"198\.51\.100\.7"):
            opened(site).check()


def test_a_cloud_that_is_down_is_unreachable() -> None:
    with serve(Cloud.sized(1)) as site:
        driver = opened(site)
    with pytest.raises(Unreachable, match="nothing listens"):
        driver.check()


def test_loopback_needs_an_approval() -> None:
    with serve(Cloud.sized(1)) as site:
        with pytest.raises(Refused, match="this machine"):
            opened(site, transport=Transport(allow_http=True)).check()
        assert not site.requests
