"""Sign-in by a provider's own identity server, through allauth's OpenID Connect, held to what SECURITY.md asks.

allauth keeps the state and PKCE, and takes the code; rows are ours (IdentityServer), every call goes through the
guarded transport, the ID token's signature and nonce are checked always, and who comes in is decided by
providers/identity.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import jwt
import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.lib.denials import Denied
from console.lib.outbound import Session
from console.portal import doors
from console.portal.refusal import refusal
from providers import discovery, identity
from providers.discovery import Discovery
from providers.models import IdentityServer

KIND: Final = "openid_connect"  # allauth's name of the protocol
_AT: ContextVar[IdentityServer] = ContextVar("identity_server")


def begin(request: HttpRequest, server: IdentityServer) -> HttpResponse:
    """Send the browser to the identity server, with state, nonce and PKCE challenge. Raises faults."""
    with _at(server):
        response: HttpResponse = Door(request, _app(server)).redirect(request, AuthProcess.LOGIN)
    return response


def end(request: HttpRequest, server: IdentityServer) -> HttpResponse:
    """The browser is back: sign in whom the server names, or a page in words. Raises faults."""
    with _at(server):
        view = OAuth2CallbackView.adapter_view(Wire(request, identity.place_of(server)))
        response: HttpResponse = view(request)
    return response


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """allauth's questions, answered from our rows. Nobody signs up, nobody is found by e-mail."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        server = _AT.get(None)
        if server is None or provider not in (None, KIND, identity.place_of(server)):
            return []
        return [_app(server)]

    def get_provider(self, request: HttpRequest, provider: Any, client_id: Any = None) -> Door:
        return Door(request, self.get_app(request, provider, client_id))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def get_requests_session(self) -> Session:
        """Behind the guard, and for the issuer's host only. LookupError outside `begin` and `end`."""
        server = _AT.get()
        return identity.transport(server.provider).session(server.issuer)

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """The token is good: is it the answer to our question, and who comes in by it? Never goes on to allauth's."""
        server, claims = _AT.get(), sociallogin.account.extra_data
        asked = str(sociallogin.state.get("nonce") or secrets.token_hex())
        if not secrets.compare_digest(str(claims.get("nonce", "")).encode(errors="surrogatepass"), asked.encode()):
            raise OAuth2Error("the nonce is not ours")
        try:
            landing = identity.arrive(server, claims)
        except Denied as denied:
            raise ImmediateHttpResponse(refusal(request, server.provider, denied.words)) from denied
        if landing.arrival is None:
            raise ImmediateHttpResponse(HttpResponseRedirect(landing.to))
        raise ImmediateHttpResponse(doors.sign_in(request, landing.arrival, landing.to))

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """What the server or the browser sent does not do; the details are no help to a person, and may be forged."""
        host = _AT.get().provider
        if error == AuthError.CANCELLED:
            words = f"You did not go on at {host}."
        elif exception is None and "state" not in (extra_context or {}):
            words = "This sign-in is over: it was used already, or it took longer than ten minutes. Start again."
        else:
            words = f"{host} did not confirm who you are. Start again; if that does not help, tell {host}."
        raise ImmediateHttpResponse(refusal(request, host, words))


