"""The page of docs/clouds.md, from the tables that the console asks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts.clouds import matrix


class Command(BaseCommand):
    help = "Print docs/clouds.md: what each generation of each cloud can do, and why not."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(matrix.markdown(), ending="")
