"""Everything in one process tree: what `make run` starts."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.management.base import BaseCommand

from console.lib import homelock
from console.lib.embedded import EngineFailed
from console.lib.tree import Broken, Tree
from console.management.outside import Refused
from console.management.start import Start


class Command(BaseCommand):
    help = "Run PostgreSQL and Valkey (unless DATABASE_URL and REDIS_URL are set), web, workers, beat and the demo."
    requires_system_checks: list[str] = []  # those that need no database run below

    def handle(self, *args: Any, **options: Any) -> None:
        self._settings_are_sound()
        tree = Tree(self.tell)
        home = settings.MUSTER_HOME
        home.mkdir(parents=True, exist_ok=True, mode=0o711)
        try:
            with homelock.held(home, f"{settings.PUBLIC_URL}, stop it with SIGTERM"), tree.signals():
                try:
                    if Start(tree, self.tell).all():
                        tree.steady = True
                        self.tell(f"ready http://127.0.0.1:{settings.PORT}")
                    while not tree.asked:
                        tree.tend(1.0)
                    self.tell("stopping")
                finally:
                    tree.stop()
        except (Broken, EngineFailed, Refused, homelock.Taken, OSError) as fault:
            self.stderr.write(f"Muster cannot start: {fault}")
            sys.exit(1)

    def tell(self, words: str) -> None:
        """A sentence on the terminal; nobody may be listening any more."""
        try:
            self.stdout.write(words)
            self.stdout.flush()
        except OSError:
            return

    def _settings_are_sound(self) -> None:
        found = checks.run_checks(tags=["muster"])
        for message in found:
            self.stderr.write(f"{message.msg}\n  {message.hint}" if message.hint else message.msg)
        if any(message.is_serious() for message in found):
            self.stderr.write("Muster cannot start with these settings.")
            sys.exit(78)  # EX_CONFIG, as console/lib/env.py
