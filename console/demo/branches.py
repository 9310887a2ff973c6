"""The demo's clouds beside the modern OpenStack, running: restored or made, served, and kept on disk."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from console.demo import cloudstack, cloudstack_keep, keep, openstack, vcloud, vcloud_keep
from console.demo.places import PLACES, AnyCloud, Place

KEEP_EVERY = 1.0  # seconds between looks at what changed


class Unreadable(Exception):
    """A state on disk is no state of a cloud. The words name the file."""


class Site(Protocol):
    """A served cloud, of any platform."""

    url: str

    def start(self) -> None:
        """Serves until `stop`."""

    def stop(self) -> None:
        """Closes its ports."""


@dataclass(frozen=True)
class Platform:
    """How clouds of one platform are served on given ports, written down and read again."""

    name: str
    serve: Callable[..., Site]
    dump: Callable[[Any], dict[str, Any]]
    load: Callable[[dict[str, Any]], AnyCloud]


OPENSTACK = Platform("openstack", openstack.Site, keep.dump, keep.load)
CLOUDSTACK = Platform(
    "cloudstack",
    cloudstack.Site,
    cloudstack_keep.dump,
    lambda kept: cloudstack_keep.load(kept, secrets.token_hex(16)),
)
VCLOUD = Platform("vcloud", vcloud.Site, vcloud_keep.dump, lambda kept: vcloud_keep.load(kept, secrets.token_hex(16)))
PLATFORMS = {openstack.Cloud: OPENSTACK, cloudstack.Cloud: CLOUDSTACK, vcloud.Cloud: VCLOUD}


class Branch:
    """One of them. Its state, its ports and its secret stand in `folder`/SLUG.json."""

    def __init__(self, place: Place, folder: Path, settle: timedelta) -> None:
        """Restores or makes it; it is not served yet. Raises Unreadable."""
        self.slug = place.slug
        self._file = folder / f"{place.slug}.json"
        self._written: dict[str, Any] = {}
        self._ports: list[int] = []
        try:
            kept = keep.read_json(self._file)
            if kept:
                self.platform = next(one for one in PLATFORMS.values() if one.name == kept["platform"])
                self.cloud = self.platform.load(kept["cloud"])
                self._ports = list(kept["ports"])
        except (ValueError, KeyError, TypeError, StopIteration) as fault:
            raise Unreadable(f"{self._file} is not readable ({fault}).") from fault
        if not kept:
            # A random secret: on a shared machine others reach the same loopback port.
            self.cloud = place.make(secrets.token_urlsafe(24))
            self.platform = PLATFORMS[type(self.cloud)]
        self.cloud.settle = settle

    def start(self) -> None:
        """Serves it where it was served before, or on free ports when somebody else is there now."""
        try:
            self.site = self.platform.serve(self.cloud, *self._ports)
        except OSError:
            self.site = self.platform.serve(self.cloud)
        found = self.site.listening if isinstance(self.site, openstack.Site) else (urlsplit(self.site.url).port,)
        self._ports = [port for port in found if port]
        self.keep()
        self.site.start()

    def keep(self) -> None:
        """Writes what changed since the last time."""
        now = self.platform.dump(self.cloud)
        if now | {"random": ""} != self._written:
            whole = {"platform": self.platform.name, "ports": self._ports, "cloud": now}
            keep.write_private(self._file, json.dumps(whole))
            self._written = now | {"random": ""}  # where its ids go on is another one each time

    def described(self) -> dict[str, Any]:
        """Where it is and what opens it."""
        url = self.site.auth_url if isinstance(self.site, openstack.Site) else self.site.url
        return {"slug": self.slug, "platform": self.platform.name, "url": url, "credentials": self.cloud.credentials}

    def stop(self) -> None:
        """Ends serving; what was under way is done, and kept."""
        self.site.stop()
        then = self.cloud.clock() + self.cloud.settle
        with self.cloud.lock:
            self.cloud.clock = lambda: then
            self.cloud.advance()
        self.keep()


class Branches:
    """All of them, and the thread that keeps them."""

    def __init__(self, folder: Path, settle: timedelta) -> None:
        self.all = [Branch(place, folder, settle) for place in PLACES]
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="demo-keeper", daemon=True)

    def start(self) -> None:
        """Serves them until `stop`."""
        for one in self.all:
            one.start()
        self._keeper.start()

    def _keep(self) -> None:
        while not self._ending.wait(KEEP_EVERY):
            for one in self.all:
                one.keep()

    def stop(self) -> None:
        """Ends serving, and keeps what became of it."""
        self._ending.set()
        self._keeper.join(5)
        for one in self.all:
            one.stop()
