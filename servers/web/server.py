"""One server: what its cloud and its agent say of it, what happened, and what can be done."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import SyncRun
from accounts.visit import visit
from console.lib.pages import person, signed_in
from console.models import AuditEntry
from console.templatetags.look import duration, figure, megabytes
from servers import watching
from servers.agents import checkin
from servers.agents.models import Agent, Claim
from servers.installs import install
from servers.models import Server
from servers.presence import Presence, word
from servers.web import buttons, charts, moments
from servers.web.moments import Moment
from servers.web.overview import reach_of
from servers.web.rows import Row, rows

HISTORY = 30


def server_of(request: HttpRequest, pk: UUID) -> Server:
    """A server within reach, gone ones too, with agent, account and presence; else a 404."""
    servers = reach_of(visit(request)).servers(gone=True).annotate(presence=word())
    joined = servers.select_related("agent", "customer", "account__customer", "account__endpoint__provider")
    found: Server = get_object_or_404(joined.defer("account__sealed", "account__pending_sealed"), pk=pk)
    return found


@signed_in
@require_safe
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page; hints fetch it again and take the part that changed."""
    server = server_of(request, pk)
    row = rows([server])[0]
    watching.note([server.pk] if server.gone_at is None else [])
    latest = server.installs.select_related("batch__by").order_by("-queued_at").first()
    context = {
        "section": "servers",
        "row": row,
        "server": server,
        "agent": row.agent,
        "facts": _facts(row),
        "agent_facts": _agent_facts(row),
        "ranges": charts.ranges(request.GET.get("range", "")),
        "disks": _disks(row.agent),
        "memory_figures": _memory(row.agent),
        "claims": Claim.objects.filter(server=server, state=Claim.State.PENDING)[:5],
        "install_href": f"{reverse('installs:new')}?ids={pk}",
        "latest": latest,
        "failed": latest if latest and latest.state == "failed" and row.presence == Presence.MISSING else None,
        "no_install": cannot_install(server),
        **buttons.of_server(server, _removal(row)),
        "moments": _history(server),
    }
    return render(request, "servers/server.html", context)


def _removal(row: Row) -> dict[str, Any]:
    reason = "" if row.agent else "There is no agent on it."
    href = reverse("servers:remove-agent", args=[row.server.pk])
    return {"label": "Remove agent", "icon": "unlink", "href": href, "reason": reason}


