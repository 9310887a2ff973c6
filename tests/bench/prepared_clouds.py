"""CloudStack and vCloud cells that answer from prepared bytes: the cost of a listing is then ours, not the simulator's.

Run as a process of its own (`python -m tests.bench.prepared_clouds GENERATION COUNT [MILLISECONDS]`); prints its port.
Each page is made once by the simulated cloud, which recorded replies and schemas hold to the truth, and sent from then
on, MILLISECONDS after it was asked for. `POST /change/N/STEP` stops N servers, each STEP-th; the others run.
`GET /told` lists the paths of vApps and VMs that were read since.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from console.demo import cloudstack, vcloud
from console.demo.cloudstack_api import Api
from console.demo.vcloud_app import Cell
from console.demo.wire import App, Reply, Request

SIGNATURE: Final = frozenset({"apikey", "signature", "expires", "signatureversion"})


class Unsigned(Api):
    """The baseline reads the same pages without the work of signing."""

    def _sign_in(self, params: list[tuple[str, str]]) -> None:
        """Anybody may."""


def made(generation: str, count: int) -> tuple[App, Callable[[int, int], None]]:
    """The cloud of that generation ("cloudstack" or a version of vCloud), and what stops so many of its servers."""
    if generation == "cloudstack":
        stack = cloudstack.Cloud.sized(count, version="4.20.0.0")

        def stop(changed: int, step: int) -> None:
            for number, machine in enumerate(stack.machines.values()):
                machine.state = "Stopped" if number % step == 0 and number < changed * step else "Running"
                machine.rendered = {}

        return Unsigned(stack), stop
    cell = vcloud.Cloud.sized(count, generation=generation, per_vapp=2 if generation == "1.0" else 5)

    def power_off(changed: int, step: int) -> None:
        for number, machine in enumerate(list(cell.vms)):
            off = number % step == 0 and number < changed * step
            cell.set_status(machine, "POWERED_OFF" if off else "POWERED_ON", deployed=not off)

    return Cell(cell), power_off


class Prepared(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Site

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:  # noqa: N802
        self._answer(b"")

    def do_POST(self) -> None:  # noqa: N802
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    do_DELETE = do_GET  # noqa: N815

    def _answer(self, body: bytes) -> None:
        if self.path.startswith("/change/"):
            self.server.change(*map(int, self.path.removeprefix("/change/").split("/")))
            self._send(Reply(204))
            return
        if self.path == "/told":
            self._send(Reply(200, "\n".join(self.server.told).encode()))
            return
        parts = urlsplit(self.path)
        query = tuple(pair for pair in parse_qsl(parts.query, keep_blank_values=True))
        key = (parts.path, tuple(sorted(pair for pair in query if pair[0].lower() not in SIGNATURE)))
        if "/vApp/" in parts.path:
            self.server.told.append(parts.path)
        reply = self.server.ready.get(key) if self.command == "GET" else None
        if reply is None:
            base = f"http://{self.headers['Host']}"
            # The simulator looks names of headers up as they are written in its own code.
            request = Request(self.command, unquote(parts.path), query, self.headers, body, base)  # type: ignore[arg-type]
            reply = self.server.app(request)
            if self.command == "GET" and reply.status == 200:
                self.server.ready[key] = reply
        time.sleep(self.server.delay)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)


class Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, generation: str, count: int, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), Prepared)
        self.delay = delay
        self.app, self._change = made(generation, count)
        self._kept: dict[tuple[int, int], dict[object, Reply]] = {}
        self.change(0)

    def change(self, count: int, step: int = 1) -> None:
        """So many servers are stopped from now on; pages of a state that was there before are ready still."""
        self._change(count, step)
        self.ready = self._kept.setdefault((count, step), {})
        self.told: list[str] = []


if __name__ == "__main__":
    site = Site(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0)
    sys.stdout.write(f"{site.server_address[1]}\n")
    sys.stdout.flush()
    site.serve_forever()
