"""The Helper for a provider's images: its channel, and each form of it to be fetched."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from console.portal.provider.scope import Seat, page, show
from servers.agents.images import helper
from servers.agents.program import protocol


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """What there is to be fetched, and how it goes into an image."""
    return show(
        request, seat, "provider/images.html", "images", forms=helper.FORMS, channel=str(seat.provider.pk),
        version=protocol.VERSION,
    )  # fmt: skip


@page()
def fetch(request: HttpRequest, seat: Seat, form: str) -> HttpResponse:
    """One form of it, as a file. Nothing in it is secret, so viewers may have it too."""
    if form not in helper.FORMS:
        raise Http404("No such form.")
    made = helper.build_for(seat.provider, form)
    reply = HttpResponse(made.content, content_type=made.media_type)
    reply["Content-Disposition"] = f'attachment; filename="{made.name}"'
    return reply
