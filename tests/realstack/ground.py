"""What one run stands on: a scratch folder, the installation, ports of its own, and secrets that last as long."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from console.lib import embedded
from console.lib.embedded import Engine
from tests.processes import ROOT

VENV: Final = ROOT / ".venv-openstack"
DATABASES: Final = ("keystone", "placement", "glance", "neutron", "nova_api", "nova_cell0", "nova")
LISTENERS: Final = ("epmd", "rabbit", "erlang", "keystone", "placement", "glance", "neutron", "nova")
REGION: Final = "RegionOne"
PAGE: Final = 3  # Nova's largest page here: seven servers are three pages
_RABBIT: Final = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/usr/local/sbin/rabbitmq-server"))


class Missing(Exception):
    """Something must be installed first. The words say what, and how."""


@dataclass(frozen=True)
class Ground:
    """`home` is the scratch folder: nothing is written anywhere else."""

    home: Path
    ports: dict[str, int]
    rabbit: Path
    postgres: Engine
    admin: str = field(default_factory=lambda: secrets.token_urlsafe(18))  # password of Keystone's administrator
    inner: str = field(default_factory=lambda: secrets.token_urlsafe(18))  # password of the services' own user

    @property
    def conf(self) -> Path:
        return self.home / "conf"

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def keystone(self) -> str:
        return f"{self.url('keystone')}/v3"

    def database(self, name: str) -> str:
        """Each service has its own. Not SQLite: under several writers it says "database is locked" (seen in Nova)."""
        place = f"127.0.0.1:{self.postgres.postgres_port}"
        return f"postgresql+psycopg2://muster:{self.postgres.password}@{place}/{name}"

    def program(self, name: str) -> Path:
        return VENV / "bin" / name

    def environment(self, **more: str) -> dict[str, str]:
        """Of the caller's only the PATH: no proxy, no OS_*, no home in which caches would be left."""
        kept = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        folders = {name: str(self.conf) for name in ("OS_KEYSTONE_CONFIG_DIR", "OS_PLACEMENT_CONFIG_DIR")}
        folders |= {name: str(self.conf) for name in ("OS_GLANCE_CONFIG_DIR", "OS_NEUTRON_CONFIG_DIR")}
        nova = f"{VENV / 'etc/nova/api-paste.ini'};{self.conf / 'nova.conf'}"  # the first is the paste file
        files = {"OS_NOVA_CONFIG_FILES": nova, "OS_NEUTRON_CONFIG_FILES": "neutron.conf"}
        plugins = {"PYTHONPATH": str(self.home / "plugins")}
        return {**kept, "HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), **folders, **files, **plugins, **more}


def prepared(home: Path) -> Ground:
    """A ground with free ports. Missing when OpenStack or RabbitMQ is not installed."""
    if not (VENV / "bin" / "nova-compute").exists():
        raise Missing("OpenStack is not installed in .venv-openstack. Run `make test-openstack`, which installs it.")
    for name in ("conf", "log", "tmp", "plugins", "images", "rabbit"):
        (home / name).mkdir(mode=0o700)
    return Ground(home, _free_ports(LISTENERS), rabbit(), embedded.engine(home / "postgres"))


def rabbit() -> Path:
    """The program of the message broker. Missing when there is none."""
    # Not /usr/sbin/rabbitmq-server: Debian's wrapper there changes to the user of the system's own service.
    found = next((path for path in _RABBIT if path.exists()), None)
    if found is None or shutil.which("epmd") is None:
        raise Missing(
            "RabbitMQ is missing. On Debian: apt install --no-install-recommends rabbitmq-server. The package starts a"
            " service of its own that these tests do not use; where you do not want it, write `#!/bin/sh` and"
            " `exit 101` to /usr/sbin/policy-rc.d, make it executable, and install then."
        )
    return found


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    with ExitStack() as held:  # all at once, so that no two are the same
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for sock in sockets.values():
            sock.bind(("127.0.0.1", 0))
        return {name: sock.getsockname()[1] for name, sock in sockets.items()}


if __name__ == "__main__":  # before anything large is installed
    try:
        rabbit()
    except Missing as words:
        sys.exit(str(words))
