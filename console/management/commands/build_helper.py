"""manage.py build_helper PROVIDER [--form deb] [--out FOLDER]: the agent for a provider's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from providers.models import Provider
from servers.agents.images import helper


class Command(BaseCommand):
    help = (
        "Write the Helper for a provider's images: every form of it, or the one that is named. Nothing in it is secret."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", metavar="PROVIDER", help="its short name, such as north-cloud")
        parser.add_argument("--form", choices=sorted(helper.FORMS), help="one form only")
        parser.add_argument("--out", default=".", metavar="FOLDER", help="where to write (here)")

    def handle(self, *args: Any, **options: Any) -> None:
        provider = Provider.objects.filter(slug=options["provider"]).first()
        if provider is None:
            raise CommandError(f"There is no provider {options['provider']}. See manage.py add_provider.")
        folder = Path(options["out"])
        for form in [options["form"]] if options["form"] else helper.FORMS:
            made = helper.build_for(provider, form)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / made.name).write_bytes(made.content)
            except OSError as fault:
                raise CommandError(f"{folder / made.name} cannot be written: {fault.strerror}.") from fault
            self.stdout.write(str(folder / made.name))
