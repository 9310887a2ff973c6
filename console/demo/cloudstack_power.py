"""CloudStack's commands that create machines, switch them, change their size and remove them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from console.demo.cloudstack_calls import Answer, Call, Command
from console.demo.cloudstack_rows import machine_row
from console.demo.cloudstack_things import ApiError, Machine, Offering, invalid

HOST_NAME = re.compile(r"(?!-)(?![0-9])[A-Za-z0-9-]{1,63}(?<!-)$")
GET_USERDATA, POST_USERDATA, LONG_USERDATA = 2048, 32 * 1024, 1024 * 1024
"""Most bytes of base64: in a GET, in a POST, and in a POST of 4.18 and later (vm.userdata.max.length)."""


def virtual_machine(call: Call, machine: Machine, **more: str) -> dict[str, Any]:
    """The result of most commands about a machine."""
    return {"virtualmachine": machine_row(call.cloud, machine) | more}


def userdata(call: Call) -> str:
    """The userdata parameter, checked as the server does. Raises ApiError."""
    value = call.text("userdata")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("User data needs to be base64 encoded") from None
    most = POST_USERDATA if call.cloud.release < (4, 18) else LONG_USERDATA
    if call.method == "GET" and len(value) > GET_USERDATA:
        raise invalid("User data is too long for an http GET request")
    if len(value) > most:
        raise invalid(f"User data has exceeded configurable max length : {most}")
    return value


def sized(call: Call, offering: Offering) -> dict[str, str]:
    """The details of a customized offering, which must say cpuNumber and memory."""
    given = call.mapped("details")
    lower = {name.lower(): value for name, value in given.items()}
    if not offering.customized:
        return {}
    if not lower.get("cpunumber", "").isdigit() or not lower.get("memory", "").isdigit():
        raise invalid("Need to specify custom parameter values cpu, cpu speed and memory when using custom offering")
    return {"cpuNumber": lower["cpunumber"], "memory": lower["memory"]}


def deploy(call: Call) -> Answer:
    """A new machine: Starting, then Running (Stopped with startvm=false). A template with passwords gives one."""
    cloud = call.cloud
    with cloud.lock:
        zone = call.found("zoneid", cloud.zones)
        offering = call.found("serviceofferingid", cloud.offerings)
        template = call.found("templateid", cloud.templates)
        if not template.ready or zone.id not in template.zones:
            raise invalid(f"Unable to use template {template.id} in zone {zone.name}")
        name = _host_name(call)
        networks = call.listed("networkids") or None
        for one in networks or []:
            if one not in cloud.networks:
                raise call.unknown("networkids", one)
        if call.text("keypair") and call.text("keypair") not in cloud.keypairs:
            raise invalid(f"A key pair with name '{call.text('keypair')}' was not found.")
        project = call.text("projectid")
        if project and project not in cloud.projects:
            raise call.unknown("projectid", project)
        starts = call.yes("startvm", True)
        machine = cloud.add(
            name or "pending",
            state="Starting" if starts else "Stopped",
            offering=offering.id,
            template=template.id,
            zone=zone.id,
            networks=tuple(networks) if networks else None,
            project=project,
            keypair=call.text("keypair"),
            displayname=call.text("displayname"),
            userdata=userdata(call),
            details=sized(call, offering),
        )
        if not name:
            machine.name = f"VM-{machine.id}"
            machine.displayname = call.text("displayname") or machine.name

        def finish() -> dict[str, Any]:
            cloud.touch(machine, "Running" if starts else "Stopped")
            more = {"password": "fB7mKq2w"} if template.password else {}
            return virtual_machine(call, machine, **more)

        job = cloud.begin(call.command, finish, machine, event="VM.CREATE")
        return call.started(job, id=machine.id)


def _host_name(call: Call) -> str:
    name = call.text("name")
    if name and not HOST_NAME.match(name):
        raise invalid(
            "Invalid name. Vm name can only contain ASCII letters 'a' through 'z', the digits '0' through '9', and the"
            " hyphen ('-'), must be between 1 and 63 characters long, and can't start or end with \"-\" and can't"
            " start with digit"
        )
    if name and any(one.name == name for one in call.cloud.present()):
        raise invalid(f"The vm with hostName {name} already exists in the network domain: cs1cloud.internal")
    return name


def _moved(
    end: str, meanwhile: str, event: str, refusal: Callable[[Machine], ApiError | None]
) -> Callable[[Call], Answer]:
    """A command that takes a machine to a state; what its state does not allow makes the job fail."""

    def handle(call: Call) -> Answer:
        cloud = call.cloud
        with cloud.lock:
            machine = call.machine()
            refused = refusal(machine)

            def finish() -> dict[str, Any]:
                if refused is not None:
                    raise refused
                cloud.touch(machine, end)
                return virtual_machine(call, machine)

            same = refused is not None or machine.state == end == "Stopped"
            return call.started(
                cloud.begin(call.command, finish, machine, meanwhile="" if same else meanwhile, event=event)
            )

    return handle


def _start(machine: Machine) -> ApiError | None:
    if machine.state == "Running":
        return invalid(f"The virtual machine {machine.id} ({machine.displayname}) is already running")
    if machine.state != "Stopped":
        return ApiError(530, f"Unable to start a VM due to concurrent operation: it is in state {machine.state}")
    return None


def _stop(machine: Machine) -> ApiError | None:
    if machine.state in ("Running", "Stopped", "Starting", "Stopping"):
        return None
    return ApiError(530, f"Failed to stop vm instance in state {machine.state}")


def _reboot(machine: Machine) -> ApiError | None:
    return None if machine.state == "Running" else ApiError(530, "Failed to reboot vm instance")


def destroy(call: Call) -> Answer:
    """Destroyed, and gone after the expunge delay; at once with expunge=true (4.2 and later, if users may)."""
    cloud = call.cloud
    with cloud.lock:
        machine = call.machine()
        expunge = call.yes("expunge") and cloud.release >= (4, 2)
        if expunge and not cloud.users_expunge:
            raise ApiError(531, "Parameter expunge can be passed by Admin only.", 4365)

        def finish() -> dict[str, Any]:
            cloud.touch(machine, "Destroyed")
            result = virtual_machine(call, machine)
            if expunge:
                cloud.remove(machine.id)
            return result

        running = machine.state == "Running"
        job = cloud.begin(call.command, finish, machine, meanwhile="Stopping" if running else "", event="VM.DESTROY")
        return call.started(job)


def recover(call: Call) -> Answer:
    """A Destroyed machine that is not expunged yet is Stopped again."""
    with call.cloud.lock:
        machine = call.cloud.machines.get(call.need("id"))
        if machine is None:
            raise call.unknown("id", call.need("id"))
        if machine.state != "Destroyed":
            raise invalid(f"Unable to recover vm {machine.id} in state {machine.state}")
        call.cloud.touch(machine, "Stopped")
        return virtual_machine(call, machine)


def change_size(call: Call) -> Answer:
    """changeServiceForVirtualMachine: at once, of a Stopped machine."""
    with call.cloud.lock:
        machine, offering = call.machine(), call.found("serviceofferingid", call.cloud.offerings)
        if machine.state != "Stopped":
            raise invalid(
                f"Unable to upgrade virtual machine {machine.displayname} in state {machine.state};"
                " make sure the virtual machine is stopped"
            )
        _resize(call, machine, offering, sized(call, offering))
        call.cloud.tell("VM.UPGRADE", machine)
        return virtual_machine(call, machine)


def scale(call: Call) -> Answer:
    """scaleVirtualMachine: a job; of a Running machine only when it scales dynamically."""
    cloud = call.cloud
    with cloud.lock:
        machine, offering = call.machine(), call.found("serviceofferingid", cloud.offerings)
        details = sized(call, offering)
        allowed = machine.state == "Stopped" or (machine.state == "Running" and machine.scalable)

        def finish() -> dict[str, Any]:
            if not allowed:
                raise invalid("Unable to Scale the VM, since dynamic scaling is not enabled on it")
            _resize(call, machine, offering, details)
            return virtual_machine(call, machine) if cloud.release >= (4, 13) else {"success": True}

        return call.started(cloud.begin(call.command, finish, machine, event="VM.UPGRADE"))


def _resize(call: Call, machine: Machine, offering: Offering, details: dict[str, str]) -> None:
    machine.offering = offering.id
    kept = {key: value for key, value in machine.details.items() if key not in ("cpuNumber", "memory")}
    machine.details = kept | details
    call.cloud.touch(machine)


COMMANDS = (
    Command("deployVirtualMachine", (2, 0), deploy, True),
    Command("startVirtualMachine", (2, 0), _moved("Running", "Starting", "VM.START", _start), True),
    Command("stopVirtualMachine", (2, 0), _moved("Stopped", "Stopping", "VM.STOP", _stop), True),
    Command("rebootVirtualMachine", (2, 0), _moved("Running", "", "VM.REBOOT", _reboot), True),
    Command("destroyVirtualMachine", (2, 0), destroy, True),
    Command("recoverVirtualMachine", (2, 0), recover),
    Command("changeServiceForVirtualMachine", (2, 0), change_size),
    Command("scaleVirtualMachine", (4, 2), scale, True),
)
