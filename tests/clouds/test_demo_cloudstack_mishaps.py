"""What goes wrong on the wire of a simulated CloudStack goes wrong in its own words, as often as planned."""

from __future__ import annotations

import pytest
import requests

from console.demo.cloudstack import Cloud, serve
from tests.clouds.cloudstack_caller import ask, client, order, say, signed


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [
        ("unauthorized", 401, "unable to verify user credentials and/or request signature"),
        ("forbidden", 531, "does not have permission"),
        ("over_limit", 429, "please retry after 7000 ms."),
        ("too_many", 429, "Too many requests"),
        ("unavailable", 503, "503 Service Unavailable"),
        ("broken", 530, "Internal error executing command"),
        ("rubbish", 200, "nonsense"),
        ("wrong_shape", 200, '"virtualmachine": 7'),
        ("empty", 200, '{"listvirtualmachinesresponse":{}}'),
        ("html", 200, "Hotel Wi-Fi"),
    ],
)
def test_a_mishap_befalls_one_page_in_the_middle_and_then_no_more(kind: str, status: int, content: str) -> None:
    with serve(Cloud.sized(6)) as site:
        planned = site.faults.inject(kind, after=1, retry_after=7)
        pages = [say(site, "listVirtualMachines", page=str(number), pagesize="2") for number in (1, 2, 2)]
        assert [one.status_code for one in pages] == [200, status, 200]
        assert content in pages[1].text
        assert planned.seen == 1
        assert pages[1].headers.get("Retry-After") == ("7" if kind in ("too_many", "unavailable") else None)


def test_a_mishap_finds_its_command_in_a_form_body_too() -> None:
    with serve(Cloud.sized(1)) as site:
        site.faults.inject("broken", path="command=deployVirtualMachine", method="POST")
        assert say(site, "listZones", method="POST").status_code == 200
        reply = say(site, "deployVirtualMachine", method="POST", **order(site))
        assert reply.json()["deployvirtualmachineresponse"]["errorcode"] == 530
        assert len(site.cloud.machines) == 1
        method, target = site.requests[-1]
        assert method == "POST"
        assert target.startswith("/client/api?")
        assert "command=deployVirtualMachine" in target


def test_a_page_can_be_cut_slow_huge_or_sent_elsewhere() -> None:
    with serve(Cloud.sized(4)) as site, requests.Session() as session:

        def get(**more: object) -> requests.Response:
            params = signed(site, "listVirtualMachines")
            return session.get(site.url, params=params, timeout=10, allow_redirects=False, **more)  # type: ignore[arg-type]

        site.faults.inject("truncated")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get()
        site.faults.inject("hang_up")
        with pytest.raises(requests.ConnectionError):
            get()
        site.faults.inject("drip", pause=0.0)
        assert get().json()["listvirtualmachinesresponse"]["count"] == 4
        site.faults.inject("bomb", size=300_000)
        assert len(get().content) == 300_000
        site.faults.inject("redirect", location="http://198.51.100.7/client/api")
        assert get().headers["Location"] == "http://198.51.100.7/client/api"


def test_a_console_can_point_elsewhere() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        site.faults.inject("elsewhere", location="http://198.51.100.7/console")
        said = ask(site, "createConsoleEndpoint", virtualmachineid=machine)["consoleendpoint"]
        assert said["url"] == "http://198.51.100.7/console"
        assert client(site).createConsoleEndpoint(virtualmachineid=machine)["consoleendpoint"]["url"] != said["url"]


def test_an_unknown_mishap_is_refused() -> None:
    with serve(Cloud.sized(0)) as site, pytest.raises(ValueError, match="sulk"):
        site.faults.inject("sulk")
