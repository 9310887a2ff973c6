"""What the staff pages (Django admin, dressed by Unfold) have in common: read-only where deeds decide, no secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from unfold import decorators
from unfold.admin import ModelAdmin, TabularInline

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import User

TONES = {"running": "success", "changing": "info", "attention": "warning", "failed": "danger", "stopped": "default"}
NEVER_SHOWN = frozenset(
    {"sealed", "pending_sealed", "previous_sealed", "digest", "password", "fence", "rung_at", "addresses"}
)
MOST_COUNTED = 10_000  # rows of a list: a log has millions, which nobody pages through
F = TypeVar("F", bound=Callable[..., Any])


def display(**options: Any) -> Callable[[F], F]:
    """Unfold's `display`, with types."""
    return cast(Callable[[F], F], decorators.display(**options))


def action(**options: Any) -> Callable[[F], F]:
    """Unfold's `action`, with types."""
    return cast(Callable[[F], F], decorators.action(**options))


def toned(choice: Any) -> tuple[str, str]:
    """A choice for a column with `label=TONES`: its tone gives the colour, its label the word."""
    return choice.tone, str(choice.label)


def who(request: HttpRequest) -> audit.Actor:
    """The member of staff who acts."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    return audit.Actor.staff(user)


class ShortPaginator(Paginator):  # type: ignore[type-arg]  # takes none at run time
    """Pages of the first rows of a log: to count all of them would take seconds."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:MOST_COUNTED].count())


class StaffAdmin(ModelAdmin):  # type: ignore[misc]  # Unfold is untyped
    """Rows that staff edit; every change is in the audit log."""

    list_filter_submit = False
    list_per_page = 50
    show_full_result_count = False
    show_facets = False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if isinstance(db_field, models.URLField):
            kwargs["assume_scheme"] = "https"
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        verb = f"{obj._meta.model_name}.{'changed' if change else 'added'}"
        audit.note(who(request), verb, target=obj, detail={"fields": sorted(form.changed_data)})

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.note(who(request), f"{obj._meta.model_name}.deleted", target=obj)
        super().delete_model(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing is deleted by the hundred."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def deed(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        title: str,
        sentence: str,
        do: Callable[[Any], str | HttpResponse],
        danger: bool = False,
        effects: Callable[[Any], Sequence[str]] = lambda _: (),
    ) -> HttpResponse:
        """A page that asks once (GET) and then calls the deed (POST), which says in words how it went, or answers
        itself. `effects` are sentences of what it would do, counted now.

        Unfold's own buttons act on GET, which a link on another site could press.
        """
        obj = self.subject(request, object_id, f"{self.opts.app_label}.change_{self.opts.model_name}")
        if request.method == "POST":
            return self._done(request, obj, do, lambda denied: messages.error(request, denied.words))
        return self._page(
            request, "admin/deed.html", obj, title=title, sentence=sentence, danger=danger, effects=effects(obj)
        )

    def form_deed(
        self,
        request: HttpRequest,
        object_id: str,
        *,
        title: str,
        sentence: str,
        form: Callable[[Any, Any], forms.Form],
        do: Callable[[Any, dict[str, Any]], str | HttpResponse],
        right: str = "",
        danger: bool = False,
    ) -> HttpResponse:
        """As `deed`, with a form: `form(obj, data)` makes it, `do(obj, cleaned)` takes what was typed. A Wrong stands
        at its fields. `right`: another permission than that to change the row."""
        obj = self.subject(request, object_id, right or f"{self.opts.app_label}.change_{self.opts.model_name}")
        asked = form(obj, request.POST if request.method == "POST" else None)
        if asked.is_bound and asked.is_valid():

            def wrong(denied: Denied) -> None:
                told = denied.fields if isinstance(denied, Wrong) else {}
                for name, words in told.items():
                    asked.add_error(name if name in asked.fields else None, list(words))
                if not told:
                    asked.add_error(None, denied.words)

            answer = self._done(request, obj, lambda row: do(row, asked.cleaned_data), wrong)
            if not asked.errors:
                return answer
        return self._page(
            request, "admin/form_deed.html", obj, title=title, sentence=sentence, danger=danger, form=asked
        )

    def tell(
        self, request: HttpRequest, obj: Any, title: str, sentence: str, told: Sequence[tuple[str, str]]
    ) -> HttpResponse:
        """A page that shows secrets, this once, each under its name."""
        response = self._page(request, "admin/told.html", obj, title=title, sentence=sentence, told=told)
        response["Cache-Control"] = "no-store"
        return response

    def subject(self, request: HttpRequest, object_id: str, right: str) -> Any:
        """The row. Http404 without one, PermissionDenied without the right."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        if not request.user.has_perm(right):
            raise PermissionDenied
        return obj

    def _done(
        self,
        request: HttpRequest,
        obj: Any,
        do: Callable[[Any], str | HttpResponse],
        refused: Callable[[Denied], None],
    ) -> HttpResponse:
        try:
            said = do(obj)
        except Denied as denied:
            refused(denied)
        else:
            if isinstance(said, HttpResponse):
                return said
            messages.success(request, said)
        return HttpResponseRedirect(self._back(obj))

    def _back(self, obj: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])

    def _page(self, request: HttpRequest, template: str, obj: Any, **shown: Any) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "subject": obj, "back": self._back(obj), "opts": self.opts}
        return TemplateResponse(request, template, context | shown)


class ReadOnly:
    """For rows that deeds write: staff look, and act through deeds. Secrets are not among the fields."""

    hidden: ClassVar[Sequence[str]] = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        named = getattr(self, "fields", None)
        if named:
            return list(named)
        names = (field.name for field in self.opts.concrete_fields)  # type: ignore[attr-defined]
        return [name for name in names if name not in NEVER_SHOWN and name not in self.hidden]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, StaffAdmin):
    """A list and pages to look at."""


class ReadOnlyInline(ReadOnly, TabularInline):  # type: ignore[misc]
    """Rows below their parent, to look at; the newest few."""

    extra = 0
    max_num = 0
    show_change_link = True
    per_page = 20
    tab = True
