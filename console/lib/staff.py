"""What the staff pages (Django admin, dressed by Unfold) have in common: read-only where deeds decide, no secrets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold import decorators
from unfold.admin import ModelAdmin, TabularInline

from console.lib import audit
from console.lib.denials import Denied
from console.models import User

TONES = {"running": "success", "changing": "info", "attention": "warning", "failed": "danger", "stopped": "default"}
NEVER_SHOWN = frozenset(
    {"sealed", "pending_sealed", "previous_sealed", "digest", "password", "fence", "rung_at", "addresses"}
)
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
        do: Callable[[Any], str],
        danger: bool = False,
    ) -> HttpResponse:
        """A page that asks once (GET) and then calls the deed (POST), which says in words how it went.

        Unfold's own buttons act on GET, which a link on another site could press.
        """
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        if not request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"):
            raise PermissionDenied
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        if request.method == "POST":
            try:
                messages.success(request, do(obj))
            except Denied as denied:
                messages.error(request, denied.words)
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "sentence": sentence,
            "subject": obj,
            "back": back,
            "danger": danger,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/deed.html", context)


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
