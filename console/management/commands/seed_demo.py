"""First start in demo mode: two providers, their simulated clouds, a customer whose servers stand in one list."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.demo import seed


class Command(BaseCommand):
    help = "Seed the demo: two providers, a cloud of every kind, one person with accounts at all. Twice is harmless."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seed.plant()
        except seed.NoSite as fault:
            raise CommandError(str(fault)) from fault
