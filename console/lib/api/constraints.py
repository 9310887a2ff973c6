"""A broken database constraint, in the sentence that its model carries (DESIGN.md, rule 9)."""

from __future__ import annotations

from functools import lru_cache

from django.apps import apps
from django.db import IntegrityError


def words_of(fault: IntegrityError) -> str:
    """The `violation_error_message` of the constraint that `fault` names; empty when no model words it."""
    diagnosis = getattr(fault.__cause__, "diag", None)
    return _sentences().get(str(getattr(diagnosis, "constraint_name", "")), "")


@lru_cache(maxsize=1)
def _sentences() -> dict[str, str]:
    return {
        constraint.name: str(constraint.violation_error_message)
        for model in apps.get_models()
        for constraint in model._meta.constraints
        if constraint.violation_error_message != constraint.default_violation_error_message
    }
