"""CloudStack: what changes something. Each is one command by POST, and most of them an async job.

`Task.ref` is JSON: the job's id, and the command that started it. Another process reads on with it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import requests

from accounts.clouds import cloudstack_capabilities as capabilities
from accounts.clouds import cloudstack_replies as replies
from accounts.clouds import cloudstack_rows as rows
from accounts.clouds.base import ServerFacts, State
from accounts.clouds.cloudstack_replies import Declined
from accounts.clouds.cloudstack_wire import Row, Wire
from accounts.clouds.operations import Operation, Order, Phase, Progress, Size, Snapshot, Task
from console.lib.faults import Refused, Unexpected, Unreachable

_PATIENCE: Final = (0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 2.0, 3.0, 5.0)  # seconds between looks at a job on tags
_HOST_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
FARTHEST: Final = timedelta(hours=13)  # by which the zone of a management server's clock may lie off ours
_JOBS: Final = {
    Operation.START: ("startVirtualMachine", "StartVMCmd"),
    Operation.STOP: ("stopVirtualMachine", "StopVMCmd"),
    Operation.REBOOT: ("rebootVirtualMachine", "RebootVMCmd"),
    Operation.RESET: ("rebootVirtualMachine", "RebootVMCmd"),
    Operation.RESIZE: ("scaleVirtualMachine", "ScaleVMCmd"),
    Operation.DELETE: ("destroyVirtualMachine", "DestroyVMCmd"),
}
"""Operation → its command, and the class that listAsyncJobs has it ("…StopVMCmdByAdmin" for staff of the cloud)."""
_PHASES: Final = {0: Phase.RUNNING, 1: Phase.DONE, 2: Phase.FAILED}


class Acting(ABC):
    """The half of the driver that changes something. The other half finds servers and what they may be asked."""

    _wire: Wire
    _sleep: Callable[[float], None]

    @abstractmethod
    def _may(self, operation: Operation) -> None: ...

    @abstractmethod
    def _negotiated(self) -> str: ...

    @abstractmethod
    def _row(self, external_id: str) -> Row | None: ...

    @abstractmethod
    def _known(self, external_id: str) -> tuple[Row, ServerFacts]: ...

    @abstractmethod
    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]: ...

    @abstractmethod
    def _zone_id(self, wanted: str) -> str: ...

    @abstractmethod
    def _in_region(self) -> dict[str, str]: ...

    def _since(self, wanted: str) -> bool:
        return capabilities.since(self._negotiated(), wanted)

    # --- the server itself

    def create(self, order: Order) -> Task:
        """`order.zone` is a zone's name or id; left out it is the only zone that has the image."""
        self._may(Operation.CREATE)
        if not order.size:
            self._may(Operation.FREE_SIZE)
        given: dict[str, Any] = {
            "serviceofferingid": order.size,
            "templateid": order.image,
            "zoneid": self._zone_id(order.zone) if order.zone else self._only_zone(order.image),
            # The host name inside has rules that people's names break; left out, the cloud makes one.
            "name": order.name if _HOST_NAME.fullmatch(order.name) else None,
            "displayname": order.name,
            "networkids": list(order.networks) or None,
            "keypair": order.key_name or None,
            "userdata": b64encode(order.user_data).decode() if order.user_data else None,
        }
        given |= self._custom(order.size, order.cpus, order.memory_mb)
        # Tags come when it stands: a refusal of theirs must not look as if the server had not been created.
        return self._start("deployVirtualMachine", tags=order.metadata if self._since("4.0") else None, **given)

    def _only_zone(self, image: str) -> str:
        if zone := self._in_region().get("zoneid"):
            return zone
        offered = self._wire.all("listTemplates", templatefilter="executable", id=image)
        zones = {str(row["zoneid"]): str(row.get("zonename") or row["zoneid"]) for row in offered if "zoneid" in row}
        if not zones:
            found = self._wire.all("listZones", available="true")
            zones = {str(row["id"]): str(row.get("name") or row["id"]) for row in found}
        if len(zones) != 1:
            names = ", ".join(sorted(zones.values())) or "none"
            raise Refused(f"Say in which zone to create the server. The image is in: {names}.")
        return next(iter(zones))

    def start(self, external_id: str) -> Task:
        self._may(Operation.START)
        return self._start("startVirtualMachine", external_id, id=external_id)

    def stop(self, external_id: str) -> Task:
        self._may(Operation.STOP)
        return self._start("stopVirtualMachine", external_id, id=external_id)

    def reboot(self, external_id: str) -> Task:
        self._may(Operation.REBOOT)
        return self._start("rebootVirtualMachine", external_id, id=external_id)

    def reset(self, external_id: str) -> Task:
        self._may(Operation.RESET)
        return self._start("rebootVirtualMachine", external_id, id=external_id, forced="true")

    def suspend(self, external_id: str) -> Task:
        return self._impossible(Operation.SUSPEND)

    def resume(self, external_id: str) -> Task:
        return self._impossible(Operation.RESUME)

    def confirm_resize(self, external_id: str) -> Task:
        return self._impossible(Operation.CONFIRM_RESIZE)

    def revert_resize(self, external_id: str) -> Task:
        return self._impossible(Operation.REVERT_RESIZE)

    def resize(self, external_id: str, size: Size) -> Task:
        """A stopped server changes at once; a running one is scaled, where zone and template allow it."""
        self._may(Operation.RESIZE)
        if not size.id:
            self._may(Operation.FREE_SIZE)
        given: dict[str, Any] = {"id": external_id, "serviceofferingid": size.id}
        given |= self._custom(size.id, size.cpus, size.memory_mb)
        if self._known(external_id)[1].state is State.STOPPED or not self._since("4.2"):
            self._wire.ask("changeServiceForVirtualMachine", **given)
            return _done(external_id)
        return self._start("scaleVirtualMachine", external_id, **given)

    def _custom(self, size_id: str, cpus: int | None, memory_mb: int | None) -> dict[str, str]:
        """How large it shall be, for an offering that is customized; others refuse to be told."""
        given = {"details[0].cpuNumber": cpus, "details[0].memory": memory_mb}
        asked = {key: str(value) for key, value in given.items() if value is not None}
        if not asked:
            return {}
        offered = self._wire.all("listServiceOfferings", id=size_id)
        return asked if any(row.get("iscustomized") is True for row in offered) else {}

    def rename(self, external_id: str, name: str) -> Task:
        """The name that people see. The host name inside stays."""
        self._may(Operation.RENAME)
        self._wire.ask("updateVirtualMachine", id=external_id, displayname=name)
        return _done(external_id)

    def delete(self, external_id: str) -> Task:
        """Destroyed servers count as gone; the cloud expunges them later, by its own clock."""
        self._may(Operation.DELETE)
        row = self._row(external_id)
        if row is None or rows.facts(row) is None:
            return _done(external_id)
        return self._start("destroyVirtualMachine", external_id, id=external_id)

    # --- snapshots

    def snapshot(self, external_id: str, name: str) -> Task:
        """Of the whole server with its memory when it runs; of its root disk before 4.2."""
        self._may(Operation.SNAPSHOT)
        if not self._since("4.2"):
            return self._start("createSnapshot", external_id, volumeid=self._root_volume(external_id), name=name)
        running = self._known(external_id)[1].state is State.RUNNING
        return self._start(
            "createVMSnapshot",
            external_id,
            virtualmachineid=external_id,
            name=name,
            # KVM takes no snapshot of a running server's disks alone, and of a stopped one there is no memory.
            snapshotmemory="true" if running else "false",
        )

    def revert_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        self._may(Operation.REVERT_SNAPSHOT)
        self._own(external_id, snapshot_id)
        return self._start("revertToVMSnapshot", external_id, vmsnapshotid=snapshot_id)

    def delete_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        self._may(Operation.DELETE_SNAPSHOT)
        self._own(external_id, snapshot_id)
        if self._since("4.2"):
            return self._start("deleteVMSnapshot", external_id, vmsnapshotid=snapshot_id)
        return self._start("deleteSnapshot", external_id, id=snapshot_id)

    def _own(self, external_id: str, snapshot_id: str) -> None:
        """Refused unless it is a snapshot of this server: the cloud's commands look at the snapshot's id alone."""
        if all(held.id != snapshot_id for held in self.snapshots(external_id)):
            raise Refused("This server has no such snapshot.")

    def _root_volume(self, external_id: str) -> str:
        volumes = self._wire.all("listVolumes", virtualmachineid=external_id, type="ROOT", listall="true")
        if not volumes:
            raise Refused("The cloud shows no root disk of this server.")
        return str(volumes[0]["id"])

    # --- tags and user data

    def set_metadata(self, external_id: str, values: Mapping[str, str | None]) -> None:
        """Tags cannot be changed: those that differ are deleted and made again, each a short job of the cloud's."""
        self._may(Operation.SET_METADATA)
        held = rows.tags(self._known(external_id)[0])
        wanted = {key: value for key, value in values.items() if value is not None and held.get(key) != value}
        old = [key for key in values if key in held and (values[key] is None or key in wanted)]
        if old:
            self._finish("deleteTags", **_tagged(external_id, dict.fromkeys(old)))
        if wanted:
            self._finish("createTags", **_tagged(external_id, wanted))

    def set_user_data(self, external_id: str, data: bytes) -> None:
        self._may(Operation.SET_USER_DATA)
        self._wire.ask("updateVirtualMachine", id=external_id, userdata=b64encode(data).decode())

    def set_guest_property(self, external_id: str, key: str, value: str | None) -> None:
        self._may(Operation.SET_GUEST_PROPERTY)
        raise Unexpected("No release of CloudStack has guest properties.")  # the table says so above

    # --- jobs

    def recent_task(self, operation: Operation, external_id: str, since: datetime) -> Task | None:
        """Of what names the server as its instance: power, scaling and destruction, but no snapshot.

        As with events, `startdate` means the management server's own clock: `created` decides, which has its zone.
        """
        kind = _JOBS.get(operation)
        if kind is None:
            return None
        start = (since.astimezone(UTC) - FARTHEST).strftime("%Y-%m-%d %H:%M:%S")
        found: list[tuple[datetime, str]] = []
        for page in self._wire.read("listAsyncJobs", _jobs, startdate=start, listall="true", isrecursive="true"):
            for row in page:
                at = rows.when(row.get("created"))
                # In whole seconds: what began just after `since` may be written as just before it.
                if (
                    at is not None
                    and at >= since.replace(microsecond=0)
                    and str(row.get("jobinstanceid")) == external_id
                    and str(row.get("cmd") or "").rpartition(".")[2].startswith(kind[1])
                ):
                    found.append((at, str(row["jobid"])))
        return Task(_written(max(found)[1], kind[0], external_id), external_id) if found else None

    def task(self, task: Task) -> Progress:
        held = _read(task.ref)
        job, server_id = str(held.get("job") or ""), task.server_id or str(held.get("server") or "")
        if not job:
            return Progress(Phase.DONE, server_id=server_id)
        found = self._wire.ask("queryAsyncJobResult", jobid=job)
        phase = _PHASES.get(found.get("jobstatus", -1))
        if phase is None:
            raise Unexpected(f"{replies.OF} answered about a job without saying how it stands.")
        result = found.get("jobresult")
        if phase is Phase.FAILED:
            return Progress(phase, _reason(result), server_id=server_id)
        if phase is Phase.DONE and _unsuccessful(result):
            return Progress(Phase.FAILED, _reason(result), server_id=server_id)
        machine = result.get("virtualmachine") if isinstance(result, dict) else None
        password = str(machine.get("password") or "") if isinstance(machine, dict) else ""
        words, tags = "", held.get("tags")
        if phase is Phase.DONE and isinstance(tags, dict) and tags:
            words = self._tag(server_id, tags)
        return Progress(phase, words, server_id=server_id, password=password if phase is Phase.DONE else "")

    def _tag(self, server_id: str, tags: Mapping[str, str]) -> str:
        try:
            self._wire.ask("createTags", **_tagged(server_id, tags))
        except Declined as error:
            return f"The server stands, but its tags were not set. {error.words}"
        return ""

    def _start(self, command: str, server_id: str = "", tags: Mapping[str, str] | None = None, **given: Any) -> Task:
        inner = self._wire.ask(command, **given)
        job = inner.get("jobid")
        if job in (None, ""):
            raise Unexpected(f"{replies.OF} took {command} on without saying as which job.")
        server_id = server_id or str(inner.get("id") or "")
        return Task(_written(str(job), command, server_id, tags), server_id)

    def _finish(self, command: str, **given: Any) -> None:
        started = self._start(command, **given)
        for pause in _PATIENCE:
            how = self.task(started)
            if how.phase is Phase.FAILED:
                raise Declined(f"{replies.OF} refused: {how.words}", 0)
            if how.phase is Phase.DONE:
                return
            self._sleep(pause)
        raise Unreachable(f"{replies.OF} did not end {command} in {sum(_PATIENCE):.0f} seconds. Look again later.")

    def _impossible(self, operation: Operation) -> Task:
        self._may(operation)
        raise Unexpected(f"{replies.OF} has no command for {operation}.")  # every table says no, with its reason


