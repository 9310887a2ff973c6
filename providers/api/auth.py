"""Who calls the provider API: `Authorization: Bearer mst_…`, and what its key may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from console.lib.api import bearer
from console.lib.audit import Actor
from console.models import AuditEntry
from providers import keys, sandbox
from providers.api import calls
from providers.models import Provider, ProviderKey


@dataclass(frozen=True)
class Caller:
    """A provider's program, as `request.user`. `request.auth` is its key. A test key acts on the sandbox alone."""

    key: ProviderKey
    provider: Provider  # whom it acts on: the key's, or the sandbox of that one
    is_authenticated: bool = True

    @property
    def pk(self) -> str:
        return str(self.key.pk)

    @property
    def actor(self) -> Actor:
        return Actor(AuditEntry.Actor.PROVIDER, str(self.key.pk), f"{self.provider.slug} {self.key}")


class ProviderAuthentication(BaseAuthentication):
    """401 in words for a missing, unknown, expired or revoked key; 403 for a provider that is not enabled."""

    def authenticate(self, request: Request) -> tuple[Caller, ProviderKey]:
        text, address = bearer.secret(request, "KEY"), request.META.get("REMOTE_ADDR", "")
        try:
            key = keys.find(text, address)
        except keys.KeyRefused as refused:
            if refused.key is not None:  # its provider's log shows what its program still tries
                owner = refused.key.provider
                home = sandbox.twin(owner) if refused.key.sandbox else owner
                calls.told(request._request, home, refused.key, str(refused.key))
            if refused.code == "address_not_allowed":
                raise exceptions.PermissionDenied(refused.words, refused.code) from refused
            raise exceptions.AuthenticationFailed(refused.words, refused.code) from refused
        calls.told(request._request, key.provider, key, str(key))
        if key.provider.status != Provider.Status.ENABLED:
            status = key.provider.get_status_display().lower()
            raise exceptions.PermissionDenied(
                f"{key.provider} is {status} at this console. Ask its staff to enable it.", "provider_not_enabled"
            )
        if not key.sandbox:
            return Caller(key, key.provider), key
        home = sandbox.twin(key.provider)
        calls.told(request._request, home, key, str(key))
        return Caller(key, home), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="provider"'


class HasScope(BasePermission):
    """The view names the scope of each method in `scopes`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = bearer.scope_wanted(request, view)
        key = request.auth
        if scope is None or (isinstance(key, ProviderKey) and keys.allows(key, scope)):
            return True
        raise exceptions.PermissionDenied(
            f"This key lacks the scope {scope}. Ask staff for a key that has it.", "scope_missing"
        )


class _Scheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ProviderAuthentication
    name = "providerKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "mst_live_… or mst_test_…",
            "description": "A provider's key, issued by staff and shown once.",
        }
