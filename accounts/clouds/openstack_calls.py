"""One project at one OpenStack cloud: signed in, and called. What is read and done with it is built on top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
import requests
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import session as keystone_session

from accounts.clouds import openstack_replies as replies
from accounts.clouds import openstack_signin as signin
from accounts.clouds.openstack_capabilities import CAPABILITIES
from accounts.clouds.openstack_legacy import LegacyAuth
from accounts.clouds.openstack_reading import Names
from accounts.clouds.operations import Capabilities
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.outbound import Transport

KEYSTONE: Final = "Keystone"
NOVA: Final = "The compute API"


class Calls:
    """Signs in when it must, once. Every call may raise any fault of `console.lib.faults`."""

    def __init__(
        self,
        *,
        url: str,
        credentials: Mapping[str, str],
        version: str | None = None,
        region: str | None = None,
        transport: Transport,
    ) -> None:
        self._url = url
        self._credentials = dict(credentials)
        self._secrets = tuple(
            value for key, value in self._credentials.items() if key in ("password", "application_credential_secret")
        )
        self._version = version
        self._region = region
        self._http = transport.session(url)
        self._keystone = keystone_session.Session(session=self._http, redirect=False, user_agent="Muster")
        self._auth: Any = None
        self._way = ""
        self._catalog: list[dict[str, Any]] = []
        self._computes: tuple[signin.Compute, ...] = ()
        self._found_generation = ""
        self._minors: dict[str, tuple[int, int]] = {}
        self._names: dict[str, Names] = {}

    @property
    def calls(self) -> int:
        return self._http.calls

    def close(self) -> None:
        """Nothing to end: a token is no session, and runs out by itself."""

    def capabilities(self) -> Capabilities:
        return CAPABILITIES[self._generation()]

    # --- signing in

    def _signed_in(self) -> tuple[signin.Compute, ...]:
        if not self._computes:
            self._computes = self._sign_in(signin.ways_in(self._http, self._url, self._version))
        return self._computes

    def _sign_in(self, ways: tuple[str, ...]) -> tuple[signin.Compute, ...]:
        self._way, others = ways[0], ways[1:]
        try:
            self._auth = signin.plugin(self._url, self._way, self._credentials)
            if isinstance(self._auth, LegacyAuth):
                url = self._auth.management_url(self._keystone)
                return (signin.compute(self._http, url, self._region or ""),)
            self._catalog = signin.sign_in(self._keystone, self._auth, self._secrets)
        except Refused as first:
            if not others:
                raise
            try:
                return self._sign_in(others)
            except Refused:
                raise first from None  # the newer version's words are the likelier reason
        return signin.computes(self._http, self._catalog, self._region)

    def _generation(self) -> str:
        """The oldest of all regions: what it cannot do, nobody is offered."""
        if not self._found_generation:
            known = list(CAPABILITIES)
            network = bool(signin.endpoints(self._catalog, "network")) if self._signed_in() else False
            self._found_generation = min(
                (signin.generation(self._http, compute, network) for compute in self._signed_in()), key=known.index
            )
        return self._found_generation

    def _minor(self, compute: signin.Compute, wanted: int) -> int:
        """The microversion 2.N to ask for: `wanted`, or the nearest that the cloud offers; 0 where it has none."""
        if compute.version in ("v1.0", "v1.1", "v2"):
            return 0
        if compute.url not in self._minors:
            try:
                described = self._request("GET", signin.version_root(compute)).content
            except Refused:
                described = b""  # a proxy that sends us elsewhere from there
            self._minors[compute.url] = _offered_minors(described)
        lowest, highest = self._minors[compute.url]
        return min(max(wanted, lowest), highest)

    # --- calls

    def _request(self, method: str, url: str, minor: int = 0, **more: Any) -> requests.Response:
        headers = {"Accept": "application/json"}
        if minor > 1:
            # The second name is what Nova below 2.27 reads.
            headers |= {"OpenStack-API-Version": f"compute 2.{minor}", "X-OpenStack-Nova-API-Version": f"2.{minor}"}
        # A 401 makes keystoneauth sign in again and repeat the call, once. A second 401 comes back to us.
        try:
            response: requests.Response = self._keystone.request(
                url, method, auth=self._auth, raise_exc=False, headers=headers, log=False, **more
            )
        except keystone_exceptions.Unauthorized as error:
            raise BadCredentials("The token ran out, and Keystone did not accept the credentials again.") from error
        except keystone_exceptions.HttpError as error:
            if error.response is None:
                raise Unexpected(f"Keystone failed ({error.http_status}).") from error
            if replies.names_nobody(error.response):
                raise BadCredentials("The token ran out, and Keystone knows the credentials no more.") from error
            raise replies.fault(error.response, KEYSTONE, self._secrets) from error
        except keystone_exceptions.ClientException as error:
            raise Unexpected("Keystone answered the sign-in with something that its protocol does not have.") from error
        return response

    def _get(self, url: str) -> requests.Response:
        return self._request("GET", url)

    def _read(self, response: requests.Response, of: str = NOVA) -> dict[str, Any]:
        return replies.body(response, of, self._secrets)

    def _accepted(self, response: requests.Response, of: str = NOVA) -> requests.Response:
        """The reply, whose body may be empty or in any format, when it says yes; otherwise the fault that fits."""
        if not 200 <= response.status_code < 300:
            raise replies.fault(response, of, self._secrets)
        return response

    def _server_url(self, compute: signin.Compute, external_id: str) -> str:
        return f"{compute.url}/servers/{quote(external_id, safe='')}"

    def _homes(self, external_id: str) -> tuple[signin.Compute, ...]:
        """The regions to ask for a server, in order: all of them, or for a number the one that has it.

        Nova numbers its servers before Essex, in each region anew: Refused when two regions have that number."""
        computes = self._signed_in()
        if len(computes) == 1 or not external_id.isdecimal():
            return computes
        apart = {compute.url: compute for compute in computes}.values()  # a region may stand there by two names
        replies_of = [(compute, self._get(self._server_url(compute, external_id))) for compute in apart]
        having = [compute for compute, reply in replies_of if reply.status_code != 404 and self._accepted(reply)]
        if len(having) > 1:
            raise signin.alike(having[0], having[1])
        return tuple(having) or computes

    def _where(
        self, external_id: str, method: str, suffix: str = "", minor: int = 0, **more: Any
    ) -> tuple[signin.Compute, requests.Response]:
        """A call about one server, in the region that has it: (region's API, reply). 404 when none has it.
        A region that answers 404 did nothing, so asking the next one repeats nothing. `minor`: the 2.N wanted."""
        for compute in self._homes(external_id):
            asked = self._minor(compute, minor) if minor else 0
            response = self._request(method, self._server_url(compute, external_id) + suffix, asked, **more)
            if response.status_code != 404:
                break
        return compute, response


def _offered_minors(content: bytes) -> tuple[int, int]:
    # {"version": {"version": "2.104", "min_version": "2.1"}}; both "" where there are no microversions.
    try:
        found = orjson.loads(content)["version"]
        lowest, highest = (str(found[key]).split(".") for key in ("min_version", "version"))
        return (int(lowest[1]), int(highest[1])) if lowest[0] == highest[0] == "2" else (0, 0)
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError, ValueError):
        return (0, 0)
