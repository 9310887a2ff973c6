"""First start in demo mode: a provider, its simulated cloud, a customer whose servers stand in the list."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.demo import seed


class Command(BaseCommand):
    help = "Seed the demo: North Cloud with a simulated OpenStack, one customer, one account. Twice is harmless."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seed.plant()
        except seed.NoSite as fault:
            raise CommandError(str(fault)) from fault
