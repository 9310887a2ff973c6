"""Which version of the vCloud API to speak, and signing in to it.

Three styles (../shared/CLOUDS.md §2.1–2.2): up to 1.0 the version stands in the path and the login answers the list
of organisations; from 1.5 on it stands in Accept and the login answers a Session; from 38 on there is only
/cloudapi, with a Bearer token. An API token is exchanged at /oauth, whichever version is spoken then.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

import orjson
import requests

from accounts.clouds import vcloud_replies as replies
from accounts.clouds import vcloud_xml as xml
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.outbound import Session

_NUMBERS: Final = re.compile(r"\d{1,4}(\.\d{1,4}){0,3}")
_CLOUDAPI: Final = "/cloudapi/1.0.0/sessions"

Version = tuple[int, ...]
_GENERATIONS: Final = (((33,), "33"), ((29,), "vcd"), ((5, 1), "5.1"), ((1, 5), "1.5"))


@dataclass(frozen=True, slots=True)
class Spoken:
    """The version that was agreed on. `root` is where its API starts, without a slash at the end."""

    number: str
    root: str
    login: str

    @property
    def version(self) -> Version:
        return ordered(self.number)

    @property
    def generation(self) -> str:
        """The key of the capability table."""
        version = self.version
        return next((name for since, name in _GENERATIONS if version >= since), "1.0")

    @property
    def namespace(self) -> str:
        return f"http://www.vmware.com/vcloud/{'v1' if self.generation == '1.0' else 'v1.5'}"

    @property
    def accept(self) -> str:
        """1.5 and later answer 406 to a request without it; 1.0 has the version in the path."""
        return "*/*" if self.generation == "1.0" else f"application/*+xml;version={self.number}"


@dataclass(frozen=True, slots=True)
class Signed:
    """A session: the headers that prove it, and the document that it starts at (OrgList in 1.0, Session since)."""

    headers: Mapping[str, str]
    start: xml.Element


@lru_cache(maxsize=256)  # asked again for each record of a listing
def ordered(number: str) -> Version:
    return tuple(int(part) for part in number.split("."))


def negotiate(http: Session, url: str, wanted: str | None) -> Spoken:
    """The version to speak: `wanted`, or the newest that the cell offers and does not call deprecated, known or not.

    Raises Refused when the cell does not offer `wanted`, or nothing from 1.0 on.
    """
    base = _base(url)
    root = replies.body(http.get(f"{base}/api/versions", headers={"Accept": "*/*"}))
    offered: dict[str, tuple[bool, str]] = {}
    for info in xml.children(root, "VersionInfo"):
        number = xml.text(info, "Version")
        # "37.0.0-alpha" and its like may change under us: never taken.
        if _NUMBERS.fullmatch(number) and ordered(number) >= (1, 0):
            offered[number] = (xml.truth(info.get("deprecated", "")), xml.text(info, "LoginUrl"))
    if not offered:
        raise Refused("This address offers no version of the vCloud API from 1.0 on.")
    if wanted:
        number = next((number for number in offered if ordered(number) == _asked(wanted)), "")
        if not number:
            known = ", ".join(sorted(offered, key=ordered))
            raise Refused(f"The cell does not offer version {wanted}. It offers {known}.")
    else:
        number = max(offered, key=lambda number: (not offered[number][0], ordered(number)))
    login = offered[number][1]
    if ordered(number) < (1, 5):
        if not login:
            raise Unexpected("The cell names no address to sign in at for version 1.0.")
        return Spoken(number, login.rstrip("/").removesuffix("/login"), login)
    return Spoken(number, f"{base}/api", login)


def _asked(wanted: str) -> Version:
    if not _NUMBERS.fullmatch(wanted):
        raise Refused(f"{wanted!r} is not a version of the vCloud API. Write a number such as 36.3, or none.")
    return ordered(wanted)


def _base(url: str) -> str:
    """What stands in front of /api in the registered address, however much of it staff wrote."""
    parts = urlsplit(url)
    path = re.split(r"/(?:api|cloudapi|tenant|cloud)(?:/|$)", parts.path, maxsplit=1)[0].rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def sign_in(http: Session, url: str, spoken: Spoken, credentials: Mapping[str, str]) -> Signed:
    """A new session. Raises BadCredentials when the cell does not accept the credentials."""
    http.cookies.clear()  # a cookie of the session that ran out would go along
    secrets = tuple(credentials.get(key, "") for key in ("password", "api_token"))
    if "api_token" in credentials:
        return _by_token(http, _base(url), spoken, credentials, secrets)
    user = f"{credentials['username']}@{credentials['org']}:{credentials['password']}"
    basic = {"Authorization": "Basic " + b64encode(user.encode()).decode("ascii")}
    if spoken.version >= (38,) or "/cloudapi/" in spoken.login:
        login = spoken.login if "/cloudapi/" in spoken.login else _base(url) + _CLOUDAPI
        if _system(credentials) and not login.endswith("/provider"):
            login += "/provider"
        accept = f"application/json;version={spoken.number}"
        response = _logged_in(http.post(login, headers=basic | {"Accept": accept}), secrets)
        return _session(http, spoken, _headers(response), secrets)
    login = spoken.login or f"{spoken.root}/sessions"
    response = _logged_in(http.post(login, headers=basic | {"Accept": spoken.accept}), secrets)
    return Signed(_headers(response), replies.body(response, secrets))


def way_out(spoken: Spoken, signed: Signed) -> tuple[str, str]:
    """The method and the address that end a session: [SRC] the API guides, "Log out"."""
    if spoken.version < (1, 5):
        return "POST", f"{spoken.root}/logout"
    return "DELETE", signed.start.get("href", "") or f"{spoken.root}/session"


def _logged_in(response: requests.Response, secrets: tuple[str, ...]) -> requests.Response:
    if response.status_code in (401, 403):
        own = replies.error(response.content).words
        for secret in filter(None, secrets):
            own = own.replace(secret, "[removed]")
        raise BadCredentials(f"{replies.CELL} did not accept the credentials{f': {own}' if own else '.'}")
    if not response.ok:
        raise replies.fault(response, secrets)
    return response


def _headers(response: requests.Response) -> dict[str, str]:
    """What proves the session: a Bearer token, or vcloud's own header and cookie (some 1.0 cells only set one)."""
    if bearer := response.headers.get("X-VMWARE-VCLOUD-ACCESS-TOKEN"):
        return {"Authorization": f"Bearer {bearer}"}
    token = response.headers.get("x-vcloud-authorization") or response.cookies.get("vcloud-token")
    if not token:
        raise Unexpected(f"{replies.CELL} signed us in without a token.")
    return {"x-vcloud-authorization": token, "Cookie": f"vcloud-token={token}"}


