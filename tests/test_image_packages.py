"""The packages of the Helper, installed and removed by dpkg and rpm in systems of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from providers.models import Provider
from servers.agents.images import helper
from servers.agents.program import protocol
from tests.factories import ProviderFactory
from tests.processes import wait
from tests.systems import System, system

MESSAGE = "run/motd.d/muster-agent"
IDENTITY = "var/lib/muster-agent/identity.json"
AGENT = "/usr/bin/muster-agent"


@dataclass(frozen=True)
class Packager:
    """How one of them does it. `database` is what it notes down for itself."""

    kind: str
    program: str
    database: tuple[str, ...]

    def ready(self, there: System) -> None:
        """A fresh root, in which Python is known to be installed, as it is."""
        if self.kind == "rpm":
            there.outside("rpm", "--root", str(there.inside), "--initdb")
            return
        known = there.root / "var/lib/dpkg"
        for name in ("info", "updates", "triggers"):
            (known / name).mkdir(parents=True)
        (known / "available").touch()
        (known / "status").write_text(
            "Package: python3\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: all\n"
            "Version: 3.11\nDescription: as it is\n\n"
        )
        (known / "info/python3.list").touch()

    def install(self, there: System, name: str) -> None:
        if self.kind == "deb":
            there.outside("dpkg", f"--root={there.inside}", "-i", f"{there.inside}{name}")
            return
        words = ["rpm", "--root", str(there.inside), "-U", "--replacepkgs", "--nodeps", "--nosignature"]
        there.outside(*words, f"{there.inside}{name}")

    def remove(self, there: System) -> None:
        if self.kind == "deb":
            there.outside("dpkg", f"--root={there.inside}", "--purge", "muster-agent")
        else:
            there.outside("rpm", "--root", str(there.inside), "-e", "--nodeps", "muster-agent")

    def version(self, there: System) -> str:
        words = {
            "deb": ["dpkg-query", f"--admindir={there.inside}/var/lib/dpkg", "-W", "-f", "${Version}", "muster-agent"],
            "rpm": ["rpm", "--root", str(there.inside), "-q", "--qf", "%{VERSION}", "muster-agent"],
        }
        return there.outside(*words[self.kind]).stdout


DPKG = Packager("deb", "dpkg", ("var/lib/dpkg", "var/log/dpkg.log"))
RPM = Packager("rpm", "rpm", ("var/lib/rpm", "usr/lib/sysimage", "etc/rpm"))


def _may() -> bool:
    """Whether this user may lay a system; `unshare` comes with every Debian."""
    words = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0  # noqa: S603


# Where nobody may mount (a container without the right), these are left to `make test-full`.
pytestmark = [] if _may() else [pytest.mark.full]


@pytest.fixture
def provider(db: None) -> Provider:
    return ProviderFactory(slug="north-cloud", name="North's Cloud")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[System]:
    with system(tmp_path) as made:
        yield made


@pytest.fixture(params=[DPKG, RPM], ids=lambda one: one.program)
def packager(request: pytest.FixtureRequest, there: System) -> Packager:
    found: Packager = request.param
    if not shutil.which(found.program):
        pytest.skip(f"apt install {found.program}")
    found.ready(there)
    return found


def laid(there: System, provider: Provider, packager: Packager) -> str:
    made = helper.build_for(provider, packager.kind)
    name = there.put(made.name, made.content)
    packager.install(there, name)
    return name


def told(there: System, path: str) -> Any:
    return json.loads((there.root / path).read_text())


# A console that knows no machine yet, on the loopback of the system's own network.
WAITING = """
import http.server

