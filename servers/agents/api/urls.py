"""The agent API, mounted at /agent/v1/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from servers.agents.api import claims, programs, views
from servers.agents.program import protocol


def below(whole: str) -> str:
    return whole.removeprefix("/agent/v1/")


urlpatterns: list[URLPattern | URLResolver] = [
    path(below(protocol.CLAIM_PATH), claims.claim),
    path(below(protocol.PROOF_PATH), claims.proof),
    path(below(protocol.ENROL_PATH), views.enrol),
    path(below(protocol.SESSION_PATH), views.session),
    path(below(protocol.RELEASE_PATH) + "<str:sha256>", programs.program),
]
