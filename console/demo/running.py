"""The demo's clouds as one running thing: restored or made, served, alive, and kept on disk at every change."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from console.demo import imaged, processes
from console.demo.branches import Branches, Unreadable
from console.demo.cloud import Cloud
from console.demo.hostpage import HostPage
from console.demo.instance import Instance
from console.demo.instances import Machines
from console.demo.keep import dump, load, read_json, write_private
from console.demo.openstack import APPLICATION_CREDENTIAL_ID, Site
from console.demo.population import people

SERVERS = 56
SETTLE = timedelta(seconds=3)


class CannotStart(Exception):
    """The words say why, and what to do."""


class Demo:
    """A lively account of some sixty servers below `home`/demo, the last few of which accept SSH.

    `start` restores what stood before, also after kill -9, and writes `site.json` (0600) once everything answers.
    `alone` is for a process of its own: then all processes below it are the instances', and end with it.
    `whole`: beside the account stands a small one at a cloud of every other kind.
    With `pack` (the provider's agent Helper) the cloud has an image with the agent in, and a page with a button that
    launches an instance of it; the page names the console at `console`.
    """

    def __init__(
        self,
        home: Path,
        port: int = 0,
        *,
        servers: int = SERVERS,
        machines: int = 4,
        alone: bool = False,
        whole: bool = False,
        pack: imaged.Pack | None = None,
        console: str = "",
    ) -> None:
        self.folder = home.resolve() / "demo"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = port
        self.servers = servers
        self.count = machines
        self.alone = alone
        self.whole = whole
        self.pack = pack
        self.console = console
        self.page: HostPage | None = None
        self.site_file = self.folder / "site.json"
        self._cloud_file = self.folder / "cloud.json"
        self._lock = self._take()

    def _take(self) -> int:
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise CannotStart(
                f"Another simulated cloud already runs on {self.folder}. Stop it, or give another --home."
            ) from None
        return handle

    def _restore(self) -> Cloud:
        try:
            kept = read_json(self._cloud_file)
            if kept:
                return load(kept)
        except (ValueError, KeyError, TypeError) as fault:
            raise CannotStart(
                f"{self._cloud_file} is not readable ({fault}). Delete it to begin with a new demo account."
            ) from fault
        # Random ones: on a shared machine others reach the same loopback port.
        cloud = Cloud(password=secrets.token_urlsafe(12))
        project = cloud.project
        credential = {APPLICATION_CREDENTIAL_ID: (secrets.token_urlsafe(24), project)}
        cloud.users[cloud.username].application_credentials = credential
        people(cloud, self.servers)
        return cloud

    def start(self) -> dict[str, Any]:
        """Serves, and returns what `site.json` says. Raises CannotStart."""
        self.site_file.unlink(missing_ok=True)
        self.cloud = self._restore()
        self.cloud.settle = SETTLE
        try:
            self.branches = Branches(self.folder, SETTLE) if self.whole else None
        except Unreadable as fault:
            raise CannotStart(f"{fault} Delete it to begin with a new cloud there.") from fault
        before = read_json(self.site_file.with_name("ports.json"))
        port, compute_port = self.port or before.get("port", 0), before.get("compute_port", 0)
        try:
            self.site = Site(self.cloud, port, compute_port)
        except OSError as fault:
            raise CannotStart(
                f"The simulated cloud cannot listen on 127.0.0.1, ports {port} and {compute_port}: {fault.strerror}. "
                "End what uses them, or give another --port."
            ) from fault
        ports = {"port": self.site.listening[0], "compute_port": self.site.listening[1]}
        if self.pack:
            self.page = self._page(before.get("page_port", 0))
            ports["page_port"] = self.page.port
        write_private(self.site_file.with_name("ports.json"), json.dumps(ports))
        self.machines = Machines(self.cloud, self.folder, self.count, adopt=self.alone, pack=self.pack)
        self.machines.start()
        self._keep()
        self.cloud.watchers.append(self._changed)
        self.site.start()
        if self.page:
            self.page.start()
        if self.branches:
            self.branches.start()
        self.pulse = self.cloud.live()
        found = self.described()
        write_private(self.site_file, json.dumps(found, indent=2))
        return found

    def _page(self, port: int) -> HostPage:
        """On the port of last time, or on a free one: nobody's credentials name it."""
        try:
            return HostPage(self.cloud, port, self.console)
        except OSError:
            return HostPage(self.cloud, 0, self.console)

    def described(self) -> dict[str, Any]:
        """Where everything is and what opens it."""
        user = self.cloud.users[self.cloud.username]
        ((credential, (secret, _)),) = user.application_credentials.items()
        return {
            "url": self.site.url,
            "compute_url": self.site.compute_url,
            "username": user.name,
            "password": user.password,
            "project": self.cloud.project,
            "application_credential_id": credential,
            "application_credential_secret": secret,
            "page": self.page.url if self.page else "",
            "ssh_user": self.machines.user,
            "ssh_password": self.machines.password,
            "ssh_key": str(self.machines.key_path),
            "ssh_port": self.machines.port,
            "ssh_instances": {one.name: one.address for one in self.machines.machines},
            "branches": [one.described() for one in self.branches.all] if self.branches else [],
        }

    def _changed(self, what: str, instance: Instance) -> None:
        self._keep()

    def _keep(self) -> None:
        with self.cloud.lock:
            write_private(self._cloud_file, json.dumps(dump(self.cloud)))

    def stop(self) -> None:
        """Ends serving, SSH, and every process below this one, within 5 s. `site.json` goes first."""
        self.site_file.unlink(missing_ok=True)
        self.pulse.stop()
        if self.page:
            self.page.stop()
        self.machines.stop()
        self.site.stop()
        if self.branches:
            self.branches.stop()
        if self.alone:
            # What cleared its environment is in no machine's list, but below us: orphans were adopted.
            processes.end(_below_us, grace=0.3, limit=1)
        self.release()

    def release(self) -> None:
        """Gives the folder back; `stop` does it too."""
        os.close(self._lock)


def _below_us() -> list[int]:
    return [pid for pid in processes.below(os.getpid()) if processes.lives(pid)]
