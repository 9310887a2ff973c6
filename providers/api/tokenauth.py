"""Who calls the customer API: `Authorization: Bearer mct_…`, and what its token may do."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from console.lib.api import bearer
from console.models import User
from providers import tokens
from providers.keys import KeyRefused
from providers.models import ApiToken


class TokenAuthentication(BaseAuthentication):
    """`request.user` is the person who issued the token, `request.auth` the token. 401 in words for any other."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken]:
        try:
            token = tokens.find(bearer.secret(request, "TOKEN"))
        except KeyRefused as refused:
            raise exceptions.AuthenticationFailed(refused.words, refused.code) from refused
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="customer"'


class TokenHasScope(BasePermission):
    """The view names the scope of each method in `scopes`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = bearer.scope_wanted(request, view)
        token = request.auth
        if scope is None or (isinstance(token, ApiToken) and tokens.allows(token, scope)):
            return True
        raise exceptions.PermissionDenied(
            f"This token lacks the scope {scope}. Issue one that has it on your page.", "scope_missing"
        )


class _Scheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = TokenAuthentication
    name = "customerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "mct_…",
            "description": "A customer's token, issued under Your page → API tokens, and shown once.",
        }
