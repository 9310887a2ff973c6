"""Work that a cell took on, to be read by any process later.

A reference is the address of a vCloud task; or, where one wish needs several tasks one after the other (undeploy, then
delete), what is wanted and the first task. The next step is then found by looking at the server itself and not
remembered, so a poll that is repeated or a worker that is killed does nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import orjson

from accounts.clouds import vcloud_orders as orders
from accounts.clouds import vcloud_replies as replies
from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.operations import Operation, Phase, Progress, Task
from accounts.clouds.vcloud_wire import Content, Wire
from console.lib.faults import Refused, SlowDown, Unexpected, Unreachable

DONE: Final = "done:"
LONGEST: Final = 7200.0  # seconds in which the steps of one wish must be done
MOST_PAGES: Final = 20  # of tasks that are looked through for a lost one
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("vappDeploy", "vappPowerOn"),
    "resume": ("vappDeploy", "vappPowerOn"),
    "stop": ("vappUndeployPowerOff", "vappShutdownGuest", "vappPowerOff"),
    "reboot": ("vappRebootGuest",),
    "reset": ("vappReset",),
    "suspend": ("vappSuspend", "vappUndeploySuspend"),
    "rename": ("vappUpdateVm",),
    "snapshot": ("vappCreateSnapshot",),
    "revert_snapshot": ("vappRevertToCurrentSnapshot",),
    "delete_snapshot": ("vappRemoveAllSnapshots",),
}
"""Operation → what a cell may call its task ([KNOW]; no real cell was asked). Without those that are several tasks."""

_PATIENCE: Final = (0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 2.0, 3.0, 5.0)  # seconds between looks at a task that is waited for

_CUT: Final = "cut:"  # in front of the address of a task that powers a running server off
_HARD: Final = "Its power was cut, since vCloud had no way to ask its system to shut down."
_STEPS: Final = "steps:"
_FINISHED: Final = Progress(Phase.DONE, percent=100)
_RUNNING: Final = Progress(Phase.RUNNING)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the steps lead to. `at`: address of the server, or of the vApp that is being made. `task`: the first task.

    `since`: when the cell began it, in its own clock; `began`: the same in ours.
    """

    deed: str
    at: str
    task: str = ""
    since: str = ""
    began: float = 0.0
    name: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    policy: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return _STEPS + orjson.dumps(asdict(self)).decode()


