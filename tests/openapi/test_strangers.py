"""Every operation that takes an id, called with another provider's (or customer's) and with one that nobody has: the
same 404, after as many queries. Whether an id exists elsewhere is never learned, from the words or from the work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.lib import audit
from providers import keys, sandbox, tokens
from tests.factories import CustomerFactory, EndpointFactory, MembershipFactory, ProviderFactory, UserFactory
from tests.openapi.stage import PROVIDERS, SANDBOX, Stage

OWN = "c-south"  # what South calls its own customer
# Ids that stand in no path: operationId → where in the body.
IN_BODY = {"my_servers_create": "account_id", "my_installs_create": "servers"}


@dataclass
class Case:
    """One operation, and the same call with ids of others and with ids of nobody."""

    operation: dict[str, Any]
    method: str
    foreign: tuple[str, Any]  # address and body
    unknown: tuple[str, Any]
    makes: bool = False  # a row of that id for whoever asks: it knows no unknown id

    @property
    def name(self) -> str:
        return f"{self.operation['operationId']} at {self.foreign[0]}"


def example(operation: dict[str, Any]) -> Any:
    """The body of its first example; None for an operation without a body."""
    if "requestBody" not in operation:
        return None
    return next(iter(operation["requestBody"]["content"]["application/json"]["examples"].values()))["value"]


def nobody(text: str) -> str:
    """An id of the same kind that nobody has."""
    return str(uuid4()) if text.count("-") == 4 else f"{text}-of-nobody"


def cases(document: dict[str, Any]) -> Iterator[Case]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = example(operation)
            ids = {one["name"]: one["example"] for one in ids_of(operation)}
            unknown = {name: nobody(text) for name, text in ids.items()}
            if ids:
                made = operation["operationId"] == "customers_put"
                yield Case(operation, method, (path.format(**ids), body), (path.format(**unknown), body), made)
            if len(ids) > 1:  # below a customer of one's own
                own = {"external_id": OWN}
                addresses = (path.format(**ids | own), body), (path.format(**unknown | own), body)
                yield Case(operation, method, *addresses, makes=operation["operationId"] == "accounts_put")
            if field := IN_BODY.get(operation["operationId"]):
                given = body[field]
                other = nobody(given) if isinstance(given, str) else [nobody(one) for one in given]
                yield Case(operation, method, (path, body), (path, body | {field: other}))


@pytest.fixture
def south(staged: Stage) -> Stage:
    """Another provider, with an endpoint and a customer of its own, and charlie, who has a token there."""
    provider = ProviderFactory(slug="south")
    for owner in (provider, sandbox.twin(provider)):
        EndpointFactory(provider=owner, slug="nova")
        customer = CustomerFactory(provider=owner, external_id=OWN)
        if owner == provider:
            charlie = MembershipFactory(customer=customer, user=UserFactory(email="charlie@example.com")).user
            soon = timezone.now() + timedelta(days=1)
            scopes = list(tokens.SCOPES)
            _, token = tokens.issue(customer, by=charlie, name="cron", scopes=scopes, expires_at=soon)
    (_, key), (_, test_key) = (keys.issue(provider, actor=audit.SYSTEM, sandbox=made) for made in (False, True))
    known = Stage(provider, key, test_key, token)
    for path in (f"{PROVIDERS}endpoints", SANDBOX, "/api/v1/accounts"):  # a key's first call notes that it is used
        assert called(known, "get", path, None)[0] == 200
    return known


def called(who: Stage, method: str, address: str, body: Any) -> tuple[int, dict[str, Any], int]:
    """Status, error and how many queries it took."""
    headers = {"Authorization": f"Bearer {who.secret(address)}"}
    data = "" if body is None else json.dumps(body)
    with CaptureQueriesContext(connection) as queries:
        reply = Client().generic(method.upper(), address, data, "application/json", headers=headers)
    error = json.loads(reply.content).get("error", {}) if reply.content else {}
    return reply.status_code, error, len(queries)


def test_a_strangers_id_and_one_that_nobody_has_cannot_be_told_apart(
    staged: Stage, south: Stage, document: dict[str, Any]
) -> None:
    walked = list(cases(document))
    faults = []
    for case in walked:
        if case.makes:
            continue
        foreign, unknown = called(south, case.method, *case.foreign), called(south, case.method, *case.unknown)
        alike = foreign[1].get("code") == unknown[1].get("code") and set(foreign[1]) == set(unknown[1])
        if not (foreign[0] == unknown[0] == 404 and alike and foreign[2] == unknown[2]):
            faults.append((case.name, foreign, unknown))
    assert not faults, "\n".join(map(str, faults))
    assert {
        one["operationId"] for methods in document["paths"].values() for one in methods.values() if ids_of(one)
    } <= {case.operation["operationId"] for case in walked}


def ids_of(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of its address that are ids: those that are one of a few words are everybody's."""
    return [
        one for one in operation.get("parameters", []) if one["in"] == "path" and "enum" not in one.get("schema", {})
    ]


def test_a_put_with_a_strangers_id_makes_ones_own_and_tells_nothing(
    staged: Stage, south: Stage, document: dict[str, Any]
) -> None:
    theirs = staged.provider.customers.filter(external_id="c-1001").values("email", "organization", "accounts__name")
    before = list(theirs)
    puts = [case for case in cases(document) if case.makes]
    assert len(puts) == 2
    for case in puts:
        foreign, unknown = called(south, case.method, *case.foreign), called(south, case.method, *case.unknown)
        assert foreign[0] == unknown[0] in (201, 202)
        assert foreign[2] == unknown[2]
    assert list(theirs) == before != []
