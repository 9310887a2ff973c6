"""Signing in to Keystone (or to a Nova from before it), and finding the endpoints of the account.

The auth kind is always explicit. keystoneauth's `generic` plugins fail on Essex (its root lists v2.0 as "beta") and
on Diablo (its root is one {"version": {"status": "ALPHA"}}): seen on live servers, ../shared/CLOUDS.md §1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v2, v3

from accounts.clouds import openstack_replies as replies
from accounts.clouds.openstack_legacy import LegacyAuth
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.outbound import Session, origin

_VERSIONED: Final = re.compile(r"/v(\d)(\.\d+)?(/|$)")
_HEX32: Final = re.compile(r"[0-9a-f]{32}")
_KEYSTONES: Final = {"3": "3", "2": "2.0"}


@dataclass(frozen=True, slots=True)
class Compute:
    """One region's compute API: base URL without a slash at its end, region, version as its path says it."""

    url: str
    region: str
    version: str


def alike(one: Compute, other: Compute) -> Refused:
    """The fault of an account with two regions whose servers their ids do not tell apart."""
    return Refused(
        f"The regions {one.region!r} and {other.region!r} of this cloud both number their servers (1, 2, 3 …), so an "
        "id does not tell which server is meant. Register an endpoint for each region, with the region named in it, "
        "and push an account to each."
    )


def ways_in(http: Session, url: str, wanted: str | None) -> tuple[str, ...]:
    """Which of "3", "2.0" (Keystone), "1.1" and "1.0" (Nova's own sign-in, with X-Auth headers) to try, in order:
    what staff wrote, what the URL says, else the newest that the root offers."""
    if wanted:
        written = re.fullmatch(r"v?(?:(3)(?:\.\d+)?|(2)(?:\.0)?|(1\.[01]))", wanted.strip().lower())
        if written is None:
            raise Refused(
                f"There is no Keystone {wanted}. Register version 3 or 2.0 (1.1 or 1.0 for a cloud from before "
                "Keystone), or leave it out."
            )
        major = written.group(1) or written.group(2)
        return ({"3": "3", "2": "2.0"}[major] if major else written.group(3),)
    named = _VERSIONED.search(urlsplit(url).path)
    if named:
        way = {"1.0": "1.0", "1.1": "1.1"}.get(f"{named.group(1)}{named.group(2)}") or _KEYSTONES.get(named.group(1))
        if way:
            return (way,)
    response = http.get(url.rstrip("/") + "/", headers={"Accept": "application/json"})
    offered = _offered(response.content)
    majors = {int(major.group(1)) for major in (re.match(r"v?(\d+)", text) for text in offered) if major}
    for known in ("3", "2"):
        if int(known) in majors:
            return (_KEYSTONES[known],)
    for legacy in ("1.1", "1.0"):
        if f"v{legacy}" in offered:
            return (legacy,)
    if majors:
        listed = ", ".join(f"v{version}" for version in sorted(majors))
        raise Refused(f"The identity service offers only {listed}; v3 or v2.0 is needed.")
    if response.status_code in (401, 403, 413, 429) or response.status_code >= 500:
        raise replies.fault(response, "Keystone")
    return ("3", "2.0")  # some proxies hide the root


def plugin(url: str, way: str, credentials: Mapping[str, str]) -> Any:
    """The keystoneauth plugin for this way in. BadCredentials when a part of the credentials is missing."""
    base = _VERSIONED.sub("/", urlsplit(url).path).rstrip("/")
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}{base}"
    given = {key: value for key, value in credentials.items() if value}
    if "application_credential_id" in given or "application_credential_secret" in given:
        _needs(given, "application_credential_id", "application_credential_secret")
        if way != "3":
            raise Refused(f"Application credentials need Keystone v3, and this cloud speaks v{way}. Use a password.")
        return v3.ApplicationCredential(
            f"{root}/v3",
            application_credential_id=given["application_credential_id"],
            application_credential_secret=given["application_credential_secret"],
        )
    _needs(given, "username", "password", "project")
    project = given["project"]
    if way in ("1.0", "1.1"):
        return LegacyAuth(f"{root}/v{way}", given["username"], given["password"], project)
    if way == "2.0":
        scope: dict[str, Any] = {"tenant_id": project} if _HEX32.fullmatch(project) else {"tenant_name": project}
        return v2.Password(f"{root}/v2.0", username=given["username"], password=given["password"], **scope)
    named: dict[str, Any] = {"project_id": project} if _HEX32.fullmatch(project) else {"project_name": project}
    if "project_name" in named:
        named |= _domain("project_domain", given.get("project_domain") or given.get("user_domain"))
    return v3.Password(
        f"{root}/v3",
        username=given["username"],
        password=given["password"],
        **_domain("user_domain", given.get("user_domain")),
        **named,
    )


