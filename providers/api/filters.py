"""What lists of the provider API can be narrowed by."""

from __future__ import annotations

from django_filters import CharFilter, FilterSet

from console.lib.api.filters import choice
from providers.models import Customer


class CustomerFilters(FilterSet):  # type: ignore[misc]  # django-filter has no types
    status = choice(Customer.Status.choices, help_text="Only those in this state.")
    email = CharFilter(lookup_expr="iexact", help_text="Only those with this contact address.")
    organization = CharFilter(lookup_expr="icontains", help_text="Only those whose organization has this in it.")

    class Meta:
        model = Customer
        fields = ()
