"""The log of the provider API: the last 30 days, found by status, method, path, and request id."""

from __future__ import annotations

from typing import Final

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from console.portal.provider.paging import page as paged
from console.portal.provider.scope import Seat, page, show
from providers.models import ApiCall

CLASSES: Final = {"2xx": 200, "4xx": 400, "5xx": 500}
METHODS: Final = ("GET", "PUT", "POST", "PATCH", "DELETE")


class CallFilters(forms.Form):
    """What the list is narrowed by; what cannot be is left out."""

    q = forms.CharField(max_length=200, required=False, strip=True)
    status = forms.ChoiceField(choices=[("", "Any status"), *((name, name) for name in CLASSES)], required=False)
    method = forms.ChoiceField(choices=[("", "Any method"), *((name, name) for name in METHODS)], required=False)


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """A page of calls, the newest first. `?q=` is a request id, or a part of a path when it starts with a slash."""
    form = CallFilters(request.GET)
    form.is_valid()
    asked = form.cleaned_data
    rows = _narrowed(ApiCall.objects.filter(provider=seat.provider), asked)
    found = paged(request, rows, "id")
    return show(request, seat, "provider/calls.html", "calls", page=found, asked=asked, form=form,
                narrowed=any(asked.values()))  # fmt: skip


def _narrowed(rows: QuerySet[ApiCall], asked: dict[str, str]) -> QuerySet[ApiCall]:
    if text := asked.get("q", "").replace("\0", ""):
        rows = rows.filter(path__icontains=text) if "/" in text else rows.filter(request_id=text)
    if least := CLASSES.get(asked.get("status", "")):
        rows = rows.filter(status__gte=least, status__lt=least + 100)
    return rows.filter(method=asked["method"]) if asked.get("method") else rows
