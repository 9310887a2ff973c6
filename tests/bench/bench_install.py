"""50 SSH installs until the last first heartbeat, against Ansible doing the same copy and script on the same hosts.

50 real sshd's on this machine, the real agent, a real web process that the agents enrol at. Ansible: 50 forks,
pipelining, one `copy` of the agent, one of its token, one `script`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from console.lib.embedded import free_port
from tests.bench.results import Result
from tests.processes import end
from tests.shared import ROOT
from tests.sshd import Sshd, make_key

COUNT = int(os.environ.get("BENCH_HOSTS", "50"))
WITHIN = 300.0  # seconds


@contextmanager
def web() -> Iterator[str]:
    """A web process over the benchmark's database; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port, number = listener.getsockname()[1], listener.fileno()
    env = {**os.environ, "DATABASE_POOL": "20", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    process = subprocess.Popen([sys.executable, "-m", "console.web", str(number)], cwd=ROOT, env=env, pass_fds=[number])
    listener.close()
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the web process did not start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def managed(servers: list[Any], started: float) -> float:
    """Seconds from `started` until each of `servers` has reported."""
    from servers.agents.models import Agent

    deadline = started + WITHIN
    while Agent.objects.filter(server__in=servers, first_seen_at__isnull=False).count() < len(servers):
        assert time.monotonic() < deadline, "not every server became managed"
        time.sleep(0.05)
    return time.monotonic() - started


def clear(hosts: list[Sshd]) -> None:
    """Take the agents off again, as their own uninstall does it."""
    for host in hosts:
        agent = host.prefix / "opt/muster-agent/current/muster-agent.pyz"
        if agent.exists():
            subprocess.run(
                [sys.executable, agent, "uninstall"],
                env={"MUSTER_AGENT_PREFIX": str(host.prefix)},
                check=True,
                stdout=subprocess.DEVNULL,
            )


def ours(servers: list[Any], hosts: list[Sshd], person: Any, url: str) -> float:
    """The deed that the page calls, worked by the code that the worker runs."""
    from django.test.utils import override_settings

    from servers.installs import install, working

    with override_settings(PUBLIC_URL=url):
        started = time.monotonic()
        batch = install.start(
            servers,
            by=person,
            customer=servers[0].customer,
            user=hosts[0].user,
            port=hosts[0].port,
            private_key=hosts[0].private_key,
            use_sudo=False,
            trust_new_host_keys=True,
        )
        working.work(batch.pk)
        return managed(servers, started)


def ansible(servers: list[Any], hosts: list[Sshd], person: Any, url: str, folder: Path) -> float:
    """The same files and the same command by a playbook."""
    from servers.agents import enrol
    from servers.agents.program import build

    lines = [
        f"h{number} ansible_host={host.host} ansible_port={host.port} ansible_user={host.user} "
        f"ansible_ssh_private_key_file={host.folder / 'user'} ansible_python_interpreter=/usr/bin/python3 "
        f"token={enrol.issue(server, by=person)} scratch={host.folder / 'tmp'}"
        for number, (server, host) in enumerate(zip(servers, hosts, strict=True))
    ]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    (folder / "install.sh").write_text(
        f'#!/bin/sh\nexec python3 "$1/muster-agent.pyz" install --url {url} --token-file "$1/token"\n'
    )
    (folder / "play.yml").write_text(f"""
- hosts: all
  gather_facts: false
  tasks:
    - copy: {{src: "{build.artifact().path}", dest: "{{{{ scratch }}}}/muster-agent.pyz"}}
    - copy: {{content: "{{{{ token }}}}", dest: "{{{{ scratch }}}}/token", mode: "0600"}}
    - script: {{cmd: "{folder / "install.sh"} {{{{ scratch }}}}"}}
""")
    env = {
        **os.environ,
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null",
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
    started = time.monotonic()
    made = subprocess.run(
        [player(), "-i", folder / "hosts", folder / "play.yml"], env=env, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    return managed(servers, started)


def player() -> str:
    """ansible-playbook, of the benchmark's own environment (`make bench` makes it)."""
    found = shutil.which("ansible-playbook", path=f"{ROOT / '.venv-bench' / 'bin'}:{os.environ.get('PATH', '')}")
    assert found, "ansible-playbook is missing: run `make bench`, which installs it"
    return found


def run() -> Iterator[Result]:
    """Ours, then Ansible's, on the same hosts."""
    from tests.factories import AccountFactory, MembershipFactory, ServerFactory

    account = AccountFactory()
    person = MembershipFactory(customer=account.customer).user

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-hosts-")))
        folder.chmod(0o711)
        url = stack.enter_context(web())
        port = free_port()
        key = make_key(folder / "user")
        hosts = []
        for number in range(COUNT):
            (folder / str(number)).mkdir()
            for name in ("user", "user.pub"):
                shutil.copy(key.with_name(name), folder / str(number))
            hosts.append(stack.enter_context(Sshd(folder / str(number), host=f"127.0.1.{number + 1}", port=port)))

        def fresh() -> list[Any]:
            return [
                ServerFactory(account=account, addresses=[{"ip": host.host, "version": 4, "kind": "fixed"}])
                for host in hosts
            ]

        try:
            mine = ours(fresh(), hosts, person, url)
            clear(hosts)
            theirs = ansible(fresh(), hosts, person, url, folder)
        finally:
            clear(hosts)
        yield Result(
            f"{COUNT} SSH installs to first heartbeat",
            mine,
            "s",
            theirs,
            f"baseline: ansible, 50 forks, copy + script; {COUNT / mine:.1f} against {COUNT / theirs:.1f} hosts/s",
        )
