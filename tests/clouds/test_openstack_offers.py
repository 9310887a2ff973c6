"""What an OpenStack project can choose from, its snapshots and its consoles: old shapes and new ones, by version."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from accounts.clouds import openstack_tasks
from accounts.clouds.operations import Console, Image, KeyPair, Network, Phase, Rate, Size, Snapshot, Task
from console.lib.faults import Fault, Refused, Unexpected
from tests.clouds.openstack_account import ESSEX, MODERN, ONE, TENANT, acting, offers, said, with_services
from tests.clouds.replay import Replay, Reply, recorded

BUILDING = "0ddf8e1f-e71f-4b7e-b2b0-2d241ec85e80"  # the server of modern.txt


# --- what can be chosen


def test_sizes_are_listed_from_recorded_flavors(essex: Replay) -> None:
    essex.say("GET", f"/v1.1/{TENANT}/flavors/detail?limit=1000&marker=5", recorded("essex.txt")["flavors"][2])
    assert acting(essex).sizes()[:2] == (Size("1", "m1.tiny", 1, 512, 0), Size("2", "m1.small", 1, 2048, 10))


def test_images_of_an_old_cloud_come_through_novas_proxy(essex: Replay) -> None:
    images = recorded("essex.txt")["images"][2]
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000", images)
    last = json.loads(images.body)["images"][-1]["id"]
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000&marker={last}", images)
    found = acting(essex).images()
    assert found[0] == Image("70a599e0-31e7-49b7-b260-868f441e862b", "fakeimage7", 0, 0)
    assert not any("19292" in path for _, path, *_ in essex.asked)


def test_images_of_a_modern_cloud_come_from_glance_page_by_page(nova: Replay) -> None:
    rows = [{"id": f"i{number}", "name": "cirros", "status": status, "min_disk": 1, "min_ram": 64}
            for number, status in enumerate(("active", "queued"))]  # fmt: skip
    nova.say("GET", "/image/v2/images?limit=1000", said(200, {"images": rows, "next": "/v2/images?marker=evil"}))
    nova.say("GET", "/image/v2/images?limit=1000&marker=i1", said(200, {"images": []}))
    assert acting(nova).images() == (Image("i0", "cirros", 1, 64),)


def test_a_modern_cloud_without_glance_in_its_catalog_is_read_through_the_proxy(modern: Replay) -> None:
    blocks = recorded("modern.txt")
    modern.say("GET", "/v2.1/images/detail?limit=1000", blocks["images-proxy"][2])
    marker = "3a48bad1-f787-4557-ae26-658070a5c39e"
    modern.say("GET", f"/v2.1/images/detail?limit=1000&marker={marker}", said(200, {"images": []}))
    assert [image.name for image in acting(modern).images()] == ["cirros"]


@pytest.mark.parametrize("suffix", ["", "/v2.0"])
def test_networks_come_from_neutron_without_those_for_routers_only(modern: Replay, suffix: str) -> None:
    with_services(modern, network=f"/network{suffix}")
    rows = [
        {"id": "a", "name": "private", "router:external": False, "shared": False},
        {"id": "b", "name": "uplink", "router:external": True, "shared": False},
        {"id": "c", "name": "public", "router:external": True, "shared": True},
    ]
    modern.say("GET", "/network/v2.0/networks?limit=1000", said(200, {"networks": rows}))
    modern.say("GET", "/network/v2.0/networks?limit=1000&marker=c", said(200, {"networks": []}))
    assert acting(modern).networks() == (Network("a", "private"), Network("c", "public"))


def test_neutrons_refusal_is_told_in_its_own_words(nova: Replay) -> None:
    words = {"NeutronError": {"type": "PolicyNotAuthorized", "message": "Not for you.", "detail": ""}}
    nova.say("GET", "/network/v2.0/networks?limit=1000", said(403, words))
    with pytest.raises(Refused, match="network service refused.*Not for you"):
        acting(nova).networks()


def test_a_cloud_without_a_network_service_offers_no_choice(modern: Replay) -> None:
    assert acting(modern).networks() == ()


def test_networks_of_essex_are_for_administrators_and_the_reason_says_so(essex: Replay) -> None:
    with pytest.raises(Refused, match="administrators only"):
        acting(essex).networks()


def test_key_pairs_are_unwrapped(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "kps")
    assert acting(essex).key_pairs() == (KeyPair("k1", "SHA256:x8hzqW3qx239CJ+mUkkLHqHAozVHM3mqLrCsux6F6vY"),)


def test_the_limit_on_changes_since_does_not_slow_every_read(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "limits")
    assert set(acting(essex).rates()) == {Rate(10, 60, "POST"), Rate(10, 60, "PUT"), Rate(100, 60, "DELETE")}


def test_a_cloud_without_limits_has_none(modern: Replay) -> None:
    modern.say_recorded(recorded("modern.txt"), "limits")
    assert acting(modern).rates() == ()


# --- snapshots


def test_a_snapshot_of_essex_is_known_by_its_location(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "createImage")
    task = acting(essex).snapshot(ONE, "snap1")
    assert essex.bodies[-1] == {"createImage": {"name": "snap1"}}
    assert json.loads(task.ref)["image"] == "81ff0cf2-206a-4126-9e2b-766d0190264f"


@pytest.mark.parametrize(
    ("newest", "asked"), [("2.104", "2.45"), ("2.999", "2.45"), ("2.45", "2.45"), ("2.44", "2.44")]
)
def test_a_snapshot_is_known_by_the_body_where_the_microversion_has_it(nova: Replay, newest: str, asked: str) -> None:
    offers(nova, newest)
    old = Reply(202, b"", {"Location": "http://127.0.0.1:1/image/v2/images/i-9"})
    nova.say("POST", f"{MODERN}/s/action", said(202, {"image_id": "i-9"}) if asked == "2.45" else old)
    driver = acting(nova)
    task = driver.snapshot("s", "x")
    assert nova.headers[-1]["OpenStack-API-Version"] == f"compute {asked}"
    nova.say(
        "GET", "/image/v2/images/i-9", *(said(200, {"id": "i-9", "status": status}) for status in ("saving", "active"))
    )
    assert [driver.task(task).phase for _ in range(2)] == [Phase.RUNNING, Phase.DONE]


def test_a_snapshot_that_nova_gave_up_has_failed(nova: Replay) -> None:
    task = Task(openstack_tasks.Ref("snapshot", "s", image="i-9").text())
    assert acting(nova).task(task).phase is Phase.FAILED
    nova.say("GET", "/image/v2/images/i-9", said(200, {"id": "i-9", "status": "killed"}))
    assert acting(nova).task(task).words == "The cloud gave the snapshot up."


def test_a_snapshot_without_an_image_is_rubbish(modern: Replay) -> None:
    modern.say("POST", f"{MODERN}/s/action", Reply(202, b""))
    with pytest.raises(Unexpected, match="which image"):
        acting(modern).snapshot("s", "x")


def test_snapshots_are_the_images_that_were_made_of_this_server(essex: Replay) -> None:
    rows = [
        {"id": "base", "name": "base", "status": "ACTIVE", "metadata": {}},
        {"id": "a", "name": "mine", "status": "ACTIVE", "server": {"id": ONE}, "created": "2026-11-22T16:40:00Z"},
        {"id": "b", "name": "other", "status": "ACTIVE", "server": {"id": "another"}},
        {"id": "c", "name": "by property", "status": "SAVING", "metadata": {"instance_uuid": ONE}},
        {
            "id": "d",
            "name": "by reference",
            "status": "ACTIVE",
            "metadata": {"instance_ref": f"http://h/servers/{ONE}"},
        },
        {"id": "e", "name": "gone", "status": "DELETED", "server": {"id": ONE}},
    ]
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000", said(200, {"images": rows}))
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000&marker=e", said(200, {"images": []}))
    found = acting(essex).snapshots(ONE)
    assert [snapshot.id for snapshot in found] == ["a", "c", "d"]
    assert found[0] == Snapshot("a", "mine", datetime(2026, 11, 22, 16, 40, tzinfo=UTC))


def test_a_snapshot_of_a_modern_server_is_reverted_to_by_a_rebuild_and_deleted_in_glance(nova: Replay) -> None:
    row = {"id": "i-9", "name": "x", "status": "active", "instance_uuid": "s", "created_at": "2026-11-22T16:40:00Z"}
    nova.say("GET", "/image/v2/images?limit=1000", said(200, {"images": [row]}))
    nova.say("GET", "/image/v2/images?limit=1000&marker=i-9", said(200, {"images": []}))
    nova.say("POST", f"{MODERN}/s/action", said(202, {"server": {"id": "s", "adminPass": "fresh"}}))
    nova.say("DELETE", "/image/v2/images/i-9", Reply(204, b""))
    driver = acting(nova)
    assert [one.id for one in driver.snapshots("s")] == ["i-9"]
    assert "instance_uuid=s" in nova.queries[-1]
    task = driver.revert_snapshot("s", "i-9")
    assert nova.bodies[-1] == {"rebuild": {"imageRef": "i-9"}}
    assert task.password == "fresh"  # noqa: S105
    assert driver.task(driver.delete_snapshot("s", "i-9")).phase is Phase.DONE
    assert ("DELETE", "/image/v2/images/i-9", "", "") in nova.asked


def test_an_image_that_is_no_snapshot_of_the_server_is_neither_deleted_nor_rebuilt_from(nova: Replay) -> None:
    nova.say("GET", "/image/v2/images?limit=1000", said(200, {"images": []}))
    for call in (acting(nova).delete_snapshot, acting(nova).revert_snapshot):
        with pytest.raises(Refused, match="no such snapshot"):
            call("s", "base-image")
    assert not any(method == "DELETE" or path.endswith("/action") for method, path, *_ in nova.asked)


def test_a_rebuild_of_essex_is_answered_as_recorded(essex: Replay) -> None:
    essex.say_recorded(recorded("essex.txt"), "rebuild")
    image = "70a599e0-31e7-49b7-b260-868f441e862b"
    row = {"id": image, "status": "ACTIVE", "server": {"id": ONE}}
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000", said(200, {"images": [row]}))
    essex.say("GET", f"/v1.1/{TENANT}/images/detail?limit=1000&marker={image}", said(200, {"images": []}))
    task = acting(essex).revert_snapshot(ONE, image)
    assert essex.bodies[-1] == {"rebuild": {"imageRef": image}}
    assert json.loads(task.ref)["do"] == "revert_snapshot"


# --- consoles


def test_essex_gives_a_vnc_console_and_a_text(essex: Replay) -> None:
    blocks = recorded("essex.txt")
    essex.say_recorded(blocks, "console")
    essex.replies["POST", f"{ESSEX}/{ONE}/action", "", ""].append(blocks["vnc"][2])
    driver = acting(essex)
    assert driver.console_text(ONE, 10).splitlines()[-1] == "LAST LINE"
    found = driver.console_url(ONE)
    assert essex.bodies[-1] == {"os-getVNCConsole": {"type": "novnc"}}
    assert (found.kind, "vnc_auto.html?token=" in found.url) == ("novnc", True)


@pytest.mark.parametrize(
    ("newest", "remote"), [("2.104", True), ("2.6", True), ("2.5", False), ("", False), ("3.7", False)]
)
def test_a_console_is_asked_for_as_the_cloud_has_it(modern: Replay, newest: str, remote: bool) -> None:
    offers(modern, newest)
    held = {"url": "https://c.example/vnc", "type": "novnc"}
    modern.say("POST", f"{MODERN}/s/remote-consoles", said(200, {"remote_console": held | {"protocol": "vnc"}}))
    modern.say("POST", f"{MODERN}/s/action", said(200, {"console": held}))
    assert acting(modern).console_url("s") == Console("https://c.example/vnc", "novnc")
    assert modern.asked[-1][1].endswith("/remote-consoles" if remote else "/action")
    assert modern.headers[-1].get("OpenStack-API-Version") == ("compute 2.6" if remote else None)


def test_a_cloud_without_vnc_is_asked_for_spice_and_vncs_words_stand_when_it_has_neither(modern: Replay) -> None:
    offers(modern, "2.104")
    no_vnc = said(400, {"badRequest": {"code": 400, "message": "Unavailable console type novnc."}})
    spice = {"url": "https://c.example/spice", "type": "spice-html5", "protocol": "spice"}
    modern.say("POST", f"{MODERN}/s/remote-consoles", no_vnc, said(200, {"remote_console": spice}), no_vnc)
    driver = acting(modern)
    assert driver.console_url("s").kind == "spice-html5"
    with pytest.raises(Refused, match="Unavailable console type novnc"):
        driver.console_url("s")


def test_a_console_of_a_server_that_is_not_ready_is_refused_as_recorded(modern: Replay) -> None:
    blocks = recorded("modern.txt")
    offers(modern, "2.104")
    modern.say_recorded(blocks, "console")
    with pytest.raises(Refused, match="is not ready"):
        acting(modern).console_url(BUILDING)


@pytest.mark.parametrize("reply", [said(200, []), said(200, {}), said(200, b"<html>"), said(500, b"")])
def test_rubbish_is_a_fault_wherever_something_is_read(nova: Replay, reply: Reply) -> None:
    for url in ("/v2.1/flavors/detail?limit=1000", "/image/v2/images?limit=1000", "/network/v2.0/networks?limit=1000",
                "/v2.1/os-keypairs", "/v2.1/limits", f"{MODERN}/s/metadata", f"{MODERN}/s"):  # fmt: skip
        path = url.partition("?")[0]
        nova.replies["GET", path, "1000" if "?" in url else "", ""] = [reply]
    driver = acting(nova)
    task = Task(openstack_tasks.Ref("stop", "s").text())
    for call in (driver.sizes, driver.images, driver.networks, driver.key_pairs, driver.rates,
                 lambda: driver.metadata("s"), lambda: driver.task(task)):  # fmt: skip
        with pytest.raises(Fault):
            call()  # type: ignore[operator]
