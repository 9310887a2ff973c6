"""CloudStack's other changes: names, user data, tags, snapshots, keys, passwords and consoles."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from console.demo.cloudstack_calls import Answer, Call, Command
from console.demo.cloudstack_power import userdata, virtual_machine
from console.demo.cloudstack_rows import disk_snapshot_row, owner, snapshot_row
from console.demo.cloudstack_things import ApiError, DiskSnapshot, Job, Machine, Snapshot, invalid

KEY_KINDS = ("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


def update(call: Call) -> Answer:
    """updateVirtualMachine: display name, host name (4.4 and later), details, user data and group, in any state."""
    with call.cloud.lock:
        machine = call.machine()
        if "userdata" in call.params:
            machine.userdata = userdata(call)
        machine.displayname = call.text("displayname") or machine.displayname
        if call.cloud.release >= (4, 4):
            machine.name = call.text("name") or machine.name
        machine.group = call.text("group", machine.group)
        machine.haenable = call.yes("haenable", machine.haenable)
        machine.scalable = call.yes("isdynamicallyscalable", machine.scalable)
        details = call.mapped("details")
        if call.yes("cleanupdetails"):
            machine.details = {}
        elif details:
            machine.details = details  # the whole set is replaced: source of UpdateVMCmd
        call.cloud.touch(machine)
        call.cloud.tell("VM.UPDATE", machine)
        return virtual_machine(call, machine)


def read_userdata(call: Call) -> Answer:
    """getVirtualMachineUserData (4.4 and later)."""
    machine = call.machine("virtualmachineid")
    return {"virtualmachineuserdata": {"userdata": machine.userdata, "virtualmachineid": machine.id}}


def reset_userdata(call: Call) -> Answer:
    """resetUserDataForVirtualMachine (4.18 and later): of a Stopped machine."""
    with call.cloud.lock:
        machine, value = call.machine(), userdata(call)

        def finish() -> dict[str, Any]:
            if machine.state != "Stopped":
                raise invalid(f"VM instance {machine.id} should be stopped to do UserData reset")
            machine.userdata = value
            call.cloud.touch(machine)
            return virtual_machine(call, machine)

        return call.started(call.cloud.begin(call.command, finish, machine, event="VM.RESETUSERDATA"))


def reset_password(call: Call) -> Answer:
    """resetPasswordForVirtualMachine: of a Stopped machine whose template has passwords."""
    with call.cloud.lock:
        machine = call.machine()
        template = call.cloud.templates.get(machine.template)

        def finish() -> dict[str, Any]:
            if template is None or not template.password:
                raise invalid("Fail to reset password for the virtual machine, the template is not password enabled")
            if machine.state != "Stopped":
                raise invalid(f"Vm {machine.id} should be stopped to do password reset")
            return virtual_machine(call, machine, password="nP4xWz8c")  # noqa: S106 - of no real machine

        return call.started(call.cloud.begin(call.command, finish, machine, event="VM.RESETPASSWORD"))


def tag(call: Call) -> Answer:
    """createTags: a job, of machines only; a key that is there already makes it fail."""
    machines, tags = _tagged(call), call.mapped("tags")

    def finish() -> dict[str, Any]:
        for machine in machines:
            taken = set(tags) & set(machine.tags)
            if taken:
                words = f"tag {min(taken)} already on resource with uuid {machine.id}"
                raise ApiError(530, words)
            machine.tags |= tags
            call.cloud.touch(machine)
        return {"success": True}

    return _tag_job(call, finish, machines)


def untag(call: Call) -> Answer:
    """deleteTags: those keys (with that value, when one is given); without tags, all of them."""
    machines, tags = _tagged(call), call.mapped("tags")

    def finish() -> dict[str, Any]:
        for machine in machines:
            for key, value in list(machine.tags.items()):
                if not tags or (key in tags and tags[key] in ("", value)):
                    del machine.tags[key]
            call.cloud.touch(machine)
        return {"success": True}

    return _tag_job(call, finish, machines)


def _tagged(call: Call) -> list[Machine]:
    kind, ids = call.need("resourcetype"), call.listed("resourceids")
    if not call.need("resourceids") or kind.lower() != "uservm":
        raise invalid(f"Unable to find resource type {kind}")
    known = {one.id: one for one in call.cloud.present()}
    for one in ids:
        if one not in known:
            raise invalid(f"Unable to find resource by uuid {one} and type {kind}")
    return [known[one] for one in ids]


def _tag_job(call: Call, finish: Any, machines: list[Machine]) -> Answer:
    with call.cloud.lock:
        job = call.cloud.begin(call.command, finish)
        # The recorded createTags reply names the resource beside the job.
        return call.started(job, id=machines[0].id)


def snap(call: Call) -> Answer:
    """createVMSnapshot: a job, of a Running or Stopped machine."""
    cloud = call.cloud
    with cloud.lock:
        machine = call.machine("virtualmachineid")
        if machine.state not in ("Running", "Stopped"):
            raise invalid(f"Creating vm snapshot failed due to VM:{machine.id} is not in the running or Stopped state")
        current = next((one for one in cloud.snapshots.values() if one.machine == machine.id and one.current), None)
        number = sum(one.machine == machine.id for one in cloud.snapshots.values()) + 1
        snapshot = Snapshot(
            id=cloud.new_id(),
            name=f"i-2-{machine.number}-VM_VS_{number}",
            displayname=call.text("name") or f"i-2-{machine.number}-VM_VS_{number}",
            machine=machine.id,
            created=cloud.clock(),
            state="Creating",
            kind="DiskAndMemory" if call.yes("snapshotmemory") else "Disk",
            parent=current.id if current else "",
            current=False,
        )
        cloud.snapshots[snapshot.id] = snapshot

        def finish() -> dict[str, Any]:
            _make_current(call, snapshot)
            snapshot.state = "Ready"
            return {"vmsnapshot": snapshot_row(cloud, snapshot)}

        job = cloud.begin(call.command, finish, machine, event="VMSNAPSHOT.CREATE")
        return call.started(job, id=snapshot.id)


def _make_current(call: Call, snapshot: Snapshot) -> None:
    for one in call.cloud.snapshots.values():
        if one.machine == snapshot.machine:
            one.current = one is snapshot


def unsnap(call: Call) -> Answer:
    """deleteVMSnapshot: a job; its children hang on its parent then."""
    cloud = call.cloud
    with cloud.lock:
        snapshot = call.found("vmsnapshotid", cloud.snapshots)
        snapshot.state = "Expunging"

        def finish() -> dict[str, Any]:
            for one in cloud.snapshots.values():
                if one.parent == snapshot.id:
                    one.parent = snapshot.parent
            if snapshot.current and snapshot.parent in cloud.snapshots:
                _make_current(call, cloud.snapshots[snapshot.parent])
            cloud.snapshots.pop(snapshot.id, None)
            return {"success": True}

        machine = cloud.machines[snapshot.machine]
        return call.started(cloud.begin(call.command, finish, machine, event="VMSNAPSHOT.DELETE"))


def revert(call: Call) -> Answer:
    """revertToVMSnapshot: a job. A disk snapshot wants a Stopped machine, one with memory a Running one."""
    cloud = call.cloud
    with cloud.lock:
        snapshot = call.found("vmsnapshotid", cloud.snapshots)
        machine = cloud.machines[snapshot.machine]
        wanted = "Stopped" if snapshot.kind == "Disk" else "Running"
        fits = machine.state == wanted and snapshot.state == "Ready"
        if fits:
            snapshot.state = "Reverting"

        def finish() -> dict[str, Any]:
            if not fits:
                raise invalid(
                    "VM Snapshot revert not allowed. This will result in VM state change. You can revert running VM to"
                    " disk and memory type snapshot and stopped VM to disk type snapshot"
                )
            snapshot.state = "Ready"
            _make_current(call, snapshot)
            return virtual_machine(call, machine)

        return call.started(cloud.begin(call.command, finish, machine, event="VMSNAPSHOT.REVERTTO"))


def snap_disk(call: Call) -> Answer:
    """createSnapshot of a root volume, whose id here is its machine's."""
    cloud = call.cloud
    with cloud.lock:
        machine = call.machine("volumeid")
        now = cloud.clock()
        name = call.text("name") or f"{machine.name}_ROOT-{machine.number}_{now:%Y%m%d%H%M%S}"
        snapshot = DiskSnapshot(cloud.new_id(), name, machine.id, now)
        cloud.disk_snapshots[snapshot.id] = snapshot

        def finish() -> dict[str, Any]:
            snapshot.state = "BackedUp"
            return {"snapshot": disk_snapshot_row(cloud, snapshot)}

        job: Job = cloud.begin(call.command, finish, machine, event="SNAPSHOT.CREATE")
        return call.started(job, id=snapshot.id)


