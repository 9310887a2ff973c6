"""The simulated host's own page, as a customer would find it at a real one: the servers that were launched from its
image, and a button that launches another. Muster hears of them from the cloud alone.
"""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from typing import Final
from urllib.parse import parse_qs, urlsplit

from django.template.loader import render_to_string

from console.demo import imaged
from console.demo.cloud import Cloud, Conflict, Missing
from console.demo.instance import Instance
from console.demo.mishaps import Mishaps
from console.demo.wire import Listener, Reply, Request, as_html

NAMES: Final = ("plum", "pear", "quince", "medlar", "damson", "rowan", "sloe", "hazel", "walnut", "almond", "cherry")
SIZE: Final = "m1.tiny"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
}
BUSY: Final = 2
"""Seconds after which the page looks again while a server is being built or deleted."""


class HostPage:
    """Serves it on a loopback port of its own: `url`. `console` is the address of Muster."""

    def __init__(self, cloud: Cloud, port: int, console: str) -> None:
        self._cloud = cloud
        self._console = console
        self._secret = secrets.token_urlsafe(24)
        self._listener = Listener(port, self._answer, Mishaps(), deque(maxlen=1))
        self.url = f"{self._listener.url}/"
        self.port: int = self._listener.server_address[1]

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    def _answer(self, request: Request) -> Reply:
        if urlsplit(request.base).hostname not in ("127.0.0.1", "localhost"):
            return as_html(421, "<h1>421 Misdirected Request</h1>", HEADERS)  # a page elsewhere that took our address
        match request.method, request.path:
            case (("GET" | "HEAD"), "/"):
                return as_html(200, self._page(), HEADERS)
            case "POST", ("/launch" | "/delete"):
                return self._act(request)
            case _:
                return as_html(404, "<h1>404 Not Found</h1>", HEADERS)

    def _act(self, request: Request) -> Reply:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(form.get("secret", "").encode(), self._secret.encode()):
            return as_html(403, "<h1>403 Forbidden</h1><p>Open the page again.</p>", HEADERS)
        if request.path == "/launch":
            self._launch()
        else:
            self._delete(form.get("id", ""))
        return Reply(303, b"", {**HEADERS, "Location": "/"})

    def _launched(self) -> list[Instance]:
        """The newest first."""
        image = imaged.offered(self._cloud).id
        with self._cloud.lock:
            self._cloud.advance()
            found = [one for one in self._cloud.instances.values() if one.image == image]
        return sorted(found, key=lambda one: one.created, reverse=True)

    def _launch(self) -> None:
        """As Nova does it on POST /servers."""
        with self._cloud.lock:
            taken = {one.name for one in self._cloud.instances.values()}
            free = [name for name in (f"{word}-{number}" for number in range(1, 100) for word in NAMES)
                    if name not in taken]  # fmt: skip
            size = next((one.id for one in self._cloud.flavors.values() if one.name == SIZE), None)
            made = self._cloud.add(free[0], status="BUILD", flavor=size, image=imaged.offered(self._cloud).id)
            self._cloud.begin(made, "ACTIVE", "scheduling")

    def _delete(self, id: str) -> None:
        try:
            if any(one.id == id for one in self._launched()):
                self._cloud.delete(id)
        except (Missing, Conflict):
            return  # it is gone, or its own affairs keep it: the page shows which

    def _page(self) -> str:
        found = self._launched()
        words = {"BUILD": "building", "ACTIVE": "running", "ERROR": "failed", "SHUTOFF": "stopped"}
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "state": "deleting" if one.task_state == "deleting" else words.get(one.status, one.status.lower()),
                "address": ", ".join(nic.addr for nics in one.addresses.values() for nic in nics),
                "created": one.created,
                "fault": one.fault,
                "busy": one.ends is not None,
            }
            for one in found
        ]
        told = {
            "rows": rows,
            "image": imaged.NAME,
            "size": SIZE,
            "full": sum(one.status != "ERROR" for one in found) >= imaged.MOST,
            "most": imaged.MOST,
            "secret": self._secret,
            "console": self._console,
            "again": BUSY if any(row["busy"] for row in rows) else 0,
        }
        return render_to_string("demo/host.html", told)