def cannot_install(server: Server) -> str:
    """Why the agent cannot be installed at the moment, as a sentence; empty when it can."""
    if server.gone_at is not None:
        return "This server is gone."
    if server.customer.status != "active":
        return "This workspace is suspended: nothing can be installed."
    cause, fix = install.refusals([server]).get(server.pk, ("", ""))
    return f"{cause} {fix}".strip()


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def remove_agent(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET asks, POST removes: the agent uninstalls itself when it reports next."""
    server = server_of(request, pk)
    agent = Agent.objects.live().filter(server=server).first()
    back = reverse("servers:server", args=[pk])
    if agent is None:
        messages.warning(request, "There is no agent on this server any more.")
        return HttpResponseRedirect(back)
    if request.method == "POST":
        checkin.remove(agent, person(request))
        messages.success(request, "The agent is being removed: it uninstalls itself when it reports next.")
        return HttpResponseRedirect(back)
    row = rows([server])[0]
    context = {
        "section": "servers",
        "heading": "Remove the agent",
        "sentence": "It uninstalls itself when it reports next. The server goes on as before; load, memory and disk "
                    "are no longer shown.",
        "targets": [{"name": server.name, "detail": server.address, "tone": row.presence.tone,
                     "label": row.presence.label}],
        "action_label": "Remove agent",
        "danger": True,
        "back": back,
    }  # fmt: skip
    return render(request, "confirm.html", context)


def _facts(row: Row) -> list[tuple[str, Any]]:
    """What the cloud tells, without what it does not."""
    server = row.server
    shape = [
        f"{server.cpus} CPU{'s' * (server.cpus > 1)}" if server.cpus else "",
        megabytes(server.memory_mb),
        f"{server.disk_gb} GB disk" if server.disk_gb else "",
    ]
    told = [
        ("Size", server.size),
        ("Shape", ", ".join(filter(None, shape))),
        ("Image", server.image),
        ("Region", server.region),
        ("SSH key", server.key_name),
        ("Cloud's state", server.raw_state),
        ("Cloud's id", server.external_id),
    ]
    return [(name, value) for name, value in told if value]


def _agent_facts(row: Row) -> list[tuple[str, Any]]:
    """What the agent tells of its host; any of it may be absent."""
    agent = row.agent
    if agent is None:
        return []
    facts = agent.facts
    system = facts.get("os") or {}
    uptime = (agent.metrics or {}).get("uptime_seconds")
    memory = facts.get("memory_bytes")
    told = [
        ("System", _system(system.get("name") or "", system.get("version") or "")),
        ("Kernel", facts.get("kernel")),
        ("Host name", facts.get("hostname")),
        (
            "Processors",
            f"{facts['cpus']} × {facts.get('arch') or 'unknown'}" if facts.get("cpus") else facts.get("arch"),
        ),
        ("Memory", megabytes(memory / 2**20) if memory else None),
        ("Up for", duration(uptime) if uptime else None),
        ("Packages", figure(facts["packages"]) if facts.get("packages") else None),
        ("Reboot", "Needed, for what was installed" if facts.get("reboot_needed") else None),
        ("Python", facts.get("python")),
        ("Agent", agent.version),
    ]
    return [(name, value) for name, value in told if value]


def _system(name: str, version: str) -> str:
    """Most pretty names carry the version already: "Debian GNU/Linux 12 (bookworm)"."""
    return name if version in name else f"{name} {version}".strip()


def _memory(agent: Agent | None) -> str:
    if agent is None or agent.memory_used is None or not agent.memory_total:
        return ""
    return f"{megabytes(agent.memory_used / 2**20)} of {megabytes(agent.memory_total / 2**20)}"


def _disks(agent: Agent | None) -> list[dict[str, Any]]:
    """Every disk of the last sample: mount, percent, figures."""
    told = []
    for disk in (agent.metrics.get("disks") or []) if agent else []:
        used, total = disk.get("used_bytes"), disk.get("total_bytes")
        if used is None or not total:
            continue
        figures = f"{megabytes(used / 2**20)} of {megabytes(total / 2**20)}"
        told.append({"mount": disk.get("mount") or "?", "percent": min(100.0, 100 * used / total), "figures": figures})
    return told


def _history(server: Server) -> list[Moment]:
    """One time line of deeds, installs, agent and syncs, newest first."""
    entries = AuditEntry.objects.filter(target_kind="server", target_id=str(server.pk), customer_id=server.customer_id)
    entries = entries.exclude(verb__in=["install.done", "install.failed", "install.expired", "install.interrupted"])
    told = [moments.of_audit(entry) for entry in entries.order_by("-id")[:HISTORY]]  # installs tell more themselves
    told += [
        moments.of_install(row) for row in server.installs.select_related("batch__by").order_by("-queued_at")[:HISTORY]
    ]
    runs = SyncRun.objects.filter(account=server.account_id).select_related("account").order_by("-queued_at")
    told += [moments.of_sync(run) for run in runs[:3]]
    if (agent := Agent.objects.live().filter(server=server).first()) and agent.first_seen_at:
        told.append(Moment(agent.first_seen_at, "running", "First heartbeat of the agent"))
    told.append(Moment(server.first_seen_at, "stopped", f"First listed by {server.account}"))
    if server.changed_at > server.first_seen_at:
        told.append(Moment(server.changed_at, "stopped", "Its cloud told something new of it"))
    if server.missing_since:
        told.append(Moment(server.missing_since, "attention", f"No longer listed by {server.account}"))
    if server.gone_at:
        told.append(Moment(server.gone_at, "failed", f"Gone: {server.account} says that it does not exist any more"))
    if server.cloud_created_at:
        told.append(Moment(server.cloud_created_at, "stopped", "Created in the cloud"))
    return list(islice(moments.in_order(told), HISTORY))
