"""What an OpenStack project can choose from: sizes, images, networks, key pairs; and what it may call how often."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import requests

from accounts.clouds import openstack_rows as rows
from accounts.clouds import openstack_signin as signin
from accounts.clouds.openstack import Listing
from accounts.clouds.operations import Image, KeyPair, Network, Operation, Rate, Size, require
from console.lib.faults import Unexpected

GLANCE: Final = "The image service"
_NEUTRON: Final = "The network service"
_SECONDS: Final = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86400.0}


class Offers(Listing):
    """The promise of each method is in `accounts.clouds.acting.ActingDriver`. `zone` is the region, where a project
    has several."""

    def sizes(self) -> tuple[Size, ...]:
        require(self.capabilities(), Operation.SIZES)
        found: dict[str, Size] = {}
        for compute in self._signed_in():
            for row in self._rows(f"{compute.url}/flavors/detail", "flavors", "sizes"):
                held = rows.flavor(row)
                size = Size(str(row["id"]), held.name, held.cpus, held.memory_mb, held.disk_gb)
                found.setdefault(size.id, size)
        return tuple(found.values())

    def images(self) -> tuple[Image, ...]:
        require(self.capabilities(), Operation.IMAGES)
        return tuple(
            Image(
                id=str(row["id"]),
                name=str(row.get("name") or ""),
                min_disk_gb=_number(row.get("min_disk", row.get("minDisk"))),
                min_memory_mb=_number(row.get("min_ram", row.get("minRam"))),
                zone=self._zone(compute),
            )
            for compute in self._signed_in()
            for row in self._image_rows(compute)
            if str(row.get("status") or "active").lower() == "active"
        )

    def networks(self) -> tuple[Network, ...]:
        require(self.capabilities(), Operation.NETWORKS)
        found = []
        for compute in self._signed_in():
            url = self._service("network", compute)
            if not url:
                continue  # nova-network: the cloud picks, and there is nothing to choose
            base = url if url.endswith("/v2.0") else f"{url}/v2.0"
            for row in self._rows(f"{base}/networks", "networks", "networks", _NEUTRON):
                # Ports on an external network are for routers, unless the cloud shares it with its projects.
                if row.get("router:external") and not row.get("shared"):
                    continue
                found.append(Network(str(row["id"]), str(row.get("name") or ""), self._zone(compute)))
        return tuple(found)

    def key_pairs(self) -> tuple[KeyPair, ...]:
        require(self.capabilities(), Operation.KEY_PAIRS)
        found: dict[str, KeyPair] = {}
        for compute in self._signed_in():
            # No microversion: below 2.35 the list has no pages.
            listed = self._read(self._get(f"{compute.url}/os-keypairs")).get("keypairs")
            if not isinstance(listed, list):
                raise Unexpected("The compute API answered a listing without key pairs in it.")
            for entry in listed:
                row = entry.get("keypair") if isinstance(entry, dict) else None
                if not isinstance(row, dict) or "name" not in row:
                    raise Unexpected("The compute API listed a key pair of a shape that its protocol does not have.")
                pair = KeyPair(str(row["name"]), str(row.get("fingerprint") or ""))
                found.setdefault(pair.name, pair)
        return tuple(found.values())

    def rates(self) -> tuple[Rate, ...]:
        """Limits on every call of a verb. Those on some paths only (changes-since, 3 a minute in Essex) are left out:
        a reader would hold back every GET for them, and the cloud itself says SlowDown."""
        found: dict[tuple[str, float], Rate] = {}
        for compute in self._signed_in():
            response = self._get(f"{compute.url}/limits")
            if response.status_code in (403, 404):
                continue
            for entry in _limits(self._read(response)):
                seconds = _SECONDS.get(str(entry.get("unit", "")).upper())
                calls, verb = _number(entry.get("value")), str(entry.get("verb") or "")
                if seconds and calls:
                    rate = Rate(calls, seconds, verb)
                    known = found.setdefault((verb, seconds), rate)
                    if rate.calls < known.calls:
                        found[verb, seconds] = rate
        return tuple(found.values())

    # --- images, which are snapshots too

    def _service(self, service_type: str, compute: signin.Compute) -> str:
        """The URL of another service beside this compute API; "" when the catalog has none there."""
        return signin.endpoints(self._catalog, service_type).get(compute.region, "")

    def _glance(self, compute: signin.Compute) -> str:
        """Glance's v2 in this region; "" where Nova's proxy must do: below microversion 2.36 it is in every release,
        and Essex has Glance v1 only."""
        url = self._service("image", compute) if self._generation() == "modern" else ""
        if not url or url.endswith("/v1"):
            return ""
        return url if url.endswith("/v2") else f"{url}/v2"

    def _image_rows(self, compute: signin.Compute, **query: str) -> list[dict[str, Any]]:
        if glance := self._glance(compute):
            return self._rows(f"{glance}/images", "images", "images", GLANCE, query)
        return self._rows(f"{compute.url}/images/detail", "images", "images")

    def _image(self, method: str, compute: signin.Compute, image_id: str) -> requests.Response:
        return self._request(method, f"{self._glance(compute) or compute.url}/images/{quote(image_id, safe='')}")

    def _zone(self, compute: signin.Compute) -> str:
        return compute.region if len(self._signed_in()) > 1 else ""


def _limits(body: dict[str, Any]) -> list[dict[str, Any]]:
    # v1.0: {"rate": [{"URI", "verb", "value", "unit"}]}; later: {"rate": [{"uri", "limit": [{"verb", …}]}]}.
    try:
        groups = body["limits"]["rate"]
        flat = [entry for group in groups for entry in group.get("limit", [group]) if _everywhere(group)]
    except (KeyError, TypeError, AttributeError) as error:
        raise Unexpected("The compute API answered its limits in a shape that its protocol does not have.") from error
    return [entry for entry in flat if isinstance(entry, dict)]


def _everywhere(group: dict[str, Any]) -> bool:
    return (group.get("uri") or group.get("URI")) == "*"


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