def _tagged(external_id: str, values: Mapping[str, str | None]) -> dict[str, str]:
    given = {"resourceids": external_id, "resourcetype": "UserVm"}
    for number, (key, value) in enumerate(values.items()):
        given[f"tags[{number}].key"] = key
        if value is not None:
            given[f"tags[{number}].value"] = value
    return given


def _jobs(response: requests.Response, secrets: Iterable[str]) -> list[tuple[str, Row]]:
    """The rows of listAsyncJobs, which have neither an id nor a name but a jobid."""
    held = replies.body(response, secrets).get("asyncjobs")
    found = [row for row in held if isinstance(row, dict) and "jobid" in row] if isinstance(held, list) else []
    return [(str(row["jobid"]), row) for row in found]


def _written(job: str, command: str, server_id: str, tags: Mapping[str, str] | None = None) -> str:
    held: dict[str, Any] = {"job": job, "command": command, "server": server_id}
    return orjson.dumps(held | ({"tags": dict(tags)} if tags else {})).decode()


def _done(server_id: str) -> Task:
    return Task(_written("", "", server_id), server_id)


def _read(ref: str) -> Row:
    try:
        found = orjson.loads(ref)
    except orjson.JSONDecodeError as error:
        raise Unexpected("This is not a task of CloudStack's.") from error
    if not isinstance(found, dict):
        raise Unexpected("This is not a task of CloudStack's.")
    return found


def _unsuccessful(result: object) -> bool:
    return isinstance(result, dict) and (result.get("success") in (False, "false") or "errorcode" in result)


def _reason(result: object) -> str:
    text = ""
    if isinstance(result, dict):
        text = str(result.get("errortext") or result.get("displaytext") or "")
    elif isinstance(result, str):
        text = result
    return replies.words(text) or "The cloud gave no reason."
