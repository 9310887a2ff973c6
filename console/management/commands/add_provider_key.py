"""manage.py add_provider_key SLUG: a key of the provider API, printed once as the last line."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.lib.audit import SYSTEM
from console.lib.denials import Wrong
from console.management.commands._providers import in_words, named
from providers import keys


class Command(BaseCommand):
    help = "Issue a key of the provider API. It is printed this once, as the last line: only its hash is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the provider's short name")
        parser.add_argument("--sandbox", action="store_true", help="a key for trials: mst_test_…")
        parser.add_argument("--name", default="", help="what it is for, such as billing")
        parser.add_argument(
            "--scope", action="append", default=[], metavar="SCOPE", help=f"all when left out; {', '.join(keys.SCOPES)}"
        )
        parser.add_argument(
            "--allow-network",
            action="append",
            default=[],
            metavar="CIDR",
            help="may be used from there only; repeatable",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        provider = named(options["slug"])
        scopes = [scope for text in options["scope"] for scope in text.split(",") if scope]
        try:
            key, text = keys.issue(
                provider,
                actor=SYSTEM,
                name=options["name"][:80],
                sandbox=options["sandbox"],
                scopes=scopes,
                allowed_networks=options["allow_network"],
            )
        except Wrong as wrong:
            raise CommandError(in_words(wrong)) from wrong
        if provider.status != provider.Status.ENABLED:
            self.stderr.write(f"{provider} is not enabled: the key gets 403. Run manage.py add_provider to enable it.")
        if key.sandbox:
            self.stdout.write(
                "It acts on the provider's sandbox. GET /api/provider/v1/sandbox says what is there to try."
            )
            if not settings.SANDBOX:
                self.stderr.write("No simulated clouds run here: set SANDBOX=1 and start Muster again.")
        self.stdout.write(f"Key of {provider} for {', '.join(key.scopes) or 'everything'}:")
        self.stdout.write(text)
