"""An integration with Muster, whole, in Python's standard library. Written from docs/integrate.md; run by the tests.

    python3 docs/examples/integrate.py https://console.example mst_test_…

It uses a sandbox key (docs/sandbox.md): creates customers, pushes credentials that are refused and credentials that
pass, receives signed webhooks, sees the customer's servers, lets an agent appear on one, and hands the customer over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.cookiejar
import json
import queue
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT = 60  # seconds for each thing that follows; credentials are verified within 30


class Refused(Exception):
    """The API said no. `status`, and the error as it was told: code, message, fields, request_id."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(f"{status} {error['code']}: {error['message']} (request {error['request_id']})")
        self.status, self.error = status, error


class Muster:
    """The provider API with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url.rstrip("/"), key

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        address = f"{self.url}/api/provider/v1/{path}"
        request = urllib.request.Request(address, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as refused:
            with refused:
                error = json.loads(refused.read())["error"]
            if refused.code == 429:  # too many calls: the reply says how long to wait
                time.sleep(int(refused.headers["Retry-After"]))
                return self(method, path, body)
            raise Refused(refused.code, error) from None

    def account(self, customer: str, account: str) -> Any:
        """The account, once its newest credentials were verified or refused."""
        until = time.monotonic() + WAIT
        while True:
            found = self("GET", f"customers/{customer}/accounts/{account}")
            if found["status"] != "pending" or time.monotonic() > until:
                return found
            time.sleep(1)


class Receiver:
    """A web server that takes webhooks, checks who signed them, and puts the events into a queue."""

    def __init__(self) -> None:
        self.secret = ""
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                good = receiver.is_ours(self.headers, body)
                if good:
                    receiver.events.put(json.loads(body))
                self.send_response(204 if good else 401)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/muster"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def is_ours(self, headers: Any, body: bytes) -> bool:
        """Standard Webhooks: HMAC-SHA256 over id, timestamp and body; any of the signatures may be the right one."""
        if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
            return False
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(wanted, one) for one in headers["webhook-signature"].split())

    def wait_for(self, type: str) -> dict[str, Any]:
        """The next event of that type."""
        until = time.monotonic() + WAIT
        while True:
            event = self.events.get(timeout=max(0.1, until - time.monotonic()))
            if event["type"] == type:
                return event


def press_the_button(url: str) -> str:
    """What a browser does with a hand-off link: opens it, presses its one button, and is shown the servers."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    with browser.open(url, timeout=30) as page:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    assert token is not None
    form = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1]}).encode()
    with browser.open(urllib.request.Request(url, form, {"Referer": url}), timeout=30) as page:
        return page.read().decode()


def main(url: str, key: str) -> None:
    """Each step prints what came of it; the first that fails ends it with the API's own words."""
    muster, receiver = Muster(url, key), Receiver()

    there = muster("GET", "sandbox")
    logins = {one["status"]: one["credentials"] for one in there["clouds"][0]["logins"]}
    endpoint = there["clouds"][0]["endpoint"]
    print(f"The sandbox is {there['provider']}, with {len(there['clouds'])} simulated clouds.")

    hook = muster("POST", "webhooks", {"url": receiver.url})
    receiver.secret = hook["secret"]  # told this once: keep it where your receiver finds it

    ada = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines Ltd"}
    bob = {"email": "bob@example.com", "first_name": "Bob", "last_name": "Bell", "organization": "Wires Ltd"}
    for external_id, person in (("c-1001", ada), ("c-1002", bob)):
        muster("PUT", f"customers/{external_id}", person)
        muster("PUT", f"customers/{external_id}", person)  # the same again changes nothing
    print(f"Customers: {[one['external_id'] for one in muster('GET', 'customers')['results']]}")
    print(f"A signed webhook came: {receiver.wait_for('customer.created')['data']}")

    push = {"endpoint": endpoint, "name": "Main", "version": 1, "credentials": logins["bad_credentials"]}
    muster("PUT", "customers/c-1001/accounts/main", push)
    refused = muster.account("c-1001", "main")
    print(f"Bad credentials: {refused['status']}: {refused['status_reason']}")
    assert refused["status"] == "bad_credentials"

    push = {**push, "version": 2, "credentials": logins["ok"]}  # the version only grows
    muster("PUT", "customers/c-1001/accounts/main", push)
    pushed = time.monotonic()
    print(f"A signed webhook came: {receiver.wait_for('account.verified')['data']}")
    print(f"Verified within {time.monotonic() - pushed:.1f} seconds of the push.")
    good = muster.account("c-1001", "main")
    assert good["status"] == "ok", good

    try:
        muster("PUT", "customers/c-1001/accounts/main", {**push, "version": 1})
    except Refused as older:
        print(f"An older version is refused: {older.error['message']}")

    receiver.wait_for("server.discovered")
    servers = muster("GET", "customers/c-1001/servers")["results"]
    print(f"Servers: {sorted(one['name'] for one in servers)}")
    assert servers

    chosen = servers[0]["external_id"]
    muster("POST", f"sandbox/customers/c-1001/servers/{urllib.parse.quote(chosen, safe='')}/manage")
    print(f"A signed webhook came: {receiver.wait_for('server.managed')['data']}")
    managed = [one for one in muster("GET", "customers/c-1001/servers")["results"] if one["agent_state"] == "managed"]
    assert [one["external_id"] for one in managed] == [chosen]
    print(f"Managed: {managed[0]['name']}, load {managed[0]['agent']['load1']}")

    link = muster("POST", "customers/c-1001/handoff", {"return_to": "/servers/"})
    page = press_the_button(link["url"])
    assert all(one["name"] in page for one in servers)
    print("The customer was handed over, and sees the same servers in the console.")

    muster("DELETE", "customers/c-1002")
    muster("DELETE", f"webhooks/{hook['id']}")
    print("Done.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Usage: integrate.py CONSOLE_URL mst_test_KEY")
    main(sys.argv[1], sys.argv[2])
