"""Join tokens become agents: once, in time, and one to a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.signals import account_removed
from console.lib.denials import Denied
from console.models import AuditEntry
from servers.agents import challenging, checkin, enrol, reports, work
from servers.agents.models import Agent, Challenge, JoinToken, Work, WorkOutput
from servers.agents.program import protocol
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.machine import Direct

FACTS = reports.facts({"hostname": "web-1"})
MACHINES: dict[str, Direct] = {}


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture(autouse=True)
def machines() -> Iterator[None]:
    yield
    MACHINES.clear()


def post(token: object, who: str = "one", **more: object) -> tuple[int, dict]:
    """The machine of that name enrols."""
    machine = MACHINES.setdefault(who, Direct())
    body = {"token": token, "public_key": machine.public, "version": "0.2.0", "facts": {"hostname": "web-1"}, **more}
    return machine.prove(protocol.ENROL_PATH, body)


def test_a_token_makes_one_agent_of_its_server(server: Server, people: People) -> None:
    token = enrol.issue(server, people.alice)
    status, said = post(token)
    assert status == 200 and said["keys"]
    agent = Agent.objects.get()
    assert (agent.server, str(agent.pk), agent.state) == (server, said["agent_id"], "live")
    assert agent.facts["hostname"] == "web-1" and Agent.objects.unheard().get() == agent
    assert post(token, "two")[0] == 401


def test_no_secret_is_kept_in_the_database(server: Server, people: People) -> None:
    token = enrol.issue(server, people.alice)
    post(token)
    kept = str(list(Agent.objects.values()) + list(JoinToken.objects.values()) + list(AuditEntry.objects.values()))
    assert token not in kept
    assert token.startswith("mjt_")  # so that the log filter knows it


def test_used_expired_and_unknown_tokens_get_the_same_answer(server: Server, people: People) -> None:
    used, old = enrol.issue(server, people.alice), enrol.issue(server, people.alice)
    post(used)
    JoinToken.objects.filter(digest=enrol.digest(old)).update(expires_at=timezone.now() - timedelta(seconds=1))
    answers = [post(token, "other") for token in (used, old, "mjt_never_issued")]
    for _, said in answers:
        said["error"].pop("request_id")
    assert answers[0][0] == 401 and answers[0] == answers[1] == answers[2]
    assert answers[0][1]["error"]["code"] == protocol.UNKNOWN_TOKEN


def test_the_same_key_after_a_lost_answer_gets_the_same_agent(server: Server, people: People) -> None:
    token = enrol.issue(server, people.alice)
    assert post(token) == post(token)
    assert Agent.objects.count() == 1


def test_the_same_key_gets_nothing_once_its_agent_was_replaced(server: Server, people: People) -> None:
    token = enrol.issue(server, people.alice)
    post(token)
    post(enrol.issue(server, people.alice), "two")
    assert post(token)[0] == 401


def test_installing_again_revokes_the_older_agent(server: Server, people: People) -> None:
    first = post(enrol.issue(server, people.alice))[1]
    second = post(enrol.issue(server, people.alice), "two")[1]
    assert Agent.objects.get(server=server).pk == Agent.objects.get(pk=second["agent_id"]).pk
    older = Agent.objects.get(pk=first["agent_id"])
    assert (older.state, older.server, older.former_server) == ("revoked", None, server)
    entry = AuditEntry.objects.filter(verb="agent.enrolled").latest("id")
    assert entry.customer_id == people.customer.pk and entry.detail["replaced"] == 1


def test_issuing_is_audited_with_who_did_it(server: Server, people: People) -> None:
    enrol.issue(server, people.alice)
    entry = AuditEntry.objects.get(verb="agent.token_issued")
    assert (entry.actor_name, entry.target_id) == ("alice@example.com", str(server.pk))


def test_a_token_of_an_account_finds_its_server_by_instance_id(server: Server, people: People) -> None:
    Server.objects.filter(pk=server.pk).update(external_id="0f-aa")
    status, said = post(enrol.issue(people.account, None), facts={"instance_id": "0F-AA"})  # as some BIOSes show it
    assert status == 200 and Agent.objects.get(pk=said["agent_id"]).server == server


@pytest.mark.parametrize(
    ("platform", "listed", "told"),
    [("openstack", "42", "i-0000002a"), ("vcloud", "vm-6a2b4c8d-1e3f-4a5b-8c7d-9e0f1a2b3c4d",
     "6A2B4C8D-1E3F-4A5B-8C7D-9E0F1A2B3C4D"), ("cloudstack", "345", "i-2-345-VM")],
)  # fmt: skip
def test_a_token_of_an_account_knows_each_platforms_names_of_an_instance(
    server: Server, people: People, platform: str, listed: str, told: str
) -> None:
    type(people.account.endpoint).objects.update(platform=platform)
    Server.objects.filter(pk=server.pk).update(external_id=listed)
    status, said = post(enrol.issue(people.account, None), facts={"instance_id": told})
    assert status == 200 and Agent.objects.get(pk=said["agent_id"]).server == server


def test_a_token_of_an_account_finds_its_server_by_mac(server: Server, people: People) -> None:
    Server.objects.filter(pk=server.pk).update(addresses=[{"ip": "10.0.0.5", "mac": "fa:16:3e:00:00:01"}])
    nics = [{"name": "eth0", "mac": "FA:16:3E:00:00:01", "addresses": []}]
    assert post(enrol.issue(people.account, None), facts={"nics": nics})[0] == 200


def test_a_token_of_an_account_waits_for_a_server_that_is_not_known_yet(people: People) -> None:
    token = enrol.issue(people.account, None)
    status, said = post(token, facts={"instance_id": "later"})
    assert (status, said["error"]["code"]) == (409, "no_server")
    ServerFactory(account=people.account, external_id="later")
    assert post(token, facts={"instance_id": "later"})[0] == 200


def test_a_token_of_an_account_cannot_take_a_server_whose_agent_reports(server: Server, people: People) -> None:
    post(enrol.issue(server, people.alice))
    checkin.beat(Agent.objects.get().pk, "0.1.0", reports.metrics({}), None)
    token = enrol.issue(people.account, None)
    for _ in range(2):
        status, said = post(token, "two", facts={"instance_id": server.external_id})
        assert (status, said["error"]["code"]) == (409, "has_agent")
    assert AuditEntry.objects.get(verb="agent.conflict").customer_id == people.customer.pk, "it is said, and once"
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(minutes=9))
    assert post(token, "two", facts={"instance_id": server.external_id})[0] == 409
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(minutes=11))
    assert post(token, "two", facts={"instance_id": server.external_id})[0] == 200


def test_a_token_of_an_account_never_reaches_another_account(people: People) -> None:
    other = ServerFactory(external_id="theirs")
    assert other.account != people.account
    assert post(enrol.issue(people.account, None), facts={"instance_id": "theirs"})[0] == 409


def test_a_removed_account_takes_its_tokens_and_agents_along(server: Server, people: People) -> None:
    unused = enrol.issue(server, people.alice)
    agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", FACTS)
    people.account.removed_at = timezone.now()
    people.account.save()
    account_removed.send(sender=type(people.account), account=people.account)
    agent.refresh_from_db()
    assert (agent.state, agent.server) == ("leaving", None)
    assert post(unused)[0] == 401
    with pytest.raises(Denied, match="removed"):
        enrol.issue(server, people.alice)


def test_an_agent_leaves_before_its_server_row_is_deleted(server: Server, people: People) -> None:
    agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", FACTS)
    server.delete()
    agent.refresh_from_db()
    assert (agent.state, agent.server, agent.former_server) == ("leaving", None, None)


def tidied() -> None:
    for deed in (enrol.tidy, challenging.tidy, work.tidy):
        deed()


def test_what_is_long_over_is_tidied_and_nothing_else(server: Server, people: People) -> None:
    post(enrol.issue(server, people.alice))
    [done, waits] = (work.order([server], "true", by=people.alice)[0] for _ in range(2))
    WorkOutput.objects.create(work=done, stream=1, offset=0, data=b"x")
    WorkOutput.objects.create(work=waits, stream=1, offset=0, data=b"x")
    over = Challenge.objects.create(server=server, sealed="", state="done", ended_at=timezone.now())
    there = Challenge.objects.create(server=server, sealed="")
    tidied()
    assert JoinToken.objects.count() == 1 and WorkOutput.objects.count() == 2 and Challenge.objects.count() == 2
    old = timezone.now() - timedelta(days=100)
    JoinToken.objects.update(expires_at=old)
    Work.objects.filter(pk=done.pk).update(state="done", ended_at=old)
    Challenge.objects.filter(pk=over.pk).update(ended_at=old)
    tidied()
    assert not JoinToken.objects.exists() and Challenge.objects.get() == there
    assert WorkOutput.objects.get().work == waits and Work.objects.count() == 2
    assert Agent.objects.live().count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token": 7}, "token"),
        ({"token": "x" * 1000}, "token"),
        ({"public_key": []}, "public_key"),
        ({"public_key": "short"}, "public_key"),
        ({"public_key": "x" * 5000}, "public_key"),
        ({"version": {}}, "version"),
        ({"facts": []}, ""),
        ({"facts": {"cpus": -1}}, "facts.cpus"),
        ({"facts": {"nics": [{"addresses": [1]}]}}, "facts.nics.0.addresses.0"),
    ],
)
def test_a_malformed_enrolment_names_the_field_and_leaves_the_token(
    server: Server, people: People, change: dict, field: str
) -> None:
    token = enrol.issue(server, people.alice)
    status, said = post(**{"token": token, **change})
    if field:
        assert status == 400 and field in said["error"]["fields"]
        assert JoinToken.objects.get().used_at is None
    else:
        assert status == 200  # an empty list says as little as an empty object


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_with_one_token_make_one_agent(server: Server, people: People) -> None:
    token = enrol.issue(server, people.alice)
    assert sorted(at_once(10, lambda n: (token, f"{n}"))) == [200] + [401] * 9
    assert Agent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_ten_tokens_of_one_server_at_once_leave_one_live_agent(server: Server, people: People) -> None:
    tokens = [enrol.issue(server, people.alice) for _ in range(10)]
    assert at_once(10, lambda n: (tokens[n], f"{n}")) == [200] * 10
    assert Agent.objects.live().count() == 1 and Agent.objects.count() == 10


def at_once(count: int, given: object) -> list[int]:
    """The statuses of so many enrolments that start together, each on a connection of its own."""
    start, statuses = threading.Barrier(count), []

    def one(number: int) -> None:
        start.wait()
        statuses.append(post(*given(number))[0])
        connection.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses
