"""What is sent to a vCloud cell: parameter documents, in the order that the schemas want (fixtures/vcloud-1.5-schemas,
and ../shared/CLOUDS.md §2.1 where 1.0 differs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from accounts.clouds import vcloud_xml as xml
from accounts.clouds.vcloud_signin import Spoken
from accounts.clouds.vcloud_wire import Content
from console.lib.faults import Unexpected

_OVF: Final = 'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"'
_VMW: Final = "http://www.vmware.com/schema/ovf"
_XSI: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_NOT_A_HOST: Final = re.compile(r"[^A-Za-z0-9-]+")
# What may follow in a GuestCustomizationSection, which is a sequence.
_AFTER_SCRIPT: Final = ("ComputerName", "Link")


@dataclass(frozen=True, slots=True)
class Wish:
    """A vApp to make. `networks`: address of an organisation's network by the name that it gets inside."""

    name: str
    networks: Mapping[str, str]
    power_on: bool
    script: str = ""


def instantiate(spoken: Spoken, wish: Wish, template: str) -> Content:
    """All that is in a template, under its own names: what 1.0 has."""
    return Content(
        "instantiateVAppTemplateParams",
        f'<InstantiateVAppTemplateParams xmlns="{spoken.namespace}" {_OVF}{_flags(wish)}>{_configs(wish)}'
        f"<Source{xml.attributes(href=template)}/><AllEULAsAccepted>true</AllEULAsAccepted>"
        "</InstantiateVAppTemplateParams>",
    )


def compose(spoken: Spoken, wish: Wish, machines: Sequence[str]) -> Content:
    """The machines of a template, by address; the first takes the name, all the networks and the script."""
    items = "".join(
        f"<SourcedItem><Source{xml.attributes(href=machine, name=wish.name if place == 0 else None)}/>"
        f"{_own(wish, first=place == 0)}</SourcedItem>"
        for place, machine in enumerate(machines)
    )
    return Content(
        "composeVAppParams",
        f'<ComposeVAppParams xmlns="{spoken.namespace}" {_OVF}{_flags(wish)}>{_configs(wish)}'
        f"{items}<AllEULAsAccepted>true</AllEULAsAccepted></ComposeVAppParams>",
    )


def _flags(wish: Wish) -> str:
    return xml.attributes(name=wish.name, deploy=wish.power_on, powerOn=wish.power_on)


def _configs(wish: Wish) -> str:
    if not wish.networks:
        return ""
    configs = "".join(
        f"<NetworkConfig{xml.attributes(networkName=inside)}><Configuration>"
        f"<ParentNetwork{xml.attributes(href=address)}/><FenceMode>bridged</FenceMode></Configuration></NetworkConfig>"
        for inside, address in wish.networks.items()
    )
    return (
        f"<InstantiationParams><NetworkConfigSection><ovf:Info>Networks</ovf:Info>{configs}</NetworkConfigSection>"
        "</InstantiationParams>"
    )


def _own(wish: Wish, *, first: bool) -> str:
    parts = ""
    if wish.networks:
        cards = "".join(
            f"<NetworkConnection{xml.attributes(network=inside)}>"
            f"<NetworkConnectionIndex>{place}</NetworkConnectionIndex><IsConnected>true</IsConnected>"
            "<IpAddressAllocationMode>POOL</IpAddressAllocationMode></NetworkConnection>"
            for place, inside in enumerate(wish.networks)
        )
        parts += (
            "<NetworkConnectionSection><ovf:Info>Network cards</ovf:Info>"
            f"<PrimaryNetworkConnectionIndex>0</PrimaryNetworkConnectionIndex>{cards}</NetworkConnectionSection>"
        )
    if first:
        script = (
            f"<Enabled>true</Enabled><CustomizationScript>{escape(wish.script)}</CustomizationScript>"
            if wish.script
            else ""
        )
        host = computer_name(wish.name)
        parts += (
            f"<GuestCustomizationSection><ovf:Info>Guest customisation</ovf:Info>{script}"
            f"{f'<ComputerName>{host}</ComputerName>' if host else ''}</GuestCustomizationSection>"
        )
    return f"<InstantiationParams>{parts}</InstantiationParams>" if parts else ""


def computer_name(name: str) -> str:
    """A host name out of a server's name: at most 15 letters, digits and hyphens (Windows' limit, which cells hold all
    to); "" when nothing of it is left, so that the cell makes one."""
    host = _NOT_A_HOST.sub("-", name)[:15].strip("-")
    return "" if host.isdigit() else host


