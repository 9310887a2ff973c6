"""The sandbox: test keys act on simulated clouds and made-up people, and nothing of it touches what is live."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail as outbox
from django.core.management import call_command
from django.db import connections
from django.test import Client

from accounts import imports, opening
from accounts import tasks as account_tasks
from accounts.models import CloudAccount, Import
from console.demo.sandbox import Sandbox
from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.lib.faults import Refused
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from console.lib.outbound import Transport
from console.models import AuditEntry, User
from providers import delivering, enabling, kept, keys, mail, sandbox, simulated
from providers import tasks as provider_tasks
from providers.models import CloudEndpoint, Customer, Delivery, Event, Mail, Membership, Provider
from servers import sync
from servers.agents import simulated as agents
from servers.agents.models import Agent
from servers.models import Server
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ProviderFactory, ServerFactory
from tests.processes import ROOT, engine_of_its_own, environment, folder, manage
from tests.provider_api.calls import ADA, Api, shaped
from tests.receiver import receiving

pytestmark = pytest.mark.django_db(transaction=True)
LOGINS = [(cloud, login) for cloud in simulated.CLOUDS for login in cloud.logins]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    """The simulated clouds of the sandbox, served; the folder that says where."""
    home = tmp_path_factory.mktemp("home")
    served = Sandbox(home / "sandbox" / "site.json")
    served.start()
    yield home
    served.stop()


@pytest.fixture
def here(clouds, settings):
    settings.MUSTER_HOME, settings.SANDBOX = clouds, True


@pytest.fixture
def north(db, here):
    return ProviderFactory(slug="north", name="North Cloud")


@pytest.fixture
def test(north):
    """North's program with a test key."""
    return Api(north, sandbox=True)


@pytest.fixture
def live(north):
    return Api(north)


def put(api, external_id="c-1", **fields):
    reply = api("PUT", f"customers/{external_id}", ADA | fields)
    assert reply.status_code in (200, 201), reply.content
    return reply.json()


def push(api, cloud="openstack", credentials=None, account="main"):
    named = next(one for one in simulated.CLOUDS if one.slug == cloud)
    body = {"endpoint": cloud, "name": "Main", "version": 1, "credentials": credentials or named.logins[0].credentials}
    reply = api("PUT", f"customers/c-1/accounts/{account}", body)
    assert reply.status_code == 202, reply.content
    return CloudAccount.objects.get(customer__provider__sandbox_of=api.provider, external_id=account)


def deliver_mails():
    """As workers do, each mail once."""
    assert provider_tasks.send.name == mail.TASK
    while claimed := leases.claim(Mail.objects.all(), 60, take_abandoned=True):
        for row, lease in claimed:
            work(KINDS[mail.TASK], lambda row, _: mail.send(row), row, lease)


def test_a_test_key_acts_on_the_twin_and_a_live_key_never_sees_it(test, live, north):
    put(live, "live-1", organization="Live Ltd")
    put(test, "test-1")
    twin = Provider.objects.get(sandbox_of=north)
    assert (twin.name, twin.status, twin.slug) == ("North Cloud (sandbox)", "enabled", "north-sandbox")
    assert not twin.keys.exists() and not twin.members.exists()
    assert [one["external_id"] for one in test("GET", "customers").json()["results"]] == ["test-1"]
    assert [one["external_id"] for one in live("GET", "customers").json()["results"]] == ["live-1"]
    shaped(test("GET", "customers/live-1"), 404, "customer_unknown")
    shaped(live("GET", "customers/test-1"), 404, "customer_unknown")
    shaped(test("DELETE", "customers/live-1"), 404)
    assert Customer.objects.get(external_id="live-1").status == "active"


def test_the_same_id_in_both_is_two_customers_and_a_foreign_test_key_sees_neither(test, live, here):
    south = Api(ProviderFactory(slug="south", name="South"), sandbox=True)
    put(live), put(test)
    assert Customer.objects.filter(external_id="c-1").count() == 2
    shaped(south("GET", "customers/c-1"), 404)
    assert south("GET", "sandbox").json()["provider"] == "South (sandbox)"


