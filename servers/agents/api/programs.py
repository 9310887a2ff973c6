"""The agent's program, by its hash: for updates and recipes. It holds no secret, so anybody may have it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from console.lib.api.errors import refuse
from servers.agents import releasing


@require_safe
def program(request: HttpRequest, sha256: str) -> HttpResponse:
    data = releasing.program(sha256)
    if data is None:
        return refuse(404, "not_found", "There is no such program. Ask for the current one.")
    reply = HttpResponse(data, content_type="application/octet-stream")
    reply["Cache-Control"] = "public, max-age=31536000, immutable"  # the name is the content's
    return reply
