"""manage.py legacy_calls SLUG on|off: the calls of 2012 for one provider."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from console.lib.audit import SYSTEM
from console.management.commands._providers import named
from providers import legacy


class Command(BaseCommand):
    help = "Turn the 2012 calls (/scalex/acl/) on or off. On prints a new key, and as the last line its secret."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the provider's short name")
        parser.add_argument("turn", choices=["on", "off"])

    def handle(self, *args: Any, **options: Any) -> None:
        provider = named(options["slug"])
        if options["turn"] == "off":
            legacy.turn_off(provider, SYSTEM)
            self.stdout.write(f"The 2012 calls of {provider} are off.")
            return
        key, secret = legacy.turn_on(provider, SYSTEM)
        self.stdout.write(f"sxapikey of {provider}: {key}")
        self.stdout.write(f"sxsecretkey is the MD5 hex of the secret: {legacy.hashed(secret)}")
        self.stdout.write(secret)
