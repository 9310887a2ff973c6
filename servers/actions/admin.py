"""Staff pages of actions: what was asked for, of which server, how it stands. No password, no script."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from console.lib.jobs.rows import ACTIVE, JobState
from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, display, toned
from servers.actions.models import Action, ActionBatch

PROVIDER = ("customer__provider", admin.RelatedOnlyFieldListFilter)


class ActionInline(ReadOnlyInline):
    model = Action
    fields = ("name", "state", "outcome", "phase", "attempts", "queued_at", "ended_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Action]:
        return _plain(super().get_queryset(request))


@admin.register(ActionBatch)
class ActionBatchAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "customer", "by", "servers", "progress", "created_at", "ended_at")
    list_filter = ("kind", ("ended_at", admin.EmptyFieldListFilter), PROVIDER)
    list_select_related = ("customer", "by")
    search_fields = ("customer__organization", "customer__external_id", "by__email", "actions__name__startswith")
    fields = ("kind", "customer", "by", "params", "stands", "created_at", "ended_at")
    inlines = (ActionInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ActionBatch]:
        rows: QuerySet[ActionBatch] = super().get_queryset(request)
        return rows.annotate(
            total=Count("actions", distinct=True),
            live=Count("actions", distinct=True, filter=Q(actions__state__in=ACTIVE)),
            done=Count("actions", distinct=True, filter=Q(actions__state=JobState.DONE)),
        )

    @display(description="Servers")
    def stands(self, batch: Any) -> str:
        return f"{batch.total}: {batch.done} done, {batch.live} under way, {batch.total - batch.done - batch.live} not"

    @display(description="Servers", ordering="total")
    def servers(self, batch: Any) -> int:
        return int(batch.total)

    @display(description="Progress", label=TONES)
    def progress(self, batch: Any) -> tuple[str, str]:
        if batch.live:
            return "changing", f"{batch.live} under way"
        failed = batch.total - batch.done
        return ("failed", f"{failed} not done") if failed else ("running", "Done")


@admin.register(Action)
class ActionAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "progress", "outcome", "account", "customer", "queued_at", "ended_at")
    list_filter = ("state", "kind", "account__endpoint__platform", PROVIDER)
    list_select_related = ("account", "customer")
    search_fields = ("name__startswith", "server__external_id__exact", "account__name", "customer__organization")
    ordering = ("-queued_at",)
    fields = (
        "name",
        "kind",
        "state",
        "outcome",
        "phase",
        "percent",
        "params",
        "customer",
        "account",
        "server",
        "batch",
        "attempts",
        "polls",
        "queued_at",
        "started_at",
        "called_at",
        "ended_at",
        "worker",
        "task_ref",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Action]:
        return _plain(super().get_queryset(request))

    @display(description="State", label=TONES, ordering="state")
    def progress(self, action: Action) -> tuple[str, str]:
        return toned(action.status)


def _plain(rows: QuerySet[Action]) -> QuerySet[Action]:
    """Without what is sealed: staff have no use for it."""
    return rows.defer("order_sealed", "password_sealed")
