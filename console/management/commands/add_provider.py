"""manage.py add_provider SLUG --name NAME: a provider, enabled."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_slug

from console.lib.audit import SYSTEM
from providers import enabling
from providers.models import Provider


class Command(BaseCommand):
    help = "Make a provider and enable it. Twice is harmless; another --name renames it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="its short name, such as north-cloud")
        parser.add_argument("--name", required=True, help="as people know it")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, name = options["slug"], options["name"].strip()
        try:
            validate_slug(slug)
        except ValidationError as fault:
            raise CommandError(f"{slug} is no short name. Use letters, digits, hyphens and underscores.") from fault
        if not name or len(name) > 120 or len(slug) > 60:
            raise CommandError("Give a name of 1 to 120 characters, and a short name of 60 at most.")
        provider, made = Provider.objects.get_or_create(slug=slug, defaults={"name": name})
        if provider.name != name:
            Provider.objects.filter(pk=provider.pk).update(name=name)
        enabling.enable(provider, SYSTEM)
        self.stdout.write(f"{name} ({slug}) {'is made' if made else 'was there'} and enabled.")
