"""manage.py add_provider_member SLUG EMAIL: invites a person to a provider's own pages."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.lib.audit import SYSTEM
from console.lib.denials import Denied, Wrong
from console.management.commands._providers import in_words, named
from providers import members


class Command(BaseCommand):
    help = "Invite a person by mail to a provider's own pages; the first one as an administrator, who invites others."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the provider's short name")
        parser.add_argument("email", metavar="EMAIL", help="where the invitation goes")
        parser.add_argument("--role", choices=members.Role.values, default=members.Role.ADMIN.value)

    def handle(self, *args: Any, **options: Any) -> None:
        provider = named(options["slug"])
        try:
            member = members.add(provider, options["email"], options["role"], SYSTEM)
        except Wrong as wrong:
            raise CommandError(in_words(wrong)) from wrong
        except Denied as denied:
            raise CommandError(denied.words) from denied
        self.stdout.write(f"{member.user.email} is invited to the pages of {provider} as {member.get_role_display()}.")
