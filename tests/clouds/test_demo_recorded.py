"""The simulated OpenStack answers what the recorded ones answered: the same requests, over HTTP, on the same ids."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests

from console.demo.openstack import Cloud, Flavor, Image, Site, serve
from console.demo.population import stock
from console.demo.tokens import User
from tests.clouds.captured import Exchange, differences, exchanges
from tests.clouds.demo_caller import Clock

TENANT = "e89f2869d3834e60acd34f543a3c8afd"
SERVERS = {
    "ed06b618-17d8-4f48-9bef-169dfaf4ee56": 3,
    "643d444f-1c27-4106-93f1-3ddb34e23908": 2,
    "2e517b10-2326-4409-b2e8-8c141887509f": 1,
    "d0a5d4bf-4370-4d5b-a1c6-59f07a16129a": 0,
}
MODERN_TENANT = "87ede5e33d84454abbf7e9d93ae4fe1f"
MODERN = {
    "0ddf8e1f-e71f-4b7e-b2b0-2d241ec85e80": ("mm-3", "BUILD"),
    "7e06766d-48e3-490a-a827-4385b1b98d85": ("mm-4", "ERROR"),
    "86763dce-aac7-41e1-8fd0-2f1ec14fef81": ("mm-5", "BUILD"),
    "ae53c7ec-7636-4a4e-bd70-00e6e45594e6": ("mm-1", "BUILD"),
    "ca617ad3-4c32-415e-b14f-11fc4b95e585": ("mm-2", "BUILD"),
    "58fbba97-10ad-4223-8911-c113a440a5b8": ("new", "ACTIVE"),
    "f34339f5-8ab7-4597-94d3-c6abfcfd5163": ("s1", "SHUTOFF"),
    "f358962a-f70e-4891-a961-fae729edac48": ("s1", "SHUTOFF"),
}

# What the recordings hold and the simulator does not, with the reason.
NOT_SIMULATED = {
    "ext": "a list of what is installed; nothing of ours reads it",
    "filter": "a 500 of its SQLite, which has no REGEXP",
    "quota": "for administrators",
    "snapshots": "volumes",
}
SENT_WITHOUT_TOKEN = {"ver-noauth", "unauth", "unauth2"}
# The rate limits count by the minute: these come within one, the rest a minute apart.
AT_ONCE = {"confirm", "cs1", "cs2", "cs3", "del", "changes2"}
# A server is gone a moment after its deletion.
SOON = {"deleted", "mk-deleted"}
RATES = {"over0", "over1", "over2"}
# The recorded resize never came to its end: the server was back at once.
BACK = {"createImage"}


SETTLE = timedelta(seconds=5)


@contextmanager
def essex() -> Iterator[tuple[Site, Clock]]:
    clock = Clock()
    user = User(id="19ea5d1f95334ae89a59bf2ecaa3e24a", name="admin", password="secret", projects=["demo"])
    cloud = Cloud("essex", clock=clock, settle=SETTLE, username="admin", password="secret")
    cloud.projects, cloud.users = {"demo": TENANT}, {"admin": user}
    stock(cloud)
    image = "70a599e0-31e7-49b7-b260-868f441e862b"
    cloud.images[image] = Image(image, "fakeimage7")
    for server, minute in SERVERS.items():
        born = clock.now + timedelta(minutes=minute)
        cloud.add(f"srv {minute} \u00e9", id=server, image=image, flavor="1", metadata={"a": "1"}, created=born)
        cloud.instances[server].console = "FAKE CONSOLE OUTPUT\nANOTHER\nLAST LINE"
        cloud.house(cloud.instances[server])
    cloud.update("2e517b10-2326-4409-b2e8-8c141887509f", metadata={"a": "1"})
    with serve(cloud) as site:
        yield site, clock


@contextmanager
def modern() -> Iterator[tuple[Site, Clock]]:
    clock = Clock()
    user = User(id="6674fd1db4264716b0a2980d5f2eb769", name="demo", password="secret", projects=["demo"])
    cloud = Cloud(
        "modern", clock=clock, settle=SETTLE, password="secret", projects={"demo": MODERN_TENANT}, users={"demo": user}
    )
    size, image = "a8b39f98-8e87-47b4-8077-720e9b0d9ac1", "3a48bad1-f787-4557-ae26-658070a5c39e"
    cloud.flavors[size], cloud.images[image] = Flavor(size, "m1.tiny", 1, 64, 1), Image(image, "cirros")
    for place, (server, (name, status)) in enumerate(MODERN.items()):
        born = clock.now - timedelta(minutes=0 if name.startswith("mm") else place)
        cloud.add(name, id=server, status=status, created=born)
    cloud.instances["7e06766d-48e3-490a-a827-4385b1b98d85"].fault = "Exceeded maximum number of retries."
    with serve(cloud) as site:
        yield site, clock


def ask(site: Site, exchange: Exchange, token: str | None) -> requests.Response:
    """The recorded request, made to the simulator."""
    parts = urlsplit(exchange.url)
    base = site.url if parts.port in (15000, 35000) else site.compute_url
    headers = {"Content-Type": "application/json"}
    if token is not None and parts.port not in (15000, 35000):
        headers["X-Auth-Token"] = token
    if exchange.microversion:
        headers["OpenStack-API-Version"] = exchange.microversion
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return requests.request(exchange.method, base + target, data=exchange.body, headers=headers, timeout=10)


def host_free(text: str) -> str:
    """The text without ports, which no two sites share."""
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", text)


def check(exchange: Exchange, reply: requests.Response, alike: list[Exchange]) -> None:
    """Status, the headers that clients read, and the body: faults and versions to the letter, the rest in shape."""
    assert reply.status_code == exchange.status, reply.text
    recorded = exchange.headers
    assert reply.headers.get("Content-Type") == recorded.get("content-type")
    for name in ("openstack-api-version", "x-openstack-nova-api-version", "vary", "www-authenticate"):
        assert host_free(reply.headers.get(name, "")) == host_free(recorded.get(name, "")), name
    for name in ("location", "retry-after", "x-compute-request-id"):
        assert (name in reply.headers) == (name in recorded), name
    if not exchange.text.startswith(("{", "[")):
        assert reply.text.strip() == exchange.text
    elif exchange.status >= 300 or exchange.title in ("versions", "ver", "v2root", "v21root"):
        theirs, ours = exchange.json, reply.json()
        assert host_free(str(sorted_deep(ours))) == host_free(str(sorted_deep(theirs)))
    else:
        assert differences(reply.json(), [one.json for one in alike]) == []


def sorted_deep(value: object) -> object:
    """The value with its keys in order, so that two spellings of one object are equal."""
    if isinstance(value, dict):
        return {key: sorted_deep(value[key]) for key in sorted(value)}
    return [sorted_deep(one) for one in value] if isinstance(value, list) else value


def kind_of(exchange: Exchange) -> tuple[str, str, str | None]:
    """What must be alike in exchanges whose replies are: method, path without ids, microversion."""
    path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "ID", urlsplit(exchange.url).path)
    return exchange.method, path, exchange.microversion


def test_essex_answers_every_recorded_request_as_the_real_one_did(subtests: pytest.Subtests) -> None:
    recorded = exchanges("essex.txt")
    with essex() as (site, clock):
        sign_in = ask(site, recorded["token"], None)
        token = sign_in.json()["access"]["token"]["id"]
        for title, exchange in recorded.items():
            if title in NOT_SIMULATED or title in RATES:
                continue
            clock.now += SETTLE if title in SOON else timedelta(seconds=0 if title in AT_ONCE else 60)
            if title in BACK:
                site.cloud.set_status("2e517b10-2326-4409-b2e8-8c141887509f", "ACTIVE")
            with subtests.test(title):
                reply = ask(site, exchange, None if title in SENT_WITHOUT_TOKEN else token)
                alike = [one for one in recorded.values() if kind_of(one) == kind_of(exchange) and one.status < 300]
                check(exchange, reply, [exchange] if title == "token" or "/action" in exchange.url else alike)


def test_essex_says_413_to_the_eleventh_post_of_a_minute_in_the_recorded_words() -> None:
    recorded = exchanges("essex.txt")
    with essex() as (site, _):
        token = ask(site, recorded["token"], None).json()["access"]["token"]["id"]
        statuses = [ask(site, recorded["badcreate"], token).status_code for _ in range(10)]
        reply = ask(site, recorded["over2"], token)
        assert statuses == [400] * 10
        check(recorded["over2"], reply, [])
        assert 1 <= int(reply.headers["Retry-After"]) <= 6


def test_modern_answers_every_recorded_request_as_the_real_one_did(subtests: pytest.Subtests) -> None:
    recorded = exchanges("modern.txt")
    with modern() as (site, clock):
        user, project = site.cloud.users["demo"], "demo"
        token = site.cloud.tokens.issue(user, project).id
        for title, exchange in recorded.items():
            clock.now += SETTLE if title in SOON else timedelta(0)
            with subtests.test(title):
                reply = ask(site, exchange, None if title in SENT_WITHOUT_TOKEN else token)
                alike = [one for one in recorded.values() if kind_of(one) == kind_of(exchange) and one.status < 300]
                check(exchange, reply, alike)


def test_the_comparison_sees_a_missing_key_a_stray_one_and_a_wrong_type() -> None:
    recorded = [{"id": "a", "size": 1, "links": [{"rel": "self"}]}, {"id": "b", "size": 2, "links": [], "fault": "x"}]
    assert differences({"id": "c", "size": 3, "links": []}, recorded) == []
    assert differences({"id": "c", "links": []}, recorded) == [".size is missing"]
    assert differences({"id": 7, "size": 3, "links": []}, recorded) == [".id is number, recorded ['str']"]
    assert differences({"id": "c", "size": 3, "links": [{"href": "x", "rel": "self"}]}, recorded) == [
        ".links[].href was never recorded"
    ]
