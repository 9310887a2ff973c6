"""Links with which a trial begins: one for the demo's customer, one for staff. Fresh ones at every start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from console.demo import seed


class Command(BaseCommand):
    help = "Print fresh single-use sign-in links of the demo's customer and of its staff."

    def handle(self, *args: Any, **options: Any) -> None:
        for who, url in seed.links_for_trial():
            self.stdout.write(f"{who:<24} {url}")
