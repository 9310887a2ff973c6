"""The instances of a simulated cloud that are more than words: they answer SSH and run real commands.

Each has a loopback address of its own (127.0.0.11 and on), a host key, and a folder: its home, its /tmp, and its
MUSTER_AGENT_PREFIX. Commands run as whoever runs this; what they are told to write goes below that folder.
Some are there from the start; whoever launches an instance of the provider's image (imaged.py) adds one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from console.demo import imaged, processes
from console.demo.cloud import Cloud
from console.demo.instance import Instance, Nic
from console.demo.keep import read_json, write_private
from console.demo.keys import HostKey
from console.demo.population import boot_text
from console.demo.processes import MARK, Nursery
from console.demo.sshd import Account, Place, Sshd
from console.lib.children import adopt_orphans

USER = "demo"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIRST_HOST = 11
AGENT = ("opt", "muster-agent", "current", "muster-agent.pyz")
BOOT_PATIENCE = 30.0
ON = frozenset({"ACTIVE", "REBOOT", "HARD_REBOOT", "PASSWORD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})


@dataclass(eq=False)
class Machine:
    """One instance behind its SSH port."""

    name: str
    id: str
    address: str
    folder: Path
    host_key: HostKey
    says_keys: bool
    """Whether its console shows the host key's fingerprint."""
    nursery: Nursery
    disk: imaged.Disk | None = None
    """Of an instance of the provider's image."""
    sshd: Sshd | None = None
    restart: bool = False
    anew: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def prefix(self) -> Path:
        """The MUSTER_AGENT_PREFIX of its commands."""
        return self.folder / "root"

    def environment(self) -> dict[str, str]:
        """The whole environment of its commands: nothing of ours."""
        tools = self.folder / "bin"
        return {
            "PATH": f"{tools}:{PATH}" if tools.is_dir() else PATH,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "USER": USER,
            "LOGNAME": USER,
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            MARK: str(self.prefix),
        }

    def power_on(self, account: Account, port: int) -> None:
        """Answers SSH from now on, and starts the agent if one is installed. OSError when the port is taken."""
        for part in ("home", "tmp", "root"):
            (self.folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.which("python3", path=PATH) is None:
            (self.folder / "bin").mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (self.folder / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
        processes.end(lambda: processes.of_prefix(self.prefix))  # what a killed predecessor left running
        place = Place(self.folder / "home", self.environment(), self.nursery)
        self.sshd = Sshd(self.address, port, self.host_key.private, account, place)
        if self.disk is not None:
            self.disk.plug()
        if self.disk is not None or self.prefix.joinpath(*AGENT).exists():
            threading.Thread(target=self._boot, name=f"demo-boot-{self.name}", daemon=True).start()

    def _boot(self) -> None:
        words = self.disk.first_boot() if self.disk is not None else []
        if not words and not self.prefix.joinpath(*AGENT).exists():
            return  # somebody took the agent off
        child = self.nursery.spawn(
            ["python3", *(words or [str(self.prefix.joinpath(*AGENT)), "boot"])],
            env=self.environment(),
            cwd=self.folder / "home",
            stdio=subprocess.DEVNULL,
        )
        try:
            self.nursery.wait(child, BOOT_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            self.nursery.wait(child)

    def power_off(self) -> list[int]:
        """Ends SSH and every process of it, within 4 s. Returns what would not die."""
        if self.sshd is not None:
            self.sshd.stop()
            self.sshd = None
        if self.disk is not None:
            self.disk.unplug()
        return processes.end(lambda: processes.of_prefix(self.prefix))

    def console(self) -> str:
        """What its console shows since boot."""
        text = boot_text(self.name, "debian-12")
        if not self.says_keys:
            return text
        head, _, login = text.rpartition("\n\n")
        return f"{head}\n{self.host_key.printed(self.name)}\n{login}"


class Machines:
    """The SSH-accepting instances of `cloud`. Keys, ids and the port stand in `home`: a second start finds the same.

    `adopt` is for a process that runs nothing else: orphans become its children, and it buries them.
    With `pack` the cloud offers the provider's image, and each instance of it becomes a machine here.
    """

    def __init__(
        self, cloud: Cloud, home: Path, count: int = 4, *, adopt: bool = False, pack: imaged.Pack | None = None
    ) -> None:
        self.cloud = cloud
        self.home = home.resolve()
        self.adopt = adopt
        self._pack = pack
        self._image = imaged.offered(cloud).id if pack else ""
        self.nursery = Nursery()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.key_path = self.home / "id_demo"
        self.client_key = HostKey.kept(self.key_path, "demo@muster")
        known = read_json(self.home / "instances.json")
        ids: dict[str, str] = known.get("ids", {})
        password = known.get("password") or secrets.token_urlsafe(12)
        self.account = Account(USER, password, self.client_key.blob)
        self.machines = [self._machine(number, count, ids) for number in range(1, count + 1)]
        self._last = FIRST_HOST + count - 1
        spare = [self._address(number) for number in range(1, imaged.MOST + 1)] if pack else []
        self.port = free_port([*(one.address for one in self.machines), *spare], known.get("port", 0))
        self._by_id = {machine.id: machine for machine in self.machines}
        found = {"port": self.port, "password": password, "ids": {one.name: one.id for one in self.machines}}
        write_private(self.home / "instances.json", json.dumps(found))
        self._jobs = ThreadPoolExecutor(max_workers=max(1, count), thread_name_prefix="demo-power")
        self._stopping = threading.Event()

    @property
    def user(self) -> str:
        """Who signs in."""
        return self.account.user

    @property
    def password(self) -> str:
        """The other way in."""
        return self.account.password

    def _machine(self, number: int, count: int, ids: dict[str, str]) -> Machine:
        name = f"demo-ssh-{number}"
        folder = self.home / "instances" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Machine(
            name=name,
            id=ids.get(name) or self.cloud.new_id(),
            address=f"127.0.0.{FIRST_HOST + number - 1}",
            folder=folder,
            host_key=HostKey.kept(folder / "ssh_host_ed25519_key", f"root@{name}"),
            # The last one of several keeps quiet, to show how a person confirms a key.
            says_keys=number < count or count == 1,
            nursery=self.nursery,
        )

    def _address(self, number: int) -> str:
        """Where the first, second … instance of the provider's image is."""
        return f"127.0.0.{self._last + number}"

    def _adopt(self, listed: Instance) -> None:
        """This instance of the provider's image becomes a machine, where there is room for it."""
        taken = {one.address for one in self.machines}
        told = [nic.addr for nics in listed.addresses.values() for nic in nics]
        free = [name for name in map(self._address, range(1, imaged.MOST + 1)) if name not in taken]
        address = next((name for name in (*told, *free) if name in free), None)
        if address is None or self._pack is None:
            return
        folder = self.home / "instances" / listed.id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = HostKey.kept(folder / "ssh_host_ed25519_key", f"root@{listed.name}")
        machine = Machine(
            name=listed.name, id=listed.id, address=address, folder=folder, host_key=key, says_keys=True,
            nursery=self.nursery,
        )  # fmt: skip
        machine.disk = imaged.Disk(self.cloud, listed.id, address, machine.prefix, self._pack)
        listed.addresses = {"demo": (Nic(address),)}
        listed.metadata |= {"ssh_port": str(self.port), "ssh_user": USER}
        listed.rendered = {}
        self.machines.append(machine)
        self._by_id[machine.id] = machine

    def _list(self) -> None:
        """Puts the machines that are missing into the cloud; those that are there get the present port."""
        flavors = {one.name: one.id for one in self.cloud.flavors.values()}
        images = {one.name: one.id for one in self.cloud.images.values()}
        for machine in self.machines:
            said = {"ssh_port": str(self.port), "ssh_user": USER}
            with self.cloud.lock:
                listed = self.cloud.instances.get(machine.id)
                if listed is None:
                    self.cloud.add(
                        machine.name,
                        id=machine.id,
                        flavor=flavors.get("m1.small"),
                        image=images.get("debian-12"),
                        addresses={"demo": [Nic(machine.address)]},
                        metadata=said | {"role": "demo"},
                        key_name="ops",
                    )
                elif listed.metadata | said != listed.metadata:
                    self.cloud.update(machine.id, metadata=listed.metadata | said)
        with self.cloud.lock:
            for listed in self.cloud.instances.values():
                if self._pack and listed.image == self._image and listed.id not in self._by_id:
                    self._adopt(listed)

    def start(self) -> None:
        """Powers on the machines that the cloud says run, and from now on follows their power actions."""
        if self.adopt:
            adopt_orphans()
            threading.Thread(target=self._bury, name="demo-bury", daemon=True).start()
        self._list()
        self.cloud.console_of = self.console_of
        self.cloud.watchers.append(self._watch)
        for job in [self._jobs.submit(self._follow, machine) for machine in self.machines]:
            job.result()

    def stop(self) -> None:
        """Ends SSH and every process of every machine, within 5 s."""
        self._stopping.set()
        with contextlib.suppress(ValueError):
            self.cloud.watchers.remove(self._watch)
        self.cloud.console_of = None
        for job in [self._jobs.submit(self._off, machine) for machine in self.machines]:
            job.result()
        self._jobs.shutdown()

    def __enter__(self) -> Machines:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def console_of(self, instance: Instance) -> str | None:
        """The console text of one of these machines; None for any other server."""
        machine = self._by_id.get(instance.id)
        return machine.console() if machine else None

    def _watch(self, what: str, instance: Instance) -> None:
        if what == "added" and self._pack and instance.image == self._image:
            self._adopt(instance)
        machine = self._by_id.get(instance.id)
        if machine is None:
            if self._pack and instance.image == self._image and instance.status == "ACTIVE" and what == "changed":
                self.cloud.set_status(instance.id, "ERROR", fault=imaged.NO_ROOM.format(most=imaged.MOST))
        elif not self._stopping.is_set():
            machine.restart = machine.restart or what in ("reboot", "rebuild")
            machine.anew = machine.anew or what == "rebuild"
            self._jobs.submit(self._follow, machine)

    def _follow(self, machine: Machine) -> None:
        """Makes the machine what the cloud says it is, or is about to be."""
        with machine.lock:
            with self.cloud.lock:
                listed = self.cloud.instances.get(machine.id)
                status = "DELETED" if listed is None else listed.ends[1] if listed.ends else listed.status
                if listed is not None and listed.status == "BUILD":
                    status = "BUILD"
                restart, machine.restart = machine.restart, False
                anew, machine.anew = machine.anew, False
            if machine.sshd is not None and (restart or status not in ON):
                machine.power_off()
            if machine.disk is not None and (anew or status == "DELETED"):
                machine.disk.wipe()
            if machine.disk is not None and status == "DELETED":
                self._forget(machine)
            elif machine.sshd is None and status in ON and not self._stopping.is_set():
                machine.power_on(self.account, self.port)

    def _forget(self, machine: Machine) -> None:
        """It was deleted: another one may have its place."""
        with self.cloud.lock:
            self.machines = [one for one in self.machines if one is not machine]
            self._by_id.pop(machine.id, None)
        shutil.rmtree(machine.folder, ignore_errors=True)

    def _off(self, machine: Machine) -> None:
        with machine.lock:
            machine.power_off()

    def _bury(self) -> None:
        while not self._stopping.wait(1.0):
            self.nursery.bury()


def free_port(addresses: list[str], wanted: int) -> int:
    """`wanted` if it is free on all of these addresses, else a port that is."""
    for port in (wanted, *([0] * 20)):
        taken: list[socket.socket] = []
        try:
            for address in addresses:
                taken.append(socket.create_server((address, port)))
                port = port or taken[0].getsockname()[1]
            if port:
                return port
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
    raise OSError("No port is free on the loopback addresses of the demo's instances.")
