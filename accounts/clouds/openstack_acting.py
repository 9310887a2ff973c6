"""OpenStack, the acting half: what is done to servers.

Microversions are asked for one by one, never "latest": each newer one takes something away (../shared/CLOUDS.md §2.6).
Without one (2.1) every call here has its oldest shape, which Nova still serves: networks may be left out of a create,
and images are proxied. Newer ones are asked for where the old shape is gone or says less, and only as far as the
cloud offers them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import requests

from accounts.clouds import openstack_signin as signin
from accounts.clouds import openstack_tasks as tasks
from accounts.clouds.openstack_snapshots import Snapshots, request_id
from accounts.clouds.openstack_tasks import Ref
from accounts.clouds.operations import Console, Operation, Order, Phase, Progress, Size, Task, require
from console.lib.faults import Refused, Unexpected

_REMOTE_CONSOLES: Final = 6  # 2.6 has remote-consoles, and os-getVNCConsole no more
_CONSOLES: Final = (("vnc", "novnc", "os-getVNCConsole"), ("spice", "spice-html5", "os-getSPICEConsole"))


class OpenStack(Snapshots):
    """One project at one OpenStack cloud. The promise of each method is in `accounts.clouds.acting.ActingDriver`."""

    # An order's metadata stands before Nova answers it; elsewhere it is set once the server stands.
    metadata_at_once: Final = True

    def create(self, order: Order) -> Task:
        """`order.zone` is a region of the account, or else an availability zone."""
        require(self.capabilities(), Operation.CREATE)
        if order.user_data:
            require(self.capabilities(), Operation.ORDER_USER_DATA)
        if not order.size and (order.cpus or order.memory_mb):
            require(self.capabilities(), Operation.FREE_SIZE)
        if not order.image or not order.size:
            raise Refused("OpenStack needs an image and a size. Choose both.")
        computes = self._signed_in()
        compute = next((known for known in computes if known.region == order.zone), computes[0])
        wanted = self._wanted(order, compute)
        if order.zone and order.zone != compute.region:
            wanted["availability_zone"] = order.zone
        response = self._request("POST", f"{compute.url}/servers", json={"server": wanted})
        made = self._read(response).get("server")
        if not isinstance(made, dict) or "id" not in made:
            raise Unexpected("The compute API created a server without saying which.")
        ref = Ref("create", str(made["id"]), compute.region, request_id(response))
        return Task(ref.text(), ref.id, str(made.get("adminPass") or ""))

    def start(self, external_id: str) -> Task:
        require(self.capabilities(), Operation.START)
        try:
            return self._act(Operation.START, external_id, {"os-start": None})
        except Refused:
            # A shelved one shows as stopped here, and Nova takes it back by its own word only.
            _, response = self._where(external_id, "GET")
            if response.status_code != 200 or not self._status(response).startswith("SHELVED"):
                raise
            return self._act(Operation.START, external_id, {"unshelve": None})

    def stop(self, external_id: str) -> Task:
        return self._act(Operation.STOP, external_id, {"os-stop": None})

    def reboot(self, external_id: str) -> Task:
        return self._act(Operation.REBOOT, external_id, {"reboot": {"type": "SOFT"}})

    def reset(self, external_id: str) -> Task:
        return self._act(Operation.RESET, external_id, {"reboot": {"type": "HARD"}})

    def suspend(self, external_id: str) -> Task:
        return self._act(Operation.SUSPEND, external_id, {"suspend": None})

    def resume(self, external_id: str) -> Task:
        require(self.capabilities(), Operation.RESUME)
        # Both show as suspended here, and Nova takes each back by its own word only.
        _, response = self._where(external_id, "GET")
        paused = self._status(response) == "PAUSED"
        return self._act(Operation.RESUME, external_id, {"unpause" if paused else "resume": None})

    def resize(self, external_id: str, size: Size) -> Task:
        if not size.id:
            require(self.capabilities(), Operation.FREE_SIZE)
        v10 = self._generation() == "diablo-1.0"
        wanted = {"flavorId": _integer(size.id)} if v10 else {"flavorRef": size.id}
        return self._act(Operation.RESIZE, external_id, {"resize": wanted}, size=size.id)

    def confirm_resize(self, external_id: str) -> Task:
        return self._act(Operation.CONFIRM_RESIZE, external_id, {"confirmResize": None})

    def revert_resize(self, external_id: str) -> Task:
        return self._act(Operation.REVERT_RESIZE, external_id, {"revertResize": None})

    def rename(self, external_id: str, name: str) -> Task:
        require(self.capabilities(), Operation.RENAME)
        compute, response = self._where(external_id, "PUT", json={"server": {"name": name}})
        self._accepted(response)  # v1.0 answers 204 without a body
        return _done(external_id, compute)

    def delete(self, external_id: str) -> Task:
        require(self.capabilities(), Operation.DELETE)
        compute, response = self._where(external_id, "DELETE")
        if response.status_code == 404:
            return _done(external_id, compute)
        self._accepted(response)
        ref = Ref("delete", external_id, compute.region, request_id(response))
        return Task(ref.text(), external_id)

    def recent_task(self, operation: Operation, external_id: str, since: datetime) -> Task | None:
        """Where Nova keeps a record of each action (since Grizzly), of those whose end the server itself shows."""
        if operation not in tasks.RECORDED:
            return None
        compute, response = self._where(external_id, "GET", "/os-instance-actions")
        if response.status_code != 200:
            return None
        request = tasks.newest(self._read(response), operation, since)
        return Task(Ref(operation.value, external_id, compute.region, request).text(), external_id) if request else None

    def task(self, task: Task) -> Progress:
        ref = Ref.read(task.ref)
        if ref.do == "done":
            return Progress(Phase.DONE, server_id=ref.id)
        computes = self._signed_in()
        compute = next((known for known in computes if known.region == ref.region), computes[0])
        if ref.image:
            return tasks.of_image(ref, self._image_row(compute, ref.image))
        url = self._server_url(compute, ref.id)
        response = self._get(url)
        if response.status_code == 404:
            return tasks.gone(ref)
        row = self._read(response).get("server")
        if not isinstance(row, dict):
            raise Unexpected("The compute API answered a server without saying which.")
        progress = tasks.of_server(ref, row)
        idle = row.get("OS-EXT-STS:task_state") is None and row.get("status") != "ERROR"
        if ref.request and idle and ref.do != "create":
            # A reboot that failed leaves the server as it was; only the action's own record tells.
            record = self._get(f"{url}/os-instance-actions/{quote(ref.request, safe='')}")
            if record.status_code == 200:
                progress = tasks.failed_inside(ref, self._read(record)) or progress
        return progress

    # --- consoles and what a server carries

    def console_text(self, external_id: str, lines: int = 200) -> str:
        require(self.capabilities(), Operation.CONSOLE_TEXT)
        _, response = self._where(external_id, "POST", "/action", json={"os-getConsoleOutput": {"length": lines}})
        if response.status_code == 404:
            raise Refused("The cloud shows no console of this server: it does not exist there, or has none.")
        return str(self._read(response).get("output") or "")

    def console_url(self, external_id: str) -> Console:
        require(self.capabilities(), Operation.CONSOLE_URL)
        refusal: Refused | None = None
        for protocol, kind, action in _CONSOLES:
            try:
                found = self._console(external_id, protocol, kind, action)
            except Refused as error:
                refusal = refusal or error  # VNC is the usual one: its words are the likelier reason
                continue
            if not isinstance(found, dict) or not found.get("url"):
                raise Unexpected("The compute API answered a console without its address.")
            return Console(str(found["url"]), str(found.get("type") or kind))
        raise refusal or Refused("The cloud has no console that a browser can show.")

    def metadata(self, external_id: str) -> Mapping[str, str]:
        require(self.capabilities(), Operation.METADATA)
        if self._generation() == "diablo-1.0":
            _, response = self._where(external_id, "GET")  # v1.0 has no call for it, but shows it with the server
            found = self._read(response).get("server")
            held = found.get("metadata") if isinstance(found, dict) else None
        else:
            _, response = self._where(external_id, "GET", "/metadata")
            held = self._read(response).get("metadata")
        if not isinstance(held, dict):
            raise Unexpected("The compute API answered metadata in a shape that its protocol does not have.")
        return {str(key): str(value) for key, value in held.items()}

    def set_metadata(self, external_id: str, values: Mapping[str, str | None]) -> None:
        require(self.capabilities(), Operation.SET_METADATA)
        if kept := {key: value for key, value in values.items() if value is not None}:
            _, response = self._where(external_id, "POST", "/metadata", json={"metadata": kept})
            self._read(response)
        if any(value is None for value in values.values()):
            held = self.metadata(external_id)
            for key in (key for key, value in values.items() if value is None and key in held):
                _, response = self._where(external_id, "DELETE", f"/metadata/{quote(key, safe='')}")
                if response.status_code != 404:  # somebody was quicker
                    self._accepted(response)

    def user_data(self, external_id: str) -> bytes:
        require(self.capabilities(), Operation.USER_DATA)
        raise Unexpected("The capability table promises what no release of OpenStack has.")

    def set_user_data(self, external_id: str, data: bytes) -> None:
        require(self.capabilities(), Operation.SET_USER_DATA)
        raise Unexpected("The capability table promises what no release of OpenStack has.")

    def set_guest_property(self, external_id: str, key: str, value: str | None) -> None:
        require(self.capabilities(), Operation.SET_GUEST_PROPERTY)
        raise Unexpected("The capability table promises what no release of OpenStack has.")

    # --- parts

    def _status(self, response: requests.Response) -> str:
        row = self._read(response).get("server")
        return str(row.get("status") or "") if isinstance(row, dict) else ""

    def _wanted(self, order: Order, compute: signin.Compute) -> dict[str, Any]:
        v10 = compute.version == "v1.0"
        old = v10 or self._generation() == "diablo"
        if order.networks and old:
            raise Refused("OpenStack Diablo picks the network itself. Leave the networks out.")
        if v10 and order.key_name:
            raise Refused("Nova v1.0 of OpenStack Diablo takes no key pairs. Leave it out.")
        wanted: dict[str, Any] = {"name": order.name}
        if v10:
            wanted |= {"imageId": _integer(order.image), "flavorId": _integer(order.size)}
        else:
            wanted |= {"imageRef": order.image, "flavorRef": order.size}
        if order.metadata:
            wanted["metadata"] = dict(order.metadata)
        if order.key_name:
            wanted["key_name"] = order.key_name
        if order.user_data:
            wanted["user_data"] = base64.b64encode(order.user_data).decode()
        if order.networks:
            wanted["networks"] = [{"uuid": network} for network in order.networks]
        return wanted

    def _console(self, external_id: str, protocol: str, kind: str, action: str) -> object:
        for compute in self._signed_in():
            url = self._server_url(compute, external_id)
            minor = self._minor(compute, _REMOTE_CONSOLES)
            if minor < _REMOTE_CONSOLES:
                key = "console"
                response = self._request("POST", f"{url}/action", json={action: {"type": kind}})
            else:
                key = "remote_console"
                body = {key: {"protocol": protocol, "type": kind}}
                response = self._request("POST", f"{url}/remote-consoles", minor, json=body)
            if response.status_code != 404:
                break
        return self._read(response).get(key)


def _done(external_id: str, compute: signin.Compute) -> Task:
    return Task(Ref("done", external_id, compute.region).text(), external_id)


def _integer(text: str) -> int | str:
    # Nova v1.0 numbers its images and sizes, and reads numbers only.
    return int(text) if text.isascii() and text.isdigit() else text
