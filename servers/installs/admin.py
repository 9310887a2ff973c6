"""Staff pages of installs: stage, cause and fix of each. SSH credentials are on none of them."""

from __future__ import annotations

from django.contrib import admin

from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, display, toned
from servers.installs.models import HostKey, Install, InstallBatch, JumpHostKey


class InstallInline(ReadOnlyInline):
    model = Install
    fields = ("server", "state", "stage", "cause", "fix", "ended_at")


@admin.register(InstallBatch)
class InstallBatchAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "customer", "by", "ssh_user", "method", "port", "created_at", "ended_at")
    list_select_related = ("customer", "by")
    search_fields = ("customer__organization", "by__email")
    inlines = (InstallInline,)


@admin.register(Install)
class InstallAdmin(ReadOnlyAdmin):
    list_display = ("server", "progress", "stage", "cause", "batch", "queued_at", "ended_at")
    list_filter = ("state", "stage")
    list_select_related = ("server", "batch")
    search_fields = ("server__name", "address", "cause")
    hidden = ("leased_until", "host_key")

    @display(description="State", label=TONES, ordering="state")
    def progress(self, install: Install) -> tuple[str, str]:
        return toned(install.status)


@admin.register(HostKey)
class HostKeyAdmin(ReadOnlyAdmin):
    list_display = ("server", "key_type", "fingerprint", "source", "confirmed_by", "confirmed_at")
    list_filter = ("source", "key_type")
    list_select_related = ("server", "confirmed_by")
    search_fields = ("server__name", "fingerprint")


@admin.register(JumpHostKey)
class JumpHostKeyAdmin(ReadOnlyAdmin):
    list_display = ("host", "port", "key_type", "fingerprint", "customer", "confirmed_by", "confirmed_at")
    list_select_related = ("customer", "confirmed_by")
    search_fields = ("host", "fingerprint", "customer__organization")
