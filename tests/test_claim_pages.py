"""Machines that could not prove who they are: alice and bob may let them in or refuse them, charlie sees nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.models import AuditEntry
from providers.models import Customer, Provider
from servers import sync
from servers.agents.models import Agent, Claim
from servers.agents.web import machines
from tests.claim_places import Place, place_at
from tests.claimants import Machine, match
from tests.conftest import People
from tests.pages import text

pytestmark = pytest.mark.django_db

NAT = "198.51.100.77"


@pytest.fixture
def place(people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at("cloudstack", people.customer, tmp_path) as made:
        yield made


@pytest.fixture
def waiting(place: Place) -> Machine:
    """A machine that says which server it is, from its address, in a cloud without a channel."""
    place.cloud.release = (4, 2)
    launched = place.launch("quiet", NAT)
    sync.now(place.account)
    type(place.account).objects.update(generation="4.2")  # which does not give user data back
    machine = place.machine(launched)
    machine.address = NAT
    machine.claim()
    match(place.provider)
    assert machine.row.state == "pending"
    return machine


def test_alice_sees_the_code_that_the_machine_shows(people: People, waiting: Machine) -> None:
    page = text(people.browser(people.alice).get("/machines/"))
    assert waiting.row.code in page and "web-1" in page and NAT in page
    assert waiting.row.code not in text(people.browser(people.charlie).get("/machines/"))
    server = text(people.browser(people.bob).get(f"/servers/{waiting.row.server_id}/"))
    assert "A machine says that it is this server" in server


def test_a_machine_is_found_by_its_code_however_many_wait(
    people: People, waiting: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        other = Machine(waiting.channel, waiting.instance_id, address=NAT)
        other.claim()
    match(Provider.objects.get(pk=waiting.channel))
    monkeypatch.setattr(machines, "SHOWN", 2)
    code = waiting.row.code
    browser = people.browser(people.alice)
    assert code not in text(browser.get("/machines/")), "the newest are shown"
    for written in (code, code.lower().replace("-", " "), code[:6]):
        page = text(browser.get("/machines/", {"code": written}))
        assert code in page and other.row.code not in page
    assert "No machine with this code" in text(browser.get("/machines/", {"code": "<b>0000"}))
    assert "No machine with this code" in text(people.browser(people.charlie).get("/machines/", {"code": code}))


def test_bob_lets_it_in_and_it_is_told_at_its_next_call(people: People, waiting: Machine) -> None:
    browser = people.browser(people.bob)
    at = f"/machines/{waiting.row.pk}/approve"
    assert waiting.row.code in text(browser.get(at))
    assert waiting.ask()[0] == 202
    assert browser.post(at).status_code == 302
    status, said = waiting.ask()
    agent = Agent.objects.get(pk=said["agent_id"])
    assert (status, agent.way, agent.server) == (200, "person", waiting.row.server)
    entry = AuditEntry.objects.get(verb="claim.approved")
    assert (entry.actor_name, entry.detail["code"]) == ("bob@example.com", waiting.row.code)
    assert browser.post(at).status_code == 404


def test_charlie_can_do_nothing_to_it(people: People, waiting: Machine) -> None:
    browser = people.browser(people.charlie)
    for deed in ("approve", "refuse"):
        assert browser.post(f"/machines/{waiting.row.pk}/{deed}").status_code == 404
    assert browser.post(f"/machines/by-network/{people.customer.pk}", {"allow": "1"}).status_code == 404
    assert waiting.row.state == "pending" and not Customer.objects.get(pk=people.customer.pk).admit_by_network


def test_a_refused_machine_is_shown_no_more_and_stays_refused(people: People, place: Place, waiting: Machine) -> None:
    people.browser(people.alice).post(f"/machines/{waiting.row.pk}/refuse")
    waiting.claim()
    match(place.provider)
    assert waiting.row.state == "refused" and waiting.ask()[0] == 202
    assert waiting.row.code not in text(people.browser(people.alice).get("/machines/"))


def test_a_person_says_which_server_a_machine_is_that_does_not_say_so(people: People, place: Place) -> None:
    place.launch("known", NAT)
    new = place.launch("nameless", "198.51.100.78")
    sync.now(place.account)
    machine = Machine(place.provider.pk, address=NAT)
    machine.claim()
    match(place.provider)
    assert machine.row.state == "waiting"  # its server may still appear
    Claim.objects.update(first_at="2020-01-01T00:00Z", looked_at=None)
    match(place.provider)
    assert machine.row.state == "pending"
    browser = people.browser(people.alice)
    at = f"/machines/{machine.row.pk}/approve"
    assert "Choose the server." in text(browser.post(at))
    assert browser.post(at, {"server": place.server(new).pk}).status_code == 302
    assert machine.ask()[0] == 200 and Agent.objects.get().server == place.server(new)


def test_the_switch_of_level_two_is_the_customers_own(people: People) -> None:
    browser = people.browser(people.alice)
    at = f"/machines/by-network/{people.customer.pk}"
    browser.post(at, {"allow": "1"})
    assert Customer.objects.get(pk=people.customer.pk).admit_by_network
    assert "This is on." in text(browser.get("/machines/"))
    browser.post(at, {"allow": "0"})
    assert not Customer.objects.get(pk=people.customer.pk).admit_by_network
    assert AuditEntry.objects.filter(verb="customer.admits_by_network").count() == 2
