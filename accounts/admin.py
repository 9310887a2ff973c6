"""Staff pages of cloud accounts: how they stand, why, and how their readings went. Credentials are on none of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from accounts import asking
from accounts.models import CloudAccount, CredentialPush, Import, ImportLine, SyncRun
from console.lib.jobs.rows import ACTIVE
from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, action, display, toned
from console.models import User
from providers.admin import CustomerAdmin
from providers.models import Provider
from providers.staff.turning import EFFECTS, number


class SyncInline(ReadOnlyInline):
    model = SyncRun
    fields = ("trigger", "state", "outcome", "seen", "added", "changed", "missing", "calls", "seconds", "queued_at")


class PushInline(ReadOnlyInline):
    model = CredentialPush
    fields = ("version", "actor_name", "at", "outcome", "reason", "ended_at")
    show_change_link = False


class AccountInline(ReadOnlyInline):
    model = CloudAccount
    fields = ("name", "external_id", "endpoint", "status", "status_reason", "server_count", "last_sync_at")


CustomerAdmin.inlines = (*CustomerAdmin.inlines, AccountInline)


def _effects(provider: Provider, on: bool) -> Iterator[str]:
    """What enabling or suspending this provider does to accounts and syncs."""
    rows = CloudAccount.objects.present().filter(endpoint__provider=provider, customer__status="active")
    rows = rows.exclude(sealed="", pending_sealed="")
    accounts = rows.filter(endpoint__enabled=True).count()
    waiting = SyncRun.objects.filter(account__in=rows, state__in=ACTIVE).count()
    yield f"{number(accounts, 'cloud account is', 'cloud accounts are')} {'read again' if on else 'read no more'}"
    if waiting:
        yield f"{number(waiting, 'sync waits', 'syncs wait')} and {'may begin' if on else 'will read nothing'}"


EFFECTS.append(_effects)


@admin.register(CloudAccount)
class CloudAccountAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "customer",
        "endpoint",
        "state",
        "status_reason",
        "server_count",
        "unread_count",
        "last_sync_at",
    )
    list_filter = ("status", "endpoint__platform", "endpoint")
    list_select_related = ("customer", "endpoint")
    search_fields = ("name", "external_id", "customer__organization", "customer__external_id")
    inlines = (SyncInline, PushInline)
    actions_detail = ("sync_now",)

    @display(description="Status", label=TONES, ordering="status")
    def state(self, account: CloudAccount) -> tuple[str, str]:
        return ("stopped", "Removed") if account.removed_at else toned(CloudAccount.Status(account.status))

    @action(description="Sync now", icon="sync")
    def sync_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        person = request.user

        def do(account: CloudAccount) -> str:
            if not isinstance(person, User):
                raise TypeError("staff are users")
            asking.sync_now(account, by=person)
            return f"{account} is read in a moment; the history below says how it went."

        sentence = "The account is read as soon as a worker is free."
        return self.deed(request, object_id, title="Sync now", sentence=sentence, do=do)


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = (
        "account",
        "progress",
        "trigger",
        "mode",
        "outcome",
        "seen",
        "added",
        "changed",
        "missing",
        "gone",
        "calls",
        "seconds",
        "queued_at",
    )
    list_filter = ("state", "trigger", "mode", "account__endpoint")
    list_select_related = ("account",)
    search_fields = ("account__name", "account__external_id", "outcome")
    hidden = ("leased_until",)

    @display(description="State", label=TONES, ordering="state")
    def progress(self, run: SyncRun) -> tuple[str, str]:
        return toned(run.status)


class LineInline(ReadOnlyInline):
    model = ImportLine
    fields = ("number", "external_id", "outcome", "errors")
    show_change_link = False


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "provider", "progress", "outcome", "actor_name", "queued_at", "ended_at")
    list_filter = ("state", "provider")
    list_select_related = ("provider",)
    search_fields = ("provider__name", "actor_name", "=id")
    hidden = ("worker", "leased_until")
    inlines = (LineInline,)

    @display(description="State", label=TONES, ordering="state")
    def progress(self, run: Import) -> tuple[str, str]:
        return toned(run.status)
