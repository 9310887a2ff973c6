"""The simulated Diablo: every recorded request in its order, the sign-ins, and what it is known for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import quote, urlsplit

import openstack
import pytest
import requests

from console.demo.offers import Flavor, Image
from console.demo.openstack import Cloud, Site, serve
from tests.clouds.captured import Exchange, differences, exchange_list
from tests.clouds.demo_caller import Clock

SETTLE = timedelta(seconds=5)
# What the recording holds and the simulator does not, with the reason.
NOT_SIMULATED = {"GET /extensions": "a list of what is installed; nothing of ours reads it"}
# Asked at once after the delete before it: that server was still there (v1.1), or had just gone (v1.0).
STILL_THERE = "v1.1 GET /servers/4"


@contextmanager
def diablo(servers: int = 0, **more: object) -> Iterator[tuple[Site, Clock]]:
    """An account as the recorded one: projects "demoproj" and "My Proj", two sizes, five images."""
    clock = Clock()
    cloud = Cloud("diablo", clock=clock, settle=SETTLE, password="the-access-key", project="demoproj", **more)  # type: ignore[arg-type]
    cloud.projects["My Proj"] = "My Proj"
    cloud.users["demo"].projects.append("My Proj")
    cloud.flavors = {"2": Flavor("2", "m1.small", 1, 2048, 20), "1": Flavor("1", "m1.tiny", 1, 512, 0)}
    cloud.images = {name: Image(name, "fakeimage123456") for name in ("1", "2", "3", "123456", "fake")}
    for number in range(1, servers + 1):
        clock.now += timedelta(seconds=1)
        cloud.house(cloud.add(f"d{number}"))
    with serve(cloud) as site:
        yield site, clock


def keys(project: str | None = "demoproj", key: str = "the-access-key") -> dict[str, str]:
    named = {} if project is None else {"X-Auth-Project-Id": project}
    return {"X-Auth-User": "demo", "X-Auth-Key": key} | named


def signed_in(site: Site, version: str) -> tuple[dict[str, str], str]:
    """A token's header, and the management URL."""
    reply = requests.get(f"{site.compute_url}/{version}", headers=keys(), timeout=10)
    assert reply.status_code == 204
    return {"X-Auth-Token": reply.headers["X-Auth-Token"]}, reply.headers["X-Server-Management-Url"]


def ask(site: Site, exchange: Exchange, headers: dict[str, str]) -> requests.Response:
    parts = urlsplit(exchange.url)
    target = site.compute_url + parts.path + (f"?{parts.query}" if parts.query else "")
    if "login" in exchange.title:
        headers = keys("My Proj" if "tenant?" in exchange.title else "demoproj")
    elif "badtok" in exchange.title:
        headers = {"X-Auth-Token": "bad"}
    more = {"Content-Type": "application/json"}
    return requests.request(exchange.method, target, data=exchange.body, headers=headers | more, timeout=10)


