"""What every signed-in page needs around it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

from console.models import User

View = Callable[..., HttpResponseBase]


def signed_in(view: View) -> View:
    """People only. A stranger's page goes to sign-in and comes back; a stranger's fragment is a 401.

    A fragment must not follow the redirect: the sign-in page would be put into a table row.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if request.headers.get("HX-Request") == "true":
            return HttpResponse("You are signed out.", status=401, content_type="text/plain")
        return redirect_to_login(request.get_full_path(), resolve_url(settings.LOGIN_URL))

    return guarded


def person(request: HttpRequest) -> User:
    """Who asks, on a page for people who are signed in."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
