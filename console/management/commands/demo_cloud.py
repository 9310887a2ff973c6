"""The demo's simulated clouds, in the foreground; a child of `manage.py up` in demo mode."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from console.demo import seed
from console.demo.running import CannotStart, Demo
from providers.models import Provider
from servers.agents.images import helper


def packed() -> bytes:
    """North Cloud's agent for its images."""
    try:
        return helper.build_for(Provider.objects.get(slug=seed.NORTH.slug), "tar").content
    finally:
        connection.close()  # of the thread in which an instance boots


class Command(BaseCommand):
    help = "Run the demo's simulated clouds and their SSH-accepting instances until SIGTERM or Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--home", type=Path, default=Path(settings.MUSTER_HOME), help="Where its state stands.")
        parser.add_argument("--port", type=int, default=0, help="Keystone's port; the one of last time, or a free one.")

    def handle(self, *args: Any, **options: Any) -> None:
        ending = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ending.set())
        try:
            demo = Demo(
                options["home"], options["port"], alone=True, whole=True, pack=packed, console=settings.PUBLIC_URL
            )
            found = demo.start()
        except CannotStart as fault:
            raise CommandError(str(fault)) from fault
        self.stdout.write(f"demo cloud {found['url']}, state in {demo.folder}")
        self.stdout.flush()
        ending.wait()
        demo.stop()
