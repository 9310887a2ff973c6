"""The official XSDs of the 1.5 namespace as a judge of documents, read in place.

What they import from the DMTF is not beside them, so small stand-ins that we wrote take its place: sections and
hardware items are open there, everything of vCloud's own is strict. `judge("1.5")` also takes out what later versions
added, so that a 1.5 cell cannot pass with an element of 5.1.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree

from tests.shared import shared

XS = "http://www.w3.org/2001/XMLSchema"
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
HEAD = (
    '<xs:schema xmlns:xs="{xs}" xmlns="{ns}" targetNamespace="{ns}" elementFormDefault="qualified">{body}</xs:schema>'
)
ANY = '<xs:any minOccurs="0" maxOccurs="unbounded" namespace="##any" processContents="lax"/>'
OPEN = f'<xs:complexType><xs:sequence>{ANY}</xs:sequence><xs:anyAttribute processContents="skip"/></xs:complexType>'


def _ovf() -> str:
    names = ("VirtualHardwareSection", "OperatingSystemSection", "StartupSection", "NetworkSection", "ProductSection")
    item = f'<xs:sequence>{ANY}</xs:sequence><xs:anyAttribute namespace="##any" processContents="skip"/>'
    bodies = [
        '<xs:element name="Info" type="xs:string"/>',
        '<xs:element name="Section" type="Section_Type" abstract="true"/>',
        '<xs:complexType name="Section_Type"><xs:sequence><xs:element ref="Info"/></xs:sequence>'
        '<xs:anyAttribute namespace="##any" processContents="skip"/></xs:complexType>',
        f'<xs:complexType name="Open_Type"><xs:complexContent><xs:extension base="Section_Type"><xs:sequence>{ANY}'
        '</xs:sequence><xs:anyAttribute namespace="##any" processContents="skip"/></xs:extension></xs:complexContent>'
        "</xs:complexType>",
        f'<xs:complexType name="RASD_Type">{item}</xs:complexType>',
    ]
    bodies += [f'<xs:element name="{name}" type="Open_Type" substitutionGroup="Section"/>' for name in names]
    return HEAD.format(xs=XS, ns=OVF, body="".join(bodies))


STANDINS = {
    "dsp8023_1.1.0.xsd": _ovf(),
    "dsp8027_1.1.0.xsd": HEAD.format(
        xs=XS,
        ns="http://schemas.dmtf.org/ovf/environment/1",
        body=f'<xs:element name="Environment">{OPEN}</xs:element>',
    ),
    "CIM_ResourceAllocationSettingData.xsd": HEAD.format(
        xs=XS, ns="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData", body=""
    ),
    "common.xsd": HEAD.format(xs=XS, ns="http://schemas.dmtf.org/wbem/wscim/1/common", body=""),
    "ovf-vmware.xsd": HEAD.format(xs=XS, ns="http://www.vmware.com/schema/ovf", body=""),
}


def _early(words: str, newest: tuple[int, ...]) -> bool:
    """Whether "added-in" names a version up to `newest`; names of features are later than any."""
    try:
        return tuple(int(part) for part in words.strip().split(".")) <= newest
    except ValueError:
        return False


class _Beside(etree.Resolver):
    def __init__(self, newest: tuple[int, ...]) -> None:
        super().__init__()
        self.newest = newest

    def resolve(self, url: str, public: str, context: object) -> object:
        name = url.rpartition("/")[2]
        if "dmtf.org" in url or name == "ovf-vmware.xsd":
            return self.resolve_string(STANDINS[name], context, base_url=url)
        path = Path(url.removeprefix("file://"))
        return self.resolve_string(_pruned(path, self.newest), context, base_url=str(path))


def _pruned(path: Path, newest: tuple[int, ...]) -> bytes:
    tree = etree.parse(str(path))
    for kind in ("element", "attribute"):
        for one in tree.getroot().iterfind(f".//{{{XS}}}{kind}"):
            parent = one.getparent()
            if parent is None or etree.QName(parent).localname in ("schema", "choice"):
                continue
            added = one.find(f"{{{XS}}}annotation/{{{XS}}}appinfo/{{*}}version[@added-in]")
            if one.get("name") == "AuthorizedLocations" and newest < (30, 0):
                parent.remove(one)  # the note of its version is on its type; recorded sessions have none
            elif added is not None and not _early(added.get("added-in", ""), newest):
                parent.remove(one)
    return etree.tostring(tree)


@cache
def judge(version: str) -> etree.XMLSchema:
    """The schema of that version's documents."""
    newest = tuple(int(part) for part in version.split("."))
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Beside(newest))
    folder = shared("fixtures", "vcloud-1.5-schemas", "vcloud")
    files = ("vcloud.xsd", "queryRecordView.xsd", "queryReferenceView.xsd", "session.xsd")
    includes = "".join(f'<xs:include schemaLocation="{folder / name}"/>' for name in files)
    # The root of networks until 5.1, as recorded (network.xml): these files are later and keep only its type.
    includes += '<xs:element name="OrgNetwork" type="OrgNetworkType"/>'
    ns = "http://www.vmware.com/vcloud/v1.5"
    root = etree.fromstring(HEAD.format(xs=XS, ns=ns, body=includes), parser, base_url=str(folder / "all.xsd"))
    return etree.XMLSchema(root)


def faults(version: str, document: bytes) -> list[str]:
    """What the schema says against a document; empty when it is valid."""
    schema = judge(version)
    schema.validate(etree.fromstring(document))
    return [f"{one.line}: {one.message}" for one in schema.error_log]
