"""Rows that belong to no app: people, and the audit log."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower, Now


class UserManager(BaseUserManager["User"]):
    """People are found by their e-mail address, whatever its case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class OnBehalf(NamedTuple):
    """For whom a member of staff acts, and why the customer was told they do."""

    name: str
    reason: str


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address. Belongs to customers by Membership."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail", max_length=254, unique=True)
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)  # IANA name; empty: the browser's
    is_staff = models.BooleanField("staff", default=False)
    is_active = models.BooleanField("active", default=True)
    date_joined = models.DateTimeField(db_default=Now(), editable=False)
    # The first password was set by a link that was told to a provider, for this customer: who knows it may be the
    # provider. Until the person sets another by their own mail, it opens that customer and nothing else.
    password_door = models.UUIDField(null=True, editable=False)

    acts_for: OnBehalf | None = None  # during one request of staff's (providers/acting.py)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_once",
                violation_error_message="Somebody already signs in with this e-mail address.",
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def has_own_password(self) -> bool:
        """A password that no provider can know: see `password_door`."""
        return self.has_usable_password() and self.password_door is None

    def get_full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email

    def get_short_name(self) -> str:
        return self.first_name or self.email


class AuditEntry(models.Model):
    """Who did what to what. Append-only (a database trigger holds it), with plain ids: it outlives what it names."""

    class Actor(models.TextChoices):
        PERSON = "person", "Person"
        PROVIDER = "provider", "Provider key"
        STAFF = "staff", "Staff"
        SYSTEM = "system", "Muster"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    actor_kind = models.CharField(max_length=10, choices=Actor.choices)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_name = models.CharField(max_length=254, blank=True)
    on_behalf_of = models.CharField(
        max_length=254, blank=True
    )  # when staff act for somebody, with the reason in detail
    provider_id = models.UUIDField(null=True)
    customer_id = models.UUIDField(null=True)
    verb = models.CharField(max_length=60)  # customer.created, account.credentials_pushed, install.started …
    target_kind = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=255, blank=True)
    detail = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["customer_id", "-id"], name="audit_of_customer"),
            models.Index(fields=["provider_id", "-id"], name="audit_of_provider"),
            models.Index(fields=["target_kind", "target_id", "-id"], name="audit_of_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.target_name}".strip()
