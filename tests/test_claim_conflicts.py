"""Two machines where there should be one: nobody comes in by itself, and it is said aloud."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from console.models import AuditEntry
from providers.models import Provider
from servers import sync
from servers.actions.models import Action, ActionBatch
from servers.agents import admitting
from servers.agents.models import Agent, Claim
from tests.claim_places import Place, place_at
from tests.claimants import match, work
from tests.conftest import People
from tests.factories import AccountFactory, MembershipFactory
from tests.farclouds import account_at
from tests.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at("openstack", people.customer, tmp_path) as made:
        yield made


def silent_since(minutes: float) -> None:
    """The agents that there are were heard so long ago."""
    then = timezone.now() - timedelta(minutes=minutes)
    Agent.objects.update(last_seen_at=then, first_seen_at=then, enrolled_at=then)


def test_two_proofs_for_one_server_let_nobody_in_and_a_person_decides(people: People, place: Place) -> None:
    launched, first = place.born("wanted", "127.0.0.51")
    second = place.machine(launched)
    first.claim()
    second.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    first.ask(nonce)
    second.ask(nonce)
    work()
    assert not Agent.objects.exists()
    assert {row.state for row in (first.row, second.row)} == {"pending"}
    assert AuditEntry.objects.get(verb="agent.conflict").customer_id == people.customer.pk
    page = text(people.browser(people.alice).get("/machines/"))
    assert first.row.code in page and second.row.code in page and "Two machines proved" in page
    people.browser(people.alice).post(f"/machines/{second.row.pk}/approve")
    assert second.ask()[0] == 200 and first.ask()[0] == 202
    assert place.nonce(launched) is None


def test_a_proof_beside_an_agent_that_reports_raises_an_alarm_and_waits(people: People, place: Place) -> None:
    launched, first = place.born("manned", "127.0.0.52")
    assert place.prove(first, launched) is not None
    silent_since(1)
    second = place.machine(launched)
    assert place.prove(second, launched) is None
    assert second.row.trouble == admitting.BUSY and second.row.state == "pending"
    assert AuditEntry.objects.filter(verb="agent.conflict").count() == 1
    server = text(people.browser(people.bob).get(f"/servers/{second.row.server_id}/"))
    assert "This server has an agent that reports" in server
    for _ in range(3):  # and it is said once
        second.claim()
        match(place.provider)
    assert AuditEntry.objects.filter(verb="agent.conflict").count() == 1
    assert Agent.objects.live().get().public_key == first.public_key


def test_a_machine_that_was_imaged_anew_takes_over_once_the_old_agent_is_silent(place: Place) -> None:
    launched, first = place.born("rebuilt", "127.0.0.53")
    old = place.prove(first, launched)
    silent_since(1)
    second = place.machine(launched)
    assert place.prove(second, launched) is None
    silent_since(11)
    Claim.objects.update(looked_at=timezone.now() - timedelta(seconds=11))
    match(place.provider)
    second.ask(place.nonce(launched))
    work()
    assert second.ask()[0] == 200
    assert old is not None
    old.refresh_from_db()
    assert (old.state, old.server, old.former_server_id) == ("revoked", None, second.row.server_id)


def test_a_silent_agent_does_not_stand_in_the_way_of_a_proof(place: Place) -> None:
    launched, first = place.born("rebuilt", "127.0.0.54")
    place.prove(first, launched)
    silent_since(11)
    assert place.prove(place.machine(launched), launched) is not None
    assert not AuditEntry.objects.filter(verb="agent.conflict").exists()


def test_a_rebuild_that_we_made_explains_a_new_machine_at_once(people: People, place: Place) -> None:
    launched, first = place.born("rebuilt", "127.0.0.55")
    place.prove(first, launched)
    silent_since(1)
    batch = ActionBatch.objects.create(customer=people.customer, by=people.alice, kind="revert_snapshot")
    Action.objects.create(
        batch=batch, customer=people.customer, account=place.account, server=place.server(launched),
        kind="revert_snapshot", state="done", ended_at=timezone.now(),
    )  # fmt: skip
    assert place.prove(place.machine(launched), launched) is not None
    assert Agent.objects.live().count() == 1


def test_a_suspended_agent_lives_again_by_a_proof_with_the_same_key(place: Place) -> None:
    launched, machine = place.born("cloned", "127.0.0.56")
    agent = place.prove(machine, launched)
    assert agent is not None
    Agent.objects.update(state="suspended", last_seen_at=timezone.now())
    assert machine.ask()[0] == 202
    assert place.prove(machine, launched) is not None
    assert machine.ask()[0] == 200
    assert Agent.objects.live().get().public_key == machine.public_key


def test_an_instance_that_two_customers_show_is_pending_for_each(people: People, place: Place) -> None:
    sharing = people.elsewhere
    type(sharing).objects.filter(pk=sharing.pk).update(provider=place.provider)
    sharing.refresh_from_db()
    other = account_at(place.site, customer=sharing, endpoint=place.account.endpoint)
    launched, machine = place.born("shared", "127.0.0.57")
    sync.now(other)
    machine.claim()
    match(place.provider)
    assert machine.row.state == "pending" and set(machine.row.customers) == {people.customer.pk, sharing.pk}
    for person in (people.alice, people.charlie):
        assert machine.row.code in text(people.browser(person).get("/machines/"))
    people.browser(people.charlie).post(f"/machines/{machine.row.pk}/refuse")
    assert machine.row.customers == [people.customer.pk] and machine.row.state == "pending"


def test_the_key_of_another_servers_agent_is_not_taken_over(place: Place) -> None:
    launched, machine = place.born("one", "127.0.0.58")
    place.prove(machine, launched)
    copy = place.launch("two", "127.0.0.59")
    sync.now(place.account)
    clone = place.machine(copy)
    clone.seed = machine.seed
    clone.claim()
    match(place.provider)
    assert Agent.objects.live().get().server == place.server(launched)


def test_a_provider_without_room_for_agents_says_so(place: Place) -> None:
    Provider.objects.filter(pk=place.provider.pk).update(max_agents=0)
    launched, machine = place.born("full", "127.0.0.60")
    assert place.prove(machine, launched) is None
    assert machine.row.state == "pending" and machine.row.trouble


def test_a_neighbours_no_does_not_keep_a_machine_from_proving_whose_it_is_and_its_owners_does(
    people: People, place: Place
) -> None:
    launched, machine = place.born("near", "127.0.0.62")
    AccountFactory(customer=people.elsewhere)
    for person, customer in ((people.alice, people.customer), (people.charlie, people.elsewhere)):
        Claim.objects.all().delete()
        machine.claim()
        Claim.objects.update(state="pending", customers=[customer.pk])
        assert people.browser(person).post(f"/machines/{machine.row.pk}/refuse").status_code == 302
        machine.claim()
        match(place.provider)
        if customer == people.customer:
            assert machine.row.state == "refused" and place.nonce(launched) is None
    machine.ask(place.nonce(launched))
    work()
    assert machine.ask()[0] == 200 and Agent.objects.get().server == place.server(launched)


def test_another_member_of_the_same_team_cannot_decide_twice(people: People, place: Place) -> None:
    launched, first = place.born("wanted", "127.0.0.61")
    second = place.machine(launched)
    for one in (first, second):
        one.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    first.ask(nonce)
    second.ask(nonce)
    work()
    MembershipFactory(customer=people.customer)
    assert people.browser(people.alice).post(f"/machines/{first.row.pk}/refuse").status_code == 302
    assert people.browser(people.bob).post(f"/machines/{first.row.pk}/approve").status_code == 404
