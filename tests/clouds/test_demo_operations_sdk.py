"""openstacksdk drives the simulated clouds from a server's creation to its deletion."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from console.demo.cloud import Generation
from console.demo.openstack import Cloud, serve
from tests.clouds.demo_account import BOTH
from tests.clouds.demo_caller import Clock
from tests.clouds.test_demo_openstack import sdk, sdk_warns


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