def test_endpoints_events_webhooks_and_calls_are_apart(test, live, north):
    EndpointFactory(provider=north, slug="nova")
    with receiving() as site:
        hook = live("POST", "webhooks", {"url": site.url}).json()["id"]
        shaped(test("GET", f"webhooks/{hook}"), 404, "webhook_unknown")
        put(test)
        assert not Event.objects.exists()
    assert [one["slug"] for one in live("GET", "endpoints").json()["results"]] == ["nova"]
    told = [one["slug"] for one in test("GET", "endpoints").json()["results"]]
    assert told == sorted(cloud.slug for cloud in simulated.CLOUDS)
    twin = sandbox.twin(north)
    assert {call.path for call in twin.calls.all()} >= {"/api/provider/v1/customers/c-1"}
    assert not north.calls.filter(path__endswith="customers/c-1").exists()


def test_a_sandbox_key_cannot_push_to_a_live_endpoint_nor_a_live_key_to_a_simulated_cloud(test, live, north):
    EndpointFactory(provider=north, slug="nova")
    put(test), put(live)
    body = {"name": "Main", "version": 1, "credentials": {"username": "a", "password": "b", "project": "c"}}
    assert "endpoint" in shaped(test("PUT", "customers/c-1/accounts/x", body | {"endpoint": "nova"}), 400)["fields"]
    told = shaped(live("PUT", "customers/c-1/accounts/x", body | {"endpoint": "openstack"}), 400)
    assert "endpoint" in told["fields"]


@pytest.mark.parametrize(("cloud", "login"), LOGINS, ids=[f"{one.slug}-{login.status}" for one, login in LOGINS])
def test_each_login_makes_the_status_that_the_sandbox_tells(test, cloud, login):
    put(test)
    account = push(test, cloud.slug, dict(login.credentials))
    sync.now(account)
    told = test("GET", "customers/c-1/accounts/main").json()
    assert told["status"] == login.status, told
    assert told["server_count"] == (6 if login.status == "ok" else 0)
    listed = test("GET", "customers/c-1/servers").json()["results"]
    assert len(listed) == told["server_count"]


def test_every_sandbox_customer_sees_the_same_servers(test):
    seen = []
    for external_id in ("c-1", "c-2"):
        put(test, external_id, email=f"{external_id}@example.com")
        logins = dict(simulated.CLOUDS[0].logins[0].credentials)
        test("PUT", f"customers/{external_id}/accounts/main",
             {"endpoint": "openstack", "name": "Main", "version": 1, "credentials": logins})  # fmt: skip
        sync.now(CloudAccount.objects.get(customer__external_id=external_id))
        rows = test("GET", f"customers/{external_id}/servers").json()["results"]
        seen.append([(row["external_id"], row["name"], row["cloud_created_at"]) for row in rows])
    assert seen[0] == seen[1] and len(seen[0]) == 6


def test_a_sandbox_endpoint_reaches_the_simulated_listeners_and_nothing_else_on_this_machine(test, settings):
    settings.DEMO_NETWORKS = []
    put(test)
    account = push(test)
    with receiving() as other:
        CloudEndpoint.objects.filter(pk=account.endpoint_id).update(url=other.url, networks=["127.0.0.0/8"])
        run = sync.now(CloudAccount.objects.get(pk=account.pk))
        assert other.calls == []
    account.refresh_from_db()
    assert (account.status, run.added) == ("refused", 0)
    assert "may not be reached" in account.status_reason


def test_a_live_endpoint_does_not_reach_the_simulated_clouds(north, settings):
    settings.DEMO_NETWORKS = []
    endpoint = EndpointFactory(provider=north, url=simulated.places()["openstack"], networks=[])
    with pytest.raises(Refused, match="this machine"):
        opening.transport(endpoint).session(endpoint.url).get(endpoint.url)


def test_a_listener_opens_its_port_alone(clouds):
    with receiving() as other:
        guard = Transport(listeners=[other.url.removeprefix("http://").partition("/")[0]], allow_http=True)
        assert guard.session().post(other.url).status_code == 204
        with receiving() as beside, pytest.raises(Refused, match="this machine"):
            guard.session().post(beside.url)
        with pytest.raises(Refused, match="this machine"):
            guard.session().post(other.url.replace("127.0.0.1", "localhost"))


def test_webhooks_of_a_sandbox_are_real_and_signed(test):
    with receiving() as site:
        made = test("POST", "webhooks", {"url": site.url}).json()
        put(test)
        sync.now(push(test))
        sync.now(push(test, "cloudstack", {"api_key": "no", "secret_key": "way"}, "bad"))
        while delivering.drain(made["id"]):
            pass
        told = [call.verified(made["secret"]) for call in site.calls]
    types = Counter(one["type"] for one in told)
    assert (types["customer.created"], types["account.verified"], types["server.discovered"]) == (1, 1, 6)
    assert [one["data"]["account_id"] for one in told if one["type"] == "account.failed"] == ["bad"]


