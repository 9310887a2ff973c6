"""What a simulated cell does when it is asked: every deed checks the state, then takes a task on. Raises Trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from console.demo.vcloud_bodies import Planting, Source
from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_things import (
    OFF,
    ON,
    SUSPENDED,
    Nic,
    Seedling,
    Task,
    Trouble,
    VApp,
    Vm,
    bad,
    busy,
    forbidden,
    invalid,
)

Owner = VApp | Vm

# action -> (allowed from, ends as, deployed afterwards (None: as before), needs VMware Tools, operation name, words)
POWER: dict[str, tuple[frozenset[int], int, bool | None, bool, str, str]] = {
    "powerOn": (frozenset((OFF, SUSPENDED)), ON, True, False, "vappDeploy", "Starting"),
    "powerOff": (frozenset((ON, SUSPENDED)), OFF, None, False, "vappPowerOff", "Stopping"),
    "shutdown": (frozenset((ON,)), OFF, None, True, "vappShutdownGuest", "Shutting down"),
    "reset": (frozenset((ON,)), ON, None, False, "vappReset", "Resetting"),
    "reboot": (frozenset((ON,)), ON, None, True, "vappRebootGuest", "Rebooting"),
    "suspend": (frozenset((ON,)), SUSPENDED, None, False, "vappSuspend", "Suspending"),
    "discardSuspendedState": (frozenset((SUSPENDED,)), OFF, False, False, "vappDiscardSuspendedState", "Discarding"),
}
UNDEPLOY = {"powerOff": OFF, "force": OFF, "default": OFF, "shutdown": OFF, "suspend": SUSPENDED}
WITHIN = {ON: "powered on", OFF: "powered off", SUSPENDED: "suspended"}


def kind_of(owner: Owner) -> str:
    """What its operations are called after."""
    return "Virtual Machine" if isinstance(owner, Vm) else "Virtual Application"


def machines(owner: Owner) -> list[Vm]:
    """The machines that an action on it reaches."""
    return [owner] if isinstance(owner, Vm) else list(owner.vms)


class Deeds:
    """The actions on one cloud. Hold its lock."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def _idle(self, owner: Owner) -> None:
        if isinstance(owner, VApp):
            waiting = owner.working is not None
        else:
            waiting = any(task is not None and not task.over for task in (owner.task, owner.vapp.task))
        if waiting:
            raise busy(owner.name)

    def _begin(self, name: str, words: str, owner: Owner, finish: Callable[[], None]) -> Task:
        self._idle(owner)
        return self.cloud.begin(name, f"{words} {kind_of(owner)}", owner, finish)

    def power(self, owner: Owner, action: str) -> Task:
        """One of POWER, on a machine or on all machines of a vApp that it applies to."""
        allowed, ends, deployed, tools, name, words = POWER[action]
        reached = [vm for vm in machines(owner) if vm.status in allowed]
        if not reached:
            now = WITHIN.get(owner.status, "in another state")
            raise invalid(f"The requested operation could not be executed since {owner.name} is {now}.")
        if tools and not all(vm.tools for vm in reached):
            raise invalid(f"VMware Tools is not running in {owner.name}: the guest cannot be asked.")

        def finish() -> None:
            for vm in reached:
                vm.status = ends
                vm.deployed = vm.deployed if deployed is None else deployed

        return self._begin(name, words, owner, finish)

    def deploy(self, owner: Owner, *, power_on: bool) -> Task:
        """Resources are taken, and the machines started when asked to."""
        if isinstance(owner, Vm) and owner.deployed and (owner.status == ON or not power_on):
            raise invalid(f"The requested operation could not be executed since {owner.name} is deployed.")

        def finish() -> None:
            for vm in machines(owner):
                vm.deployed = True
                vm.status = ON if power_on else vm.status

        return self._begin("vappDeploy", "Starting", owner, finish)

    def undeploy(self, owner: Owner, action: str) -> Task:
        """Off, and the resources given back: the real "off" of vCloud."""
        if action not in UNDEPLOY:
            raise bad(f"validation error on field 'undeployPowerAction': {action} is not one of {', '.join(UNDEPLOY)}")
        if not owner.deployed:
            raise invalid(f"The requested operation could not be executed since {owner.name} is not running.")
        reached = [vm for vm in machines(owner) if vm.deployed]
        if action == "shutdown" and not all(vm.tools for vm in reached if vm.status == ON):
            raise invalid(f"VMware Tools is not running in {owner.name}: the guest cannot be asked.")

        def finish() -> None:
            for vm in reached:
                vm.status = UNDEPLOY[action] if vm.status == ON else vm.status
                vm.status = OFF if vm.status == SUSPENDED and action != "suspend" else vm.status
                vm.deployed = False

        name = "vappUndeploySuspend" if action == "suspend" else "vappUndeployPowerOff"
        return self._begin(name, "Stopping", owner, finish)

    def delete(self, owner: Owner) -> Task:
        """Gone, unless it is deployed."""
        if owner.deployed:
            raise invalid(f"The {kind_of(owner)} {owner.name} is running. Stop it and try again.")

        def finish() -> None:
            for vm in machines(owner):
                self.cloud.remove(vm.id)
            if isinstance(owner, VApp):
                self.cloud.vapps.pop(owner.id, None)

        return self._begin("vdcDeleteVapp", "Deleting", owner, finish)

    def resize(self, vm: Vm, cpus: int | None, memory: int | None, extra: Mapping[str, str] | None = None) -> Task:
        """Other processors and memory; only while it is off."""
        grows = cpus not in (None, vm.cpus) or memory not in (None, vm.memory_mb)
        if grows and vm.status != OFF:
            raise invalid("The attempted operation cannot be performed in the current state (Powered on).")
        if (cpus is not None and not 1 <= cpus <= 64) or (memory is not None and (memory < 4 or memory % 4)):
            raise bad(f"The virtual hardware of {vm.name} cannot be {cpus} CPUs and {memory} MB.")

        def finish() -> None:
            vm.cpus, vm.memory_mb = cpus or vm.cpus, memory or vm.memory_mb
            for key, value in (extra or {}).items():
                vm.extra[key] = value
                if not value:
                    del vm.extra[key]

        return self._begin("vappUpdateVm", "Updating", vm, finish)

    def rename(self, owner: Owner, name: str, description: str | None = None) -> Task:
        """Another name, and for a vApp another description."""
        if not name:
            raise bad("validation error on field 'name': may not be empty")

        def finish() -> None:
            owner.name = name
            if isinstance(owner, VApp) and description is not None:
                owner.description = description
            for vm in machines(owner):
                self.cloud.touch(vm)

        return self._begin("vappUpdateVm" if isinstance(owner, Vm) else "vdcUpdateVapp", "Updating", owner, finish)

    def alter(self, owner: Owner, change: Callable[[], None], name: str = "vappUpdateVm") -> Task:
        """Any other change, taken on as a task."""
        return self._begin(name, "Updating", owner, change)

    def snapshot(self, owner: Owner, action: str) -> Task:
        """createSnapshot, revertToCurrentSnapshot or removeAllSnapshots; a machine has one snapshot at most."""
        reached = machines(owner)
        if action != "createSnapshot" and not any(vm.snapshot for vm in reached):
            raise invalid(f"{owner.name} has no snapshot.")

        def finish() -> None:
            for vm in reached:
                if action == "createSnapshot":
                    self.cloud.snap(vm)
                elif action == "removeAllSnapshots":
                    vm.snapshot = None
                elif vm.snapshot is not None:
                    vm.cpus, vm.memory_mb = vm.snapshot.cpus, vm.snapshot.memory_mb
                    vm.status, vm.deployed = (ON, True) if vm.snapshot.powered_on else (OFF, False)

        name = {
            "createSnapshot": "vappCreateSnapshot",
            "revertToCurrentSnapshot": "vappRevertToCurrentSnapshot",
            "removeAllSnapshots": "vappRemoveAllSnapshots",
        }[action]
        return self._begin(name, "Updating", owner, finish)

    # --- making

    def plant(self, wish: Planting, name: str = "vdcInstantiateVapp") -> VApp:
        """A new vApp: unresolved and empty until its task is over."""
        if not wish.name:
            raise bad("validation error on field 'name': may not be null")
        if any(one.name == wish.name for one in self.cloud.vapps.values()):
            raise Trouble(400, "DUPLICATE_NAME", f"The name {wish.name} already exists for an entity of this vDC.")
        chosen = [pair for source in wish.sources for pair in self.seedlings(source)]
        if name == "vdcInstantiateVapp":  # a SourcedItem says how one machine of the template shall be
            chosen = list({seed.id: (seed, source) for seed, source in chosen}.values())
        vapp = VApp(self.cloud.new_id(), wish.name, self.cloud.clock(), wish.description, networks=list(wish.networks))
        vapp.resolved = False
        self.cloud.vapps[vapp.id] = vapp

        def finish() -> None:
            vapp.resolved = True
            for seedling, source in chosen:
                self._grow(vapp, seedling, source, on=wish.power_on, deployed=wish.deploy)

        self.cloud.begin(name, "Creating Virtual Application", vapp, finish)
        return vapp

    def recompose(self, vapp: VApp, wish: Planting, doomed: list[Vm]) -> Task:
        """Adds machines to a vApp and takes others out."""
        for vm in doomed:
            if vm.vapp is not vapp:
                raise forbidden("vm", vm.id)
            if vm.deployed:
                raise invalid(f"The Virtual Machine {vm.name} is running. Stop it and try again.")
        chosen = [pair for source in wish.sources for pair in self.seedlings(source)]

        def finish() -> None:
            for vm in doomed:
                vapp.vms.remove(vm)
                self.cloud.vms.pop(vm.id, None)
            for seedling, source in chosen:
                self._grow(vapp, seedling, source, on=wish.power_on, deployed=wish.deploy)
            vapp.name, vapp.networks = wish.name or vapp.name, list(wish.networks) or vapp.networks

        return self._begin("vdcRecomposeVapp", "Recomposing", vapp, finish)

    def seedlings(self, source: Source) -> list[tuple[Seedling, Source]]:
        """The machines that a source stands for: a template's, one of a template, or a copy of a machine."""
        id_ = source.href.rstrip("/").rpartition("/")[2]
        kind, _, id_ = id_.partition("-")
        for template in self.cloud.templates.values():
            if kind == "vappTemplate" and template.id == id_:
                return [(one, source) for one in template.machines]
            found = [(one, source) for one in template.machines if kind == "vm" and one.id == id_]
            if found:
                return found
        vm = self.cloud.vms.get(id_) if kind == "vm" else None
        if vm is None:
            raise forbidden("vapptemplate", id_)
        copy = Seedling(vm.id, vm.name, vm.cpus, vm.memory_mb, vm.disk_mb, vm.guest_os, vm.os_type)
        return [(copy, source)]

    def _grow(self, vapp: VApp, seed: Seedling, source: Source, *, on: bool, deployed: bool) -> None:
        if source.networks:
            nics = [self.cloud.card(name) if mode != "NONE" else Nic(name, mode=mode) for name, mode in source.networks]
        else:
            nics = [self.cloud.card(name) for name in vapp.networks[:1]] or [Nic("none", mode="NONE", connected=False)]
        vm = self.cloud.add(
            source.name or seed.name,
            vapp=vapp,
            status="POWERED_ON" if on else "POWERED_OFF",
            cpus=seed.cpus,
            memory_mb=seed.memory_mb,
            disk_mb=seed.disk_mb,
            nics=nics,
        )
        vm.deployed, vm.guest_os, vm.os_type = deployed or on, seed.guest_os, seed.os_type
        vm.computer_name, vm.script = source.computer_name or vm.name[:15], source.script
        vm.password = source.password or (f"Aa%{self.cloud.random.getrandbits(40):010x}" if on else "")
