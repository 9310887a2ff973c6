"""The workers of both kinds. They take long enough to be killed in the middle."""

from __future__ import annotations

import random
import time

from django.db import transaction

from console.lib.jobs.kinds import answers
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from tests.jobapp.models import Effect, Once, Repeatable

LEASE = 3.0  # seconds


def toil() -> None:
    """The work itself: it takes time, and nothing else."""
    time.sleep(random.uniform(0.02, 0.25))


@answers("jobapp.repeatable", Repeatable, seconds=LEASE, attempts=20, lost="again")
def repeatable(row: Repeatable, lease: Lease) -> None:
    """What it does to the world stands or falls with the row's end."""
    toil()
    with transaction.atomic():
        lease.hold()
        Effect.objects.create(job=row.pk)
        lease.end(JobState.DONE, f"Done at attempt {row.attempts}.")


@answers("jobapp.once", Once, seconds=LEASE, lost="interrupt")
def once(row: Once, lease: Lease) -> str:
    """What it does to the world cannot be taken back."""
    Effect.objects.create(job=row.pk)
    toil()
    return "Done."
