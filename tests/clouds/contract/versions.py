"""Every driver × version that the contract suite drives, by the name that its tests carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from accounts import clouds
from tests.clouds.contract.cloudstack_site import CloudStackSite
from tests.clouds.contract.openstack_site import OpenStackSite
from tests.clouds.contract.sites import Site
from tests.clouds.contract.vcloud_site import VCloudSite

VERSIONS: dict[str, Callable[[], Site]] = {
    "openstack-diablo-1.0": lambda: OpenStackSite("diablo-1.0", "legacy-1.0"),
    "openstack-diablo-1.1": lambda: OpenStackSite("diablo", "legacy-1.1"),
    "openstack-diablo-keystone": lambda: OpenStackSite("diablo"),
    "openstack-essex": lambda: OpenStackSite("essex"),
    "openstack-modern": lambda: OpenStackSite("modern"),
    "openstack-modern-application-credential": lambda: OpenStackSite("modern", "application-credential"),
    "cloudstack-2.2": lambda: CloudStackSite("3.x", "2.2.14"),
    "cloudstack-3.0": lambda: CloudStackSite("3.x", "3.0.7"),
    "cloudstack-4.0": lambda: CloudStackSite("4.0", "4.0.2"),
    "cloudstack-4.3": lambda: CloudStackSite("4.2", "4.3.0"),
    "cloudstack-4.11": lambda: CloudStackSite("4.4", "4.11.2.0"),
    "cloudstack-4.17": lambda: CloudStackSite("4.17", "4.17.0.1"),
    "cloudstack-4.20": lambda: CloudStackSite("4.18", "4.20.0.0"),
    "cloudstack-5.1-unknown": lambda: CloudStackSite("4.18", "5.1.0.0"),
    "vcloud-1.0": lambda: VCloudSite("1.0", "1.0"),
    "vcloud-1.5": lambda: VCloudSite("1.5", "1.5"),
    "vcloud-5.1": lambda: VCloudSite("5.1", "5.1"),
    "vcloud-5.7": lambda: VCloudSite("5.1", "9.0"),
    "vcloud-32.0": lambda: VCloudSite("vcd", "32.0"),
    "vcloud-38.1": lambda: VCloudSite("33", "38.1"),
    "vcloud-38.1-api-token": lambda: VCloudSite("33", "38.1", "api-token"),
    "vcloud-46-unknown": lambda: VCloudSite("33", "46.0"),
}

DISTINCT = [name for name in VERSIONS if not name.endswith(("-keystone", "-credential", "-token", "-unknown"))]
"""Without those that differ from another only in how they are signed in to, or that nobody knows yet."""

EACH_PAGER = [
    "openstack-diablo-1.0",
    "openstack-essex",
    "openstack-modern",
    "cloudstack-3.0",
    "cloudstack-4.20",
    "vcloud-1.5",
    "vcloud-38.1",
]
"""One for each way of paging: by offset, by marker, in a stable order, counting pages, counting all, by a query."""

EACH_GENERATION = pytest.mark.parametrize("served", DISTINCT, indirect=True, scope="module")


@contextmanager
def serving(name: str, servers: int = 0) -> Iterator[Site]:
    """The account of that name with so many servers, served while the block runs."""
    site = VERSIONS[name]()
    try:
        site.stock(servers)
        yield site
    finally:
        site.stop()


def untried() -> set[tuple[str, str]]:
    """(platform, generation) of the capability tables that no version here stands for."""
    tables = {(platform, known) for platform in clouds.platforms() for known in clouds.tables(platform)}
    tried = set()
    for name in DISTINCT:
        with serving(name) as site:
            tried.add((site.platform, site.generation))
    return tables - tried
