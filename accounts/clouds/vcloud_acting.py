"""What is done to servers at a vCloud cell: each deed follows a link that the server's own document offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from accounts.clouds import vcloud_orders as orders
from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.operations import Console, Size, Snapshot, Task
from accounts.clouds.vcloud_listing import Listing
from accounts.clouds.vcloud_signin import Spoken
from accounts.clouds.vcloud_tasks import DONE, Tasks, Wish, cut, entries
from accounts.clouds.vcloud_wire import Content, Wire
from console.lib.faults import Refused, SlowDown, Unexpected

POLICY: Final = "urn:vcloud:vdcComputePolicy:"
CURRENT: Final = "current"  # vCloud keeps one snapshot of a server, without an id


class Acting:
    """Deeds on the servers of one account. Nothing here asks whether the generation can: the driver did."""

    def __init__(self, wire: Wire, listing: Listing, tasks: Tasks) -> None:
        self._wire = wire
        self._listing = listing
        self._tasks = tasks

    def vm(self, external_id: str) -> xml.Element:
        found = self._wire.find(self._listing.address(external_id))
        if found is None:
            raise Refused("The cloud does not know this server any more.")
        return xml.named(found, "Vm")

    def follow(
        self, external_id: str, *rels: str, content: Content | None = None, already: str = ""
    ) -> Task:  # fmt: skip
        """POST to the first of these links that the server offers. `already`: done when it is in this status."""
        vm = self.vm(external_id)
        address = next((found for rel in rels if (found := xml.link(vm, rel))), "")
        if address:
            return self._tasks.post(address, content, server_id=external_id)
        if already and vm.get("status") == already and not rows.busy(vm):
            return Task(DONE, external_id)
        raise _not_offered(vm, rels[0])

    def start(self, external_id: str) -> Task:
        return self.follow(external_id, "power:powerOn", already="4")

    def stop(self, external_id: str) -> Task:
        """Off, and given back: powering off alone leaves it deployed, which still costs and blocks a delete.

        A guest that can be asked shuts down; when it did not, the next stop cuts the power.
        """
        vm = self.vm(external_id)
        if address := xml.link(vm, "undeploy"):
            polite = self._wire.spoken.generation != "1.0" and _listens(vm)
            action = "shutdown" if polite else "powerOff"
            task = self._tasks.post(address, orders.undeploy(self._wire.spoken, action), server_id=external_id)
            return task if polite or vm.get("status") != "4" else cut(task)
        if address := xml.link(vm, "power:powerOff"):
            return self._tasks.post(address, server_id=external_id)
        if vm.get("status") in ("1", "8") and not rows.busy(vm):
            return Task(DONE, external_id)
        raise _not_offered(vm, "undeploy")

    def resize(self, external_id: str, size: Size) -> Task:
        """To a sizing policy, to CPUs and memory, or to a policy that leaves those open."""
        policy = policy_at(self._wire.spoken, size.id)
        if not size.cpus and not size.memory_mb and not policy:
            raise Refused("Say how many CPUs or how much memory the server gets.")
        wish = Wish("resize", self._listing.address(external_id), cpus=size.cpus, memory_mb=size.memory_mb,
                    policy=policy)  # fmt: skip
        return self._tasks.begin(wish, external_id)

    def rename(self, external_id: str, name: str) -> Task:
        vm = self.vm(external_id)
        address = xml.link(vm, "edit")
        if not address:
            raise _not_offered(vm, "edit")
        content = orders.renamed(self._wire.spoken, vm, name)
        return self._tasks.post(address, content, method="PUT", server_id=external_id)

    def delete(self, external_id: str) -> Task:
        return self._tasks.begin(Wish("delete", self._listing.address(external_id)), external_id)

    # --- snapshots

    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]:
        return tuple(
            Snapshot(CURRENT, "Snapshot", xml.moment(found.get("created", "")), current=True)
            for found in xml.children(self.vm(external_id), "SnapshotSection", "Snapshot")
        )

    def snapshot(self, external_id: str, name: str) -> Task:
        if self.snapshots(external_id):
            raise Refused("vCloud keeps one snapshot of a server, and this one has it. Delete that one first.")
        return self.follow(external_id, "snapshot:create", content=orders.snapshot(self._wire.spoken, name))

    def with_snapshot(self, external_id: str, snapshot_id: str, rel: str) -> Task:
        if snapshot_id != CURRENT or not self.snapshots(external_id):
            raise Refused("This server has no such snapshot.")
        return self.follow(external_id, rel)

    # --- console

    def console_url(self, external_id: str) -> Console:
        """An MKS ticket, for VMware's own console: a WebSocket since 5.5, an mks: address before."""
        vm = self.vm(external_id)
        modern = xml.link(vm, "screen:acquireMksTicket")
        address = modern or xml.link(vm, "screen:acquireTicket")
        if not address:
            raise _not_offered(vm, "screen:acquireTicket")
        ticket = self._wire.read(self._wire.request("POST", address))
        if not modern:
            found = (ticket.text or "").strip()
            if urlsplit(found).scheme != "mks":
                raise Unexpected("The cell answered a console ticket without a console in it.")
            return Console(found, "mks")
        host, port, proof = (xml.text(ticket, name) for name in ("Host", "Port", "Ticket"))
        if not (host and xml.number(port) and proof):
            raise Unexpected("The cell answered a console ticket without a console in it.")
        return Console(f"wss://{host}/{port};{proof}", "webmks")

    # --- metadata and user data

    def metadata(self, external_id: str) -> dict[str, str]:
        return entries(self._wire.get(self._metadata(external_id)))

    def set_metadata(self, external_id: str, values: Mapping[str, str | None]) -> None:
        address = self._metadata(external_id)
        if doomed := [key for key, value in values.items() if value is None]:
            for entry in xml.children(self._wire.get(address), "MetadataEntry"):
                if xml.text(entry, "Key") in doomed:
                    self._tasks.finish(xml.link(entry, "remove") or entry.get("href", ""), method="DELETE")
        if kept := {key: value for key, value in values.items() if value is not None}:
            self._tasks.finish(address, orders.metadata(self._wire.spoken, kept))

    def _metadata(self, external_id: str) -> str:
        vm = self.vm(external_id)
        address = xml.link(vm, "down", "metadata")
        if not address:
            raise _not_offered(vm, "metadata")
        return address

    def user_data(self, external_id: str) -> bytes:
        """The script that VMware Tools runs when the guest is customised."""
        return xml.text(self.vm(external_id), "GuestCustomizationSection", "CustomizationScript").encode()

    def set_user_data(self, external_id: str, data: bytes) -> None:
        vm = self.vm(external_id)
        section = xml.child(vm, "GuestCustomizationSection")
        address = xml.link(section, "edit") or section.get("href", "") if section is not None else ""
        if not address:
            raise _not_offered(vm, "guestCustomizationSection")
        # Read by itself: inside the server's document it lacks nothing, but namespaces are declared further up.
        self._tasks.finish(address, orders.customised(self._wire.get(address), script(data)), method="PUT")

    def set_guest_property(self, external_id: str, key: str, value: str | None) -> None:
        """By ExtraConfig, which the guest reads with VMware Tools. A cell may drop what its tenants set, silently."""
        vm = self.vm(external_id)
        section = xml.child(vm, "VirtualHardwareSection")
        address = xml.link(section, "edit") or xml.attribute(section, "href") if section is not None else ""
        if section is None or not address:
            raise _not_offered(vm, "virtualHardwareSection")
        self._tasks.finish(address, orders.with_property(section, key, value or ""), method="PUT")
        if self._wire.spoken.generation in ("vcd", "33") and properties(self._wire.get(address)).get(key, "") != (
            value or ""
        ):
            raise Refused("The cloud took the guest property on and did not keep it: tenants may not set any there.")


