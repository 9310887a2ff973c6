"""Staff pages of agents: to look at. Neither tokens nor their hashes are on them."""

from __future__ import annotations

from django.contrib import admin

from console.lib.staff import TONES, ReadOnlyAdmin, display
from servers.agents.models import Agent, JoinToken


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "life", "version", "last_seen_at", "enrolled_at", "ended_at")
    list_filter = ("state", "version")
    list_select_related = ("server", "former_server")
    search_fields = ("server__name", "former_server__name")

    @display(description="State", label=TONES, ordering="state")
    def life(self, agent: Agent) -> tuple[str, str]:
        return ("running" if agent.state == Agent.State.LIVE else "stopped"), agent.get_state_display()


@admin.register(JoinToken)
class JoinTokenAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "account", "created_by", "created_at", "expires_at", "used_at")
    list_select_related = ("server", "account", "created_by")
    search_fields = ("server__name", "account__name")
