"""Working a batch: many servers at once, each row under its own lease.

Threads do nothing but SSH and the cloud's console: no database there. This thread alone claims rows, writes what the
others report, and ends rows; a bounded number of threads in a process serves all batches.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from console.lib.jobs.leases import Keeper, Lease, Lost, claim
from console.lib.jobs.rows import JobState
from servers.installs import ending, trusting
from servers.installs.hands import Event, Job, Result, go
from servers.installs.models import Install, InstallBatch
from servers.installs.preparing import Ground
from servers.installs.terms import Limits

log = structlog.get_logger(__name__)

LEASE = 45.0  # seconds
THREADS = 50  # in a process: more of them fail each other (NUMBERS.md, "SSH")
CLAIMING = 900.0  # seconds after which a slice takes no more rows; the sweep rings for the rest
TOLD, TOLD_MANY = 0.3, 1.0  # seconds between writes of the stages that rows are in: of a few rows, of many
FEW = 10
QUIET = 2.0  # seconds between looks at the rows while nothing happens
_slots = threading.BoundedSemaphore(THREADS)


def work(batch_pk: Any, *, limits: Limits | None = None, most: int = THREADS) -> int:
    """Work this batch's rows until none is left to take; how many were taken. Harmless to call at any time."""
    batch = InstallBatch.objects.select_related("customer", "by").filter(pk=batch_pk).first()
    if batch is None:
        return 0
    with Keeper([]) as keeper, ThreadPoolExecutor(most, thread_name_prefix="install") as pool:
        one = _Slice(batch, keeper, pool, limits or Limits(), most)
        try:
            return one.run()
        finally:
            one.let_go()


class _Slice:
    def __init__(
        self, batch: InstallBatch, keeper: Keeper, pool: ThreadPoolExecutor, limits: Limits, most: int
    ) -> None:
        self.batch, self.keeper, self.pool, self.limits, self.most = batch, keeper, pool, limits, most
        self.jobs: dict[Any, Job] = {}
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.changed: dict[Any, Job] = {}  # whose stage is not written yet
        self.told = 0.0
        self.ground = Ground(batch, limits)

    def run(self) -> int:
        taken, looked, until = 0, 0.0, time.monotonic() + CLAIMING
        ended = True
        while True:
            now, got = time.monotonic(), 0
            if ended or now - looked >= QUIET:
                looked = now
                self.notice_lost()
                got = self.take() if now < until else 0
                taken += got
            if self.jobs:
                ended = self.listen()
            elif not got:  # else those that it got needed no thread, and there may be more
                return taken

    def let_go(self) -> None:
        """Whatever happened to us (the database went away), no session is left that nobody answers for."""
        for job in self.jobs.values():
            job.brake.pull()
            _slots.release()
        self.ground.close()

    # taking rows

    def take(self) -> int:
        """Claim as many rows as there are free threads, and set them going."""
        free = 0
        while len(self.jobs) + free < self.most and _slots.acquire(blocking=False):
            free += 1
        claimed: list[tuple[Install, Lease]] = []
        try:
            if free:
                self.batch.refresh_from_db(fields=["held", "sealed_until"])
                claimed = claim(Install.objects.filter(batch=self.batch), LEASE, free)
        finally:
            for _ in range(free - len(claimed)):
                _slots.release()
        for _, lease in claimed:
            self.keeper.add(lease)
        if claimed:
            self.ground.gather([row for row, _ in claimed])
        for row, lease in claimed:
            job = self.prepared(row, lease)
            if job is None:
                self.keeper.drop(lease)
                _slots.release()
                continue
            self.jobs[row.pk] = job
            self.pool.submit(go, job, self.events)
        return len(claimed)

    def prepared(self, row: Install, lease: Lease) -> Job | None:
        try:
            return self.ground.prepare(row, lease)
        except Lost:
            log.info("install no longer ours", row=str(row.pk))
        return None

    # writing down what the threads report

    def listen(self) -> bool:
        """Take what was reported. Rows that ended are written at once, and then it is true; stages now and then."""
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            events.append(self.events.get(timeout=TOLD if self.changed else 1.0))
        while not self.events.empty():
            events.append(self.events.get())
        ended: list[tuple[Job, Result, float]] = []
        for event in events:
            job = event[0]
            if len(event) == 4:
                job.enter(event[1].value, event[2], event[3])
                self.changed[job.row.pk] = job
            else:
                ended.append(event)
                self.changed.pop(job.row.pk, None)
        left = [job for job, result, _ in ended if not job.lost and ending.goes_on(job, result)]
        let_go = ending.let_go(self.batch, left) if left else set()
        for job, result, seconds in ended:
            self.end(job, result, seconds, job.row.pk in let_go)
        if time.monotonic() - self.told > (TOLD if len(self.jobs) <= FEW else TOLD_MANY):
            ending.tell(self.batch, [job for job in self.changed.values() if not job.lost])
            self.changed, self.told = {}, time.monotonic()
        return bool(ended)

    def notice_lost(self) -> None:
        """Cut the sessions of rows that were canceled, or that somebody else holds."""
        held = Install.objects.filter(pk__in=list(self.jobs), state=JobState.RUNNING).values_list("pk", "fence")
        mine = dict(held) if self.jobs else {}
        for pk, job in self.jobs.items():
            if mine.get(pk) != job.lease.fence:
                self.lose(job)

    def lose(self, job: Job) -> None:
        job.lost = True
        job.brake.pull()

    def end(self, job: Job, result: Result, seconds: float, written: bool) -> None:
        self.keeper.drop(job.lease)
        del self.jobs[job.row.pk]
        _slots.release()
        if job.lost:
            return
        try:
            if not written:
                ending.end(self.batch, job, result, seconds)
            for key in self.ground.new_jump_keys():
                trusting.remember_jump(self.batch, key)
        except Lost:
            log.info("install no longer ours", row=str(job.row.pk))
