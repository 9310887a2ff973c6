"""What a browser session may see: every web page and socket starts from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from console.models import User
from providers import acting
from providers.models import Customer
from providers.querysets import CustomerQuerySet

DOOR = "door"  # session key: the id of the one customer that a provider-issued sign-in may see


def customers_of(request: HttpRequest) -> CustomerQuerySet:
    """The customers this request may see; none for a stranger."""
    return customers_in(request.user, request.session)


def customers_in(user: Any, session: Mapping[str, Any]) -> CustomerQuerySet:
    """The same for a websocket, which has a user and a session. Staff who act for a customer see that one alone."""
    if not isinstance(user, User) and not getattr(user, "is_authenticated", False):
        return Customer.objects.none()
    if under := acting.current(user, session):
        return Customer.objects.filter(pk=under.customer_id)
    return Customer.objects.open_to(user, session.get(DOOR))
