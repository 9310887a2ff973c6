"""What every driver promises of listings, on every version: each server once, whole pages, true facts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.clouds import State
from tests.clouds.contract.sites import PAGE, Site
from tests.clouds.contract.versions import EACH_PAGER

NEVER = {"openstack": "999999", "cloudstack": "999999", "vcloud": "vm-999999"}


def test_a_check_tells_what_is_spoken_and_which_table_holds(site: Site) -> None:
    checked = site.driver().check()
    assert checked.generation == site.generation
    assert checked.version
    assert site.driver().capabilities() == site.table


@pytest.mark.parametrize("servers", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
def test_every_number_of_servers_around_the_page_is_listed_each_once(site: Site, servers: int) -> None:
    site.stock(servers)
    driver = site.driver()
    before = len(site.requests)
    pages = list(driver.servers())
    found = {facts.external_id: facts for page in pages for facts in page}
    assert sum(map(len, pages)) == len(found) == servers
    assert all(pages), "a page without servers"
    truth = site.held()
    assert set(found) == set(truth)
    for external_id, facts in found.items():
        assert (facts.name, facts.state) == (truth[external_id].name, truth[external_id].state)
        assert {address.ip for address in facts.addresses} == truth[external_id].addresses
        assert facts.addresses
        assert facts.raw_state
        assert facts.cpus
        assert facts.memory_mb
        assert facts.region or site.generation.startswith("diablo")
    assert driver.calls == len(site.requests) - before


@pytest.mark.parametrize("served", EACH_PAGER, indirect=True, scope="module")
def test_a_full_page_of_the_drivers_own_size_is_not_the_end(site: Site) -> None:
    site.page = site.largest
    try:
        site.stock(site.largest)
        assert len(site.listed()) == site.largest
        site.add("one more")
        assert {facts.external_id for facts in site.listed()} == set(site.held())
    finally:
        site.page = PAGE


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED, State.UNKNOWN])
def test_a_state_is_the_same_word_on_every_cloud(site: Site, state: State) -> None:
    site.stock(1)
    external_id = site.add("odd one", state)
    assert {facts.external_id: facts.state for facts in site.listed()}[external_id] is state


def test_one_server_by_id_has_the_facts_of_the_listing(site: Site) -> None:
    site.stock(3)
    site.add("stopped one", State.STOPPED)
    for facts in site.listed():
        assert site.facts(facts.external_id) == facts
        assert site.facts(facts.external_id).digest == facts.digest


def test_a_server_that_never_was_is_none(site: Site) -> None:
    site.stock(1)
    assert site.driver().server(NEVER[site.platform]) is None


def test_a_second_listing_has_the_same_digests_and_a_change_has_another(site: Site) -> None:
    site.stock(3)
    first = site.listed()
    site.pass_by(timedelta(minutes=1))
    assert [facts.digest for facts in site.listed()] == [facts.digest for facts in first]
    changed = first[0].external_id
    site.done(site.driver().rename(changed, "renamed"))
    after = {facts.external_id: facts.digest for facts in site.listed()}
    assert [facts.external_id for facts in first if facts.digest != after[facts.external_id]] == [changed]
