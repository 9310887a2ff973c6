"""A worker that is killed at any stage, and a host that ends what a session leaves behind: the same final state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from console.lib.jobs import leases
from console.lib.jobs.rows import JobState
from servers.agents.models import Agent
from servers.installs import heartbeat, install
from servers.installs.models import HostKey, Install
from servers.models import Server
from tests.conftest import People
from tests.installs.hosts import at, begin, is_over, row_of, work
from tests.processes import wait
from tests.sshd import Sshd

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import os, signal, sys
import django
django.setup()
from servers.installs import ending, hands, heartbeat, working

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

batch, moment = sys.argv[1:]
if moment == "claimed":
    hands.once = die
elif moment == "first_heartbeat":
    heartbeat.leave_together = die
elif moment == "left":
    let_go = ending.let_go
    ending.let_go = lambda *given: (let_go(*given), die())
else:
    go = hands.attempt
    hands.attempt = lambda job, on_stage: go(job, lambda stage: die() if stage == moment else on_stage(stage))
working.work(batch)
"""


def killed_worker(pk: object, moment: str) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + connection.settings_dict["NAME"],
        "PUBLIC_URL": str(settings_url()),
    }
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(pk), moment], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def settings_url() -> str:
    from django.conf import settings

    return str(settings.PUBLIC_URL)


def lapse() -> None:
    """A minute goes by: what a dead worker held is free."""
    Install.objects.filter(state="running").update(leased_until=timezone.now() - timedelta(seconds=1))


def standing(host: Sshd) -> list[str]:
    """What the install left on the host, and in its temporary folder."""
    places = [host.prefix / "opt", host.prefix / "etc", host.folder / "tmp"]
    files = [path for place in places for path in place.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(str(path.relative_to(host.folder)) for path in files)


def agents(host: Sshd) -> list[str]:
    """The command lines of the agents that run there, without those that watch over them."""
    lines = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [" ".join(line) for line in lines if str(host.prefix) in " ".join(line) and "run" in line]


MOMENTS = ["claimed", "upload", "left"]
MORE = ["connect", "verify_host", "sign_in", "probe", "install", "first_heartbeat"]
STANDING: list[list[str]] = []


@pytest.mark.parametrize("moment", [*MOMENTS, *(pytest.param(one, marks=pytest.mark.full) for one in MORE)])
def test_a_worker_that_is_killed_at_any_stage_ends_in_the_same_state(
    moment: str, people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server, trust_new_host_keys=True)
    killed_worker(batch.pk, moment)
    for _ in range(40):
        if row_of(batch).state == JobState.DONE:
            break
        lapse()
        work(batch)
        time.sleep(0.1)  # the agent that was installed by the first try may be on its way
    wait(lambda: row_of(batch).state == JobState.DONE)
    assert Agent.objects.live().filter(server=server).count() == 1 and is_over(batch)
    assert HostKey.objects.get(server=server).fingerprint == host.host_key()
    wait(lambda: not list((host.folder / "tmp").iterdir()))
    assert len(agents(host)) <= 1
    STANDING.append(standing(host))
    assert STANDING[-1] == STANDING[0] and any(path.endswith("muster-agent.pyz") for path in STANDING[0])


def test_an_installer_that_the_host_ends_with_the_session_is_tried_again_within_one(
    people: People, host: Sshd, server: Server
) -> None:
    """As systemd does where KillUserProcesses is set."""
    batch = begin(people, host, server, trust_new_host_keys=True)
    [(row, lease)] = leases.claim(batch.installs.all(), 30)
    heartbeat.leave(row, lease, [{"stage": "install", "started_at": timezone.now().isoformat(), "seconds": None,
                                  "ok": None}])  # fmt: skip
    HostKey.objects.create(server=server, key_type="ssh-ed25519", key="A", fingerprint=host.host_key(), source="person")
    (host.folder / "tmp" / f"muster-{row.pk.hex}").mkdir()
    lapse()
    work(batch)
    row = wait(lambda: Install.objects.filter(pk=row.pk, state=JobState.DONE).first())
    assert row.attached and row.detached_at is None
    assert [one["stage"] for one in row.stages] == Install.Stage.values


def test_an_installer_that_does_not_end_is_given_up_after_ten_minutes(
    people: People, host: Sshd, server: Server
) -> None:
    import fcntl

    batch = begin(people, host, server, trust_new_host_keys=True)
    [(row, lease)] = leases.claim(batch.installs.all(), 30)
    live = {"stage": "install", "started_at": timezone.now().isoformat(), "seconds": None, "ok": None}
    heartbeat.leave(row, lease, [live])
    HostKey.objects.create(server=server, key_type="ssh-ed25519", key="A", fingerprint=host.host_key(), source="person")
    folder = host.folder / "tmp" / f"muster-{row.pk.hex}"
    folder.mkdir()
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lapse()
        work(batch)
        row = row_of(batch)
        assert (row.state, row.stage) == ("running", "install") and row.leased_until > timezone.now()
        Install.objects.update(detached_at=timezone.now() - timedelta(minutes=11))
        lapse()
        work(batch)
    row = row_of(batch)
    assert (row.state, row.stage) == ("failed", "install") and "still running after 10 minutes" in row.cause
    assert row.fix and row.stages[-1]["ok"] is False and is_over(batch)


def test_a_host_that_is_away_when_we_come_back_is_asked_again(people: People, host: Sshd, server: Server) -> None:
    batch = begin(people, host, server, trust_new_host_keys=True)
    [(row, lease)] = leases.claim(batch.installs.all(), 30)
    live = {"stage": "install", "started_at": timezone.now().isoformat(), "seconds": None, "ok": None}
    heartbeat.leave(row, lease, [live])
    host.stop()
    lapse()
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage, row.cause) == ("running", "install", "")


def test_a_busy_host_holds_no_session_and_no_thread(people: People, host: Sshd) -> None:
    """Rows whose installers go on are let go of, so a worker is free for the next ones."""
    servers = [at("127.0.0.1", people) for _ in range(3)]
    batch = begin(people, host, *servers, trust_new_host_keys=True)
    for row, lease in leases.claim(batch.installs.all(), 30, 3):
        live = {"stage": "install", "started_at": timezone.now().isoformat(), "seconds": None, "ok": None}
        heartbeat.leave(row, lease, [live])
    started = time.monotonic()
    work(batch)
    assert time.monotonic() - started < 30 and "Accepted publickey" not in host.log
    assert set(batch.installs.values_list("state", "stage")) == {("running", "install")}
    assert install.cancel(batch, by=people.alice) == 3 and is_over(batch)