def properties(hardware: xml.Element) -> dict[str, str]:
    """ExtraConfig of a hardware section."""
    return {xml.attribute(one, "key"): xml.attribute(one, "value") for one in xml.children(hardware, "ExtraConfig")}


def policy_at(spoken: Spoken, size: str) -> str:
    """The address of a sizing policy by the id of its size; "" for CPUs and memory of one's own."""
    if not size.startswith(POLICY):
        return ""
    return f"{spoken.root.removesuffix('/api')}/cloudapi/1.0.0/vdcComputePolicies/{quote(size, safe=':')}"


def script(data: bytes) -> str:
    """User data as the text that XML can hold."""
    try:
        found = data.decode()
    except UnicodeDecodeError:
        raise Refused("vCloud takes a script in UTF-8, and this is something else.") from None
    if any(ord(letter) < 32 and letter not in "\t\n\r" for letter in found):
        raise Refused("vCloud takes a script of plain text, and this has control characters in it.")
    return found


def _listens(vm: xml.Element) -> bool:
    """Whether the guest can be asked to shut down: VMware Tools are in it, and it did not fail to only now."""
    tools = xml.child(vm, "RuntimeInfoSection", "VMWareTools")
    if not xml.link(vm, "power:shutdown") or (tools is not None and tools.get("version", "") in ("", "0")):
        return False
    failed = (task.get("operationName", "") for task in xml.children(vm, "Tasks", "Task")
              if task.get("status") in ("error", "aborted", "canceled"))  # fmt: skip
    return not any("undeploy" in name.lower() or "shutdown" in name.lower() for name in failed)


def _not_offered(vm: xml.Element, rel: str) -> Refused | SlowDown:
    if rows.busy(vm):
        return SlowDown("The vCloud cell is at work on this server already.")
    word = rel.rpartition(":")[2]
    return Refused(f"The cloud does not offer {word} for this server in its present state, or not to this account.")
