"""Reading and writing vCloud's XML: hardened against hostile documents, and blind to namespaces.

Elements are found by local name, since cells put the same ones into v0.8, v1, v1.5, OVF or no namespace at all (seen:
../shared/fixtures/vcloud-1.0-jclouds). The size of a page is capped by the transport; libxml2 caps the depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from lxml import etree

from console.lib.faults import Unexpected

Element = Any  # lxml has no type hints

VCLOUD: Final = "application/vnd.vmware.vcloud."
_MOST: Final = 2**31 - 1
_LONGEST: Final = 255  # more than any name a cell takes, and what our columns hold


def parse(content: bytes, of: str = "The cell") -> Element:
    """The root element. Unexpected for what is not well-formed XML, for a DOCTYPE, and for one nested too deep."""
    # A parser for each document: lxml's lock on a shared one would make a parallel walk serial.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(content, parser)
        declared = root.getroottree().docinfo.doctype
    except (etree.LxmlError, ValueError, LookupError, RecursionError) as error:
        raise Unexpected(f"{of} answered something that is not complete XML.") from error
    if declared:
        raise Unexpected(f"{of} answered XML with a document type of its own, which is never accepted.")
    return root


def name_of(element: Element) -> str:
    """The local name: "Vm" for {http://www.vmware.com/vcloud/v1.5}Vm."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def named(element: Element, *names: str) -> Element:
    """The element. Unexpected unless it is one of these: a proxy's page in its place must not read as an empty one."""
    if name_of(element) in names:
        return element
    raise Unexpected(f"The cell answered something that is not a {names[0]}.")


def children(element: Element, *path: str) -> Iterator[Element]:
    """Every element at this path of local names below `element`."""
    found: Iterator[Element] = element.iterchildren(f"{{*}}{path[0]}")
    return found if len(path) == 1 else (below for child in found for below in children(child, *path[1:]))


def child(element: Element, *path: str) -> Element | None:
    return next(children(element, *path), None)


def text(element: Element, *path: str) -> str:
    """The text of the first element at this path; "" when there is none."""
    found = child(element, *path)
    return (found.text or "").strip() if found is not None else ""


def attribute(element: Element, name: str) -> str:
    """An attribute by its local name, in whatever namespace; "" when absent."""
    value = element.get(name)
    if value is None:
        value = next((held for key, held in element.attrib.items() if key.rpartition("}")[2] == name), "")
    return str(value)


def link(element: Element, rel: str, kind: str = "") -> str:
    """The address of the first Link with this `rel` (and media type `kind`, without prefix and +xml); "" if none."""
    return next((address for _, address in links(element, rel, kind)), "")


def links(element: Element, rel: str, *kinds: str) -> Iterator[tuple[str, str]]:
    """(name, address) of each Link with this `rel` and one of these media types ("" is any)."""
    wanted = tuple(f"{kind}+xml" for kind in kinds if kind)
    for found in children(element, "Link"):
        if found.get("rel") == rel and (not wanted or found.get("type", "").rpartition(".vcloud.")[2] in wanted):
            yield cut(found.get("name", "")), found.get("href", "")


def tail(address: str) -> str:
    """What names a thing in its address: the last segment. Hosts and versions before it may change."""
    return address.partition("?")[0].rstrip("/").rpartition("/")[2]


def cut(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def number(value: str) -> int | None:
    """A count that our columns can hold, or None."""
    try:
        found = int(value)
    except ValueError:
        return None
    return found if 0 <= found <= _MOST else None


def moment(value: str) -> datetime | None:
    """An xs:dateTime with its zone, or None."""
    try:
        found = datetime.fromisoformat(value)
        return found if found.utcoffset() is not None else None
    except ValueError:
        return None


def truth(value: str) -> bool:
    return value in ("true", "1")


def attributes(**values: str | bool | int | None) -> str:
    """XML attributes, escaped; None leaves one out."""
    written = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()
               if value is not None}  # fmt: skip
    return "".join(f" {key}={quoteattr(value)}" for key, value in written.items())


def write(element: Element) -> bytes:
    """An element that was read and changed, as a document."""
    return bytes(etree.tostring(element, xml_declaration=True, encoding="UTF-8"))


def put(element: Element, value: str, *path: str) -> bool:
    """Set the text of the element at this path; False when there is none."""
    found = child(element, *path)
    if found is not None:
        found.text = value
    return found is not None


def drop(element: Element, name: str) -> None:
    """Remove every child with this local name."""
    for found in list(children(element, name)):
        element.remove(found)


def qualified(element: Element, name: str) -> str:
    """`name` in the namespace of `element`."""
    space = element.tag.rpartition("}")[0]
    return f"{space}}}{name}" if space else name


def append(element: Element, name: str, attributes: dict[str, str]) -> None:
    """Add an empty child at the end; names are {namespace}local."""
    etree.SubElement(element, name, attributes)


def insert_before(element: Element, name: str, value: str, before: tuple[str, ...]) -> None:
    """Add a child in front of the first one named in `before` (vCloud's types are sequences), or at the end."""
    made = etree.Element(qualified(element, name))
    made.text = value
    for position, found in enumerate(element):
        if name_of(found) in before:
            element.insert(position, made)
            return
    element.append(made)
