"""CloudStack 3.0 to 4.2x: reading. What changes something is in `cloudstack_acting`.

Facts are from ../shared/CLOUDS.md §2.3 and the recorded replies; each call is one signed command.
"""

from __future__ import annotations

import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from accounts.clouds import cloudstack_capabilities as capabilities
from accounts.clouds import cloudstack_replies as replies
from accounts.clouds import cloudstack_rows as rows
from accounts.clouds.base import Checked, Page, ServerFacts
from accounts.clouds.cloudstack_acting import FARTHEST, Acting
from accounts.clouds.cloudstack_reading import Reader
from accounts.clouds.cloudstack_replies import Declined
from accounts.clouds.cloudstack_wire import PAGE, Row, Wire, listed
from accounts.clouds.known import KnownRows
from accounts.clouds.operations import (
    Capabilities,
    Console,
    Image,
    KeyPair,
    Network,
    Operation,
    Rate,
    Size,
    Snapshot,
    require,
)
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.outbound import Transport

# "all" would bring statistics too, which makes the list up to ten times slower (apache/cloudstack #7911, #8782).
DETAILS: Final = "nics,servoff,tmpl,iso"
IDS: Final = 100  # ids in one call, so that its URL stays below 8 KB

_EVERYTHING: Final = {"listall": "true", "isrecursive": "true"}
_PROJECTS: Final = _EVERYTHING | {"projectid": "-1"}  # left out, servers of projects are not listed (#4267)
_UNKNOWN_ID: Final = 431


