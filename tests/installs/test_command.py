"""The command that a person pastes on a machine: really run, by every means that a machine may have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from django.test import Client

from servers.agents import enrol
from servers.agents.models import Agent, JoinToken
from servers.agents.program import build
from servers.installs import script
from servers.models import Server
from tests.conftest import People
from tests.processes import wait

pytestmark = pytest.mark.django_db(transaction=True)
TOOLS = ["sh", "dash", "cat", "mktemp", "rm", "id", "chmod"]


class Machine:
    """A folder that stands for a machine: what is on its PATH, and where the agent goes."""

    def __init__(self, folder: Path) -> None:
        self.prefix, self.bin, self.tmp = folder / "prefix", folder / "bin", folder / "tmp"
        for path in (self.prefix, self.bin, self.tmp):
            path.mkdir(parents=True)
        for name in TOOLS:
            if found := shutil.which(name):
                (self.bin / name).symlink_to(found)

    def has(self, *names: str) -> Machine:
        for name in names:
            found = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin") or shutil.which(name)
            if found is None:
                pytest.skip(f"{name} is absent (Debian package: {name})")
            (self.bin / name).symlink_to(os.path.realpath(found))
        return self

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "TMPDIR": str(self.tmp), "MUSTER_AGENT_PREFIX": str(self.prefix),
                       "HOME": str(self.tmp)}  # fmt: skip
        return subprocess.run(
            ["/bin/sh", "-c", command], env=environment | env, capture_output=True, text=True, timeout=90, check=False
        )

    def take_off(self) -> None:
        agent = self.prefix / "opt/muster-agent/current/muster-agent.pyz"
        if agent.exists():
            self.run(f"python3 {agent} uninstall")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    one = Machine(tmp_path / "machine")
    yield one
    one.take_off()


def commands(people: People, server: Server) -> dict[str, str]:
    return dict(script.commands(enrol.issue(server, by=people.alice)))


@pytest.mark.parametrize(
    ("title", "tools"), [("With curl", ["curl"]), ("With wget", ["wget"]), ("With Python alone", [])]
)
def test_it_installs_an_agent_that_reports_and_leaves_nothing_else(
    people: People, server: Server, machine: Machine, title: str, tools: list[str]
) -> None:
    done = machine.has("python3", *tools).run(commands(people, server)[title])
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"Installed, version \S+\. It reports\.\n", done.stdout)
    wait(lambda: Agent.objects.live().filter(server=server, first_seen_at__isnull=False).exists())
    assert list(machine.tmp.iterdir()) == []
    again = machine.run(commands(people, server)[title])
    assert again.returncode == 0 and Agent.objects.live().filter(server=server).count() == 1


def test_a_token_works_once_and_the_second_try_says_so(people: People, server: Server, machine: Machine) -> None:
    command = commands(people, server)["With curl"]
    machine.has("python3", "curl")
    JoinToken.objects.update(expires_at="2020-01-01T00:00:00Z")
    refused = machine.run(command)
    assert refused.returncode != 0 and not Agent.objects.exists()
    assert "used, expired or unknown" in refused.stdout + refused.stderr


def test_a_download_that_was_changed_is_not_run(people: People, server: Server, machine: Machine) -> None:
    fake = machine.bin / "curl"
    real = shutil.which("curl")
    fake.write_text(f'#!/bin/sh\n{real} "$@"\nfor last; do :; done\n'
                    'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo changed >>"$2"; shift; done\n')  # fmt: skip
    fake.chmod(0o755)
    done = machine.has("python3").run(commands(people, server)["With curl"])
    assert done.returncode == 1 and "checksum differs" in done.stderr
    assert not machine.prefix.joinpath("opt").exists() and list(machine.tmp.iterdir()) == []


def test_what_is_missing_is_named(people: People, server: Server, machine: Machine) -> None:
    machine.has("curl")
    wanted = commands(people, server)["With curl"]
    done = machine.run(wanted)
    assert done.returncode == 1 and "no Python 3.6 or newer" in done.stderr and "apt install python3" in done.stderr
    machine.has("python3")
    if os.geteuid() != 0:
        done = machine.run(wanted, MUSTER_AGENT_PREFIX="")
        assert "not root" in done.stderr
    whole = script.text()
    path = machine.tmp / "install.sh"
    path.write_text(whole)
    assert "token is missing" in machine.run(f"sh {path}").stderr
    path.write_text(re.sub("console=.*", "console=http://127.0.0.1:1", whole))
    assert "could not be fetched" in machine.run(f"sh {path} mjt_some-token").stderr


def test_the_token_may_come_on_standard_input(people: People, server: Server, machine: Machine) -> None:
    machine.has("python3", "curl")
    path = machine.tmp / "install.sh"
    path.write_text(script.text())
    done = machine.run(f"printf %s '{enrol.issue(server, by=people.alice)}' | sh {path} -")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_a_script_that_was_cut_off_does_nothing(machine: Machine, keep: float) -> None:
    whole = script.text()
    path = machine.tmp / "install.sh"
    path.write_text(whole[: int(len(whole) * keep)])
    machine.has("python3", "curl").run(f"sh {path} mjt_some-token")
    assert not machine.prefix.joinpath("opt").exists() and list(machine.tmp.iterdir()) == [path]


@pytest.mark.parametrize("shell", [["dash", "-n"], ["busybox", "sh", "-n"], ["bash", "--posix", "-n"]])
def test_every_plain_shell_understands_it(shell: list[str], tmp_path: Path) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is absent (Debian package: {shell[0]})")
    path = tmp_path / "install.sh"
    path.write_text(script.text())
    subprocess.run([*shell, path], check=True)


def test_busybox_alone_is_enough_beside_python(people: People, server: Server, machine: Machine) -> None:
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("busybox is absent (Debian package: busybox)")
    for name in [*TOOLS, "wget"]:
        (machine.bin / name).unlink(missing_ok=True)
        (machine.bin / name).symlink_to(found)
    command = commands(people, server)["With wget"]
    machine.has("python3")
    done = subprocess.run(
        [found, "sh", "-c", command], capture_output=True, text=True, timeout=90, check=False,
        env={"PATH": str(machine.bin), "TMPDIR": str(machine.tmp), "MUSTER_AGENT_PREFIX": str(machine.prefix)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_whoever_fetches_gets_no_secret_and_the_agent_as_it_is_built(people: People, server: Server) -> None:
    anybody = Client()
    answer = anybody.get(script.SCRIPT_PATH)
    assert answer["Content-Type"].startswith("text/x-shellscript") and "mjt_" not in answer.content.decode()
    made = build.artifact()
    assert made.sha256 in answer.content.decode()
    packed = anybody.get(script.AGENT_PATH)
    assert packed.content == made.path.read_bytes() and made.sha256 in packed["ETag"]
    assert anybody.post(script.SCRIPT_PATH).status_code == 405


def test_the_page_makes_one_and_shows_it_once(people: People, server: Server) -> None:
    browser, address = people.browser(people.alice), f"/installs/command/{server.pk}"
    before = browser.get(address)
    assert "mjt_" not in before.content.decode() and not JoinToken.objects.exists()
    made = browser.post(address)
    shown = unescape(made.content.decode())
    [token] = set(re.findall(r"mjt_[\w-]+", shown))
    assert made["Cache-Control"] == "no-store" and f"| sh -s -- {token}" in shown
    join = JoinToken.objects.get(digest=enrol.digest(token))
    assert (join.server, join.created_by) == (server, people.alice)
    assert "mjt_" not in browser.get(address).content.decode()
    account = browser.post(f"/installs/command/account/{people.account.pk}")
    assert "mjt_" in account.content.decode() and JoinToken.objects.filter(server=None).count() == 1


def test_the_folder_of_the_script_is_private(machine: Machine) -> None:
    """The agent lies there before it runs as root: nobody else may change it in between."""
    path = machine.tmp / "install.sh"
    seen = machine.tmp / "seen"
    path.write_text(script.text().replace('    fetch "$console', f'    ls -ld "$folder" >{seen}; fetch "$console'))
    machine.has("python3", "curl", "ls").run(f"sh {path} mjt_some-token", MUSTER_AGENT_WAIT="0")
    assert seen.read_text().startswith("drwx------")