def test_mail_of_a_sandbox_goes_to_nobody_and_its_link_works(test, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    put(test)
    deliver_mails()
    assert outbox.outbox == []
    assert put(test)["mail"] | {"queued_at": 0, "ended_at": 0} == {
        "state": "sent", "reason": kept.OUTCOME, "queued_at": 0, "ended_at": 0,
    }  # fmt: skip
    [letter] = test("GET", "sandbox/mails").json()["results"]
    assert (letter["to"], letter["kind"], letter["customer"]) == ("ada@example.com", "welcome", "c-1")
    assert letter["link"] in letter["text"] and "North Cloud (sandbox)" in letter["text"]
    row = Mail.objects.get()
    assert letter["link"].rsplit("/", 2)[-2] not in str(row.params)
    browser = Client()
    page = browser.get(letter["link"].removeprefix(settings.PUBLIC_URL))
    assert page.status_code == 200
    password = {"password": "a long enough word", "again": "a long enough word"}
    assert "password" in page.content.decode()
    done = browser.post(letter["link"].removeprefix(settings.PUBLIC_URL), password)
    assert done.status_code in (200, 302, 422)


def test_a_sandbox_never_makes_nor_invites_a_real_person(test, live):
    victim = User.objects.create_user("ceo@victim.example")
    put(test, "c-1", email="CEO@victim.example")
    put(test, "c-2", email="new@victim.example")
    assert not victim.memberships.exists()
    assert not User.objects.filter(email__iendswith="victim.example").exclude(pk=victim.pk).exists()
    put(live, "c-2", email="new@victim.example")
    person = User.objects.get(email="new@victim.example")
    assert Membership.objects.get(user=person).founding
    assert [one.customer.provider.name for one in person.memberships.all()] == ["North Cloud"]
    deliver_mails()
    assert {one["to"] for one in test("GET", "sandbox/mails").json()["results"]} == {
        "CEO@victim.example", "new@victim.example",
    }  # fmt: skip


def test_the_same_person_at_two_sandbox_customers_is_invited_by_the_second(test):
    put(test, "c-1")
    put(test, "c-2", email="ADA@example.com")
    deliver_mails()
    assert [one["kind"] for one in test("GET", "sandbox/mails").json()["results"]] == ["invitation", "welcome"]
    assert User.objects.get().email == "ada=example.com@north-sandbox.sandbox.invalid"


@pytest.mark.parametrize("email", ["a" * 64 + "@example.com", '"odd one"@example.com', "\u00e4@example.com"])
def test_any_address_has_a_person_of_its_own_in_a_sandbox(north, email):
    twin = sandbox.twin(north)
    made = sandbox.sign_in_address(twin, email)
    assert made.endswith("@north-sandbox.sandbox.invalid") and len(made) <= 254 and made.isascii()
    assert made == sandbox.sign_in_address(twin, email.upper().lower())
    assert sandbox.sign_in_address(north, email) == sandbox.sign_in_address(None, email) == email


def test_a_mail_that_is_to_fail_fails_in_words(test):
    put(test, email=f"ada@{kept.REFUSING}")
    deliver_mails()
    told = put(test, email=f"ada@{kept.REFUSING}")["mail"]
    assert told["state"] == "failed" and "550" in told["reason"]


def test_an_import_in_a_sandbox_makes_nobody_real_even_without_a_quota(test, north):
    Provider.objects.filter(pk=sandbox.twin(north).pk).update(max_customers=None)
    line = {"external_id": "c-9", "email": "real@victim.example", "first_name": "R", "last_name": "L",
            "organization": ""}  # fmt: skip
    assert test("POST", "imports", {"customers": [line]}).status_code == 202
    for row, lease in leases.claim(Import.objects.all(), 60, take_abandoned=True):
        assert account_tasks.run.name == imports.TASK
        work(KINDS[imports.TASK], imports.perform, row, lease)
    assert Customer.objects.get(external_id="c-9").provider.sandbox_of == north
    assert not User.objects.filter(email="real@victim.example").exists()


def test_an_agent_appears_reports_once_and_the_webhook_hears_of_it(test):
    with receiving() as site:
        hook = test("POST", "webhooks", {"url": site.url, "events": ["server.managed"]}).json()
        put(test)
        sync.now(push(test))
        server = Server.objects.get(name="web-1")
        path = f"sandbox/customers/c-1/servers/{server.external_id}/manage"
        told = test("POST", path)
        assert told.status_code == 200, told.content
        assert told.json()["agent_state"] == "managed" and told.json()["agent"]["version"] == agents.VERSION
        assert test("POST", path).status_code == 200
        delivering.drain(hook["id"])
        assert site.types() == ["server.managed"] * 2
    assert Agent.objects.filter(server=server, state="live").count() == 1
    shaped(test("POST", "sandbox/customers/c-1/servers/none/manage"), 404, "server_unknown")


def test_no_agent_is_made_up_on_a_real_server(live, north):
    server = ServerFactory(account=AccountFactory(customer=CustomerFactory(provider=north, external_id="c-1")))
    path = f"sandbox/customers/c-1/servers/{server.external_id}/manage"
    shaped(live("POST", path), 403, "sandbox_only")
    with pytest.raises(Denied, match="real one"):
        agents.appear(server, audit.SYSTEM)
    assert not Agent.objects.exists()


def test_a_reset_takes_everything_but_webhooks_and_touches_nothing_live(test, live, north):
    put(live, "live-1", email="live@example.com")
    with receiving() as site:
        hook = test("POST", "webhooks", {"url": site.url}).json()
        put(test), put(test, "c-2", email="bob@example.com")
        sync.now(push(test))
        server = Server.objects.get(name="web-1")
        test("POST", f"sandbox/customers/c-1/servers/{server.external_id}/manage")
        test("POST", "customers", {"external_id": "c-3", **ADA}, **{"Idempotency-Key": "k"})
        deliver_mails()
        told = test("POST", "sandbox/reset")
        assert told.status_code == 200, told.content
        assert told.json() | {"events": 0, "deliveries": 0} == {
            "customers": 3, "accounts": 1, "servers": 6, "agents": 1, "mails": 3, "events": 0, "deliveries": 0,
        }  # fmt: skip
        assert told.json()["events"] == told.json()["deliveries"] > 8
        assert [one["id"] for one in test("GET", "webhooks").json()["results"]] == [hook["id"]]
    assert test("GET", "customers").json()["results"] == []
    assert test("GET", "sandbox/mails").json()["results"] == []
    assert [one.email for one in User.objects.all()] == ["live@example.com"]
    assert [one.external_id for one in Customer.objects.all()] == ["live-1"]
    for rows in (Server, Agent, Event, Delivery):
        assert not rows.objects.exists()
    assert test("POST", "customers", {"external_id": "c-3", **ADA}, **{"Idempotency-Key": "k"}).status_code == 201
    assert AuditEntry.objects.get(verb="provider.sandbox_reset").detail["customers"] == 3
    assert set(test("POST", "sandbox/reset").json()) == set(told.json())


def test_a_live_key_gets_no_sandbox_call_and_changes_nothing(live, test):
    put(test)
    for method, path in (("GET", "sandbox"), ("GET", "sandbox/mails"), ("POST", "sandbox/reset")):
        assert "test keys" in shaped(live(method, path), 403, "sandbox_only")["message"]
    assert Customer.objects.count() == 1


def test_scopes_hold_in_a_sandbox_too(north):
    reader = Api(north, sandbox=True, scopes=["customers:read"])
    assert reader("GET", "sandbox").status_code == 200
    shaped(reader("GET", "sandbox/mails"), 403, "scope_missing")
    shaped(reader("POST", "sandbox/reset"), 403, "scope_missing")


def test_what_is_there_to_try_is_told(test, settings):
    told = test("GET", "sandbox").json()
    assert told["running"] and told["most_customers"] == 1000
    assert [one["endpoint"] for one in told["clouds"]] == ["openstack", "cloudstack", "vcloud"]
    assert {"ok", "bad_credentials", "unreachable"} <= {one["status"] for one in told["clouds"][0]["logins"]}
    settings.SANDBOX = False
    assert test("GET", "sandbox").json()["running"] is False


def test_an_owner_that_is_suspended_takes_its_sandbox_along(test, north):
    put(test)
    twin = sandbox.twin(north)
    account = push(test)
    sync.now(account)
    enabling.suspend(north, audit.SYSTEM)
    shaped(test("GET", "customers"), 403, "provider_not_enabled")
    twin.refresh_from_db()
    assert twin.status == "suspended"
    assert not CloudAccount.objects.readable().exists()
    for deed in (enabling.enable, enabling.suspend):
        with pytest.raises(Denied, match="North Cloud"):
            deed(twin, audit.SYSTEM)
    enabling.enable(north, audit.SYSTEM)
    assert test("GET", "customers").status_code == 200
    assert CloudAccount.objects.readable().exists()


def test_a_sandbox_has_no_keys_of_its_own_and_no_sandbox(north):
    twin = sandbox.twin(north)
    with pytest.raises(Wrong) as wrong:
        keys.issue(twin, actor=audit.SYSTEM, sandbox=True)
    assert "North Cloud" in wrong.value.fields["provider"][0]
    assert sandbox.twin(twin) == twin


def test_a_sandbox_follows_its_owners_name(north):
    sandbox.twin(north)
    Provider.objects.filter(pk=north.pk).update(name="Nordic " + "x" * 113)
    north.refresh_from_db()
    assert sandbox.twin(north).name == "Nordic " + "x" * 103 + " (sandbox)"
    assert Provider.objects.filter(sandbox_of=north).count() == 1


def test_a_taken_short_name_is_no_hindrance(here):
    ProviderFactory(slug="north-sandbox")
    assert sandbox.twin(ProviderFactory(slug="north")).slug.startswith("north-sandbox-")


def test_twenty_first_uses_at_once_make_one_sandbox(north):
    api, start = Api(north, sandbox=True), threading.Barrier(20)

    def call(_):
        try:
            start.wait(30)
            return api("GET", "sandbox").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(call, range(20))) == {200}
    twin = Provider.objects.get(sandbox_of=north)
    assert twin.endpoints.count() == len(simulated.CLOUDS)


