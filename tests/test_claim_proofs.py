"""A machine from a provider's image proves through its cloud which server it is, and becomes that server's agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.lib import signing
from console.models import AuditEntry
from servers import sync
from servers.agents.models import Agent, Challenge, Claim
from servers.agents.program import protocol
from tests.claim_places import MAKERS, Place, age, place_at
from tests.claimants import match, work
from tests.conftest import People

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(request: pytest.FixtureRequest, people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at(getattr(request, "param", "openstack"), people.customer, tmp_path) as made:
        yield made


EVERYWHERE = pytest.mark.parametrize("place", MAKERS, indirect=True)
SCRIPT = b"#!/bin/sh\necho hello"


@EVERYWHERE
def test_a_machine_of_the_image_is_managed_by_itself(place: Place, people: People) -> None:
    launched = place.launch("fresh", "127.0.0.21", SCRIPT if place.account.endpoint.platform != "vcloud" else b"")
    sync.now(place.account)
    machine = place.machine(launched)
    assert machine.claim() == (202, {"retry": 5})
    match(place.provider)
    nonce = place.nonce(launched)
    assert nonce is not None
    assert machine.ask() == (202, {"retry": 5})
    assert machine.ask(nonce)[0] == 202
    work()
    status, said = machine.ask()
    assert (status, said["keys"]) == (200, signing.public_keys())
    agent = Agent.objects.get(pk=said["agent_id"])
    assert (agent.server, agent.way, agent.public_key) == (place.server(launched), "proof", machine.public_key)
    assert machine.row.state == "admitted" and agent.instance_id == launched.told
    assert place.nonce(launched) is None  # nothing of it stays in the cloud
    challenge = Challenge.objects.get()
    assert (challenge.state, challenge.sealed) == ("done", "") and challenge.removed_at is not None
    entry = AuditEntry.objects.get(verb="agent.enrolled")
    assert entry.detail["way"] == "proof" and entry.customer_id == people.customer.pk


@EVERYWHERE
def test_what_stood_in_its_user_data_stands_there_again(place: Place) -> None:
    if place.account.endpoint.platform != "cloudstack":
        return
    launched = place.launch("fresh", "127.0.0.22", SCRIPT)
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    assert place.get(launched, "/latest/user-data").startswith(SCRIPT + b"\n" + protocol.CHALLENGE_LINE.encode())
    machine.ask(place.nonce(launched))
    work()
    assert place.get(launched, "/latest/user-data") == SCRIPT


def test_a_nonce_is_read_by_its_own_instance_only(place: Place) -> None:
    mine, other = place.launch("mine", "127.0.0.23"), place.launch("other", "127.0.0.24")
    sync.now(place.account)
    place.machine(mine).claim()
    match(place.provider)
    assert place.nonce(mine) is not None
    assert place.nonce(other) is None


def test_a_proof_by_another_key_or_for_another_instance_is_worth_nothing(place: Place) -> None:
    mine, other = place.launch("mine", "127.0.0.23"), place.launch("other", "127.0.0.24")
    sync.now(place.account)
    machine, thief = place.machine(mine), place.machine(other)
    machine.claim()
    thief.claim()
    match(place.provider)
    nonce = place.nonce(mine)
    assert nonce is not None
    assert thief.ask(nonce)[0] == 202  # the nonce of mine, told as other
    stolen = machine.sign(protocol.proof_text(machine.public_key, mine.told, nonce))
    body = {"public_key": thief.public_key, "instance_id": mine.told, "proof": stolen}
    assert thief.post(protocol.PROOF_PATH, body)[0] == 202
    work()
    assert not Agent.objects.exists() and not Claim.objects.filter(proven_at__isnull=False).exists()


def test_an_answer_after_ten_minutes_is_too_late(place: Place) -> None:
    launched = place.launch("slow", "127.0.0.25")
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    age(Challenge.objects.get(), 601)
    machine.ask(nonce)
    work()
    assert not Agent.objects.exists()
    assert place.nonce(launched) is None and Challenge.objects.get().outcome == "Nobody answered."


def test_a_proof_counts_though_its_claim_was_shed(place: Place) -> None:
    launched = place.launch("crowded", "127.0.0.26")
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    machine.row.delete()
    machine.ask(place.nonce(launched))
    work()
    assert machine.ask()[0] == 200


def test_many_claims_for_one_server_put_one_nonce(place: Place) -> None:
    launched = place.launch("wanted", "127.0.0.27")
    sync.now(place.account)
    for _ in range(20):
        place.machine(launched).claim()
    for _ in range(3):
        match(place.provider)
    assert Challenge.objects.count() == 1


def test_a_lost_answer_costs_a_retry_and_no_second_agent(place: Place) -> None:
    launched = place.launch("twice", "127.0.0.28")
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    machine.ask(nonce)
    work()
    assert machine.ask(nonce) == machine.ask() and Agent.objects.count() == 1
    machine.claim()
    assert machine.ask()[0] == 200


def test_a_server_that_its_cloud_lost_meanwhile_is_not_bound(place: Place) -> None:
    launched = place.launch("gone", "127.0.0.29")
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    place.cloud.remove(launched.external_id)
    machine.ask(nonce)
    work()
    assert not Agent.objects.exists() and machine.row.state == "waiting"


def test_somebody_without_root_cannot_speak_for_the_machine(place: Place) -> None:
    """Any user of a server can read its metadata; root alone writes to its console."""
    launched = place.launch("shared", "127.0.0.30")
    sync.now(place.account)
    root, user = place.machine(launched), place.machine(launched)
    place.cloud.instances[launched.external_id].console = f"booting\n{protocol.CONSOLE_KEY}{root.public_key}\nlogin: "
    user.claim()
    match(place.provider)
    user.ask(place.nonce(launched))
    work()
    assert not Agent.objects.exists()
    assert user.row.state == "pending" and "another key" in user.row.trouble
    root.claim()
    match(place.provider)
    root.ask(place.nonce(launched))
    work()
    assert root.ask()[0] == 200


def test_a_machine_whose_agent_was_revoked_may_prove_itself_again(place: Place) -> None:
    launched = place.launch("again", "127.0.0.31")
    sync.now(place.account)
    machine = place.machine(launched)
    machine.claim()
    match(place.provider)
    machine.ask(place.nonce(launched))
    work()
    Agent.objects.update(state="revoked", server=None)
    assert machine.ask()[0] == 202
    machine.claim()
    assert machine.row.state == "waiting"
    match(place.provider)
    machine.ask(place.nonce(launched))
    work()
    assert machine.ask()[0] == 200