def unsnap_disk(call: Call) -> Answer:
    cloud = call.cloud
    with cloud.lock:
        snapshot = call.found("id", cloud.disk_snapshots)

        def finish() -> dict[str, Any]:
            cloud.disk_snapshots.pop(snapshot.id, None)
            return {"success": True}

        return call.started(cloud.begin(call.command, finish))


def new_key(call: Call) -> Answer:
    """createSSHKeyPair: the only time that the private key is told."""
    name = _free_key_name(call)
    made = generate_private_key(public_exponent=65537, key_size=2048)
    line = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return {"keypair": _keep_key(call, name, line) | {"privatekey": private}}


def register_key(call: Call) -> Answer:
    """registerSSHKeyPair of a public key line."""
    name, line = _free_key_name(call), call.need("publickey").strip()
    return {"keypair": _keep_key(call, name, line)}


def _free_key_name(call: Call) -> str:
    name = call.need("name")
    if name in call.cloud.keypairs:
        raise invalid(f"A key pair with name '{name}' already exists.")
    return name


def _keep_key(call: Call, name: str, line: str) -> dict[str, Any]:
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if kind not in KEY_KINDS or not blob:
        raise ApiError(431, "Public key is invalid", 4350)
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[index : index + 2] for index in range(0, 32, 2))
    with call.cloud.lock:
        call.cloud.keypairs[name] = (call.cloud.new_id(), fingerprint)
    row: dict[str, Any] = {"name": name, "fingerprint": fingerprint}
    return row | (owner(call.cloud) if call.cloud.release >= (4, 3) else {})


