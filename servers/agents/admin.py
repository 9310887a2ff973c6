"""Staff pages of agents: to look at, and releases to hold back. Neither tokens nor keys are on them, and no script."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from console.lib.staff import TONES, ReadOnlyAdmin, action, display, toned, who
from servers.agents import releasing
from servers.agents.models import Agent, Challenge, Claim, JoinToken, Release, Work


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "life", "version", "last_seen_at", "enrolled_at", "ended_at")
    list_filter = ("state", "version")
    list_select_related = ("server", "former_server")
    search_fields = ("server__name", "former_server__name")
    hidden = ("session", "session_key", "former_session", "former_session_key")

    @display(description="State", label=TONES, ordering="state")
    def life(self, agent: Agent) -> tuple[str, str]:
        return ("running" if agent.state == Agent.State.LIVE else "stopped"), agent.get_state_display()


@admin.register(Claim)
class ClaimAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "provider", "life", "level", "server", "address", "trouble", "first_at", "last_at")
    list_filter = ("state", "level", "provider")
    list_select_related = ("provider", "server")
    search_fields = ("code", "instance_id", "hostname", "server__name")

    @display(description="State", label=TONES, ordering="state")
    def life(self, claim: Claim) -> tuple[str, str]:
        return toned(Claim.State(claim.state))


@admin.register(Challenge)
class ChallengeAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "life", "outcome", "queued_at", "placed_at", "removed_at")
    list_filter = ("state",)
    list_select_related = ("server",)
    search_fields = ("server__name",)
    hidden = ("sealed", "before")

    @display(description="State", label=TONES, ordering="state")
    def life(self, challenge: Challenge) -> tuple[str, str]:
        return toned(challenge.status)


@admin.register(JoinToken)
class JoinTokenAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "account", "created_by", "created_at", "expires_at", "used_at")
    list_select_related = ("server", "account", "created_by")
    search_fields = ("server__name", "account__name")


@admin.register(Release)
class ReleaseAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "life", "share", "agents_done", "agents_failed", "reason", "created_at", "widened_at")
    list_filter = ("state",)
    search_fields = ("version",)
    hidden = ("program", "signature", "manifest")
    actions_detail = ("pause", "resume", "withdraw")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Release]:
        rows: QuerySet[Release] = super().get_queryset(request)
        return releasing.counted(rows.defer("program"))

    @display(description="State", label=TONES, ordering="state")
    def life(self, release: Release) -> tuple[str, str]:
        return toned(Release.State(release.state))

    @display(description="Have it", ordering="done")
    def agents_done(self, release: Any) -> int:
        return int(release.done)

    @display(description="Came back", ordering="failed")
    def agents_failed(self, release: Any) -> int:
        return int(release.failed)

    @action(description="Pause", icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(release: Release) -> str:
            releasing.pause(release, who(request), f"Paused by {request.user}.")
            return f"Version {release} is offered to nobody more."

        sentence = "Agents that have it keep it; nobody else is offered it until you let it go on."
        return self.deed(request, object_id, title="Pause", sentence=sentence, do=do)

    @action(description="Let it go on", icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(release: Release) -> str:
            releasing.resume(release, who(request))
            return f"Version {release} is offered to its ring again."

        sentence = "It is offered to its ring again, and the next ring opens when that one did well for an hour."
        return self.deed(request, object_id, title="Let it go on", sentence=sentence, do=do)

    @action(description="Withdraw", icon="block")
    def withdraw(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(release: Release) -> str:
            releasing.withdraw(release, who(request), f"Withdrawn by {request.user}.")
            return f"Version {release} is withdrawn for good."

        sentence = (
            "Nobody may fetch it any more, for good. Agents that have it keep it: publish a newer one to mend them."
        )
        return self.deed(request, object_id, title="Withdraw", sentence=sentence, do=do, danger=True)


@admin.register(Work)
class WorkAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "customer", "life", "exit_code", "by", "created_at", "delivered_at", "ended_at")
    list_filter = ("state",)
    list_select_related = ("server", "customer", "by")
    search_fields = ("server__name", "customer__organization")
    hidden = ("script", "envelope", "signature")

    @display(description="State", label=TONES, ordering="state")
    def life(self, work: Work) -> tuple[str, str]:
        return toned(Work.State(work.state))
