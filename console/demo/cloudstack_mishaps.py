"""What goes wrong on the wire of a simulated CloudStack, in its own words where it has some."""

from __future__ import annotations

import json
from collections import deque

from console.demo.cloudstack_api import UNAUTHORIZED, Api, throttled
from console.demo.cloudstack_things import ApiError
from console.demo.mishaps import Kind, Mishap, Mishaps
from console.demo.wire import Listener, Reply, Request, as_json

ELSEWHERE = "command=createConsoleEndpoint"


class CloudStackMishaps(Mishaps):
    """Mishaps whose default path is listVirtualMachines ("elsewhere": createConsoleEndpoint, the one reply with a URL).

    A path is looked for in the path with all parameters, those of a form body too: "command=deploy", "page=2" …
    """

    def inject(self, kind: str, *, path: str | None = None, location: str = "http://198.51.100.7/client/console",
               **plan: object) -> Mishap:  # fmt: skip
        """As Mishaps.inject."""
        where = path if path is not None else ELSEWHERE if kind == Kind.ELSEWHERE else "command=listVirtualMachines"
        return super().inject(kind, path=where, location=location, **plan)  # type: ignore[arg-type]


class CloudStackListener(Listener):
    """A loopback port of a CloudStack."""

    def __init__(self, port: int, api: Api, mishaps: Mishaps, seen: deque[tuple[str, str]]) -> None:
        self.api = api
        super().__init__(port, api, mishaps, seen, self.tell)

    def target(self, request: Request, path: str) -> str:
        """The path and query; a form body counts as query."""
        if not request.body:
            return path
        return f"{path}{'&' if '?' in path else '?'}{request.body.decode('utf-8', 'replace')}"

    def tell(self, mishap: Mishap, request: Request) -> Reply | None:
        """CloudStack's reply to a mishap; None where any web server would answer the same."""
        match mishap.kind:
            case Kind.UNAUTHORIZED:
                return self.api.refused(request, ApiError(401, UNAUTHORIZED, None))
            case Kind.FORBIDDEN:
                return self.api.refused(request, ApiError(531, "Acct[demo] does not have permission", 4365))
            case Kind.OVER_LIMIT:
                return self.api.refused(request, throttled(1.0 if mishap.retry_after is None else mishap.retry_after))
            case Kind.BROKEN:
                words = "Internal error executing command, please contact your system administrator"
                return self.api.refused(request, ApiError(530, words, 4250))
            case Kind.WRONG_SHAPE:
                return as_json(200, {"listvirtualmachinesresponse": {"count": "none", "virtualmachine": 7}})
            case Kind.EMPTY:
                return self.api.empty(request)
            case Kind.ELSEWHERE:
                true = self.api(request)
                value = json.loads(true.body)
                for answer in value.values():
                    answer.get("consoleendpoint", {})["url"] = mishap.location
                return Reply(true.status, json.dumps(value).encode(), true.headers)
        return None
