"""The sandbox's simulated clouds, in the foreground; a child of `manage.py up` where SANDBOX=1."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from console.demo.sandbox import CannotServe, Sandbox
from providers import sandbox, simulated


class Command(BaseCommand):
    help = "Run the simulated clouds that sandbox keys (mst_test_…) act on, until SIGTERM or Ctrl-C."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SANDBOX:
            raise CommandError("This console has no sandbox. Set SANDBOX=1 for all its processes.")
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        clouds = Sandbox(simulated.site_file(), settings.SANDBOX_PORT)
        try:
            found = clouds.start()
        except CannotServe as fault:
            raise CommandError(str(fault)) from fault
        count = sandbox.furnish_all()
        connection.close()  # it has no more to ask
        self.stdout.write(f"{', '.join(one['url'] for one in found.values())}; sandboxes: {count}")
        self.stdout.flush()
        ending.wait()
        clouds.stop()
