"""Two kinds of work, and what they did to the world outside their rows."""

from django.db import models

from console.lib.jobs.rows import Job


class Repeatable(Job):
    """Work that may be run again."""


class Once(Job):
    """Work that must not be started twice."""


class Effect(models.Model):
    """Something that work did, once for each time it did it."""

    job = models.UUIDField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.job)
