"""What a machine without an agent fetches: the script, and the agent itself. Both are the same for everybody."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from servers.agents.program import build
from servers.installs import script


@lru_cache(maxsize=1)
def _packed(path: Path) -> bytes:
    """A few hundred KB, of which each process keeps one: its file is named by what is in it."""
    return path.read_bytes()


@require_safe
def install_script(request: HttpRequest) -> HttpResponse:
    """A shell script with this console's address and the agent's checksum in it, and nothing secret."""
    answer = HttpResponse(script.text(), content_type="text/x-shellscript; charset=utf-8")
    answer["Cache-Control"] = "no-cache"  # the checksum has to be that of the agent which is given out now
    return answer


@require_safe
def agent(request: HttpRequest) -> HttpResponse:
    """The agent as one file. Its ETag is its SHA-256."""
    made = build.artifact()
    answer = HttpResponse(_packed(made.path), content_type="application/octet-stream")
    answer["Content-Disposition"] = 'attachment; filename="muster-agent.pyz"'
    answer["ETag"] = f'"{made.sha256}"'
    answer["Cache-Control"] = "no-cache"
    return answer
