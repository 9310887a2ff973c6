"""Cloud platforms behind one interface. Plain Python: no Django, no models, nothing remembered between calls."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from accounts.clouds.base import Address, Checked, Driver, ServerFacts, State
from accounts.clouds.operations import Capabilities
from console.lib.faults import Unexpected
from console.lib.outbound import Transport

# Dotted paths, so that a process pays only for the client libraries it uses.
_DRIVERS: Final = {
    "openstack": "accounts.clouds.openstack_acting:OpenStack",
    "cloudstack": "accounts.clouds.cloudstack:CloudStack",
}


def open(
    platform: str,
    *,
    url: str,
    credentials: Mapping[str, str],
    version: str | None = None,
    region: str | None = None,
    transport: Transport,
) -> Driver:
    """A driver for the account that `credentials` open at `url`. Makes no call yet.

    `version` and `region` are negotiated, or all regions listed, when left out. Raises Unexpected for a platform
    without a driver, BadCredentials when the credentials lack a part.
    """
    try:
        module, _, name = _DRIVERS[platform].partition(":")
    except KeyError:
        raise Unexpected(f"There is no driver for {platform!r}. Known: {', '.join(sorted(_DRIVERS))}.") from None
    build = getattr(import_module(module), name)
    driver: Driver = build(url=url, credentials=credentials, version=version, region=region, transport=transport)
    return driver


def capabilities(platform: str, generation: str) -> Capabilities | None:
    """What a cloud of this generation (Checked.generation) can do; None while that is not known. Makes no call."""
    if platform not in _DRIVERS or not generation:
        return None
    tables: Mapping[str, Capabilities] = import_module(f"accounts.clouds.{platform}_capabilities").CAPABILITIES
    return tables.get(generation)


__all__ = ["Address", "Checked", "Driver", "ServerFacts", "State", "capabilities", "open"]
