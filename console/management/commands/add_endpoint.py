"""manage.py add_endpoint PROVIDER SLUG PLATFORM URL: a cloud that the provider's customers may have accounts at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.lib.audit import SYSTEM
from console.lib.denials import Wrong
from console.management.commands._providers import in_words, named
from providers import endpoints
from providers.platforms import PLATFORMS


class Command(BaseCommand):
    help = "Register a provider's cloud endpoint, or bring it up to date. Twice is harmless."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Here `--version` is the cloud's, not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("provider", metavar="PROVIDER", help="the provider's short name")
        parser.add_argument("slug", metavar="SLUG", help="the endpoint's short name: what the API calls `endpoint`")
        parser.add_argument("platform", metavar="PLATFORM", help=", ".join(PLATFORMS))
        parser.add_argument("url", metavar="URL", help="such as https://cloud.example:5000/v3")
        parser.add_argument("--name", default="", help="as people know it")
        parser.add_argument("--version", dest="api_version", default="", metavar="V", help="negotiated when left out")
        parser.add_argument("--region", default="", metavar="R")
        parser.add_argument("--ca", default="", metavar="FILE", help="PEM file of the certificates that sign it")
        parser.add_argument(
            "--allow-network", action="append", default=[], metavar="CIDR", help="a private network it may stand in"
        )
        parser.add_argument("--old-tls", action="store_true", help="TLS 1.0 and 1.1 too: it speaks nothing newer")
        parser.add_argument("--allow-http", action="store_true", help="plain HTTP: credentials can be overheard")

    def handle(self, *args: Any, **options: Any) -> None:
        provider = named(options["provider"])
        try:
            endpoint, made = endpoints.register(
                provider,
                options["slug"],
                platform=options["platform"],
                url=options["url"],
                actor=SYSTEM,
                name=options["name"],
                version=options["api_version"],
                region=options["region"],
                ca=_pem(options["ca"]),
                networks=options["allow_network"],
                allow_http=options["allow_http"],
                old_tls=options["old_tls"],
            )
        except Wrong as wrong:
            hint = "\nAdd --allow-http when nobody can listen on the way there." if _plain(options, wrong) else ""
            raise CommandError(in_words(wrong) + hint) from wrong
        self.stdout.write(f"{endpoint} of {provider} {'is registered' if made else 'was there, and is up to date'}.")


def _plain(options: dict[str, Any], wrong: Wrong) -> bool:
    return "url" in wrong.fields and options["url"].startswith("http://") and not options["allow_http"]


def _pem(path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as fault:
        raise CommandError(f"--ca {path}: {getattr(fault, 'strerror', None) or 'it is not text'}.") from fault
