"""Mails that the embedded mode kept as files, shown for a trial without a mail server; in demo mode only."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from functools import wraps
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

MOST = 200  # of the newest
_NAME = re.compile(r"[0-9A-Za-z-]{1,80}")
SANDBOX = "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"


@dataclass(frozen=True)
class Kept:
    """One mail. `name` is its file's, without the ending."""

    name: str
    to: str
    subject: str
    at: datetime | None
    text: str
    html: str


def _folder() -> Path:
    folder = settings.MAIL_FOLDER
    if not settings.DEMO or folder is None:
        raise Http404("Mails are shown here in demo mode only.")
    return Path(folder)


def _read(path: Path) -> Kept:
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101  # what this policy makes
    date = message["Date"]
    at = date.datetime if date else None
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)  # "-0000": the time of a machine that does not say where it is
    return Kept(
        path.stem,
        str(message["To"] or ""),
        str(message["Subject"] or ""),
        at,
        _part(message, "plain"),
        _part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""


def _one(name: str) -> Kept:
    path = _folder() / f"{name}.eml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise Http404("There is no such mail.")
    return _read(path)


def _plainly(view: Any) -> Any:
    """These pages hold links that let people in: no cache keeps them."""

    @wraps(view)
    def shown(*args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = view(*args, **kwargs)
        response["Referrer-Policy"] = "strict-origin"
        return response

    return never_cache(require_safe(shown))


@_plainly
def listing(request: HttpRequest) -> HttpResponse:
    """The newest mails first."""
    paths = sorted(_folder().glob("*.eml"), reverse=True)[:MOST]
    return render(request, "mailbox/list.html", {"mails": [_read(path) for path in paths]})


@_plainly
def one(request: HttpRequest, name: str) -> HttpResponse:
    """One mail: its text, and its HTML in a frame."""
    response = render(request, "mailbox/one.html", {"mail": _one(name), "sandbox": SANDBOX})
    response._csp_update = {"frame-src": [SELF]}  # type: ignore[attr-defined]  # what django-csp's decorator sets
    return response


@_plainly
@xframe_options_sameorigin
def html(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML part for that frame: no script, no picture from elsewhere, and its links open the whole window."""
    body = _one(name).html
    response = HttpResponse(re.sub(r"(<head[^>]*>)", r'\1<base target="_top">', body, count=1))
    response._csp_replace = {  # type: ignore[attr-defined]  # what django-csp's decorator sets
        "default-src": [NONE],
        "script-src": [NONE],
        "style-src": ["'unsafe-inline'"],
        "img-src": ["data:"],
        "frame-ancestors": [SELF],
        "sandbox": SANDBOX.split(),
    }
    return response
