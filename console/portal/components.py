"""Staff: every component in every state, so that a change of the look is seen at once."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

TONES = (
    ("running", "Running"),
    ("stopped", "Stopped"),
    ("changing", "Starting"),
    ("attention", "Stale"),
    ("failed", "Failed"),
)
STEPS = ("Connect", "Check", "Upload", "Install", "First report")
LONG = "a-name-of-two-hundred-characters-" * 6 + "ab"
ADDRESSES = ("203.0.113.24", "2001:db8:4006:812::200e", "10.0.0.7")


class ExampleForm(forms.Form):
    """One field of each kind."""

    user = forms.CharField(label="SSH user", help_text="It needs sudo, or is root.")
    password = forms.CharField(widget=forms.PasswordInput, required=False)
    account = forms.ChoiceField(choices=[("a", "Essex Lab"), ("b", "North Cloud")])
    key = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}))
    way = forms.ChoiceField(choices=[("key", "A key"), ("password", "A password")], widget=forms.RadioSelect)
    sure = forms.BooleanField(label="These host keys are the right ones")


def _steps(at: int, state: str) -> list[dict[str, Any]]:
    """Steps with the one at `at` in `state`, those before it done."""
    seconds = (0.8, 1.4, 3.2, 12.0, 21.0)
    return [
        {
            "label": label,
            "state": "done" if index < at else state if index == at else "waiting",
            "seconds": seconds[index] if index <= at and state != "waiting" else None,
        }
        for index, label in enumerate(STEPS)
    ]


def _rows() -> list[dict[str, Any]]:
    names = ("web-1.essex.example", "db-primary", "build-7", "cache-eu-2", LONG)
    return [
        {
            "id": index,
            "name": name,
            "tone": tone,
            "label": label,
            "address": ADDRESSES[index % 3],
            "more": index and 60,
            "load": [] if index == 3 else [1 + math.sin(step / 3 + index) + step % 5 / 9 for step in range(24)],
            "at": timezone.now() - timedelta(minutes=4**index),
            "percent": (12.0, 46.5, 83.0, None, 97.0)[index],
        }
        for index, (name, (tone, label)) in enumerate(zip(names, TONES, strict=True))
    ]


def _moments() -> list[dict[str, Any]]:
    now = timezone.now()
    return [
        {"at": now, "tone": "running", "what": "First report of the agent on", "name": "web-1", "words": "0.1.0"},
        {"at": now, "tone": "changing", "what": "Install started", "by": "alice@example.com"},
        {
            "at": now - timedelta(days=3),
            "tone": "failed",
            "what": "Could not read",
            "name": "Essex Lab",
            "times": 12,
            "words": "The cloud did not answer within 15 s.",
        },
    ]


ACTIONS = [
    {"label": "Install agent", "icon": "download", "href": "?install"},
    {"label": "Start", "icon": "player-play", "href": "?start"},
    {"label": "Stop", "icon": "player-stop", "reason": "Stopping servers comes with a later version."},
]
MENU = [
    {"label": "Open", "icon": "external-link", "href": "#"},
    {"label": "Restart", "icon": "rotate-clockwise", "reason": "The server is stopped. Start it first."},
    {"line": True},
    {"label": "Uninstall agent", "icon": "trash", "danger": True, "href": "#"},
]


@staff_member_required(login_url="account_login")  # type: ignore[untyped-decorator]  # in django-stubs
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The gallery. `?notices` shows messages as they stand after a redirect."""
    if "notices" in request.GET:
        messages.success(request, "Saved.")
        messages.error(request, "The key was not changed: it is not in a form that Muster reads.")
    now = timezone.now()
    return render(
        request,
        "staff/components.html",
        {
            "tones": TONES,
            "rows": _rows(),
            "actions": ACTIONS,
            "menu": MENU,
            "long": LONG,
            "addresses": ADDRESSES,
            "steps_waiting": _steps(0, "waiting"),
            "steps_live": _steps(2, "live"),
            "steps_asks": _steps(1, "asks"),
            "steps_failed": _steps(1, "failed"),
            "steps_done": _steps(5, "done"),
            "form": ExampleForm(),
            "wrong": ExampleForm({"user": "", "account": "c", "way": "key"}),
            "now": now,
            "soon": now + timedelta(minutes=42),
            "old": now - timedelta(days=3, hours=4),
            "moments": _moments(),
            "facts": [("Platform", "OpenStack, Keystone v3"), ("Servers", "412"), ("Credentials", "version 7")],
            "drawings": ("servers", "search", "accounts", "activity", "lock", "lost", "broken", "mail"),
        },
    )
