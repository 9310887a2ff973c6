"""The log of the provider API: what a developer's request id leads to."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from console.lib.staff import TONES, ReadOnlyAdmin, ShortPaginator, display
from providers.models import ApiCall


class Outcome(admin.SimpleListFilter):
    """By the hundreds of the status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("4", "Refused (4xx)"), ("5", "Failed at our side (5xx)"), ("2", "Done (2xx)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiCall]) -> QuerySet[ApiCall]:
        first = self.value()
        if first not in ("2", "4", "5"):
            return queryset
        return queryset.filter(status__gte=int(first) * 100, status__lt=int(first) * 100 + 100)


@admin.register(ApiCall)
class ApiCallAdmin(ReadOnlyAdmin):
    list_display = ("at", "provider", "method", "path", "answer", "milliseconds", "key_name", "address", "request_id")
    list_filter = (Outcome, "provider")
    list_select_related = ("provider",)
    search_fields = ("=request_id",)
    search_help_text = "A whole request id, as in X-Request-ID"
    paginator = ShortPaginator
    ordering = ("-id",)

    @display(description="Answer", label=TONES)
    def answer(self, call: ApiCall) -> tuple[str, str]:
        tone = {2: "running", 4: "attention", 5: "failed"}.get(call.status // 100, "stopped")
        return tone, f"{call.status} {call.code}".strip()
