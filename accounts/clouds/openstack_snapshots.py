"""OpenStack's snapshots of a server: images that were made of it, and rebuilds from them."""

from __future__ import annotations

from typing import Any, Final

import orjson
import requests

from accounts.clouds import openstack_rows as rows
from accounts.clouds import openstack_signin as signin
from accounts.clouds.openstack_offers import GLANCE, Offers
from accounts.clouds.openstack_tasks import Ref
from accounts.clouds.operations import Operation, Snapshot, Task, require
from console.lib.faults import Refused, Unexpected

_IMAGE_IN_BODY: Final = 45  # 2.45 names the image in the body; before it a Location does


class Snapshots(Offers):
    """The promise of each method is in `accounts.clouds.acting.ActingDriver`."""

    def snapshot(self, external_id: str, name: str) -> Task:
        require(self.capabilities(), Operation.SNAPSHOT)
        body = {"createImage": {"name": name}}
        compute, response = self._where(external_id, "POST", "/action", _IMAGE_IN_BODY, json=body)
        image = _image_made(self._accepted(response))
        return Task(Ref("snapshot", external_id, compute.region, image=image).text(), external_id)

    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]:
        require(self.capabilities(), Operation.SNAPSHOTS)
        return tuple(found for _, found in self._made_of(external_id))

    def revert_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        """Rebuilds the server from the image: same addresses, a new first password where the cloud tells one."""
        require(self.capabilities(), Operation.REVERT_SNAPSHOT)
        self._own(external_id, snapshot_id)
        body = {"rebuild": {"imageRef": snapshot_id}}
        compute, response = self._where(external_id, "POST", "/action", json=body)
        rebuilt = _json(self._accepted(response)).get("server")
        password = str(rebuilt.get("adminPass") or "") if isinstance(rebuilt, dict) else ""
        ref = Ref("revert_snapshot", external_id, compute.region, request_id(response))
        return Task(ref.text(), external_id, password)

    def delete_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        require(self.capabilities(), Operation.DELETE_SNAPSHOT)
        compute = self._own(external_id, snapshot_id)
        response = self._image("DELETE", compute, snapshot_id)
        if response.status_code != 404:
            self._accepted(response, GLANCE)
        return Task(Ref("done", external_id, compute.region).text(), external_id)

    # --- parts

    def _act(self, operation: Operation, external_id: str, body: dict[str, Any], size: str = "") -> Task:
        require(self.capabilities(), operation)
        compute, response = self._where(external_id, "POST", "/action", json=body)
        if self._accepted(response).status_code == 200:  # Nova's word is 202, or 204: this is some proxy's page
            raise Unexpected("The compute API answered an action with a page.")
        ref = Ref(operation.value, external_id, compute.region, request_id(response), size=size)
        return Task(ref.text(), external_id)

    def _made_of(self, external_id: str) -> list[tuple[signin.Compute, Snapshot]]:
        found = []
        for compute in self._signed_in():
            query = {"instance_uuid": external_id} if self._glance(compute) else {}
            for row in self._image_rows(compute, **query):
                if _server_of(row) != external_id or str(row.get("status")).lower() in ("deleted", "killed"):
                    continue
                made = rows.moment(row.get("created_at", row.get("created")))
                found.append((compute, Snapshot(str(row["id"]), str(row.get("name") or ""), made)))
        return found

    def _own(self, external_id: str, snapshot_id: str) -> signin.Compute:
        """The region of this snapshot. Refused unless it is one of this server: image ids open more than that."""
        for compute, found in self._made_of(external_id):
            if found.id == snapshot_id:
                return compute
        raise Refused("This server has no such snapshot. It may have been deleted meanwhile.")

    def _image_row(self, compute: signin.Compute, image_id: str) -> dict[str, Any] | None:
        response = self._image("GET", compute, image_id)
        if response.status_code == 404:
            return None
        body = self._read(response, GLANCE)
        row = body.get("image", body)  # Nova's proxy wraps it, Glance v2 does not
        if not isinstance(row, dict):
            raise Unexpected("The image service answered an image in a shape that its protocol does not have.")
        return row


def request_id(response: requests.Response) -> str:
    """Nova's name for the call, by which its record of the action is found; "" before it told one."""
    headers = response.headers
    return str(headers.get("X-Openstack-Request-Id") or headers.get("X-Compute-Request-Id") or "")


def _image_made(response: requests.Response) -> str:
    named = _json(response).get("image_id")
    image = str(named) if named else response.headers.get("Location", "").rstrip("/").rpartition("/")[2]
    if not image:
        raise Unexpected("The compute API began a snapshot without saying which image it will be.")
    return image


def _json(response: requests.Response) -> dict[str, Any]:
    # Old releases answer actions with nothing, as text/html.
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _server_of(row: dict[str, Any]) -> str:
    """The server that an image was made of: Nova's proxy names it as `server`, Glance as a property."""
    server = row.get("server")
    if isinstance(server, dict):
        return str(server.get("id", ""))
    metadata = row.get("metadata")
    for held in (row, metadata if isinstance(metadata, dict) else {}):
        if named := held.get("instance_uuid") or held.get("instance_ref"):
            return str(named).rstrip("/").rpartition("/")[2]
    return ""
