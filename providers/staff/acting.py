"""Acting for a customer: begin it on the customer's page; the log of who did, and why."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from console.lib.pages import person
from console.lib.staff import TONES, ReadOnlyAdmin, StaffAdmin, action, display, who
from providers import acting
from providers.models import ActingFor, Customer


class ActingForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=UnfoldAdminTextareaWidget,
        help_text="The customer reads it in their activity, with your name. Name the ticket.",
    )
    minutes = forms.IntegerField(
        min_value=1,
        max_value=acting.LONGEST,
        initial=30,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="It ends by itself then; one hour at most.",
    )


class Acts(StaffAdmin):
    """What CustomerAdmin can besides."""

    @action(description="Act for it", icon="support_agent")
    def act_for(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(customer: Customer, given: dict[str, Any]) -> HttpResponse:
            row = acting.begin(customer, person(request), given["reason"], given["minutes"], who(request))
            request.session[acting.ACTING] = str(row.pk)
            return HttpResponseRedirect("/servers/")

        return self.form_deed(
            request,
            object_id,
            title="Act for it",
            sentence="You see this customer's pages and can do what its people can, but for how they sign in. "
            "Every entry in its activity carries your name and theirs.",
            form=lambda customer, data: ActingForm(data),
            do=do,
            right=acting.RIGHT,
        )


@admin.register(ActingFor)
class ActingForAdmin(ReadOnlyAdmin):
    list_display = ("customer", "staff", "state", "reason", "started_at", "ends_at", "ended_at")
    list_filter = (("staff", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("customer", "staff")
    search_fields = ("reason", "staff__email", "customer__organization", "customer__external_id")
    actions_detail = ("stop",)

    @display(description="State", label=TONES)
    def state(self, row: ActingFor) -> tuple[str, str]:
        live = row.ended_at is None and row.ends_at > timezone.now()
        return ("attention", "Goes on") if live else ("stopped", "Over")

    @action(description="Stop", icon="block")
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(row: ActingFor) -> str:
            acting.end(row, who(request))
            return f"{row.staff} does not act for {row.customer} any more."

        sentence = "From the next page on this member of staff is on their own pages again."
        return self.deed(request, object_id, title="Stop", sentence=sentence, do=do)