class Tasks:
    """The tasks of one account. `clock`: seconds since 1970."""

    def __init__(
        self, wire: Wire, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._sleep = sleep

    # --- beginning

    def post(self, address: str, content: Content | None = None, *, method: str = "POST", server_id: str = "") -> Task:
        """Ask for one thing. Refused, SlowDown … when the cell does not take it on."""
        task, _ = self._ask(method, address, content)
        return Task(task or DONE, server_id)

    def finish(self, address: str, content: Content | None = None, *, method: str = "POST") -> None:
        """Ask for one small thing and wait for its end: until then the cell refuses the next one as busy."""
        task = self.post(address, content, method=method)
        for pause in _PATIENCE:
            progress = self.progress(task)
            if progress.phase is Phase.FAILED:
                raise Refused(progress.words)
            if progress.phase is Phase.DONE:
                return
            self._sleep(pause)
        raise Unreachable(f"The vCloud cell did not end it in {sum(_PATIENCE):.0f} seconds. Look again later.")

    def begin(self, wish: Wish, server_id: str = "") -> Task:
        """The first step towards a wish, taken now; the others follow at each look."""
        progress, address, since = self._step(wish)
        if progress.phase is Phase.DONE:
            return Task(DONE, server_id)
        if progress.phase is Phase.FAILED:
            raise Refused(progress.words)
        return Task(self.began(wish, address, since).ref, server_id)

    def began(self, wish: Wish, task: str, since: str) -> Wish:
        values = asdict(wish) | {"task": task, "since": since, "began": self._clock()}
        return Wish(**values)

    def _ask(self, method: str, address: str, content: Content | None = None) -> tuple[str, str]:
        """(address of the task, when it began); empty when it was done at once."""
        response = self._wire.request(method, address, content)
        if not response.ok:
            raise self._wire.fault(response)
        return taken(self._wire.read(response)) if response.content.strip() else ("", "")

    # --- looking

    def progress(self, task: Task) -> Progress:
        """How it stands. A task that the cell has forgotten is done as far as the server shows it."""
        if task.ref == DONE:
            return Progress(Phase.DONE, percent=100, server_id=task.server_id)
        if task.ref.startswith(_CUT):
            told = self._look(task.ref[len(_CUT) :], task.server_id)
            return replace(told, words=_HARD) if told.phase is Phase.DONE else told
        if not task.ref.startswith(_STEPS):
            return self._look(task.ref, task.server_id)
        try:
            wish = Wish(**orjson.loads(task.ref[len(_STEPS) :]))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise Unexpected("This task was not written by the vCloud driver.") from error
        if wish.task:
            first = self._look(wish.task, task.server_id, forgotten=_FINISHED)
            if first.phase is not Phase.DONE:
                return first
        try:
            progress, _, _ = self._step(wish)
        except SlowDown:
            return _RUNNING  # somebody else is at work on it; the next look finds it free
        except Refused as refused:
            return Progress(Phase.FAILED, refused.words, server_id=task.server_id)
        if progress.phase is Phase.RUNNING and self._clock() - wish.began > LONGEST:
            return Progress(Phase.FAILED, "The cloud did not finish it within two hours.", server_id=task.server_id)
        return progress

    def _look(self, address: str, server_id: str, forgotten: Progress | None = None) -> Progress:
        found = self._wire.find(address)
        if found is None:
            return forgotten or Progress(
                Phase.FAILED, "The cloud does not know this task any more. Look at the server.", server_id=server_id
            )
        status = xml.named(found, "Task").get("status", "")
        owner = xml.child(found, "Owner")
        of = xml.tail(owner.get("href", "")) if owner is not None else ""
        server = server_id or (of if of.startswith("vm-") else "")
        percent = xml.number(xml.text(found, "Progress"))
        if status == "success":
            return Progress(Phase.DONE, percent=100, server_id=server)
        if status in ("queued", "preRunning", "running"):
            return Progress(Phase.RUNNING, percent=min(percent, 100) if percent is not None else None, server_id=server)
        return Progress(Phase.FAILED, failure(found), percent, server)

    def recent(self, operation: Operation, external_id: str, since: datetime) -> Task | None:
        """By the query service, of deeds that are one task. 1.0 has none, and names no task for programs."""
        names = NAMES.get(operation, ())
        if not names or self._wire.spoken.generation == "1.0":
            return None
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        address = self._wire.query("task", f"startDate=ge={moment}")
        found: list[tuple[datetime, str]] = []
        for _ in range(MOST_PAGES):
            page = xml.named(self._wire.get(address), "QueryResultRecords")
            for record in xml.children(page, "TaskRecord"):
                at = xml.moment(record.get("startDate", ""))
                mine = xml.tail(record.get("object", "")) == external_id and record.get("name", "") in names
                if mine and at is not None and at >= since.replace(microsecond=0):
                    found.append((at, record.get("href", "")))
            address = xml.link(page, "nextPage")
            if not address:
                break
        return Task(max(found)[1], external_id) if found else None

    # --- steps

    def _step(self, wish: Wish) -> tuple[Progress, str, str]:
        """Look at what there is, and do the next thing if it is time for one: (how it stands, its task, since)."""
        steps = {"delete": self._delete, "resize": self._resize, "create": self._create}
        try:
            step = steps[wish.deed]
        except KeyError:
            raise Unexpected("This task was not written by the vCloud driver.") from None
        found = self._wire.find(wish.at)
        if found is None:
            if wish.deed == "delete":
                return _FINISHED, "", ""
            return Progress(Phase.FAILED, "The server does not exist any more."), "", ""
        if rows.busy(xml.named(found, "Vm", "VApp")):
            return _RUNNING, "", ""
        if words := failed_since(found, wish.since):
            return Progress(Phase.FAILED, words), "", ""
        return step(wish, found)

    def _do(self, method: str, address: str, content: Content | None = None) -> tuple[Progress, str, str]:
        return (_RUNNING, *self._ask(method, address, content))

    def _delete(self, wish: Wish, vm: xml.Element) -> tuple[Progress, str, str]:
        up = xml.link(vm, "up", "vApp")
        vapp = self._wire.find(up) if up else None
        target = vm
        if vapp is not None:
            if rows.busy(vapp):
                return _RUNNING, "", ""
            if words := failed_since(vapp, wish.since):
                return Progress(Phase.FAILED, words), "", ""
            if len(list(rows.machines(vapp))) == 1:
                # It goes with its vApp: an empty one would stay, and count against the quota.
                target = vapp
        if xml.truth(target.get("deployed", "")):
            off = xml.link(target, "undeploy") or xml.link(vm, "undeploy")
            if not off:
                raise Refused("The cloud offers no way to stop this server now, so it cannot be deleted.")
            return self._do("POST", off, orders.undeploy(self._wire.spoken))
        if address := xml.link(target, "remove"):
            return self._do("DELETE", address)
        if vapp is not None and (address := xml.link(vapp, "recompose")):
            return self._do("POST", address, orders.without(self._wire.spoken, wish.at))
        raise Refused("The cloud does not let this account delete this server.")

    def _resize(self, wish: Wish, vm: xml.Element) -> tuple[Progress, str, str]:
        # One after the other: the second would find the server busy.
        held_policy = xml.child(vm, "ComputePolicy", "VmSizingPolicy")
        if wish.policy and (held_policy is None or xml.tail(held_policy.get("href", "")) != xml.tail(wish.policy)):
            address = xml.link(vm, "reconfigureVm")
            if not address:
                raise Refused("The cloud does not let this account resize this server now.")
            return self._do("POST", address, orders.sized(self._wire.spoken, vm, wish.policy))
        held = rows.hardware(vm)
        for kind, wanted in (("3", wish.cpus), ("4", wish.memory_mb)):
            if wanted is None or rows.quantity(held, kind) == wanted:
                continue
            item = next(iter(held.get(kind, ())), None)
            address = "" if item is None else xml.link(item, "edit") or xml.attribute(item, "href")
            if not address:
                raise Refused("The cloud does not let this account resize this server now.")
            return self._do("PUT", address, orders.quantity(self._wire.get(address), wanted))
        return _FINISHED, "", ""

    def _create(self, wish: Wish, vapp: xml.Element) -> tuple[Progress, str, str]:
        vm = next(rows.machines(vapp), None)
        if vm is None:
            if vapp.get("status") == "-1":
                return Progress(Phase.FAILED, "The cloud could not create the server."), "", ""
            return _RUNNING, "", ""
        if rows.busy(vm):
            return _RUNNING, "", ""
        if words := failed_since(vm, wish.since):
            return Progress(Phase.FAILED, words), "", ""
        if xml.truth(vm.get("deployed", "")):
            made = xml.tail(vm.get("href", ""))
            return Progress(Phase.DONE, percent=100, server_id=made, password=password(vm)), "", ""
        if vm.get("name") != wish.name:
            return self._do("PUT", xml.link(vm, "edit"), orders.renamed(self._wire.spoken, vm, wish.name))
        resized = self._resize(wish, vm)
        if resized[0].phase is Phase.RUNNING:
            return resized
        if wish.metadata and (address := xml.link(vm, "down", "metadata")):
            kept = entries(self._wire.get(address))
            if wish.metadata.items() - kept.items():
                return self._do("POST", address, orders.metadata(self._wire.spoken, wish.metadata))
        on = xml.link(vm, "power:powerOn") or xml.link(vapp, "power:powerOn")
        if not on:
            raise Refused("The server was created, but the cloud offers no way to start it.")
        return self._do("POST", on)


def cut(task: Task) -> Task:
    """The same, of which it is told at its end that the power was cut."""
    return task if task.ref == DONE else replace(task, ref=_CUT + task.ref)


def taken(found: xml.Element) -> tuple[str, str]:
    """(address, start) of the task that a reply holds: itself, or the one of the thing that is being made."""
    task = found if xml.name_of(found) == "Task" else xml.child(found, "Tasks", "Task")
    if task is None:
        return "", ""
    if not task.get("href"):
        raise Unexpected("The cell took work on without saying where to ask for it.")
    return task.get("href", ""), task.get("startTime", "")


def failure(task: xml.Element) -> str:
    """Why a task failed, in the cell's own words."""
    error = xml.child(task, "Error")
    words = replies.told(error).words if error is not None else ""
    return words or f"The cloud ended the task as {xml.cut(task.get('status', '')) or 'unknown'}."


def failed_since(element: xml.Element, since: str) -> str:
    """The words of a task of this thing that failed after `since` (in the cell's clock); "" if none did."""
    after = xml.moment(since)
    for task in xml.children(element, "Tasks", "Task"):
        began = xml.moment(task.get("startTime", ""))
        if task.get("status") in ("error", "aborted", "canceled") and after and began and began >= after:
            return failure(task)
    return ""


def password(vm: xml.Element) -> str:
    """The first password, where the cell made one."""
    section = xml.child(vm, "GuestCustomizationSection")
    if section is None or xml.text(section, "AdminPasswordEnabled") != "true":
        return ""
    return xml.text(section, "AdminPassword")


def entries(metadata: xml.Element) -> dict[str, str]:
    """Metadata, plain (1.5) or typed (5.1 and later)."""
    return {
        xml.text(entry, "Key"): xml.text(entry, "TypedValue", "Value") or xml.text(entry, "Value")
        for entry in xml.children(metadata, "MetadataEntry")
    }