class Wire(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """The calls: addresses from our reading of the server's description, replies taken apart strictly."""

    @property
    def found(self) -> Discovery:
        return identity.discovered(_AT.get())

    @property
    def access_token_url(self) -> str:
        return self.found.token_endpoint

    @property
    def authorize_url(self) -> str:
        return self.found.authorization_endpoint

    @property
    def basic_auth(self) -> bool:
        return self.found.basic and bool(_AT.get().sealed)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return f"{settings.PUBLIC_URL}{reverse('portal:came-back', args=[_AT.get().provider.slug])}"

    def get_access_token_data(
        self, request: HttpRequest, app: SocialApp, client: Any, pkce_code_verifier: Any = None
    ) -> dict[str, Any]:
        """The code against an ID token. A code that the server does not take is an OAuth2Error."""
        told = {
            "grant_type": "authorization_code",
            "code": request.GET.get("code", ""),
            "redirect_uri": self.get_callback_url(request, app),
            "code_verifier": str(pkce_code_verifier),
        }
        name_and_secret = (app.client_id, app.secret)
        if not self.basic_auth:
            told |= {"client_id": app.client_id} | ({"client_secret": app.secret} if app.secret else {})
        with identity.transport(_AT.get().provider).session(_AT.get().issuer) as session:
            reply = session.post(self.access_token_url, data=told, auth=name_and_secret if self.basic_auth else None)
        if 400 <= reply.status_code < 500:
            raise OAuth2Error("the server did not take the code")
        answer = discovery.an_object(reply, "a token")
        if not isinstance(answer.get("id_token"), str):
            raise OAuth2Error("the server sent no ID token")
        return answer

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        """Nothing to keep: we ask the server for nothing later."""
        return SocialToken(token="")

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **given: Any) -> Any:
        """The verified claims, with those of the userinfo endpoint where the one that we need stands only there."""
        server, answer = _AT.get(), given["response"]
        with identity.transport(server.provider).session(server.issuer) as session:
            try:
                claims = discovery.verified(session, self.found, answer["id_token"], server.client_id)
            except jwt.PyJWTError as error:
                raise OAuth2Error("the ID token does not pass") from error
            if server.customer_claim not in claims and self.found.userinfo_endpoint:
                claims = _more(session, self.found.userinfo_endpoint, answer.get("access_token"), claims)
        return self.get_provider().sociallogin_from_response(request, claims)


class Door(OpenIDConnectProvider):  # type: ignore[misc]
    """One provider's identity server. Of its claims only `sub`, the nonce and the customer's are used."""

    oauth2_adapter_class = Wire

    def redirect(
        self, request: HttpRequest, process: str, next_url: Any = None, data: Any = None, **_: Any
    ) -> HttpResponse:
        """Nothing that the address of this page says goes along: it may be anybody's."""
        nonce = secrets.token_urlsafe(24)
        response: HttpResponse = super().redirect(request, process, nonce=nonce, auth_params={"nonce": nonce})
        return response

    def stash_redirect_state(self, request: HttpRequest, process: str, *args: Any, **given: Any) -> str:
        state: str = super().stash_redirect_state(request, process, *args, state_id=secrets.token_urlsafe(24), **given)
        return state

    def get_default_scope(self) -> list[str]:
        return ["openid", "profile"]

    def extract_uid(self, data: dict[str, Any]) -> str:
        return identity.uid_of(str(data["sub"]))

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        return {}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:
        return []


@contextmanager
def _at(server: IdentityServer) -> Iterator[None]:
    token = _AT.set(server)
    try:
        yield
    finally:
        _AT.reset(token)


def _app(server: IdentityServer) -> SocialApp:
    """The row as allauth knows it, in memory; here the secret is opened, and nowhere is it kept."""
    return SocialApp(
        provider=KIND,
        provider_id=identity.place_of(server),
        name=str(server.provider)[:40],
        client_id=server.client_id,
        secret=identity.secret_of(server),
        settings={"server_url": server.issuer, "oauth_pkce_enabled": True},
    )


def _more(session: Session, url: str, access_token: Any, claims: dict[str, Any]) -> dict[str, Any]:
    """The claims with the userinfo's, which must be of the same `sub` (OpenID Connect Core 1.0, 5.3.2)."""
    try:
        reply = session.get(url, headers={"Authorization": f"Bearer {access_token}"})
    except requests.RequestException as error:
        raise OAuth2Error("the userinfo endpoint was not asked") from error
    told = discovery.an_object(reply, "its userinfo")
    if told.get("sub") != claims["sub"]:
        raise OAuth2Error("the userinfo is of somebody else")
    return told | claims
