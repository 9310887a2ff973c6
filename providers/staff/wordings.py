"""Brand and wording of mails as their provider saved them, revision by revision: to look at, as the mail they make,
and to try on oneself."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from console.lib.staff import TONES, ReadOnlyAdmin, action, display
from console.models import User
from providers import branding, letters, mail, wording
from providers.letters import Letter
from providers.models import Brand, MailTemplate

# Of a letter in a frame: nothing in it runs, loads from elsewhere, or leads anywhere. Staff pages have no policy to
# start from (CONTENT_SECURITY_POLICY), so this one is whole.
ALONE: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
    "sandbox allow-same-origin"
)


class Letters(ReadOnlyAdmin):
    """Rows that make a mail: it is shown, and sent to who asks."""

    actions_detail = ("preview", "send_test")

    def letter(self, row: Any) -> Letter:
        raise NotImplementedError

    def send(self, row: Any, request: HttpRequest) -> None:
        raise NotImplementedError

    @action(description="Preview", icon="visibility")
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.subject(request, object_id, f"{self.opts.app_label}.view_{self.opts.model_name}")
        letter = self.letter(row)
        if "framed" in request.GET:
            alone = {"Content-Security-Policy": ALONE, "X-Frame-Options": "SAMEORIGIN"}
            return HttpResponse(letter.html, headers=alone)
        sentence = "As a made-up customer gets it. No link in it opens."
        return self._page(request, "admin/letter.html", row, title="Preview", sentence=sentence, letter=letter)

    @action(description="Send a test mail", icon="send")
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(row: Any) -> str:
            self.send(row, request)
            kept = " It is a sandbox's, so it is kept and not sent." if row.provider.sandbox_of_id else ""
            return f"A test mail to {request.user} is on its way.{kept}"

        sentence = f"The mail, about a made-up customer, goes to {request.user} and to nobody else."
        return self.deed(request, object_id, title="Send a test mail", sentence=sentence, do=do)


@admin.register(Brand)
class BrandAdmin(Letters):
    list_display = ("name", "provider", "revision", "state", "accent", "by", "created_at", "published_at")
    list_filter = ("provider",)
    list_select_related = ("provider",)
    search_fields = ("name", "provider__name", "by")
    ordering = ("-created_at",)
    hidden = ("logo",)

    @display(description="State", label=TONES)
    def state(self, brand: Brand) -> tuple[str, str]:
        return ("running", "Published") if brand.published_at else ("stopped", "Draft")

    def letter(self, row: Brand) -> Letter:
        """The live welcome in this look."""
        kind = wording.Kind.WELCOME
        texts = wording.of(wording.live(row.provider, kind), kind)
        return letters.preview(row.provider, kind, texts, branding.look_of(row))

    def send(self, row: Brand, request: HttpRequest) -> None:
        mail.test(wording.live(row.provider, wording.Kind.WELCOME), _asking(request), row.provider, brand=row)


@admin.register(MailTemplate)
class MailTemplateAdmin(Letters):
    list_display = ("kind", "locale", "provider", "revision", "state", "subject", "by", "created_at")
    list_filter = ("kind", "provider")
    list_select_related = ("provider",)
    search_fields = ("subject", "provider__name", "by")
    ordering = ("-created_at",)

    @display(description="State", label=TONES)
    def state(self, template: MailTemplate) -> tuple[str, str]:
        return ("running", "Published") if template.published_at else ("stopped", "Draft")

    def letter(self, row: MailTemplate) -> Letter:
        return letters.preview(row.provider, row.kind, wording.of(row, row.kind))

    def send(self, row: MailTemplate, request: HttpRequest) -> None:
        mail.test(row, _asking(request), row.provider)


def _asking(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
