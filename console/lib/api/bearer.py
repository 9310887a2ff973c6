"""What every API that takes `Authorization: Bearer …` reads the same way: the secret, and the scope a call wants."""

from __future__ import annotations

from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.views import APIView


def secret(request: Request, word: str) -> str:
    """The text after `Bearer`. 401 in words when there is none; `word` is what the caller knows it as: KEY, TOKEN."""
    header = request.headers.get("Authorization", "")
    scheme, _, text = header.partition(" ")
    if not header:
        raise exceptions.NotAuthenticated
    if scheme.lower() != "bearer" or not text.strip():
        raise exceptions.AuthenticationFailed(
            f"Write the header as: Authorization: Bearer {word}.", "authorization_malformed"
        )
    return text.strip()


def scope_wanted(request: Request, view: APIView) -> str | None:
    """The scope that the view's `scopes` names for this method; None where it names none.

    HEAD is a GET whose body is left out: Django REST framework runs the same handler, so it wants the same scope.
    """
    scopes: dict[str, str] = getattr(view, "scopes", {})
    return scopes.get("GET" if request.method == "HEAD" else request.method or "")
