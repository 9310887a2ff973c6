"""Keys and sessions: a key is proven, a token is good for one key, an epoch for one session."""

from __future__ import annotations

import threading

import pytest

from console.lib import signing
from servers.agents import checkin, enrol
from servers.agents.models import Agent, JoinToken
from servers.agents.program import protocol
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.machine import Machine

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture
def machine(live_server: object) -> Machine:
    return Machine(live_server.url)


@pytest.fixture
def enrolled(machine: Machine, server: Server, people: People) -> Machine:
    assert machine.enrol(enrol.issue(server, people.alice))[0] == 200
    return machine


def test_a_token_makes_the_key_the_agent_of_its_server(machine: Machine, server: Server, people: People) -> None:
    status, said = machine.enrol(enrol.issue(server, people.alice), instance_id="i-1")
    assert (status, said) == (200, {"agent_id": said["agent_id"], "keys": signing.public_keys()})
    agent = Agent.objects.get()
    assert (agent.server, agent.public_key, agent.way, agent.instance_id) == (server, machine.public, "token", "i-1")


def test_the_same_token_gives_the_same_key_its_agent_again_and_another_key_none(
    machine: Machine, server: Server, people: People
) -> None:
    token = enrol.issue(server, people.alice)
    assert machine.enrol(token) == machine.enrol(token)
    status, said = Machine(machine.url.geturl()).enrol(token)
    assert (status, said["error"]["code"]) == (401, protocol.UNKNOWN_TOKEN) and Agent.objects.count() == 1


def test_nobody_enrols_with_a_key_that_it_does_not_hold(machine: Machine, server: Server, people: People) -> None:
    other = Machine(machine.url.geturl())
    other.public = machine.public
    status, said = other.enrol(enrol.issue(server, people.alice))
    assert (status, said["error"]["code"]) == (401, "wrong_signature")
    assert not Agent.objects.exists() and JoinToken.objects.get().used_at is None


def test_a_machine_that_is_installed_again_keeps_its_key(enrolled: Machine, server: Server, people: People) -> None:
    first = enrolled.agent_id
    assert enrolled.enrol(enrol.issue(server, people.alice))[0] == 200 and enrolled.agent_id != first
    older = Agent.objects.get(pk=first)
    assert (older.state, older.public_key, older.former_server) == ("revoked", None, server)
    assert Agent.objects.live().get().public_key == enrolled.public


def test_the_key_of_another_servers_agent_is_refused(enrolled: Machine, people: People) -> None:
    other = ServerFactory(account=people.account)
    status, said = enrolled.enrol(enrol.issue(other, people.alice))
    assert (status, said["error"]["code"]) == (409, "key_in_use")
    assert Agent.objects.live().count() == 1


def test_a_session_gives_a_secret_that_is_kept_sealed(enrolled: Machine) -> None:
    status, said = enrolled.begin()
    agent = Agent.objects.get()
    assert status == 200 and said["interval"] == 30 and str(agent.session) == said["session"]
    assert agent.opened_session_key(agent.session_key) == enrolled.key and len(enrolled.key) == 32
    assert said["key"] not in str(Agent.objects.values().get())


def test_another_session_ends_the_one_before_and_remembers_it(enrolled: Machine) -> None:
    enrolled.begin()
    first, key = enrolled.session, enrolled.key
    enrolled.begin()
    agent = Agent.objects.get()
    assert (str(agent.former_session), agent.opened_session_key(agent.former_session_key)) == (first, key)
    assert str(agent.session) == enrolled.session != first


def test_an_epoch_is_good_once_and_the_refusal_tells_the_last(enrolled: Machine) -> None:
    enrolled.begin(epoch=7)
    for epoch in (7, 3):
        status, said = enrolled.begin(epoch=epoch)
        assert (status, said["error"]["code"], said["epoch"]) == (409, protocol.EPOCH_USED, 7)
    assert enrolled.begin(epoch=8)[0] == 200


def test_of_ten_sessions_with_one_epoch_at_once_one_begins(enrolled: Machine) -> None:
    gate, statuses = threading.Barrier(10), []

    def one() -> None:
        gate.wait()
        statuses.append(enrolled.begin(epoch=50)[0])

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 9


def test_a_session_is_not_begun_by_another_key(enrolled: Machine) -> None:
    thief = Machine(enrolled.url.geturl())
    thief.agent_id = enrolled.agent_id
    status, said = thief.begin()
    assert (status, said["error"]["code"]) == (401, "wrong_signature") and Agent.objects.get().session is None


def test_another_instance_has_to_prove_itself(enrolled: Machine) -> None:
    assert enrolled.begin(instance_id="I-1")[0] == 200
    assert enrolled.begin(instance_id="i-1")[0] == 200, "as some BIOSes show it"
    status, said = enrolled.begin(instance_id="i-2")
    assert (status, said["error"]["code"]) == (403, protocol.PROVE_AGAIN)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ("suspended", 403, protocol.PROVE_AGAIN),
        ("revoked", 401, protocol.UNKNOWN_AGENT),
        ("leaving", 410, protocol.REMOVED),
    ],
)
def test_an_agent_that_is_not_welcome_gets_no_session(enrolled: Machine, state: str, status: int, code: str) -> None:
    Agent.objects.update(state=state)
    got, said = enrolled.begin()
    assert (got, said["error"]["code"]) == (status, code)


def test_a_stranger_is_told_to_stop(machine: Machine) -> None:
    machine.agent_id = "5f2f4b8e-0000-4000-8000-000000000000"
    status, said = machine.begin()
    assert (status, said["error"]["code"]) == (401, protocol.UNKNOWN_AGENT)


@pytest.mark.parametrize(
    "change",
    [{"agent_id": 7}, {"agent_id": "x"}, {"epoch": 0}, {"epoch": True}, {"epoch": "1"}, {"epoch": 2**63},
     {"epoch": 1.5}, {"instance_id": []}, {"version": {}}],
)  # fmt: skip
def test_a_malformed_session_names_the_field(enrolled: Machine, change: dict) -> None:
    status, said = enrolled.begin(**change)
    assert status == 400 and list(said["error"]["fields"]) == list(change)


def test_a_removed_agent_may_not_come_back(enrolled: Machine, people: People) -> None:
    checkin.remove(Agent.objects.get(), people.alice)
    assert enrolled.begin()[0] == 410
