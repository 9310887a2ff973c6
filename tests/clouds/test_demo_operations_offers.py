"""Snapshots, key pairs and networks of a simulated Essex and a modern cloud, called by hand."""

from __future__ import annotations

import json
from typing import Any

import requests

from console.demo.cloud import Generation
from tests.clouds.captured import differences, exchanges
from tests.clouds.demo_account import BOTH, account, message, only


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
