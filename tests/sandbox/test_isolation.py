"""Test keys act on the sandbox and live keys never see it; it can be reset, and goes with its owner."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import reverse

from accounts.models import CloudAccount
from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry, User
from providers import delivering, enabling, keys, sandbox, simulated
from providers.models import Customer, Delivery, Event, Provider
from servers import sync
from servers.agents import simulated as agents
from servers.agents.models import Agent
from servers.models import Server
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ProviderFactory, ServerFactory
from tests.provider_api.calls import ADA, Api, shaped
from tests.receiver import receiving
from tests.sandbox.acts import deliver_mails, push, put

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_the_command_that_issues_a_test_key_says_where_to_look(north, capsys, settings):
    call_command("add_provider_key", "north", "--sandbox")
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("mst_test_") and any("/api/provider/v1/sandbox" in line for line in said)
    settings.SANDBOX = False
    call_command("add_provider_key", "north", "--sandbox")
    assert "SANDBOX=1" in capsys.readouterr().err


def test_staff_cannot_issue_a_key_of_a_sandbox_by_itself(north):
    twin, staff = sandbox.twin(north), Client()
    boss = User.objects.create_superuser("boss@example.com")
    staff.force_login(boss, backend="django.contrib.auth.backends.ModelBackend")
    reply = staff.post(reverse("admin:providers_provider_issue_key", args=[twin.pk]), {"name": "x"})
    assert reply.status_code == 200 and "no keys of its own" in reply.content.decode()
    assert not twin.keys.exists()
