"""Traps of the clouds (../shared/CLOUDS.md) that have no better place. Most stand with the driver that they are set
for: test_openstack_*.py, test_cloudstack_wire.py, test_vcloud_traps.py; what all share is in contract/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from accounts import clouds
from console.demo import cloudstack as cloudstack_demo
from console.demo import openstack as openstack_demo
from console.demo import vcloud as vcloud_demo
from console.lib.faults import Refused, Unexpected
from console.lib.outbound import Transport
from tests.clouds import cloudstack_account
from tests.clouds.cloudstack_account import error, machine, scripted
from tests.clouds.openstack_account import listed, opened, said
from tests.clouds.replay import Replay

METADATA_SERVICE = "http://169.254.169.254"


def driver(platform: str, url: str, credentials: Mapping[str, str], *registered: str) -> clouds.Driver:
    transport = Transport(["127.0.0.1/32"], allow_http=True, origins=registered)
    return clouds.open(platform, url=url, credentials=credentials, transport=transport)


@pytest.mark.parametrize("generation", ["diablo", "essex", "modern"])
def test_a_catalog_that_points_inside_is_not_followed_even_where_its_origin_is_registered(generation: Any) -> None:
    with openstack_demo.serve(openstack_demo.Cloud(generation=generation)) as site:
        site.faults.inject("elsewhere", times=None, location=f"{METADATA_SERVICE}/v2")
        opened = driver("openstack", site.url, site.cloud.credentials, METADATA_SERVICE)
        with pytest.raises(Refused, match=r"169\.254\.169\.254"):
            opened.check()


@pytest.mark.parametrize("generation", ["1.0", "1.5", "5.1"])
def test_a_login_url_that_points_inside_is_not_followed_even_where_its_origin_is_registered(generation: str) -> None:
    with vcloud_demo.serve(vcloud_demo.Cloud(generation=generation)) as site:
        site.faults.inject("elsewhere", times=None, location=f"{METADATA_SERVICE}/api")
        opened = driver("vcloud", site.url, site.cloud.credentials, METADATA_SERVICE)
        with pytest.raises(Refused, match=r"169\.254\.169\.254"):
            opened.check()


def test_an_essex_user_who_may_sign_in_but_has_no_role_is_told_so_by_the_check(essex: Replay) -> None:
    refusal = said(
        403, {"forbidden": {"message": "Policy doesn't allow compute:get_all to be performed.", "code": 403}}
    )
    for key in [key for key in essex.replies if "servers/detail" in key[1]]:
        del essex.replies[key]
    essex.say("GET", "/v1.1/e89f2869d3834e60acd34f543a3c8afd/servers/detail?limit=1", refusal)
    with pytest.raises(Refused, match="compute:get_all"):
        opened(essex).check()


def test_servers_of_a_cell_that_is_down_are_left_out_of_the_listing_and_by_id_are_a_fault_and_not_unknown() -> None:
    # Nova has rows for them only without limit, marker and order, which a whole listing cannot do without.
    with openstack_demo.serve(openstack_demo.Cloud.sized(5)) as site:
        ids = list(site.cloud.instances)
        site.cloud.down = frozenset(ids[:2])
        opened = driver("openstack", site.url, site.cloud.credentials)
        assert {facts.external_id for facts in listed(opened)} == set(ids[2:])
        with pytest.raises(Unexpected, match="failed inside"):
            opened.server(ids[0])


@pytest.mark.parametrize("code", [401, 432])
def test_a_command_that_a_role_has_not_is_no_sign_of_bad_credentials(code: int) -> None:
    with scripted() as cloud:
        cloud.say("listProjects", error(code, "The given command:listProjects does not exist or it is not available"))
        cloud.say("listVirtualMachines", {"virtualmachine": [machine(1)]}, {})
        assert [facts.external_id for facts in cloudstack_account.listing(cloudstack_account.opened(cloud.url))] == [
            "vm-1"
        ]


def test_statistics_which_make_a_listing_ten_times_slower_are_never_asked_for() -> None:
    with cloudstack_demo.serve(cloudstack_demo.Cloud.sized(3)) as site:
        opened = cloudstack_account.opened(site.url, credentials=site.cloud.credentials)
        [facts, *_] = cloudstack_account.listing(opened)
        opened.check()
        opened.server(facts.external_id)
        asked = [path for _, path in site.requests if "command=listVirtualMachines" in path]
        assert len(asked) >= 3
        assert all("details=" in path and "details=all" not in path and "stats" not in path for path in asked)
