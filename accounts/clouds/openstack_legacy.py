"""The sign-in from before Keystone: X-Auth headers on the version root, as Nova Diablo answers it itself.

Wire facts: ../shared/captures/diablo.txt ("v1.0 login", "v1.1 login") and ../shared/CLOUDS.md §2.4.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlsplit

from keystoneauth1 import plugin

from accounts.clouds import openstack_replies as replies
from console.lib.faults import Unexpected


class LegacyAuth(plugin.BaseAuthPlugin):
    """A token by X-Auth-User, X-Auth-Key and project. `root`: the version root, no slash at its end (Nova answers
    the sign-in there and nowhere below). Raises our own faults, which keystoneauth passes on."""

    def __init__(self, root: str, user: str, key: str, project: str) -> None:
        super().__init__()
        self._root = root
        self._project = project
        # Without a project a wrong key is a 500 instead of a 401. Keystone's own copy of this sign-in reads X-Tenant.
        self._headers = {
            "X-Auth-User": _carried(user),
            "X-Auth-Key": _carried(key),
            "X-Auth-Project-Id": _carried(project),
            "X-Tenant": _carried(project),
            "Accept": "application/json",
        }
        self._secrets = (key,)
        self._token = ""
        self._url = ""

    def get_token(self, session: Any) -> str:
        """The token that is held, or a fresh one. It lives two days, and the cloud does not say so."""
        if not self._token:
            self._sign_in(session)
        return self._token

    def get_headers(self, session: Any) -> dict[str, str]:
        """Token and project: the paths of v1.0 name no project, and without the header Nova takes the user's first."""
        return {"X-Auth-Token": self.get_token(session), "X-Auth-Project-Id": _carried(self._project)}

    def management_url(self, session: Any) -> str:
        """The compute API of this project, escaped, no slash at its end."""
        self.get_token(session)
        return self._url

    def invalidate(self) -> bool:
        self._token = ""
        return True

    def _sign_in(self, session: Any) -> None:
        response = session.get(
            self._root, headers=self._headers, authenticated=False, raise_exc=False, log=False, redirect=False
        )
        if not 200 <= response.status_code < 300:
            raise replies.fault(response, "The compute API", self._secrets)
        token = response.headers.get("X-Auth-Token", "")
        url = response.headers.get("X-Server-Management-Url", "")
        if not token or not url:
            raise Unexpected("The compute API answered the sign-in without a token or without its own address.")
        self._url = escaped(url, self._project)
        self._token = token


def escaped(url: str, project: str) -> str:
    """`url` as a request can carry it: v1.1 appends the project as it is, with blanks and all."""
    with suppress(UnicodeError):
        url = url.encode("latin-1").decode()  # headers are read as latin-1; Nova writes UTF-8
    url = url.strip().rstrip("/")
    if project and url.endswith(f"/{project}"):
        return url.removesuffix(project) + quote(project, safe="")
    parts = urlsplit(url)
    return parts._replace(path=quote(parts.path, safe="/%")).geturl()


def _carried(text: str) -> str:
    # http.client writes headers as latin-1; this way Nova reads UTF-8.
    return text.encode().decode("latin-1")
