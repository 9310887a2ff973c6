"""How a simulated cell words what goes wrong: the kinds of mishaps.py, in XML and in vCloud's own codes."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, replace

from console.demo.mishaps import Kind, Mishap, Mishaps
from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_shapes import error
from console.demo.vcloud_signin import spoken
from console.demo.vcloud_things import Trouble
from console.demo.vcloud_xml import Dialect
from console.demo.wire import App, Reply, Request, as_html

XML = {"Content-Type": "application/vnd.vmware.vcloud.query.records+xml"}
INSIDE = re.compile(
    rb'<(\w+Record)\b[^>]*?(/>|>.*?</\1>)|<Children>.*?</Children>|<Link rel="nextPage"[^>]*>', re.DOTALL
)
"""What makes a page of records, or a vApp, more than an empty one."""


class VCloudMishaps(Mishaps):
    """Mishaps whose default path is where machines are listed: the query service, or in 1.0 the vApps.

    "elsewhere" befalls /api/versions unless told: its login URLs then point at `location`.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self._listing = "/api/v1.0/vApp/" if cloud.generation == "1.0" else "/api/query?"

    def inject(self, kind: str, *, path: str | None = None, location: str = "http://198.51.100.7/api",
               **plan: object) -> Mishap:  # fmt: skip
        """As Mishaps.inject."""
        where = path if path is not None else "/api/versions" if kind == Kind.ELSEWHERE else self._listing
        return super().inject(kind, path=where, location=location, **plan)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Telling:
    """The reply of a mishap; None for those that only cut or slow down the true one."""

    cloud: Cloud
    app: App

    def __call__(self, mishap: Mishap, request: Request) -> Reply | None:
        d = Dialect(spoken(self.cloud, request) or self.cloud.versions[0], request.base)
        wait = {} if mishap.retry_after is None else {"Retry-After": str(mishap.retry_after)}
        match mishap.kind:
            case Kind.UNAUTHORIZED:
                gone = ("authorization", "x-vcloud-authorization", "cookie")
                headers = type(request.headers)((k, v) for k, v in request.headers.items() if k not in gone)  # type: ignore[call-arg]
                body = request.body if "/oauth/" not in request.path else b"grant_type=refresh_token&refresh_token=none"
                return self.app(replace(request, headers=headers, body=body))
            case Kind.FORBIDDEN:
                words = "You do not have access to this operation."
                return self._error(d, Trouble(403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", words))
            case Kind.OVER_LIMIT:
                words = "The operation limits of the organization are exceeded. Try again later."
                return self._error(d, Trouble(400, "OPERATION_LIMITS_EXCEEDED", words)).with_headers(wait)
            case Kind.TOO_MANY:
                return as_html(429, "<html><h1>429 Too Many Requests</h1></html>", wait)
            case Kind.BROKEN:
                return self._error(d, Trouble(500, "INTERNAL_SERVER_ERROR", "[ 7c1e ] java.lang.NullPointerException"))
            case Kind.RUBBISH:
                return Reply(200, b'<?xml version="1.0"?><QueryResultRecords total="3"><VMRecord \xff\xfe', XML)
            case Kind.WRONG_SHAPE:
                return Reply(200, b'<?xml version="1.0"?><html><p>vm</p></html>', XML)
            case Kind.EMPTY:
                true = self.app(request)
                return Reply(true.status, INSIDE.sub(b"", true.body), true.headers)
            case Kind.HUGE:
                return Reply(200, _padded(mishap.size), XML)
            case Kind.BOMB:
                return Reply(200, gzip.compress(_padded(mishap.size), 6), {**XML, "Content-Encoding": "gzip"})
            case Kind.ELSEWHERE:
                true = self.app(request)
                inside, outside = request.base.encode(), mishap.location.removesuffix("/api").encode()
                return Reply(true.status, true.body.replace(inside, outside), true.headers)
            case _:
                return None

    def _error(self, d: Dialect, trouble: Trouble) -> Reply:
        return Reply(trouble.status, error(d, trouble), {"Content-Type": "application/vnd.vmware.vcloud.error+xml"})


def _padded(size: int) -> bytes:
    head, tail = b'<QueryResultRecords total="0" page="1" pageSize="128">', b"</QueryResultRecords>"
    return head + b" " * max(0, size - len(head) - len(tail)) + tail
