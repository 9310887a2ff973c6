"""The job core against `kill -9` of real Celery workers: nothing is lost, nothing runs twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from console.lib import children
from tests.processes import ROOT, end, engine_of_its_own, environment, folder, manage, wait

ENDED = ("done", "failed", "canceled", "expired", "interrupted")


class Works:
    """Two workers and a beat over an engine of their own, and the database seen from outside."""

    def __init__(self, home: Path, url: str, env: dict[str, str]) -> None:
        self.home, self.env = home, env
        self.link = psycopg.connect(url, autocommit=True)
        self.workers = [
            self._celery("worker", "-c", "2", "-n", f"w{number}@%h", "--without-gossip", "--without-mingle")
            for number in range(2)
        ]
        self.beat = self._celery("beat", "-S", "celery.beat:Scheduler")

    def _celery(self, *argv: str) -> subprocess.Popen[bytes]:
        self.home.joinpath("log").mkdir(exist_ok=True)
        with self.home.joinpath("log", f"{argv[0]}.log").open("ab") as out:
            return children.spawn(
                [sys.executable, "-m", "celery", "-A", "console.celery", "-q", *argv], env=self.env, out=out, cwd=ROOT
            )

    def order(self, table: str, count: int) -> None:
        """Rows that nobody rang for: their doorbells were lost."""
        self.link.execute(
            f"INSERT INTO jobapp_{table} (id, state, fence, worker, attempts, outcome) "  # noqa: S608
            "SELECT gen_random_uuid(), 'queued', 0, '', 0, '' FROM generate_series(1, %s)",
            [count],
        )

    def states(self, table: str) -> dict[str, int]:
        return dict(self.link.execute(f"SELECT state, count(*) FROM jobapp_{table} GROUP BY 1").fetchall())  # noqa: S608

    def ended(self) -> int:
        return sum(
            count for table in ("once", "repeatable") for state, count in self.states(table).items() if state in ENDED
        )

    def kill_one(self) -> int:
        """Any process of the two workers, a parent or one of its pool; a dead worker is started again. Its pid."""
        number = random.randrange(2)
        worker = psutil.Process(self.workers[number].pid)
        victim = random.choice([worker, *worker.children()])
        with suppress(psutil.NoSuchProcess):  # one of the pool may end by itself
            victim.kill()
        if victim.pid == worker.pid:
            end(self.workers[number])
            self.workers[number] = self._celery(
                "worker", "-c", "2", "-n", f"w{number}@%h", "--without-gossip", "--without-mingle"
            )
        return victim.pid

    def close(self) -> None:
        self.link.close()
        for process in (self.beat, *self.workers):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def works() -> Iterator[Works]:
    with folder() as home, engine_of_its_own(home) as eng:
        env = environment(home, DJANGO_SETTINGS_MODULE="tests.jobapp.settings", DEMO="0")
        manage(env, "migrate", "--run-syncdb", "-v", "0")
        works = Works(home, eng.database_url, env)
        yield works
        works.close()


@pytest.mark.timeout(600)
def test_workers_killed_at_random_lose_no_work_and_do_none_twice(works, full_or):
    each, kills = full_or(100, 30), full_or(10, 4)
    works.order("repeatable", each)
    works.order("once", each)
    share = 2 * each // (kills + 1)
    for number in range(1, kills + 1):
        wait(lambda due=number * share: works.ended() >= due, 120, f"{number * share} rows ended, then a kill")
        works.kill_one()
    wait(lambda: works.ended() == 2 * each, 180, f"all rows ended: {works.states('once')} {works.states('repeatable')}")

    both = "SELECT outcome, ended_at FROM jobapp_once UNION ALL SELECT outcome, ended_at FROM jobapp_repeatable"
    assert all(outcome and ended_at for outcome, ended_at in works.link.execute(both)), "every ended row says how"

    assert works.states("repeatable") == {"done": each}
    effects = "SELECT count(e.id) FROM jobapp_{0} j LEFT JOIN jobapp_effect e ON e.job = j.id GROUP BY j.id"
    assert {count for [count] in works.link.execute(effects.format("repeatable"))} == {1}, "each exactly once"

    assert set(works.states("once")) <= {"done", "interrupted"}
    assert {count for [count] in works.link.execute(effects.format("once"))} <= {0, 1}, "each at most once"
    done = effects.format("once").replace(" GROUP", " WHERE j.state = 'done' GROUP")
    assert {count for [count] in works.link.execute(done)} == {1}
