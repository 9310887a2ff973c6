"""What lists of accounts can be narrowed by."""

from __future__ import annotations

from django_filters import FilterSet

from accounts.models import CloudAccount
from console.lib.api.filters import choice


class AccountFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    status = choice(CloudAccount.Status.choices, help_text="Only those in this state.")

    class Meta:
        model = CloudAccount
        fields = ()
