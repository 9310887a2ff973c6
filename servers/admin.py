"""Staff pages of servers: to look at."""

from __future__ import annotations

from django.contrib import admin

from console.lib.staff import TONES, ReadOnlyAdmin, display, toned
from servers.models import Server


@admin.register(Server)
class ServerAdmin(ReadOnlyAdmin):
    list_display = ("name", "state_word", "customer", "account", "size", "region", "missing_since")
    list_filter = ("state", "account__endpoint")
    list_select_related = ("customer", "account")
    search_fields = ("name__startswith", "external_id__exact")

    @display(description="State", label=TONES, ordering="state")
    def state_word(self, server: Server) -> tuple[str, str]:
        return toned(server.status)
