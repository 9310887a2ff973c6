"""Brand and wording of mails as their provider saved them, revision by revision: to look at."""

from __future__ import annotations

from django.contrib import admin

from console.lib.staff import TONES, ReadOnlyAdmin, display
from providers.models import Brand, MailTemplate


@admin.register(Brand)
class BrandAdmin(ReadOnlyAdmin):
    list_display = ("name", "provider", "revision", "state", "accent", "by", "created_at", "published_at")
    list_filter = ("provider",)
    list_select_related = ("provider",)
    search_fields = ("name", "provider__name", "by")
    ordering = ("-created_at",)
    hidden = ("logo",)

    @display(description="State", label=TONES)
    def state(self, brand: Brand) -> tuple[str, str]:
        return ("running", "Published") if brand.published_at else ("stopped", "Draft")


@admin.register(MailTemplate)
class MailTemplateAdmin(ReadOnlyAdmin):
    list_display = ("kind", "locale", "provider", "revision", "state", "subject", "by", "created_at")
    list_filter = ("kind", "provider")
    list_select_related = ("provider",)
    search_fields = ("subject", "provider__name", "by")
    ordering = ("-created_at",)

    @display(description="State", label=TONES)
    def state(self, template: MailTemplate) -> tuple[str, str]:
        return ("running", "Published") if template.published_at else ("stopped", "Draft")
