"""What a real Keystone 30 and Nova 34 did otherwise than we had thought (tests/realstack), on every run."""

from __future__ import annotations

from typing import cast

import pytest

from accounts import clouds
from accounts.clouds.acting import ActingDriver
from console.demo.openstack import Cloud, Flavor, serve
from console.demo.population import stock
from console.lib.faults import BadCredentials
from console.lib.outbound import Transport
from tests.clouds.openstack_account import MODERN, listed, opened, row, said
from tests.clouds.replay import Replay


def test_sizes_and_images_are_named_although_the_cloud_cuts_their_pages_below_ours(modern: Replay) -> None:
    link = [{"rel": "next", "href": "http://elsewhere.example/"}]
    held = [{"id": str(number), "name": f"m{number}", "vcpus": 1, "ram": 64, "disk": 1} for number in range(1, 4)]
    for kind, url in (("flavors", "/v2.1/flavors/detail"), ("images", "/v2.1/images/detail")):
        modern.replies.pop(("GET", url, "1000", ""), None)
        modern.say("GET", f"{url}?limit=1000", said(200, {kind: held[:2], f"{kind}_links": link}))
        modern.say("GET", f"{url}?limit=1000&marker=2", said(200, {kind: held[2:]}))
    server = row(1, flavor={"id": "3"}, image={"id": "3"})
    modern.say("GET", f"{MODERN}/detail?limit=1000", said(200, {"servers": [server]}))
    modern.say("GET", f"{MODERN}/detail?limit=1000&marker=id-1", said(200, {"servers": []}))
    (facts,) = listed(opened(modern))
    assert (facts.size, facts.image) == ("m3", "m3")


def test_an_application_credential_that_was_deleted_is_a_matter_of_credentials() -> None:
    with serve(Cloud()) as site:
        credentials = dict(site.cloud.application_credentials)
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        driver = clouds.open("openstack", url=site.url, credentials=credentials, transport=transport)
        driver.check()
        (user,) = site.cloud.users.values()
        user.application_credentials.clear()
        site.cloud.tokens.revoke()
        with pytest.raises(BadCredentials, match="knows the credentials no more"):
            driver.check()
        again = clouds.open("openstack", url=site.url, credentials=credentials, transport=transport)
        with pytest.raises(BadCredentials, match="Could not find Application Credential"):
            again.check()


def test_a_simulated_modern_cloud_cuts_its_pages_as_the_real_one_does() -> None:
    cloud = Cloud(max_limit=3)
    stock(cloud)
    for number in range(7):
        cloud.flavors[f"x{number}"] = Flavor(f"x{number}", f"x{number}", 1, 64, 1)
    cloud.house(cloud.add("web-1", flavor="x6", image=list(cloud.images)[-1]))
    with serve(cloud) as site:
        transport = Transport(["127.0.0.1/32"], allow_http=True)
        driver = clouds.open("openstack", url=site.url, credentials=cloud.credentials, transport=transport)
        (facts,) = listed(driver)
        assert (facts.size, facts.image) == ("x6", list(cloud.images.values())[-1].name)
        assert {size.id for size in cast(ActingDriver, driver).sizes()} == set(cloud.flavors)