def sign_in(session: keystone_session.Session, auth: Any, secrets: tuple[str, ...]) -> list[dict[str, Any]]:
    """A fresh token; returns the raw catalog that came with it."""
    try:
        catalog = auth.get_access(session).service_catalog.catalog
    except keystone_exceptions.Unauthorized as error:
        raise BadCredentials(f"Keystone did not accept the credentials{_said(error, secrets)}") from error
    except keystone_exceptions.HttpError as error:
        if error.response is None:
            raise Unexpected(f"Keystone failed ({error.http_status}).") from error
        if replies.names_nobody(error.response):
            raise BadCredentials(f"Keystone did not accept the credentials{_said(error, secrets)}") from error
        raise replies.fault(error.response, "Keystone", secrets) from error
    except (keystone_exceptions.ClientException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unexpected("Keystone answered the sign-in with something that its protocol does not have.") from error
    # Essex sends {} instead of a list with a token that has no project.
    if not isinstance(catalog, list) or not catalog:
        raise Refused("The sign-in worked, but the cloud gave no project and so no catalog. Check the project's name.")
    return catalog


def endpoints(catalog: list[dict[str, Any]], service_type: str) -> dict[str, str]:
    """Region → public URL (no slash at its end) of a service; the cloud's order, each region once."""
    found: dict[str, str] = {}
    for service in catalog:
        if not isinstance(service, dict) or service.get("type") != service_type:
            continue
        for endpoint in service.get("endpoints") or ():
            url = endpoint.get("publicURL") if "publicURL" in endpoint else None
            if url is None and endpoint.get("interface") == "public":
                url = endpoint.get("url")
            if url:
                named = str(endpoint.get("region") or endpoint.get("region_id") or "")
                found.setdefault(named, str(url).strip().rstrip("/"))
    return found


def computes(http: Session, catalog: list[dict[str, Any]], region: str | None) -> tuple[Compute, ...]:
    """The public compute endpoints of `region`, or of every region."""
    found = endpoints(catalog, "compute")
    if not found:
        raise Refused("The sign-in worked, but the cloud's catalog has no compute service for this project.")
    if region:
        if region not in found:
            raise Refused(f"The cloud has no region {region!r}. It has: {', '.join(sorted(found))}.")
        found = {region: found[region]}
    return tuple(compute(http, url, name) for name, url in found.items())


def generation(http: Session, compute: Compute, has_network_service: bool) -> str:
    """The key of the capability table. Diablo and Essex both serve v1.1; their version lists tell them apart."""
    if compute.version == "v1.0":
        return "diablo-1.0"
    if compute.version not in ("v1.1", "v2", "v2.0"):
        return "modern"
    if compute.version != "v1.1":
        return "modern" if has_network_service else "essex"
    try:
        offered = _offered(http.get(_before_version(compute.url) + "/", headers={"Accept": "application/json"}).content)
    except Refused:
        return "essex"  # a proxy that sends us elsewhere from the root: Essex outlived Diablo by far
    return "diablo" if "v1.1" in offered and "v2.0" not in offered else "essex"


def version_root(compute: Compute) -> str:
    """Where a microversioned compute API describes itself: its URL up to the version."""
    return f"{_before_version(compute.url)}/{compute.version}/"


def _before_version(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=_VERSIONED.split(parts.path, maxsplit=1)[0]).geturl()


def compute(http: Session, url: str, region: str) -> Compute:
    """The compute API at `url`; asks it for its versions when the URL names none."""
    origin(url)  # a catalog can hold anything
    named = _VERSIONED.search(urlsplit(url).path)
    if named is None:
        offered = _offered(http.get(url + "/", headers={"Accept": "application/json"}).content)
        version = next((known for known in ("v2.1", "v2.0", "v2", "v1.1") if known in offered), "v2.1")
        version = "v2" if version == "v2.0" else version  # Nova lists it as v2.0 and serves it under /v2
        return Compute(f"{url}/{version}", region, version)
    return Compute(url, region, f"v{named.group(1)}{named.group(2) or ''}")


def _offered(content: bytes) -> set[str]:
    # {"versions": {"values": [...]}} (Keystone), {"versions": [...]} (Nova), {"version": {...}} (Diablo Keystone).
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return set()
    if not isinstance(found, dict):
        return set()
    listed = found.get("versions", found.get("version", ()))
    if isinstance(listed, dict):
        listed = listed.get("values", [listed])
    if not isinstance(listed, list):
        return set()
    return {str(entry.get("id", "")) for entry in listed if isinstance(entry, dict)}


def _needs(given: Mapping[str, str], *names: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise BadCredentials(f"The credentials lack {' and '.join(missing)}. Push them again with all parts.")


def _domain(which: str, name: str | None) -> dict[str, Any]:
    # Keystone's first domain has the id "default" and the name "Default"; people write either.
    if name is None or name.lower() == "default":
        return {f"{which}_id": "default"}
    return {f"{which}_name": name}


def _said(error: keystone_exceptions.HttpError, secrets: tuple[str, ...]) -> str:
    own = replies.words(error.response.content) if error.response is not None else ""
    for secret in secrets:
        own = own.replace(secret, "[removed]")
    return f": {own}" if own else "."
