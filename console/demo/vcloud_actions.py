"""POST …/action/…: bodies in, deeds done, tasks out."""

from __future__ import annotations

from console.demo.vcloud_bodies import Body, hardware, planting, read
from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_deeds import POWER, Deeds
from console.demo.vcloud_machine import vapp as vapp_document
from console.demo.vcloud_shapes import task
from console.demo.vcloud_things import ON, Task, Trouble, VApp, Vm, bad, forbidden, invalid
from console.demo.vcloud_xml import Dialect, declared, el, text
from console.demo.wire import Reply, Request

SNAPSHOTS = ("createSnapshot", "revertToCurrentSnapshot", "removeAllSnapshots")


def accepted(d: Dialect, cloud: Cloud, one: Task) -> Reply:
    """202 and the task."""
    return d.reply(declared(task(d, cloud, one)), "task", 202, {"Location": d.href(f"task/{one.id}")})


def unknown(action: str) -> Trouble:
    """There is no such action in this version."""
    return Trouble(404, "NOT_FOUND", f"There is no action {action} here.")


class Actions:
    """The actions at the paths of one cell."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.deeds = Deeds(cloud)

    def act(self, d: Dialect, request: Request, owner: VApp | Vm, below: str) -> Reply:
        """An action on a vApp or a machine."""
        where, _, action = below.rpartition("/action/")
        if where == "/screen" and isinstance(owner, Vm):
            return self._screen(d, owner, action)
        if (where == "/power") != (action in POWER and action != "discardSuspendedState"):
            raise unknown(action)
        if action in POWER:
            return accepted(d, self.cloud, self.deeds.power(owner, action))
        if action == "deploy":
            body = read(request, d.ns, "DeployVAppParams", "deployVAppParams")
            return accepted(d, self.cloud, self.deeds.deploy(owner, power_on=body.flag("powerOn", True)))
        if action == "undeploy":
            return accepted(d, self.cloud, self.deeds.undeploy(owner, self._undeploy(d, request)))
        if action in SNAPSHOTS and d.since("5.1"):
            if action == "createSnapshot":
                read(request, d.ns, "CreateSnapshotParams", "createSnapshotParams")
            return accepted(d, self.cloud, self.deeds.snapshot(owner, action))
        if action == "reconfigureVm" and isinstance(owner, Vm) and d.since("5.1"):
            return accepted(d, self.cloud, self._reconfigure(read(request, d.ns, "Vm", "vm"), owner))
        if action == "recomposeVApp" and isinstance(owner, VApp):
            body = read(request, d.ns, "RecomposeVAppParams", "recomposeVAppParams")
            return accepted(d, self.cloud, self._recompose(body, owner))
        raise unknown(action)

    def _undeploy(self, d: Dialect, request: Request) -> str:
        body = read(request, d.ns, "UndeployVAppParams", "undeployVAppParams")
        if d.version == "1.0":
            return "suspend" if body.flag("saveState", False) else "powerOff"
        return body.text("UndeployPowerAction") or "default"

    def _reconfigure(self, body: Body, vm: Vm) -> Task:
        cpus, memory, extra = hardware(body, next(body.all("ovf:VirtualHardwareSection"), None))
        for name, path in (("cpus", "NumCpus"), ("memory", "MemoryResourceMb/Configured")):
            found = body.text(f"VmSpecSection/{path}")
            if found is not None and not found.isdigit():
                raise bad(f"validation error on field '{path}': not a number")
            cpus = int(found) if found and name == "cpus" else cpus
            memory = int(found) if found and name == "memory" else memory
        chosen = next(body.all("ComputePolicy/VmSizingPolicy"), None)
        policy = vm.policy if chosen is None else chosen.get("href", "").rpartition("/")[2]
        if policy and policy not in self.cloud.policies:
            raise forbidden("vdcComputePolicy", policy)
        if chosen is not None:
            _, cpus, memory = self.cloud.policies[policy]
        task_ = self.deeds.resize(vm, cpus, memory, extra)
        name, finish = body.root.get("name") or vm.name, task_.finish

        def both() -> None:
            finish()
            vm.name, vm.policy = name, policy

        task_.finish, task_.name = both, "vappReconfigureVm"
        return task_

    def _recompose(self, body: Body, vapp: VApp) -> Task:
        doomed = []
        for item in body.all("DeleteItem"):
            id_ = item.get("href", "").rpartition("/vm-")[2]
            if id_ not in self.cloud.vms:
                raise forbidden("vm", id_)
            doomed.append(self.cloud.vms[id_])
        return self.deeds.recompose(vapp, planting(body, deploy=False), doomed)

    def _screen(self, d: Dialect, vm: Vm, action: str) -> Reply:
        wanted = "acquireMksTicket" if d.since("5.5") else "acquireTicket"
        if action != wanted:
            raise unknown(action)
        if vm.status != ON:
            raise invalid(f"The requested operation could not be executed since {vm.name} is not powered on.")
        ticket = f"cst-{self.cloud.random.getrandbits(96):024x}--tp-{vm.id}"
        if action == "acquireTicket":
            xml = text("ScreenTicket", f"mks://127.0.0.1/vm-{vm.id}?ticket={ticket}", {"xmlns": d.ns})
            return d.reply(declared(xml), "screenTicket")
        parts = {"Host": "127.0.0.1", "Vmx": f"{vm.name}.vmx", "Ticket": ticket, "Port": 902}
        inner = (text(key, value) for key, value in parts.items())
        return d.reply(declared(el("MksTicket", {"xmlns": d.ns}, *inner)), "mksTicket")

    def make(self, d: Dialect, request: Request, action: str) -> Reply:
        """A new vApp, from a template or composed: 201 with the vApp and its task."""
        if action == "instantiateVAppTemplate":
            body = read(request, d.ns, "InstantiateVAppTemplateParams", "instantiateVAppTemplateParams")
            wish = planting(body, deploy=True)
            if not wish.sources:
                raise bad("validation error on field 'source': may not be null")
            made = self.deeds.plant(wish)
        elif action == "composeVApp":
            body = read(request, d.ns, "ComposeVAppParams", "composeVAppParams")
            made = self.deeds.plant(planting(body, deploy=False), "vdcComposeVapp")
        else:
            raise unknown(action)
        where = {"Location": d.href(f"vApp/vapp-{made.id}")}
        return d.reply(vapp_document(d, self.cloud, made), "vApp", 201, where)
