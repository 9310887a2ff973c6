"""The process tree of a real OpenStack: databases made, services started in their order, all ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from console.lib import children, embedded
from tests import processes
from tests.processes import wait
from tests.realstack import configs, furnishing
from tests.realstack.furnishing import Furnished
from tests.realstack.ground import DATABASES, Ground, prepared

HERE = Path(__file__).parent
WITHIN = 240.0  # seconds for any one step; on two quiet cores the longest takes 25
PATIENCE = 15.0  # seconds that a service gets to end by itself
BROKER = ("epmd", "rabbitmq")


@dataclass
class Service:
    """One child of ours, with all that it starts: it leads a session, and that is ended as a whole."""

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, log: Path) -> None:
        with log.open("ab") as out:
            self.process = children.spawn(self.argv, env=self.env, out=out, death=signal.SIGTERM)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def family(self) -> list[psutil.Process]:
        """It and all that it started, as far as they live."""
        if self.process is None:
            return []
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def answers(self) -> bool:
        return not self.port or embedded.answers(self.port)


@dataclass
class Stack:
    """A running OpenStack, furnished with a project, images, sizes and networks."""

    ground: Ground
    services: list[Service] = field(default_factory=list)
    postgres: subprocess.Popen[bytes] | None = field(default=None, init=False)
    furnished: Furnished = field(init=False)

    def start(self) -> None:
        """From an empty folder to a cloud in which servers can be made. AssertionError with the logs' ends if not."""
        configs.write(self.ground)
        self._run(*self._broker())
        self._databases()
        self._prepare()
        self._run(self._api("keystone", "keystone.wsgi.api"))
        admin = furnishing.identity(self.ground)
        self._run(
            self._api("placement", "placement.wsgi.api"),
            self._api("glance", "glance.wsgi.api"),
            self._api("neutron", "neutron.wsgi.api"),
            self._api("nova", "nova.wsgi.osapi_compute"),
            *(self._inner(name) for name in ("nova-conductor", "nova-scheduler")),
        )
        compute = self._inner("nova-compute", "nova-compute.conf")
        self._run(compute)
        self._until("a compute host", lambda: furnishing.computes(self.ground, admin))
        self._finish({"nova-hosts": [self._manage("nova-manage", "cell_v2", "discover_hosts")]})
        self.furnished = furnishing.furnish(self.ground, admin)

    def stop(self) -> None:
        """Ends everything, last started first and the broker at the end. Nothing is left, whatever had happened."""
        broker = [service for service in self.services if service.name in BROKER]
        for wave in ([service for service in reversed(self.services) if service.name not in BROKER], broker[::-1]):
            everyone = [process for service in wave for process in service.family()]
            for service in wave:
                if service.process is not None and service.alive:
                    service.process.terminate()
            _, alive = psutil.wait_procs(everyone, timeout=PATIENCE)
            for process in alive:
                children.send(process, signal.SIGKILL)
            psutil.wait_procs(alive, timeout=PATIENCE)
            for service in wave:
                if service.process is not None:
                    service.process.wait(PATIENCE)

        if self.postgres is not None:
            processes.end(self.postgres, signal.SIGINT)

    @property
    def resident(self) -> int:
        """Bytes of memory that all services hold together."""
        return sum(_resident(process) for service in self.services for process in service.family())

    # --- parts

    def _broker(self) -> tuple[Service, Service]:
        ground = self.ground
        env = configs.rabbit_environment(ground)
        mapper = ["epmd", "-address", "127.0.0.1", "-port", str(ground.ports["epmd"])]
        return (
            Service("epmd", mapper, env, ground.ports["epmd"]),
            Service("rabbitmq", [ground.rabbit], env, ground.ports["rabbit"]),
        )

    def _databases(self) -> None:
        self.postgres = embedded.start_postgres(self.ground.postgres, durable=False)
        address = self.ground.postgres.database_url.rpartition("/")[0] + "/postgres"
        with psycopg.connect(address, autocommit=True) as link:
            for name in DATABASES:
                link.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _api(self, name: str, module: str) -> Service:
        port = self.ground.ports[name]
        argv = [self.ground.program("python"), HERE / "serving.py", name, module, str(port)]
        return Service(name, argv, self.ground.environment(), port)

    def _inner(self, name: str, conf: str = "nova.conf") -> Service:
        argv = [self.ground.program(name), "--config-file", self.ground.conf / conf]
        return Service(name, argv, self.ground.environment())

    def _prepare(self) -> None:
        """Databases and keys, those of different services at the same time."""
        ground = self.ground
        bootstrap = ["bootstrap", "--bootstrap-username", "admin", "--bootstrap-project-name", "admin"]
        bootstrap += ["--bootstrap-password", ground.admin, "--bootstrap-region-id", "RegionOne"]
        for interface in ("public", "internal", "admin"):
            bootstrap += [f"--bootstrap-{interface}-url", ground.keystone]
        owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
        nova = [
            ("api_db", "sync"),
            ("cell_v2", "map_cell0", "--database_connection", ground.database("nova_cell0")),
            ("cell_v2", "create_cell", "--name", "cell1"),
            ("db", "sync"),
        ]
        self._finish(
            {
                "keystone-manage": [
                    self._manage("keystone-manage", "db_sync"),
                    self._manage("keystone-manage", "fernet_setup", *owner),
                    self._manage("keystone-manage", "credential_setup", *owner),
                    self._manage("keystone-manage", *bootstrap),
                ],
                "nova-manage": [self._manage("nova-manage", *words) for words in nova],
                "placement-manage": [self._manage("placement-manage", "db", "sync")],
                "glance-manage": [self._manage("glance-manage", "db_sync")],
                "neutron-tables": [[ground.program("python"), HERE / "tables.py", ground.database("neutron")]],
            }
        )

    def _manage(self, program: str, *words: str) -> list[str | Path]:
        name = "glance-api" if program.startswith("glance") else program.removesuffix("-manage")
        return [self.ground.program(program), "--config-file", self.ground.conf / f"{name}.conf", *words]

    def _run(self, *services: Service) -> None:
        for service in services:
            self.services.append(service)
            service.start(self.ground.home / "log" / f"{service.name}.out")
        for service in services:
            self._until(service.name, lambda one=service: one.answers)

    def _finish(self, chains: Mapping[str, list[list[str | Path]]]) -> None:
        """Each chain in its order, the chains side by side, on the cores that there are."""
        running: dict[str, Service] = {}
        left = {name: list(chain) for name, chain in chains.items()}

        def advanced() -> bool:
            for name in list(left):
                ended = running.get(name)
                if ended is not None and ended.alive:
                    continue
                assert ended is None or ended.process is None or ended.process.returncode == 0, self._told(name)
                if not left[name]:
                    del left[name]
                    continue
                running[name] = Service(name, left[name].pop(0), self.ground.environment())
                self.services.append(running[name])
                running[name].start(self.ground.home / "log" / f"{name}.out")
            return not left

        self._until(" and ".join(chains), advanced)

    def _until(self, words: str, true: Callable[[], bool]) -> None:
        def healthy() -> bool:
            for service in self.services:
                ended = service.process is not None and service.process.poll()
                assert not ended, f"{service.name} ended ({ended}).\n{self._told(service.name)}"
            return true()

        wait(healthy, WITHIN, words)

    def _told(self, name: str) -> str:
        """The last that a program said, in both of its logs."""
        folder = self.ground.home / "log"
        ends = [
            path.read_text(errors="replace")[-3000:]
            for path in (folder / f"{name}.out", folder / f"{name}.log")
            if path.exists()
        ]
        return "\n".join(ends)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@contextmanager
def running() -> Iterator[Stack]:
    """An OpenStack for the block; nothing of it is left afterwards, neither processes nor files."""
    with processes.folder() as home:
        stack = Stack(prepared(home))
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()