class CloudStack(Acting):
    """One account of one CloudStack. The promise of each method is in `accounts.clouds.acting.ActingDriver`.

    `region` is a zone's name or id. `version` is CloudStack's own ("4.15"); asked for when left out.
    """

    changes_are_complete: Final = False  # events: a guest that stops by itself makes none
    page: Final = PAGE  # servers that a call of a listing brings at most

    def __init__(
        self,
        *,
        url: str,
        credentials: Mapping[str, str],
        version: str | None = None,
        region: str | None = None,
        transport: Transport,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        missing = [name for name in ("api_key", "secret_key") if not credentials.get(name)]
        if missing:
            raise BadCredentials(f"The credentials lack {' and '.join(missing)}. Push them again with all parts.")
        self._http = transport.session(url)
        self._wire = Wire(url, credentials["api_key"], credentials["secret_key"], self._http)
        self._sleep = sleep
        self._region = region
        self._generation = capabilities.generation(version) if version else ""
        self._limits: tuple[Rate, ...] | None = None
        self._zone: dict[str, str] | None = None

    @property
    def calls(self) -> int:
        return self._http.calls

    def close(self) -> None:
        """Nothing to end: each call is signed by itself."""

    # --- what it is

    def check(self) -> Checked:
        version = self._negotiate()
        # Reading its own limits proves the signature; reading servers proves that the role may do so.
        listed(self._wire.ask("listVirtualMachines", page=1, pagesize=1, details="min", **self._scope()))
        return Checked(version=f"CloudStack {version or 'of an unknown version'}", generation=self._generation)

    def capabilities(self) -> Capabilities:
        return capabilities.CAPABILITIES[self._negotiated()]

    def rates(self) -> tuple[Rate, ...]:
        if self._limits is None:
            self._negotiate()
        return self._limits or ()

    def _negotiated(self) -> str:
        if not self._generation:
            self._negotiate()
        return self._generation

    def _negotiate(self) -> str:
        found = self._wire.ask("listCapabilities").get("capability")
        if not isinstance(found, dict):
            raise Unexpected("CloudStack answered its capabilities without any in it.")
        version = str(found.get("cloudstackversion") or "")
        self._generation = self._generation or capabilities.generation(version)
        calls, seconds = found.get("apilimitmax"), found.get("apilimitinterval")
        self._limits = ()
        if isinstance(calls, int) and isinstance(seconds, int) and calls > 0 and seconds > 0:
            self._limits = (Rate(calls, float(seconds)),)
        return version

    def _may(self, operation: Operation) -> None:
        # Each generation can do what those before it could: what the newest cannot needs no question at all.
        require(capabilities.CAPABILITIES[capabilities.NEWEST], operation)
        require(self.capabilities(), operation)

    # --- servers

    def servers(self, known: KnownRows | None = None) -> Iterator[Page]:
        seen: set[str] = set()
        scopes = [self._scope()]
        if self._has_projects():
            scopes.append(self._scope(_PROJECTS))
        reader = Reader(known)
        for scope in scopes:
            for page in self._wire.read("listVirtualMachines", reader.page, details=DETAILS, **scope):
                fresh = tuple(one for one in page if one is not None and one.external_id not in seen)
                seen.update(one.external_id for one in fresh)
                if fresh:
                    yield fresh

    def server(self, external_id: str) -> ServerFacts | None:
        row = self._row(external_id)
        return None if row is None else rows.facts(row)

    def changes(self, since: datetime) -> tuple[tuple[ServerFacts, ...], frozenset[str]]:
        """What events say. A guest that powers itself off makes none everywhere: a full listing still has to follow.

        `startdate` has no zone and means the management server's own clock, which is nowhere told: so 13 hours more
        are asked for, and `created` (which has its zone) decides.
        """
        self._may(Operation.CHANGES)
        start = (since.astimezone(UTC) - FARTHEST).strftime("%Y-%m-%d %H:%M:%S")
        touched: set[str] = set()
        for scope in (_EVERYTHING, _PROJECTS):
            for page in self._wire.pages("listEvents", startdate=start, **scope):
                touched |= {found for event in page if (found := _server_of(event, since))}
        alive = {facts.external_id: facts for facts in self._these(sorted(touched))}
        return tuple(alive.values()), frozenset(touched - set(alive))

    def _these(self, ids: list[str]) -> Iterator[ServerFacts]:
        for first in range(0, len(ids), IDS):
            chunk = ids[first : first + IDS]
            left = set(chunk)
            try:
                for scope in (self._scope(), self._scope(_PROJECTS)):
                    for page in self._wire.pages("listVirtualMachines", ids=chunk, details=DETAILS, **scope):
                        for row in page:
                            facts = rows.facts(row)
                            if facts is not None and facts.external_id in left:
                                left.discard(facts.external_id)
                                yield facts
            except Declined as error:
                if error.code != _UNKNOWN_ID:
                    raise
                # One of them is expunged already, and the whole call was refused for it.
                for external_id in sorted(left):
                    one = self.server(external_id)
                    if one is not None:
                        yield one

    def _row(self, external_id: str) -> Row | None:
        for scope in (_EVERYTHING, _PROJECTS):
            try:
                found = listed(self._wire.ask("listVirtualMachines", id=external_id, details=DETAILS, **scope))
            except Declined as error:
                if error.code != _UNKNOWN_ID:
                    raise
                continue  # "… entity does not exist or due to incorrect parameter annotation …"
            for row in found:
                if str(row.get("id")) == external_id:
                    return row
        return None

    def _known(self, external_id: str) -> tuple[Row, ServerFacts]:
        row = self._row(external_id)
        facts = rows.facts(row) if row is not None else None
        if row is None or facts is None:
            raise Refused("The cloud does not have this server any more.")
        return row, facts

    def _scope(self, scope: Mapping[str, str] = _EVERYTHING) -> dict[str, str]:
        return dict(scope) | self._in_region()

    def _in_region(self) -> dict[str, str]:
        if self._region and self._zone is None:
            self._zone = {"zoneid": self._zone_id(self._region)}
        return self._zone or {}

    def _zone_id(self, wanted: str) -> str:
        zones = self._wire.all("listZones", available="true")
        for zone in zones:
            if wanted in (str(zone.get("id")), zone.get("name")):
                return str(zone["id"])
        names = ", ".join(sorted(str(zone.get("name")) for zone in zones))
        raise Refused(f"The cloud has no zone {wanted!r}. It has: {names}.")

    def _has_projects(self) -> bool:
        try:
            return bool(listed(self._wire.ask("listProjects", page=1, pagesize=1, listall="true")))
        except Declined:
            return True  # a role without that command may still see servers of projects

    # --- what is on offer

    def sizes(self) -> tuple[Size, ...]:
        self._may(Operation.SIZES)
        return tuple(rows.size(row) for row in self._wire.all("listServiceOfferings", issystem="false"))

    def images(self) -> tuple[Image, ...]:
        """What this account may start servers from: one for each zone that has it."""
        self._may(Operation.IMAGES)
        found = self._wire.all("listTemplates", templatefilter="executable", **self._in_region())
        return tuple(rows.image(row) for row in found if row.get("isready") is not False)

    def networks(self) -> tuple[Network, ...]:
        self._may(Operation.NETWORKS)
        found = self._wire.all("listNetworks", **self._in_region())
        return tuple(rows.network(row) for row in found if row.get("canusefordeploy") is not False)

    def key_pairs(self) -> tuple[KeyPair, ...]:
        self._may(Operation.KEY_PAIRS)
        return tuple(rows.key_pair(row) for row in self._wire.all("listSSHKeyPairs"))

    # --- one server

    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]:
        self._may(Operation.SNAPSHOTS)
        if self._since("4.2"):
            found = self._wire.all("listVMSnapshot", virtualmachineid=external_id, listall="true")
        else:
            volume = self._root_volume(external_id)
            found = self._wire.all("listSnapshots", volumeid=volume, listall="true")
        return tuple(rows.snapshot(row) for row in found if row.get("state") not in ("Expunging", "Removed"))

    def console_url(self, external_id: str) -> Console:
        """Since 4.18 by a command; before, out of the console's page. Both hold a ticket that is good for a minute or
        so, and nothing of the account."""
        self._may(Operation.CONSOLE_URL)
        if not self._since("4.18"):
            return Console(replies.console(self._wire.console(external_id)), "ajax")
        held = self._wire.ask("createConsoleEndpoint", virtualmachineid=external_id).get("consoleendpoint")
        given: Mapping[str, Any] = held if isinstance(held, dict) else {}
        url = given.get("url")
        if given.get("success") is False or not isinstance(url, str) or not url.startswith(("https://", "http://")):
            raise Refused(str(given.get("details") or "The cloud gave no console address."))
        return Console(url, "novnc")

    def console_text(self, external_id: str, lines: int = 200) -> str:
        self._may(Operation.CONSOLE_TEXT)
        raise Unexpected("No release of CloudStack gives the text of the console.")  # the table says so above

    def metadata(self, external_id: str) -> Mapping[str, str]:
        self._may(Operation.METADATA)
        return rows.tags(self._known(external_id)[0])

    def user_data(self, external_id: str) -> bytes:
        self._may(Operation.USER_DATA)
        held = self._wire.ask("getVirtualMachineUserData", virtualmachineid=external_id).get("virtualmachineuserdata")
        text = held.get("userdata") if isinstance(held, dict) else None
        try:
            return b64decode(text or "", validate=True)
        except (NotBase64, TypeError, ValueError) as error:
            raise Unexpected("CloudStack gave user data that is not base64.") from error


def _server_of(event: Row, since: datetime) -> str:
    at = rows.when(event.get("created"))
    kind = str(event.get("resourcetype") or "")
    # `created` is in whole seconds: what happened just after `since` may be written as just before it.
    if kind != "VirtualMachine" or (at is not None and at < since.replace(microsecond=0)):
        return ""
    return str(event.get("resourceid") or "")
