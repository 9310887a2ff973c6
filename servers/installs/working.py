"""Working a batch: many servers at once, each row under its own lease.

Threads do nothing but SSH and the cloud's console: no database there. This thread alone claims rows, writes what the
others report, and ends rows; a bounded number of threads in a process serves all batches.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import opening
from accounts.models import CloudAccount
from console.lib import notify
from console.lib.denials import Denied
from console.lib.faults import Fault
from console.lib.jobs.leases import Keeper, Lease, Lost, claim
from console.lib.jobs.rows import JobState
from console.lib.seal import SealBroken
from servers.agents import enrol
from servers.agents.program import build
from servers.installs import heartbeat, install, keys
from servers.installs.hands import Event, Job, Order, Result, go
from servers.installs.models import HostKey, Install, InstallBatch
from servers.installs.signin import Login
from servers.installs.terms import Limits, Outcome, Target
from servers.installs.trouble import Trouble
from servers.installs.vouching import Voucher

log = structlog.get_logger(__name__)

LEASE = 45.0  # seconds
THREADS = 50  # in a process: more of them fail each other (NUMBERS.md, "SSH")
CLAIMING = 900.0  # seconds after which a slice takes no more rows; the sweep rings for the rest
QUIET = 2.0  # seconds between looks at the rows while nothing happens
BROKE = "Something broke on our side. Staff can see what in the log."
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
        self.vouchers: dict[Any, Voucher] = {}
        self.order: Order | None = None
        self.shut = install.GONE
        try:
            if credentials := batch.credentials():
                self.order = self.ordered(credentials)
        except (SealBroken, keys.KeyRefused):
            log.exception("SSH credentials do not open", batch=str(batch.pk))
            self.shut = "The SSH credentials of this install cannot be opened any more."

    def ordered(self, credentials: dict[str, str]) -> Order:
        key = credentials.get("private_key")
        artifact = build.artifact()
        return Order(
            login=Login(
                self.batch.ssh_user,
                keys.load(key, credentials.get("passphrase")) if key else None,
                credentials.get("password"),
                credentials.get("sudo_password"),
                self.batch.use_sudo,
            ),
            url=settings.PUBLIC_URL,
            agent=artifact.path.read_bytes(),
            sha256=artifact.sha256,
            trust=self.batch.trust_new_host_keys,
            limits=self.limits,
        )

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

    # taking rows

    def take(self) -> int:
        """Claim as many rows as there are free threads, and set them going."""
        free = 0
        while len(self.jobs) + free < self.most and _slots.acquire(blocking=False):
            free += 1
        claimed: list[tuple[Install, Lease]] = []
        try:
            if free:
                claimed = claim(Install.objects.filter(batch=self.batch), LEASE, free)
        finally:
            for _ in range(free - len(claimed)):
                _slots.release()
        for row, lease in claimed:
            self.keeper.add(lease)
            job = self.prepared(row, lease)
            if job is None:
                self.keeper.drop(lease)
                _slots.release()
                continue
            self.jobs[row.pk] = job
            self.pool.submit(go, job, self.events)
        return len(claimed)

    def prepared(self, row: Install, lease: Lease) -> Job | None:
        """`prepare`, such that one row that cannot be prepared does not stop the others."""
        try:
            try:
                return self.prepare(row, lease)
            except Denied as denied:
                lease.end(JobState.FAILED, denied.words, cause=denied.words, fix="Start the install again.")
            except SealBroken:
                log.exception("cloud credentials do not open", account=str(row.server.account_id))
                lease.end(JobState.FAILED, BROKE, cause=BROKE, fix="Try again.")
        except Lost:
            log.info("install no longer ours", row=str(row.pk))
        return None

    def prepare(self, row: Install, lease: Lease) -> Job | None:
        """What the row's thread needs; None when the row needs no thread any more."""
        if row.stage == Install.Stage.FIRST_HEARTBEAT:
            self.keeper.drop(lease)
            heartbeat.look_again(row, lease)
            return None
        if heartbeat.heard(row):
            row.stages = row.stages or [{"stage": row.stage, "started_at": timezone.now().isoformat()}]
            heartbeat.finish(row, lease)
            return None
        if self.order is None:
            lease.end(JobState.FAILED, self.shut, cause=self.shut, fix="Start the install again.")
            return None
        server = row.server
        account: CloudAccount = server.account
        known = dict(HostKey.objects.filter(server=server).values_list("fingerprint", "key_type"))
        voucher = None
        if known or not self.batch.trust_new_host_keys:
            voucher = self.vouchers.get(account.pk) or self.vouch(account)
        return Job(
            order=self.order,
            row=row,
            lease=lease,
            target=Target(server.address or row.address, self.batch.port, frozenset(known), tuple(known.values())),
            token=enrol.issue(server, by=self.batch.by),
            transport=opening.transport(account.endpoint),
            voucher=voucher,
            external_id=server.external_id,
        )

    def vouch(self, account: CloudAccount) -> Voucher:
        driver = None
        try:
            driver = opening.driver(account, account.credentials())
        except Fault as fault:
            log.info("consoles cannot be read", account=str(account.pk), reason=fault.words)
        voucher = self.vouchers[account.pk] = Voucher(driver)
        return voucher

    # writing down what the threads report

    def listen(self) -> bool:
        """Take what was reported, and write it; whether any row ended."""
        try:
            events = [self.events.get(timeout=1.0)]
        except queue.Empty:
            return False
        while not self.events.empty():
            events.append(self.events.get())
        changed: dict[Any, Job] = {}
        ended: list[tuple[Job, Result, float]] = []
        for event in events:
            job = event[0]
            if len(event) == 4:
                job.enter(event[1].value, event[2], event[3])
                changed[job.row.pk] = job
            else:
                ended.append(event)
                changed.pop(job.row.pk, None)
        for job in changed.values():
            self.write(job)
        for job, result, seconds in ended:
            self.end(job, result, seconds)
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

    def write(self, job: Job) -> None:
        if job.lost:
            return
        try:
            job.lease.write(stage=job.stages[-1]["stage"], stages=job.stages, address=job.target.host)
        except Lost:
            self.lose(job)
            return
        notify.changed(self.batch.customer_id, f"install-{job.row.pk}")

    def end(self, job: Job, result: Result, seconds: float) -> None:
        self.keeper.drop(job.lease)
        del self.jobs[job.row.pk]
        _slots.release()
        if job.lost:
            return
        if job.stages:
            job.stages[-1] |= {"seconds": seconds, "ok": isinstance(result, Outcome)}
        try:
            if isinstance(result, Outcome):
                self.installed(job)
            elif isinstance(result, Trouble):
                self.failed(job, result)
            else:
                log.error("install broke", row=str(job.row.pk), exc_info=result)
                job.lease.end(JobState.FAILED, BROKE, stages=job.stages, cause=BROKE, fix="Try again.")
        except Lost:
            log.info("install no longer ours", row=str(job.row.pk))

    def installed(self, job: Job) -> None:
        with transaction.atomic():
            job.lease.hold()
            if job.presented and job.by_console:
                HostKey.objects.filter(server=job.row.server_id).delete()  # those of before a rebuild
                install.remember(job.row.server_id, job.presented, HostKey.Source.CONSOLE)
            elif job.presented:
                install.remember(job.row.server_id, job.presented, HostKey.Source.PERSON, self.batch.by)
        heartbeat.expect(job.row, job.lease, job.stages, address=job.target.host)
        notify.changed(self.batch.customer_id, f"install-{job.row.pk}")

    def failed(self, job: Job, problem: Trouble) -> None:
        fields: dict[str, Any] = {
            "stage": problem.stage.value, "stages": job.stages, "cause": problem.cause, "fix": problem.fix,
        }  # fmt: skip
        if key := problem.presented:
            fields |= {"host_key_type": key.type, "host_key": key.base64, "fingerprint": key.fingerprint}
        if problem.code == "unknown_host_key" and self.batch.sealed_until:
            job.lease.park(self.batch.sealed_until, problem.cause, **fields)
            for what in (f"install-{job.row.pk}", f"batch-{self.batch.pk}"):
                notify.changed(self.batch.customer_id, what)
            return
        job.lease.end(JobState.FAILED, problem.cause, **fields)
