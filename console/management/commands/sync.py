"""manage.py sync ACCOUNT_ID: read one cloud account now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import CloudAccount
from console.lib.denials import Denied
from console.lib.jobs.rows import JobState
from servers import sync


class Command(BaseCommand):
    help = "Sync one cloud account now, and print counts and seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account_id", metavar="ACCOUNT_ID", help="its UUID, or the provider's id of it if unique")
        parser.add_argument(
            "--accept-missing",
            action="store_true",
            help="mark servers as missing even when many vanished at once (use it when they were really deleted)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        account = self._find(options["account_id"])
        try:
            run = sync.now(account, accept_missing=options["accept_missing"])
        except Denied as denied:
            raise CommandError(denied.words) from denied
        if run.state != JobState.DONE:
            raise CommandError(f"{run.get_state_display()}: {run.outcome}")
        self.stdout.write(
            f"{account}: seen {run.seen}, added {run.added}, changed {run.changed}, missing {run.missing}; "
            f"{run.calls} calls, {run.seconds:.2f} seconds"
        )

    def _find(self, text: str) -> CloudAccount:
        present = CloudAccount.objects.present()
        try:
            found: list[CloudAccount] = list(present.filter(pk=UUID(text)))
        except ValueError:
            found = list(present.filter(external_id=text)[:2])
        if len(found) != 1:
            why = "More than one account has" if found else "No account has"
            raise CommandError(f"{why} the id {text}. Give its UUID, as the admin shows it.")
        return found[0]