def _by_token(
    http: Session, base: str, spoken: Spoken, credentials: Mapping[str, str], secrets: tuple[str, ...]
) -> Signed:
    if spoken.version < (29,):
        raise Refused(f"Version {spoken.number} of the vCloud API knows no API tokens. Give a user and a password.")
    owner = "provider" if _system(credentials) else f"tenant/{quote(credentials['org'], safe='')}"
    form = {"grant_type": "refresh_token", "refresh_token": credentials["api_token"]}
    response = http.post(f"{base}/oauth/{owner}/token", data=form, headers={"Accept": "application/json"})
    told = replies.error(response.content)
    if response.status_code in (400, 401, 403) and (response.status_code != 400 or told.code == "invalid_grant"):
        raise BadCredentials("The vCloud cell does not accept this API token: it was revoked or belongs elsewhere.")
    if not response.ok:
        raise replies.fault(response, secrets)
    return _session(http, spoken, {"Authorization": f"Bearer {_access_token(response)}"}, secrets)


def _access_token(response: requests.Response) -> str:
    try:
        token = orjson.loads(response.content)["access_token"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Unexpected("The vCloud cell answered the API token with something else than a token.") from error
    if isinstance(token, str) and token.isascii() and token.isprintable():
        return token
    raise Unexpected("The vCloud cell answered the API token with one that no header can carry.")


def _session(http: Session, spoken: Spoken, headers: dict[str, str], secrets: tuple[str, ...]) -> Signed:
    response = http.get(f"{spoken.root}/session", headers=headers | {"Accept": spoken.accept})
    return Signed(headers, replies.body(response, secrets))


def _system(credentials: Mapping[str, str]) -> bool:
    return credentials["org"].lower() == "system"
