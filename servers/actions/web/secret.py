"""The first password of a new server, shown once to the person who ordered it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.lib.denials import Denied
from console.lib.faults import Fault
from console.lib.pages import person, signed_in
from servers.actions import passwords
from servers.actions.models import Action
from servers.actions.web.progress import rows_of


@signed_in
@never_cache
@require_POST
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """By POST alone, so that no address holds it and nothing fetches it unasked. Somebody else's is a 404."""
    rows = rows_of(request).filter(batch__by=person(request)).select_related("batch__by", "server", "account")
    row: Action = get_object_or_404(rows, pk=pk)
    back = reverse("actions:batch", args=[row.batch_id])
    try:
        password = passwords.reveal(row, by=person(request))
    except (Denied, Fault) as refused:
        messages.error(request, refused.words)
        return HttpResponseRedirect(back)
    context = {"section": "activity", "row": row, "password": password, "back": back}
    return render(request, "actions/password.html", context)
