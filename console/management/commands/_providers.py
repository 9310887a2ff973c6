"""What the commands about providers share."""

from __future__ import annotations

from django.core.management.base import CommandError

from console.lib.denials import Wrong
from providers.models import Provider


def named(slug: str) -> Provider:
    """The provider of that short name; a CommandError that says which there are."""
    found = Provider.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Provider.objects.values_list("slug", flat=True).order_by("slug")[:20])
        there = f"There are: {known}." if known else "There are none yet."
        raise CommandError(f"No provider is called {slug}. {there} Make one: manage.py add_provider {slug} --name NAME")
    return found


def in_words(wrong: Wrong) -> str:
    """What is wrong, one line a field."""
    return "\n".join(f"{field}: {' '.join(said)}" for field, said in wrong.fields.items())
