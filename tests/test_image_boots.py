"""The Helper in Debian systems that really boot: under systemd, OpenRC and sysvinit, each in a network of its own."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from servers.agents import checkin
from servers.agents.images import helper
from servers.agents.models import Agent
from servers.agents.program.paths import Paths
from tests import debian
from tests.claim_places import Place, place_at, synced
from tests.conftest import People
from tests.instances import Instance, passing
from tests.processes import wait
from tests.stack import console
from tests.systems import REBOOTED, Booted, System, system

pytestmark = [
    pytest.mark.full,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
    pytest.mark.skipif(not shutil.which("systemd-nspawn"), reason="apt install systemd-container"),
]
HOST = Paths("/")
AGENT = HOST.wrapper
MINE = "/opt/muster-agent/"  # in the command line of each process of the agent


class Machine:
    """An instance of an image that has the package in."""

    def __init__(self, there: System, instance: Instance, stack: ExitStack) -> None:
        self.there, self.instance = there, instance
        self._stack = stack

    def boot(self) -> Booted:
        booted = Booted(self.there, self.instance.name)
        self._stack.callback(booted.end)
        return booted

    @property
    def agent(self) -> Agent | None:
        return Agent.objects.filter(server__external_id=self.instance.launched.external_id).first()

    def reports(self, booted: Booted, since: datetime, seconds: float = 90) -> Agent:
        """Its agent, once it was heard after this moment."""

        def heard() -> Agent | None:
            found = self.agent
            return found if found and found.last_seen_at and found.last_seen_at > since else None

        try:
            return wait(heard, seconds, "it reports")  # type: ignore[return-value]  # a truthy one
        except AssertionError:
            log = self.there.root / "var/log/muster-agent.log"
            raise AssertionError(f"{booted.said[-2000:]}\n{log.read_text() if log.exists() else 'no log'}") from None


@pytest.fixture
def machine(
    request: pytest.FixtureRequest, people: People, settings: Any, tmp_path: Path, tmp_path_factory: Any
) -> Iterator[Machine]:
    """`request.param` is its init. The package is in the image, which was sealed; nothing has run yet."""
    lower = debian.made(request.param, tmp_path_factory.getbasetemp() / "systems")
    with ExitStack() as stack:
        settings.PUBLIC_URL = url = stack.enter_context(console(AGENT_INTERVAL="1"))
        place: Place = stack.enter_context(place_at("openstack", people.customer, tmp_path))
        place.residents._clock = lambda: time.monotonic() * 8
        launched = place.launch("web-1", "10.77.0.2")
        wait(lambda: synced(place))
        gates = stack.enter_context(passing())
        instance = Instance(f"mst-{secrets.token_hex(4)}", launched, tmp_path / "no-disk", gates)
        stack.callback(instance.end)
        resident = place.residents.at(launched.address)
        assert resident is not None
        place.residents.put("127.77.0.2", resident.cloud, resident.id)
        instance.plug(url.removeprefix("http://"), place.service, "127.77.0.2")
        (tmp_path / "system").mkdir()
        there = stack.enter_context(system(tmp_path / "system", lower))
        made = helper.build_for(place.provider, "deb")
        there.run("dpkg", "-i", there.put(made.name, made.content))
        there.run(AGENT, "seal")
        yield Machine(there, instance, stack)


def inits(*names: str) -> Callable[..., Any]:
    return pytest.mark.parametrize("machine", names, indirect=True)


@inits("systemd", "openrc", "sysvinit")
def test_an_instance_is_managed_from_its_first_boot_and_after_a_reboot_is_the_same(machine: Machine) -> None:
    began = timezone.now()
    booted = machine.boot()
    agent = machine.reports(booted, began)
    booted.run("reboot", check=False)
    assert booted.ended(60) == REBOOTED
    again = timezone.now()
    assert machine.reports(machine.boot(), again).pk == agent.pk
    assert Agent.objects.count() == 1


@inits("systemd", "openrc", "sysvinit")
def test_whatever_of_the_agent_crashes_it_is_back(machine: Machine) -> None:
    booted = machine.boot()
    agent = machine.reports(booted, timezone.now())
    running = booted.processes(MINE)
    assert len(running) == 2
    running[1].kill()  # the supervisor starts it again
    assert machine.reports(booted, timezone.now()).pk == agent.pk
    if (machine.there.root / "lib/systemd/systemd").exists():
        supervisor = booted.processes(MINE)[0]
        assert supervisor.pid == running[0].pid
        supervisor.kill()  # systemd starts it again
        wait(lambda: not supervisor.is_running(), 10, "it is gone")
        assert machine.reports(booted, timezone.now()).pk == agent.pk
        assert "NRestarts=1" in booted.run("systemctl", "show", "-p", "NRestarts", "muster-agent").stdout


@inits("systemd")
def test_systemd_stops_it_cleanly_and_starts_it_again(machine: Machine) -> None:
    booted = machine.boot()
    machine.reports(booted, timezone.now())
    began = timezone.now()
    booted.run("systemctl", "stop", "muster-agent")
    assert (timezone.now() - began).total_seconds() < 5
    assert not booted.processes(MINE)
    names = ("ActiveState", "Result", "ExecMainStatus")
    said = booted.run("systemctl", "show", *(f"-p{name}" for name in names), "muster-agent").stdout
    assert set(said.split()) == {"ActiveState=inactive", "Result=success", "ExecMainStatus=0"}
    assert booted.run("systemctl", "is-enabled", "muster-agent").stdout.strip() == "enabled"
    booted.run("systemctl", "start", "muster-agent")
    machine.reports(booted, timezone.now())


def obeys(machine: Machine, booted: Booted, tool: str) -> None:
    """It runs, and does what an administrator says by this tool; OpenRC, if it is there, knows."""

    def stands(running: bool) -> str:
        pids = " ".join(str(one.pid) for one in booted.processes(MINE))
        assert bool(pids) == running
        assert ("does not run" in booted.run(tool, "muster-agent", "status", check=False).stdout) != running
        if (machine.there.root / "sbin/openrc").exists():
            [line] = [one for one in booted.run("rc-status").stdout.splitlines() if "muster-agent" in one]
            assert ("started" in line) == running and ("stopped" in line) != running
        return pids

    first = stands(True)
    booted.run(tool, "muster-agent", "start")
    assert stands(True) == first
    booted.run(tool, "muster-agent", "restart")
    machine.reports(booted, timezone.now())
    assert stands(True) != first
    booted.run(tool, "muster-agent", "stop")
    stands(False)
    booted.run(tool, "muster-agent", "stop")
    stands(False)
    booted.run(tool, "muster-agent", "restart")
    machine.reports(booted, timezone.now())
    stands(True)
    booted.run(tool, "muster-agent", "stop")
    booted.run(tool, "muster-agent", "start")
    machine.reports(booted, timezone.now())
    stands(True)


@inits("openrc", "sysvinit")
def test_the_older_inits_stop_it_start_it_and_say_how_it_stands(machine: Machine) -> None:
    booted = machine.boot()
    machine.reports(booted, timezone.now())
    booted.settled()  # an init that is at it still stops nothing
    obeys(machine, booted, "service")
    if (machine.there.root / "sbin/openrc").exists():
        obeys(machine, booted, "rc-service")


@inits("openrc")
def test_openrc_of_others_stops_starts_and_knows_what_was_installed_while_it_ran(machine: Machine) -> None:
    there = machine.there
    there.run("dpkg", "--purge", "muster-agent")
    there.run("rm", "/usr/sbin/update-rc.d")  # Debian's: elsewhere it gets OpenRC's own script
    booted = machine.boot()
    [package] = (there.root / "root").glob("*.deb")
    booted.settled()
    booted.run("dpkg", "-i", f"/root/{package.name}")
    machine.reports(booted, timezone.now())
    assert (there.root / "etc/init.d/muster-agent").read_text().startswith("#!/sbin/openrc-run\n")
    obeys(machine, booted, "rc-service")
    booted.run("muster-agent", "uninstall")
    assert not booted.processes(MINE)
    assert "muster" not in booted.run("ls", "/run/openrc/started").stdout


@inits("systemd", "openrc", "sysvinit")
def test_installed_upgraded_and_purged_on_a_machine_that_runs(machine: Machine) -> None:
    there = machine.there
    there.run("dpkg", "--purge", "muster-agent")
    skip = ("var/lib/dpkg", "var/log", "var/cache", "run", "tmp", "etc/rc*.d", "etc/init.d/.depend*", "run/openrc")
    before = there.files(*skip)
    booted = machine.boot()
    [package] = (there.root / "root").glob("*.deb")
    booted.settled()
    booted.run("dpkg", "-i", f"/root/{package.name}")
    agent = machine.reports(booted, timezone.now())
    booted.run("dpkg", "-i", f"/root/{package.name}")
    assert machine.reports(booted, timezone.now()).pk == agent.pk
    booted.run("dpkg", "--purge", "muster-agent")
    assert not booted.processes(MINE)
    assert not {name for name in there.files(*skip) - before if "muster" in name}
    assert not {name for name in there.files() if "muster" in name and "var/lib/dpkg" not in name}


def nothing_stays(machine: Machine, booted: Booted) -> None:
    """No process of the agent, and no file but the package's own, which can install it again."""
    skip = ("var/lib/dpkg", "var/log/journal", "usr/share/muster-agent")
    wait(lambda: not {name for name in machine.there.files(*skip) if "muster" in name}, 90, "nothing of it is there")
    wait(lambda: booted.init() and not booted.processes(MINE), 20, "it does not run")


@inits("systemd", "openrc", "sysvinit")
def test_removed_in_the_console_it_takes_itself_off(machine: Machine, people: People) -> None:
    booted = machine.boot()
    agent = machine.reports(booted, timezone.now())
    booted.settled()
    checkin.remove(agent, people.alice)
    nothing_stays(machine, booted)


@inits("systemd", "openrc", "sysvinit")
def test_a_machine_that_went_down_while_it_was_taken_off_finishes_that_when_it_boots(machine: Machine) -> None:
    booted = machine.boot()
    machine.reports(booted, timezone.now())
    booted.settled()
    booted.run("mv", HOST.receipt, HOST.leaving)
    booted.run("rm", HOST.config)
    booted.run("reboot", check=False)
    assert booted.ended(60) == REBOOTED
    nothing_stays(machine, machine.boot())
