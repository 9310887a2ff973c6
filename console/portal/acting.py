"""Acting for a customer, in the browser: which pages are closed meanwhile, and how it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.lib import audit
from console.lib.pages import person, signed_in
from providers import acting
from providers.acting import ACTING

# How people sign in, and what is a person's own: never touched in somebody's name.
CLOSED: Final = ("/me/", "/auth/", "/invitations/", "/provider/")
LEFT_OPEN: Final = ("/auth/logout/",)
# Staff's own pages stay their own; programs have no session.
OWN: Final = ("/admin/", "/staff/", "/static/", "/brand/", "/api/", "/agent/", "/scalex/", "/healthz", "/readyz")


class Acting:
    """Middleware: `request.acting` is what this request works under (None: the person's own), and `acts_for` of its
    user puts both names into the audit log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.acting = None  # type: ignore[attr-defined]
        # A request without a session, and one of ours that needs none, leaves it untouched.
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or request.path.startswith(OWN):
            return self.get_response(request)
        if request.session.get(ACTING) and request.user.is_authenticated:
            row = acting.current(request.user, request.session)
            if row is None:
                del request.session[ACTING]
                messages.info(request, "Your time to act for the customer is over. These are your own pages again.")
            else:
                request.acting = row  # type: ignore[attr-defined]
                request.user.acts_for = acting.named(row)
                if request.path.startswith(CLOSED) and not request.path.startswith(LEFT_OPEN):
                    return render(request, "staff/acting_closed.html", status=403)
        return self.get_response(request)


@signed_in
@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    """Back to the customer's staff page."""
    row = acting.current(request.user, request.session)
    request.session.pop(ACTING, None)
    if row is None:
        return HttpResponseRedirect("/admin/")
    acting.end(row, audit.Actor.staff(person(request)))
    messages.success(request, f"You act for {row.customer} no longer.")
    return HttpResponseRedirect(reverse("admin:providers_customer_change", args=[row.customer_id]))
