"""What goes wrong on the wire of a simulated cloud goes wrong as planned, as often as planned, and then no more."""

from __future__ import annotations

import time

import pytest
import requests

from console.demo.cloud import Generation
from console.demo.openstack import Cloud, serve
from tests.clouds.demo_caller import session


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [
        ("unauthorized", 401, "application/json"),
        ("forbidden", 403, "application/json"),
        ("over_limit", 413, "text/html; charset=UTF-8"),
        ("too_many", 429, "application/json"),
        ("unavailable", 503, "text/html; charset=UTF-8"),
        ("broken", 500, "application/json"),
        ("rubbish", 200, "application/json"),
        ("html", 200, "text/html; charset=UTF-8"),
        ("redirect", 302, None),
    ],
)
def test_a_mishap_befalls_the_named_request_and_then_no_more(kind: str, status: int, content: str | None) -> None:
    with serve(Cloud.sized(4)) as site:
        caller, url = session(site)
        planned = site.faults.inject(kind, path="/servers/detail", after=1, times=1, retry_after=7)
        with caller:
            replies = [caller.get(f"{url}/servers/detail?limit=2", timeout=10, allow_redirects=False) for _ in range(3)]
        assert [one.status_code for one in replies] == [200, status, 200]
        assert replies[1].headers.get("Content-Type") == content
        if kind in ("over_limit", "too_many", "unavailable"):
            assert replies[1].headers["Retry-After"] == "7"
        assert planned.seen == 1


def test_a_truncated_reply_ends_before_its_length() -> None:
    with serve(Cloud.sized(4)) as site:
        caller, url = session(site)
        site.faults.inject("truncated")
        with caller, pytest.raises(requests.exceptions.ChunkedEncodingError):
            caller.get(f"{url}/servers/detail", timeout=10)


def test_a_hung_up_call_and_a_silent_one_have_no_reply() -> None:
    with serve(Cloud.sized(4)) as site:
        caller, url = session(site)
        with caller:
            site.faults.inject("hang_up")
            with pytest.raises(requests.ConnectionError):
                caller.get(f"{url}/servers/detail", timeout=10)
            site.faults.inject("hang", pause=60)
            with pytest.raises(requests.ReadTimeout):
                caller.get(f"{url}/servers/detail", timeout=0.2)


def test_a_dripping_reply_is_whole_but_late() -> None:
    with serve(Cloud.sized(1)) as site:
        caller, url = session(site)
        site.faults.inject("drip", pause=0.002)
        with caller:
            began = time.monotonic()
            assert len(caller.get(f"{url}/servers/detail", timeout=10).json()["servers"]) == 1
            assert time.monotonic() - began > 0.1


def test_a_huge_reply_and_a_bomb_have_the_size_asked_for() -> None:
    with serve(Cloud.sized(1)) as site:
        caller, url = session(site)
        with caller:
            site.faults.inject("huge", size=3_000_000)
            assert len(caller.get(f"{url}/servers/detail", timeout=10).content) == 3_000_000
            site.faults.inject("bomb", size=3_000_000)
            packed = caller.get(f"{url}/servers/detail", timeout=10)
            assert len(packed.content) == 3_000_000
            assert int(packed.headers["Content-Length"]) < 10_000


@pytest.mark.parametrize("generation", ["modern", "essex"])
def test_a_catalog_can_point_elsewhere(generation: Generation) -> None:
    with serve(Cloud(generation)) as site:
        site.faults.inject("elsewhere", location="http://198.51.100.7/v2.1")
        assert session(site)[1] == "http://198.51.100.7/v2.1"
        assert session(site)[1].startswith(site.compute_url)


def test_an_unknown_mishap_is_refused() -> None:
    with serve(Cloud()) as site, pytest.raises(ValueError, match="sulk"):
        site.faults.inject("sulk")
