"""What a machine without an identity says is answered always the same, matched within its provider, never trusted."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import CloudAccount, SyncRun
from console.demo.instance import Nic
from providers.models import Customer
from servers import sync
from servers.agents import admitting, claiming, looking
from servers.agents.models import Agent, Challenge, Claim
from servers.agents.program import protocol
from servers.models import Server
from tests.claim_places import Place, place_at
from tests.claimants import Machine, match, work
from tests.conftest import People
from tests.factories import AccountFactory, ProviderFactory, ServerFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at("openstack", people.customer, tmp_path) as made:
        yield made


# --- answers


def test_known_and_unknown_machines_get_the_same_answer_after_the_same_work(place: Place) -> None:
    launched, known = place.born("known", "127.0.0.41")
    known.claim()
    match(place.provider)  # and a nonce stands there
    channel = place.provider.pk
    machines = [
        place.machine(launched),
        Machine(channel, str(uuid.uuid4())),
        Machine(channel, "x"),
        Machine(uuid.uuid4(), launched.told),
        Machine(ProviderFactory(status="suspended").pk, launched.told),
    ]
    answers, work_done = [], []
    for machine in machines:
        for call in (machine.claim, machine.claim, machine.ask, lambda one=machine: one.ask("no nonce")):
            with CaptureQueriesContext(connection) as queries:
                answers.append(call())
            work_done.append(len(queries))
    assert {repr(answer) for answer in answers} == {"(202, {'retry': 5})"}
    assert len(set(work_done[0::4])) == len(set(work_done[1::4])) == 1
    assert len(set(work_done[2::4])) == len(set(work_done[3::4])) == 1


def test_a_claim_that_its_key_did_not_sign_is_refused(place: Place) -> None:
    machine, other = Machine(place.provider.pk, "a"), Machine(place.provider.pk, "b")
    assert machine.post(protocol.CLAIM_PATH, machine.said(), signature="")[0] == 401
    assert machine.post(protocol.CLAIM_PATH, other.said())[0] == 401
    assert not Claim.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("channel", "no"), ("channel", None), ("public_key", "short"), ("macs", "aa"), ("macs", [1]), ("addresses", [[]]),
     ("instance_id", {}), ("hostname", 7), ("macs", ["m"] * 1000), ("public_key", ["x"])],
)  # fmt: skip
def test_a_malformed_claim_is_refused_with_the_field(place: Place, field: str, value: object) -> None:
    machine = Machine(place.provider.pk, "a")
    status, said = machine.post(protocol.CLAIM_PATH, {**machine.said(), field: value})
    assert status == 400 and field in said["error"]["fields"]


def test_control_characters_and_markup_of_a_hostile_machine_harm_nobody(people: People, place: Place) -> None:
    machine = Machine(place.provider.pk, "<script>\x00\x1b[2J" + "é" * 500, more={"hostname": "<b>\nx</b>" * 90})
    assert machine.claim()[0] == 202
    row = machine.row
    assert len(row.instance_id) == 128 and "\x1b" not in row.instance_id and "\n" not in row.hostname
    Claim.objects.update(state="pending", customers=[people.customer.pk])
    page = people.browser(people.alice).get("/machines/").content.decode()
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_an_address_that_sends_too_much_is_told_so_whoever_it_claims_to_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CALLS", 3)
    launched, known = place.born("known", "127.0.0.42")
    unknown = Machine(place.provider.pk, "unknown")
    known.address = unknown.address = f"2001:db8:{secrets.randbelow(9999)}:{secrets.randbelow(9999)}::1"
    said = [one.claim() for one in (known, unknown, known, unknown, known)]
    assert [status for status, _ in said] == [202, 202, 202, 429, 429]
    assert said[3][1]["error"]["message"] == said[4][1]["error"]["message"]
    match(place.provider)
    known.ask(place.nonce(launched))  # a proof is counted by itself
    work()
    assert known.ask()[0] == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [(protocol.PROOF_PATH, "proofs"), (protocol.ENROL_PATH, "enrolments"), (protocol.SESSION_PATH, "sessions")],
)
def test_every_call_without_a_session_is_counted_by_its_address(
    place: Place, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setattr(claiming, "CALLS", 1)
    machine = Machine(
        place.provider.pk, "a", address=f"2001:db8:{secrets.randbelow(9999)}:{secrets.randbelow(9999)}::1"
    )
    said = [machine.post(path, {}) for _ in range(claiming.PROOFS + 1)]
    assert said[0][0] == 400 and (said[-1][0], said[-1][1]["error"]["code"]) == (429, f"too_many_{kind}")


# --- floods


@pytest.mark.timeout(2400)
def test_a_flood_enrols_nobody_and_keeps_nobody_out(
    people: People, place: Place, tmp_path: Path, full_or: Callable[[int, int], int]
) -> None:
    """Random ids, ids of this provider's servers and of another's; among them one machine that is what it says."""
    with place_at("openstack", people.elsewhere, tmp_path / "south") as south:
        sync.now(south.account)
        launched, honest = place.born("honest", "127.0.0.43")
        ids = list(Server.objects.values_list("external_id", flat=True))
        flood = full_or(10_000, 300)
        answers = set()
        for number in range(flood):
            told = ids[number % len(ids)] if number % 2 else str(uuid.uuid4())
            machine = Machine(place.provider.pk, told, address=f"203.0.113.{number % 250}")
            answers.add(repr(machine.claim()))
            if number % 5 == 0:
                answers.add(repr(machine.ask(secrets.token_urlsafe(32))))
            if number == flood // 2:
                honest.claim()
            if number % full_or(1000, 100) == full_or(999, 99):
                match(place.provider)
        assert answers == {"(202, {'retry': 5})"}
        match(place.provider)
        honest.ask(place.nonce(launched))
        work()
        assert honest.ask()[0] == 200
        assert [agent.public_key for agent in Agent.objects.all()] == [honest.public_key]
        assert not Challenge.objects.filter(server__account=south.account).exists()
        assert Challenge.objects.count() <= Server.objects.filter(account=place.account).count()


def test_too_many_claims_shed_those_that_fit_nothing_and_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST", 5)
    launched, honest = place.born("honest", "127.0.0.44")
    honest.claim()
    match(place.provider)
    for _ in range(12):
        Machine(place.provider.pk, str(uuid.uuid4())).claim()
    match(place.provider)
    assert Claim.objects.filter(server__isnull=True).count() == 5
    assert honest.row.server == place.server(launched)


def test_many_who_claim_one_server_shed_the_older_ones(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "OF_ONE", 3)
    launched, _ = place.born("wanted", "127.0.0.45")
    machines = [place.machine(launched) for _ in range(6)]
    for machine in machines:
        machine.claim()
    match(place.provider)
    match(place.provider)
    left = set(Claim.objects.values_list("public_key", flat=True))
    assert left == {machine.public_key for machine in machines[3:]}


def test_a_flood_of_what_waits_for_people_is_shed_and_no_proof_is(
    people: People, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "ASKED", 6)
    monkeypatch.setattr(looking, "ASKED_OF_ONE", 2)
    near = ServerFactory(account=place.account, external_id="near", ips=["198.51.100.77"])
    place.account.generation = "diablo-1.0"  # nobody can prove anything here
    place.account.save()
    launched, proof = place.born("honest", "127.0.0.46")
    proof.claim()
    match(place.provider)
    Claim.objects.update(state="pending", level=3, proven_at=timezone.now(), trouble=admitting.BUSY,
                         server=place.server(launched), customers=[people.customer.pk])  # fmt: skip
    crowd = [Machine(place.provider.pk, one, address="198.51.100.77") for one in ["near"] * 5 + ["nobody"] * 9]
    for machine in crowd:
        machine.claim()
    Claim.objects.filter(proven_at=None).update(first_at=timezone.now() - looking.GRACE * 2)
    match(place.provider)
    Claim.objects.filter(state="pending", proven_at=None).update(first_at=timezone.now())
    match(place.provider)
    left = Claim.objects.filter(proven_at=None)
    assert left.count() == 6 and left.filter(server=near).count() <= 2
    assert crowd[-1].public_key in left.values_list("public_key", flat=True), "who was heard last is there"
    assert proof.row.state == "pending", "a proof stands however many others wait"
    crowd[0].claim()  # it comes again with its next call
    assert crowd[0].row.state == "waiting"


def test_one_look_of_a_provider_at_a_time_and_each_with_an_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "AT_ONCE", 4)
    for number in range(9):
        Machine(place.provider.pk, f"nobody-{number}").claim()
    with looking._alone(place.provider.pk) as hold:
        assert hold is not None and looking.look(place.provider.pk) == 0
    assert [looking.look(place.provider.pk) for _ in range(4)] == [4, 4, 1, 0]


def test_what_waits_longer_than_its_time_is_forgotten(place: Place) -> None:
    machine = Machine(place.provider.pk, "nobody")
    machine.claim()
    assert timedelta(minutes=29) < machine.row.expires_at - timezone.now() < timedelta(minutes=31)
    Claim.objects.update(expires_at=timezone.now())
    assert claiming.tidy() == 1


# --- providers


def test_a_machine_of_one_provider_is_never_matched_with_servers_of_another(
    people: People, place: Place, tmp_path: Path
) -> None:
    with place_at("openstack", people.elsewhere, tmp_path / "south") as south:
        launched, _ = south.born("theirs", "127.0.0.46")
        machine = south.machine(launched)
        machine.channel = place.provider.pk
        machine.claim()
        match(place.provider)
        match(south.provider)
        assert machine.row.server is None and not Challenge.objects.exists()
        right = south.machine(launched)
        right.claim()
        match(south.provider)
        assert right.row.server == south.server(launched)


@pytest.mark.parametrize("change", [
    {"removed_at": timezone.now()}, {"customer__status": "suspended"}, {"endpoint__enabled": False},
    {"sealed": ""}, {"endpoint__provider__status": "suspended"},
])  # fmt: skip
def test_servers_that_may_not_be_read_match_nobody(place: Place, change: dict[str, object]) -> None:
    _, machine = place.born("quiet", "127.0.0.47")
    machine.claim()
    for path, value in change.items():
        *parts, field = path.split("__")
        row = place.account
        for part in parts:
            row = getattr(row, part)
        type(row).objects.filter(pk=row.pk).update(**{field: value})
    match(place.provider)
    assert machine.row.server is None and not Challenge.objects.exists()


# --- new servers


def test_a_machine_that_nobody_knows_yet_lets_its_account_be_read_once_a_minute(place: Place) -> None:
    sync.now(place.account)
    launched = place.launch("newborn", "127.0.0.48")
    CloudAccount.objects.update(next_sync_at=timezone.now() + timedelta(hours=1), failures=0,
                                last_sync_at=timezone.now() - timedelta(minutes=4))  # fmt: skip
    SyncRun.objects.all().delete()
    machine = place.machine(launched)
    for _ in range(3):
        machine.claim()
        match(place.provider)
        Machine(place.provider.pk, str(uuid.uuid4())).claim()
        Claim.objects.update(looked_at=None)
    assert SyncRun.objects.count() == 1
    assert machine.row.server is None
    sync.now(place.account)
    Claim.objects.update(looked_at=timezone.now() - timedelta(seconds=11))
    CloudAccount.objects.update(last_sync_at=timezone.now())
    match(place.provider)
    assert machine.row.server == place.server(launched)


def test_a_flood_lets_only_a_few_accounts_a_minute_be_read(people: People, place: Place) -> None:
    for _ in range(30):
        AccountFactory(customer=people.customer, endpoint=place.account.endpoint, sealed="x", status="ok")
    CloudAccount.objects.update(next_sync_at=timezone.now() + timedelta(hours=1))
    for _ in range(4):
        Machine(place.provider.pk, str(uuid.uuid4())).claim()
        looking.look(place.provider.pk)
    hurried = CloudAccount.objects.filter(next_sync_at__lt=timezone.now() + timedelta(minutes=30))
    assert 0 < hurried.count() <= looking.READINGS


# --- levels below a proof


def test_level_two_needs_the_customers_word_the_address_the_card_and_youth(people: People, place: Place) -> None:
    place.account.generation = "diablo-1.0"  # a cloud whose metadata cannot be changed
    place.account.save()
    server = ServerFactory(
        account=place.account, external_id="i-new", ips=["198.51.100.50"], cloud_created_at=timezone.now(),
        addresses=[{"ip": "198.51.100.50", "version": 4, "kind": "", "network": "", "mac": "fa:16:3e:00:00:50"}],
    )  # fmt: skip
    twin = place.cloud.add("i-new", id="i-new", addresses={"net": [Nic("198.51.100.50", mac="fa:16:3e:00:00:50")]})
    assert twin.id == "i-new"

    def comes(**changes: object) -> Claim:
        Claim.objects.all().delete()
        fields = {"instance_id": "i-new", "macs": ("FA:16:3E:00:00:50",), "address": "198.51.100.50", **changes}
        machine = Machine(place.provider.pk, **fields)
        machine.claim()
        match(place.provider)
        return machine.row

    assert (comes().state, comes().level) == ("pending", 1)  # not switched on
    Customer.objects.update(admit_by_network=True)
    assert comes(macs=("fa:16:3e:00:00:51",)).state == "pending"
    assert comes(address="198.51.100.51").state == "waiting"  # level 0: from anywhere
    Server.objects.update(cloud_created_at=timezone.now() - timedelta(minutes=31))
    assert comes().state == "pending"
    Server.objects.update(cloud_created_at=timezone.now())
    Machine(place.provider.pk, "i-new", address="198.51.100.50").claim()
    crowd = Machine(place.provider.pk, "i-new", macs=("fa:16:3e:00:00:50",), address="198.51.100.50")
    crowd.claim()
    match(place.provider)
    assert crowd.row.state == "pending"  # two came from there
    row = comes()
    assert row.state == "admitted" and Agent.objects.get().way == "network"
    assert Agent.objects.get().server == server
    # Whoever is in stays in: silent for long, suspended or on a server that is built anew, a neighbour is asked about.
    for change in ({}, {"last_seen_at": timezone.now() - timedelta(days=1)}, {"state": "suspended"}):
        Agent.objects.update(enrolled_at=timezone.now() - timedelta(days=2), **change)
        twin.status = "REBUILD" if not change else "ACTIVE"
        second = comes()
        assert (second.state, second.trouble, second.server) == ("pending", admitting.MANNED, server)
        assert second.customers == [people.customer.pk]
        Claim.objects.update(looked_at=timezone.now() - timedelta(minutes=5))
        match(place.provider)
        second.refresh_from_db()
        assert second.state == "pending" and Agent.objects.get().public_key == row.public_key


def test_a_claim_from_a_private_address_says_nothing_of_whose_it_is(place: Place) -> None:
    ServerFactory(account=place.account, ips=["10.0.0.5"])
    machine = Machine(place.provider.pk, "whoever", address="10.0.0.5")
    machine.claim()
    Claim.objects.update(first_at="2020-01-01T00:00Z")
    match(place.provider)
    assert (machine.row.state, machine.row.level) == ("waiting", 0)
