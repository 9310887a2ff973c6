"""Staff pages of people and of the audit log."""

from __future__ import annotations

from typing import Any

from allauth.account import admin as addresses
from allauth.mfa import admin as factors
from allauth.socialaccount import admin as identities
from allauth.usersessions import admin as sessions
from django.contrib import admin
from django.contrib.auth import admin as groups
from django.contrib.auth.models import Group
from django.http import HttpRequest

from console.lib.staff import ReadOnlyAdmin, StaffAdmin
from console.models import AuditEntry, User

# allauth shows second factors with their data, and sessions with their keys: not for staff's eyes; its table of
# identity servers is not used (providers.IdentityServer is). Its admin modules are imported above, so that they
# register before this takes them away.
for module in (addresses, factors, identities, sessions, groups):
    for model, site in list(admin.site._registry.items()):
        if type(site).__module__ == module.__name__:
            admin.site.unregister(model)


@admin.register(Group)
class GroupAdmin(StaffAdmin):
    search_fields = ("name",)
    filter_horizontal = ("permissions",)


@admin.register(User)
class UserAdmin(StaffAdmin):
    """People. Passwords are theirs: nobody sets or sees one here (manage.py sign_in_link lets a person in)."""

    list_display = ("email", "first_name", "last_name", "is_staff", "is_active", "last_login", "date_joined")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    fields = (
        "email",
        "first_name",
        "last_name",
        "time_zone",
        "is_active",
        "is_staff",
        "is_superuser",
        "groups",
        "last_login",
        "date_joined",
    )
    filter_horizontal = ("groups",)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Who may make staff is decided by superusers only."""
        always = ("last_login", "date_joined")
        return always if request.user.is_superuser else (*always, "is_staff", "is_superuser", "groups")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """The address of a superuser is that superuser's way in."""
        beyond = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not beyond and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Turned off by `active`: what they did stays theirs."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.email = obj.email.lower()
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "verb", "actor_name", "actor_kind", "target_name", "target_kind", "request_id")
    list_filter = ("actor_kind", "verb")
    search_fields = ("verb", "actor_name", "target_name", "target_id", "request_id")
    ordering = ("-id",)
