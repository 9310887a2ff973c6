"""The job core: the row is the work, Celery is the doorbell (DESIGN.md, rule 5).

A deed writes a row (a subclass of `Job`) and calls `ring`. A worker `claim`s it by a conditional update, holds it by a
`Lease` whose fence number guards every write, and a `Keeper` renews the lease. `sweep` re-rings what nobody answered
and settles what a dead worker left. Rows live in `jobs.rows` (import from there in models: no app needed).
"""

from console.lib.jobs.bell import ring

__all__ = ["ring"]
