"""Cloud platforms behind one interface. Plain Python: no Django, no models, nothing remembered between calls."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from accounts.clouds.base import Address, Checked, Driver, Page, Same, ServerFacts, State
from accounts.clouds.operations import Capabilities
from console.lib.faults import Unexpected
from console.lib.outbound import Transport
from providers.platforms import PLATFORMS


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
        build = _at(PLATFORMS[platform].driver)
    except KeyError:
        raise Unexpected(f"There is no driver for {platform!r}. Known: {', '.join(sorted(PLATFORMS))}.") from None
    driver: Driver = build(url=url, credentials=credentials, version=version, region=region, transport=transport)
    return driver


def platforms() -> tuple[str, ...]:
    """The platforms that have a driver."""
    return tuple(PLATFORMS)


def tables(platform: str) -> Mapping[str, Capabilities]:
    """Generation (Checked.generation) → what a cloud of it can do, the oldest first."""
    found: Mapping[str, Capabilities] = _at(PLATFORMS[platform].tables)
    return found


def capabilities(platform: str, generation: str) -> Capabilities | None:
    """What a cloud of this generation can do; None while that is not known. Makes no call."""
    return tables(platform).get(generation) if platform in PLATFORMS else None


def _at(path: str) -> Any:
    """What stands under this name in this module ("module:name")."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


__all__ = [
    "Address",
    "Checked",
    "Driver",
    "Page",
    "Same",
    "ServerFacts",
    "State",
    "capabilities",
    "open",
    "platforms",
    "tables",
]
