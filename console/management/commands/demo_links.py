"""Where a trial begins: fresh links for the demo's customer and for staff, and the page of its cloud host."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from console.demo import seed


class Command(BaseCommand):
    help = (
        "Print fresh single-use sign-in links of the demo's customer and of its staff, and where North Cloud's page is."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for who, url in seed.links_for_trial():
            self.stdout.write(f"{who:<24} {url}")
        self.stdout.write(f"{'North Cloud (host)':<24} {seed.site()['page']}")
