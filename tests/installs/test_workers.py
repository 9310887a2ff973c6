"""Killed workers, cancels, and credentials that are forgotten in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis, ResponseError

from accounts.signals import account_removed
from console.lib.denials import Denied
from console.lib.jobs import sweeping
from console.lib.jobs.rows import JobState
from providers.signals import customer_closing, customer_suspended
from servers.agents.models import Agent
from servers.installs import install, tasks, trusting
from servers.installs.models import HostKey, Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.installs.hosts import begin, is_over, row_of, verbs, work
from tests.processes import wait
from tests.sshd import Sshd

pytestmark = pytest.mark.django_db(transaction=True)


def slow(tmp_path: Path) -> Sshd:
    """A server on which the probe never ends."""
    return Sshd(tmp_path / "slow", forced="exec sleep 120")


def test_a_killed_worker_loses_nothing(people: People, host: Sshd, server: Server, tmp_path: Path) -> None:
    with slow(tmp_path) as stuck:
        batch = begin(people, stuck, server, trust_new_host_keys=True)
        text = f"import django; django.setup(); from servers.installs import working; working.work('{batch.pk}')"
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + connection.settings_dict["NAME"],
        }
        worker = subprocess.Popen([sys.executable, "-c", text], env=environment)
        try:
            wait(lambda: row_of(batch).stage == Install.Stage.PROBE)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    row = row_of(batch)
    assert row.state == "running" and row.leased_until > timezone.now()
    # Its server is mended meanwhile; a minute later the lease has lapsed.
    Install.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    InstallBatch.objects.update(port=host.port)
    batch.refresh_from_db()
    batch.close_credentials({"private_key": host.private_key})
    batch.save()
    HostKey.objects.all().delete()
    assert sweeping.sweep()["rung"] >= 1
    tasks.run(str(batch.pk))
    wait(lambda: row_of(batch).state == JobState.DONE)
    assert Agent.objects.count() == 1 and is_over(batch)


def test_a_cancel_cuts_the_connection_and_deletes_the_credentials(
    people: People, server: Server, tmp_path: Path
) -> None:
    with slow(tmp_path) as stuck:
        batch = begin(people, stuck, server, trust_new_host_keys=True)

        def run() -> None:
            work(batch)
            connection.close()

        worker = threading.Thread(target=run)
        worker.start()
        wait(lambda: row_of(batch).stage == Install.Stage.PROBE)
        assert install.cancel(batch, by=people.bob) == 1
        assert is_over(batch)
        worker.join(10)
        assert not worker.is_alive()
    row = row_of(batch)
    assert row.state == "canceled" and "bob@example.com" in row.outcome
    assert ("bob@example.com", "install.canceled") in verbs()


def test_credentials_are_forgotten_in_time_and_what_waits_for_them_ends(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server)
    work(batch)
    assert install.forget() == 0
    InstallBatch.objects.update(sealed_until=timezone.now() - timedelta(seconds=1))
    with_secret = InstallBatch.objects.exclude(sealed="")
    assert with_secret.count() == 1
    tasks.forget()
    assert not with_secret.exists() and is_over(batch)
    row = row_of(batch)
    assert row.state == "expired" and "60 minutes" in row.cause and row.fix
    with pytest.raises(Denied):
        trusting.confirm(batch, by=people.alice)


@pytest.mark.parametrize("signal_name", ["closing", "suspended", "account"])
def test_who_goes_takes_the_installs_along(people: People, host: Sshd, server: Server, signal_name: str) -> None:
    batch = begin(people, host, server)
    if signal_name == "account":
        account_removed.send(sender=type(people.account), account=people.account)
    else:
        which = customer_closing if signal_name == "closing" else customer_suspended
        which.send(sender=type(people.customer), customer=people.customer)
    assert row_of(batch).state == "canceled" and is_over(batch)


def test_no_secret_is_in_the_database_or_in_the_log(
    people: People, server: Server, host: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    batch = begin(people, host, server, private_key="", password="correct-canary-staple", sudo_password="canary-two",
                  trust_new_host_keys=True)  # fmt: skip
    work(batch)
    assert row_of(batch).cause == f"The server did not accept this password for user {host.user}."
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', ["%canary%"])  # noqa: S608
            assert cursor.fetchone() == (0,), table
    assert "canary" not in caplog.text
    held = list(everything_in_valkey())
    assert held and not [name for name, value in held if "canary" in name + value]


def everything_in_valkey() -> Iterator[tuple[str, str]]:
    """Each key with its value as text: queues, hints, the answers of tasks."""
    read = {"string": "get", "list": "lrange", "set": "smembers", "zset": "zrange", "hash": "hgetall"}
    with Redis.from_url(settings.REDIS_URL, decode_responses=True, encoding_errors="replace") as valkey:
        for name in valkey.scan_iter():
            kind = valkey.type(name)
            span = (0, -1) if kind in ("list", "zset") else ()
            try:
                yield name, str(getattr(valkey, read[kind])(name, *span))
            except ResponseError:
                continue  # it went meanwhile, and something else came