def test_clouds_that_moved_are_found_again(north, clouds, settings, tmp_path):
    twin = sandbox.twin(north)
    before = {one.slug: one.url for one in twin.endpoints.all()}
    moved = Sandbox(tmp_path / "sandbox" / "site.json")
    moved.start()
    try:
        settings.MUSTER_HOME = tmp_path
        assert sandbox.furnish_all() == 1
        now = {one.slug: one.url for one in twin.endpoints.all()}
        assert now.keys() == before.keys() and not set(now.values()) & set(before.values())
    finally:
        moved.stop()


def test_what_customers_did_to_the_clouds_is_undone_after_a_while(tmp_path):
    served = Sandbox(tmp_path / "site.json")
    served.start()
    try:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        assert served.tidy(now) == []
        cloud = served.sites["openstack"].cloud
        names = {one.id: one.name for one in cloud.instances.values()}
        cloud.remove(next(iter(names)))
        assert served.tidy(now) == []
        assert served.tidy(now + timedelta(minutes=29)) == []
        assert served.tidy(now + timedelta(minutes=31)) == ["openstack"]
        assert {one.id: one.name for one in served.sites["openstack"].cloud.instances.values()} == names
        assert served.tidy(now + timedelta(minutes=99)) == []
    finally:
        served.stop()


