"""`POST /scalex/acl/{createuser,customerInfo,customerList}`: the provider API of 2012 as its callers know it.

Forms in, `{"result": "SUCCESS"|"FAILURE", "data": …}` out, always with status 200 but for too many calls (PROMISES.md).
One thing differs: `password` holds a single-use link to set one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from console.lib.audit import Actor
from console.lib.denials import Denied
from console.models import AuditEntry
from providers import legacy, limits
from providers.api import calls
from providers.models import Customer, Provider

Data = Any
Answer = Callable[[Provider, Mapping[str, str]], Data]
NAMES: Final = {  # field → how the original called it, and the longest that fits
    "email": ("email", 254),
    "firstname": ("first name", 150),
    "lastname": ("last name", 150),
    "orgname": ("organization name", 200),
}


class Failed(Exception):
    """`data` of the failure: `err`, and more."""

    def __init__(self, err: str, **more: Any) -> None:
        super().__init__(err)
        self.data = {"err": err, **more}


def _call(answer: Answer) -> Callable[[HttpRequest], JsonResponse]:
    @csrf_exempt
    @wraps(answer)
    def view(request: HttpRequest) -> JsonResponse:
        try:
            if request.method != "POST":
                raise Failed("Request is not a post... cannot proceed")
            given = {name: str(value).replace("\0", "").strip() for name, value in request.POST.items()}
            provider = legacy.find(given.get("sxapikey", ""), given.get("sxsecretkey", ""))
            if provider is None:
                raise Failed("login failed, invalid api key or secret key")
            calls.told(request, provider, None, f"2012 {provider.legacy_key[:8]}…")
            allowance = limits.take(provider)
            if allowance and allowance.exceeded:
                return _said({"err": f"too many calls, wait {allowance.resets} seconds"}, 429, allowance.resets)
            return JsonResponse({"result": "SUCCESS", "data": answer(provider, given)})
        except Failed as failed:
            return _said(failed.data)
        except Denied as denied:
            return _said({"err": denied.words})

    return view


def _said(data: dict[str, Any], status: int = 200, wait: int = 0) -> JsonResponse:
    reply = JsonResponse({"result": "FAILURE", "data": data}, status=status)
    if wait:
        reply["Retry-After"] = str(wait)
    return reply


@_call
def create_user(provider: Provider, given: Mapping[str, str]) -> Data:
    """A customer and its first person; a mail goes out to them as well."""
    errors = [f"{called} is missing" for name, (called, _) in NAMES.items() if not given.get(name)]
    errors += [f"{called} is too long" for name, (called, most) in NAMES.items() if len(given.get(name, "")) > most]
    try:
        if given.get("email"):
            validate_email(given["email"])
    except ValidationError:
        errors.append("email is invalid")
    if errors:
        raise Failed("There are input errors", errors=errors)
    try:
        made = legacy.create(
            provider,
            email=given["email"],
            first_name=given["firstname"],
            last_name=given["lastname"],
            organization=given["orgname"],
            actor=Actor(AuditEntry.Actor.PROVIDER, provider.legacy_key, f"{provider.slug} (2012 calls)"),
        )
    except legacy.Registered as registered:
        raise Failed("already registered") from registered
    return {
        "user": made.customer.email,
        "organization": made.customer.organization,
        "password": made.password,
        "user_id": str(made.membership.pk),  # of the person at this provider: the same person has another elsewhere
        "organization_id": str(made.customer.pk),
    }


@_call
def customer_info(provider: Provider, given: Mapping[str, str]) -> Data:
    """One customer by its address."""
    if not given.get("email"):
        raise Failed("There are input errors", errors=["email is missing"])
    found = legacy.by_email(provider, given["email"])
    if found is None:
        raise Failed("not registered")
    return _told(found)


@_call
def customer_list(provider: Provider, given: Mapping[str, str]) -> Data:
    """Customers in order, a page of them when `rowsperpage` is given."""
    rows = _number(given, "rowsperpage")
    direction = given.get("sortdirection", "asc").lower()
    if direction not in ("asc", "desc", "ascending", "descending"):
        raise Failed("sortdirection is asc or desc")
    found = legacy.listed(
        provider,
        order=given.get("sortedby") or "email",
        descending=direction.startswith("desc"),
        rows=rows,
        page=_number(given, "currentpage") or 1,
    )
    return [_told(customer) for customer in found]


def _told(customer: Customer) -> dict[str, str]:
    return {
        "firstname": customer.first_name,
        "lastname": customer.last_name,
        "email": customer.email,
        "organization": customer.organization,
    }


def _number(given: Mapping[str, str], name: str) -> int | None:
    try:
        number: int | None = forms.IntegerField(required=False, min_value=1, max_value=100_000).clean(
            given.get(name, "")
        )
    except ValidationError as fault:
        raise Failed(f"{name} is a number from 1 on") from fault
    return number
