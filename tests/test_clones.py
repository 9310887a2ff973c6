"""A copied disk brings an agent's identity along: it is noticed, told, and the copy gets an identity of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.demo.launching import Launched
from console.models import AuditEntry
from providers import events
from servers import sync
from servers.agents import cloning, waking
from servers.agents.models import Agent
from servers.agents.program import protocol
from tests.claim_places import Place, place_at
from tests.claimants import Machine, match, work
from tests.conftest import People
from tests.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at("openstack", people.customer, tmp_path) as made:
        yield made


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The agents that every web process was told to forget."""
    told: list[object] = []
    monkeypatch.setattr(waking, "drop", told.extend)
    return told


def begins(machine: Machine, agent: Agent, epoch: int, instance_id: str) -> tuple[int, dict]:
    """A session of this agent, begun by a machine in that instance."""
    body = {"agent_id": str(agent.pk), "epoch": epoch, "version": "0.2.0", "instance_id": instance_id, "boot_id": "b"}
    return machine.post(protocol.SESSION_PATH, body)


def copied(place: Place, original: Machine, name: str, address: str) -> tuple[Launched, Machine]:
    """An instance from the disk of another: its key is the other's."""
    launched = place.launch(name, address)
    sync.now(place.account)
    machine = place.machine(launched)
    machine.seed = original.seed
    return launched, machine


def test_clones_are_noticed_and_each_gets_an_identity_of_its_own(
    people: People, place: Place, full_or: Callable[[int, int], int]
) -> None:
    launched, original = place.born("original", "127.0.0.81")
    agent = place.prove(original, launched)
    assert agent is not None and begins(original, agent, 1, launched.told)[0] == 200
    for number in range(full_or(50, 4)):
        there, clone = copied(place, original, f"clone-{number}", f"127.0.1.{number + 1}")
        status, said = begins(clone, agent, 2 + number, there.told)
        assert (status, said["error"]["code"]) == (403, protocol.PROVE_AGAIN)
        clone = place.machine(there)  # with a key of its own
        own = place.prove(clone, there)
        assert own is not None and own.server == place.server(there)
        assert begins(clone, own, 1, there.told)[0] == 200
    assert begins(original, agent, 1000, launched.told)[0] == 200  # it was never disturbed
    assert Agent.objects.live().count() == 1 + full_or(50, 4)
    entry = AuditEntry.objects.get(verb="agent.cloned")  # of one server, it is said once in a while
    assert entry.detail["other"] != launched.told and entry.customer_id == people.customer.pk


def test_one_session_in_two_machines_stops_both_until_one_proves_itself(
    people: People, place: Place, dropped: list[object]
) -> None:
    launched, machine = place.born("original", "127.0.0.82")
    agent = place.prove(machine, launched)
    assert agent is not None
    dropped.clear()
    assert cloning.twice(agent) and not cloning.twice(agent)
    assert dropped == [agent.pk]
    agent.refresh_from_db()
    assert agent.state == "suspended" and agent.cloned_at is not None
    for _ in range(2):
        status, said = begins(machine, agent, 5, launched.told)
        assert (status, said["error"]["code"]) == (403, protocol.PROVE_AGAIN)
    assert "Two machines use the identity" in text(people.browser(people.alice).get(f"/servers/{agent.server_id}/"))
    again = place.prove(machine, launched)
    assert again is not None and begins(machine, again, 6, launched.told)[0] == 200
    assert "Two machines use the identity" not in text(people.browser(people.bob).get(f"/servers/{again.server_id}/"))


def test_the_copy_that_was_suspended_along_proves_itself_as_what_it_is(place: Place) -> None:
    launched, machine = place.born("original", "127.0.0.83")
    agent = place.prove(machine, launched)
    assert agent is not None
    there, _ = copied(place, machine, "copy", "127.0.0.84")
    cloning.twice(agent)
    clone = place.machine(there)
    for one in (machine, clone):
        one.claim()
    match(place.provider)
    machine.ask(place.nonce(launched))
    clone.ask(place.nonce(there))
    work()
    assert {row.server.name for row in Agent.objects.live().select_related("server")} == {"original", "copy"}
    assert machine.ask()[0] == clone.ask()[0] == 200


def test_a_provider_is_told_of_clones_and_conflicts() -> None:
    assert {"agent.cloned", "agent.conflict"} <= events.TYPES.keys()


def test_an_agent_that_left_alarms_nobody(place: Place) -> None:
    launched, machine = place.born("original", "127.0.0.85")
    agent = place.prove(machine, launched)
    assert agent is not None
    Agent.objects.update(state="leaving", server=None)
    agent.refresh_from_db()
    cloning.other_instance(agent, "another")
    assert not cloning.twice(agent)
    assert not AuditEntry.objects.filter(verb="agent.cloned").exists()