class Console(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.end_headers()
        self.wfile.write(b'{"retry": 1}')

    def log_message(self, *words):
        pass

http.server.HTTPServer(("127.0.0.1", 8000), Console).serve_forever()
"""


@contextmanager
def a_console_that_waits(there: System) -> Iterator[None]:
    """In there, and the agent is laid to go to it."""
    path = there.root / "etc/muster-agent/config.json"
    path.write_text(json.dumps(told(there, "etc/muster-agent/config.json") | {"url": "http://127.0.0.1:8000"}))
    there.outside("ip", "link", "set", "lo", "up")
    served = subprocess.Popen([*there.enter("-n"), sys.executable, "-c", WAITING])
    try:
        yield
    finally:
        served.kill()
        served.wait()


def become_somebody(there: System) -> bytes:
    """Let the agent run until it has a key. It reaches nothing: its network has not even a loopback."""
    there.run(AGENT, "boot")
    wait(lambda: (there.root / IDENTITY).exists(), 20, "it has a key")
    there.run(AGENT, "halt")
    return (there.root / IDENTITY).read_bytes()


def test_in_an_image_it_is_made_ready_and_starts_with_the_first_boot(
    there: System, packager: Packager, provider: Provider
) -> None:
    laid(there, provider, packager)
    wanted = there.root / "etc/systemd/system/multi-user.target.wants/muster-agent.service"
    assert wanted.is_symlink() and str(wanted.readlink()) == "../muster-agent.service"
    unit = (wanted.parent.parent / "muster-agent.service").read_text()
    assert "bin/python3 -I -S /opt/muster-agent/launcher.pyz supervise" in unit
    assert told(there, "etc/muster-agent/config.json")["channel"] == str(provider.pk)
    assert told(there, "var/lib/muster-agent/receipt.json")["mode"] == "systemd"
    assert not (there.root / IDENTITY).exists() and not (there.root / "run/muster-agent.pid").exists()


def test_removed_it_leaves_nothing(there: System, packager: Packager, provider: Provider) -> None:
    before = there.files(*packager.database)
    laid(there, provider, packager)
    become_somebody(there)
    assert there.files(*packager.database) - before
    packager.remove(there)
    after = there.files(*packager.database)
    assert after - before <= {"./etc/systemd/system/multi-user.target.wants"}
    assert before <= after


def test_removed_while_its_claim_waits_it_leaves_nothing_either(
    there: System, packager: Packager, provider: Provider
) -> None:
    before = there.files(*packager.database)
    laid(there, provider, packager)
    with a_console_that_waits(there):
        there.run(AGENT, "boot")
        wait(lambda: (there.root / MESSAGE).exists(), 30, "who signs in is told the code")
        packager.remove(there)
    assert there.files(*packager.database) - before <= {"./etc/systemd/system/multi-user.target.wants"}


def test_installed_over_itself_and_upgraded_it_stays_who_it_is(
    there: System, packager: Packager, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = laid(there, provider, packager)
    who = become_somebody(there)
    packager.install(there, name)
    assert (there.root / IDENTITY).read_bytes() == who
    monkeypatch.setattr(protocol, "VERSION", "9.9.9")
    laid(there, provider, packager)
    assert packager.version(there).startswith("9.9.9")
    assert (there.root / IDENTITY).read_bytes() == who
    assert told(there, "etc/muster-agent/config.json")["channel"] == str(provider.pk)
    assert there.run(AGENT, "status", "--json", check=False).stdout
    packager.remove(there)
    assert not (there.root / IDENTITY).exists() and not (there.root / "opt/muster-agent").exists()


def test_removed_and_installed_again_it_is_somebody_new(there: System, packager: Packager, provider: Provider) -> None:
    name = laid(there, provider, packager)
    who = become_somebody(there)
    packager.remove(there)
    packager.install(there, name)
    assert not (there.root / IDENTITY).exists()
    assert json.loads(become_somebody(there))["key"] != json.loads(who)["key"]


def test_sealed_it_is_nobody_and_ready_for_the_next_boot(there: System, packager: Packager, provider: Provider) -> None:
    laid(there, provider, packager)
    become_somebody(there)
    there.run(AGENT, "boot")
    there.run(AGENT, "seal")
    left = {path.name for path in (there.root / "var/lib/muster-agent").iterdir()}
    assert left <= {"receipt.json", "install.lock"}
    assert not (there.root / "var/log/muster-agent.log").exists()
    assert (there.root / "etc/systemd/system/multi-user.target.wants/muster-agent.service").is_symlink()
