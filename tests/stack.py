"""The console as it runs: a web process, workers and beat, over the test's database.

Their Valkey is another one than the test's (the last of its sixteen numbers), so nobody answers doorbells of others.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import redis
from django.db import connection

from tests.processes import ROOT, end, wait

BROKER = 15  # the number of their Valkey; each process of a parallel run takes the next lower one


def _environment(**more: str) -> dict[str, str]:
    there = connection.settings_dict
    number = BROKER - int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12
    return os.environ | {
        "DATABASE_URL": f"postgres://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{there['NAME']}",
        "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl(),
    } | more  # fmt: skip


@contextmanager
def console(**settings: str) -> Iterator[str]:
    """Its address. Needs `django_db(transaction=True)`: it has connections of its own."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=1024) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        env = _environment(PUBLIC_URL=url, **settings)
        redis.Redis.from_url(env["REDIS_URL"]).flushdb()
        celery = ["celery", "-A", "console.celery", "-q"]
        worker = [*celery, "worker", "-Q", "default,actions,sync", "-c", "2", "-n", f"{os.getpid()}@%h"]
        beat = [*celery, "beat", "-S", "celery.beat:Scheduler"]
        for words in (["console.web", str(door.fileno())], [*worker, "--without-gossip", "--without-mingle"], beat):
            process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-m", *words], cwd=ROOT, env=env, pass_fds=[door.fileno()],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            stack.callback(end, process)
        wait(lambda: _answers(url), 60, "the console answers")
        yield url


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=5):  # noqa: S310 - our own
        return True
    return False
