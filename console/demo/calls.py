"""What every call to the compute face shares: who calls, how to answer, and how to say no."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from console.demo.cloud import Cloud
from console.demo.limits import Limits
from console.demo.shapes import Style
from console.demo.tokens import Token
from console.demo.wire import Reply, Request, as_json

FAULTS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    500: "computeFault",
}
NOT_HERE = "404 Not Found\n\nThe resource could not be found.\n\n   "


class Refusal(Exception):
    """A call that Nova answers with a fault."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words

    def reply(self) -> Reply:
        """The fault document."""
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        return as_json(self.code, {FAULTS[self.code]: {"code": self.code, "message": self.words}}, headers)


@dataclass(frozen=True, slots=True)
class Call:
    """A signed-in call: who, where, and how to write the answer."""

    cloud: Cloud
    request: Request
    token: Token
    style: Style
    project_id: str
    limits: Limits
    parts: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def old(self) -> bool:
        """Whether Essex or Diablo answers."""
        return self.cloud.generation != "modern"

    def body(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Refusal."""
        value = self.request.json()
        if not isinstance(value, dict):
            raise Refusal(400, "Malformed request body" if not self.old else "Malformed request url")
        return value

    def missing(self, words: str) -> Refusal:
        """A 404: the old ones have one sentence for all of them."""
        return Refusal(404, "The resource could not be found." if self.old else words)


Handler = Callable[[Call], Reply]
Route = tuple[str, "re.Pattern[str]", Handler]


def route(method: str, pattern: str, handler: Handler) -> Route:
    """A call of the API; `{}` in the pattern stands for one path part."""
    return method, re.compile(pattern.replace("{}", "([^/]+)") + "$"), handler