def drop_key(call: Call) -> Answer:
    """deleteSSHKeyPair. Its success was a string until 4.3."""
    name = call.need("name")
    with call.cloud.lock:
        if call.cloud.keypairs.pop(name, None) is None:
            raise invalid(f"A key pair with name '{name}' does not exist for account {call.cloud.account}")
    return {"success": True if call.cloud.release >= (4, 3) else "true"}


def console(call: Call) -> Answer:
    """createConsoleEndpoint (4.18 and later)."""
    machine = call.machine("virtualmachineid")
    if machine.state != "Running":
        words = f"Cannot get the console endpoint of a VM in state {machine.state}"
        return {"consoleendpoint": {"success": False, "details": words}}
    token = hashlib.sha256(f"{machine.id}{call.cloud.clock()}".encode()).hexdigest()
    url = f"{call.base}/resource/noVNC/vnc.html?autoconnect=true&port=8443&token={token}"
    socket = {"token": token, "host": "127.0.0.1", "port": "8443", "path": "websockify"}
    return {"consoleendpoint": {"success": True, "url": url, "websocket": socket}}


COMMANDS = (
    Command("updateVirtualMachine", (2, 0), update),
    Command("getVirtualMachineUserData", (4, 4), read_userdata),
    Command("resetUserDataForVirtualMachine", (4, 18), reset_userdata, True),
    Command("resetPasswordForVirtualMachine", (2, 0), reset_password, True),
    Command("createTags", (4, 0), tag, True),
    Command("deleteTags", (4, 0), untag, True),
    Command("createVMSnapshot", (4, 2), snap, True),
    Command("deleteVMSnapshot", (4, 2), unsnap, True),
    Command("revertToVMSnapshot", (4, 2), revert, True),
    Command("createSnapshot", (2, 0), snap_disk, True),
    Command("deleteSnapshot", (2, 0), unsnap_disk, True),
    Command("createSSHKeyPair", (2, 2), new_key),
    Command("registerSSHKeyPair", (2, 2), register_key),
    Command("deleteSSHKeyPair", (2, 2), drop_key),
    Command("createConsoleEndpoint", (4, 18), console),
)
