"""Schemathesis over the whole OpenAPI document: single calls and chains of them, some wrong on purpose.

No answer is a 5xx or one that the document does not describe: status, type and shape.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as pace
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from accounts import imports
from accounts import tasks as tasks  # it registers the kind
from accounts.models import Import
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from tests.openapi.stage import Stage

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
CALMLY: dict[str, Any] = {
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
STEPS = 30
# No random id is that of a server; and of two that want an install in one state, whoever cancels it comes first.
UNLIKELY = {
    "POST /api/v1/installs", "POST /api/v1/installs/{id}/confirm-keys", "POST /api/v1/installs/{id}/go-on",
}  # fmt: skip


class Caller:
    """Sends generated cases and holds the answers against the document; counts them."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.statuses = stage, Counter[tuple[str, int]]()

    def __call__(self, case: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.stage.secret(case.path)}"}
        reply = case.call(base_url="http://testserver", headers=headers)
        self.statuses[case.operation.label, reply.status_code] += 1
        if reply.status_code == 202 and case.path.endswith("/imports"):
            work_imports()  # of those that wait a provider has three at most
        return reply

    def checked(self, case: Any) -> None:
        hold(self(case), case)

    @property
    def calls(self) -> int:
        return self.statuses.total()

    @property
    def answered(self) -> set[str]:
        """The operations that did what was asked at least once."""
        return {label for label, status in self.statuses if status < 300}


@pytest.fixture
def caller(transactional_db: None, staged: Stage) -> Caller:
    return Caller(staged)


@pytest.fixture(scope="session")
def described(document: dict[str, Any]) -> Any:
    """The document as Schemathesis reads it, and the application to call."""
    keyless = schemathesis.Config.from_dict({"generation": {"with-security-parameters": False}})  # Caller has the keys
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document)), config=keyless)
    schema.app = WSGIHandler()
    return schema


@pytest.mark.timeout(2400)
def test_no_call_whatever_gets_an_answer_that_the_document_does_not_describe(
    caller: Caller, described: Any, ids: dict[str, dict[str, str]], full_or: Callable[[Any, Any], Any]
) -> None:
    wanted = full_or(10_000, 400)
    operations = sorted((found.ok() for found in described.get_all_operations()), key=ends)
    faults = [fault for one in operations for fault in single(caller, one, ids, wanted // 2 // len(operations) + 1)]
    faults += chains(caller, described, wanted)
    assert not faults, "\n\n".join(faults)
    assert caller.calls >= wanted
    never = {one.label for one in operations} - caller.answered
    unlikely = UNLIKELY if wanted == 10_000 else never
    assert never <= unlikely and len(never) < len(operations) / 3, sorted(never - unlikely)


def ends(operation: Any) -> bool:
    """Whether it takes something away: those are called last."""
    return operation.method == "delete" or operation.path.endswith("/reset")


def hold(response: Any, case: Any) -> None:
    """The answer is one of the document's. What is wrong on purpose is refused, unless it is a value in a body: numbers
    are taken for texts and texts for numbers there, as CSV has them."""
    wrong = case.meta.components.get(ParameterLocation.BODY)
    coerced = wrong is not None and wrong.mode.is_negative
    case.validate_response(response, checks=CHECKS if coerced else [*CHECKS, checks.negative_data_rejection])


def single(caller: Caller, operation: Any, ids: dict[str, dict[str, str]], most: int) -> list[str]:
    """This many calls of one operation: with the ids of its example, with random ones, and wrong on purpose."""
    named = ids[operation.definition.raw["operationId"]]
    cases = st.one_of(
        operation.as_strategy(GenerationMode.POSITIVE, path_parameters=named),
        operation.as_strategy(GenerationMode.NEGATIVE),
        operation.as_strategy(GenerationMode.POSITIVE),
    )

    @seed(4)
    @pace(max_examples=most, **CALMLY)
    @given(case=cases)
    def call(case: Any) -> None:
        caller.checked(case)

    try:
        call()
    except (BaseExceptionGroup, AssertionError) as fault:
        return [f"=== {operation.label}\n{fault}"]
    return []


def chains(caller: Caller, described: Any, wanted: int) -> list[str]:
    """Calls that follow the document's links, until there were as many as wanted."""

    class Chain(described.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Any, **_: Any) -> Any:
            return caller(case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            try:
                hold(response, case)
            except (BaseExceptionGroup, AssertionError) as fault:
                faults.append(f"=== {case.operation.label}\n{fault}")

    faults: list[str] = []
    for number in itertools.count():
        if caller.calls >= wanted or faults:
            return faults
        seed(number)(Chain)
        with suppress(FlakyStrategyDefinition):  # the rows of one chain are there in the next, which Hypothesis minds
            Chain.run(settings=pace(max_examples=20, stateful_step_count=STEPS, **CALMLY))
    return faults


def work_imports() -> None:
    """As a worker does."""
    for row, lease in leases.claim(Import.objects.all(), 60, take_abandoned=True):
        work(KINDS[imports.TASK], imports.perform, row, lease)
