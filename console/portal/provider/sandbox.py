"""The provider's sandbox: the way to it, its kept mails, and starting afresh."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.portal.provider.scope import Seat, confirm, page, show
from providers import kept, sandbox
from providers.models import Customer, Event, Mail, Provider


@page("GET HEAD POST", only="live")
def enter(request: HttpRequest, seat: Seat) -> HttpResponse:
    """To the sandbox's pages. One that nobody wanted yet is offered; POST makes it."""
    if not seat.switches:
        raise Http404("No sandbox runs here.")
    home = Provider.objects.filter(sandbox_of=seat.owner).first()
    if home is None and request.method != "POST":
        return show(request, seat, "provider/sandbox_none.html", "")
    home = home or sandbox.twin(seat.owner)
    return HttpResponseRedirect(reverse("provider:overview", args=[home.slug]))


@page(admin=True, only="sandbox")
def mails(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The last mails with the links that they hold, which open a customer: so not for viewers."""
    return show(request, seat, "provider/sandbox_mails.html", "mail", letters=kept.letters(seat.provider))


@page("GET HEAD POST", admin=True, only="sandbox")
def reset(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET asks, POST empties it."""
    back = reverse("provider:overview", args=[seat.slug])
    if request.method == "POST":
        gone = sandbox.reset(seat.provider, seat.actor)
        told = ", ".join(f"{number:,} {what}" for what, number in gone.items() if number)
        messages.success(request, f"The sandbox is empty: {told} went." if told else "The sandbox was empty already.")
        return HttpResponseRedirect(back)
    rows = {
        "Customers with all that is theirs": Customer.objects.filter(provider=seat.provider),
        "Mails": Mail.objects.filter(customer__provider=seat.provider) | Mail.objects.filter(provider=seat.provider),
        "Events with their deliveries": Event.objects.filter(provider=seat.provider),
    }
    return confirm(
        request, seat, "overview", heading="Reset the sandbox", action_label="Reset sandbox", danger=True, back=back,
        sentence="It starts afresh. Its webhooks, mail wording, brand and API log stay, and no webhook is told. "
                 "Nothing live is touched.",
        targets=[{"name": what, "detail": f"{found.count():,}"} for what, found in rows.items()],
    )  # fmt: skip
