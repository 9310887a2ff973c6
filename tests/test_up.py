"""`manage.py up`: starts, mends and stops the whole tree; and says in words why it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from django.core.cache.backends.redis import RedisCache

from console.lib import embedded, pulse
from tests.processes import environment, folder, manage, wait
from tests.ups import Up, up

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def home():
    with folder() as found:
        yield found / "home"


@pytest.fixture(scope="module")
def running(home):
    with up(home, SANDBOX="1") as it:
        yield it.ready()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if not dead(one)]


def dead(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def line_of(process: psutil.Process) -> str:
    """Its command line; nothing of one that ends meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_new_home_gets_ready_and_health_pages_agree(running):
    assert running.readyz() == (200, [])


def test_no_secret_stands_in_a_command_line(running, home):
    eng = embedded.engine(home)
    lines = " ".join(map(line_of, running.tree()))
    assert "console.web" in lines
    for secret in (eng.password, eng.secret_key, eng.seal_keys):
        assert secret not in lines


def test_a_second_start_on_the_same_home_names_the_first(running, home):
    with up(home) as second:
        assert second.process.wait(60) == 1
        assert f"process {running.process.pid}" in second.said
        assert "Traceback" not in second.said


def test_a_taken_port_is_said_with_what_to_do(running):
    with folder() as found, up(found / "home", PORT=str(running.port)) as second:
        assert second.process.wait(60) == 1
        assert f"port {running.port}" in second.said
        assert "PORT=" in second.said
        assert "Traceback" not in second.said


@pytest.mark.parametrize("name", [part for part in Up.PARTS if part != "demo"])
def test_a_killed_part_comes_back_and_the_others_find_it_again(running, name):
    victim = running.part(name)
    others = {part: running.part(part) for part in Up.PARTS if part not in (name, "demo")}
    assert victim and all(others.values()), others
    victim.kill()
    wait(lambda: (found := running.part(name)) and found.pid != victim.pid, 30, f"{name} is started again")
    at = time.time()
    wait(lambda: signs_of_life(running, after=at), 60, f"fresh signs of life from all: {running.readyz()}")
    wait(lambda: running.readyz() == (200, []), 30, "ready again")
    assert {part: running.part(part) for part in others} == others, "nobody else had to be started again"
    assert f"{name} ended (by SIGKILL)" in running.said


def test_a_killed_sandbox_comes_back_where_it_was(running, home):
    site = home / "sandbox" / "site.json"

    def places():
        return {slug: told["url"] for slug, told in json.loads(site.read_text()).items()}

    before, victim = wait(lambda: site.exists() and places(), 30, "the clouds said where"), running.part("sandbox")
    victim.kill()
    wait(lambda: (found := running.part("sandbox")) and found.pid != victim.pid, 30, "it is started again")
    wait(lambda: all(embedded.answers(urlsplit(url).port) for url in before.values()), 30, "its clouds answer")
    assert places() == before


def signs_of_life(running: Up, after: float) -> bool:
    """Whether beat and every worker left a sign since."""
    seen = RedisCache(embedded.engine(running.home).redis_url, {})
    try:
        return all((seen.get(f"pulse:{name}") or 0) > after for name in pulse.EXPECTED)
    except redis.RedisError:
        return False
    finally:
        seen.close()


OVERDUE = """
from django.utils import timezone
from console.models import User
from providers.models import Mail
user = User.objects.create_user("nobody@example.com")
Mail.objects.create(kind="welcome", to=user.email, user=user, expires_at=timezone.now())
"""


def test_work_goes_on_after_the_database_and_the_broker_were_killed(running, home):
    for name in ("postgres", "valkey"):
        victim = running.part(name)
        victim.kill()
        wait(lambda victim=victim: dead(victim), words="dead")
    wait(lambda: running.readyz()[0] == 200, 60, "ready again")
    manage(environment(home), "shell", "-v", "0", "-c", OVERDUE)
    with psycopg.connect(embedded.engine(home).database_url, autocommit=True) as link:
        wait(
            lambda: link.execute("SELECT 1 FROM providers_mail WHERE state = 'expired'").fetchone(),
            30,
            "beat rang the sweep, and a worker settled the row",
        )


def test_a_request_waits_while_web_is_started_again(running):
    running.part("web").kill()
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 200")


def test_a_worker_that_hangs_makes_readyz_red_with_its_name(running, full_or):
    worker = running.part("worker-ssh")
    worker.suspend()
    try:
        status, reasons = wait(lambda: (found := running.readyz())[0] == 503 and found, 60, "a silent worker is missed")
        assert any("'ssh'" in reason for reason in reasons)
    finally:
        worker.resume()
    wait(lambda: running.readyz()[0] == 200, 30, "it is back")


def test_sigterm_ends_every_process_within_15_seconds_and_the_next_start_finds_its_state(running, home):
    """Last in this file: it stops the shared one."""
    url = embedded.engine(home).database_url
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("CREATE TABLE IF NOT EXISTS kept (what text); INSERT INTO kept VALUES ('still here')")
    below = running.tree()
    started = time.monotonic()
    running.stop()
    assert time.monotonic() - started < 15
    assert running.process.returncode == 0
    assert alive(below) == []

    # As after a restart of the machine: the pid of long ago belongs to a stranger now.
    pid_file = home / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{home / 'postgres'}\n1\n0\n\n127.0.0.1\n\n")
    os.chown(pid_file, pid_file.parent.stat().st_uid, -1)
    with up(home) as killed:
        killed.ready()
        below = killed.tree()
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.wait()
        with up(home, PORT=str(killed.port)) as again:  # at once, with no manual step
            again.ready()
            assert alive(below) == [], "what the killed one left has ended"
            with psycopg.connect(embedded.engine(home).database_url) as link:
                assert link.execute("SELECT what FROM kept").fetchone() == ("still here",)
            again.stop(signal.SIGINT)
            assert again.process.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user: run it as root")
def test_root_may_keep_its_home_where_nobody_can_go(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    private.chmod(0o700)
    eng = embedded.engine(private / "home")
    process = embedded.start_postgres(eng, durable=False)
    data = Path((eng.home / "postgres.where").read_text().strip())
    try:
        assert embedded.postgres_answers(eng)
        assert private.stat().st_mode & 0o777 == 0o700
        assert psutil.Process(process.pid).username() == "nobody"
        assert data.stat().st_mode & 0o777 == 0o700
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        shutil.rmtree(data)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("PORT", "eighty", "PORT=8000"),
        ("DATABASE_URL", "mysql://a/b", "DATABASE_URL=postgres://"),
        ("DATABASE_URL", "postgres://nobody:x@127.0.0.1:9/none", "Check DATABASE_URL"),
        ("REDIS_URL", "redis://127.0.0.1:9/0", "Check REDIS_URL"),
        ("SEAL_KEYS", "not-a-key", "NAME:BASE64"),
        ("SEAL_KEYS_FILE", "/nowhere/at/all", "No such file"),
        ("SECRET_KEY", "short", "random characters"),
        ("PUBLIC_URL", "http://console.example.com", "https://"),
        ("PUBLIC_URL", "https://console.example.com", "TRUSTED_PROXIES="),
        ("ALLOWED_HOSTS", "elsewhere.example", "leave it unset"),
        ("WEB_PROCESSES", "many", "WEB_PROCESSES=2"),
        ("MUSTER_HOME", "/proc/none", "MUSTER_HOME"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_hint(setting, value, says):
    with folder() as found, up(found / "home", **{setting: value}) as it:
        assert it.process.wait(60) in (1, 78)
        assert says in it.said
        assert "Traceback" not in it.said
