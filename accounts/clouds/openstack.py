"""OpenStack: Keystone v2.0 and v3, Nova from Essex to today, over raw JSON.

openstacksdk is not in this path: it costs 1.9 ms of CPU a server, and on Essex its pager follows `next` links that
drop /detail, so that later pages have neither state nor addresses (seen: ../shared/CLOUDS.md §1 and §2.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import requests
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import session as keystone_session

from accounts.clouds import openstack_replies as replies
from accounts.clouds import openstack_rows as rows
from accounts.clouds import openstack_signin as signin
from accounts.clouds.base import Checked, ServerFacts
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.outbound import Transport

PAGE: Final = 1000  # Nova's own default for the largest page; a smaller cap on its side is fine
MOST_PAGES: Final = 500
RESTARTS: Final = 2

_KEYSTONE: Final = "Keystone"
_NOVA: Final = "The compute API"


class OpenStack:
    """One project at one OpenStack cloud. The promise of each method is in `accounts.clouds.base.Driver`."""

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
        self._keystone_version = 0
        self._computes: tuple[signin.Compute, ...] = ()

    @property
    def calls(self) -> int:
        return self._http.calls

    def check(self) -> Checked:
        for compute in self._signed_in():
            # A token alone proves little: Essex signs in users who have no role in the project.
            self._listed(compute, {"limit": "1"})
        spoken = sorted({compute.version for compute in self._computes})
        keystone = {2: "v2.0", 3: "v3"}[self._keystone_version]
        return Checked(version=f"Keystone {keystone}, Nova {' and '.join(spoken)}")

    def servers(self) -> Iterator[tuple[ServerFacts, ...]]:
        seen: set[str] = set()
        for compute in self._signed_in():
            flavors: dict[str, rows.Flavor] | None = None
            images: dict[str, str] | None = None
            for page in self._pages(compute, seen):
                if flavors is None and any(map(rows.names_a_flavor_by_id, page)):
                    flavors = self._flavors(compute)
                if images is None:
                    images = self._images(compute)
                read = (rows.facts(row, compute.region, flavors or {}, images or {}) for row in page)
                yield tuple(found for found in read if found is not None)

    def server(self, external_id: str) -> ServerFacts | None:
        for compute in self._signed_in():
            response = self._get(f"{compute.url}/servers/{quote(external_id, safe='')}")
            if response.status_code == 404:
                continue
            row = self._read(response).get("server")
            if not isinstance(row, dict):
                raise Unexpected("The compute API answered a server without saying which.")
            flavors = self._flavors(compute) if rows.names_a_flavor_by_id(row) else {}
            found = rows.facts(row, compute.region, flavors, self._images(compute))
            if found is not None:
                return found
        return None

    def console_text(self, external_id: str, lines: int = 200) -> str:
        for compute in self._signed_in():
            response = self._request(
                "POST",
                f"{compute.url}/servers/{quote(external_id, safe='')}/action",
                json={"os-getConsoleOutput": {"length": lines}},
            )
            if response.status_code != 404:
                return str(self._read(response).get("output") or "")
        raise Refused("The cloud shows no console of this server: it does not exist there, or has none.")

    # --- signing in

    def _signed_in(self) -> tuple[signin.Compute, ...]:
        if not self._computes:
            versions = signin.keystone_versions(self._http, self._url, self._version)
            catalog = self._catalog(versions)
            self._computes = signin.computes(self._http, catalog, self._region)
        return self._computes

    def _catalog(self, versions: tuple[int, ...]) -> list[dict[str, Any]]:
        self._keystone_version, others = versions[0], versions[1:]
        try:
            self._auth = signin.plugin(self._url, self._keystone_version, self._credentials)
            return signin.sign_in(self._keystone, self._auth, self._secrets)
        except Refused as first:
            if not others:
                raise
            try:
                return self._catalog(others)
            except Refused:
                raise first from None  # the newer version's words are the likelier reason

    # --- calls

    def _request(self, method: str, url: str, **more: Any) -> requests.Response:
        # A 401 makes keystoneauth sign in again and repeat the call, once. A second 401 comes back to us.
        try:
            response: requests.Response = self._keystone.request(
                url, method, auth=self._auth, raise_exc=False, headers={"Accept": "application/json"}, log=False, **more
            )
        except keystone_exceptions.Unauthorized as error:
            raise BadCredentials("The token ran out, and Keystone did not accept the credentials again.") from error
        except keystone_exceptions.HttpError as error:
            if error.response is None:
                raise Unexpected(f"Keystone failed ({error.http_status}).") from error
            raise replies.fault(error.response, _KEYSTONE, self._secrets) from error
        except keystone_exceptions.ClientException as error:
            raise Unexpected("Keystone answered the sign-in with something that its protocol does not have.") from error
        return response

    def _get(self, url: str) -> requests.Response:
        return self._request("GET", url)

    def _read(self, response: requests.Response) -> dict[str, Any]:
        return replies.body(response, _NOVA, self._secrets)

    # --- listings

    def _pages(self, compute: signin.Compute, seen: set[str]) -> Iterator[list[dict[str, Any]]]:
        """Rows of every page that are new to `seen`, until the cloud answers an empty page.

        `servers_links` is never followed: Essex leaves it out when no limit was sent, and points it at the wrong
        listing. A page shorter than the limit is not the end either: the cloud may cap pages below our limit.
        """
        restarts = 0
        marker = ""
        for _ in range(MOST_PAGES):
            page = self._page(compute, marker)
            if page is None:
                # The marker's server was deleted meanwhile (Essex: 400). Rows before it are already in `seen`.
                restarts += 1
                if restarts > RESTARTS:
                    raise Unexpected(
                        f"The listing had to start again {restarts} times because servers were deleted meanwhile."
                    )
                marker = ""
                continue
            if not page:
                return
            fresh = []
            for row in page:
                external_id = str(row["id"])
                if external_id not in seen:
                    seen.add(external_id)
                    fresh.append(row)
            last = str(page[-1]["id"])
            if last == marker:
                raise Unexpected("The compute API repeats the same page, so its listing cannot be read to the end.")
            marker = last
            if fresh:
                yield fresh
        raise Unexpected(f"The compute API has more than {MOST_PAGES} pages of servers.")

    def _page(self, compute: signin.Compute, marker: str) -> list[dict[str, Any]] | None:
        query = {"limit": str(PAGE)}
        if compute.version == "v2.1":
            # Oldest first, so that a server made meanwhile lands on a page that is still to come.
            query |= {"sort_key": "created_at", "sort_dir": "asc"}
        return self._listed(compute, query | ({"marker": marker} if marker else {}))

    def _listed(self, compute: signin.Compute, query: Mapping[str, str]) -> list[dict[str, Any]] | None:
        response = self._get(f"{compute.url}/servers/detail?{urlencode(query)}")
        if response.status_code == 400 and "marker" in query and b"marker" in response.content:
            return None
        listed = self._read(response).get("servers")
        if not isinstance(listed, list) or not all(isinstance(row, dict) and "id" in row for row in listed):
            raise Unexpected("The compute API answered a listing without servers in it.")
        return listed

    def _flavors(self, compute: signin.Compute) -> dict[str, rows.Flavor]:
        return {str(row["id"]): rows.flavor(row) for row in self._offered(compute, "flavors", "sizes")}

    def _images(self, compute: signin.Compute) -> dict[str, str]:
        """Image names by id, from Nova's proxy, which every microversion below 2.36 has (we ask for none)."""
        try:
            return {str(row["id"]): str(row.get("name") or "") for row in self._offered(compute, "images", "images")}
        except Refused:
            return {}  # a cloud without the proxy, or a role without the right: images are shown by id

    def _offered(self, compute: signin.Compute, kind: str, words: str) -> list[dict[str, Any]]:
        """All rows of `kind`/detail."""
        found: dict[str, dict[str, Any]] = {}
        marker = ""
        for _ in range(MOST_PAGES):
            query = {"limit": str(PAGE)} | ({"marker": marker} if marker else {})
            listed = self._read(self._get(f"{compute.url}/{kind}/detail?{urlencode(query)}")).get(kind)
            if not isinstance(listed, list) or not all(isinstance(row, dict) and "id" in row for row in listed):
                raise Unexpected(f"The compute API answered a listing without {words} in it.")
            fresh = {str(row["id"]): row for row in listed if str(row["id"]) not in found}
            found |= fresh
            # Essex ignores limit and marker here and answers all of them each time.
            if not fresh or len(listed) < PAGE:
                return list(found.values())
            marker = str(listed[-1]["id"])
        raise Unexpected(f"The compute API has more than {MOST_PAGES} pages of {words}.")
