"""manage.py release_agent: offer this console's agent program to the agents that are out there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.lib.audit import SYSTEM
from console.lib.denials import Denied
from servers.agents import releasing


class Command(BaseCommand):
    help = (
        "Sign the agent program of this console and offer it to one agent in a hundred; the next rings open by "
        "themselves. Twice is harmless. Pause or withdraw it in the admin."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            release = releasing.publish(SYSTEM)
        except Denied as denied:
            raise CommandError(denied.words) from denied
        self.stdout.write(
            f"Version {release.version} ({release.sha256[:12]}) is {release.get_state_display().lower()}."
        )
