"""A real OpenID Connect server on loopback (oidc-provider-mock), and a browser that signs in by it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from console.lib import audit
from console.models import User
from providers import customers, identity
from providers.models import Customer, Provider
from tests.factories import ProviderFactory
from tests.pages import text
from tests.provider_api.calls import ADA

SECRET = "client-secret-of-north"
QUIET = [  # of the server's, which runs in a thread
    pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning"),
]
Change = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass
class Site:
    """`description`, `token`, `userinfo`: what becomes of the server's own replies; `claims` of its ID tokens, which it
    then signs anew by `key` and `header`. `calls`: the paths that were asked."""

    url: str = ""
    description: Change = lambda told: told
    token: Change = lambda told: told
    userinfo: Change = lambda told: told
    claims: Change | None = None
    key: Any = None
    algorithm: str = "RS256"
    calls: list[str] = field(default_factory=list)
    forms: list[dict[str, list[str]]] = field(default_factory=list)

    def person(self, sub: str, **claims: Any) -> None:
        """Somebody whom the server knows."""
        requests.put(f"{self.url}/users/{sub}", json=claims, timeout=10).raise_for_status()

    def signs_in(self, address: str, sub: str) -> str:
        """What the person does there. Returns where the server sends the browser."""
        reply = requests.post(address, data={"sub": sub}, allow_redirects=False, timeout=10)
        assert reply.status_code == 302, reply.text
        return reply.headers["Location"]


@contextmanager
def identity_server() -> Iterator[Site]:
    import oidc_provider_mock
    import werkzeug.serving

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app, site = oidc_provider_mock.app(), Site()
    app.after_request(lambda reply: _changed(site, reply))
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.02))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _changed(site: Site, reply: Any) -> Any:
    import flask

    path = flask.request.path
    site.calls.append(path)
    places = {
        "/.well-known/openid-configuration": site.description,
        "/oauth2/token": site.token,
        "/userinfo": site.userinfo,
    }
    if path not in places or reply.status_code != 200:
        return reply
    told = reply.get_json()
    if path == "/oauth2/token":
        site.forms.append({name: flask.request.form.getlist(name) for name in flask.request.form})
        if site.claims or site.key or site.algorithm != "RS256":
            told["id_token"] = _signed(site, told["id_token"])
    reply.set_data(json.dumps(places[path](told)))
    return reply


def _signed(site: Site, token: str) -> str:
    import flask

    claims = jwt.decode(token, options={"verify_signature": False})
    claims = (site.claims or (lambda told: told))(claims) or claims
    own = flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True)
    key = site.key if site.key is not None else jwt.PyJWK(own, "RS256").key
    return jwt.encode(claims, key, site.algorithm, headers={"kid": own["kid"]} if "kid" in own else None)


def another_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def past(claims: dict[str, Any]) -> dict[str, Any]:
    """The same, over for an hour."""
    return claims | {"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}


def off(browser: Client, slug: str = "north") -> str:
    """The address that the console sends the browser to."""
    reply = browser.get(f"/enter/{slug}/")
    assert reply.status_code == 302, reply.content
    return reply["Location"]


def back(browser: Client, address: str) -> Any:
    """The browser comes back to the console."""
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == "http://127.0.0.1:8000"
    return browser.get(f"{parts.path}?{parts.query}")


def sign_in(site: Site, browser: Client, sub: str, slug: str = "north") -> Any:
    """The whole way, as a browser goes it."""
    return back(browser, site.signs_in(off(browser, slug), sub))


def asked(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def opened(slug: str, site: Site, claim: str = "sub") -> Provider:
    """A provider whose customers sign in at this server."""
    provider = ProviderFactory(slug=slug, name=f"{slug.title()} Cloud")
    identity.enable(identity.put(provider, site.url, "muster", SECRET, claim, audit.SYSTEM), audit.SYSTEM)
    return provider


def rents(provider: Provider, external_id: str = "c-1", email: str = ADA["email"]) -> Customer:
    return customers.put(provider, external_id, {**ADA, "email": email}, audit.SYSTEM).customer


def inside(browser: Client) -> User | None:
    """Whose browser this is; None when nobody is signed in."""
    return User.objects.filter(pk=browser.session.get("_auth_user_id")).first()


def refused(reply: Any, words: str = "") -> None:
    assert reply.status_code in (403, 502), reply.content
    assert "You are not signed in" in text(reply)
    assert words in text(reply)
