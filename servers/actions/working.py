"""The worker of an action: call the cloud once, keep what it answered, then look now and then until it has ended.

No thread waits: between two looks the row rests. A worker may be killed at any point. `called_at` is written before
the call and `task_ref` after it, both under the row's fence, so whoever takes the row up next knows which of the three
it is: not called yet; under way, to be found again by its ref; or cut off in between (recovering.py).
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import Any, Final

import structlog
from django.db import transaction
from django.utils import timezone

from accounts import calling, generation, places, ready
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation, Phase, Progress, Task, require
from accounts.models import CloudAccount
from console.lib import notify
from console.lib.faults import Fault, SlowDown, Unexpected, Unreachable
from console.lib.jobs.kinds import pause
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from console.lib.seal import SealBroken
from servers.actions import creating, newcomers, passwords, showing
from servers.actions.kinds import CREATE, PATIENCE
from servers.actions.models import Action
from servers.actions.recovering import found_out, taken_on
from servers.actions.unknown import Unknown

log = structlog.get_logger(__name__)

ASIDE: Final = (0.3, 1.5)  # seconds that a row rests, from .. to, when every place of its endpoint is taken
TURN: Final = 2.0  # seconds that a call waits for the account's turn; a longer wait is spent resting
LOOKS: Final = (1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 5.0)  # seconds between looks; the last one again and again


def perform(row: Action, lease: Lease) -> None:
    """Carry the row one step on; it rests then, or ends. Raises Lost, what is our own bug, and faults of signing in."""
    account = CloudAccount.objects.select_related("customer", "endpoint__provider").get(pk=row.account_id)
    with places.work(account.endpoint_id) as taken, ExitStack() as borrowed:
        if not taken:
            lease.rest(random.uniform(*ASIDE), places.WORK_WAITS)  # noqa: S311  # spreads load
            return
        step = _Step(row, lease, account, borrowed)
        if row.server is None and not step.creates:
            step.end(JobState.FAILED, "This server is no longer there.")
        elif row.called_at is None:
            step.call()
        elif row.task_ref:
            step.look()
        else:
            step.recover()


class _Step:
    """One step of one row that is held. `borrowed`: what it has of others until the step is over."""

    def __init__(self, row: Action, lease: Lease, account: CloudAccount, borrowed: ExitStack) -> None:
        self.row, self.lease, self.account, self.borrowed = row, lease, account, borrowed

    def _driver(self) -> ActingDriver:
        return self.borrowed.enter_context(calling.opened(self.account, TURN, places.WORK_WITHIN))

    @property
    def creates(self) -> bool:
        return self.row.kind == CREATE.name

    @property
    def external_id(self) -> str:
        """The server's, at its cloud; "" for one that is not known to be there yet."""
        return self.row.server.external_id if self.row.server else ""

    def call(self) -> None:
        """The one call. What fails before `called_at` may be tried again without harm; what fails after, not blindly.

        Faults of signing in are raised: the job core tries again a few times.
        """
        row = self.row
        if words := ready.refusal(self.account):  # it may be another one since it was asked
            self.end(JobState.FAILED, words)
            return
        params = self._params()
        try:
            driver = self._driver()
            with calling.heard(self.account):
                able = driver.capabilities()  # signs in
                generation.learn(self.account, driver)
        except SlowDown as fault:
            self._later(fault)
            return
        require(able, row.does.operation)
        target = self.external_id
        if self.creates and newcomers.carries_mark(driver):
            target = str(row.pk)
        row.called_at = timezone.now()
        self.lease.write(called_at=row.called_at, phase="", percent=None)
        self._tell()
        try:
            with calling.heard(self.account):
                task = row.does.call(driver, target, params)
        except SlowDown as fault:  # refused before anything was done
            self._later(fault)
            return
        except Unreachable as fault:  # it may have been heard
            log.info("an action's call got no answer", action=str(row.pk), reason=fault.words)
            self.lease.rest(LOOKS[-1], fault.words)
            return
        except Fault as fault:
            self.end(JobState.FAILED, fault.words, driver)
            return
        row.task_ref = task.ref
        self.lease.write(task_ref=task.ref, **passwords.sealed(row, task.password))
        self._bind(driver, task.server_id)
        self.look(driver)

    def look(self, driver: ActingDriver | None = None) -> None:
        """Ask the cloud how its task stands."""
        try:
            driver = driver or self._driver()
            with calling.heard(self.account):
                told = driver.task(Task(self.row.task_ref, self.external_id))
        except (Unreachable, SlowDown) as fault:  # the cloud goes on without us: patience
            self._wait(fault.words, pause(min(self.row.polls, 6), fault))
            return
        except Fault as fault:
            words = f"The cloud took it on, and then could not say how it stands. {fault.words}"
            self.end(JobState.FAILED, words, driver)
            return
        self._go_by(told, driver)

    def recover(self) -> None:
        """The call was begun and its answer is not known. Look what became of it; call again only where it is safe."""
        driver: ActingDriver | None = None
        told: Progress | None = None
        try:
            driver = self._driver()
            with calling.heard(self.account):
                if task := taken_on(self.row, driver, self.external_id):
                    self.row.task_ref = task.ref
                    self.lease.write(task_ref=task.ref)
                else:
                    told = found_out(self.row, driver, self.external_id)
        except (Unreachable, SlowDown) as fault:
            self._wait(fault.words, pause(min(self.row.polls, 6), fault))
            return
        except Unknown as unknown:
            self.end(JobState.INTERRUPTED, unknown.words, driver, unknown.server_id)
            return
        if self.row.task_ref:
            self.look(driver)
        elif told is None:
            self.lease.again(0, "It was not heard by the cloud; it is asked again.", called_at=None)
        else:
            self._go_by(told, driver)

    def _go_by(self, told: Progress, driver: ActingDriver) -> None:
        if told.phase == Phase.RUNNING:
            self._bind(driver, told.server_id)
            self._wait("", LOOKS[min(self.row.polls, len(LOOKS) - 1)], told)
        elif told.phase == Phase.FAILED:
            words = told.words or "The cloud gave it up, and said no reason."
            self.end(JobState.FAILED, words, driver, told.server_id)
        else:
            kept = passwords.sealed(self.row, told.password)
            self.end(JobState.DONE, told.words or self.row.does.outcome, driver, told.server_id, **kept)

    def _params(self) -> dict[str, Any]:
        try:
            return creating.params_of(self.row) if self.creates else self.row.params
        except SealBroken as broken:
            log.error("a sealed order does not open", action=str(self.row.pk), reason=str(broken))
            raise Unexpected("The kept user data does not open. Staff see why in the log; order it again.") from broken

    def _later(self, fault: SlowDown) -> None:
        """Nothing was asked yet: rest for as long as the cloud wishes, but not for ever."""
        if timezone.now() - self.row.queued_at > PATIENCE:
            self.end(JobState.FAILED, f"It was not asked of the cloud. {fault.words}")
            return
        wait = pause(min(self.row.polls, 4), fault, base=2.0)
        self.lease.rest(wait, fault.words, called_at=None, polls=self.row.polls + 1)

    def _wait(self, words: str, seconds: float, told: Progress | None = None) -> None:
        """Rest until the next look; give up when it took too long."""
        row = self.row
        if row.called_at is not None and timezone.now() - row.called_at > PATIENCE:
            hours = int(PATIENCE.total_seconds() // 3600)
            self.end(JobState.FAILED, f"The cloud had not finished it after {hours} hours.")
            return
        changed: dict[str, Any] = {}
        if told is not None:
            changed = {"phase": told.words[:255], "percent": told.percent}
        self.lease.rest(seconds, words, polls=row.polls + 1, **changed)
        if told is None or (row.phase, row.percent) != (changed["phase"], changed["percent"]):
            self._tell()

    def _bind(self, driver: ActingDriver, server_id: str) -> None:
        """A new server's row, as soon as its cloud has told its id: the list shows how it comes to be."""
        if not self.creates or not server_id or self.row.server_id:
            return
        seen = showing.seen(self.account, driver, server_id)
        if seen is None or seen.facts is None:
            return
        found = showing.bind(self.row, self.lease, self.account, seen)
        if found is not None:
            self.row.server = found

    def end(
        self, state: JobState, words: str, driver: ActingDriver | None = None, server_id: str = "", **fields: Any
    ) -> None:
        """The row ends together with what its server looks like by now, where `driver` can tell."""
        seen = showing.seen(self.account, driver, server_id or self.external_id) if driver is not None else None
        with transaction.atomic():
            if seen is not None:
                deleted = state == JobState.DONE and self.row.does.operation == Operation.DELETE
                found = showing.show(self.account, seen, deleted=deleted)
                if self.creates and found is not None:
                    fields["server"] = found
            self.lease.end(state, words, percent=100 if state == JobState.DONE else self.row.percent, **fields)

    def _tell(self) -> None:
        notify.changed(self.row.customer_id, f"action-{self.row.pk}")
        if self.row.server_id:
            notify.changed(self.row.customer_id, f"server-{self.row.server_id}")
