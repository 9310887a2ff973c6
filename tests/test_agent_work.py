"""Work for agents: signed, given until it is answered, told once, and nobody else's."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.lib import notify, signing, valkey
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry
from servers.agents import enrol, reports, work
from servers.agents.models import Agent, Work, WorkOutput
from servers.agents.program import protocol
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory
from tests.processes import wait


def agent_of(account: object) -> Agent:
    return Agent.objects.create(server=ServerFactory(account=account), public_key=uuid4().hex, version="0.2.0")


@pytest.fixture
def agent(people: People) -> Agent:
    return agent_of(people.account)


def told(row: Work, state: str, code: int | None = None, reason: str = "") -> None:
    row_agent = row.agent_id
    work.tell(row_agent, reports.work([{"id": str(row.pk), "state": state, "exit_code": code, "reason": reason}]))
    row.refresh_from_db()


def test_what_is_ordered_is_signed_for_its_agent_alone(agent: Agent, people: People) -> None:
    (row,) = work.order([agent.server], "echo hello\n", by=people.alice, arguments=["a b"], run_as="nobody")
    given = work.due([agent.pk])[agent.pk]
    assert [item["script"] for item in given] == ["echo hello\n"]
    (key,) = [signing.decode(one["key"]) for one in signing.public_keys() if one["id"] == given[0]["key_id"]]
    text = given[0]["envelope"]
    signature = signing.decode(given[0]["signature"])
    assert signing.verifies(key, signature, protocol.WORK_PURPOSE + text.encode())
    assert not signing.verifies(key, signature, protocol.RELEASE_PURPOSE + text.encode())
    said = json.loads(text)
    assert (said["work"], said["agent"], said["tenant"]) == (str(row.pk), str(agent.pk), str(people.customer.pk))
    assert (said["arguments"], said["run_as"], said["sequence"]) == (["a b"], "nobody", 1)
    assert AuditEntry.objects.filter(verb="work.ordered", customer_id=people.customer.pk).count() == 1


def test_work_comes_in_order_a_few_at_a_time_until_it_is_told_of(agent: Agent, people: People) -> None:
    rows = [work.order([agent.server], f"echo {n}", by=people.alice)[0] for n in range(6)]
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5, 6]

    def scripts() -> list[str]:
        return [item["script"] for item in work.due([agent.pk]).get(agent.pk, [])]

    assert scripts() == scripts() == ["echo 0", "echo 1", "echo 2", "echo 3"]
    told(rows[0], "started")
    told(rows[1], "refused", reason="No.")
    assert scripts() == ["echo 2", "echo 3", "echo 4", "echo 5"]
    assert (rows[0].state, rows[1].state, rows[1].reason) == ("started", "refused", "No.")


def test_looking_for_the_work_of_a_hundred_agents_is_one_query(people: People) -> None:
    agents = [agent_of(people.account) for _ in range(100)]
    work.order([agent.server for agent in agents[:3]], "true", by=people.alice)
    work.due([agent.pk for agent in agents])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        given = work.due([agent.pk for agent in agents])
    assert len(queries) == 1 and set(given) == {agent.pk for agent in agents[:3]}


def test_the_same_word_twice_changes_nothing(agent: Agent, people: People) -> None:
    (row,) = work.order([agent.server], "true", by=people.alice)
    told(row, "started")
    began = row.started_at
    told(row, "started")
    told(row, "done", 0)
    ended = row.ended_at
    told(row, "done", 0)
    told(row, "failed", 1)
    told(row, "started")
    assert (row.state, row.exit_code, row.started_at, row.ended_at) == ("done", 0, began, ended)
    assert work.due([agent.pk]) == {}


def test_an_agent_tells_of_its_own_work_only(agent: Agent, people: People) -> None:
    (row,) = work.order([agent.server], "true", by=people.alice)
    other = agent_of(AccountFactory(customer=people.elsewhere))
    work.tell(other.pk, reports.work([{"id": str(row.pk), "state": "done", "exit_code": 0}]))
    assert not work.wrote(other.pk, row.pk, 1, 0, b"forged")
    row.refresh_from_db()
    assert row.state == "queued" and not WorkOutput.objects.exists()


def test_output_is_kept_by_its_place(agent: Agent, people: People) -> None:
    (row,) = work.order([agent.server], "true", by=people.alice)
    for offset, data in ((0, b"one "), (4, b"two"), (0, b"one "), (0, b"altered"), (2, b"e two, three"), (100, b"end")):
        assert work.wrote(agent.pk, row.pk, 1, offset, data)
    assert work.wrote(agent.pk, row.pk, 2, 0, b"err")
    assert work.output(row, 1) == [(0, b"one two, three"), (100, b"end")] and work.output(row, 2) == [(0, b"err")]
    assert not work.wrote(agent.pk, row.pk, 3, 0, b"no such stream")
    assert not work.wrote(agent.pk, row.pk, 1, -1, b"before the beginning")


def test_an_agent_cannot_fill_the_database(agent: Agent, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "OUTPUT_HEAD", 8 * 1024)
    monkeypatch.setattr(protocol, "OUTPUT_TAIL", 2 * 1024)
    (row,) = work.order([agent.server], "true", by=people.alice)
    kept = [work.wrote(agent.pk, row.pk, 1, n * 1024, b"x" * 1024) for n in range(30)]
    assert kept == [True] * 10 + [False] * 20
    assert work.wrote(agent.pk, row.pk, 1, 3, b"x"), "a piece that stands there already is answered as before"
    assert sum(len(data) for _, data in work.output(row, 1)) == 10 * 1024


def test_work_that_waits_is_canceled_and_what_runs_is_not(agent: Agent, people: People) -> None:
    waits, runs = (work.order([agent.server], "true", by=people.alice)[0] for _ in range(2))
    told(runs, "started")
    assert work.cancel(waits, people.bob) and not work.cancel(runs, people.bob)
    waits.refresh_from_db()
    assert (waits.state, waits.reason) == ("canceled", "Canceled by bob@example.com.")
    assert work.due([agent.pk]) == {}
    told(waits, "started")  # it was on its way already
    told(waits, "done", 0)
    assert (waits.state, waits.exit_code) == ("done", 0)


def test_work_waits_for_an_agent_until_its_time_is_over(agent: Agent, people: People) -> None:
    (row,) = work.order([agent.server], "true", by=people.alice, life=timedelta(minutes=5))
    assert work.sweep() == 0
    Work.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert work.due([agent.pk]) == {} and work.sweep() == 1
    row.refresh_from_db()
    assert (row.state, row.reason) == ("expired", "The agent was not there until its time was over.")


def test_the_work_of_an_agent_that_left_ends(agent: Agent, people: People) -> None:
    waits, runs = (work.order([agent.server], "true", by=people.alice)[0] for _ in range(2))
    told(runs, "started")
    enrol.end(Agent.objects.filter(pk=agent.pk), Agent.State.LEAVING)
    assert work.sweep() == 2 and work.sweep() == 0
    waits.refresh_from_db()
    runs.refresh_from_db()
    assert (waits.state, runs.state) == ("canceled", "interrupted")


def test_nothing_is_ordered_where_one_server_has_no_agent(agent: Agent, people: People) -> None:
    bare = ServerFactory(account=people.account)
    with pytest.raises(Denied) as denied:
        work.order([agent.server, bare], "true", by=people.alice)
    assert denied.value.words == "1 of these servers have no agent that may run this." and not Work.objects.exists()
    people.customer.status = "suspended"
    people.customer.save()
    with pytest.raises(Denied):
        work.order([agent.server], "true", by=people.alice)


@pytest.mark.parametrize("wrong", [{"script": "  \n"}, {"script": "x" * (256 * 1024 + 1)}, {"timeout": 0}])
def test_what_no_agent_could_run_is_refused_in_words(agent: Agent, people: People, wrong: dict) -> None:
    with pytest.raises(Wrong) as refused:
        work.order([agent.server], wrong.pop("script", "true"), by=people.alice, **wrong)
    assert list(refused.value.fields) in (["script"], ["timeout"])


@pytest.mark.django_db(transaction=True)
def test_web_processes_and_open_pages_hear_of_work(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = agent_of(people.account)
    heard: list[str] = []
    monkeypatch.setattr(notify, "changed", lambda customer, what: heard.append(what))
    ear = valkey.client().pubsub(ignore_subscribe_messages=True)
    ear.subscribe("agents:wake")
    try:
        ear.get_message(timeout=5)  # of the subscription
        (row,) = work.order([agent.server], "true", by=people.alice)
        # Other tests' processes may say something there too.
        wait(lambda: (ear.get_message(timeout=5) or {}).get("data") == str(agent.pk))
    finally:
        ear.close()
    told(row, "started")
    assert heard == [f"server-{agent.server_id}", f"work-{row.pk}"]


@pytest.mark.parametrize(
    "said",
    [{}, [{}], [{"id": "x", "state": "done"}], [{"id": str(uuid4()), "state": "queued"}],
     [{"id": str(uuid4()), "state": "done", "exit_code": True}], [{"id": str(uuid4()), "state": "done", "reason": 3}],
     [{"id": str(uuid4()), "state": "done"}] * 33],
)  # fmt: skip
def test_a_report_of_work_that_is_none_is_refused(said: object) -> None:
    with pytest.raises(Wrong):
        reports.work(said)