def undeploy(spoken: Spoken, action: str = "powerOff") -> Content:
    """Off for good: nothing is kept, and what it held is given back. `action`: powerOff, or shutdown to ask the guest
    first; 1.0 knows none."""
    if spoken.generation == "1.0":
        body = f'<UndeployVAppParams xmlns="{spoken.namespace}" saveState="false"/>'
    else:
        body = (
            f'<UndeployVAppParams xmlns="{spoken.namespace}"><UndeployPowerAction>{action}</UndeployPowerAction>'
            "</UndeployVAppParams>"
        )
    return Content("undeployVAppParams", body)


def snapshot(spoken: Spoken, name: str) -> Content:
    flags = xml.attributes(name=name, memory=False, quiesce=False)
    return Content("createSnapshotParams", f'<CreateSnapshotParams xmlns="{spoken.namespace}"{flags}/>')


def without(spoken: Spoken, vm: str) -> Content:
    """A vApp without this one of its servers."""
    return Content(
        "recomposeVAppParams",
        f'<RecomposeVAppParams xmlns="{spoken.namespace}"><DeleteItem{xml.attributes(href=vm)}/></RecomposeVAppParams>',
    )


def renamed(spoken: Spoken, vm: xml.Element, name: str) -> Content:
    """Its description goes along, since leaving it out would delete it."""
    described = f"<Description>{escape(xml.text(vm, 'Description'))}</Description>"
    return Content("vm", f'<Vm xmlns="{spoken.namespace}"{xml.attributes(name=name)}>{described}</Vm>')


def sized(spoken: Spoken, vm: xml.Element, policy: str) -> Content:
    """By a VM sizing policy, for reconfigureVm: what is left out of it stays ([SRC] go-vcloud-director)."""
    described = f"<Description>{escape(xml.text(vm, 'Description'))}</Description>"
    name = xml.attributes(name=vm.get("name", ""))
    chosen = f"<ComputePolicy><VmSizingPolicy{xml.attributes(href=policy)}/></ComputePolicy>"
    return Content("vm", f'<Vm xmlns="{spoken.namespace}"{name}>{described}{chosen}</Vm>')


def quantity(item: xml.Element, value: int) -> Content:
    """A CPU or memory item that was read, with another quantity."""
    if not xml.put(item, str(value), "VirtualQuantity"):
        raise Unexpected("The cell showed virtual hardware without a quantity.")
    words = "{} virtual CPU(s)" if xml.text(item, "ResourceType") == "3" else "{} MB of memory"
    xml.put(item, words.format(value), "ElementName")
    xml.drop(item, "Link")
    return Content("rasdItem", xml.write(item))


def customised(section: xml.Element, script: str) -> Content:
    """A guest customisation that was read, with another script; links are the cell's own and stay out."""
    xml.drop(section, "Link")
    xml.put(section, "true", "Enabled")
    if not xml.put(section, script, "CustomizationScript"):
        xml.insert_before(section, "CustomizationScript", script, _AFTER_SCRIPT)
    return Content("guestCustomizationSection", xml.write(section))


def with_property(hardware: xml.Element, key: str, value: str) -> Content:
    """A hardware section that was read, with this ExtraConfig; an empty value takes it away. Links stay out."""
    xml.drop(hardware, "Link")
    for held in [one for one in xml.children(hardware, "ExtraConfig") if xml.attribute(one, "key") == key]:
        hardware.remove(held)
    xml.append(hardware, f"{{{_VMW}}}ExtraConfig", {f"{{{_VMW}}}key": key, f"{{{_VMW}}}value": value})
    return Content("virtualHardwareSection", xml.write(hardware))


def metadata(spoken: Spoken, values: Mapping[str, str]) -> Content:
    """Entries to merge. 1.5 has plain values, 5.1 and later typed ones."""
    entries = []
    for key, value in values.items():
        if spoken.generation == "1.5":
            held = f"<Value>{escape(value)}</Value>"
        else:
            held = f'<TypedValue xsi:type="MetadataStringValue"><Value>{escape(value)}</Value></TypedValue>'
        entries.append(f"<MetadataEntry><Key>{escape(key)}</Key>{held}</MetadataEntry>")
    return Content("metadata", f'<Metadata xmlns="{spoken.namespace}" {_XSI}>{"".join(entries)}</Metadata>')
