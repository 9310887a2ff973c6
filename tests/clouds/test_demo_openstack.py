"""The simulated OpenStack as its callers meet it: sign-in, pages, actions, mishaps, and a client that is not ours."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import openstack
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from console.demo.cloud import Conflict, Generation, Missing
from console.demo.compute import Compute
from console.demo.keep import dump, load
from console.demo.openstack import Cloud, Nic, Site, serve
from console.demo.pulse import Pulse
from console.demo.wire import Request
from tests.clouds.demo_caller import Clock, session, sign_in, v3, walk

# The SDK warns of its own ways: InfluxDB settings that it looks for itself, arguments that it gives itself.
sdk_warns = pytest.mark.filterwarnings(
    "ignore::openstack.warnings._RemovedInSDKWarning", "ignore::openstack.warnings.OpenStackDeprecationWarning"
)


def sdk(site: Site) -> openstack.connection.Connection:
    cloud = site.cloud
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    return openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="v2password" if cloud.generation == "essex" else "password",
        auth_url=site.auth_url,
        username=cloud.username,
        password=cloud.password,
        project_name=cloud.project,
        **({} if cloud.generation == "essex" else domains),
    )


@sdk_warns
@pytest.mark.parametrize("generation", ["modern", "essex"])
def test_openstacksdk_lists_stops_and_starts(generation: Generation) -> None:
    with serve(Cloud.lively(servers=60, generation=generation)) as site, sdk(site) as client:
        servers = list(client.compute.servers())
        assert {one.id for one in servers} == set(site.cloud.instances)
        running = next(one for one in servers if one.status == "ACTIVE")
        client.compute.stop_server(running)
        assert client.compute.get_server(running.id).status == site.cloud.off
        client.compute.start_server(running)
        assert client.compute.get_server(running.id).status == "ACTIVE"
        assert "login:" in client.compute.get_server_console_output(running.id)["output"]
        assert {one.name for one in client.compute.flavors()} == {one.name for one in site.cloud.flavors.values()}
        limits = client.compute.get_limits().absolute
        assert limits.server_meta == 128


@sdk_warns
def test_openstacksdk_signs_in_with_an_application_credential_and_lists_images() -> None:
    with serve(Cloud.lively(servers=3)) as site:
        client = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="v3applicationcredential",
            auth_url=site.auth_url,
            **site.cloud.application_credentials,
        )
        with client:
            assert len(list(client.compute.servers())) == 3
            assert {one.name for one in client.image.images()} == {one.name for one in site.cloud.images.values()}


def test_a_lively_account_is_the_same_for_the_same_seed_and_mixed() -> None:
    one, two, other = Cloud.lively(seed=7), Cloud.lively(seed=7), Cloud.lively(seed=8)
    assert list(one.instances) == list(two.instances) != list(other.instances)
    assert len(one.instances) == 60
    statuses = {server.status for server in one.instances.values()}
    assert {"ACTIVE", "SHUTOFF", "BUILD", "ERROR", "SUSPENDED"} <= statuses
    nics = [nic for server in one.instances.values() for group in server.addresses.values() for nic in group]
    assert {nic.version for nic in nics} == {4, 6}
    assert {nic.kind for nic in nics} == {"fixed", "floating"}
    assert {"web-1", "db-primary"} <= {server.name for server in one.instances.values()}


def test_ten_thousand_servers_are_made_and_paged_quickly_and_each_once() -> None:
    began = time.monotonic()
    with serve(Cloud.sized(10_000)) as site:
        caller, url = session(site)
        with caller:
            found = walk(caller, url, 1000)
        assert len({one["id"] for one in found}) == len(found) == 10_000
    assert time.monotonic() - began < 30


def test_a_wrong_password_is_401_in_keystones_words() -> None:
    with serve(Cloud()) as site:
        refused = sign_in(site, v3(site.cloud, password="wrong"))
        words = "The request you have made requires authentication."
        assert refused.status_code == 401
        assert refused.json() == {"error": {"code": 401, "message": words, "title": "Unauthorized"}}
        assert sign_in(site, v3(site.cloud, project="elsewhere")).status_code == 401
        assert sign_in(site, {"auth": {}}).status_code == 400


def test_an_essex_sign_in_without_a_tenant_has_a_dict_for_a_catalog_and_lists_its_tenants() -> None:
    with serve(Cloud("essex")) as site:
        credentials = {"username": site.cloud.username, "password": site.cloud.password}
        access = sign_in(site, {"auth": {"passwordCredentials": credentials}}).json()["access"]
        assert access["serviceCatalog"] == {}
        assert "tenant" not in access["token"]
        token = {"X-Auth-Token": access["token"]["id"]}
        tenants = requests.get(f"{site.url}/v2.0/tenants", headers=token, timeout=10).json()["tenants"]
        assert [one["name"] for one in tenants] == [site.cloud.project]
        wrong = {"auth": {"passwordCredentials": credentials, "tenantName": "elsewhere"}}
        refused = sign_in(site, wrong)
        assert (refused.status_code, refused.json()["error"]["title"]) == (401, "Not Authorized")
        assert requests.get(site.url, timeout=10).status_code == 300
        assert requests.post(f"{site.url}/v3/auth/tokens", json=v3(site.cloud), timeout=10).status_code == 404


def test_an_unscoped_v3_token_has_no_catalog_and_opens_no_compute() -> None:
    with serve(Cloud()) as site:
        reply = sign_in(site, v3(site.cloud, project=None))
        assert "catalog" not in reply.json()["token"]
        token = {"X-Auth-Token": reply.headers["X-Subject-Token"]}
        assert requests.get(f"{site.compute_url}/v2.1/servers", headers=token, timeout=10).status_code == 401
        projects = requests.get(f"{site.url}/v3/auth/projects", headers=token, timeout=10).json()["projects"]
        assert [one["name"] for one in projects] == [site.cloud.project]


@pytest.mark.parametrize("generation", ["modern", "essex"])
def test_a_token_ends_with_its_hour_when_revoked_and_with_its_user(generation: Generation) -> None:
    clock = Clock()
    cloud = Cloud(generation, clock=clock)
    with serve(cloud) as site:
        caller, url = session(site)
        with caller:
            assert caller.get(f"{url}/servers", timeout=10).status_code == 200
            clock.now += cloud.tokens.lifetime
            assert caller.get(f"{url}/servers", timeout=10).status_code == 401
        caller, url = session(site)
        with caller:
            cloud.revoke_tokens()
            assert caller.get(f"{url}/servers", timeout=10).status_code == 401
        cloud.users[cloud.username].enabled = False
        assert sign_in(site).status_code == 401


def test_essex_gives_a_next_link_only_for_a_full_page_and_drops_detail_from_it() -> None:
    cloud = Cloud.sized(5, generation="essex")
    cloud.max_limit = 4
    with serve(cloud) as site:
        caller, url = session(site)
        with caller:
            full = caller.get(f"{url}/servers/detail?limit=2", timeout=10).json()
            (link,) = full["servers_links"]
            assert link["href"] == f"{url}/servers?limit=2&marker={full['servers'][-1]['id']}"
            unasked = caller.get(f"{url}/servers/detail", timeout=10).json()
            assert (len(unasked["servers"]), "servers_links" in unasked) == (4, False)
            assert len(walk(caller, url, 2)) == 5


def test_a_modern_next_link_leads_through_everything_whatever_the_limit() -> None:
    cloud = Cloud.sized(25)
    cloud.max_limit = 10
    with serve(cloud) as site:
        caller, url = session(site)
        with caller:
            found, link = [], f"{url}/servers/detail?limit=5000"
            while link:
                page = caller.get(link, timeout=10).json()
                found += [one["id"] for one in page["servers"]]
                link = page.get("servers_links", [{}])[0].get("href", "")
        assert sorted(found) == sorted(cloud.instances)


def test_a_marker_deleted_meanwhile_works_in_modern_and_not_in_essex() -> None:
    for generation, status in (("modern", 200), ("essex", 400)):
        cloud = Cloud.sized(4, generation=generation)  # type: ignore[arg-type]
        with serve(cloud) as site:
            caller, url = session(site)
            with caller:
                first, second, *_ = [one["id"] for one in caller.get(f"{url}/servers", timeout=10).json()["servers"]]
                cloud.remove(second)
                reply = caller.get(f"{url}/servers?limit=2&marker={second}", timeout=10)
                assert reply.status_code == status
                if status == 200:
                    left = [one["id"] for one in reply.json()["servers"]]
                    assert len(left) == 2
                    assert not {first, second} & set(left)


@settings(max_examples=60)
@given(st.integers(0, 25), st.integers(1, 9), st.sampled_from(["modern", "essex"]), st.booleans())
def test_pages_of_any_size_hold_every_server_once(
    servers: int, limit: int, generation: Generation, filtered: bool
) -> None:
    cloud = Cloud.sized(servers, generation=generation)
    compute = Compute(cloud)
    project = cloud.projects[cloud.project]
    token = cloud.tokens.issue(cloud.users[cloud.username], cloud.project).id
    path = f"/v1.1/{project}/servers" if generation == "essex" else "/v2.1/servers"
    found: list[str] = []
    while True:
        query = [("limit", str(limit))] + ([("marker", found[-1])] if found else [])
        query += [("name", "^vm-")] if filtered else []
        reply = compute(Request("GET", path, tuple(query), Headers({"x-auth-token": token}), b"", "http://cloud"))
        page = [one["id"] for one in json.loads(reply.body)["servers"]]
        assert len(page) <= limit
        assert not set(page) & set(found)
        found += page
        if not page:
            break
    assert sorted(found) == sorted(cloud.instances)


class Headers(dict[str, str]):
    """Headers as the wire gives them: by name in any case."""

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)


def test_an_action_takes_its_time_by_the_clock_and_shows_its_task_meanwhile() -> None:
    clock = Clock()
    cloud = Cloud(clock=clock, settle=timedelta(seconds=3))
    server = cloud.add("web-1")
    cloud.act(server.id, "os-stop")
    assert (server.status, server.task_state) == ("ACTIVE", "powering-off")
    with pytest.raises(Conflict, match="while it is in task_state powering-off"):
        cloud.act(server.id, "reboot:SOFT")
    clock.now += timedelta(seconds=3)
    assert (cloud.get(server.id).status, server.task_state) == ("SHUTOFF", None)
    with pytest.raises(Conflict, match="Cannot 'stop' instance .* while it is in vm_state stopped"):
        cloud.act(server.id, "os-stop")
    cloud.act(server.id, "lock")
    with pytest.raises(Conflict, match="is locked"):
        cloud.act(server.id, "os-start")


def test_a_created_server_builds_and_then_has_an_address() -> None:
    clock = Clock()
    cloud = Cloud.lively(1)
    cloud.clock, cloud.settle = clock, timedelta(seconds=5)
    with serve(cloud) as site:
        cloud.tokens.clock = clock
        caller, url = session(site)
        with caller:
            wanted = {"name": "new", "flavorRef": next(iter(cloud.flavors)), "imageRef": next(iter(cloud.images))}
            made = caller.post(f"{url}/servers", json={"server": wanted}, timeout=10)
            assert made.status_code == 202
            where = f"{url}/servers/{made.json()['server']['id']}"
            assert caller.get(where, timeout=10).json()["server"]["status"] == "BUILD"
            clock.now += timedelta(seconds=5)
            built = caller.get(where, timeout=10).json()["server"]
            assert built["status"] == "ACTIVE"
            assert built["addresses"]
            assert caller.delete(where, timeout=10).status_code == 204
            going = caller.get(where, timeout=10).json()["server"]
            assert (going["status"], going["OS-EXT-STS:task_state"]) == ("ACTIVE", "deleting")
            clock.now += timedelta(seconds=5)
            assert caller.get(where, timeout=10).status_code == 404


def test_what_is_changed_while_it_is_served_shows_in_the_next_listing() -> None:
    with serve(Cloud.lively(servers=5)) as site:
        caller, url = session(site)
        with caller:
            assert len(walk(caller, url, 100)) == 5
            added = site.cloud.add("late", addresses={"net": [Nic("10.9.8.7")]})
            site.cloud.set_status(added.id, "ERROR", fault="No valid host was found.")
            shown = {one["id"]: one for one in walk(caller, url, 100)}[added.id]
            assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "No valid host was found.")
            site.cloud.remove(added.id)
            assert len(walk(caller, url, 100)) == 5
            with pytest.raises(Missing):
                site.cloud.remove(added.id)
            changed = caller.get(f"{url}/servers/detail?changes-since=2026-01-01T00:00:00Z", timeout=10).json()
            assert "DELETED" in {one["status"] for one in changed["servers"]}


def test_changes_from_many_threads_at_once_lose_nothing() -> None:
    with serve(Cloud()) as site:
        threads = [
            threading.Thread(target=lambda base: [site.cloud.add(f"{base}-{n}") for n in range(50)], args=(base,))
            for base in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        caller, url = session(site)
        with caller:
            assert len(walk(caller, url, 37)) == 200


def test_the_site_leaves_no_port_open_and_refuses_one_that_is_taken() -> None:
    with serve(Cloud()) as site:
        port = site.listening[0]
        with pytest.raises(OSError), serve(Cloud(), port=port):
            pass
    with pytest.raises(requests.ConnectionError):
        requests.get(site.url, timeout=2)
    with serve(Cloud(), port=port) as again:
        assert again.url == site.url


def test_a_lively_cloud_changes_by_itself_and_stays_about_as_large() -> None:
    clock = Clock()
    cloud = Cloud.lively(60)
    cloud.clock, cloud.settle = clock, timedelta(seconds=3)
    pulse, before, seen = Pulse(cloud), set(cloud.instances), set()
    for _ in range(60):
        seen.add(pulse.beat())
        clock.now += timedelta(seconds=20)
        assert 50 <= len(cloud.instances) <= 70
    assert {"built", "rebooted", "appeared", "left"} <= seen
    gone, new = before - set(cloud.instances), set(cloud.instances) - before
    assert gone
    assert new
    names = {cloud.buried[one].name for one in gone} | {cloud.instances[one].name for one in new}
    assert all(name.startswith("ci-runner-") for name in names)


def test_the_pulse_beats_in_its_own_thread_until_it_is_stopped() -> None:
    cloud = Cloud.lively(60)
    changed = threading.Event()
    cloud.watchers.append(lambda what, server: changed.set())
    with cloud.live(every=0.01):
        assert changed.wait(10)


@pytest.mark.parametrize("generation", ["modern", "essex"])
def test_a_cloud_comes_back_from_disk_as_it_was(generation: Generation, tmp_path: Path) -> None:
    cloud = Cloud.lively(60, generation=generation)
    clock = Clock()
    cloud.clock, cloud.settle = clock, timedelta(seconds=3)
    busy = next(one for one in cloud.instances.values() if one.status == "ACTIVE")
    cloud.act(busy.id, "os-stop")
    cloud.users[cloud.username].password = "changed"
    back = load(json.loads(json.dumps(dump(cloud))))
    clock.now += timedelta(seconds=3)
    cloud.advance()
    assert back.instances[busy.id].status == cloud.off
    for one in cloud.instances.values():
        other = back.instances[one.id]
        assert (other.name, other.status, other.addresses) == (one.name, one.status, one.addresses)
    assert (back.users, back.projects, back.flavors) == (cloud.users, cloud.projects, cloud.flavors)
    assert back.add("another").id not in cloud.instances