def test_the_command_that_issues_a_test_key_says_where_to_look(north, capsys, settings):
    call_command("add_provider_key", "north", "--sandbox")
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("mst_test_") and any("/api/provider/v1/sandbox" in line for line in said)
    settings.SANDBOX = False
    call_command("add_provider_key", "north", "--sandbox")
    assert "SANDBOX=1" in capsys.readouterr().err


@pytest.mark.timeout(120)
def test_the_real_process_serves_every_sandbox_at_the_ports_that_are_set():
    from console.lib import embedded

    with folder() as home, engine_of_its_own(home) as eng:
        first = embedded.free_port()
        env = environment(home, SANDBOX="1", DATABASE_URL=eng.database_url, REDIS_URL=eng.redis_url,
                          SECRET_KEY=eng.secret_key, SEAL_KEYS=eng.seal_keys, DEMO="0")  # fmt: skip
        manage(env, "migrate", "-v", "0")
        manage(env, "shell", "-v", "0", "-c", MADE)
        process = subprocess.Popen([sys.executable, "manage.py", "sandbox_cloud"], cwd=ROOT, env=env,
                                   stdout=subprocess.PIPE, text=True)  # fmt: skip
        try:
            said = process.stdout.readline()
            assert "sandboxes: 1" in said and first
            told = manage(env, "shell", "-v", "0", "-c", TOLD).split()
            assert len(told) == 3 and all(url in said for url in told)
            process.terminate()
            assert process.wait(10) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()


MADE = """
from providers import sandbox
from tests.factories import ProviderFactory
sandbox.twin(ProviderFactory())
"""
TOLD = """
from providers.models import CloudEndpoint
print(*CloudEndpoint.objects.values_list("url", flat=True))
"""
