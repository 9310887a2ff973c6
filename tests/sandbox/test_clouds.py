"""The simulated clouds of the sandbox: each login its outcome, the same servers for all, and no way out of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from accounts import breaker, opening
from accounts.models import CloudAccount, SyncRun
from console.demo.sandbox import Sandbox
from console.lib import embedded
from console.lib.denials import Denied
from console.lib.faults import Refused
from console.lib.jobs.leases import Lost
from console.lib.outbound import Transport
from providers import sandbox, simulated
from providers.models import CloudEndpoint, Customer
from servers import sync
from servers.models import Server
from tests.factories import EndpointFactory
from tests.processes import ROOT, engine_of_its_own, environment, folder, manage, wait
from tests.provider_api.calls import shaped
from tests.receiver import receiving
from tests.sandbox.acts import push, put

pytestmark = pytest.mark.django_db(transaction=True)
LOGINS = [(cloud, login) for cloud in simulated.CLOUDS for login in cloud.logins]


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


def test_logins_that_find_the_cloud_away_do_not_rest_it_for_the_others(test):
    put(test)
    away = push(test, credentials={"username": "unreachable", "password": "sandbox", "project": "sandbox"})
    for _ in range(breaker.FAILURES + 1):
        sync.now(away)
    assert CloudAccount.objects.get().status == "unreachable"
    assert breaker.paused([away.endpoint_id]) == set()


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


def test_the_real_process_serves_every_sandbox_at_the_ports_that_are_set():
    with folder() as home, engine_of_its_own(home) as eng:
        # Below the ports that others are given, so that nobody gets one of them before this process does.
        some = range(12_000 + os.getpid() % 1500 * 4, embedded.FREE_PORTS.start, 4)
        first = next(port for port in some if all(map(embedded.is_free, range(port, port + 4))))
        env = environment(home, SANDBOX="1", SANDBOX_PORT=str(first), DEMO="0", DATABASE_URL=eng.database_url,
                          REDIS_URL=eng.redis_url, SECRET_KEY=eng.secret_key, SEAL_KEYS=eng.seal_keys,
                          SIGN_KEYS=eng.sign_keys)  # fmt: skip
        manage(env, "migrate", "-v", "0")
        manage(env, "shell", "-v", "0", "-c", MADE)
        process = subprocess.Popen([sys.executable, "manage.py", "sandbox_cloud"], cwd=ROOT, env=env,
                                   stdout=subprocess.PIPE, text=True)  # fmt: skip
        try:
            said = process.stdout.readline()
            assert "sandboxes: 1" in said and f"http://127.0.0.1:{first}/v3" in said
            told = manage(env, "shell", "-v", "0", "-c", TOLD).split()
            assert len(told) == 3 and all(url in said for url in told)
            process.terminate()
            assert process.wait(60) == 0
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


def test_a_reset_in_the_middle_of_a_sync_ends_it_and_leaves_nothing(test, clouds):
    put(test)
    account = push(test, credentials={"username": "slow", "password": "sandbox", "project": "sandbox"})
    ended: list[BaseException | None] = []

    def read():
        try:
            sync.now(account)
            ended.append(None)
        except (Lost, Denied, SyncRun.DoesNotExist, CloudAccount.DoesNotExist) as fault:
            ended.append(fault)
        finally:
            connections.close_all()

    reading = threading.Thread(target=read)
    reading.start()
    wait(lambda: SyncRun.objects.filter(state="running").exists(), 20, "it reads")
    assert test("POST", "sandbox/reset").json()["accounts"] == 1
    reading.join(30)
    assert len(ended) == 1, "it ended in a way that it has words for"
    for rows in (Customer, CloudAccount, SyncRun, Server):
        assert not rows.objects.exists()
