"""What can be done to servers of a simulated Essex and a modern cloud, called by hand."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from console.demo.cloud import Generation
from console.demo.keep import dump, load
from tests.clouds.captured import differences, exchanges
from tests.clouds.demo_account import BOTH, account, message, only


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
