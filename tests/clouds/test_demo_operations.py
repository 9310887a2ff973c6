"""What can be done to servers of a simulated Essex and a modern cloud: by hand, and by a client that is not ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from console.demo.cloud import Generation
from console.demo.keep import dump, load
from console.demo.openstack import Cloud, Site, serve
from tests.clouds.captured import differences, exchanges
from tests.clouds.demo_caller import Clock, session
from tests.clouds.test_demo_openstack import sdk, sdk_warns

SETTLE = timedelta(seconds=5)
BOTH = pytest.mark.parametrize("generation", ["essex", "modern"])


class Account:
    """Calls to one account by hand, with a clock that stands still."""

    def __init__(self, site: Site, clock: Clock, caller: requests.Session, url: str) -> None:
        self.site, self.cloud, self.clock, self.caller, self.url = site, site.cloud, clock, caller, url

    def call(self, method: str, path: str, body: Any = None, minor: int = 1) -> requests.Response:
        headers = {"OpenStack-API-Version": f"compute 2.{minor}"}
        return self.caller.request(method, self.url + path, json=body, headers=headers, timeout=10)

    def act(self, server: str, word: str, details: Any = None, minor: int = 1) -> requests.Response:
        return self.call("POST", f"/servers/{server}/action", {word: details}, minor)

    def shown(self, server: str) -> dict[str, Any]:
        return self.call("GET", f"/servers/{server}").json()["server"]

    def state(self, server: str) -> tuple[str, str | None]:
        shown = self.shown(server)
        return shown["status"], shown["OS-EXT-STS:task_state"]

    def settle(self) -> None:
        self.clock.now += SETTLE

    def order(self, **more: Any) -> dict[str, Any]:
        flavor, image = next(iter(self.cloud.flavors)), next(iter(self.cloud.images))
        return {"server": {"name": "new", "flavorRef": flavor, "imageRef": image} | more}

    def size(self, place: int) -> str:
        return list(self.cloud.flavors)[place]


@contextmanager
def account(generation: Generation = "modern", servers: int = 1) -> Iterator[Account]:
    clock = Clock()
    cloud = Cloud.sized(servers, generation=generation)
    cloud.clock = cloud.tokens.clock = clock
    cloud.settle, cloud.rate_limited = SETTLE, False
    with serve(cloud) as site:
        caller, url = session(site)
        with caller:
            yield Account(site, clock, caller, url)


def only(cloud: Cloud) -> str:
    (found,) = cloud.instances
    return found


def message(reply: requests.Response) -> str:
    (fault,) = reply.json().values()
    assert fault["code"] == reply.status_code
    return str(fault["message"])


@BOTH
def test_a_server_is_built_with_what_was_ordered(generation: Generation) -> None:
    with account(generation, 0) as mine:
        network = next(one for one in mine.cloud.networks.values() if one.name == "data")
        data = base64.b64encode(b"#cloud-config\n").decode()
        order = mine.order(
            key_name="ops",
            user_data=data,
            metadata={"a": "1"},
            networks=[{"uuid": network.id}],
            personality=[{"path": "/etc/motd", "contents": "aGk="}],
            adminPass="chosen-one",
        )
        made = mine.call("POST", "/servers", order)
        assert (made.status_code, made.json()["server"]["adminPass"]) == (202, "chosen-one")
        server = made.json()["server"]["id"]
        assert made.headers["Location"].endswith(f"/servers/{server}")
        assert mine.state(server) == ("BUILD", "scheduling")
        assert mine.shown(server)["addresses"] == {}
        mine.settle()
        assert mine.state(server) == ("ACTIVE", None)
        shown = mine.shown(server)
        assert (list(shown["addresses"]), shown["key_name"], shown["metadata"]) == (["data"], "ops", {"a": "1"})
        assert mine.cloud.instances[server].user_data == data


def test_a_created_server_is_answered_as_the_real_essex_did() -> None:
    with account("essex", 0) as mine:
        made = mine.call("POST", "/servers", mine.order()).json()
        assert differences(made, [exchanges("essex.txt")["create0"].json]) == []


@BOTH
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flavorRef", "none"),
        ("imageRef", "none"),
        ("key_name", "none"),
        ("user_data", "not base64!"),
        ("networks", [{"uuid": "none"}]),
        ("networks", "somewhere"),
        ("name", ""),
        ("personality", [{"path": "/etc/motd", "contents": "not base64!"}]),
        ("personality", "motd"),
    ],
)
def test_a_wrong_order_is_refused_and_builds_nothing(generation: Generation, field: str, value: object) -> None:
    with account(generation, 0) as mine:
        refused = mine.call("POST", "/servers", mine.order(**{field: value}))
        assert refused.status_code == 400
        assert message(refused)
        assert mine.cloud.instances == {}


def test_since_2_37_networks_are_required_and_may_be_auto_or_none() -> None:
    with account(servers=0) as mine:
        assert "'networks' is a required property" in message(mine.call("POST", "/servers", mine.order(), 37))
        assert mine.call("POST", "/servers", mine.order(networks="auto"), 36).status_code == 400
        ids = [
            mine.call("POST", "/servers", mine.order(networks=word), 37).json()["server"]["id"]
            for word in ("auto", "none")
        ]
        mine.settle()
        assert [list(mine.shown(one)["addresses"]) for one in ids] == [["private"], []]


def test_personality_is_gone_since_2_57() -> None:
    with account(servers=0) as mine:
        order = mine.order(personality=[], networks="none")
        assert mine.call("POST", "/servers", order, 56).status_code == 202
        assert "'personality' was unexpected" in message(mine.call("POST", "/servers", order, 57))


@BOTH
def test_a_deleted_server_is_there_until_it_is_gone_and_then_among_the_changes(generation: Generation) -> None:
    with account(generation, 2) as mine:
        server = next(iter(mine.cloud.instances))
        assert mine.call("DELETE", f"/servers/{server}").status_code == 204
        assert mine.state(server) == ("ACTIVE", "deleting")
        assert mine.act(server, "os-stop").status_code == 409
        assert mine.call("DELETE", f"/servers/{server}").status_code == 204
        mine.settle()
        assert mine.call("GET", f"/servers/{server}").status_code == 404
        changed = mine.call("GET", "/servers/detail?changes-since=2026-11-22T12:00:00Z").json()["servers"]
        assert {one["id"]: one["status"] for one in changed}[server] == "DELETED"


def test_changes_before_a_time_are_those_not_after_it_since_2_66() -> None:
    with account(servers=2) as mine:
        late = next(iter(mine.cloud.instances))
        mine.clock.now += timedelta(minutes=30)
        mine.cloud.update(late, name="changed")
        path = "/servers?changes-before=" + (mine.clock.now - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert late not in {one["id"] for one in mine.call("GET", path, minor=66).json()["servers"]}
        assert late in {one["id"] for one in mine.call("GET", path, minor=65).json()["servers"]}


@BOTH
def test_a_resize_waits_for_a_word_and_then_stays_or_goes_back(generation: Generation) -> None:
    with account(generation) as mine:
        server, old, new = only(mine.cloud), mine.cloud.instances[only(mine.cloud)].flavor, mine.size(3)

        def size() -> str:
            return str(mine.shown(server)["flavor"]["id"])

        assert mine.act(server, "resize", {"flavorRef": old}).status_code == 400
        assert mine.act(server, "resize", {"flavorRef": "none"}).status_code == 400
        assert mine.act(server, "confirmResize").status_code == 409
        assert mine.act(server, "resize", {"flavorRef": new}).status_code == 202
        assert mine.state(server) == ("RESIZE", "resize_prep")
        assert size() == old
        mine.settle()
        assert (mine.state(server), size()) == (("VERIFY_RESIZE", None), new)
        assert mine.act(server, "revertResize").status_code == 202
        mine.settle()
        assert (mine.state(server), size()) == (("ACTIVE", None), old)
        mine.act(server, "resize", {"flavorRef": new})
        mine.settle()
        assert mine.act(server, "confirmResize").status_code == 204
        assert (mine.state(server), size()) == (("ACTIVE", None), new)


@BOTH
def test_a_stopped_server_is_stopped_after_its_resize(generation: Generation) -> None:
    with account(generation) as mine:
        server = only(mine.cloud)
        mine.act(server, "os-stop")
        mine.settle()
        for word in ("revertResize", "confirmResize"):
            mine.act(server, "resize", {"flavorRef": mine.size(3)})
            mine.settle()
            assert mine.state(server)[0] == "VERIFY_RESIZE"
            mine.act(server, word)
            mine.settle()
            assert mine.state(server) == (mine.cloud.off, None)


@BOTH
def test_a_rebuild_puts_another_image_on_it(generation: Generation) -> None:
    with account(generation) as mine:
        server, image = only(mine.cloud), list(mine.cloud.images)[2]
        told = mine.act(server, "rebuild", {"imageRef": image, "name": "again"})
        assert (told.status_code, told.json()["server"]["status"]) == (202, "REBUILD")
        assert told.json()["server"]["adminPass"]
        if generation == "essex":
            assert differences(told.json(), [exchanges("essex.txt")["rebuild"].json]) == []
        mine.settle()
        shown = mine.shown(server)
        assert (shown["status"], shown["image"]["id"], shown["name"]) == ("ACTIVE", image, "again")


def test_user_data_changes_by_a_rebuild_since_2_57_only() -> None:
    with account() as mine:
        server, image = only(mine.cloud), next(iter(mine.cloud.images))
        for minor, kept in ((56, ""), (57, "IyE=")):
            told = mine.act(server, "rebuild", {"imageRef": image, "user_data": "IyE="}, minor)
            assert told.json()["server"].get("user_data", "") == kept
            assert mine.cloud.instances[server].user_data == kept
            mine.settle()


@BOTH
def test_a_snapshot_is_saved_for_a_while_and_names_its_server(generation: Generation) -> None:
    with account(generation) as mine:
        server = only(mine.cloud)
        made = mine.act(server, "createImage", {"name": "snap", "metadata": {"why": "test"}})
        image = made.headers["Location"].rsplit("/", 1)[-1]
        assert (made.status_code, mine.state(server)) == (202, ("ACTIVE", "image_snapshot"))
        assert mine.act(server, "createImage", {"name": "another"}).status_code == 409
        listed = {one["id"]: one for one in mine.call("GET", "/images/detail").json()["images"]}
        assert (listed[image]["status"], listed[image]["server"]["id"]) == ("SAVING", server)
        assert listed[image]["metadata"]["why"] == "test"
        assert "not active" in message(mine.call("POST", "/servers", mine.order(imageRef=image)))
        mine.settle()
        assert mine.call("GET", f"/images/{image}").json()["image"]["status"] == "ACTIVE"
        assert mine.state(server) == ("ACTIVE", None)
        assert mine.call("POST", "/servers", mine.order(imageRef=image)).status_code == 202
        assert mine.call("DELETE", f"/images/{image}").status_code == 204
        assert mine.call("GET", f"/images/{image}").status_code == 404
        assert mine.call("DELETE", f"/images/{next(iter(mine.cloud.images))}").status_code == 403


def test_since_2_45_a_snapshot_is_named_in_the_body_and_glance_lists_and_deletes_it() -> None:
    with account() as mine:
        server, glance = only(mine.cloud), f"{mine.site.compute_url}/image/v2/images"
        made = mine.act(server, "createImage", {"name": "snap"}, 45)
        image = made.json()["image_id"]
        assert "Location" not in made.headers

        def shown() -> dict[str, Any]:
            (found,) = mine.caller.get(f"{glance}?instance_uuid={server}", timeout=10).json()["images"]
            return found

        assert (shown()["id"], shown()["status"], shown()["visibility"]) == (image, "queued", "private")
        mine.settle()
        assert (shown()["status"], shown()["image_type"]) == ("active", "snapshot")
        assert mine.caller.delete(f"{glance}/{image}", timeout=10).status_code == 204
        assert mine.caller.get(f"{glance}/{image}", timeout=10).status_code == 404
        assert mine.caller.delete(f"{glance}/{next(iter(mine.cloud.images))}", timeout=10).status_code == 403
        assert mine.call("DELETE", "/images/any", minor=36).status_code == 404


@BOTH
def test_somebody_elses_snapshot_is_neither_listed_nor_found(generation: Generation) -> None:
    with account(generation) as mine:
        mine.cloud.projects["theirs"] = "0" * 32
        theirs = mine.cloud.add("theirs", project="theirs")
        image = mine.cloud.snapshot(theirs.id, "secret")
        assert image.id not in {one["id"] for one in mine.call("GET", "/images").json()["images"]}
        assert mine.call("DELETE", f"/images/{image.id}").status_code == 404
        assert mine.call("POST", f"/servers/{theirs.id}/action", {"os-stop": None}).status_code == 404


@BOTH
def test_metadata_is_merged_replaced_and_taken_away(generation: Generation) -> None:
    with account(generation) as mine:
        path = f"/servers/{only(mine.cloud)}/metadata"
        mine.call("PUT", path, {"metadata": {"a": "1"}})
        assert mine.call("POST", path, {"metadata": {"b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
        assert mine.call("PUT", f"{path}/b", {"meta": {"b": "3"}}).json() == {"meta": {"b": "3"}}
        assert mine.call("DELETE", f"{path}/a").status_code == 204
        assert mine.call("DELETE", f"{path}/a").status_code == 404
        assert mine.call("GET", path).json() == {"metadata": {"b": "3"}}
        assert mine.call("POST", path, {"metadata": {"b": 3}}).status_code == 400


@BOTH
def test_a_key_pair_is_taken_or_made_and_its_private_half_is_told_once(generation: Generation) -> None:
    with account(generation) as mine:
        made = mine.call("POST", "/os-keypairs", {"keypair": {"name": "made"}}).json()["keypair"]
        assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
        taken = mine.call("POST", "/os-keypairs", {"keypair": {"name": "own", "public_key": made["public_key"]}})
        assert "private_key" not in taken.json()["keypair"]
        listed = [one["keypair"] for one in mine.call("GET", "/os-keypairs").json()["keypairs"]]
        assert {one["name"] for one in listed} >= {"made", "own", "ops"}
        assert "private_key" not in json.dumps(listed)
        assert {one["fingerprint"] for one in listed if one["name"] != "ops"} == {made["fingerprint"]}
        assert mine.call("GET", "/os-keypairs/made").json()["keypair"]["name"] == "made"
        assert mine.call("POST", "/os-keypairs", {"keypair": {"name": "made"}}).status_code == 409
        wrong = {"keypair": {"name": "wrong", "public_key": "nonsense"}}
        assert mine.call("POST", "/os-keypairs", wrong).status_code == 400
        assert mine.call("DELETE", "/os-keypairs/made").status_code == 202
        assert mine.call("DELETE", "/os-keypairs/made").status_code == 404


def test_key_pairs_by_microversion() -> None:
    with account() as mine:
        made = mine.call("POST", "/os-keypairs", {"keypair": {"name": "k"}}, 91)
        assert (made.status_code, made.json()["keypair"]["type"]) == (201, "ssh")
        assert mine.call("DELETE", "/os-keypairs/k", minor=2).status_code == 204
        refused = mine.call("POST", "/os-keypairs", {"keypair": {"name": "k"}}, 92)
        assert "'public_key' is a required property" in message(refused)


def test_the_essex_networks_are_written_as_the_real_ones() -> None:
    with account("essex") as mine:
        listed = mine.call("GET", "/os-networks").json()
        assert {one["label"] for one in listed["networks"]} == {"dmz", "data", "build", "staging", "private"}
        assert differences(listed, [exchanges("essex.txt")["nets"].json]) == []
        (private,) = [one for one in listed["networks"] if one["label"] == "private"]
        assert (private["gateway"], private["netmask"]) == ("10.40.0.1", "255.255.0.0")


def test_neutron_lists_by_name_by_pages_and_finds_one() -> None:
    with account() as mine:
        neutron = f"{mine.site.compute_url}/networking/v2.0"

        def get(path: str) -> requests.Response:
            return mine.caller.get(f"{neutron}/{path}", timeout=10)

        (data,) = get("networks?name=data").json()["networks"]
        assert get(f"networks/{data['id']}").json()["network"] == data
        (subnet,) = get(f"subnets?network_id={data['id']}").json()["subnets"]
        assert subnet["id"] in data["subnets"]
        (port,) = get(f"ports?device_id={only(mine.cloud)}").json()["ports"]
        assert port["fixed_ips"][0]["ip_address"] == "10.0.0.1"
        first = get("networks?limit=3").json()
        assert len(first["networks"]) == 3
        rest = mine.caller.get(first["networks_links"][0]["href"], timeout=10).json()
        assert (len(rest["networks"]), "networks_links" in rest) == (2, False)
        lost = get("networks/none")
        assert (lost.status_code, lost.json()["NeutronError"]["type"]) == (404, "NetworkNotFound")
        assert requests.get(f"{neutron}/networks", timeout=10).status_code == 401
        assert mine.call("GET", "/os-networks", minor=36).status_code == 404


def test_consoles_by_microversion() -> None:
    with account() as mine:
        server = only(mine.cloud)
        wanted = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        old = mine.act(server, "os-getVNCConsole", {"type": "novnc"}, 5)
        assert set(old.json()["console"]) == {"type", "url"}
        assert mine.act(server, "os-getVNCConsole", {"type": "novnc"}, 6).status_code == 404
        assert mine.call("POST", f"/servers/{server}/remote-consoles", wanted, 5).status_code == 404
        told = mine.call("POST", f"/servers/{server}/remote-consoles", wanted, 8).json()["remote_console"]
        assert (told["protocol"], told["type"]) == ("vnc", "novnc")
        assert mine.call("POST", f"/servers/{server}/remote-consoles", {}, 8).status_code == 400
        mine.act(server, "os-stop")
        mine.settle()
        assert mine.call("POST", f"/servers/{server}/remote-consoles", wanted, 8).status_code == 409


def test_what_was_asked_of_a_server_is_found_by_the_id_of_its_request() -> None:
    with account() as mine:
        server = only(mine.cloud)
        asked = mine.act(server, "os-stop").headers["X-Compute-Request-Id"]
        path = f"/servers/{server}/os-instance-actions"

        def told(path: str, minor: int) -> dict[str, Any]:
            return mine.call("GET", path, minor=minor).json()["instanceAction"]

        assert told(f"{path}/{asked}", 51)["events"][0]["finish_time"] is None
        mine.settle()
        mine.cloud.advance()
        deed = told(f"{path}/{asked}", 58)
        assert (deed["action"], deed["events"][0]["result"]) == ("stop", "Success")
        assert datetime.fromisoformat(deed["updated_at"]) > datetime.fromisoformat(deed["start_time"])
        recorded = exchanges("modern.txt")["events"].json
        listed = mine.call("GET", path).json()
        assert differences(listed, [recorded]) == []
        assert [one["action"] for one in listed["instanceActions"]] == ["stop", "create"]
        assert mine.call("GET", f"{path}/none").status_code == 404
        mine.call("DELETE", f"/servers/{server}")
        mine.settle()
        mine.cloud.advance()
        assert mine.call("GET", path).status_code == 404
        assert mine.call("GET", path, minor=21).json()["instanceActions"][0]["action"] == "delete"


def test_essex_has_no_log_of_deeds() -> None:
    with account("essex") as mine:
        assert mine.call("GET", f"/servers/{only(mine.cloud)}/os-instance-actions").status_code == 404


@BOTH
def test_a_locked_server_is_not_deleted(generation: Generation) -> None:
    with account(generation) as mine:
        server = only(mine.cloud)
        mine.act(server, "lock")
        assert mine.call("DELETE", f"/servers/{server}").status_code == 409
        mine.act(server, "unlock")
        assert mine.call("DELETE", f"/servers/{server}").status_code == 204


def test_limits_count_what_is_used() -> None:
    with account(servers=3) as mine:
        absolute = mine.call("GET", "/limits").json()["limits"]["absolute"]
        sizes = [mine.cloud.flavors[one.flavor] for one in mine.cloud.instances.values()]
        assert absolute["totalInstancesUsed"] == 3
        assert absolute["totalCoresUsed"] == sum(one.vcpus for one in sizes)


def test_networks_and_snapshots_come_back_from_disk_and_what_was_being_deleted_does_not() -> None:
    with account(servers=2) as mine:
        gone, kept = list(mine.cloud.instances)
        image = mine.cloud.snapshot(kept, "snap", metadata={"why": "test"})
        mine.cloud.delete(gone)
        back = load(json.loads(json.dumps(dump(mine.cloud))))
        assert list(back.instances) == [kept]
        assert back.networks == mine.cloud.networks
        assert (back.images[image.id].status, back.images[image.id].metadata) == ("ACTIVE", {"why": "test"})


class Ticking(Clock):
    """A clock that moves by a second whenever somebody looks."""

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def drivable(generation: Generation) -> Cloud:
    """A cloud whose actions take a few looks at the clock."""
    cloud = Cloud.lively(4, generation=generation)
    cloud.clock = cloud.tokens.clock = Ticking()
    cloud.settle, cloud.rate_limited = timedelta(seconds=20), False
    return cloud


@sdk_warns
@BOTH
def test_openstacksdk_creates_stops_starts_snapshots_looks_and_deletes(generation: Generation) -> None:
    with serve(drivable(generation)) as site, sdk(site) as client:
        compute, cloud = client.compute, site.cloud
        flavor, image = next(iter(cloud.flavors)), next(iter(cloud.images))
        more = {"networks": "auto"} if generation == "modern" else {}
        server = compute.create_server(name="made", flavor_id=flavor, image_id=image, key_name="ops", **more)
        assert server.admin_password

        def wait(status: str) -> None:
            compute.wait_for_server(server, status=status, interval=0.01, wait=10)

        assert compute.get_server(server.id).status == "BUILD"
        wait("ACTIVE")
        compute.stop_server(server)
        wait(cloud.off)
        compute.start_server(server)
        wait("ACTIVE")
        snapshot = server.create_image(compute, "snap", {"why": "test"})
        assert cloud.images[snapshot].name == "snap"
        until_idle(compute, server)
        cloud.instances[server.id].console = "made login: "
        assert compute.get_server_console_output(server)["output"] == "made login: "
        console = compute.create_console(server, console_type="novnc")
        assert console["url"].startswith("http")
        compute.delete_server(server)
        compute.wait_for_delete(server, interval=0.01, wait=10)
        assert server.id not in cloud.instances


def until_idle(compute: Any, server: Any) -> None:
    """Looks until nothing is under way; every look moves the clock."""
    for _ in range(200):
        if compute.get_server(server.id).task_state is None:
            return
    raise AssertionError("The server never came to rest.")


@sdk_warns
def test_openstacksdk_resizes_renames_rebuilds_and_finds_images_and_networks() -> None:
    with serve(drivable("modern")) as site, sdk(site) as client:
        compute, cloud = client.compute, site.cloud
        server = next(one for one in compute.servers() if one.status == "ACTIVE")
        large = next(one for one in cloud.flavors.values() if one.name == "r1.xlarge")
        compute.resize_server(server, large.id)
        compute.wait_for_server(server, status="VERIFY_RESIZE", interval=0.01, wait=10)
        compute.confirm_server_resize(server)
        assert compute.get_server(server.id).flavor["original_name"] == "r1.xlarge"
        assert compute.update_server(server, name="renamed").name == "renamed"
        image = next(iter(cloud.images))
        compute.rebuild_server(server, image=image, name="renamed")
        compute.wait_for_server(server, status="ACTIVE", interval=0.01, wait=10)
        compute.set_server_metadata(server, role="tested")
        assert compute.get_server(server.id).metadata["role"] == "tested"
        assert {one.name for one in client.network.networks()} == {one.name for one in cloud.networks.values()}
        assert client.network.find_network("data").name == "data"
        made = compute.create_keypair(name="sdk", public_key=f"ssh-ed25519 {base64.b64encode(b'key').decode()} me")
        assert made.fingerprint
        compute.delete_keypair("sdk")
        assert "sdk" not in {one.name for one in compute.keypairs()}
        snapshot = compute.create_server_image(server, "snap")
        until_idle(compute, server)
        assert client.image.get_image(snapshot.id).status == "active"
        client.image.delete_image(snapshot.id)
        assert snapshot.id not in cloud.images
        assert [one.action for one in compute.server_actions(server)][:2] == ["createImage", "rebuild"]
