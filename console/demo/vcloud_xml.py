"""How a cell writes: elements, links and whole documents, in the dialect of the version that a request speaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from console.demo.vcloud_bodies import OVF, RASD, VMW, VSSD
from console.demo.vcloud_cloud import number
from console.demo.wire import Reply

XSI = "http://www.w3.org/2001/XMLSchema-instance"
Attributes = Mapping[str, object]


def moment(value: datetime) -> str:
    """A time as cells write it: milliseconds, offset with a colon."""
    return value.isoformat(timespec="milliseconds")


def el(name: str, attributes: Attributes | None = None, *inner: str) -> str:
    """An element; `inner` is XML already. Attributes that are None are left out, booleans are true or false."""
    found = "".join(
        f" {key}={quoteattr(_plain(value))}" for key, value in (attributes or {}).items() if value is not None
    )
    content = "".join(inner)
    return f"<{name}{found}>{content}</{name}>" if content else f"<{name}{found}/>"


def text(name: str, value: object, attributes: Attributes | None = None) -> str:
    """An element with text."""
    return el(name, attributes, escape(_plain(value)))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return moment(value) if isinstance(value, datetime) else str(value)


def media(short: str) -> str:
    """vm -> application/vnd.vmware.vcloud.vm+xml."""
    return f"application/vnd.vmware.vcloud.{short}+xml"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The version that one request speaks, and the scheme and host that its links start with."""

    version: str
    base: str

    @property
    def ns(self) -> str:
        """The namespace of the API's documents."""
        return "http://www.vmware.com/vcloud/v1" if self.version == "1.0" else "http://www.vmware.com/vcloud/v1.5"

    @property
    def root(self) -> str:
        """Where every href starts."""
        return f"{self.base}/api/v1.0" if self.version == "1.0" else f"{self.base}/api"

    def since(self, version: str) -> bool:
        """Whether the request speaks this version or a later one."""
        return number(self.version) >= number(version)

    def href(self, path: str) -> str:
        """The address of a path such as "org/5"."""
        return f"{self.root}/{path}"

    def link(self, rel: str, path: str, short: str | None = None, name: str | None = None) -> str:
        """A Link; `short` is its media type."""
        kind = media(short) if short else None
        return el("Link", {"rel": rel, "type": kind, "name": name, "href": self.href(path)})

    def ref(self, element: str, path: str, short: str, name: str | None = None) -> str:
        """A reference to another thing."""
        return el(element, {"type": media(short), "name": name, "href": self.href(path)})

    def urn(self, kind: str, id_: str) -> str | None:
        """The id attribute of an entity; 1.0 has none."""
        return f"urn:vcloud:{kind}:{id_}" if self.since("1.5") else None

    def document(self, name: str, attributes: Attributes, *inner: str) -> bytes:
        """A whole document with its namespaces."""
        return declared(el(name, {**self.spaces, **attributes}, *inner))

    @property
    def spaces(self) -> dict[str, object]:
        """The namespace declarations of a root."""
        where = f"{self.base}/api/{'v1.0' if self.version == '1.0' else 'v1.5'}/schema/master.xsd"
        return {
            "xmlns": self.ns,
            "xmlns:vcloud": self.ns,
            "xmlns:ovf": OVF,
            "xmlns:rasd": RASD,
            "xmlns:vssd": VSSD,
            "xmlns:vmw": VMW,
            "xmlns:xsi": XSI,
            "xsi:schemaLocation": f"{self.ns} {where}",
        }

    def reply(self, body: bytes, short: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """A reply with a document of that media type."""
        mark = f";version={self.version}" if self.since("1.5") else ""
        return Reply(status, body, {"Content-Type": f"{media(short)}{mark}", **(headers or {})})


def declared(xml: str) -> bytes:
    """The bytes of a document."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'.encode()


def joined(parts: Iterable[str]) -> str:
    """Parts, one after the other."""
    return "".join(parts)
