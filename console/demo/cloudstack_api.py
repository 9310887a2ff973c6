"""The one address of a simulated CloudStack: who calls, which command, and the answer as JSON or XML."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator
from hmac import compare_digest
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl

from console.demo import cloudstack_extras, cloudstack_lists, cloudstack_power
from console.demo.cloudstack_calls import Answer, Call, Command, Listed
from console.demo.cloudstack_cloud import Cloud, Missing
from console.demo.cloudstack_signature import signature, verified
from console.demo.cloudstack_things import ApiError
from console.demo.wire import Reply, Request, as_html

COMMANDS: Final = {
    one.name: one for one in (*cloudstack_lists.COMMANDS, *cloudstack_power.COMMANDS, *cloudstack_extras.COMMANDS)
}
READS = re.compile(r"(get|list|query|find)\w+$")
UNAUTHORIZED: Final = "unable to verify user credentials and/or request signature"


def parameters(request: Request) -> list[tuple[str, str]]:
    """What a servlet sees: the query, then a form body."""
    params = list(request.query)
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        params += parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return params


class Api:
    """/client/api and /client/console of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._calls: deque[float] = deque()

    def __call__(self, request: Request) -> Reply:
        """The answer to any request."""
        path = request.path.rstrip("/")
        if path not in ("/client/api", "/client/console"):
            return as_html(404, f"<html><h2>HTTP ERROR 404 Not Found</h2>URI: {escape(path)}</html>")
        params = parameters(request)
        if path == "/client/console":
            return self._console(request, params)
        given = {name.lower(): value for name, value in reversed(params)}
        command = COMMANDS.get(given.get("command", ""))
        if command is not None and command.since > self.cloud.release:
            command = None
        key = command.key if command else "errorresponse"
        try:
            answer = self._answer(request, params, given, command)
        except ApiError as refused:
            return self._say(given, key, refused.document(), refused.code)
        return self._say(given, key, answer)

    def refused(self, request: Request, refusal: ApiError) -> Reply:
        """That refusal, as the answer to this request."""
        given = {name.lower(): value for name, value in reversed(parameters(request))}
        command = COMMANDS.get(given.get("command", ""))
        return self._say(given, command.key if command else "errorresponse", refusal.document(), refusal.code)

    def empty(self, request: Request) -> Reply:
        """A good reply with nothing in it, whatever was asked."""
        given = {name.lower(): value for name, value in reversed(parameters(request))}
        command = COMMANDS.get(given.get("command", ""))
        return self._say(given, command.key if command else "errorresponse", {})

    def _answer(
        self, request: Request, params: list[tuple[str, str]], given: dict[str, str], command: Command | None
    ) -> Answer:
        if command is None:
            self._no_command(given.get("command", ""))
        reads = bool(READS.match(given.get("command", "")))
        if self.cloud.enforce_post and not reads and request.method != "POST":
            words = f"State changing command {given.get('command')} needs to be sent using POST request"
            raise ApiError(400, words)
        self._sign_in(params)
        self._throttle()
        assert command is not None  # noqa: S101 - _no_command raises
        return command.handler(Call(self.cloud, command.name, given, request.method, request.base))

    def _no_command(self, name: str) -> None:
        code = self.cloud.unknown_command or (432 if self.cloud.release < (4, 2) else 401)
        if not name or code == 401:
            raise ApiError(401, UNAUTHORIZED, None)
        raise ApiError(code, "The given command does not exist or it is not available for user")

    def _sign_in(self, params: list[tuple[str, str]]) -> None:
        cloud = self.cloud
        secrets = {cloud.api_key: cloud.secret_key}
        first: dict[str, str] = {}
        for name, value in params:
            first.setdefault(name, value)
        if verified(list(first.items()), secrets, cloud.wall(), enforced=cloud.enforce_post) is None:
            raise ApiError(401, UNAUTHORIZED, None)

    def _throttle(self) -> None:
        """So many calls in so many seconds, from the first of them on, as ApiRateLimitService counts."""
        if self.cloud.rate is None:
            return
        most, seconds = self.cloud.rate
        now = self.cloud.clock().timestamp()
        with self.cloud.lock:
            if self._calls and now - self._calls[0] >= seconds:
                self._calls.clear()
            if len(self._calls) >= most:
                raise throttled(seconds - (now - self._calls[0]))
            self._calls.append(now)

    def _say(self, given: dict[str, str], key: str, answer: Answer, status: int = 200) -> Reply:
        if given.get("response", "").lower() != "json":
            value = json.loads(self._listed(answer)) if isinstance(answer, Listed) else answer
            said = "".join(_xml(value))
            text = f'<{key} cloud-stack-version="{self.cloud.version}">{said}</{key}>'
            body = f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
            return Reply(status, body, {"Content-Type": "text/xml; charset=UTF-8"})
        said = self._listed(answer) if isinstance(answer, Listed) else json.dumps(answer)
        kind = "text/javascript" if self.cloud.release < (4, 4) else "application/json"
        return Reply(status, f'{{"{key}":{said}}}'.encode(), {"Content-Type": f"{kind}; charset=UTF-8"})

    def _listed(self, page: Listed) -> str:
        """A list with its count, right or wrong; nothing at all when there is nothing."""
        if not page.rows:
            past_end = self.cloud.count_past_end and self.cloud.counting == "total" and page.total
            return f'{{"count":{page.total}}}' if past_end else "{}"
        counted = page.total if self.cloud.counting == "total" else len(page.rows)
        says = f'"count":{counted},' if self.cloud.release >= (3, 0) else ""
        return f'{{{says}"{page.noun}":[{",".join(page.rows)}]}}'

    def _console(self, request: Request, params: list[tuple[str, str]]) -> Reply:
        """The console page of before 4.18, as ConsoleProxyServlet has it: signed like a call, though no `expires` is
        looked at, and always 200 with HTML or a few words in it; nothing for a machine that is on no host."""
        given = {name.lower(): value for name, value in reversed(params)}
        signed, own = given.get("signature", ""), signature(list(dict(reversed(params)).items()), self.cloud.secret_key)
        if self.cloud.release < (4, 0):
            own = own.replace("+", "-").replace("/", "_").rstrip("=")
        if given.get("apikey") != self.cloud.api_key or not compare_digest(own.encode(), signed.encode()):
            return as_html(200, "Access denied. Invalid web session or API key in request")
        try:
            machine = self.cloud.get(given.get("vm", ""))
        except Missing:
            return as_html(200, "")
        if machine.state != "Running" or given.get("cmd") != "access":
            return as_html(200, "")
        frame = f"{request.base}/ajax?token={machine.id}"
        title = escape(machine.displayname)
        return as_html(200, f'<html><title>{title}</title><frameset><frame src="{frame}"></frame></frameset></html>')


def throttled(seconds: float) -> ApiError:
    """429 in CloudStack's own words: no Retry-After, the wait is in the text."""
    wait = max(1, math.ceil(seconds * 1000))
    return ApiError(429, f"The given user has reached his/her account api limit, please retry after {wait} ms.")


def _xml(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        inner = "".join(part for key, item in value.items() for part in _xml(item, key))
        yield f"<{name}>{inner}</{name}>" if name else inner
    elif isinstance(value, list):
        for item in value:
            yield from _xml(item, name)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"<{name}>{escape(text, quote=False)}</{name}>"