def host_free(text: str) -> str:
    """Without ports, which no two sites share, and times."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)


def kind_of(exchange: Exchange) -> tuple[str, str]:
    return exchange.method, re.sub(r"\d+$", "N", urlsplit(exchange.url).path)


def check(exchange: Exchange, reply: requests.Response, alike: list[Exchange]) -> None:
    """Status, headers, and the body: faults and pages to the letter, the rest in its keys and types."""
    assert reply.status_code == exchange.status, reply.text
    recorded = exchange.headers
    assert reply.headers.get("Content-Type") == recorded.get("content-type")
    assert set(map(str.lower, reply.headers)) - {"server", "date"} >= set(recorded) - {"content-length"}
    assert ("retry-after" in reply.headers) == ("retry-after" in recorded)
    for name in ("x-server-management-url", "x-storage-url", "x-cdn-management-url"):
        assert host_free(reply.headers.get(name, "")) == host_free(recorded.get(name, ""))
    assert ("location" in recorded) == ("location" in reply.headers)
    if exchange.text.startswith("<"):
        assert (reply.text, reply.headers["Content-Length"]) == (exchange.text, recorded["content-length"])
    elif not exchange.text:
        assert reply.text == ""
    elif exchange.status >= 300 or "version" in exchange.json:
        assert json.loads(host_free(reply.text)) == json.loads(host_free(exchange.text))
    else:
        assert differences(reply.json(), [one.json for one in alike]) == []


def test_diablo_answers_every_recorded_request_in_its_order_as_the_real_one_did(subtests: pytest.Subtests) -> None:
    recorded = exchange_list("diablo.txt")
    with diablo() as (site, clock):
        tokens = {version: signed_in(site, version)[0] for version in ("v1.0", "v1.1")}
        for exchange in recorded:
            title = exchange.title
            if any(word in title for word in NOT_SIMULATED) and exchange.status == 200:
                continue
            headers = tokens[title[:4]]
            if title != STILL_THERE or "RESCUE" not in exchange.text:
                clock.now += timedelta(seconds=60)
            if exchange.status == 403:
                for _ in range(10):
                    requests.post(f"{site.compute_url}/v1.0/none", headers=headers, timeout=10)
            with subtests.test(f"{title} ({exchange.status})"):
                reply = ask(site, exchange, headers)
                alike = [one for one in recorded if kind_of(one) == kind_of(exchange) and one.status < 300]
                check(exchange, reply, alike)


def test_the_recorded_servers_have_the_recorded_numbers_and_whole_number_ids() -> None:
    with diablo(servers=3) as (site, _):
        headers, url = signed_in(site, "v1.1")
        listed = requests.get(f"{url}/servers/detail", headers=headers, timeout=10).json()
        assert [one["id"] for one in listed["servers"]] == [3, 2, 1]
        assert list(listed) == ["servers"]
        uuid = listed["servers"][0]["uuid"]
        assert requests.get(f"{url}/servers/{uuid}", headers=headers, timeout=10).json()["server"]["id"] == 3


def test_integer_markers_walk_v11_and_an_unknown_one_is_refused() -> None:
    with diablo(servers=7) as (site, _):
        headers, url = signed_in(site, "v1.1")
        found: list[int] = []
        while True:
            query = {"limit": "3"} | ({"marker": str(found[-1])} if found else {})
            page = requests.get(f"{url}/servers/detail", params=query, headers=headers, timeout=10).json()["servers"]
            if not page:
                break
            found += [one["id"] for one in page]
        assert found == [7, 6, 5, 4, 3, 2, 1]
        for marker, words in (("99", "marker [99] not found"), ("abc", "marker param must be an integer")):
            refused = requests.get(f"{url}/servers?marker={marker}", headers=headers, timeout=10)
            assert (refused.status_code, refused.json()["badRequest"]["message"]) == (400, words)


def test_v10_passes_over_a_marker_and_pages_by_offset() -> None:
    with diablo(servers=5) as (site, _):
        headers, url = signed_in(site, "v1.0")

        def ids(query: str) -> list[int]:
            reply = requests.get(f"{url}/servers?{query}", headers=headers, timeout=10)
            return [one["id"] for one in reply.json()["servers"]]

        assert ids("limit=2&marker=4") == [5, 4]
        assert ids("limit=2&offset=2") == [3, 2]
        assert ids("limit=2&offset=5") == []


def test_a_page_is_cut_at_the_clouds_own_limit_without_a_next_link() -> None:
    with diablo(servers=5, max_limit=3) as (site, _):
        for version in ("v1.0", "v1.1"):
            headers, url = signed_in(site, version)
            page = requests.get(f"{url}/servers/detail?limit=1000", headers=headers, timeout=10).json()
            assert (len(page["servers"]), list(page)) == (3, ["servers"])


def test_ten_thousand_servers_are_paged_quickly_and_each_once() -> None:
    cloud = Cloud.sized(10_000, generation="diablo")
    with serve(cloud) as site, requests.Session() as caller:
        reply = caller.get(f"{site.compute_url}/v1.1", headers=keys(cloud.project, cloud.password), timeout=10)
        caller.headers["X-Auth-Token"] = reply.headers["X-Auth-Token"]
        url, found, began = reply.headers["X-Server-Management-Url"], list[int](), time.monotonic()
        while True:
            marker = f"&marker={found[-1]}" if found else ""
            page = caller.get(f"{url}/servers/detail?limit=1000{marker}", timeout=10).json()["servers"]
            if not page:
                break
            found += [one["id"] for one in page]
        assert time.monotonic() - began < 20
        assert sorted(found) == list(range(1, 10_001))


def test_a_token_that_ends_in_mid_listing_is_401_in_its_own_words() -> None:
    with diablo(servers=3) as (site, _):
        headers, url = signed_in(site, "v1.1")
        site.faults.inject("unauthorized", after=1)
        pages = [requests.get(f"{url}/servers/detail?limit=1", headers=headers, timeout=10) for _ in range(3)]
        assert [one.status_code for one in pages] == [200, 401, 200]
        assert pages[1].json()["unauthorized"]["code"] == 401


def test_a_projects_name_with_a_blank_is_in_the_management_url_as_it_is() -> None:
    with diablo() as (site, _):
        reply = requests.get(f"{site.compute_url}/v1.1", headers=keys("My Proj"), timeout=10)
        url = reply.headers["X-Server-Management-Url"]
        assert url == f"{site.compute_url}/v1.1/My Proj"
        token = {"X-Auth-Token": reply.headers["X-Auth-Token"]}
        assert requests.get(quote(url, safe=":/") + "/servers", headers=token, timeout=10).json() == {"servers": []}


def test_a_wrong_key_is_401_with_a_project_and_500_without_one() -> None:
    with diablo() as (site, _):
        for version in ("v1.0", "v1.1"):
            root = f"{site.compute_url}/{version}"
            refused = requests.get(root, headers=keys(key="wrong"), timeout=10)
            assert (refused.status_code, refused.json()["unauthorized"]["code"]) == (401, 401)
            broken = requests.get(root, headers=keys(None, key="wrong"), timeout=10)
            assert (broken.status_code, broken.json()["cloudServersFault"]["code"]) == (500, 500)
            assert requests.get(root, headers=keys(None), timeout=10).status_code == 204
            assert requests.get(f"{root}/servers", headers=keys(), timeout=10).status_code == 401
            assert requests.get(root, timeout=10).json()["unauthorized"]["message"] == (
                "Could not find 'X-Auth-User' in request."
            )


def test_a_foreign_project_signs_in_and_is_refused_with_the_first_call() -> None:
    with diablo() as (site, _):
        site.cloud.projects["theirs"] = "theirs"
        reply = requests.get(f"{site.compute_url}/v1.1", headers=keys("theirs"), timeout=10)
        assert reply.status_code == 204
        token = {"X-Auth-Token": reply.headers["X-Auth-Token"]}
        url = reply.headers["X-Server-Management-Url"]
        assert requests.get(f"{url}/servers", headers=token, timeout=10).status_code == 401


def test_a_token_lives_two_days() -> None:
    with diablo() as (site, clock):
        headers, url = signed_in(site, "v1.0")
        clock.now += timedelta(hours=47)
        assert requests.get(f"{url}/servers", headers=headers, timeout=10).status_code == 200
        clock.now += timedelta(hours=1)
        assert requests.get(f"{url}/servers", headers=headers, timeout=10).status_code == 401


def test_keystone_gives_tokens_without_a_zone_in_their_end_and_faults_with_codes_as_words() -> None:
    with diablo(servers=1) as (site, _):
        asked = {"passwordCredentials": {"username": "demo", "password": "the-access-key"}, "tenantName": "demoproj"}
        reply = requests.post(f"{site.url}/v2.0/tokens", json={"auth": asked}, timeout=10)
        access = reply.json()["access"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", access["token"]["expires"])
        (compute,) = [one for one in access["serviceCatalog"] if one["type"] == "compute"]
        assert "endpoints_links" not in compute
        token = {"X-Auth-Token": access["token"]["id"]}
        url = compute["endpoints"][0]["publicURL"]
        assert len(requests.get(f"{url}/servers", headers=token, timeout=10).json()["servers"]) == 1
        old = requests.post(f"{site.url}/v2.0/tokens", json=asked, timeout=10)
        assert (old.status_code, old.json()["badRequest"]["message"]) == (400, "Expecting auth")
        wrong = {"auth": {"passwordCredentials": {"username": "demo", "password": "no"}}}
        assert requests.post(f"{site.url}/v2.0/tokens", json=wrong, timeout=10).json()["unauthorized"]["code"] == "401"
        for root in ("", "/v2.0"):
            assert requests.get(site.url + root, timeout=10).json()["version"]["status"] == "ALPHA"


def test_keystone_answers_the_legacy_sign_in_too() -> None:
    with diablo() as (site, _):
        headers = {"X-Auth-User": "demo", "X-Auth-Key": "the-access-key", "X-Tenant": "demoproj"}
        reply = requests.get(f"{site.url}/v1.1", headers=headers, timeout=10)
        assert (reply.status_code, reply.headers["X-Server-Management-Url"]) == (
            204,
            f"{site.compute_url}/v1.1/demoproj",
        )
        assert requests.get(f"{site.url}/v1.0", headers=headers | {"X-Auth-Key": "no"}, timeout=10).status_code == 401


def test_a_resize_is_confirmed_or_taken_back() -> None:
    with diablo(servers=1) as (site, clock):
        site.cloud.rate_limited = False
        headers, url = signed_in(site, "v1.1")

        def act(body: dict[str, object]) -> int:
            return requests.post(f"{url}/servers/1/action", json=body, headers=headers, timeout=10).status_code

        def shown() -> tuple[str, str]:
            server = requests.get(f"{url}/servers/1", headers=headers, timeout=10).json()["server"]
            return server["status"], server["flavor"]["id"]

        assert shown() == ("ACTIVE", "2")
        assert act({"confirmResize": None}) == 400
        assert act({"resize": {"flavorRef": "1"}}) == 202
        assert shown() == ("RESIZE", "2")
        clock.now += SETTLE
        assert shown() == ("VERIFY_RESIZE", "1")
        assert act({"revertResize": None}) == 202
        clock.now += SETTLE
        assert shown() == ("ACTIVE", "2")
        act({"resize": {"flavorRef": "1"}})
        clock.now += SETTLE
        assert act({"confirmResize": None}) == 204
        assert shown() == ("ACTIVE", "1")


def test_a_snapshot_is_saved_listed_with_its_server_and_deleted() -> None:
    with diablo(servers=1) as (site, clock):
        headers, url = signed_in(site, "v1.1")
        made = requests.post(
            f"{url}/servers/1/action", json={"createImage": {"name": "s"}}, headers=headers, timeout=10
        )
        where = made.headers["Location"]
        image = requests.get(where, headers=headers, timeout=10).json()["image"]
        assert (image["status"], image["server"]["id"]) == ("SAVING", "1")
        clock.now += SETTLE
        assert requests.get(where, headers=headers, timeout=10).json()["image"]["status"] == "ACTIVE"
        assert requests.delete(where, headers=headers, timeout=10).status_code == 204
        assert requests.get(where, headers=headers, timeout=10).status_code == 404
        assert requests.delete(f"{url}/images/1", headers=headers, timeout=10).status_code == 403


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_a_deleted_server_is_listed_by_changes_since_only(version: str) -> None:
    with diablo(servers=2) as (site, clock):
        headers, url = signed_in(site, version)
        assert requests.delete(f"{url}/servers/1", headers=headers, timeout=10).status_code in (202, 204)
        clock.now += SETTLE
        assert requests.get(f"{url}/servers/1", headers=headers, timeout=10).status_code == 404
        since = "1293840000" if version == "v1.0" else "2011-01-01T00:00:00Z"
        changed = requests.get(f"{url}/servers/detail?changes-since={since}", headers=headers, timeout=10)
        statuses = {one["id"]: one["status"] for one in changed.json()["servers"]}
        assert statuses == {1: "DELETED", 2: "ACTIVE"}


def test_metadata_and_key_pairs_are_kept_in_v11() -> None:
    with diablo(servers=1) as (site, _):
        site.cloud.rate_limited = False
        headers, url = signed_in(site, "v1.1")
        with requests.Session() as caller:
            caller.headers.update(headers)
            caller.post(f"{url}/servers/1/metadata", json={"metadata": {"a": "1", "b": "2"}}, timeout=10)
            caller.put(f"{url}/servers/1/metadata/b", json={"meta": {"b": "3"}}, timeout=10)
            assert caller.delete(f"{url}/servers/1/metadata/a", timeout=10).status_code == 204
            assert caller.get(f"{url}/servers/1/metadata", timeout=10).json() == {"metadata": {"b": "3"}}
            made = caller.post(f"{url}/os-keypairs", json={"keypair": {"name": "k"}}, timeout=10).json()["keypair"]
            assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
            (listed,) = caller.get(f"{url}/os-keypairs", timeout=10).json()["keypairs"]
            assert listed["keypair"]["fingerprint"] == made["fingerprint"]
            wanted = {"name": "x", "imageRef": "1", "flavorRef": "1", "key_name": "k"}
            server = caller.post(f"{url}/servers", json={"server": wanted}, timeout=10).json()["server"]
            assert (server["key_name"], server["status"], server["id"]) == ("k", "BUILD", 2)
            nobody = wanted | {"key_name": "none"}
            assert caller.post(f"{url}/servers", json={"server": nobody}, timeout=10).status_code == 400


def test_over_limit_on_demand_is_403_without_a_time_to_wait() -> None:
    with diablo(servers=1) as (site, _):
        headers, url = signed_in(site, "v1.1")
        site.faults.inject("over_limit", retry_after=7)
        slow = requests.get(f"{url}/servers", headers=headers, timeout=10)
        assert (slow.status_code, slow.headers["Content-Type"]) == (403, "text/html; charset=UTF-8")
        assert "Retry-After" not in slow.headers
        assert json.loads(slow.text)["overLimitFault"]["code"] == 403
        assert requests.get(f"{url}/servers", headers=headers, timeout=10).status_code == 200


def test_mishaps_reach_the_legacy_sign_in() -> None:
    with diablo() as (site, _):
        site.faults.inject("unauthorized", path="/v1.1")
        assert requests.get(f"{site.compute_url}/v1.1", headers=keys(), timeout=10).status_code == 401
        site.faults.inject("elsewhere", path="/v1.1", location="http://198.51.100.7/v1.1")
        moved = requests.get(f"{site.compute_url}/v1.1", headers=keys(), timeout=10)
        assert moved.headers["X-Server-Management-Url"] == "http://198.51.100.7/v1.1"


@pytest.mark.filterwarnings(
    "ignore::openstack.warnings._RemovedInSDKWarning", "ignore::openstack.warnings.OpenStackDeprecationWarning"
)
def test_openstacksdk_drives_it_when_it_is_told_the_endpoint() -> None:
    with serve(Cloud.lively(servers=12, generation="diablo")) as site:
        client = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="v2password",
            auth_url=site.auth_url,
            username=site.cloud.username,
            password=site.cloud.password,
            project_name=site.cloud.project,
            compute_endpoint_override=f"{site.compute_url}/v1.1/{site.cloud.project}",
        )
        with client:
            servers = list(client.compute.servers())
            assert {one.id for one in servers} == {one.number for one in site.cloud.instances.values()}
            running = next(one for one in servers if one.status == "ACTIVE")
            client.compute.reboot_server(running, "SOFT")
            with pytest.raises(openstack.exceptions.BadRequestException, match="There is no such server action"):
                client.compute.stop_server(running)
