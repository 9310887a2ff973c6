"""The metadata services that simulated clouds show to their instances: each sees its own, by the address it asks from.

OpenStack: /openstack/latest/meta_data.json as Nova makes it, at most 15 seconds old (nova.conf,
`metadata_cache_expiration`), user_data beside it, and EC2's names. CloudStack: the virtual router's /latest/… .
vCloud has none: its guests ask VMware's tools, which vmtoolsd.py stands in for.

One service may stand for all instances on loopback (127.0.0.11, 127.0.0.12 …), or in a network namespace of each at
169.254.169.254.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import unquote, urlsplit

from console.demo import cloud as openstack_cloud
from console.demo import cloudstack_cloud, vcloud_cloud

Cloud = openstack_cloud.Cloud | cloudstack_cloud.Cloud | vcloud_cloud.Cloud
_OVF_ENVIRONMENT: Final = (
    b'<Environment xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"><PropertySection>'
    b'<Property oe:key="vCloud_computerName" oe:value="demo"/></PropertySection></Environment>'
)
NOVA_CACHE: Final = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Resident:
    """An instance behind an address. `id` is the cloud's own, without vCloud's "vm-"."""

    cloud: Cloud
    id: str


class Residents:
    """Who lives at which address. Safe to change while it is served."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at: dict[str, Resident] = {}
        self._cached: dict[Resident, tuple[float, dict[str, bytes]]] = {}

    def put(self, address: str, cloud: Cloud, id: str) -> Resident:
        """From now on requests from `address` are this instance's."""
        resident = Resident(cloud, id)
        with self._lock:
            self._at[address] = resident
        return resident

    def drop(self, address: str) -> None:
        with self._lock:
            self._at.pop(address, None)

    def at(self, address: str) -> Resident | None:
        with self._lock:
            return self._at.get(address)

    def answer(self, address: str, path: str) -> bytes | None:
        """What the service of the instance at `address` has at `path`; None for a 404."""
        resident = self.at(address)
        if resident is None:
            return None
        if isinstance(resident.cloud, openstack_cloud.Cloud):
            return self._nova(resident).get(path)
        if isinstance(resident.cloud, cloudstack_cloud.Cloud):
            return _router(resident.cloud, resident.id).get(path)
        return _property(resident.cloud, resident.id, path)

    def _nova(self, resident: Resident) -> dict[str, bytes]:
        now = self._clock()
        with self._lock:
            made, pages = self._cached.get(resident, (0.0, {}))
            if not pages or now - made >= NOVA_CACHE:
                pages = _nova(resident.cloud, resident.id)  # type: ignore[arg-type]
                self._cached[resident] = (now, pages)
            return pages


def _nova(cloud: openstack_cloud.Cloud, id: str) -> dict[str, bytes]:
    with cloud.lock:
        one = cloud.instances.get(id)
        if one is None:
            return {}
        data = {
            "uuid": one.id,
            "hostname": f"{one.name}.novalocal",
            "name": one.name,
            "launch_index": 0,
            "availability_zone": "nova",
            "project_id": one.project_id,
            "random_seed": "",
            "devices": [],
            "dedicated_cpus": [],
        }
        if one.metadata:
            data["meta"] = dict(one.metadata)
        user_data = base64.b64decode(one.user_data) if one.user_data else b""
        pages = {
            "/openstack/latest/meta_data.json": json.dumps(data).encode(),
            "/latest/meta-data/instance-id": f"i-{one.number:08x}".encode(),
            "/latest/meta-data/hostname": f"{one.name}.novalocal".encode(),
        }
        if user_data:
            pages["/openstack/latest/user_data"] = pages["/latest/user-data"] = user_data
        return pages


def _router(cloud: cloudstack_cloud.Cloud, id: str) -> dict[str, bytes]:
    with cloud.lock:
        one = cloud.machines.get(id)
        if one is None:
            return {}
        told = {"instance-id": one.id, "local-hostname": one.name, "service-offering": one.offering,
                "availability-zone": one.zone, "vm-id": one.id}  # fmt: skip
        pages = {f"/latest/meta-data/{name}": value.encode() for name, value in told.items()}
        pages |= {f"/latest/{name}": value.encode() for name, value in told.items()}
        pages["/latest/user-data"] = base64.b64decode(one.userdata) if one.userdata else b""
        return pages


def _property(cloud: vcloud_cloud.Cloud, id: str, path: str) -> bytes | None:
    with cloud.lock:
        one = cloud.vms.get(id)
        key = path.removeprefix("/guest-properties/")
        if one is None or key == path:
            return None
        if key == "guestinfo.ovfEnv":
            return _OVF_ENVIRONMENT
        found = one.extra.get(key)
        return found.encode() if found is not None else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "muster-demo"
    sys_version = ""
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        found = self.server.residents.answer(self.client_address[0], unquote(urlsplit(self.path).path))
        self.send_response(404 if found is None else 200)
        body = found or b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Nobody reads a log of it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, place: tuple[str, int], residents: Residents) -> None:
        self.residents = residents
        super().__init__(place, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """An instance that hangs up is its own affair."""


@contextmanager
def serve(residents: Residents, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves `residents` at http://host:port while the block runs, and yields host:port. In a namespace of its own it
    stands at ("169.254.169.254", 80)."""
    server = _Server((host, port), residents)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-metadata", daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
